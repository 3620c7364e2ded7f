"""A walk in which some are slow: what is meant for them comes very late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.explore import Ready
from callboard.supervision.testing.walk import Odds, Walker


class Lag(Odds, frozen=True, kw_only=True):
    """A random walk in which some actors and clients are held back whenever they could run.

    Most bugs of actors are one message that comes very late, which a plain walk rarely gives.
    """

    share: float = 0.25
    """The probability that somebody is slow, for the whole schedule."""

    lag_max: int = 40
    """Steps for which a slow one is held back at most, while anybody else is ready."""

    def begin(self, seed: int, stream: Callable[[str], Stream]) -> Laggards:
        """Return the explorer of one schedule."""
        del seed
        return Laggards(self, stream)


class Laggards(Walker):
    """One walk with slow ones.

    Args:
        lag: who is slow, and for how long.
        stream: where it draws from, by purpose.
    """

    def __init__(self, lag: Lag, stream: Callable[[str], Stream]) -> None:
        super().__init__(lag, stream)
        self._lag = lag
        self._lags = stream("lags").random
        self._is_slow: dict[str, bool] = {}
        self._held_until: dict[str, int] = {}
        self._step = 0

    def pick(self, ready: Sequence[Ready], due_timers: int) -> int:
        """Return any but those that are held back; any at all when all are."""
        self._step += 1
        free = [index for index, each in enumerate(ready) if not self._is_held(each.name)]
        if due_timers:
            free.append(len(ready))
        if not free:
            free = list(range(len(ready)))
        index = free[int(self._order() * len(free))]
        if index < len(ready):
            self._held_until.pop(ready[index].name, None)
        return index

    def _is_held(self, name: str) -> bool:
        is_slow = self._is_slow.get(name)
        if is_slow is None:
            is_slow = self._is_slow[name] = self._lags() < self._lag.share
        if not is_slow:
            return False
        until = self._held_until.get(name)
        if until is None:
            until = self._step + int(self._lags() * (self._lag.lag_max + 1))
            self._held_until[name] = until
        return self._step < until
