"""Which timer of a simulation goes off next?"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from callboard.supervision.runtime.timers import Timer, never_comes


class Due(NamedTuple):
    """A timer in line; equal times go off in the order in which they were set."""

    due_s: float
    order: int
    timer: Timer
    name: str
    is_of_the_hub: bool
    """Whether it only wakes somebody, which needs no fibre."""


class Timeline:
    """The timers of a simulation, by the time when they are due."""

    def __init__(self) -> None:
        self._heap: list[Due] = []
        self._order = count()

    def add(self, timer: Timer, *, name: str, is_of_the_hub: bool) -> None:
        """Put a timer in line, unless its time never comes."""
        if not never_comes(timer.due_s):
            due = Due(timer.due_s, next(self._order), timer, name, is_of_the_hub)
            heapq.heappush(self._heap, due)

    def first(self) -> Due | None:
        """Return the next one that is still to go off."""
        heap = self._heap
        while heap and not heap[0].timer.is_pending:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def pop(self) -> Due:
        """Take the next one out."""
        return heapq.heappop(self._heap)

    def has_only_recurring(self) -> bool:
        """Whether none is left but those that come again and again."""
        return all(not each.timer.is_pending or each.timer.is_recurring for each in self._heap)

    def pending(self) -> int:
        """Return how many are still to go off, but those of the hub's own."""
        return sum(each.timer.is_pending and not each.is_of_the_hub for each in self._heap)

    def clear(self) -> None:
        """Let nothing go off any more."""
        self._heap.clear()


def act_name(act: Callable[..., object]) -> str:
    """Return what to call a timer that calls this; the same in every run."""
    return getattr(act, "__qualname__", type(act).__name__)
