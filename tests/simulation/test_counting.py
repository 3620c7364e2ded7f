"""A campaign tells what it has played: what there was of each world, from all who played it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from callboard.supervision import ActorSystem
from callboard.supervision.testing import FaultPlan, Simulation, faults
from tests.house import ROOT
from tests.simulation import test_campaign
from tests.simulation.cast import Add, Counter
from tests.simulation.counting import PROPERTY, Counts
from tests.simulation.test_campaign import World

STRUCK = FaultPlan((faults.Crash(of="Counter", nth=1),))


def strike(sim: Simulation) -> None:
    """Let an actor crash in the first message, and one end in order."""
    with ActorSystem(runtime=sim.runtime) as system:
        unlucky, lucky = system.spawn(Counter), system.spawn(Counter)
        with pytest.raises(faults.Struck):
            unlucky.ask(Add(1))
        lucky.stop()
    sim.note("a sum")


def break_it(sim: Simulation) -> None:
    """Break a law in every schedule but the first."""
    strike(sim)
    assert sim.seed == 0


def played(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a test of the campaign hands on of two schedules of a world."""
    told: dict[str, Any] = {}
    monkeypatch.setitem(test_campaign.WORLDS, "ours", world)
    try:
        test_campaign.test_every_law_holds("ours", range(2), told.__setitem__)
    except AssertionError:
        told["failed"] = True
    return told


class TestATestOfTheCampaign:
    def test_counts_each_schedule_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = played(World(strike, STRUCK, ("a sum", "crash")), monkeypatch)

        counts = told[PROPERTY]
        assert (counts["world"], counts["schedules"], counts["violations"]) == ("ours", 2, 0)
        assert (counts["deaths"], counts["faults"]) == (2, {"crash": 2})
        assert counts["seen"] == {"a sum": 2, "crash": 2}
        assert counts["steps"] > 2
        assert counts["processor_s"] > 0
        assert "failed" not in told

    def test_counts_a_schedule_that_breaks_a_law_and_fails_with_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = played(World(break_it, STRUCK), monkeypatch)

        assert told["failed"]
        assert (told[PROPERTY]["schedules"], told[PROPERTY]["violations"]) == (2, 1)


def test_what_several_processes_have_played_is_one_line_and_what_struck_another() -> None:
    counts = Counts(world="ours", schedules=1_000, steps=20_000, deaths=7, processor_s=1.5)
    counts.faults["crash"] = 3

    counts.add(
        Counts(world="ours", schedules=1, violations=1, processor_s=0.5, faults={"crash": 1})
    )

    whole = "ours: schedules 1,001, steps 20,000, deaths 7, violations 1"
    rate = "schedules of 100 steps per second of processor time: 100"
    assert list(counts.lines()) == [f"{whole}; {rate}", "    faults: crash 4"]


@pytest.mark.slow
def test_the_script_prints_what_it_has_played() -> None:
    command = [str(ROOT / "scripts/campaign"), "--schedules", "10", "-k", "peace or durable"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    lines = [each for each in done.stdout.splitlines() if "schedules of 100 steps" in each]
    assert lines[-2].startswith("in peace: schedules 2, "), done.stdout
    assert lines[-1].startswith("all worlds: schedules 6, ")
