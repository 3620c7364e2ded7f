"""Who writes to a durable store, and reads from it? The journal and its two actors.

The system owns the journal and the store, so no actor's death loses a commit or a file. Each actor
has a thread of its own: a disk may take its time, and nobody else waits in line with it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from callboard.actors.errors import (
    StoreDamaged,
    StoreError,
    StoreFenced,
    StoreOutcomeUnknown,
    StoreRefused,
)
from callboard.actors.messages import StoreHealth
from callboard.actors.sessions.coding import SessionCoder
from callboard.actors.sessions.data import Message, Session
from callboard.actors.sessions.internal import LookAgain
from callboard.actors.sessions.log import Log
from callboard.actors.sessions.naming import READER, WRITER
from callboard.actors.sessions.store_reader import LoadLog, ReadMessages, StoreReader
from callboard.actors.sessions.store_writer import Purge, StoreWriter
from callboard.actors.sessions.table import Row
from callboard.actors.storage.guarded import REFUSED_COMMITS
from callboard.actors.storage.journal import Journal
from callboard.actors.storage.records import Store, Write
from callboard.supervision import (
    ActorSystem,
    Address,
    CallboardError,
    Future,
    Timeout,
)
from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.specs import ChildSpec
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.futures import PortFuture

DELAYS: Final = Backoff(delays_s=(0.0, 0.1, 1.0, 10.0))
"""How long to wait before a restart of the writer: a store that fails it again and again must not
use up the budget of the line."""

WRITER_SHUTDOWN_S: Final = 10.0
"""Seconds that the writer has to write the rest when the system stops."""

CLOSE_LEAST_S: Final = 1.0
"""Seconds that the store has to close in any case, when the rest of a stop has used up its time."""

CLOSER: Final = "closing"
"""The end of the name of the thread that waits for it."""

STEPS_TOLD: Final = 3
"""Steps of the way to where a store has raised that are told, the innermost."""

UNKNOWN_TRIES: Final = 2
"""How often a batch is written whose outcome is not known, before its askers are told so."""


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


class StoreRaised(msgspec.Struct, frozen=True):
    """An event of the system's hook: a store has raised what is no `StoreError`. It has a bug.

    Args:
        error: the name of the exception's type. Not its text, which is a stranger's, and may hold
            what nobody is to read.
        where: the innermost steps of the way to where it was raised, that first: file, line, name.
    """

    log_level: ClassVar[int] = logging.ERROR
    log_event: ClassVar[str] = "store.raised"

    error: str
    where: str


def tell_where(system: ActorSystem, error: Exception) -> str:
    """Tell where a store has raised what it should not; return what whoever asked is told.

    That is its type alone: the text is a stranger's, and may hold what nobody is to read.
    """
    innermost = reversed(crashed(error).walk[-STEPS_TOLD:])
    system.emit(StoreRaised(type(error).__name__, " < ".join(map(str, innermost))))
    return f"the store raised {type(error).__name__}"


class StoreTakesAgain(msgspec.Struct, frozen=True):
    """An event of the system's hook: the store takes commits again."""

    log_level: ClassVar[int] = logging.INFO
    log_event: ClassVar[str] = "store.takes_again"


class StoreIsDamaged(msgspec.Struct, frozen=True):
    """An event of the system's hook: something in the store is damaged, the first that was found.

    Args:
        error: what it says.
        remedy: what to do.
    """

    log_level: ClassVar[int] = logging.ERROR
    log_event: ClassVar[str] = "store.damaged"

    error: str
    remedy: str


