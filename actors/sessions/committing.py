"""One message, one commit: what a handler changed is kept when it returns, or undone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import msgspec

from callboard.actors.checks import check, check_own
from callboard.actors.errors import (
    InvalidField,
    SessionTerminating,
    StoreError,
    StoreOutcomeUnknown,
)
from callboard.actors.messages import AppendMessage, SessionMessage
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.data import Message, Role, Session, SessionPatch
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.holds import Hold, HoldKind
from callboard.actors.sessions.log import Log, joined
from callboard.actors.sessions.owing import Owed, Turn
from callboard.actors.sessions.spawn import is_half_spawned
from callboard.actors.sessions.states import SessionState, takes_messages
from callboard.actors.storage.chain import Pending
from callboard.actors.storage.commits import CommitOutcome
from callboard.supervision import (
    LATER,
    FencedError,
    Future,
    InvalidSpec,
    Refusal,
    SupervisedActor,
    Timeout,
)
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.futures import Owner, PortFuture

if TYPE_CHECKING:
    from callboard.actors.sessions.services import Services
    from callboard.actors.sessions.table import Row
    from callboard.supervision.runtime.ending import EndingCell

D = TypeVar("D")


class _Reply(msgspec.Struct, frozen=True, eq=False):
    """What an asker is told when all is kept that it is built upon.

    No closure: there is one with every append, and the garbage collector would have each of its
    parts to look at.
    """

    asked: Future[Any]
    value: Any
    error: Exception | None

    def __call__(self, refusal: StoreError | None) -> None:
        wrong = refusal or self.error
        if wrong is None:
            self.asked.offer(self.value)
        else:
            self.asked.offer_exception(wrong)


class CommittingActor(SupervisedActor, Generic[D]):
    """The part of a session's actor that its behaviour changes the session with.

    Args:
        row: the session's place in the table.
        services: what the system lends.
    """

    _callboard_async: ClassVar[frozenset[type[Any]]] = frozenset()
    """Which messages have a handler that is a coroutine function."""

    _row: Row
    _services: Services
    _is_durable: bool
    _draft: Draft | None = None

    _begun_with: Pending | None = None
    """What this incarnation has handed in at its start, if a durable store is to keep it."""

    _is_async = False
    """Whether an `async` handler is at work."""

    _has_owed = False
    """Whether a handler of this incarnation has owed an answer: it may be given at any time."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._callboard_async = frozenset(
            kind
            for kind, handler in cls._callboard_handlers.items()
            if inspect.iscoroutinefunction(handler)
        )

    def __init__(self, row: Row, services: Services) -> None:
        super().__init__()
        self._row = row
        self._services = services
        self._is_durable = services.journal is not None

    # -- what a behaviour may use ------------------------------------------

    @property
    def session(self) -> Session:
        """The snapshot with all changes so far, those of this handler included."""
        return self._working().session

    @property
    def data(self) -> D:
        """The behaviour's own part of the snapshot."""
        data: Any = self._working().session.data
        return data  # type: ignore[no-any-return]  # its type is the subclass's promise

    def messages(self, *, last: int) -> tuple[Message, ...]:
        """Return the last messages of the log, in order, those of this handler included.

        With a durable store the last 200 are here; more of them are read from there, for which
        the handler waits. In an `async` one there is `await self.messages_async(last=...)`.

        Raises:
            StoreError: they cannot be read.
            InvalidSpec: an `async` handler wants more than are here.
        """
        log, after_seq, wanted = self._wanted(last)
        if wanted is None:
            return log.last(last)
        if self._is_async:
            raise InvalidSpec("last", last, "Await self.messages_async(last=...).")
        older = wanted.get(timeout=self.system.settings.ask_timeout_s)
        return joined(log, older, after_seq=after_seq, limit=last)

    async def messages_async(self, *, last: int) -> tuple[Message, ...]:
        """Return the last messages of the log, as `messages` does, in an `async` handler.

        Raises:
            StoreError: they cannot be read.
        """
        log, after_seq, wanted = self._wanted(last)
        if wanted is None:
            return log.last(last)
        return joined(log, await wanted, after_seq=after_seq, limit=last)

    def _wanted(self, last: int) -> tuple[Log, int, Future[tuple[Message, ...]] | None]:
        log = self._working().log
        after_seq = max(0, log.last_seq - last)
        return log, after_seq, self._row.older(after_seq, last, log)

    def append(
        self,
        role: Role,
        content: str,
        *,
        client_msg_id: str | None = None,
        metadata: Mapping[str, object] = EMPTY,
    ) -> Message:
        """Append a message to the log; kept when the handler returns.

        Raises:
            SessionTerminating: the session takes nothing new.
            IdempotencyConflict: the key was used with other content.
            InvalidField, MessageTooLarge: a text or structure is out of bounds.
            InvalidSpec: a slip of the behaviour's own, a wrong type, or no handler is at work:
                no refusal, but a crash.
        """
        self._see_that_it_is_at_work("append")
        own = AppendMessage(self._row.id, role, content, client_msg_id, metadata)
        check_own(own, self._services.limits)
        return self._append(role, content, client_msg_id=client_msg_id, metadata=metadata)

    def _append(
        self,
        role: Role,
        content: str,
        *,
        client_msg_id: str | None,
        metadata: Mapping[str, object],
    ) -> Message:
        clock = self.system.clock
        return self._working().append(
            role,
            content,
            wall_s=clock.wall_s(),
            now_s=clock.now_s(),
            client_msg_id=client_msg_id,
            metadata=metadata,
        )

    def update(self, *, data: D | None = None, patch: SessionPatch | None = None) -> Session:
        """Replace the behaviour's data, or what a patch names; kept when the handler returns.

        Raises:
            SessionTerminating: the session takes nothing new.
            InvalidField, MessageTooLarge: what the patch sets is out of bounds.
            InvalidSpec: a slip of the behaviour's own, which is no refusal, but a crash: the data
                is no frozen struct, the patch is none, or sets what has a wrong type; or no
                handler is at work.
        """
        self._see_that_it_is_at_work("update")
        if patch is not None:
            if not isinstance(patch, SessionPatch):
                raise InvalidSpec("patch", patch, "Give SessionPatch(...).")
            check_own(patch, self._services.limits)
        draft, clock = self._working(), self.system.clock
        wall_s, now_s = clock.wall_s(), clock.now_s()
        if data is not None:
            draft.set_data(data, wall_s=wall_s, now_s=now_s)
        if patch is not None:
            draft.update(patch, wall_s=wall_s, now_s=now_s)
        return draft.session

    def commit(self) -> None:
        """Keep what this handler has changed so far, whatever becomes of the rest of it.

        With a durable store it returns when that has kept it; but in an `async` handler, which
        must not block, and while the actor starts, when it is handed in: the first of them
        has `await self.commit_async()`.

        Raises:
            StoreError: the store did not keep it: the session is at its last commit.
            StoreOutcomeUnknown: it has not answered in the time that the asker has.
            InvalidSpec: no handler is at work.
        """
        settled = self._settled()
        if settled is not None and self.actor_ref.is_started and not self._is_async:
            try:
                settled.get(timeout=self.system.settings.ask_timeout_s)
            except Timeout:
                msg = "the store has not answered in time"
                raise StoreOutcomeUnknown(msg) from None
            except StoreError:
                self._working().rebase()
                raise

    async def commit_async(self) -> None:
        """Do the same in an `async` handler: it has been kept when this returns.

        Raises:
            StoreError: the store did not keep it: the session is at its last commit.
        """
        settled = self._settled()
        if settled is not None:
            try:
                await settled
            except StoreError:
                self._working().rebase()
                raise

    def _settled(self) -> Future[None] | None:
        """Hand in what has changed; return what is done when all is kept, None when it is."""
        self._see_that_it_is_at_work("commit")
        draft = self._hand_in()
        if not self._is_durable:
            return None
        settled: Future[None] = PortFuture(blocker=self.system.dispatcher)
        if not draft.when_kept(partial(_settle, settled)):
            return None
        storing = self._services.storing
        if storing is not None and not settled.is_done:
            storing.watch(settled)
        return settled

    def _hand_in(self) -> Draft:
        """Hand in what has changed; return the draft that goes on upon it.

        Raises:
            StoreError: it was not even taken: the session is at its last commit.
        """
        draft = self._working()
        if draft.has_changed:
            self._keep(draft)
        return draft

    def _see_that_it_is_at_work(self, what: str) -> None:
        """Refuse what would become a part of whatever is handled next, and be undone with that.

        Whose thread or task it is that calls while a handler is at work is not looked at: that
        handler may wait for it. Of a killed incarnation nothing is kept anyhow.

        Raises:
            InvalidSpec: neither a handler nor the start or the end is at work.
        """
        cell = self.actor_ref
        if cell.baton and cell.operation is None and not cell.is_dead:
            said = f"of {cell.name}, where no handler of it is at work"
            remedy = "Tell the session (self.actor_ref.tell), and change it in the handler of that."
            raise InvalidSpec(what, said, remedy)

    def reply_later(self, *, outlives: bool = False, owed_by: Owner | None = None) -> Future[Any]:
        """Return what answers the message in hand another time; see `SupervisedActor.reply_later`.

        What is offered, by whomever and on whatever thread, reaches the asker when all is kept
        that it may confirm: what was handed in by then, what this handler has changed, and what
        the handler has changed that offers it, be it of another session. If a handler is refused,
        or the store refuses, the asker gets that; if it crashes, as whoever asks one that does.
        """
        asked = super().reply_later(outlives=outlives, owed_by=owed_by)
        self._has_owed = True
        return Owed(asked, self._turn(), self._built_upon, self._at_point)

    def _asker(self, *, outlives: bool = False) -> Future[Any]:
        """Return the future of the message in hand itself, for who commits before he answers."""
        return super().reply_later(outlives=outlives)

    def _turn(self) -> Turn:
        """Return the handler at work, for whoever waits for what becomes of what it changes."""
        return turn_of(self._working(), self.actor_ref)

    def _built_upon(self, maker: Turn) -> list[Future[None]]:
        """Return what is done when all is kept, or not, that an answer of now may confirm.

        From any thread, and when this incarnation has ended, too.

        Args:
            maker: the handler of it that owes the answer.
        """
        runner = local.runner
        cell = None if runner is None else runner.cell
        address = None if cell is None else cell.address
        giver = address.row if isinstance(address, SessionAddress) else None
        upon: list[Future[None]] = []
        if giver is not self._row:
            upon += (maker.outcome, *_unkept_of(self._row, None))
        elif turn_at_work(self._row) is not maker:
            upon.append(maker.outcome)
        if giver is not None:
            upon += _unkept_of(giver, cell)
        return upon

    def _at_point(self, label: str, owed: Owed) -> None:
        point = self.system.point
        if point is not None:
            point(label, self.actor_ref, owed)

    def hold(self, kind: HoldKind = HoldKind.WORK) -> Hold:
        """Say that something goes on after this handler: the session does not sleep meanwhile.

        A prompt that another message ends, a tool that is called, a client that is attached.
        While there is `WORK` it does not expire either, and a shutdown waits for it. It ends
        with `release()`, or with the incarnation.

        Args:
            kind: what it keeps off.
        """
        return self._working().hold(kind)

    # -- one message, one commit -------------------------------------------

    def _go_on_from_what_is_kept(self, *, is_asked: bool) -> None:
        """Return to what there is if the store has not kept what was handed in before.

        Raises:
            StoreError: not even that with which this incarnation began, or the one before it, upon
                which all else stands: this one ends, and the next one begins anew.
        """
        draft, begun = self._working(), self._begun_with
        if draft.is_given_up:
            draft.rebase()
        is_refused = False
        if begun is not None and begun.is_settled:
            self._begun_with = None
            is_refused = begun.error is not None
        session = draft.session
        if session.state is not SessionState.ACTIVE:
            # When it has begun it is further than that; nobody is answered while it is spawned.
            is_refused = is_refused or session.state is SessionState.CREATED
            is_refused = is_refused or (is_asked and is_half_spawned(session))
        if is_refused:
            self.stop()
            msg = f"what session {self._row.id} began with was not kept"
            raise StoreError(msg)

    def _handle_receive(self, message: Any) -> Any:
        is_asked = isinstance(message, SessionMessage)
        if self._is_durable:
            self._go_on_from_what_is_kept(is_asked=is_asked)
        if is_asked:
            known: SessionMessage[Any] = message  # pyright: ignore[reportUnknownVariableType]  # any reply
            check(known, self._services.limits)
            session = self._working().session
            if message.session_id != session.id:
                raise InvalidField("session_id", message.session_id, f"This is {session.id}.")
            if not takes_messages(session.state):
                error = SessionTerminating(session.id)
                if self._is_durable and self._replied_when_kept(None, error):
                    return LATER  # that it ends is known when its end is kept
                raise error
        anything: Any = message  # pyright: ignore[reportUnknownVariableType]  # whatever it was
        is_async = type(anything) in self._callboard_async
        if self._has_owed:
            self._turn()
        # What is declared short is not looked after: it would pay for it with every message.
        if is_async or not self.hand_off:
            self._services.at_work[self._row] = self.system.clock.now_s()
        handle = super()._handle_receive
        if is_async:
            return self._awaited(partial(handle, message), is_asked=is_asked)
        try:
            result = handle(message)
        except Refusal as refusal:
            self._undo(refusal)
            if self._is_durable and is_asked and self._replied_when_kept(None, refusal):
                return LATER
            raise
        finally:
            if is_asked:  # once it is over, for it may have taken long; meanwhile it is busy
                self._row.heard_s = self.system.clock.now_s()
        if type(result) is CoroutineType:
            awaitable = cast("Coroutine[Any, Any, Any]", result)
            return self._awaited(lambda: awaitable, is_asked=is_asked)
        return self._kept(result, is_asked=is_asked)

    async def _awaited(
        self, begin: Callable[[], Coroutine[Any, Any, Any]], *, is_asked: bool
    ) -> Any:
        self._is_async = True
        # The handler's coroutine is made when this one begins: one that is cancelled before it
        # began must not leave another behind that nobody awaits.
        try:
            result = await begin()
        except BaseException as error:  # whatever it is: nothing is kept; it goes on
            # A refusal, or cancelled since its asker's time ran out: the actor lives on.
            self._undo(error)
            refusal = error if isinstance(error, Refusal) and self._is_durable else None
            if refusal and is_asked and self._replied_when_kept(None, refusal):
                return LATER
            raise
        finally:
            self._is_async = False
            if is_asked:
                self._row.heard_s = self.system.clock.now_s()
        return self._kept(result, is_asked=is_asked)

    def _undo(self, error: BaseException) -> None:
        """Undo what the handler has changed, held and offered: none of it was."""
        self._rest()
        draft = self._working()
        draft.discard()
        if isinstance(error, Exception) and not isinstance(error, Refusal):
            return  # the end of the actor tells the others
        if not isinstance(error, Exception):
            error = Timeout("the handler that had the answer was cancelled", address=self._row.id)
        self._end_turn(error)

    def _end_turn(self, error: Exception) -> None:
        """Say why what the handler has changed was undone, which goes on no more."""
        draft = self._working()
        turn = draft.turn
        if turn is not None:
            turn.outcome.offer_exception(error)
            draft.turn = None

    def _rest(self) -> None:
        """Be at work no more."""
        self._services.at_work.pop(self._row, None)

    def _kept(self, result: Any, *, is_asked: bool) -> Any:
        # What answers this very message is no value for it: as if `LATER` were returned.
        if type(result) is Owed and result.asked is self.actor_ref.future_in_hand():
            result = LATER
        if self._services.at_work:
            self._rest()
        draft = self._working()
        if draft.new_holds is not None:
            draft.new_holds = None
        if draft.has_changed:
            if is_asked:
                draft.active_s = self._row.heard_s  # one moment, and one object, for both
            try:
                self._keep(draft)
            except StoreError as error:
                self._end_turn(error)
                raise
        turn = draft.turn
        if turn is not None:
            self._settle_when_kept(turn.outcome)
            draft.turn = None
        if (
            self._is_durable
            and is_asked
            and result is not LATER
            and self._replied_when_kept(result)
        ):
            return LATER
        return result

    # -- with a durable store ----------------------------------------------

    def _replied_when_kept(self, value: Any, error: Exception | None = None) -> bool:
        """Have the message in hand answered when all is kept that the answer is built upon.

        Returns:
            False when nothing waits for the store: answer now.
        """
        draft = self._working()
        if draft.is_kept:
            return False
        reply = _Reply(self.actor_ref.future_in_hand(), value, error)
        if not draft.when_kept(reply):
            reply(None)
        return True

    def _settle_when_kept(self, outcome: Future[None]) -> None:
        """Have this settled when all is kept that this actor goes on upon, or not."""
        if not (self._is_durable and self._working().when_kept(partial(_settle, outcome))):
            outcome.offer(None)

    def _follow(self, refusal: StoreError | None) -> None:
        if refusal is None:
            self._log_grew()

    def _keep(self, draft: Draft) -> None:
        services = self._services
        # `Services.keep`, written out for when nobody listens: it is a part of every append.
        is_heard = services.feed.is_heard
        try:
            outcome = services.keep(draft) if is_heard else services.commit(draft.hand_in())
        except StoreError as error:
            draft.rebase()
            if draft.turn is not None:
                draft.turn.hand_in().offer_exception(error)
            if not self.actor_ref.is_started:
                self._services.book.starts.refuse(self._row, error)
            raise
        if outcome is CommitOutcome.FENCED:
            self.system.count("fenced_commits")
            msg = f"a later incarnation of session {self._row.id} has begun"
            raise FencedError(msg, address=self._row.id)
        if draft.turn is not None:
            self._settle_when_kept(draft.turn.hand_in())
        if draft.session.client is not None and not (
            outcome is CommitOutcome.WAITING and draft.when_kept(self._follow)
        ):
            self._log_grew()

    def _working(self) -> Draft:
        draft = self._draft
        assert draft is not None, "a subclass's on_start calls super().on_start() first"
        return draft

    def _log_grew(self) -> None:
        """Be told that there is more in the log, of a session that a client follows."""


