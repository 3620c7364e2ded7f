"""What is said of a world in which nothing, or for ever the same, happens?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from callboard.supervision.testing.errors import Deadlock, Livelock
from callboard.supervision.testing.trace import STEPS, Trace

if TYPE_CHECKING:
    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.testing.fibres import Fibre

_LATEST_STEPS = 100
"""Steps of which a report of a livelock names the actors."""

_NAMES_MAX = 10
"""Names in a report of a livelock, the busiest first."""


def owner_of(future: Future[Any] | None) -> str:
    """Return the name of whoever owes an answer."""
    owner = None if future is None else future.owner
    return getattr(owner, "name", "an answer that nobody in particular owes")


def deadlock(why: str, under_way: Iterable[Fibre]) -> Deadlock:
    """Return the error for a world where all wait, with the names of those who do."""
    waiting = [each for each in under_way if each.is_waiting]
    lines = [f"{each.name} waits for {owner_of(each.waits_for)}" for each in waiting]
    return Deadlock(
        "; ".join(["nothing is ready and no timer is pending", why, *lines]),
        waiting=tuple(each.name for each in waiting),
    )


def livelock(trace: Trace, steps_max: int) -> Livelock:
    """Return the error for a world that goes on and on, with the names of those who run."""
    steps = (str(entry[1]) for entry in reversed(trace.entries) if entry[0] in STEPS)
    names = Counter(islice(steps, _LATEST_STEPS))
    busiest = ", ".join(f"{name} ({times})" for name, times in names.most_common(_NAMES_MAX))
    msg = f"{steps_max} steps and no end; in the last {_LATEST_STEPS}: {busiest}"
    return Livelock(msg, steps_max=steps_max)
