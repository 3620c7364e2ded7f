"""What is left to chance in a schedule, and who decides it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from callboard.supervision.runtime.chance import Stream


class Ready(NamedTuple):
    """Something that could run next."""

    name: str
    """Who it is; the same in every run of this seed."""

    kind: str
    """`run` a message, `resume` what was suspended, or a step of an event `loop`."""

    thing: Any


class Explorer(Protocol):
    """Makes the decisions of one schedule.

    Each says yes or no to something that nobody would notice if it did not
    happen, but `pick`, whose dull answer is 0: who became ready first.
    """

    def pick(self, ready: Sequence[Ready], due_timers: int, /) -> int:
        """Return the index of what runs next.

        Args:
            ready: what could run, in the order in which it became ready.
            due_timers: 1 if a timer is due, whose index is `len(ready)`; else 0.
        """
        ...

    def preempts(self, point: str, who: str, /) -> bool:
        """Say whether others come in at this point of whoever runs."""
        ...

    def is_early(self, timer: str, /) -> bool:
        """Say whether time moves to this timer, the next one, although something is ready."""
        ...

    def hands_off(self, name: str, /) -> bool:
        """Say whether this idle actor answers on its asker's own stack."""
        ...

    def happens(self, fault: str, who: str, probability: float, /) -> bool:
        """Say whether a fault strikes here, of which the test asks (`Simulation.happens`)."""
        ...


class Exploration(Protocol):
    """A way to explore; makes the explorer of one schedule."""

    def begin(self, seed: int, stream: Callable[[str], Stream], /) -> Explorer:
        """Return an explorer that draws from these streams of the seed, by purpose."""
        ...
