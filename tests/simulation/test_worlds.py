"""The same seed is the same run: in another process, and on every Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from callboard.actors import CreateSession, Keeping, SessionSystem
from callboard.actors.testing import FakeMetrics
from callboard.supervision.testing import Simulation, simulate
from tests.simulation import worlds
from tests.simulation.worlds import WORLDS, digests

KEPT = Path(__file__).with_name("digests.toml")

REMEDY = (
    "the runs of these seeds are not what they were. If you changed what actors do, that is right:"
    " python -m tests.simulation.worlds > tests/simulation/digests.toml. If not, or if this is"
    " another Python than yours, something does not come from the system's ports."
)


def test_every_run_is_the_one_that_is_kept_whatever_the_python() -> None:
    kept = tomllib.loads(KEPT.read_text())

    assert digests() == kept, REMEDY


@pytest.mark.slow
def test_another_process_with_other_hashes_gives_the_same_runs() -> None:
    said = subprocess.run(
        [sys.executable, "-m", worlds.__name__],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert said == KEPT.read_text(), REMEDY


def test_the_faults_of_a_world_and_what_follows_from_them_are_seen() -> None:
    """Every kind of event, fault and interleaving that the campaign is about has happened."""

    @simulate(
        schedules=60,
        faults=WORLDS["tree"].faults,
        must_see=(
            "ActorCrashed",
            "ChildCrashed",
            "ChildWasStarted",
            "ChildWasStopped",
            "SupervisorGaveUp",
            "dead",
            "hand-off",
            "point",
            "timer",
            "wait",
        ),
    )
    def campaign(sim: Simulation) -> None:
        worlds.tree(sim)

    campaign()


class Listener:
    """A watchdog that wants to hear something every second."""

    interval_s = 1.0

    def beat(self) -> None:
        return


def test_sessions_that_nobody_uses_are_quiet_whatever_is_done_again_and_again() -> None:
    keeping = Keeping(passivate_after_s=60.0)
    with (
        Simulation() as sim,
        SessionSystem(
            runtime=sim.runtime, keeping=keeping, metrics=FakeMetrics(), watchdog=Listener()
        ) as sessions,
    ):
        sessions.ask(CreateSession(user_id="ada"))

        sim.run()

        assert sim.now_s < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("world", ["busy", "storm", "tree", "sessions"])
def test_a_world_runs_under_many_seeds_without_a_violation(world: str) -> None:
    @simulate(schedules=80, first_seed=1_000, faults=WORLDS[world].faults)
    def campaign(sim: Simulation) -> None:
        WORLDS[world].play(sim)

    campaign()
