"""What is said of a world in which nothing, or for ever the same, happens?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from callboard.supervision.testing.errors import Deadlock, Livelock
from callboard.supervision.testing.trace import STEPS, Trace
from callboard.supervision.testing.waits import Waits

if TYPE_CHECKING:
    from callboard.supervision.testing.fibres import Fibre

_LATEST_STEPS = 100
"""Steps of which a report of a livelock names the actors."""

_NAMES_MAX = 10
"""Names in a report of a livelock, the busiest first."""


def deadlock(why: str, under_way: Iterable[Fibre]) -> Deadlock:
    """Return the error for a world where all wait, with the names of those who do."""
    waiting = [each for each in under_way if each.is_waiting]
    waits = Waits(waiting)
    cycle = waits.cycle()
    said = [f"each waits for the next: {' -> '.join(cycle)}"] if cycle else []
    return Deadlock(
        "; ".join(["nothing is ready and no timer is pending", why, *waits.lines(), *said]),
        waiting=tuple(each.name for each in waiting),
        cycle=cycle,
    )


def livelock(trace: Trace, steps_max: int) -> Livelock:
    """Return the error for a world that goes on and on, with the names of those who run."""
    steps = (str(entry[1]) for entry in reversed(trace.entries) if entry[0] in STEPS)
    names = Counter(islice(steps, _LATEST_STEPS))
    busiest = ", ".join(f"{name} ({times})" for name, times in names.most_common(_NAMES_MAX))
    msg = f"{steps_max} steps and no end; in the last {_LATEST_STEPS}: {busiest}"
    return Livelock(msg, steps_max=steps_max)
