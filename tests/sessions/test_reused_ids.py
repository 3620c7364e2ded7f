"""An id is free as soon as its session is gone: what is said of that one is not the next's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    PassivateSession,
    Presence,
    Session,
    SessionNotFound,
    SessionState,
    SessionSystem,
    SpawnError,
    StoreError,
    TerminateSession,
)
from callboard.actors.secrets import Vault
from callboard.actors.sessions.internal import (
    EndRefused,
    ForgetSession,
    PauseOver,
    SessionGivenUp,
    SessionStays,
    SessionWaits,
    StartAnswered,
    WalkOn,
)
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.spawn import Step
from callboard.actors.sessions.starts import Cause, Start
from callboard.actors.sessions.table import Row
from callboard.actors.sessions.verdict import PartitionLost
from callboard.actors.sessions.walks import Walk
from callboard.actors.storage.records import Write
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import ExitReason, Killed
from tests.cast import Actor, Boom, Fall, Say, Which
from tests.laws import broken_laws
from tests.sessions.stage import Stage, cell_of, later, part_of, services_of

CREATE = CreateSession(session_id="ada", idempotency_key="k")


@pytest.fixture
def opened(stage: Stage) -> SessionSystem:
    return stage.open()


class KeepsOne(StoreInMemory):
    """A store with something to be done after each write."""

    then: Callable[[], object] | None = None

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        told = super().write(writes)
        if self.then is not None:
            self.then()
        return told


def row_of(sessions: SessionSystem) -> Row:
    return services_of(sessions).table.row("ada")


def partition_of(sessions: SessionSystem) -> Any:
    return part_of(sessions, partition_name(row_of(sessions).partition))


def end_now(stage: Stage, sessions: SessionSystem) -> None:
    """End it by the manager's hand: its actor does not come to it."""
    ended = later(sessions, TerminateSession("ada", grace_s=0.0))
    stage.advance(0.1)
    assert ended.get().state is SessionState.CLEANED


def gone(sessions: SessionSystem) -> Row:
    """Return the row of a session that is gone; another one has its id."""
    sessions.ask(CreateSession(session_id="ada"))
    row = row_of(sessions)
    sessions.ask(TerminateSession("ada"))
    sessions.ask(CreateSession(session_id="ada", user_id="bob"))
    return row


def late_word(row: Row) -> list[Any]:
    """Return what the manager may hear late of a session."""
    start = Start(row, Cause.CREATE)
    return [
        SessionGivenUp(row, row.incarnation, Killed(), None),
        SessionGivenUp(row, 1, Killed(), None),
        SessionStays(row, StoreError("it does not sleep")),
        SessionWaits(row),
        StartAnswered(row, 1, None, None),
        StartAnswered(row, 1, SpawnError("no"), None, refusal=StoreError("no")),
        EndRefused(row, 1, StoreError("it does not end")),
        PauseOver(start),
    ]


@pytest.mark.parametrize("number", range(8))
def test_late_word_of_a_session_is_nothing_to_the_next_one(
    stage: Stage, opened: SessionSystem, number: int
) -> None:
    before = gone(opened)
    seen = opened.get("ada")

    opened.manager.notify(late_word(before)[number])

    stage.settle()
    assert opened.get("ada") == seen
    assert opened.ask(Which("ada")) == 1
    assert broken_laws(opened) == []


def test_a_row_that_goes_while_it_waits_to_be_looked_at_takes_no_other_along(
    stage: Stage, opened: SessionSystem
) -> None:
    """A new partition's sessions are looked at some hundreds at a time."""
    before = gone(opened)
    manager: Any = part_of(opened, "front/manager").actor

    opened.manager.notify(WalkOn(Walk([before], manager._watcher.look_at)))
    opened.manager.notify(
        WalkOn(Walk([before], lambda row: manager.learn(row, PartitionLost(incarnation=1))))
    )

    stage.settle()
    assert opened.ask(Which("ada")) == 1
    assert broken_laws(opened) == []


def test_a_partition_forgets_no_other_session_of_the_id(
    stage: Stage, opened: SessionSystem
) -> None:
    before = gone(opened)

    partition_of(opened).notify(ForgetSession(before))

    stage.settle()
    assert opened.ask(Which("ada")) == 1


