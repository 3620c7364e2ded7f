"""What was acknowledged is there after every death of a process, on every disk."""

from __future__ import annotations

import os

import pytest

from callboard.actors.storage.sqlite import JournalMode
from callboard.supervision.testing import FaultPlan, Simulation, simulate
from tests.simulation.dying import DYING, FAILING, dying

SCHEDULES = 16
"""Always made, of each kind of journal; three processes die in most of them."""

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"

MANY_DEATHS = 150 if IS_SHORT else 1_000
"""Of each kind of journal, when they are asked for; half of them on disks that fail."""

WAYS = (
    "a process died",
    "process death",
    "death in a change",
    "power cut",
    "end in order",
    "steps of a spawn",
    "a session was quarantined",
)
"""How processes end, and what they leave behind."""

JOURNALS: tuple[JournalMode, ...] = ("wal", "delete")


@pytest.mark.slow
@pytest.mark.parametrize("journal_mode", JOURNALS)
@simulate(schedules=SCHEDULES, faults=DYING, must_see=WAYS)
def test_what_was_acknowledged_is_there_after_every_death(
    sim: Simulation, journal_mode: JournalMode
) -> None:
    dying(sim, journal_mode)


@pytest.mark.stress
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("plan", [DYING, FAILING], ids=["disks", "disks that fail"])
@pytest.mark.parametrize("journal_mode", JOURNALS)
def test_what_was_acknowledged_is_there_after_many_deaths(
    journal_mode: JournalMode, plan: FaultPlan
) -> None:
    deaths, seed = 0, SCHEDULES
    while deaths < MANY_DEATHS // 2:
        seed += 1
        with Simulation(seed, faults=plan) as sim:
            deaths += dying(sim, journal_mode).deaths

    print(f"\n{journal_mode}: {deaths} deaths in {seed - SCHEDULES} schedules")  # noqa: T201 -- a figure


@pytest.mark.parametrize(
    ("journal_mode", "seed"), [("wal", 14), ("delete", 1924), ("wal", 1254), ("delete", 3108)]
)
def test_a_schedule_that_once_broke_a_law_keeps_it(journal_mode: JournalMode, seed: int) -> None:
    """What began upon a commit that was refused went on; an end in quarantine was forgotten."""
    with Simulation(seed, faults=FAILING) as sim:
        dying(sim, journal_mode)
