"""What could not be delivered: all counted, the latest kept to look at."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from itertools import repeat
from operator import length_hint
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
        # One is taken out for each: a step that two threads cannot do at once, and without a lock,
        # which a process that was forked meanwhile would find held.
        self._to_come = repeat(None, sys.maxsize)
        self._emit = emit

    def record(self, message: Any, *, address: str, why: str = "dead") -> None:
        """Take a message that cannot be delivered; from any thread, never blocks."""
        said: object = message
        # Of its type, not of itself: a proxy would answer for its actor.
        shorten: Any = getattr(type(said), "as_dead_letter", None)
        letter = DeadLetter(message if shorten is None else shorten(message), address, why)
        self._latest.append(letter)
        next(self._to_come)
        self._emit(letter)

    @property
    def count(self) -> int:
        """How many there have been."""
        return sys.maxsize - length_hint(self._to_come)

    @property
    def latest(self) -> tuple[DeadLetter, ...]:
        """The latest of them, oldest first."""
        return tuple(self._latest.copy())  # a copy is one C call: more come meanwhile
