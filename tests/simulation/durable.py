"""The same world with sessions that a durable store keeps: the journal and its writer are in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from callboard.actors import StoreError
from callboard.actors.storage.records import Write
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision.testing import Fault, FaultPlan, Simulation, faults
from tests.laws import broken_by_a_durable_store
from tests.simulation.mixed import PLAN, TAKING_OVER, Mixed


class Thrown(BaseException):
    """What no store should raise: nobody catches it, and whoever writes ends of it."""


class StoreThrows(Fault, frozen=True, kw_only=True):
    """The writer is thrown out in the middle of a write.

    Args:
        is_late: whether all is kept by then.
    """

    word: ClassVar[str] = "store that throws"
    is_late: bool = False

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"whoever does a {on} to the {who} is thrown out{' late' if self.is_late else ''}"


class ThrowingStore(StoreInMemory):
    """A store whose writer may be thrown out.

    Args:
        sim: decides.
    """

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim)
        self._sim = sim

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep these changes, or not."""
        thrown = self._sim.strikes(StoreThrows, of="store", on="write")
        if thrown is not None and not thrown.is_late:
            raise Thrown
        refused = super().write(writes)
        if thrown is not None:
            raise Thrown
        return refused


OF_THE_JOURNAL = (
    faults.Kill(of="writer", most=2),
    faults.Kill(of="writer", is_late=True, most=2),
    faults.Crash(of="writer", on="LookAgain", most=2),
    faults.Slow(of="writer", seconds=0.2, most=2),
    faults.Kill(of="root/storage", most=1),
    StoreThrows(rate=(0.0, 0.1), most=2),
    StoreThrows(rate=(0.0, 0.1), most=2, is_late=True),
)
"""What strikes those who write to the store."""

DURABLE_PLAN = FaultPlan((*PLAN.faults, *OF_THE_JOURNAL))
"""Every kind of fault, against all of the world."""

DURABLE_TAKING_OVER = FaultPlan((*TAKING_OVER.faults, *OF_THE_JOURNAL))
"""Starts that come to nothing, under managers, writers and readers that are killed."""


class DurableMixed(Mixed):
    """The world of one schedule."""

    def new_store(self) -> StoreInMemory:
        """Return where the sessions are kept."""
        return ThrowingStore(self.sim)

    def broken_by_the_store(self) -> Iterator[str]:
        """Yield where what is kept is not what is there."""
        return broken_by_a_durable_store(self.sessions, self.store)


def durable(sim: Simulation) -> None:
    """Play it."""
    DurableMixed(sim).play()
