"""Each crash of a session counts once, whenever the manager hears of it."""

from __future__ import annotations

import pytest

from callboard.actors import (
    CreateSession,
    PassivateSession,
    Presence,
    ResumeSession,
    Session,
    SessionState,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.spawn import Step
from callboard.actors.sessions.table import Standing
from tests.cast import Boom, Fall, Which
from tests.laws import broken_laws
from tests.sessions.stage import Stage, later, part_of, services_of


@pytest.fixture
def opened(stage: Stage) -> SessionSystem:
    sessions = stage.open()
    sessions.ask(CreateSession(session_id="ada"))
    return sessions


def crash(sessions: SessionSystem, text: str) -> None:
    with pytest.raises(Boom):
        sessions.ask(Fall("ada", text=text))


def standing_of(sessions: SessionSystem) -> Standing:
    standing = services_of(sessions).table.row("ada").standing
    assert standing is not None
    return standing


def test_that_was_told_to_no_manager_is_told_to_the_next_one(
    stage: Stage, opened: SessionSystem
) -> None:
    """It looks at the session first: nobody is there, for the second restart is put off."""
    front = part_of(opened, "front")
    front.suspend()
    part_of(opened, "front/manager").kill()
    stage.settle()
    crash(opened, "one")
    crash(opened, "two")

    front.resume()
    stage.settle()

    ada, standing = opened.get("ada"), standing_of(opened)
    assert ada.restarts == 2
    assert "Boom: two" in str(ada.last_error)
    assert ada.failed_on == "Fall"
    assert standing.spent is not None
    assert len(standing.spent.restarts) == 2
    stage.advance(1.0)
    assert opened.ask(Which("ada")) == 3
    assert broken_laws(opened) == []


def test_that_is_told_behind_the_answer_to_the_start(stage: Stage, opened: SessionSystem) -> None:
    """The answer tells of an incarnation that is not there any more, nor is the next one."""
    opened.ask(PassivateSession("ada"))
    manager = part_of(opened, "front/manager")
    partition = part_of(opened, partition_name(services_of(opened).table.row("ada").partition))
    partition.suspend()
    resumed = later(opened, ResumeSession("ada"))
    stage.settle()
    manager.suspend()
    partition.resume()
    stage.settle()
    crash(opened, "one")
    crash(opened, "two")

    manager.resume()
    stage.settle()

    assert resumed.get().id == "ada"
    ada = opened.get("ada")
    assert (ada.restarts, ada.failed_on) == (2, "Fall")
    assert "Boom: two" in str(ada.last_error)
    stage.advance(1.0)
    assert opened.get("ada").presence is Presence.AWAKE
    assert broken_laws(opened) == []


def test_none_is_the_end_of_a_session_that_the_manager_itself_ends(
    stage: Stage, opened: SessionSystem
) -> None:
    """Its actor does not come to it in time, and is killed; what it has made is undone then."""

    async def disconnect(_: Session) -> None:
        await stage.play.gate.passed()

    steps = (Step(name="agent", undo=disconnect),)
    services_of(opened).planners.append(lambda _: steps)

    ended = later(opened, TerminateSession("ada", grace_s=0.0))
    stage.advance(0.1)

    ada = opened.get("ada")
    assert (ada.state, ada.restarts, ada.last_error) == (SessionState.TERMINATING, 0, None)
    stage.play.gate.open()
    stage.settle()
    assert ended.get().restarts == 0
