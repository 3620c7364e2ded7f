"""Where a chaos run takes place: on real threads by the clock, or in a simulation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from callboard.actors import SessionSystem
from callboard.supervision.runtime.timers import ThreadTimers
from callboard.supervision.testing import Simulation
from callboard.supervision.testing.loop import SimulatedLoopPort

LOOK_S = 0.02
"""How often a run on threads looks whether it has come to rest."""

LEAP_S = 0.5
"""How far time goes in a simulation before it looks again."""


class Task(Protocol):
    """Something that goes on beside the others."""

    name: str

    @property
    def is_done(self) -> bool:
        """Whether it is over."""
        ...


class World(Protocol):
    """What a run needs of the place where it takes place."""

    runtime: Any
    """For `SessionSystem(runtime=...)`."""
    remembered: int
    """How many actors that have ended it may still know."""

    def now_s(self) -> float:
        """Return the time, in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass for whoever calls it."""
        ...

    def stall(self, seconds: float) -> None:
        """Let time pass for a handler which nothing wakes meanwhile, as in a system call."""
        ...

    def spawn(self, name: str, act: Callable[[], object]) -> Task:
        """Have something go on beside the others."""
        ...

    def wait(self, tasks: Iterable[Task], within_s: float) -> list[str]:
        """Wait until they are over; return the names of those that are not in time.

        Raises:
            Exception: what one of them raised.
        """
        ...

    def rest(self, is_over: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until it is over, or for so long; say whether it is."""
        ...

    def pending_timers(self, sessions: SessionSystem) -> int:
        """Return how many timers are to go off some time."""
        ...


class SimulatedWorld:
    """One thread, a seed, and time that passes by itself."""

    remembered = 0

    def __init__(self, seed: int) -> None:
        self.simulation = Simulation(seed, steps_max=1_000_000)
        self.runtime = self.simulation.runtime
        self.sleep = self.simulation.sleep
        self.stall = self.simulation.stall

    def spawn(self, name: str, act: Callable[[], object]) -> Task:
        return self.simulation.spawn(name, act)

    def now_s(self) -> float:
        return self.simulation.now_s

    def wait(self, tasks: Iterable[Task], within_s: float) -> list[str]:
        waited, until_s = list(tasks), self.now_s() + within_s
        self.simulation.run(
            until=lambda: all(each.is_done for each in waited) or self.now_s() > until_s
        )
        return [each.name for each in waited if not each.is_done]

    def rest(self, is_over: Callable[[], bool], within_s: float) -> bool:
        until_s = self.now_s() + within_s
        while self.now_s() < until_s:
            self.simulation.advance(LEAP_S)
            if is_over():
                return True
        return False

    def pending_timers(self, sessions: SessionSystem) -> int:
        port = sessions.system.loop
        assert isinstance(port, SimulatedLoopPort)
        if port._loop is not None:  # it remembers some tasks that have ended
            port._loop._made = port._loop.tasks()
        return self.simulation._hub.timeline.pending()


class _Thread(threading.Thread):
    """A task on a thread of its own."""

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        super().__init__(name=f"chaos-client {name}", daemon=True)
        self._act = act
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 -- whoever waits for the task raises it
            self.error = error

    @property
    def is_done(self) -> bool:
        return not self.is_alive()


class ThreadedWorld:
    """Real threads, and the real clock."""

    runtime = None
    remembered = 16
    now_s = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._never = threading.Event()

    def sleep(self, seconds: float) -> None:
        self._never.wait(seconds)

    stall = sleep

    def spawn(self, name: str, act: Callable[[], object]) -> Task:
        thread = _Thread(name, act)
        thread.start()
        return thread

    def wait(self, tasks: Iterable[Task], within_s: float) -> list[str]:
        until_s, late = self.now_s() + within_s, list[str]()
        for each in tasks:
            assert isinstance(each, _Thread)
            each.join(max(0.0, until_s - self.now_s()))
            if each.error is not None:
                raise each.error
            if not each.is_done:
                late.append(each.name)
        return late

    def rest(self, is_over: Callable[[], bool], within_s: float) -> bool:
        until_s = self.now_s() + within_s
        while self.now_s() < until_s:
            if is_over():
                return True
            self.sleep(LOOK_S)
        return is_over()

    def pending_timers(self, sessions: SessionSystem) -> int:
        timers = sessions.system.timers
        assert isinstance(timers, ThreadTimers)
        with timers._changed:
            return sum(each.is_pending for _, _, each in timers._heap)
