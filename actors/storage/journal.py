"""What is committed, in which batch, and what may be told to whom once it is? Pure: no disk here.

Sessions use of this `Entry`, `CommitOutcome` and `Committer`. The `Journal`, the `Store` that it
writes to and `CommitOutcome.WAITING` are for the durable store, which is to come: nothing runs
them yet.

One journal belongs to one incarnation of the writer, and only that touches it:

    journal.begin(...)          an incarnation of a session starts
    journal.hand_in(entry)      a handler returned and had changed something
    batch = journal.take()      what to write now; at most one batch at a time
    journal.settle(batch, ...)  how the store answered: publish, then release
    journal.done()              what `settle` returned has been released

The writer must not be interruptible: a call here is done as a whole or not at
all. Every call returns what is to be released; the writer carries that out. The
writer's successor goes on with `journal.heir()`: it releases `unreleased`
first; what was in flight is written again, which the store must take
(`Store.write`). Releasing twice is harmless: a reply is given once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import chain
from typing import Generic, Protocol, TypeVar

import msgspec

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.kept import Kept, Ledger

S = TypeVar("S")
L = TypeVar("L")

BATCH_ENTRIES_MAX = 64
"""Commits that are written together, in one transaction of the durable store, which is to come."""


class CommitOutcome(StrEnum):
    """What became of a commit, as far as is known when it has been handed in."""

    COMMITTED = "committed"
    """It is kept and published: reply now."""
    WAITING = "waiting"
    """The journal has it; it will be released, one way or the other.

    For the durable store, which is to come: sessions do not take it from a `Committer` yet.
    """
    FENCED = "fenced"
    """Refused: the incarnation is not the current one any more."""


class Entry(msgspec.Struct, Generic[S, L], frozen=True, eq=False):
    """One commit: all that one handler changed, and what waits for it.

    Args:
        session_id: whose.
        ledger: where it is published.
        base: the version it was built upon, committed or handed in before.
        version: what the session is after it.
        reply: whom to answer; the journal only carries it. None: nobody waits.
        value: what to answer.
        events: what to announce.
    """

    session_id: str
    ledger: Ledger[S, L]
    base: Kept[S, L]
    version: Kept[S, L]
    reply: object = None
    value: object = None
    events: tuple[object, ...] = ()


class Release(msgspec.Struct, frozen=True, eq=False):
    """Something to be told to somebody now.

    Args:
        reply: whom to answer: an entry's `reply`, or a beginning's. None: nobody.
        value: what to answer, when there is no error. For a beginning the `Kept`
            to start from, or None when a later incarnation has begun already.
        error: why it was not committed. The session is at its last commit again.
        is_fenced: not committed because its incarnation is not the current one.
        events: what to announce; empty when it was not committed.
    """

    reply: object
    value: object = None
    error: StoreError | None = None
    is_fenced: bool = False
    events: tuple[object, ...] = ()


class Batch(msgspec.Struct, Generic[S, L], frozen=True, eq=False):
    """Entries that are written together, each session's in its order."""

    entries: tuple[Entry[S, L], ...]


class Store(Protocol[S, L]):
    """Where commits are kept for longer than the process. The port of every durable store to come.

    Nothing calls it yet: a store of the host's is a `Committer`.
    """

    def write(self, entries: tuple[Entry[S, L], ...]) -> Mapping[str, StoreError]:
        """Keep these commits, durably when it returns.

        In one transaction, in order. An entry whose incarnation is older than
        the stored one is refused, and so is every later one of its session. An
        entry that an earlier attempt has written (same session, incarnation and
        version) is taken again without effect.

        Returns:
            Session ids of which nothing was kept, with the cause. Empty: all was kept.

        Raises:
            StoreOutcomeUnknown: the store was lost meanwhile. The journal hands
                the same entries in again until it has an answer.
            StoreError: nothing was kept, by this attempt or an earlier one.
        """
        ...


