"""Where a scenario runs: a system, and how to let it work and time pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callboard.supervision import ActorSystem
from callboard.supervision.testing import Simulation


class World(Protocol):
    """A system of actors, and how to wait for it. No scenario waits in real time."""

    system: ActorSystem

    def settle(self) -> None:
        """Return when nothing runs and nothing is ready. Time does not pass."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass; timers go off in order, and all settles after each."""
        ...

    def pass_time_until(self, is_reached: Callable[[], bool]) -> None:
        """Let as much time pass as it takes, no more, and settle."""
        ...

    def close(self) -> None:
        """Stop the system, and see that nothing is left."""
        ...


class SimulatedWorld:
    """A system in a simulation.

    Args:
        seed: decides the schedule.
        on_event: the system's event hook.
    """

    def __init__(self, seed: int = 0, on_event: Callable[[object], None] | None = None) -> None:
        # No timer goes off early: a scenario says which of two times comes first.
        self._simulation = Simulation(seed, horizon_s=0.0)
        self.system = ActorSystem("traces", runtime=self._simulation.runtime, on_event=on_event)

    def settle(self) -> None:
        """Run what is ready."""
        self._simulation.settle()

    def advance(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._simulation.advance(seconds)

    def pass_time_until(self, is_reached: Callable[[], bool]) -> None:
        """Let simulated time pass until then."""
        self._simulation.run(until=is_reached)
        self._simulation.settle()

    def close(self) -> None:
        """Stop the system, then the simulation."""
        with self._simulation:
            self.system.stop()
