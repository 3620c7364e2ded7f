"""Who writes to a durable store, and reads from it? The journal and its two actors.

The system owns the journal and the store, so no actor's death loses a commit or a file. Each actor
has a thread of its own: a disk may take its time, and nobody else waits in line with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from callboard.actors.errors import StoreError, StoreFenced, StoreOutcomeUnknown
from callboard.actors.messages import StoreHealth
from callboard.actors.sessions.coding import SessionCoder, Unreadable, message
from callboard.actors.sessions.data import Message, Session
from callboard.actors.sessions.internal import FailNow, LogLoaded, LookAgain
from callboard.actors.sessions.log import KEYS_MAX, Log, here_from, log_of
from callboard.actors.sessions.naming import READER, WRITER
from callboard.actors.sessions.stepping import next_step
from callboard.actors.sessions.table import Row
from callboard.actors.storage.guarded import REFUSED_COMMITS
from callboard.actors.storage.journal import Journal
from callboard.actors.storage.records import Leased, MessageRecord, Probed, Store, Write
from callboard.supervision import (
    ActorSystem,
    Address,
    CallboardError,
    ExitReason,
    Future,
    PinnedActor,
    Request,
    handles,
)
from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.specs import ChildSpec
from callboard.supervision.runtime.futures import PortFuture
from callboard.supervision.runtime.notices import Notice
from callboard.supervision.runtime.timers import Timer

DELAYS: Final = Backoff(delays_s=(0.0, 0.1, 1.0, 10.0))
"""How long to wait before a restart of the writer: a store that fails it again and again must not
use up the budget of the line."""

WRITER_SHUTDOWN_S: Final = 10.0
"""Seconds that the writer has to write the rest when the system stops."""

BATCHES_PER_TURN: Final = 16
"""Transactions before the writer looks whether it is to do something else."""

UNKNOWN_TRIES: Final = 2
"""How often a batch is written whose outcome is not known, before its askers are told so."""

PURGED_AT_ONCE: Final = 100
"""Sessions that ended long ago which are deleted before the writer does something else."""

PROBE_EVERY_S: Final = 10.0
"""Seconds between two looks whether a store that has refused a commit takes something again, when
nobody has anything to keep."""

OCCUPIED_CHECK_S: Final = 0.01
"""How often a writer looks whether the killed one before it has come back from the disk."""


class Storing:
    """The durable store of one system.

    Args:
        system: the actor system.
        store: where commits are kept.
        coder: says sessions in bytes.
        emit: emits the events of what is kept.
        announce: tells the manager.
    """

    def __init__(
        self,
        system: ActorSystem,
        store: Store,
        coder: SessionCoder,
        emit: Callable[[tuple[object, ...]], object],
        announce: Callable[[object], object],
    ) -> None:
        self.store = store
        self.coder = coder
        self.announce = announce
        self._system = system
        self._reader: Address[Any] = system.reserve(READER, keeps_mailbox=True)
        self._writer: Address[Any] = system.reserve(WRITER, keeps_mailbox=True)
        self.journal: Journal[Session, Log] = Journal(
            coder, self._wake, emit, partial(system.count, REFUSED_COMMITS)
        )
        self.unreadable: dict[str, StoreError] = {}
        """Sessions that the store has, and cannot be read: why they are not run."""
        self.loading: dict[Row, None] = {}
        """Sessions whose last messages the reader has been asked for, and has not told of."""
        self.refusal: StoreError | None = None
        """What the store has refused, until it is seen to take something; None: it takes."""
        self._takes_at_rest = True
        """Whether only what is no commit was refused: then no commit is needed to see it take."""
        self._purged_before: float | None = None
        """Up to when sessions had ended, UTC, that were old when the janitor looked last."""
        self.batches = 0
        """Transactions with commits that the store has taken, wholly or in part."""
        self.is_fenced = False
        """Whether another system has taken the store over."""
        self.occupied_by: object = None
        """Which writer is at the store; a killed one may still be."""
        self.working: dict[str, object] = {}
        """The work of an operator that is under way, if one is."""
        self.is_closed = False
        """Whether the system has stopped: nothing is told any more of what is written."""
        self.line: Any = None
        """The supervisor of the writer that began last."""
        self.specs: tuple[ChildSpec, ...] = (
            ChildSpec(
                id=WRITER,
                start=StoreWriter,
                args=(self,),
                name=WRITER,
                backoff=DELAYS,
                shutdown_s=WRITER_SHUTDOWN_S,
            ),
            ChildSpec(id=READER, start=StoreReader, args=(self,), name=READER, backoff=DELAYS),
        )
        """The children of the line, in order."""

    @property
    def writer(self) -> Address[Any]:
        """Who writes."""
        return self._writer

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its actors."""
        return tuple(str(spec.name) for spec in self.specs)

    def _wake(self) -> None:
        if self.occupied_by is not None:
            return  # who is at the store looks what has come before it rests
        # One of these in its mailbox is enough. Whoever has put it there may have been killed
        # before the writer was told, so it is told again; a mark of our own could be lost so.
        if self._writer.mailbox_size:
            self._writer.poke()
        else:
            self._writer.notify(LookAgain())

    def watch(self, settled: Future[None]) -> None:
        """Have whoever waits for a commit told when the writer's line ends. Any thread.

        Another line comes only when all to the right of it has stopped, who waits included. Its
        writer goes on with what was handed in.
        """
        line = self.line
        if line is None:
            return

        def tell(_: object) -> None:
            msg = "who writes to the store has ended meanwhile; another one goes on with it"
            settled.offer_exception(StoreOutcomeUnknown(msg))

        if line.when_dead(settled, tell):
            settled.when_done(lambda: line.forget_bond(settled))
        else:
            tell(None)

    def close(self) -> None:
        """Let go of the store; what it has not kept is refused. When the system has stopped.

        A writer that was killed while the disk hangs may be at the store still. It is not waited
        for: it lets go of the store itself when it comes back, or the process ends before. Until
        then nobody else has the store, for what it writes may still be kept.
        """
        self.is_closed = True
        if self.occupied_by is not None:
            lost = "the system was stopped while the store was keeping this"
            self.journal.fail_in_flight(StoreOutcomeUnknown(lost))
        self.journal.fail_all(StoreError("the system was stopped before this was kept"))
        if self.occupied_by is None:
            self.store.close()

    def leave(self) -> None:
        """Be at the store no more. The writer that was there."""
        self.occupied_by = None
        if self.is_closed:
            self.store.close()

    def health(self) -> StoreHealth:
        """Say how the store is. Any thread, no message."""
        refusal = self.refusal
        return StoreHealth(
            is_taking=refusal is None,
            error=None if refusal is None else str(refusal),
            remedy=None if refusal is None else refusal.remedy,
            waiting=self.journal.waiting(),
            kept=self.journal.kept,
            batches=self.batches,
            refused=self._system.counts.get(REFUSED_COMMITS, 0),
        )

    def note(self, error: StoreError, *, is_commit: bool = False) -> None:
        """Take note of what the store has refused; told once, until it takes something again."""
        self._takes_at_rest = self._takes_at_rest and not is_commit
        before, self.refusal = self.refusal, error
        if before is None:
            self._system.emit(StoreRefuses(str(error), error.remedy))
        if isinstance(error, StoreFenced) and not self.is_fenced:
            self.is_fenced = True
            self._system.emit(StoreTakenOver(str(error)))

    def took(self, *, is_commit: bool = False) -> None:
        """Take note that the store does what it is asked.

        A full disk still does what needs no room: what a commit was refused, another shows to be
        over.
        """
        if self.refusal is not None and (is_commit or self._takes_at_rest) and not self.is_fenced:
            self.refusal, self._takes_at_rest = None, True
            self._system.emit(StoreTakesAgain())

    def purge(self, *, kept_s: float) -> None:
        """Have sessions deleted that ended longer ago than this. The janitor; it never waits.

        The wall clock may have jumped since it looked last: what is deleted was old then, too. So
        nothing is at the first look.
        """
        before = self._system.clock.wall_s() - kept_s
        earlier, self._purged_before = self._purged_before, before
        if earlier is not None:
            self._writer.notify(Purge(min(earlier, before)))

    def older(self, session_id: str, after_seq: int, up_to_seq: int) -> Future[tuple[Message, ...]]:
        """Ask the reader for messages; see `Row.older`. Any thread; it never waits."""
        wanted: Future[tuple[Message, ...]] = PortFuture(blocker=self._system.dispatcher)
        read = ReadMessages(session_id, after_seq, up_to_seq)
        try:
            asked = self._reader.ask(read, block=False)
        except CallboardError as error:
            wanted.offer_exception(error)
            return wanted

        def pass_on() -> None:
            if asked.error is None:
                wanted.offer(asked.get())
            else:
                wanted.offer_exception(asked.error)

        asked.when_done(pass_on)
        return wanted

    def load(self, row: Row) -> None:
        """Have the manager told what the last messages of a session are. Any thread."""
        self.loading[row] = None  # first: a reader that begins meanwhile does it, and we again
        self._reader.notify(LoadLog(row))

    def write(self) -> bool:
        """Write one batch and settle it; False when there is none. On the writer's thread."""
        parts = self.journal.take()
        if parts:
            failed = self._written([part.write for part in parts])
            if self.is_closed:  # whoever waited for it has been told
                return False
            if isinstance(failed, StoreError):
                self.note(failed, is_commit=True)
            else:
                self.batches += 1
                self.took(is_commit=True)
            self.journal.settle(failed)
        return bool(parts)

    def _written(self, writes: list[Write]) -> StoreError | Mapping[str, StoreError] | None:
        doubt: StoreOutcomeUnknown | None = None
        for _ in range(UNKNOWN_TRIES):
            try:
                refused = self.store.write(writes)
            except StoreOutcomeUnknown as error:  # the same again does no harm
                doubt = error
            except StoreError as error:
                # Nothing is kept of this attempt; but what of the one before, nobody knows.
                return doubt or error
            except Exception as error:  # noqa: BLE001 -- a host's store may raise anything
                # Its type alone: the text is a stranger's, and may hold what nobody is to read.
                doubt = StoreOutcomeUnknown(f"the store raised {type(error).__name__}")
            else:
                return refused if doubt is None else dict.fromkeys(refused, doubt)
        return doubt