def turn_at_work(row: Row) -> Turn | None:
    """Return the handler at work in a session, if anybody may wait for it. Any thread."""
    draft = row.holder
    return draft.turn if isinstance(draft, Draft) else None


def _unkept_of(row: Row, cell: EndingCell[Any] | None) -> Iterator[Future[None]]:
    """Yield what is done when all is kept, or not, that a session has changed by now.

    Args:
        row: of the session.
        cell: the incarnation of it that looks, from within its handler; None: somebody else does.
    """
    draft = row.holder
    if cell is not None and cell.is_dead:
        cell.system.count("fenced_replies")
        refused: Future[None] = Future()
        refused.offer_exception(cell.killed_error())
        yield refused
    elif isinstance(draft, Draft) and not draft.is_handed_in:
        turn = draft.turn if cell is None else turn_of(draft, cell)
        if turn is not None:
            yield turn.outcome
    there: Future[None] = Future()
    if row.when_settled(partial(_settle, there)):
        yield there


def turn_of(draft: Draft, cell: EndingCell[Any]) -> Turn:
    """Return the handler at work, from within it."""
    turn = draft.turn
    if turn is None:
        turn = draft.turn = Turn()
        if cell.is_dead:  # since it was killed nobody looks for it there
            turn.die(cell.killed_error())
    return turn


def _settle(settled: Future[None], error: StoreError | None) -> None:
    if error is None:
        settled.offer(None)
    else:
        settled.offer_exception(error)
