"""Several ways to explore, by turns: no single one finds every kind of bug."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.explore import Exploration, Explorer
from callboard.supervision.testing.lag import Lag
from callboard.supervision.testing.pct import Pct
from callboard.supervision.testing.walk import Walk


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Each seed explores in one of several ways, in turns: seed 0 in the first, 1 in the next.

    What a simulation does unless told otherwise.
    """

    members: tuple[Exploration, ...] = (Walk(), Lag(), Pct(), Lag(points=0.3))
    """The ways, in the order of their turns; one at least."""

    def of(self, seed: int) -> Exploration:
        """Return the way that this seed explores in."""
        return self.members[seed % len(self.members)]

    def begin(self, seed: int, stream: Callable[[str], Stream]) -> Explorer:
        """Return the explorer of one schedule."""
        return self.of(seed).begin(seed, stream)