class Committer(Protocol[S, L]):
    """Where sessions hand in their commits: the port of `SessionSystem(store=...)`.

    The rows are the memory, whatever else a store keeps: `MemoryStore().commit(entry)`
    publishes a commit. A store of the host's keeps it first, and then calls that.
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
            entry: the commit: `entry.version.session` and `.log` are to be kept. Its
                `reply` and `value` are empty. The first of a session is CREATED, of version 0,
                or version 1; the last is CLEANED.

        Returns:
            `COMMITTED`, or `FENCED` when its incarnation is not the current one: what
            publishing it returned. The next incarnation may begin while it is being kept;
            then that one's commit of the same version follows. Not `WAITING`: that is for
            a journal with a writer, as durable stores will have; sessions take it for
            StoreOutcomeUnknown yet.

        Raises:
            StoreError: nothing was kept. The asker gets it, and the session is at its last
                commit again; another commit of the same version follows in its time.
            StoreOutcomeUnknown: whether it was kept is not known. The session goes on from
                what is published, so a later commit of the same version takes its place. So
                it does when whoever hands it in is killed meanwhile.
        """
        ...


class _Beginning(msgspec.Struct, frozen=True, eq=False):
    incarnation: int
    reply: object


class _Line(Generic[S, L]):
    """What waits for one session: its entries, then perhaps one beginning."""

    __slots__ = ("beginning", "tip", "unsettled")

    def __init__(self, tip: Kept[S, L]) -> None:
        self.tip = tip
        self.unsettled = 0
        self.beginning: _Beginning | None = None


