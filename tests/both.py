"""Fixtures that give a test an actor system on real threads and, once more each, in simulations.

Import what you use into the test module or its conftest:

    from tests.both import system, world

`system` is the system, `world` knows how to wait for it: `world.settle()` returns
when all is quiet, `world.advance(seconds)` lets time pass and settles.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import pytest

from callboard.supervision import ActorSystem, Future, Settings
from callboard.supervision.runtime.current import Runner
from callboard.supervision.runtime.loop import ThreadLoop
from callboard.supervision.runtime.pool import Pool
from callboard.supervision.runtime.ports import Ports
from callboard.supervision.testing import ManualClock, Simulation
from tests.schedules import everywhere, seed_of

WITHIN_S = 20.0
"""How long anything may take before it fails the test; a right test never waits so long."""


class World(Protocol):
    """A system, and how to wait for it."""

    system: ActorSystem

    def settle(self) -> None:
        """Return when nothing runs and nothing is ready; who waits may go on waiting."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass; timers go off in order, and all settles after each."""
        ...


class SimulatedWorld:
    """A system in a simulation."""

    def __init__(self, seed: int, settings: Settings | None) -> None:
        self.simulation = Simulation(seed)
        self.system = ActorSystem("under-test", runtime=self.simulation.runtime, settings=settings)

    def settle(self) -> None:
        self.simulation.settle()

    def advance(self, seconds: float) -> None:
        self.simulation.advance(seconds)

    def close(self) -> None:
        with self.simulation:
            self.system.stop()


class Hint:
    """A cell in line, counted until its turn is over."""

    def __init__(self, pool: WatchedPool, cell: Any) -> None:
        self._pool = pool
        self._cell = cell

    def activate(self, runner: Runner) -> None:
        try:
            self._cell.activate(runner)
        finally:
            self._pool.turn_is_over()


class NearLine(deque[Any]):
    """The line of system cells that stay with a worker; it counts what is put there."""

    def __init__(self, pool: WatchedPool) -> None:
        super().__init__()
        self._pool = pool

    def append(self, cell: Any, /) -> None:
        super().append(self._pool.turn_begins(cell))


class WatchedPool(Pool):
    """The real pool, with a count of the turns that are in line or under way."""

    def __init__(self, name: str, settings: Settings, emit: Callable[[object], None]) -> None:
        super().__init__(name, settings, emit)
        self.changed = threading.Condition()
        self._turns = 0
        self.turns_begun = 0
        self.near = NearLine(self)

    def enqueue_for(self, cell: Any) -> Callable[[Any], object]:
        return partial(self._enqueue, super().enqueue_for(cell))

    def _enqueue(self, enqueue: Callable[[Any], object], cell: Any) -> None:
        enqueue(self.turn_begins(cell))

    def turn_begins(self, cell: Any) -> Hint:
        with self.changed:
            self._turns += 1
            self.turns_begun += 1
        return Hint(self, cell)

    def turn_is_over(self) -> None:
        with self.changed:
            self._turns -= 1
            self.changed.notify_all()

    def add_worker(self) -> bool:
        is_added = super().add_worker()
        # A new thread may wait already before it counts as a worker.
        with self.changed:
            self.changed.notify_all()
        return is_added

    def make_room(self) -> None:
        super().make_room()
        with self.changed:
            self.changed.notify_all()

    def is_quiet(self) -> bool:
        """Whether every turn is one that waits for an answer that is not there."""
        pinned = [worker for worker, _ in list(self.pinned.values())]
        waiting = 0
        for worker in [*self.workers, *pinned]:
            future = None if worker.cell is None else worker.cell.waiting
            waiting += worker.is_waiting and isinstance(future, Future) and not future.is_done
        return self._turns == waiting


class ThreadedWorld:
    """A system on real threads, whose clock the test moves."""

    def __init__(self, settings: Settings | None) -> None:
        self.clock = ManualClock()
        self.pools: list[WatchedPool] = []
        self.system = ActorSystem("under-test", runtime=self, settings=settings)

    def ports(self, name: str, settings: Settings, emit: Callable[[object], None]) -> Ports:
        pool = WatchedPool(name, settings, emit)
        self.pools.append(pool)
        return self.clock.runtime.ports(name, settings, emit)._replace(dispatcher=pool)

    def settle(self) -> None:
        loop = self.system.loop
        assert isinstance(loop, ThreadLoop)
        self._wait_until_quiet()
        # What a coroutine does next on the loop is in no line of ours: three rounds see it out,
        # once more after every turn that it led to.
        (pool,) = self.pools
        turns = None if loop._loop is not None else pool.turns_begun
        while turns != pool.turns_begun:
            turns = pool.turns_begun
            for _ in range(3):
                round_trip: Future[bool] = Future()
                loop.call(partial(round_trip.offer, value=True))
                round_trip.get(timeout=WITHIN_S)
                self._wait_until_quiet()

    def _wait_until_quiet(self) -> None:
        (pool,) = self.pools
        with pool.changed:
            assert pool.changed.wait_for(pool.is_quiet, WITHIN_S), "it does not get quiet"

    def advance(self, seconds: float) -> None:
        until_s = self.clock.now_s() + seconds
        self.settle()
        while (due_s := self.clock.next_due_s) is not None and due_s <= until_s:
            self.clock.advance_to(due_s)
            self.settle()
        self.clock.advance_to(until_s)

    def close(self) -> None:
        self.system.stop()
        left = [each.name for each in threading.enumerate() if each.name.startswith("under-test")]
        assert left == []


@pytest.fixture
def settings() -> Settings | None:
    """Return the system's bounds; a test module may have its own fixture of this name."""
    return None


@pytest.fixture(params=everywhere())
def world(request: pytest.FixtureRequest, settings: Settings | None) -> Iterator[World]:
    """Return a system with what waits for it; it is stopped after the test."""
    seed = seed_of(request.param)
    world = ThreadedWorld(settings) if seed is None else SimulatedWorld(seed, settings)
    yield world
    world.close()


@pytest.fixture
def system(world: World) -> ActorSystem:
    """Return the system of `world`."""
    return world.system


@pytest.fixture
def settle(world: World) -> Callable[[], None]:
    """Return what waits until all is quiet."""
    return world.settle
