"""What may go wrong with a disk: faults of a `FaultPlan`, for a `MemoryDisk`.

Of all of them `of` is compared with the file's name (`sessions.db`, `sessions.db-wal`,
`sessions.db-journal`), and `on` with what is done to it: `read`, `write`, `resize`, `sync`,
`create`, `unlink`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import ClassVar, Protocol, TypeVar

from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.faults import Fault, FaultPlan
from callboard.supervision.testing.strikes import Rule

F = TypeVar("F", bound=Fault)


class DiskFault(Fault, frozen=True, kw_only=True):
    """The base of what strikes a disk."""


class DiskIsFull(DiskFault, frozen=True, kw_only=True):
    """There is no room for a write; nothing of it is there."""

    word: ClassVar[str] = "disk that is full"
    on: str = "write"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the disk is full at a {on} of {who}"


class DiskErrs(DiskFault, frozen=True, kw_only=True):
    """Something is not done, with an I/O error. For a sync that fails there is `SyncFails`."""

    word: ClassVar[str] = "disk that errs"
    on: str = "write"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the disk errs at a {on} of {who}"


class SyncFails(DiskFault, frozen=True, kw_only=True):
    """A sync raises. As on Linux the next one does not make up for it.

    Args:
        is_kept: whether what was to be synced is durable all the same; else it is read as it
            was written, and gone after a power cut, unless it is written again.
    """

    word: ClassVar[str] = "sync that fails"
    on: str = "sync"
    is_kept: bool = False

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"a {on} of {who} fails{', when all is durable' if self.is_kept else ''}"


class SyncLies(DiskFault, frozen=True, kw_only=True):
    """A sync says that it has made durable what it has not: no store can live with that.

    It is for tests of tests: one that does not fail with it proves nothing.
    """

    word: ClassVar[str] = "sync that lies"
    on: str = "sync"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"a {on} of {who} lies"


class Striking(Protocol):
    """Decides what strikes a disk: a `Simulation`, or `Strikes` outside of one."""

    def strikes(self, kind: type[F], *, of: str, on: str) -> F | None:
        """Return the fault of this kind that strikes here, if one does."""
        ...


class ByChance:
    """The faults of a plan where there is no simulation: a stream decides.

        MemoryDisk(ByChance(FaultPlan((SyncFails(nth=3),)), Random(7)))

    Args:
        plan: what may go wrong; faults of a disk.
        stream: decides.
    """

    def __init__(self, plan: FaultPlan, stream: Stream) -> None:
        self._stream = stream
        self.rules: list[Rule] = []
        """Each fault of the plan, and how often it struck."""
        for fault in plan.faults:
            rates = fault.rates if fault.rate is None else fault.rate
            if isinstance(rates, tuple):
                rates = rates[int(stream.random() * len(rates))]
            self.rules.append(Rule(fault, fault.name, rates))

    def strikes(self, kind: type[F], *, of: str, on: str) -> F | None:
        """Return the first fault of this kind that strikes here, if one does."""
        for rule in self.rules:
            fault = rule.fault
            if isinstance(fault, kind) and fnmatchcase(of, fault.of) and rule.is_on(on):
                probability = rule.next_probability(of)
                if probability and self._stream.random() < probability:
                    rule.struck += 1
                    return fault
        return None

    def end_faults(self) -> None:
        """Let nothing strike any more."""
        self.rules.clear()
