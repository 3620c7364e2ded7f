"""Every law holds in thousands of schedules, of sessions in memory and in a store.

`scripts/stress` makes some, `scripts/campaign` as many as it is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from time import process_time
from typing import NamedTuple

import pytest
from msgspec import to_builtins

from callboard.supervision.testing import FaultPlan, NeverSeen, Simulation, simulate
from tests.simulation.counting import PROPERTY, Counts
from tests.simulation.durable import DURABLE_PLAN, DURABLE_TAKING_OVER, durable
from tests.simulation.mixed import LAWS, PATHS, PLAN, TAKING_OVER, mixed


class World(NamedTuple):
    """What is played in a schedule, what may strike there, and what some schedule has to show."""

    play: Callable[[Simulation], None]
    faults: FaultPlan
    must_see: tuple[str, ...] = ()


WORLDS = {
    "in peace": World(mixed, FaultPlan(())),
    "under faults": World(mixed, PLAN, (*PATHS, *LAWS)),
    "taking over": World(mixed, TAKING_OVER),
    "durable, under faults": World(durable, DURABLE_PLAN),
    "durable, taking over": World(durable, DURABLE_TAKING_OVER),
}

FIRST = int(os.environ.get("CALLBOARD_FIRST_SEED", "200"))
"""The first seed in each world; the slow campaigns have those before 200."""

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"

SCHEDULES = int(os.environ.get("CALLBOARD_SCHEDULES", "1250" if IS_SHORT else "15000"))
"""How many there are in all worlds together."""

PART_MAX = 1_000
"""Schedules of one test: several processes share the work, and a failure costs one part alone."""


def parts() -> Iterator[object]:
    """Yield a world and seeds, the worlds by turns."""
    each = -(-SCHEDULES // len(WORLDS))
    size = -(-each // -(-each // PART_MAX))
    for first in range(FIRST, FIRST + each, size):
        last = min(first + size, FIRST + each) - 1
        for name in WORLDS:
            yield pytest.param(name, range(first, last + 1), id=f"{name}: {first} to {last}")


@pytest.mark.stress
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("name", "seeds"), list(parts()))
def test_every_law_holds(
    name: str, seeds: range, record_property: Callable[[str, object], None]
) -> None:
    world, counts = WORLDS[name], Counts(world=name)
    played: set[int] = set()  # some are played twice, and one that fails again and again

    @simulate(
        schedules=len(seeds),
        first_seed=seeds.start,
        faults=world.faults,
        must_see=world.must_see,
    )
    def is_played(sim: Simulation) -> None:
        try:
            world.play(sim)
        finally:
            if sim.seed not in played:
                played.add(sim.seed)
                counts.note(sim, world.must_see)

    began_s = process_time()
    try:
        is_played()
    except NeverSeen:  # of all of them together: no law was broken
        raise
    except BaseException:
        counts.violations += 1
        raise
    finally:
        counts.processor_s = process_time() - began_s
        record_property(PROPERTY, to_builtins(counts))
