"""Every fault, every way back and every law is seen; bugs that only faults show are found."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from callboard.supervision.testing import FaultPlan, Simulation, simulate
from callboard.supervision.testing.portfolio import Portfolio
from tests.simulation.fault_plants import PLANTS, failures_of
from tests.simulation.mixed import LAWS, PATHS, PLAN, TAKING_OVER, mixed

SCHEDULES = 150
"""Made with `-m slow`: enough to see everything."""

FOUND_IN = 1_000
"""Schedules in which each planted bug is to be found `AT_LEAST` so often."""

AT_LEAST = 5


@pytest.mark.slow
@simulate(schedules=SCHEDULES, faults=PLAN, must_see=(*PATHS, *LAWS))
def test_every_law_holds_whatever_strikes(sim: Simulation) -> None:
    mixed(sim)


@pytest.mark.slow
@simulate(schedules=SCHEDULES, faults=TAKING_OVER)
def test_managers_take_over_what_was_begun_whatever_strikes(sim: Simulation) -> None:
    """Starts that fail, hang and are refused, under managers that are killed: all is settled."""
    mixed(sim)


@pytest.mark.parametrize("seed", [456, 663, 804, 1720, 2878])
def test_a_schedule_that_once_broke_a_law_keeps_it(seed: int) -> None:
    """All of managers that take over: of sessions that nobody started, or whose end was lost."""
    with Simulation(seed, faults=TAKING_OVER) as sim:
        mixed(sim)


@pytest.mark.parametrize(("seed", "plan"), [(3505, TAKING_OVER), (9359, PLAN), (18_830, PLAN)])
def test_a_schedule_of_a_campaign_that_once_broke_a_law_keeps_it(
    seed: int, plan: FaultPlan
) -> None:
    """Of an end that a killed manager went on with, and of two that nobody went on from."""
    with Simulation(seed, explore=Portfolio().of(seed), faults=plan) as sim:
        mixed(sim)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_that_only_faults_show_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as five are found it is known that there are five in a thousand."""
    plant: Callable[[pytest.MonkeyPatch], None] = PLANTS[name]
    plant(monkeypatch)

    assert len(list(islice(failures_of(range(FOUND_IN)), AT_LEAST))) == AT_LEAST
