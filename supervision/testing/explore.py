"""Which of the possible orders is tried? Every decision of a schedule is made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from callboard.supervision.runtime.chance import Stream


class Ready(NamedTuple):
    """Something that could run next."""

    name: str
    """Who it is; the same in every run of this seed."""

    kind: str
    """`run` a message, `resume` what was suspended, or a step of an event `loop`."""

    thing: Any


class Explorer(Protocol):
    """Makes the decisions of one schedule."""

    def pick(self, ready: Sequence[Ready], due_timers: int, /) -> int:
        """Return the index of what runs next.

        Args:
            ready: what could run.
            due_timers: 1 if a timer is due, whose index is `len(ready)`; else 0.
        """
        ...

    def preempts(self, point: str, /) -> bool:
        """Say whether others come in at this point of whoever runs."""
        ...

    def is_early(self) -> bool:
        """Say whether time moves to the next timer although something is ready."""
        ...

    def hands_off(self, name: str, /) -> bool:
        """Say whether this idle actor answers on its asker's own stack."""
        ...


class Exploration(Protocol):
    """A way to explore; makes the explorer of one schedule."""

    def begin(self, stream: Callable[[str], Stream], /) -> Explorer:
        """Return an explorer that draws from these streams, by purpose."""
        ...


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """A random walk: whatever is ready is equally likely to run next."""

    points: float = 0.1
    """The probability that others come in at a point."""

    early_timers: float = 0.05
    """The probability, in each step, that a timer within the horizon goes off early."""

    hand_offs: float = 0.5
    """The probability that an idle actor answers on its asker's own stack."""

    def begin(self, stream: Callable[[str], Stream]) -> Explorer:
        """Return the explorer of one schedule."""
        return _Walker(self, stream)


class _Walker:
    """One random walk."""

    def __init__(self, walk: Walk, stream: Callable[[str], Stream]) -> None:
        self._walk = walk
        self._order = stream("order").random
        self._points = stream("points").random
        self._timers = stream("early timers").random
        self._hand_offs = stream("hand-offs").random

    def pick(self, ready: Sequence[Ready], due_timers: int) -> int:
        return int(self._order() * (len(ready) + due_timers))

    def preempts(self, point: str) -> bool:
        del point
        return self._points() < self._walk.points

    def is_early(self) -> bool:
        return self._timers() < self._walk.early_timers

    def hands_off(self, name: str) -> bool:
        del name
        return self._hand_offs() < self._walk.hand_offs
