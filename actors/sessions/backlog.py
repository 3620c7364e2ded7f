"""What waits for an actor whose crash must not lose it? A bounded line that the system owns.

    put      (1) append            (2) is it announced? else announce it
    reader   (1) not announced     (2) look at the head, work, take it out

The reader takes an item out when it is done with it: its next incarnation goes on
with the one that was in hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """A first-in-first-out line with a bound. Any thread puts; one actor reads.

    Args:
        items_max: how many may wait; what comes beyond is refused and counted.
        wake: tells the reader to look. It must not wait.
        lock: for what is rare: a refusal, and the end of an item.
    """

    __slots__ = ("_items", "_lock", "_wake", "is_announced", "items_max", "lost")

    def __init__(
        self, items_max: int, wake: Callable[[], object], lock: AbstractContextManager[Any]
    ) -> None:
        self._items: deque[T] = deque()
        self._wake = wake
        self._lock = lock
        self.items_max = items_max
        self.is_announced = False
        """Whether the reader has been told to look, and has not looked since."""
        self.lost = 0
        """How many were refused, or given up."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether the next one would be refused."""
        return len(self._items) >= self.items_max

    def put(self, item: T) -> bool:
        """Add an item at the end; False, and counted, when there is no room."""
        if len(self._items) >= self.items_max:
            self.lose(1)
            return False
        self._items.append(item)
        if not self.is_announced:
            self.is_announced = True
            self._wake()
        return True

    def lose(self, number: int) -> None:
        """Count items that nobody will get."""
        with self._lock:
            self.lost += number

    def head(self) -> T | None:
        """Return the item that has waited longest, or None. It stays there until `done`."""
        try:
            return self._items[0]
        except IndexError:
            return None

    def done(self, item: T) -> None:
        """Take the head out, if it is this item: an earlier incarnation may have been late."""
        with self._lock:  # between the look and the step a successor may come in
            if self._items and self._items[0] is item:
                self._items.popleft()

    def clear(self) -> tuple[T, ...]:
        """Take everything out; return it."""
        with self._lock:
            left = tuple(self._items)
            self._items.clear()
        return left
