"""What is written next, and what is told when it is kept? Pure: the writer carries it out.

    journal.commit(entry)      a handler returned and had changed something: any thread
    batch = journal.take()     what to write now                           | the writer alone,
    journal.settle(batch, ...) how the store answered: publish, then tell  | one batch at a time

The system owns it, so no crash of the writer loses a commit: what waits is in the chains of the
sessions (`chain.py`), and which of them have something is in the order of the marks. The
writer's next incarnation calls `resume` first: what was in flight is written again, which a store
must take (`Store.write`), and what was not told is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.chain import DurableLedger, Handed
from callboard.actors.storage.commits import CommitOutcome, Entry
from callboard.actors.storage.records import CreateRecord, Head, MessageRecord, Write

BATCH_COMMITS_MAX: Final = 256
"""Commits that are written in one transaction; those of one session are not parted."""

WAITING_MAX: Final = 10_000
"""Commits of all sessions that may wait for the store; one more is refused with StoreError."""

WAITING_BYTES_MAX: Final = 67_108_864
"""Bytes of messages and snapshots, of all sessions, that may wait for the store; then one more
commit is refused with StoreError."""

PLACE_BYTES: Final = 6_710
"""Bytes that a commit may have for one of `WAITING_MAX` places; a larger one takes several."""

WAITING_PER_SESSION_MAX: Final = 64
"""Commits of one session that may wait for the store; one more is refused with StoreError."""


class Snapshot(Protocol):
    """What the journal sees of a session."""

    @property
    def version(self) -> int:
        """One more with every commit."""
        ...

    @property
    def last_seq(self) -> int:
        """Number of the last message."""
        ...


OF_THE_ROW: Final[tuple[str, ...]] = ()
"""Slots of a mixin: its attributes have theirs in the row, for two bases cannot both have some."""

S = TypeVar("S", bound=Snapshot)
L = TypeVar("L")


class StoredLedger(DurableLedger[S, L]):
    """A ledger that knows what of it is on the disk; the writer notes it. A mixin for rows."""

    __slots__ = OF_THE_ROW

    id: str
    is_stored: bool
    """Whether it has been written at all."""
    is_in_doubt: bool
    """Whether nobody knows what of it has been written: a commit was lost with the store."""
    created: CreateRecord | None
    """Under which key it was created, until that is written: when it has come to be."""
    leaves_key: bool
    """Whether its creator is told that it never was: its key goes with the next commit."""
    standing_to_keep: bytes | None
    """What is known of its incarnations, as JSON, until that is written."""
    keeps_body: ClassVar[bool] = False
    """Whether the stored body stays as it is, whatever is committed: nobody here can read it."""

    def note_kept(self, write: Write) -> None:
        """Note that the store has this. The writer alone."""
        self.is_stored = True
        if write.head is not None:
            self.is_in_doubt = False
        if write.created is not None:
            self.created = None
        if self.standing_to_keep is write.standing:
            self.standing_to_keep = None

    def note_doubt(self) -> None:
        """Note that nobody knows what of it the store has. The writer alone."""
        self.is_in_doubt = True


S_contra = TypeVar("S_contra", bound=Snapshot, contravariant=True)
L_contra = TypeVar("L_contra", contravariant=True)


class Coder(Protocol[S_contra, L_contra]):
    """Says in bytes what the store is to keep. Any thread."""

    def messages(self, log: L_contra, after_seq: int) -> tuple[MessageRecord, ...]:
        """Return what follows a number in a log."""
        ...

    def body(self, session: S_contra, before: S_contra | None) -> bytes | None:
        """Return what of a snapshot seldom changes; None when it is as it was before.

        Raises:
            InvalidSpec: it cannot be said: the behaviour's own slip.
        """
        ...

    def head(self, session: S_contra, incarnation: int) -> Head:
        """Return what of a snapshot changes with every commit."""
        ...

    def has_come_to_be(self, session: S_contra) -> bool:
        """Say whether this snapshot confirms its create: by it, it has come to be."""
        ...

    def ended_at(self, session: S_contra) -> float | None:
        """Return since when a session is CLEANED; None when it is not."""
        ...


class Part(Generic[S, L]):
    """What of one session is in a batch.

    Args:
        ledger: whose.
        handed: its commits, in order.
        write: the sum of them.
    """

    __slots__ = ("error", "handed", "is_settled", "ledger", "write")

    def __init__(
        self, ledger: StoredLedger[S, L], handed: list[Handed[S, L]], write: Write
    ) -> None:
        self.ledger = ledger
        self.handed = handed
        self.write = write
        self.is_settled = False
        """Whether it is published, or given up; then those who wait are told."""
        self.error: StoreError | None = None
        """Why it was given up."""


class Journal(Generic[S, L]):
    """The commits that wait for the store.

    Args:
        coder: says in bytes what is to be kept.
        wake: tells the writer that there is something, unless he has been told and has not looked
            since; it may be called on any thread.
        announce: emits the events of what is kept; it does not raise.
        refuse: counts commits that are not kept; it may be called on any thread.
        waiting_max: in place of `WAITING_MAX`.
        batch_commits_max: in place of `BATCH_COMMITS_MAX`.
    """

    def __init__(
        self,
        coder: Coder[S, L],
        wake: Callable[[], object],
        announce: Callable[[tuple[object, ...]], object],
        refuse: Callable[[int], object] = lambda _: None,
        *,
        waiting_max: int = WAITING_MAX,
        batch_commits_max: int = BATCH_COMMITS_MAX,
    ) -> None:
        self._coder = coder
        self._wake = wake
        self._announce = announce
        self._refuse = refuse
        self._waiting_max = waiting_max
        self._batch_commits_max = batch_commits_max
        self._marks: dict[StoredLedger[S, L], None] = {}
        """Of which sessions something waits, in the order in which it was marked first."""
        self._in_hand: StoredLedger[S, L] | None = None
        """Whose part the writer is making."""
        self._in_flight: list[Part[S, L]] = []
        # Places are taken on any thread and given back by the writer, so without a lock, which a
        # thread that is killed would keep: each side counts alone, the one by what is one C call.
        self._numbers = itertools.count(1)
        self._taken = 0
        self._given_back = 0
        self._unkept: dict[StoredLedger[S, L], None] = {}
        """Whose standing was refused: written when the store takes something of others."""
        self.kept = 0
        """Commits that the store has kept; the writer alone counts."""

    # -- any thread --------------------------------------------------------

    def waiting(self) -> int:
        """Return how many commits have been handed in and not settled, by going through them."""
        marked = list(self._marks)  # one C call: they come and go meanwhile
        ledgers = [*(part.ledger for part in list(self._in_flight)), *marked]
        return sum(len(ledger.waiting()) for ledger in dict.fromkeys(ledgers))

    def commit(self, entry: Entry[S, L]) -> CommitOutcome:
        """Take one commit; `WAITING`, or `FENCED` when its incarnation is not the current one.

        Raises:
            StoreError: too many or too much wait, or an earlier one of the session was not kept.
            InvalidSpec: it cannot be said in JSON: the behaviour's own slip.
        """
        of_a_durable_row: Any = entry
        ledger: StoredLedger[S, L] = of_a_durable_row.ledger
        version: Handed[S, L] = of_a_durable_row.version
        before, session = entry.base.session, version.session
        ahead = session.version - ledger.head.session.version
        if ahead > WAITING_PER_SESSION_MAX:
            msg = f"{ahead} commits wait for the store, which is slow"
            raise self._turned_away(msg)
        if self._taken - self._given_back >= self._waiting_max:
            raise self._turned_away("no more may wait for the store, which is slow")
        pending = version.pending
        pending.events = entry.events
        messages = pending.messages = self._coder.messages(version.log, before.last_seq)
        body = None if ledger.keeps_body else self._coder.body(session, before)
        pending.body = body
        if body is not None or len(messages) != 1 or len(messages[0].body) > PLACE_BYTES:
            size = sum(len(each.body) for each in messages) + (0 if body is None else len(body))
            pending.places = 1 + size // PLACE_BYTES
        winner = ledger.claim(entry.base, version)
        if winner is None:
            for _ in range(pending.places):
                self._taken = next(self._numbers)
            self.mark(ledger)
            return CommitOutcome.WAITING
        if winner.incarnation != version.incarnation:
            return CommitOutcome.FENCED
        msg = "an earlier commit of the session was not kept"
        raise self._turned_away(msg)

    def _turned_away(self, msg: str) -> StoreError:
        self._refuse(1)
        return StoreError(msg)

    def mark(self, ledger: StoredLedger[S, L]) -> None:
        """Have the writer look at a ledger: something of it waits. It never waits."""
        self._marks[ledger] = None
        self._wake()

    # -- the writer alone --------------------------------------------------

    def take(self) -> list[Part[S, L]]:
        """Return what to write next, in one transaction; nothing when nothing waits."""
        marks, parts, count = self._marks, self._in_flight, 0
        assert not parts, "one batch at a time"
        if not marks:  # who was killed before he had taken his place, or after, counts no more
            self._given_back = self._taken
        for ledger in list(marks):  # one C call, as a slice of them is not: more are coming
            if count >= self._batch_commits_max:
                break
            # Its mark goes first: what is handed in from now on may not be in this part, and is
            # marked anew. A writer that ends in between has it in hand (`resume`).
            self._in_hand = ledger
            del marks[ledger]
            part = self._part(ledger)
            if part is not None:
                parts.append(part)
                count += max(1, len(part.handed))
            self._in_hand = None
        return parts

    @property
    def has_more(self) -> bool:
        """Whether something waits to be taken."""
        return bool(self._marks)

    def _part(self, ledger: StoredLedger[S, L]) -> Part[S, L] | None:
        handed, standing = ledger.waiting(), ledger.standing_to_keep
        if not handed:
            ledger.catch_up()
            if standing is None or not ledger.is_stored:
                return None
            return Part(ledger, [], Write(id=ledger.id, standing=standing))
        last = handed[-1]
        session, coder = last.session, self._coder
        body: bytes | None = None
        messages: tuple[MessageRecord, ...] = ()
        for each in handed:
            pending = each.pending
            body = pending.body or body
            messages = messages + pending.messages if messages else pending.messages
        if (ledger.is_in_doubt or not ledger.is_stored) and not ledger.keeps_body:
            body = coder.body(session, None)
        created, leaves_key = ledger.created, False
        if created is not None and not any(coder.has_come_to_be(e.session) for e in handed):
            # What never comes to be leaves its key to the next create: also one that may be in the
            # store by a commit of which nobody knows.
            created, leaves_key = None, ledger.is_in_doubt
        if ledger.leaves_key:
            created, leaves_key = None, True
        write = Write(
            id=ledger.id,
            is_new=not ledger.is_stored,
            head=coder.head(session, last.incarnation),
            body=body,
            after_seq=ledger.head.session.last_seq,
            messages=messages,
            standing=standing,
            created=created,
            leaves_key=leaves_key,
            ended_at=coder.ended_at(session),
        )
        return Part(ledger, handed, write)

    def settle(self, failed: StoreError | Mapping[str, StoreError] | None = None) -> None:
        """Publish what the store has kept, give up what it has not, and tell those who wait.

        Args:
            failed: why nothing of the batch was kept, or, by session id, why nothing of that
                session was. None: all was kept.
        """
        if not isinstance(failed, StoreError):  # the store takes something
            self._marks.update(self._unkept)
            self._unkept.clear()
        for part in self._in_flight:
            error = (
                failed
                if isinstance(failed, (StoreError, type(None)))
                else failed.get(part.write.id)
            )
            if error is not None and part.write.standing is not None:
                # What was refused beside a commit, for this session alone, may be taken without it;
                # else not at once: the writer would try without an end.
                is_at_once = bool(part.handed) and error is not failed
                (self._marks if is_at_once else self._unkept)[part.ledger] = None
            if not part.is_settled:
                self._publish(part, error)
            self._tell(part)
        self._in_flight = []

    def _publish(self, part: Part[S, L], error: StoreError | None) -> None:
        ledger = part.ledger
        part.error = error
        if error is None:
            ledger.note_kept(part.write)
            if part.handed:
                ledger.advance(part.handed[-1])
                self.kept += len(part.handed)
        elif part.handed:
            if not error.is_outcome_known:
                ledger.note_doubt()
            part.handed = ledger.give_up()
            self._refuse(len(part.handed))
        self._given_back += sum(each.pending.places for each in part.handed)
        part.is_settled = True

    def _tell(self, part: Part[S, L]) -> None:
        for each in part.handed:
            pending, error = each.pending, part.error
            if error is None and pending.events:
                self._announce(pending.events)
            elif error is not None and error.is_outcome_known and pending.may_be_kept:
                error = StoreOutcomeUnknown("a write was stopped, and refused when it was repeated")
            pending.settle(error)

    def resume(self) -> None:
        """Go on where a writer before this one was stopped: tell, or write again, what it took."""
        self._put_back()
        in_flight, self._in_flight = self._in_flight, []
        for part in in_flight:
            if part.is_settled:
                self._tell(part)
            else:
                part.ledger.note_doubt()
                for each in part.handed:
                    each.pending.may_be_kept = True
                self._marks[part.ledger] = None

    def _put_back(self) -> None:
        """Mark what a writer had in hand that ended over it."""
        if self._in_hand is not None:
            self._marks[self._in_hand] = None
            self._in_hand = None

    def fail_in_flight(self, error: StoreError) -> None:
        """Give up what the store has been given, and all that was built upon it."""
        self.settle(error)

    def fail_all(self, error: StoreError) -> None:
        """Give up everything that waits: nothing is written any more."""
        self._put_back()
        while self._marks or self._in_flight:
            self.settle(error)
            self.take()
