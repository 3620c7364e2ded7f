"""What a session may do while one of its connections is opened that somebody waits for."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AddMcpClient,
    AttachAgent,
    CallTool,
    CleanupInactive,
    Keeping,
    LinkState,
    PassivateSession,
    Presence,
    SessionMessage,
    SessionSystem,
    SessionTerminating,
    Shutdown,
    TerminateSession,
)
from callboard.actors.testing import Barrier, Faults, MemoryAgents, MemoryMcp
from callboard.supervision import Future, SystemStopped
from tests.connections.kit import AGENT, FILES, create, let_pass, links_left, open_with
from tests.sessions.stage import Stage, later, until

OPENS_S = 10.0
"""How long an opening takes here, in seconds."""


class Slow(Faults):
    """Openings take as long as the test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.held = Barrier()

    async def opening(self, what: str) -> None:
        await self.held.passed()
        await super().opening(what)


@pytest.fixture
def slow() -> Slow:
    """Return what holds the openings."""
    return Slow()


def open_slowly(stage: Stage, slow: Slow, **options: Any) -> SessionSystem:
    return open_with(stage, MemoryMcp(faults=slow), MemoryAgents(faults=slow), **options)


def begun(stage: Stage, slow: Slow, sessions: SessionSystem, message: Any) -> Future[Any]:
    """Return the answer to an opening that is under way."""
    waiting = slow.held.waiting
    answer = later(sessions, message)
    until(stage, lambda: slow.held.waiting == waiting + 1)
    return answer


def adding(session_id: str) -> SessionMessage[Any]:
    return AddMcpClient(session_id, FILES)


def attaching(session_id: str) -> SessionMessage[Any]:
    return AttachAgent(session_id, AGENT)


either = pytest.mark.parametrize("opening", [adding, attaching], ids=["mcp", "agent"])


@either
@pytest.mark.parametrize(
    "keeping",
    [
        Keeping(passivate_after_s=2.0, passivate_interval_s=1.0),
        Keeping(awake_max=1, passivate_interval_s=1.0),
        Keeping(max_idle_s=2.0, cleanup_interval_s=1.0),
    ],
    ids=["idle", "too many are awake", "idle for too long"],
)
def test_the_session_is_at_work_until_it_is_answered(
    stage: Stage, slow: Slow, opening: Any, keeping: Keeping
) -> None:
    sessions = open_slowly(stage, slow, keeping=keeping)
    ids = [create(sessions) for _ in range(4)]
    opened = [begun(stage, slow, sessions, opening(each)) for each in ids]

    let_pass(stage, OPENS_S)
    slow.held.let_go()

    until(stage, lambda: all(each.is_done for each in opened))
    assert [each.error for each in opened] == [None] * 4


def test_it_is_not_put_to_sleep_meanwhile_and_may_sleep_afterwards(
    stage: Stage, slow: Slow
) -> None:
    sessions = open_slowly(stage, slow)
    session_id = create(sessions)
    added = begun(stage, slow, sessions, AddMcpClient(session_id, FILES))

    assert sessions.ask(PassivateSession(session_id)).presence is Presence.AWAKE

    let_pass(stage, OPENS_S)
    slow.held.let_go()
    until(stage, lambda: added.is_done)
    assert added.get().status is LinkState.UP
    assert sessions.ask(PassivateSession(session_id)).presence is Presence.ASLEEP


@either
def test_its_idle_time_begins_with_the_answer(stage: Stage, slow: Slow, opening: Any) -> None:
    sessions = open_slowly(stage, slow)
    session_id = create(sessions)
    opened = begun(stage, slow, sessions, opening(session_id))
    let_pass(stage, OPENS_S)
    slow.held.let_go()
    until(stage, lambda: opened.is_done)

    assert sessions.ask(CleanupInactive(idle_longer_than_s=OPENS_S / 2)) == ()
    stage.advance(OPENS_S)
    assert sessions.ask(CleanupInactive(idle_longer_than_s=OPENS_S / 2)) == (session_id,)


def test_a_shutdown_waits_for_it(stage: Stage, slow: Slow) -> None:
    sessions = open_slowly(stage, slow)
    added = begun(stage, slow, sessions, AddMcpClient(create(sessions), FILES))

    down = later(sessions, Shutdown(grace_s=60.0))
    let_pass(stage, OPENS_S)
    assert not down.is_done
    slow.held.let_go()
    let_pass(stage, 1.0)

    until(stage, lambda: down.is_done)
    assert (added.error, down.get()) == (None, ())


@either
def test_an_end_of_the_session_is_what_its_asker_is_told(
    stage: Stage, slow: Slow, opening: Any
) -> None:
    sessions = open_slowly(stage, slow)
    session_id = create(sessions)
    opened = begun(stage, slow, sessions, opening(session_id))

    sessions.ask(TerminateSession(session_id))

    until(stage, lambda: opened.is_done)
    assert isinstance(opened.error, SessionTerminating)
    until(stage, lambda: not links_left(sessions))


def test_an_end_of_the_session_is_what_a_call_is_told_that_waits_for_it(
    stage: Stage, slow: Slow
) -> None:
    sessions = open_slowly(stage, slow)
    session_id = create(sessions)
    added = begun(stage, slow, sessions, AddMcpClient(session_id, FILES))
    call = later(sessions, CallTool(session_id, "files", "echo"))
    stage.settle()

    sessions.ask(TerminateSession(session_id))

    until(stage, lambda: added.is_done and call.is_done)
    assert isinstance(call.error, SessionTerminating)


@either
def test_an_end_of_the_system_is_what_its_asker_is_told(
    stage: Stage, slow: Slow, opening: Any
) -> None:
    sessions = open_slowly(stage, slow)
    session_id = create(sessions)
    opened = begun(stage, slow, sessions, opening(session_id))

    sessions.stop()

    assert isinstance(opened.error, SystemStopped)
