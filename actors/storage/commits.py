"""What is one commit, and where is it handed in? The port of every store of the host's."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import msgspec

from callboard.actors.storage.kept import Kept, Ledger

S = TypeVar("S")
L = TypeVar("L")


class CommitOutcome(StrEnum):
    """What became of a commit, as far as is known when it has been handed in."""

    COMMITTED = "committed"
    """It is kept and published: reply now."""
    WAITING = "waiting"
    """The journal has it, and will settle it one way or the other (`storage/chain.py`).

    For durable stores alone; sessions do not take it from a `Committer`.
    """
    FENCED = "fenced"
    """Refused: the incarnation is not the current one any more."""


class Entry(msgspec.Struct, Generic[S, L], frozen=True, eq=False):
    """One commit: all that one handler changed.

    Args:
        session_id: whose.
        ledger: where it is published.
        base: the version it was built upon, committed or handed in before.
        version: what the session is after it.
        events: what to announce when it is kept.
    """

    session_id: str
    ledger: Ledger[S, L]
    base: Kept[S, L]
    version: Kept[S, L]
    events: tuple[object, ...] = ()


class Committer(Protocol[S, L]):
    """Where sessions hand in their commits: the port of `SessionSystem(store=...)`.

    The rows are the memory, whatever else a store keeps: `MemoryStore().commit(entry)`
    publishes a commit. A store of the host's keeps it first, and then calls that.

    It has no way back: what it has kept, the next process does not get from it. For sessions that
    outlive the process give `store` a path, or a `Store` (`storage/records.py`).
    """

    def commit(self, entry: Entry[S, L]) -> CommitOutcome:
        """Keep one commit and publish it; it is told, and its asker answered, after that.

        Called on the threads of the sessions, of their partitions and of the manager, so it must
        not wait for long: bound every wait in it, for nothing can end a call on another's
        thread. While the first commit of a session hangs, or one that the manager makes in
        the place of a session that rests, nobody is created, ended or woken; `health` names
        the parts that wait (`part_hung_after_s`), and the watchdog hears nothing. Called by
        several at once, but for one session by one at a time, in the order of its
        versions. Whatever it raises that is no StoreError counts as StoreOutcomeUnknown.

        Args:
            entry: the commit: `entry.version.session` and `.log` are to be kept. The first of a
                session is CREATED, of version 0, or version 1; the last is CLEANED.

        Returns:
            `COMMITTED`, or `FENCED` when its incarnation is not the current one: what
            publishing it returned. The next incarnation may begin while it is being kept;
            then that one's commit of the same version follows. Not `WAITING`: sessions take
            it for StoreOutcomeUnknown.

        Raises:
            StoreError: nothing was kept. The asker gets it, and the session is at its last
                commit again; another commit of the same version follows in its time.
            StoreOutcomeUnknown: whether it was kept is not known. The session goes on from
                what is published, so a later commit of the same version takes its place. So
                it does when whoever hands it in is killed meanwhile.
        """
        ...
