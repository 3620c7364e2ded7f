"""The same seed is the same run, in every process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from callboard.supervision import ActorSystem, DeliveryError, InvalidSpec
from callboard.supervision.testing import NotReplayable, Probe, Simulation, simulate
from tests.simulation.cast import Add, AsyncCounter, Counter, Crash, Do, Pass, QuickCounter

SEEDS = range(50)


def busy(sim: Simulation) -> None:
    """Let a bit of everything happen."""
    with ActorSystem(runtime=sim.runtime) as system:
        probe = Probe(system)
        names = {"quick", "slow", "async"}  # a set on purpose: its order differs per process
        kinds = {"quick": QuickCounter, "slow": Counter, "async": AsyncCounter}
        actors = {name: system.spawn(kinds[name]) for name in sorted(names)}
        for actor in actors.values():
            probe.monitor(actor)
            actor.tell(Do(lambda actor: actor.send_after(0.5, Add(10)) and None))

        def ask(number: int) -> None:
            for actor in actors.values():
                try:
                    sim.note("answer", actor.ask(Pass(actors["quick"], number), timeout=1))
                except DeliveryError as error:
                    sim.note(error.code)

        for number in range(3):
            sim.spawn(f"client-{number}", partial(ask, number))

        def crash() -> None:
            with contextlib.suppress(DeliveryError):
                actors["quick"].tell(Crash())

        sim.spawn("crasher", crash)
        sim.spawn("killer", actors["slow"].kill)
        sim.run()
        sim.note(system.ids.new_id(), system.random("mine").random(), actors["quick"].actor_urn)


def busy_run(seed: int) -> str:
    """Return the digest of a run in which a bit of everything happens."""
    with Simulation(seed) as sim:
        busy(sim)
    return sim.trace.digest


def test_the_same_seed_gives_the_same_run() -> None:
    assert [busy_run(seed) for seed in SEEDS] == [busy_run(seed) for seed in SEEDS]


def test_other_seeds_give_other_runs() -> None:
    assert len({busy_run(seed) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "12345"])
def test_another_process_with_other_hashes_gives_the_same_run(hash_seed: str) -> None:
    here = [busy_run(seed) for seed in SEEDS]
    root = Path(__file__).resolve().parents[2]
    script = (
        "from tests.simulation.test_replay import SEEDS, busy_run;"
        "print(*(busy_run(seed) for seed in SEEDS))"
    )

    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert said.split() == here


class TestSimulate:
    def test_it_runs_every_seed_and_the_first_ones_twice(self) -> None:
        seeds: list[int] = []

        @simulate(schedules=5, first_seed=10, replayed=2)
        def body(sim: Simulation) -> None:
            seeds.append(sim.seed)

        body()

        assert seeds == [10, 10, 11, 11, 12, 13, 14]

    def test_a_failure_tells_the_seed_and_the_command_that_replays_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_it.py::test_it[a b] (call)")

        @simulate(schedules=5)
        def body(sim: Simulation) -> None:
            assert sim.seed != 3, "the third"

        with pytest.raises(AssertionError, match="the third") as failure:
            body()

        command = "CALLBOARD_SEED=3 python -m pytest 'tests/test_it.py::test_it[a b]'"
        assert f"replay: {command}" in failure.value.__notes__

    def test_a_seed_from_the_environment_is_the_only_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALLBOARD_SEED", "42")
        seeds: list[int] = []

        @simulate(schedules=5, replayed=0)
        def body(sim: Simulation) -> None:
            seeds.append(sim.seed)

        body()

        assert seeds == [42]

    def test_a_test_that_cannot_be_replayed_is_told_so(self) -> None:
        runs: list[int] = []

        @simulate(schedules=5)
        def body(sim: Simulation) -> None:
            runs.append(sim.seed)
            sim.note(len(runs))

        with pytest.raises(NotReplayable, match="seed 0"):
            body()

    @simulate(schedules=1, replayed=0)
    def test_fixtures_are_passed_on(self, sim: Simulation, tmp_path: Path) -> None:
        assert sim.seed == 0
        assert tmp_path.exists()


def test_an_async_body_is_refused_before_it_could_pass_unrun() -> None:
    async def body(sim: Simulation) -> None:
        raise AssertionError(sim)

    with pytest.raises(InvalidSpec, match="body='body'"):
        simulate()(body)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the slip
