"""Every simulation sees to it that actors live and end as the laws say: bugs, planted and found.

What is broken here is whole again soon: who looked at the end would find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from callboard.supervision import (
    ActorSystem,
    ChildSpec,
    ExitReason,
    Request,
    Shutdown,
    SupervisedActor,
    Supervisor,
    handles,
)
from callboard.supervision.model.stopping import after_stop
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.operations import Until
from callboard.supervision.testing import LawBroken, Simulation
from callboard.supervision.testing.lives import (
    CHILDREN_FIRST,
    ONE_AT_A_TIME,
    ONE_END,
    ONE_LIFE,
)
from callboard.supervision.tree.interpreter import Interpreter
from tests.simulation.cast import Add, Counter
from tests.simulation.plants import SCHEDULES, forget_that_a_wait_was_cancelled, restart_by_hand


class Doze(Request[None], frozen=True):
    """Take a second."""


class Sleeper(SupervisedActor):
    """Takes its time, to work and to leave.

    Args:
        sim: where it sleeps.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim

    @handles(Doze)
    def doze(self, _message: Doze) -> None:
        self.sim.sleep(1.0)

    def terminate(self, reason: ExitReason) -> None:
        del reason
        self.sim.sleep(1.0)


def ask_twice_at_once(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        sleeper = system.spawn(Sleeper, sim)
        for name in ("ada", "bob"):
            sim.spawn(name, lambda: sleeper.ask(Doze()))
        sim.run()


def let_two_at_once_into_an_actor(patch: pytest.MonkeyPatch) -> None:
    cell: Any = Cell
    make = cell.__init__

    def init(self: Cell[Any], *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.baton.append(None)

    def schedule(self: Cell[Any]) -> None:
        self.enqueue(self)

    patch.setattr(Cell, "__init__", init)
    patch.setattr(Cell, "schedule", schedule)


def end_one(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        counter = system.spawn(Counter)
        counter.ask(Add(1))
        sim.spawn("ender", counter.stop)
        sim.run()


def tell_every_end_twice(patch: pytest.MonkeyPatch) -> None:
    told: Any = ActorSystem.has_ended

    def has_ended(self: ActorSystem, cell: Any, reason: ExitReason) -> None:
        told(self, cell, reason)
        told(self, cell, reason)

    patch.setattr(ActorSystem, "has_ended", has_ended)


def stop_a_tree(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        spec = ChildSpec(id="sleeper", start=Sleeper, args=(sim,))
        tree = system.spawn(Supervisor, [spec]).wait_started()
        sim.spawn("ender", tree.stop)
        sim.run()


def wait_for_no_child(patch: pytest.MonkeyPatch) -> None:
    def stop(self: Any, key: Any) -> Iterator[Until]:
        child = self.children[key]
        child.ref.exit(Shutdown())
        yield from ()
        self._cut_short(key)
        self.carry_out(after_stop(self.state, child, Shutdown()))

    patch.setattr(Interpreter, "_stop", stop)


PLANTS = {
    ONE_AT_A_TIME: (let_two_at_once_into_an_actor, ask_twice_at_once),
    ONE_LIFE: (forget_that_a_wait_was_cancelled, restart_by_hand),
    ONE_END: (tell_every_end_twice, end_one),
    CHILDREN_FIRST: (wait_for_no_child, stop_a_tree),
}


def first_broken(scenario: Callable[[Simulation], None]) -> tuple[Simulation, LawBroken]:
    """Return the first schedule in which a law is broken, and what it says."""
    for seed in range(SCHEDULES):
        sim = Simulation(seed)
        try:
            with sim:
                scenario(sim)
        except LawBroken as error:
            return sim, error
    pytest.fail("it is not found")


@pytest.mark.parametrize("law", PLANTS)
class TestALaw:
    def test_that_is_broken_for_a_moment_fails_the_test_in_that_step(
        self, law: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plant, scenario = PLANTS[law]
        plant(monkeypatch)

        sim, error = first_broken(scenario)

        assert error.law == law
        assert sim.failed_at is not None
        assert error.__notes__ == [f"simulation: seed {sim.seed}, {sim.failed_at}"]

    def test_that_is_kept_is_silent(self, law: str) -> None:
        _, scenario = PLANTS[law]

        for seed in range(20):
            with Simulation(seed) as sim:
                scenario(sim)