class Purge(Notice, frozen=True):
    """To the writer: delete sessions that ended before this time, UTC."""

    ended_before: float


class WorkOn(Request["tuple[bool, Any]"], frozen=True):
    """To the writer: do one step of an operator's work; the reply is that of `next_step`."""

    steps: Generator[None, None, Any]


class WorkOver(Notice, frozen=True):
    """To the writer: nobody wants an operator's work any more, done or not."""

    steps: Generator[None, None, Any]


class Renew(Notice, frozen=True):
    """To the writer itself: say that this system has the store still."""


class Probe(Notice, frozen=True):
    """To the writer itself: see whether the store takes something again."""


class StoreRefuses(msgspec.Struct, frozen=True):
    """An event of the system's hook: the store takes nothing any more, for now.

    Args:
        error: what it says.
        remedy: what to do.
    """

    log_level: ClassVar[int] = logging.ERROR
    log_event: ClassVar[str] = "store.refuses"

    error: str
    remedy: str


class StoreTakesAgain(msgspec.Struct, frozen=True):
    """An event of the system's hook: the store takes commits again."""

    log_level: ClassVar[int] = logging.INFO
    log_event: ClassVar[str] = "store.takes_again"


class StoreTakenOver(msgspec.Struct, frozen=True):
    """An event of the system's hook: another system has the store; nothing is kept here any more.

    Args:
        error: what the store says.
    """

    log_level: ClassVar[int] = logging.CRITICAL
    log_event: ClassVar[str] = "store.taken_over"

    error: str


