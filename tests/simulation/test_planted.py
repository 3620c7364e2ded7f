"""Green proves nothing unless a bug turns it red: known bugs, planted, and found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision import ActorDeadError, ActorSystem, Request, SupervisedActor, handles
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.testing import Deadlock, Simulation, Walk
from tests.simulation.cast import Add, Boom, Counter, Do

SCHEDULES = 1000


def found_in(
    schedule: Callable[[Simulation], None], explore: Walk, failure: type[Exception]
) -> int:
    """Return in how many of a thousand schedules the failure shows."""
    found = 0
    for seed in range(SCHEDULES):
        try:
            with Simulation(seed, explore=explore) as sim:
                schedule(sim)
        except failure:
            found += 1
    return found


def put_without_looking_again(self: Cell[Any], q: Any, item: Any) -> None:
    """`Cell._put` as a first draft would have it: what came too late is not taken back."""
    if self.system.point is not None:
        self.system.point("put", self, item[0])
    q.put(item)
    if not self.is_scheduled:
        self.schedule()


def ask_while_it_ends(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        counter = system.spawn(Counter)

        def ask() -> None:
            try:
                for _ in range(3):
                    counter.ask(Add(1), timeout=math.inf)
            except ActorDeadError:
                return

        for n in range(3):
            sim.spawn(f"client-{n}", ask)
        sim.spawn("ender", counter.exit)
        sim.run()


class TestAnAskLostAtClose:
    def test_is_found_with_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Cell, "_put", put_without_looking_again)

        assert found_in(ask_while_it_ends, Walk(), Deadlock) >= 5

    def test_is_not_found_without_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Cell, "_put", put_without_looking_again)

        assert found_in(ask_while_it_ends, Walk(points=0), Deadlock) == 0

    def test_is_not_there_in_the_right_code(self) -> None:
        assert found_in(ask_while_it_ends, Walk(points=0.3), Deadlock) == 0


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
