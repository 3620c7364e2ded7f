"""A manager that is killed between any two lines of its own leaves nothing half done.

What it is asked runs on the asker's own thread while it is idle; there a trace function kills it
in front of one line after the other, as the interrupt of a kill would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import callboard.actors.manager
from callboard.actors import (
    AppendMessage,
    CleanupInactive,
    CreateSession,
    PassivateSession,
    Presence,
    ReviveSession,
    Role,
    SessionNotFound,
    SessionPatch,
    SessionSystem,
    TerminateSession,
)
from callboard.supervision import ActorDeadError, ActorRef, Request
from callboard.supervision.runtime.interrupts import KillSignal
from tests.laws import broken_laws
from tests.manager.kit import WITHIN_S

ACTORS = str(Path(callboard.actors.manager.__file__).resolve().parent)
EVERY = 3
"""Of all lines each third is tried, of each operation another third: 100 kills each, or so."""

ASKS_MAX = 2_000

CREATE = CreateSession(session_id="new", user_id="ada", idempotency_key="k")


@contextmanager
def killed_before(line: int, manager: ActorRef[Any]) -> Generator[list[int]]:
    """Kill the manager in front of the n-th line that runs in its name; yield how many did."""
    seen = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(ACTORS):
            return None
        if event == "line" and manager.is_at_work:
            seen[0] += 1
            if seen[0] == line:
                manager.kill()
                raise KillSignal
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield seen
    finally:
        sys.settrace(before)


def at_rest(sessions: SessionSystem) -> list[str]:
    """Wait until nothing is under way; return the laws that are broken all the same."""
    broken = ["it was not looked at"]
    for _ in range(ASKS_MAX):
        with suppress(SessionNotFound, ActorDeadError):
            sessions.ask(PassivateSession("nobody"), timeout=WITHIN_S)  # it has come to this
        broken = broken_laws(sessions)
        if not broken:
            break
    return broken


def is_created_once(sessions: SessionSystem) -> None:
    again = sessions.ask(CREATE, timeout=WITHIN_S)
    assert again.id == "new"
    assert sessions.get("new").presence is Presence.AWAKE
    assert dict(sessions._running().table.per_user) == {"ada": 1}


def is_woken_by_a_message(sessions: SessionSystem) -> None:
    assert sessions.ask(AppendMessage("asleep", Role.USER, "hello"), timeout=WITHIN_S) == 1


def is_gone_when_asked_again(sessions: SessionSystem) -> None:
    with suppress(SessionNotFound):
        sessions.ask(TerminateSession("asleep"), timeout=WITHIN_S)
    with pytest.raises(SessionNotFound):
        sessions.get("asleep")
    assert sessions.ask(CreateSession(session_id="asleep"), timeout=WITHIN_S).id == "asleep"


OPERATIONS: dict[str, tuple[Request[Any], Callable[[SessionSystem], None]]] = {
    "a create": (CREATE, is_created_once),
    "a create that is not activated": (
        CreateSession(session_id="new", activate=False),
        is_woken_by_a_message,
    ),
    "a revival": (ReviveSession("asleep"), is_woken_by_a_message),
    "a revival with a patch": (
        ReviveSession("asleep", SessionPatch(metadata={"a": 1})),
        is_woken_by_a_message,
    ),
    "a sleep": (PassivateSession("awake"), is_woken_by_a_message),
    "an end": (TerminateSession("asleep"), is_gone_when_asked_again),
    "an end of one that runs": (TerminateSession("awake"), is_woken_by_a_message),
    "a cleanup": (CleanupInactive(idle_longer_than_s=0.0), is_gone_when_asked_again),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_manager_killed_before_any_line_of_it_leaves_nothing_half_done(operation: str) -> None:
    message, then = OPERATIONS[operation]
    line, kills = 1 + list(OPERATIONS).index(operation) % EVERY, 0
    while True:
        with SessionSystem(partitions=1) as sessions:
            for name in ("awake", "asleep"):
                sessions.ask(CreateSession(session_id=name), timeout=WITHIN_S)
            sessions.ask(PassivateSession("asleep"), timeout=WITHIN_S)
            assert at_rest(sessions) == []
            manager = sessions.manager.ref
            assert manager is not None

            with killed_before(line, manager) as seen, suppress(ActorDeadError, SessionNotFound):
                sessions.manager.ask(message, timeout=WITHIN_S)

            if seen[0] < line:
                break
            kills += 1
            assert at_rest(sessions) == [], f"killed before line {line}"
            then(sessions)
            assert at_rest(sessions) == [], f"killed before line {line}, and gone on"
        line += EVERY

    assert kills > 5
