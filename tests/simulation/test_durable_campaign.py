"""Every law holds of sessions that a store keeps, whatever strikes; planted bugs are found."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from callboard.supervision.testing import Simulation, simulate
from tests.simulation.durable import DURABLE_PLAN, DURABLE_TAKING_OVER, durable
from tests.simulation.store_plants import PLANTS, failures_of

SCHEDULES = 60
"""Always made."""

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"

MANY_SCHEDULES = 250 if IS_SHORT else 3_000
"""Made when they are asked for."""

FOUND_IN = 1_000
"""Schedules in which each planted bug is to be found `AT_LEAST` so often."""

AT_LEAST = 5


@simulate(schedules=SCHEDULES, faults=DURABLE_PLAN)
def test_every_law_holds_whatever_strikes(sim: Simulation) -> None:
    durable(sim)


@simulate(schedules=SCHEDULES // 2, faults=DURABLE_TAKING_OVER)
def test_managers_take_over_what_was_begun_whatever_strikes(sim: Simulation) -> None:
    durable(sim)


@pytest.mark.stress
@pytest.mark.timeout(1_200)
@simulate(schedules=MANY_SCHEDULES, first_seed=SCHEDULES, faults=DURABLE_PLAN)
def test_every_law_holds_for_long(sim: Simulation) -> None:
    durable(sim)


@pytest.mark.stress
@pytest.mark.timeout(1_200)
@simulate(schedules=MANY_SCHEDULES, first_seed=SCHEDULES, faults=DURABLE_TAKING_OVER)
def test_managers_take_over_for_long(sim: Simulation) -> None:
    durable(sim)


@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_of_durable_sessions_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as five are found it is known that there are five in a thousand."""
    PLANTS[name].plant(monkeypatch)

    assert len(list(islice(failures_of(name, range(FOUND_IN)), AT_LEAST))) == AT_LEAST
