"""Ids that are used again and again: no session is taken for the one before, nor for the next."""

from __future__ import annotations

import pytest

from callboard.actors.testing import Callboard, simulate
from callboard.supervision.testing import FaultPlan, faults
from tests.simulation.reusing import reuse

SCHEDULES = 15
MANY_SCHEDULES = 600

PLAN = FaultPlan(
    (
        faults.Kill(of="manager", rate=(0.0, 0.1), most=2),
        faults.Kill(of="sessions/*", rate=(0.0, 0.1), most=1),
        faults.Kill(of="Guest", rate=(0.0, 0.2)),
        faults.Kill(of="Guest", is_late=True, rate=(0.0, 0.2)),
        faults.Crash(of="Guest", on="on_start", rate=(0.0, 0.4)),
        faults.LateTimer(of="manager", rate=(0.0, 0.3)),
        faults.DoubledTimer(of="manager", rate=(0.0, 0.3)),
    )
)
"""What makes the parts tell each other much, and late."""


@simulate(schedules=SCHEDULES)
def test_no_session_is_taken_for_another(callboard: Callboard) -> None:
    assert reuse(callboard) == []


@pytest.mark.slow
@simulate(schedules=MANY_SCHEDULES, first_seed=SCHEDULES)
def test_no_session_is_taken_for_another_in_many_schedules(callboard: Callboard) -> None:
    assert reuse(callboard) == []


@pytest.mark.slow
@simulate(schedules=MANY_SCHEDULES, faults=PLAN)
def test_no_session_is_taken_for_another_whoever_dies(callboard: Callboard) -> None:
    # Crashes of which a manager was to hear that was killed just then are not counted.
    assert reuse(callboard, crashes_min=1) == []
