"""Priorities that change a few times: the schedules of bugs that need few things in one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.explore import Ready
from callboard.supervision.testing.walk import Odds, Walker


class Pct(Odds, frozen=True, kw_only=True):
    """Everybody has a priority drawn by lot; the highest that is ready runs.

    A few times, at steps drawn by lot, whoever runs falls below all others; so it
    does where others come in at a point. After the first `head` steps it is a
    random walk: no one that is ready starves.

    Source: Burckhardt et al., A Randomized Scheduler with Probabilistic Guarantees
    of Finding Bugs (ASPLOS 2010). The points and the fair tail are ours.
    """

    changes: int = 3
    """How often the highest priority falls."""

    head: int = 300
    """Steps that go by priority, 1 at least; more of the changes lie early in them than late."""

    def begin(self, seed: int, stream: Callable[[str], Stream]) -> Priorities:
        """Return the explorer of one schedule."""
        del seed
        return Priorities(self, stream)


class Priorities(Walker):
    """One schedule by priority.

    Args:
        pct: how often priorities change, and how long they count.
        stream: where it draws from, by purpose.
    """

    def __init__(self, pct: Pct, stream: Callable[[str], Stream]) -> None:
        super().__init__(pct, stream)
        self._head = pct.head
        self._lots = stream("priorities").random
        self._changes = {int(pct.head * self._lots() * self._lots()) for _ in range(pct.changes)}
        self._priorities: dict[str, float] = {}
        self._lowest = 0.0
        self._step = 0

    def pick(self, ready: Sequence[Ready], due_timers: int) -> int:
        """Return the one of the highest priority; after the head anyone."""
        self._step += 1
        if self._step > self._head:
            return super().pick(ready, due_timers)
        index = self._highest(ready, due_timers)
        if self._step in self._changes:
            self._fall(_TIMERS if index == len(ready) else ready[index].name)
            index = self._highest(ready, due_timers)
        return index

    def preempts(self, point: str, who: str) -> bool:
        """Say so as often as `points` says; then others are above who is here."""
        does = super().preempts(point, who)
        if does:
            self._fall(who)
        return does

    def _highest(self, ready: Sequence[Ready], due_timers: int) -> int:
        priorities = self._priorities
        best, highest = 0, -1e9
        names = [each.name for each in ready]
        if due_timers:
            names.append(_TIMERS)
        for index, name in enumerate(names):
            priority = priorities.get(name)
            if priority is None:
                priority = priorities[name] = self._lots()
            if priority > highest:
                best, highest = index, priority
        return best

    def _fall(self, name: str) -> None:
        self._lowest -= 1.0
        self._priorities[name] = self._lowest


_TIMERS = "a timer that is due"
"""Whose priority that of all timers is."""
