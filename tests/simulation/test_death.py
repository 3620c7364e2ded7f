"""A process dies in a simulation: nothing of it goes on, and the next one finds what is left."""

from __future__ import annotations

import gc
import importlib
import math
from random import Random
from typing import Any

import pytest

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem
from callboard.actors.testing import Callboard, Loss, MemoryDisk
from callboard.supervision import ActorSystem
from callboard.supervision.testing import (
    FaultPlan,
    ProcessDied,
    Simulation,
    SimulationError,
    faults,
)
from tests.simulation.cast import Add, Counter


class Sealed:
    """What dies with a process."""

    def __init__(self) -> None:
        self.is_sealed = False

    def seal(self) -> None:
        self.is_sealed = True


class TestADeath:
    def test_ends_what_is_suspended_after_all_else_is_sealed(self) -> None:
        with Simulation() as sim:
            disk = Sealed()
            sim.dies_with(disk)
            seen: list[bool] = []

            def wait() -> None:
                try:
                    sim.sleep(math.inf)
                finally:
                    seen.append(disk.is_sealed)

            sim.spawn("ada", wait)
            sim.settle()

            sim.die()

            assert seen == [True]

    def test_leaves_no_trace_of_what_the_dead_still_did(self) -> None:
        with Simulation() as sim:

            def wait() -> None:
                try:
                    sim.sleep(math.inf)
                finally:
                    sim.note("too late")

            sim.spawn("ada", wait)
            sim.settle()

            sim.die()

            assert not sim.seen("too late")
            assert sim.seen("death") == 1

    def test_lets_nobody_run_any_more(self) -> None:
        with Simulation() as sim:
            before = ActorSystem(runtime=sim.runtime)
            counter = before.spawn(Counter).wait_started()
            timers: list[str] = []
            before.timers.call_at(1.0, timers.append, "it went off")

            sim.die()
            counter.tell(Add(1))
            sim.advance(2.0)

            assert timers == []
            assert counter.actor.sum == 0

    def test_lets_time_go_on_and_another_system_run(self) -> None:
        with Simulation() as sim:
            before = ActorSystem(runtime=sim.runtime)
            sim.advance(3.0)
            first = before.ids.new_id()

            sim.die()

            with ActorSystem(runtime=sim.runtime) as after:
                assert sim.now_s == 3.0
                assert after.ids.new_id() != first
                assert after.spawn(Counter).ask(Add(2)) == 2

    def test_is_none_of_those_who_die(self) -> None:
        with Simulation() as sim:
            sim.spawn("ada", sim.die)

            with pytest.raises(SimulationError, match="cannot let it die"):
                sim.run()

    def test_leaves_nobody_parked(self) -> None:
        greenlet: Any = importlib.import_module("greenlet").greenlet

        def greenlets_after(deaths: int) -> int:
            with Simulation() as sim:
                for _ in range(deaths):
                    sim.spawn("ada", lambda: sim.sleep(math.inf))
                    sim.settle()
                    sim.die()
            gc.collect()
            return sum(isinstance(each, greenlet) for each in gc.get_objects())

        before = greenlets_after(5)

        assert greenlets_after(10) <= before


class TestADeathByChance:
    PLAN = FaultPlan((faults.ProcessDies(rate=0.05, most=1),))

    def died_at(self, seed: int) -> int:
        with Simulation(seed, faults=self.PLAN) as sim:
            system = ActorSystem(runtime=sim.runtime)
            counter = system.spawn(Counter)

            def work() -> None:
                for _ in range(1_000):
                    counter.ask(Add(1))

            with pytest.raises(ProcessDied):
                work()
            assert sim.seen("process death") == 1
            return sim.steps

    def test_is_told_to_whoever_drives_and_is_the_same_for_a_seed(self) -> None:
        steps = [self.died_at(seed) for seed in range(5)]

        assert steps == [self.died_at(seed) for seed in range(5)]
        assert len(set(steps)) > 1

    def test_may_be_after_a_step_that_is_named(self) -> None:
        plan = FaultPlan((faults.ProcessDies(nth=7),))
        with Simulation(faults=plan) as sim:

            def wait() -> None:
                for _ in range(100):
                    sim.sleep(1.0)

            sim.spawn("ada", wait)

            with pytest.raises(ProcessDied):
                sim.run()

            assert sim.steps == 7


class TestADiskOfASimulation:
    """One that dies takes the process along, and the other way round."""

    @staticmethod
    def started(callboard: Callboard, disk: MemoryDisk) -> SessionSystem:
        return callboard.start(store=disk.store())

    def test_dies_with_the_process_and_has_all_that_was_acknowledged(self) -> None:
        with Callboard() as callboard:
            disk = MemoryDisk(callboard)
            sessions = self.started(callboard, disk)
            ada = sessions.ask(CreateSession(user_id="ada")).id
            assert sessions.ask(AppendMessage(ada, Role.USER, "hello")) == 1

            callboard.die()
            assert disk.is_sealed
            sessions = self.started(callboard, disk.power_cut(Random(7), Loss.WHOLE))

            assert [each.content for each in sessions.messages(ada)] == ["hello"]
            assert sessions.ask(AppendMessage(ada, Role.USER, "again")) == 2

    def test_takes_the_process_along(self) -> None:
        with Callboard() as callboard:
            disk = MemoryDisk(callboard)
            sessions = self.started(callboard, disk)
            disk.dies_at(disk.steps + 3)

            with pytest.raises(ProcessDied):
                sessions.ask(CreateSession(user_id="ada"))

            after = self.started(callboard, disk.process_death())
            assert after.ask(CreateSession(user_id="bob")).user_id == "bob"
