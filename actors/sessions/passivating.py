"""Who is to sleep? Who has not been used for long; beyond a bound the least recently used first.

One pass looks at the awake sessions, a step at a time, on the janitor's turns. It only
proposes: a session sleeps if it has not been active since, and has nothing to do.
"""

from __future__ import annotations

import heapq
from typing import Final

from callboard.actors.keeping import Keeping
from callboard.actors.sessions.address import address_of
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.busy import is_busy, may_sleep
from callboard.actors.sessions.internal import FallAsleep
from callboard.actors.sessions.table import Row, Table
from callboard.actors.storage.kept import NO_INCARNATION

SLEEPS_PER_PASS_MAX: Final = 16_384
"""Sessions that one pass puts to sleep because too many are awake; the next takes more."""

ROOM_SHARE: Final = 16
"""One part in so many of `awake_max` is made free beyond need, so that not every start begins
another pass."""

BREATH_S: Final = 0.05
"""Seconds between two passes while too many are awake: what was told to sleep does so meanwhile."""


class Pass:
    """One look at the awake sessions.

    Args:
        table: the sessions.
        book: what is under way.
        keeping: the bounds.
        now_s: monotonic now.
        due: how many are to sleep for the memory's sake.
    """

    def __init__(
        self, table: Table, book: Book, keeping: Keeping, *, now_s: float, due: int = 0
    ) -> None:
        self.rows = table.awake()
        self._starts = book.starts
        self._idle_s = keeping.passivate_after_s
        self._now_s = now_s
        awake_max = keeping.awake_max
        over = 0 if awake_max is None else len(self.rows) - awake_max
        self.is_crowded = over > 0
        """Whether too many are awake."""
        self.wanted = due
        """How many are to sleep for the others' sake."""
        if awake_max is not None and over > 0:
            self.wanted = max(due, min(over + awake_max // ROOM_SHARE, SLEEPS_PER_PASS_MAX))
        self._oldest: list[tuple[float, int, Row]] = []  # a heap; the most recently used first
        self._seen = 0
        self.told = 0
        """How many have been told to sleep."""

    def look_at(self, row: Row) -> None:
        """Put a session to sleep that has been idle for too long, or remember how old it is."""
        if row.incarnation == NO_INCARNATION:
            return  # the manager is at it: it has reserved the place, and no more
        active_s = row.active_s
        is_idle = self._now_s - active_s > self._idle_s
        if not (is_idle or self.wanted):
            return
        if row.id in self._starts or not may_sleep(row) or is_busy(row):
            return
        if is_idle:
            self.tell(row, active_s)
            return
        self._seen += 1
        entry = (-active_s, -self._seen, row)
        if len(self._oldest) < self.wanted:
            heapq.heappush(self._oldest, entry)
        else:
            heapq.heappushpop(self._oldest, entry)

    def chosen(self) -> list[Row]:
        """Return those that are to sleep for the others' sake, the least recently used first."""
        count = max(0, self.wanted - self.told)
        return [row for _, _, row in sorted(self._oldest, reverse=True)[:count]]

    def tell(self, row: Row, active_s: float | None = None) -> None:
        """Have a session fall asleep unless it has been active since the look."""
        self.told += 1
        seen_s = self._now_s if active_s is None else active_s
        address = address_of(row)
        if address is not None:  # otherwise it sleeps by now
            address.notify(FallAsleep(unless_active_since_s=seen_s))
