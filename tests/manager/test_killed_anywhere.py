"""A manager that is killed between any two steps of its own leaves nothing half done.

What it is asked runs on the asker's own thread while it is idle; there it is killed before, and
after, one call after the other of what its parts do, as the interrupt of a kill would.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import FunctionType
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CleanupInactive,
    CreateSession,
    PassivateSession,
    Presence,
    ReviveSession,
    Role,
    SessionManager,
    SessionNotFound,
    SessionPatch,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.creating import Creator
from callboard.actors.sessions.ending import Ender
from callboard.actors.sessions.keys import Creates
from callboard.actors.sessions.starts import Starts
from callboard.actors.sessions.table import Row, Table
from callboard.actors.sessions.waking import Waker
from callboard.actors.sessions.watching import Watcher
from callboard.supervision import ActorDeadError, ActorRef, Address, Request
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.interrupts import KillSignal
from tests.laws import broken_laws
from tests.manager.kit import WITHIN_S

PARTS = (
    SessionManager,
    Creator,
    Waker,
    Ender,
    Watcher,
    Book,
    Creates,
    Starts,
    Table,
    Row,
    SessionAddress,
    Address,
)
"""What a manager does, it does by calls of these."""

ASKS_MAX = 2_000

CREATE = CreateSession(session_id="new", user_id="ada", idempotency_key="k")


class Striker:
    """Kills a manager at the n-th step that is made in its name.

    Args:
        monkeypatch: has the parts count their steps, until it undoes that.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._manager: ActorRef[Any] | None = None
        self._steps_left = 0
        for part in PARTS:
            for name, own in list(vars(part).items()):
                if isinstance(own, FunctionType) and not name.startswith("__"):
                    monkeypatch.setattr(part, name, self._counted(own))

    def _counted(self, own: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(own)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = own(*args, **kwargs)
            self._step()
            return result

        return counted

    def _step(self) -> None:
        manager = self._manager
        if manager is None or local.runner is None or local.runner.cell is not manager:
            return
        self._steps_left -= 1
        if self._steps_left == 0:
            manager.kill()
            raise KillSignal

    def strikes(self, sessions: SessionSystem, message: Request[Any], step: int) -> bool:
        """Ask, and strike at this step; False when there is no such step."""
        self._manager, self._steps_left = sessions.manager.ref, step
        with suppress(ActorDeadError, SessionNotFound):
            sessions.manager.ask(message, timeout=WITHIN_S)
        self._manager = None
        return self._steps_left <= 0


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


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_manager_killed_at_any_step_of_it_leaves_nothing_half_done(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, then = OPERATIONS[operation]
    striker = Striker(monkeypatch)
    step = 1
    while True:
        with SessionSystem(partitions=1) as sessions:
            for name in ("awake", "asleep"):
                sessions.ask(CreateSession(session_id=name), timeout=WITHIN_S)
            sessions.ask(PassivateSession("asleep"), timeout=WITHIN_S)
            assert at_rest(sessions) == []

            if not striker.strikes(sessions, message, step):
                break
            assert at_rest(sessions) == [], f"killed at step {step}"
            then(sessions)
            assert at_rest(sessions) == [], f"killed at step {step}, and gone on"
        step += 1

    assert step > 5
