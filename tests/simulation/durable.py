"""The same world with sessions that a durable store keeps: the journal and its writer are in it."""

from __future__ import annotations

from collections.abc import Iterator

from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision.testing import FaultPlan, Simulation, faults
from tests.laws import broken_by_a_durable_store
from tests.simulation.mixed import PLAN, TAKING_OVER, Mixed

OF_THE_JOURNAL = (
    faults.Kill(of="writer", most=2),
    faults.Kill(of="writer", is_late=True, most=2),
    faults.Crash(of="writer", on="LookAgain", most=2),
    faults.Slow(of="writer", seconds=0.2, most=2),
    faults.Kill(of="reader", most=2),
    faults.Crash(of="reader", on="LoadLog", most=2),
    faults.Kill(of="root/storage", most=1),
)
"""What strikes those who write to the store, and read from it."""

DURABLE_PLAN = FaultPlan((*PLAN.faults, *OF_THE_JOURNAL))
"""Every kind of fault, against all of the world."""

DURABLE_TAKING_OVER = FaultPlan((*TAKING_OVER.faults, *OF_THE_JOURNAL))
"""Starts that come to nothing, under managers, writers and readers that are killed."""


class DurableMixed(Mixed):
    """The world of one schedule."""

    def new_store(self) -> StoreInMemory:
        """Return where the sessions are kept."""
        return StoreInMemory(self.sim)

    def broken_by_the_store(self) -> Iterator[str]:
        """Yield where what is kept is not what is there."""
        return broken_by_a_durable_store(self.sessions, self.store)


def durable(sim: Simulation) -> None:
    """Play it."""
    DurableMixed(sim).play()
