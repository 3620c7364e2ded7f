"""Green proves nothing unless a bug turns it red: known bugs, planted, and found."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from callboard.supervision import ActorSystem, Request, SupervisedActor, handles
from callboard.supervision.testing import Deadlock, Schedule, Simulation, Walk, simulate
from tests.simulation.cast import Add, Boom, Counter, Do
from tests.simulation.plants import PLANTS, SCHEDULES, ask_while_it_ends, failures_of, is_found

FALSE_ALARMS_IN = 100
"""Schedules of the right code that are to be green."""

ENTRIES_MAX = 20
"""What a schedule that fails is to shrink to."""


def found_in(
    schedule: Callable[[Simulation], None], explore: Walk, failure: type[Exception]
) -> int:
    """Return in how many of a thousand schedules the failure shows."""
    return len(list(failures_of(schedule, failure, explore)))


@pytest.mark.parametrize("name", PLANTS)
class TestEachOfSixBugs:
    def test_is_found_often_enough(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """As soon as five are found it is known that there are five in a thousand."""
        PLANTS[name].plant(monkeypatch)

        assert is_found(PLANTS[name])

    def test_is_not_there_in_the_right_code(self, name: str) -> None:
        for seed in range(FALSE_ALARMS_IN):
            with Simulation(seed) as sim:
                PLANTS[name].scenario(sim)

    def test_shrinks_to_a_few_decisions(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("CALLBOARD_SEED", raising=False)
        PLANTS[name].plant(monkeypatch)

        @simulate(schedules=SCHEDULES, replayed=0)
        def body(sim: Simulation) -> None:
            PLANTS[name].scenario(sim)

        with pytest.raises(PLANTS[name].failure) as failure:
            body()

        told = failure.value.__notes__[1]
        assert "shrunk from" in told
        assert "where a bound was met" not in told, "5 seconds were not enough"
        files = list(Path(".callboard").glob("*.json"))
        assert sum(len(Schedule.load(each)) for each in files) <= ENTRIES_MAX

    @pytest.mark.slow
    def test_leaves_nobody_parked(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        PLANTS[name].plant(monkeypatch)
        greenlet: Any = importlib.import_module("greenlet").greenlet

        def greenlets_after(failures: int) -> int:
            list(islice(failures_of(PLANTS[name].scenario, PLANTS[name].failure), failures))
            gc.collect()
            return sum(isinstance(each, greenlet) for each in gc.get_objects())

        before = greenlets_after(5)

        assert greenlets_after(10) <= before


@pytest.mark.slow
class TestAnAskLostAtClose:
    def test_is_not_found_without_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        PLANTS["ask lost at close"].plant(monkeypatch)

        assert found_in(ask_while_it_ends, Walk(points=0), Deadlock) == 0


@pytest.mark.slow
class TestAnUpdateLostAcrossAnAsk:
    """An actor that reads, asks, and writes what it read."""

    @staticmethod
    def schedule(sim: Simulation) -> None:
        class Read(Request[int], frozen=True):
            pass

        class Write(Request[None], frozen=True):
            value: int

        class Store(SupervisedActor):
            def __init__(self) -> None:
                self.value = 0

            @handles(Read)
            def read(self, _message: Read) -> int:
                return self.value

            @handles(Write)
            def write(self, message: Write) -> None:
                self.value = message.value

        with ActorSystem(runtime=sim.runtime) as system:
            store = system.spawn(Store)
            for n in range(2):
                sim.spawn(f"client-{n}", lambda: store.ask(Write(store.ask(Read()) + 1)))
            sim.run()
            assert store.ask(Read()) == 2

    def test_is_found(self) -> None:
        assert found_in(self.schedule, Walk(), AssertionError) >= 100


@pytest.mark.slow
class TestATimerThatOvertakesAnAnswer:
    """A wait of 30 ms that the author took for long enough."""

    @staticmethod
    def schedule(sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter, helper = system.spawn(Counter), system.spawn(Counter)

            def impatient(actor: Counter) -> None:
                actor.send_after(0.03, Add(1))
                helper.tell(Do(lambda _: counter.tell(Do(told))))

            def told(actor: Counter) -> None:
                assert actor.sum == 0, "it was late"

            failures: list[object] = []
            counter.when_dead("test", failures.append)
            counter.tell(Do(impatient))
            sim.run()
            if failures:
                raise Boom

    def test_is_found_by_early_timers_only(self) -> None:
        assert found_in(self.schedule, Walk(), Boom) >= 5
        assert found_in(self.schedule, Walk(early_timers=0), Boom) == 0