def test_a_session_is_not_quarantined_for_the_crashes_of_the_one_before(
    stage: Stage, opened: SessionSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.ask(CreateSession(session_id="ada"))
    before, services, told = row_of(opened), services_of(opened), list[Any]()
    for _ in range(3):
        with pytest.raises(Boom):
            opened.ask(Fall("ada", text="no"))
        stage.advance(2.0)
    announce = services.announce

    def tell(notice: object) -> bool:
        told.append(notice)
        return announce(notice)

    monkeypatch.setattr(services, "announce", tell)
    partition = partition_of(opened)
    partition.suspend()

    with pytest.raises(Boom):
        opened.ask(Fall("ada", text="no"))
    end_now(stage, opened)
    created = later(opened, CreateSession(session_id="ada"))
    stage.settle()
    partition.resume()

    assert created.get().presence is Presence.AWAKE
    stage.settle()
    assert [each.row for each in told if isinstance(each, SessionGivenUp)] == [before]
    assert opened.ask(Which("ada")) == 1


def test_a_session_starts_though_the_one_before_was_about_to_come_back(stage: Stage) -> None:
    """That one crashed when its end was kept: it was gone, but its partition did not know it."""

    class Stumbling(Actor):
        play = stage.play

        def stop(self, reason: ExitReason | None = None) -> None:
            if self.session.state is SessionState.CLEANED:
                raise Boom("at the last step")
            super().stop(reason)

    sessions = stage.open(session=Stumbling)
    sessions.ask(CreateSession(session_id="ada"))
    for _ in range(2):  # the next restart is put off for a second
        with pytest.raises(Boom):
            sessions.ask(Fall("ada", text="no"))
        stage.advance(0.2)

    sessions.ask(TerminateSession("ada"))
    sessions.ask(CreateSession(session_id="ada"))

    assert sessions.ask(Which("ada")) == 1
    stage.advance(5.0)
    assert sessions.ask(Which("ada")) == 1
    assert broken_laws(sessions) == []


def test_a_delay_of_the_one_before_does_not_end_that_of_the_next_one(
    stage: Stage, opened: SessionSystem
) -> None:
    def crash_thrice() -> None:
        for _ in range(3):
            with pytest.raises(Boom):
                opened.ask(Fall("ada", text="no"))
            stage.advance(0.11)  # the second restart is put off for a tenth of a second

    opened.ask(CreateSession(session_id="ada"))
    crash_thrice()  # the third for a whole one
    end_now(stage, opened)
    opened.ask(CreateSession(session_id="ada"))
    crash_thrice()
    starts = stage.play.starts["ada"]

    stage.advance(0.8)
    before = stage.play.starts["ada"]
    stage.advance(0.2)

    assert (before, stage.play.starts["ada"]) == (starts, starts + 1)
    assert broken_laws(opened) == []


def test_a_pause_of_the_one_before_starts_none_that_was_taken_back(stage: Stage) -> None:
    """Its creator is told that it never was as soon as the store has kept that."""
    store = KeepsOne()
    sessions = stage.open(store=store)
    sessions.ask(CreateSession(session_id="ada"))
    sessions.ask(PassivateSession("ada"))
    stage.play.bad_starts["ada"] = 99
    asked = later(sessions, Say("ada", text="hello"))
    stage.settle()
    stage.advance(0.2)  # it has failed three times: the next start is due in a second
    end_now(stage, sessions)
    with pytest.raises(SessionNotFound):
        asked.get()
    writer = part_of(sessions, "storage/writer")

    store.then = writer.suspend  # what it began with is kept; that it never was waits
    created = later(sessions, CreateSession(session_id="ada"))
    stage.settle()
    stage.play.bad_starts["ada"], starts = 0, stage.play.starts["ada"]
    stage.advance(2.0)
    store.then = None
    writer.resume()

    with pytest.raises(SpawnError):
        created.get()
    assert stage.play.starts["ada"] == starts
    assert "ada" not in services_of(sessions).table


class TestTheKeyOfACreate:
    def test_is_free_again_when_its_session_is_ended_while_it_starts(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        partitions = [part_of(opened, f"sessions/{number}") for number in range(2)]
        for each in partitions:
            each.suspend()
        created = later(opened, CREATE)
        stage.settle()

        end_now(stage, opened)
        for each in partitions:
            each.resume()

        with pytest.raises(SessionNotFound):
            created.get()
        assert opened.ask(CREATE).state is SessionState.ACTIVE
        assert opened.ask(Which("ada")) == 1

    def test_is_free_again_when_the_manager_was_killed_as_it_took_its_session_out(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        partitions = [part_of(opened, f"sessions/{number}") for number in range(2)]
        for each in partitions:
            each.suspend()
        created = later(opened, CREATE)
        stage.settle()

        services_of(opened).table.remove("ada")
        part_of(opened, "front/manager").kill()
        stage.settle()
        for each in partitions:
            each.resume()

        with pytest.raises(SessionNotFound):
            created.get()
        assert opened.ask(CREATE).state is SessionState.ACTIVE

    def test_keeps_its_first_reply_when_its_session_is_ended_as_it_is_spawned_again(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        spawned = list[str]()

        async def connect(session: Session, _: Vault) -> None:
            spawned.append(session.id)
            if len(spawned) > 1:
                await stage.play.gate.passed()

        steps = (Step(name="agent", do=connect, is_redone=True),)
        services_of(opened).planners.append(lambda _: steps)
        first = opened.ask(CREATE)
        cell_of(opened, "ada").kill()
        stage.settle()
        assert spawned == ["ada", "ada"]
        end_now(stage, opened)

        assert opened.ask(CREATE) == first
        assert "ada" not in services_of(opened).table
