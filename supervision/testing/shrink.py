"""Which of a schedule's decisions does a failure need? The others are taken out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from callboard.supervision.testing.schedule import Schedule

T = TypeVar("T")

SHRINK_RUNS_MAX = 1_000
"""Runs that are made to shrink one schedule."""

SHRINK_MAX_S = 5.0
"""Seconds that shrinking one schedule may take, when it is not told otherwise."""


class Shrunk(NamedTuple):
    """What is left of a schedule."""

    schedule: Schedule
    runs: int
    """How many runs it took."""
    is_minimal: bool
    """Whether no single decision more can be taken out; False when a bound was met before."""


class _Enough(Exception):
    """A bound was met."""


def shrink(
    schedule: Schedule,
    run: Callable[[Schedule], Schedule | None],
    *,
    now_s: Callable[[], float],
    max_s: float = SHRINK_MAX_S,
    runs_max: int = SHRINK_RUNS_MAX,
) -> Shrunk:
    """Return a smaller schedule that fails in the same way, by delta debugging on both its lists.

    Args:
        schedule: one that fails.
        run: runs a candidate; returns what of it had an effect if it fails in the same way,
            else None.
        now_s: real seconds, to keep to `max_s`.
        max_s: seconds it may take, the last run not counted.
        runs_max: how many runs it may make.

    Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002).
    """
    search = _Search(schedule, run, runs_max=runs_max, until_s=now_s() + max_s, now_s=now_s)
    try:
        search.go()
    except _Enough:
        return Shrunk(search.best, search.runs, is_minimal=False)
    return Shrunk(search.best, search.runs, is_minimal=True)


class _Search:
    """Keeps the smallest schedule that fails so far, and tries smaller ones."""

    def __init__(
        self,
        schedule: Schedule,
        run: Callable[[Schedule], Schedule | None],
        *,
        runs_max: int,
        until_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self.best = schedule
        self.runs = 0
        self._run = run
        self._runs_max = runs_max
        self._until_s = until_s
        self._now_s = now_s
        self._in_vain: dict[Schedule, None] = {}

    def go(self) -> None:
        """Shrink as far as it goes.

        Raises:
            _Enough: a bound was met.
        """
        # Half of all failures need no pick at all, or nothing but picks: that is seen at once.
        _ = (
            self._fails(picks=(), deviations=())
            or self._fails(picks=())
            or self._fails(deviations=())
        )
        size = -1
        while size != len(self.best):
            size = len(self.best)
            self._shorten(lambda best: best.deviations, lambda left: self._fails(deviations=left))
            self._shorten(lambda best: best.picks, lambda left: self._fails(picks=left))

    def _shorten(
        self, part: Callable[[Schedule], tuple[T, ...]], fails: Callable[[tuple[T, ...]], bool]
    ) -> None:
        chunk = max(1, len(part(self.best)) // 2)
        while part(self.best):
            size = end = len(part(self.best))
            # From the end: what comes after the failure goes first.
            while end > 0:
                entries = part(self.best)
                begin = max(0, end - chunk)
                fails(entries[:begin] + entries[end:])
                end = min(begin, len(part(self.best)))
            if chunk == 1 and len(part(self.best)) == size:
                return
            chunk = max(1, chunk // 2)

    def _fails(self, **parts: object) -> bool:
        candidate = msgspec.structs.replace(self.best, **parts)
        if candidate == self.best:
            return True
        if candidate in self._in_vain:
            return False
        if self.runs >= self._runs_max or self._now_s() >= self._until_s:
            raise _Enough
        self.runs += 1
        used = self._run(candidate)
        if used is None:
            self._in_vain[candidate] = None
            return False
        self.best = used
        return True
