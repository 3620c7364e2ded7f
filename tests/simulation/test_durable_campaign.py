"""Every law holds of sessions that a store keeps, whatever strikes; planted bugs are found."""

from __future__ import annotations

from itertools import islice

import pytest

from callboard.supervision.testing import FaultPlan, Simulation, simulate
from callboard.supervision.testing.portfolio import Portfolio
from tests.simulation.durable import DURABLE_PLAN, DURABLE_TAKING_OVER, durable
from tests.simulation.store_plants import PLANTS, failures_of

SCHEDULES = 60
"""Made with `-m slow`."""

FOUND_IN = 1_000
"""Schedules in which each planted bug is to be found `AT_LEAST` so often."""

AT_LEAST = 5


@pytest.mark.slow
@simulate(schedules=SCHEDULES, faults=DURABLE_PLAN)
def test_every_law_holds_whatever_strikes(sim: Simulation) -> None:
    durable(sim)


@pytest.mark.slow
@simulate(schedules=SCHEDULES // 2, faults=DURABLE_TAKING_OVER)
def test_managers_take_over_what_was_begun_whatever_strikes(sim: Simulation) -> None:
    durable(sim)


@pytest.mark.parametrize(
    ("seed", "plan"),
    [
        (2239, DURABLE_TAKING_OVER),
        (3584, DURABLE_TAKING_OVER),
        (3165, DURABLE_PLAN),
        (40_551, DURABLE_PLAN),
        (41_046, DURABLE_PLAN),
    ],
)
def test_a_schedule_of_a_campaign_that_once_broke_a_law_keeps_it(
    seed: int, plan: FaultPlan
) -> None:
    """Of ends: a refused one, one that nobody had heard of, and one whose partition ended, too.

    And of starts: one whose messages were read twice, one that was answered before it was kept.
    """
    with Simulation(seed, explore=Portfolio().of(seed), faults=plan) as sim:
        durable(sim)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTS)
def test_a_bug_of_durable_sessions_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as five are found it is known that there are five in a thousand."""
    PLANTS[name].plant(monkeypatch)

    assert len(list(islice(failures_of(name, range(FOUND_IN)), AT_LEAST))) == AT_LEAST