class StoreTakenOver(msgspec.Struct, frozen=True):
    """An event of the system's hook: another system has the store; nothing is kept here any more.

    Args:
        error: what the store says.
    """

    log_level: ClassVar[int] = logging.CRITICAL
    log_event: ClassVar[str] = "store.taken_over"

    error: str


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
        self.loading: dict[Row, None] = {}
        """Sessions whose last messages the reader has been asked for, and has not told of."""
        self.refusal: StoreError | None = None
        """What the store has refused, until it is seen to take something; None: it takes."""
        self.damage: StoreDamaged | None = None
        """What was found damaged first: it stays so until the store is opened anew."""
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
        self._is_let_go = False
        """Whether the store has been told to close."""
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

    def close(self, *, within_s: float) -> tuple[str, ...]:
        """Let go of the store; what it has not kept is refused. When the system has stopped.

        A writer that was killed while the disk hangs may be at the store still. It is not waited
        for: it lets go of the store itself when it comes back, or the process ends before. Until
        then nobody else has the store, for what it writes may still be kept. Nor is a close waited
        for that hangs.

        Args:
            within_s: seconds that the store has for it.

        Returns:
            The name of the thread that is still at it; none if none is.
        """
        self.is_closed = True
        if self.occupied_by is not None:
            lost = "the system was stopped while the store was keeping this"
            self.journal.fail_in_flight(StoreOutcomeUnknown(lost))
        self.journal.fail_all(StoreError("the system was stopped before this was kept"))
        if self.occupied_by is None and not self._is_let_go:
            try:
                self._system.aside(self._let_go, name=CLOSER, timeout_s=within_s)
            except Timeout:
                return (f"{self._system.name}-{CLOSER}",)
            except RuntimeError:
                if self._is_let_go:
                    raise  # the store has
                self._let_go()  # no thread can be started, as at the exit of the interpreter
        return ()

    def _let_go(self) -> None:
        self._is_let_go = True  # once: a stop that is repeated does not come between
        self.store.close()

    def leave(self) -> None:
        """Be at the store no more; see that what has come meanwhile is written.

        By whoever writes then: the writer that was there may have been killed, and nobody has
        been woken as long as it was.
        """
        self.occupied_by = None
        if self.is_closed:
            self.store.close()
        else:
            self.look()

    def look(self) -> None:
        """See that what waits is written. Whoever was woken and has not looked for it himself."""
        if self.journal.has_more:
            self._wake()

    def health(self) -> StoreHealth:
        """Say how the store is. Any thread, no message."""
        refusal = self.refusal
        told = refusal or self.damage
        return StoreHealth(
            is_taking=refusal is None,
            is_damaged=self.damage is not None,
            error=None if told is None else str(told),
            remedy=None if told is None else told.remedy,
            waiting=self.journal.waiting(),
            kept=self.journal.kept,
            batches=self.batches,
            refused=self._system.counts.get(REFUSED_COMMITS, 0),
        )

    def note(self, said: StoreError | StoreRefused, *, is_commit: bool = False) -> None:
        """Take note of what the store has refused; told once, until it takes something again.

        That somebody else has it is for good: nothing that is said later says more.
        """
        if self.is_fenced:
            return
        error = _refusal_of(said)
        self._takes_at_rest = self._takes_at_rest and not is_commit
        before, self.refusal = self.refusal, error
        if before is None:
            self._system.emit(StoreRefuses(str(error), error.remedy))
        if isinstance(error, StoreDamaged):
            self.note_damage(error)
        if isinstance(error, StoreFenced) and not self.is_fenced:
            self.is_fenced = True
            self._system.emit(StoreTakenOver(str(error)))

    def note_damage(self, error: StoreDamaged) -> None:
        """Take note of what was found damaged; the first is told. The writer, and the reader.

        That something else can be read and written says nothing of it.
        """
        if self.damage is None:
            self.damage = error
            self._system.emit(StoreIsDamaged(str(error), error.remedy))

    def raised(self, error: Exception) -> str:
        """Tell where a store has raised what it should not; return what whoever asked is told."""
        return tell_where(self._system, error)

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
        """Ask the reader for messages; see `Row.older`. Any thread; it never waits.

        Whoever waits for them waits as long as for any answer, `ask_timeout_s`, or sets another
        deadline: the reader may hang at the disk.
        """
        dispatcher = self._system.dispatcher
        until_s = dispatcher.now_s() + self._system.settings.ask_timeout_s
        deadline_s = None if until_s == math.inf else until_s
        wanted: Future[tuple[Message, ...]] = PortFuture(None, deadline_s, dispatcher)
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
            except (StoreError, StoreRefused) as said:
                refusal = _refusal_of(said)
                if isinstance(refusal, StoreFenced):
                    self.note(refusal)  # apart: a doubt does not say so
                # Nothing is kept of this attempt; but what of the one before, nobody knows.
                return doubt or refusal
            except Exception as error:  # noqa: BLE001 -- a host's store may raise anything
                doubt = StoreOutcomeUnknown(self.raised(error))
            else:
                return refused if doubt is None else dict.fromkeys(refused, doubt)
        return doubt


def _refusal_of(said: StoreError | StoreRefused) -> StoreError:
    """Return what a store at work refuses.

    One that cannot be used any more, as it could when the system began, is somebody else's now: to
    try again does not help, so it is for good.
    """
    return said if isinstance(said, StoreError) else StoreFenced(said.path, because=said)