class StoreWriter(PinnedActor):
    """Writes what the journal holds, what gathered meanwhile in one transaction.

    It is never interrupted: what it has begun it ends, also when it is killed. Its successor
    waits until it has.

    Args:
        storing: what the system owns.
    """

    interruptible = False

    begun_s: float | None = None
    """Since when it is at the store, on the monotonic clock; None: it is not. See `has_hung`."""

    def __init__(self, storing: Storing) -> None:
        super().__init__()
        self._storing = storing
        self._is_fresh = True
        self._is_to_probe = False
        self._again: Timer | None = None

    def on_start(self) -> None:
        """Go on with what waits."""
        self._storing.line = self.actor_ref.parent
        self.actor_ref.notify(LookAgain())
        self.on_renew(Renew())

    @handles(LookAgain)
    def on_look_again(self, message: LookAgain) -> None:
        """Write what waits, then let others have their turn."""

        def write() -> None:
            for _ in range(BATCHES_PER_TURN):
                self.begun_s = self.system.clock.now_s()
                if self.actor_ref.is_dead or not self._storing.write():
                    break

        self._do(write, message)

    @handles(Purge)
    def on_purge(self, message: Purge) -> None:
        """Delete sessions that ended long ago, some at a time."""

        def purge() -> None:
            before, store = message.ended_before, self._storing.store
            purged = store.purge(ended_before=before, limit=PURGED_AT_ONCE)
            self._storing.took()
            if purged == PURGED_AT_ONCE:
                self.actor_ref.notify(message)

        self._do(purge, message)

    @handles(Renew)
    def on_renew(self, message: Renew) -> None:
        """Say to a store that others can take over that its owner lives."""
        store = self._storing.store
        if not isinstance(store, Leased):
            return

        def renew() -> None:
            store.renew()
            self._storing.took()

        self.send_after(store.renew_every_s, message).is_recurring = True
        self._do(renew, LookAgain())

    @handles(Probe)
    def on_probe(self, message: Probe) -> None:
        """See whether the store takes something again, though nobody has anything to keep."""
        del message
        storing, store = self._storing, self._storing.store
        self._is_to_probe = False
        if storing.refusal is None or not isinstance(store, Probed):
            return

        def probe() -> None:
            store.probe()
            storing.took(is_commit=True)
            storing.journal.settle()  # nothing is in flight: what was refused is marked again

        self._do(probe, LookAgain())

    @handles(WorkOn)
    def on_work_on(self, message: WorkOn) -> tuple[bool, Any]:
        """Do one step of an operator's work.

        Raises:
            StoreError: it failed; so it does while a writer that was killed is still there.
        """
        if not self._enter():
            msg = "a writer that was killed is still at the store"
            raise StoreError(msg)
        self.begun_s = self.system.clock.now_s()
        is_over = True  # and so it is when it raises
        try:
            is_over, done = next_step(message.steps)
            return is_over, done
        finally:
            if is_over:  # before whoever asked knows: he may go on with another one
                self._storing.working.clear()
            self._leave()

    @handles(WorkOver)
    def on_work_over(self, message: WorkOver) -> None:
        """Give up what is left of an operator's work, and take another."""
        if not self._enter():  # a writer that was killed may be at one of its steps
            self.send_after(OCCUPIED_CHECK_S, message)
            return
        working = self._storing.working
        try:
            message.steps.close()
        finally:
            if working.get("work") is message.steps:  # else it was done, and another has begun
                working.clear()
            self._leave()

    def _do(self, act: Callable[[], object], message: Any) -> None:
        """Do something at the store; see that what has come meanwhile is written.

        What the store refuses of it nobody waits for: it is done again another time.
        """
        if not self._enter():
            # As long as it takes: the mailbox is bounded, and health names who hangs.
            self.begun_s = self.begun_s or self.system.clock.now_s()
            if self._again is None or not self._again.is_pending:
                self._again = self.send_after(OCCUPIED_CHECK_S, message)
            return
        self.begun_s = self.system.clock.now_s()
        try:
            act()
        except StoreError as error:
            self._storing.note(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Let others be at the store; see that what has come meanwhile is written."""
        storing = self._storing
        self.begun_s = None
        storing.leave()
        if storing.journal.has_more:
            self.actor_ref.notify(LookAgain())
        if storing.refusal is not None and not (self._is_to_probe or storing.is_fenced):
            self._is_to_probe = True
            self.send_after(PROBE_EVERY_S, Probe()).is_recurring = True

    def _enter(self) -> bool:
        """Be the one who is at the store; False while a killed one is still there."""
        storing = self._storing
        if storing.occupied_by is not None:
            return False
        storing.occupied_by = self.actor_ref
        if self._is_fresh:
            self._is_fresh = False
            storing.journal.resume()
        return True

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)

    def terminate(self, reason: ExitReason) -> None:
        """Write the rest: nothing else runs any more that could commit."""
        del reason
        if self._enter():
            try:
                self._storing.journal.resume()  # what it had in flight, if it has crashed over that
                while self._storing.write():
                    pass
            finally:
                self._storing.leave()


class ReadMessages(Request["tuple[Message, ...]"], frozen=True):
    """To the reader: return these messages."""

    session_id: str
    after_seq: int
    up_to_seq: int


class LoadLog(msgspec.Struct, frozen=True):
    """To the reader: tell the manager what the last messages of this session are."""

    row: Any


class StoreReader(PinnedActor):
    """Reads what is not in memory, over a connection of its own.

    Args:
        storing: what the system owns.
    """

    begun_s: float | None = None
    """Since when it is at the store, on the monotonic clock; None: it is not. See `has_hung`."""

    def __init__(self, storing: Storing) -> None:
        super().__init__()
        self._storing = storing
        self._store = storing.store.reader()

    def on_start(self) -> None:
        """Go on with what the one before had in hand when it ended: a start waits for it."""
        for row in list(self._storing.loading):
            self.actor_ref.notify(LoadLog(row))

    @handles(ReadMessages)
    def on_read_messages(self, message: ReadMessages) -> tuple[Message, ...]:
        """Return messages of a session.

        Raises:
            StoreError: they cannot be read.
        """
        return self._read(message.session_id, message.after_seq, message.up_to_seq)

    @handles(LoadLog)
    def on_load_log(self, message: LoadLog) -> None:
        """Tell the manager what the last messages of a session are."""
        row: Row = message.row
        if row not in self._storing.loading:
            return  # told already
        log: Log | None = None
        error: StoreError | None = None
        try:
            log = self._log(row.id, row.tip().log.last_seq)
        except StoreError as refusal:
            error = refusal
        except Exception as raised:  # noqa: BLE001 -- a host's store may raise anything
            # Its type alone: the text is a stranger's, and may hold what nobody is to read.
            error = StoreError(f"the store raised {type(raised).__name__}")
        self._storing.announce(LogLoaded(row, log, error))
        self._storing.loading.pop(row, None)

    def _log(self, session_id: str, last_seq: int) -> Log:
        first_seq = here_from(last_seq)
        keyed: tuple[Message, ...] = ()
        if first_seq > 1:
            self.begun_s = self.system.clock.now_s()
            try:
                found = self._store.keyed(session_id, up_to_seq=first_seq - 1, limit=KEYS_MAX)
            finally:
                self.begun_s = None
            keyed = _readable(session_id, found)
        messages = self._read(session_id, first_seq - 1, last_seq)
        return log_of(messages, first_seq=first_seq, keyed=keyed)

    def _read(self, session_id: str, after_seq: int, up_to_seq: int) -> tuple[Message, ...]:
        self.begun_s = self.system.clock.now_s()
        try:
            found = self._store.messages(session_id, after_seq=after_seq, up_to_seq=up_to_seq)
        finally:
            self.begun_s = None
        messages = _readable(session_id, found)
        if [each.seq for each in messages] != list(range(after_seq + 1, up_to_seq + 1)):
            msg = f"messages of session {session_id} are missing after {after_seq}"
            raise _damaged(msg)
        return messages

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)

    def terminate(self, reason: ExitReason) -> None:
        """Let go of the connection."""
        del reason
        self._store.close()


CHECK: Final = "Look at it with `callboard store check`."
"""What to do about a session that the store does not have as it should."""


def _readable(session_id: str, found: tuple[MessageRecord, ...]) -> tuple[Message, ...]:
    try:
        return tuple(map(message, found))
    except Unreadable as error:
        msg = f"a message of session {session_id} cannot be read: {error}"
        raise _damaged(msg) from None


def _damaged(msg: str) -> StoreError:
    error = StoreError(msg)
    error.remedy = CHECK
    return error
