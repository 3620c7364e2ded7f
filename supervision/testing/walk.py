"""A random walk: whatever is ready is equally likely to run next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.explore import Ready


class Odds(msgspec.Struct, frozen=True, kw_only=True):
    """How likely it is that something out of the ordinary happens, in any exploration."""

    points: float = 0.1
    """The probability that others come in at a point."""

    early_timers: float = 0.05
    """The probability, in each step, that a timer within the horizon goes off early."""

    hand_offs: float = 0.5
    """The probability that an idle actor answers on its asker's own stack."""


class Walk(Odds, frozen=True, kw_only=True):
    """A random walk: whatever is ready is equally likely to run next."""

    def begin(self, seed: int, stream: Callable[[str], Stream]) -> Walker:
        """Return the explorer of one schedule."""
        del seed
        return Walker(self, stream)


class Walker:
    """One random walk.

    Args:
        odds: how likely the rest is.
        stream: where it draws from, by purpose.
    """

    def __init__(self, odds: Odds, stream: Callable[[str], Stream]) -> None:
        self._odds = odds
        self._stream = stream
        self._order = stream("order").random
        self._points = stream("points").random
        self._timers = stream("early timers").random
        self._hand_offs = stream("hand-offs").random

    def pick(self, ready: Sequence[Ready], due_timers: int) -> int:
        """Return any of them."""
        return int(self._order() * (len(ready) + due_timers))

    def preempts(self, point: str, who: str) -> bool:
        """Say so as often as `points` says."""
        del point, who
        return self._points() < self._odds.points

    def is_early(self, timer: str) -> bool:
        """Say so as often as `early_timers` says."""
        del timer
        return self._timers() < self._odds.early_timers

    def hands_off(self, name: str) -> bool:
        """Say so as often as `hand_offs` says."""
        del name
        return self._hand_offs() < self._odds.hand_offs

    def happens(self, fault: str, who: str, probability: float) -> bool:
        """Say so as often as the test says."""
        del who
        return self._stream(f"fault {fault}").random() < probability