class Journal(Generic[S, L]):
    """The commits that wait for the store, in order, and the rule who may add to them.

    For the durable store, which is to come: nothing runs it yet.

    An entry is taken only on top of the version it was built upon: the last one
    handed in, or the last one committed. From this one rule follow the order,
    the fence (a begun incarnation is the last version), and that after a
    failure everything built upon what failed fails too, until the session
    has returned to its last commit.
    """

    def __init__(self, *, batch_entries_max: int = BATCH_ENTRIES_MAX) -> None:
        self._batch_entries_max = batch_entries_max
        self._waiting: list[Entry[S, L]] = []
        self._in_flight: Batch[S, L] | None = None
        # There is a line for a ledger exactly while entries of it are unsettled.
        self._lines: dict[Ledger[S, L], _Line[S, L]] = {}
        self._unreleased: tuple[Release, ...] = ()

    @property
    def waiting(self) -> int:
        """How many entries wait to be written; those in flight do not count."""
        return len(self._waiting)

    @property
    def is_writing(self) -> bool:
        """Whether a batch has been taken and not yet settled."""
        return self._in_flight is not None

    @property
    def unreleased(self) -> tuple[Release, ...]:
        """What `settle` has returned since `done` was called last."""
        return self._unreleased

    def begin(
        self, ledger: Ledger[S, L], incarnation: int, *, reply: object
    ) -> tuple[Release, ...]:
        """Start an incarnation: fence the older ones now, answer when all they left is settled."""
        line = self._lines.get(ledger)
        if line is None:
            return (Release(reply, ledger.begin(incarnation)),)
        earlier = line.beginning
        current = line.tip.incarnation if earlier is None else earlier.incarnation
        if current >= incarnation:
            return (Release(reply),)
        line.beginning = _Beginning(incarnation, reply)
        return () if earlier is None else (Release(earlier.reply),)

    def hand_in(self, entry: Entry[S, L]) -> tuple[Release, ...]:
        """Take one commit, or say at once why not."""
        line = self._lines.get(entry.ledger)
        tip = entry.ledger.latest() if line is None else line.tip
        if line is not None and line.beginning is not None:
            return (_refused(entry, line.beginning.incarnation),)
        if entry.base is not tip:
            return (_refused(entry, tip.incarnation),)
        if line is None:
            line = self._lines[entry.ledger] = _Line(entry.version)
        line.tip = entry.version
        line.unsettled += 1
        self._waiting.append(entry)
        return ()

    def take(self) -> Batch[S, L] | None:
        """Return what to write next, or None: nothing waits, or a batch is being written."""
        if self._in_flight is not None or not self._waiting:
            return None
        count = self._batch_entries_max
        batch = self._in_flight = Batch(tuple(self._waiting[:count]))
        del self._waiting[:count]
        return batch

    def settle(
        self, batch: Batch[S, L], failed: StoreError | Mapping[str, StoreError] | None = None
    ) -> tuple[Release, ...]:
        """Publish what the store has kept, give up what it has not, and say what to release.

        Args:
            batch: the one that `take` returned last; another one has no effect.
            failed: why nothing of it was kept, or, by session id, why nothing of
                that session was. None: all was kept. When the outcome is not
                known nothing is released, and the batch is to be taken again.
        """
        if batch is not self._in_flight:
            return ()
        if isinstance(failed, StoreOutcomeUnknown):
            self._waiting, self._in_flight = [*batch.entries, *self._waiting], None
            return ()
        cause_of = _cause_of(failed)
        released: list[Release] = []
        given_up: dict[Ledger[S, L], StoreError] = {}
        for entry in batch.entries:
            cause = cause_of(entry.session_id)
            if cause is not None:
                given_up[entry.ledger] = cause
                released.append(Release(entry.reply, error=cause))
            elif entry.ledger.publish(entry.base, entry.version):
                released.append(Release(entry.reply, entry.value, events=entry.events))
            else:
                released.append(_refused(entry, entry.ledger.latest().incarnation))
        dropped = [entry for entry in self._waiting if entry.ledger in given_up]
        released += [Release(each.reply, error=given_up[each.ledger]) for each in dropped]
        waiting = [entry for entry in self._waiting if entry.ledger not in given_up]
        released += self._leave(batch.entries, dropped)
        self._unreleased += tuple(released)
        self._in_flight, self._waiting = None, waiting
        return tuple(released)

    def done(self) -> None:
        """Forget what `settle` has returned: it has been released."""
        self._unreleased = ()

    def heir(self) -> Journal[S, L]:
        """Return the journal with which the writer's next incarnation goes on.

        It owns copies: whatever the previous writer still does to this one has
        no effect on the heir. What was in flight is written once more.
        """
        heir: Journal[S, L] = Journal(batch_entries_max=self._batch_entries_max)
        flying = () if self._in_flight is None else self._in_flight.entries
        # In both when the writer died while it took them.
        entries = tuple(dict.fromkeys((*flying, *self._waiting)))
        heir._take_over(entries, self._lines, self._unreleased)
        return heir

    def _take_over(
        self,
        entries: tuple[Entry[S, L], ...],
        lines: Mapping[Ledger[S, L], _Line[S, L]],
        unreleased: tuple[Release, ...],
    ) -> None:
        self._waiting, self._unreleased = list(entries), unreleased
        for entry in entries:
            line = self._lines.setdefault(entry.ledger, _Line(entry.version))
            line.tip = entry.version
            line.unsettled += 1
        for ledger, line in lines.items():
            if ledger in self._lines:
                self._lines[ledger].beginning = line.beginning

    def _leave(self, *settled: Iterable[Entry[S, L]]) -> list[Release]:
        """Count entries out of their lines; an empty line lets its next incarnation begin."""
        released: list[Release] = []
        for entry in chain(*settled):
            line = self._lines[entry.ledger]
            line.unsettled -= 1
            if line.unsettled:
                continue
            del self._lines[entry.ledger]
            begun = line.beginning
            if begun is not None:
                kept = entry.ledger.begin(begun.incarnation)
                released.append(Release(begun.reply, kept))
        return released


def _cause_of(
    failed: StoreError | Mapping[str, StoreError] | None,
) -> Callable[[str], StoreError | None]:
    if failed is None:
        return lambda _: None
    if isinstance(failed, StoreError):
        return lambda _: failed
    return failed.get


def _refused(entry: Entry[S, L], current: int) -> Release:
    """Say why an entry does not follow what is there: it is too old, or its base has failed."""
    if entry.version.incarnation != current:
        return Release(entry.reply, is_fenced=True)
    error = StoreError("an earlier commit of the session was not kept")
    return Release(entry.reply, error=error)
