"""What could not be delivered: all counted, the latest kept to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import Any

import msgspec


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that nobody handled."""

    message: Any
    """The message; or, of one with a method `as_dead_letter()`, what that returns: what refers to
    much that others let go says so little of itself that it may be kept."""
    address: str
    why: str
    """`dead`, or the code of the refusal that nobody waited for."""


class DeadLetters:
    """Counts every dead letter and keeps the latest.

    Args:
        kept_max: how many are kept.
        emit: gets each of them as an event.
    """

    def __init__(self, kept_max: int, emit: Callable[[object], None]) -> None:
        self._latest: deque[DeadLetter] = deque(maxlen=kept_max)
        self._count = 0
        self._counting = RLock()  # again by one thread, which the collector may have record another
        self._emit = emit

    def record(self, message: Any, *, address: str, why: str = "dead") -> None:
        """Take a message that cannot be delivered; from any thread; it waits for no actor."""
        said: object = message
        # Of its type, not of itself: a proxy would answer for its actor.
        shorten: Any = getattr(type(said), "as_dead_letter", None)
        letter = DeadLetter(message if shorten is None else shorten(message), address, why)
        self._latest.append(letter)
        with self._counting:
            self._count += 1
        self._emit(letter)

    @property
    def count(self) -> int:
        """How many there have been."""
        return self._count

    @property
    def latest(self) -> tuple[DeadLetter, ...]:
        """The latest of them, oldest first."""
        return tuple(self._latest.copy())  # a copy is one C call: more come meanwhile
