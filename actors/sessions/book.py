"""What the manager is about to do: it must survive the manager, so the system owns it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from callboard.actors.messages import CreateSession
from callboard.actors.sessions.data import Session
from callboard.supervision import RestartWindow

CREATES_MAX = 100_000
"""Idempotency keys of creates that are remembered, the last ones."""


class Creation:
    """A session that is being started, and who waits for that.

    Args:
        replies: the askers' futures.
    """

    __slots__ = ("is_revival", "replies")

    def __init__(self, replies: list[Any]) -> None:
        self.replies = replies
        self.is_revival = False

    def answer(self, session: Session) -> None:
        """Tell everybody that it is there."""
        for reply in self.replies:
            reply.offer(session)

    def fail(self, error: BaseException) -> None:
        """Tell everybody why it is not."""
        for reply in self.replies:
            reply.offer_exception(error)


class Ending:
    """A session that is to end, and who waits for that.

    Args:
        number: tells its grace from an earlier one's.
        reason: why it ends.
        until_s: when its grace is over, on the monotonic clock.
        answers: called with the last snapshot, or None when it does not end after all.
        idle_longer_than_s: end only if it has been idle for longer; None: in any case.
    """

    __slots__ = ("answers", "idle_longer_than_s", "is_forced", "number", "reason", "until_s")

    def __init__(
        self,
        number: int,
        reason: str,
        until_s: float,
        answers: list[Callable[[Session | None], None]],
        idle_longer_than_s: float | None,
    ) -> None:
        self.number = number
        self.reason = reason
        self.until_s = until_s
        self.answers = answers
        self.idle_longer_than_s = idle_longer_than_s
        self.is_forced = False


class Book:
    """What is under way. The manager alone changes it."""

    def __init__(self) -> None:
        self.creations: dict[str, Creation] = {}
        self.endings: dict[str, Ending] = {}
        self.sleepers: dict[str, list[Any]] = {}
        self.creates: dict[str, tuple[CreateSession, str]] = {}
        self._keys: dict[str, str] = {}
        self.starting: dict[str, None] = {}
        """Sessions whose start the manager has asked for: it will hear of it by the answer."""
        self.wakes: dict[str, RestartWindow] = {}
        """Sessions whose last wake failed, with what that counts to."""
        self.keeper: Any = None
        """The manager's incarnation that writes here."""
        self.is_draining = False
        self._waiting: dict[int, dict[str, None]] = {}
        self._numbers = count(1)

    def next_number(self) -> int:
        """Return a number that none had before."""
        return next(self._numbers)

    def remember_create(self, key: str, message: CreateSession, session_id: str) -> None:
        """Keep an idempotency key with what it was used for; forget the oldest beyond the bound."""
        self.creates[key] = (message, session_id)
        self._keys[session_id] = key
        if len(self.creates) > CREATES_MAX:
            oldest = next(iter(self.creates))
            self._keys.pop(self.creates.pop(oldest)[1], None)

    def forget_create(self, session_id: str) -> None:
        """Let a create be repeated: the session never came to be."""
        key = self._keys.pop(session_id, None)
        if key is not None:
            self.creates.pop(key, None)

    def let_wait(self, partition: int, session_id: str) -> None:
        """Have a session started when its partition has a place for one more start."""
        self._waiting.setdefault(partition, {})[session_id] = None

    def has_waiting(self, partition: int) -> bool:
        """Whether a session of this partition waits to be started."""
        return bool(self._waiting.get(partition))

    def take_waiting(self, partition: int, most: int) -> list[str]:
        """Return up to `most` sessions to be started now, those that waited longest first."""
        waiting = self._waiting.get(partition, {})
        taken = list(waiting)[:most]
        for session_id in taken:
            del waiting[session_id]
        return taken
