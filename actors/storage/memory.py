"""How is a commit kept without a disk? Published at once: the journal's step without the wait."""

from __future__ import annotations

from typing import TypeVar

from callboard.actors.storage.commits import CommitOutcome, Entry

S = TypeVar("S")
L = TypeVar("L")


class MemoryStore:
    """Keeps commits in the session rows themselves, as long as the process lives.

    It has no state: the rows are its memory, and they belong to the system, so
    no actor's death empties it. Any thread may commit; the chain is the fence
    (`storage/kept.py`). An incarnation begins by `Ledger.begin`.
    """

    __slots__ = ()

    def commit(self, entry: Entry[S, L]) -> CommitOutcome:
        """Publish one commit; `COMMITTED`, or `FENCED` when its incarnation is not the current."""
        if entry.ledger.publish(entry.base, entry.version):
            return CommitOutcome.COMMITTED
        return CommitOutcome.FENCED
