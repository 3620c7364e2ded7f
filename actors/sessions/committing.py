"""One message, one commit: what a handler changed is kept when it returns, or undone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import msgspec

from callboard.actors.checks import check, check_own
from callboard.actors.errors import (
    InvalidField,
    SessionTerminating,
    StoreError,
    StoreOutcomeUnknown,
)
from callboard.actors.messages import AppendMessage, SessionMessage
from callboard.actors.sessions.data import Message, Role, Session, SessionPatch
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.holds import Hold, HoldKind
from callboard.actors.sessions.log import Log, joined
from callboard.actors.sessions.owing import Owed
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

D = TypeVar("D")


class Pledge(NamedTuple):
    """Something that a handler does only if what it has changed is kept."""

    keep: Callable[[], object]
    drop: Callable[[BaseException], object]


class _Reply(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What an asker is told when all is kept that it is built upon.

    No closure: there is one with every append, and each of its parts would be the garbage
    collector's to look at.
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

    _async_messages: ClassVar[frozenset[type[Any]]] = frozenset()
    """Which messages have a handler that is a coroutine function."""

    _draft: Draft | None = None

    _begun_with: Pending | None = None
    """What this incarnation has handed in at its start, if a durable store is to keep it."""

    _is_async = False
    """Whether an `async` handler is at work."""

    _pledges: list[Pledge] | None = None
    """What is to be done when that which the handler at work has changed is kept."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._async_messages = frozenset(
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
        wanted = self._row.older(after_seq, log.first_seq - 1 - after_seq)
        return log, after_seq, wanted if after_seq + 1 < log.first_seq else None

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
            InvalidSpec: a slip of the behaviour's own, a wrong type: no refusal, but a crash.
        """
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
                is no frozen struct, the patch is none, or sets what has a wrong type.
        """
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
        draft = self._working()
        if draft.has_changed:
            self._keep(draft)
        if not self._is_durable:
            return None
        settled: Future[None] = PortFuture(blocker=self.system.dispatcher)
        if not draft.when_kept(partial(_settle, settled)):
            return None
        storing = self._services.storing
        if storing is not None and not settled.is_done:
            storing.watch(settled)
        return settled

    def reply_later(self, *, outlives: bool = False, owed_by: Owner | None = None) -> Future[Any]:
        """Return what answers the message in hand another time; see `SupervisedActor.reply_later`.

        What a handler of the session's offers reaches its asker when what that handler has
        changed is kept. If the handler is refused, or the store refuses, the asker gets that; if
        it crashes, as whoever asks one that does.
        """
        asked = super().reply_later(outlives=outlives, owed_by=owed_by)
        return Owed(asked, self._holds_back, outlives=outlives)

    def _asker(self, *, outlives: bool = False) -> Future[Any]:
        """Return the future of the message in hand itself, for who commits before he answers."""
        return super().reply_later(outlives=outlives)

    def _holds_back(self, owed: Owed) -> bool:
        runner, draft = local.runner, self._draft
        if draft is None or not draft.has_changed:
            return False
        if runner is None or runner.cell is not self.actor_ref:
            return False
        asked = owed.asked
        self._pledge(owed.pass_on, asked.offer_exception)
        if owed.outlives:  # but not a crash now: what it confirms was not kept
            cell = self.actor_ref
            if not cell.when_dead(asked, lambda _: asked.offer_exception(cell.dead_error())):
                asked.offer_exception(cell.dead_error())
            asked.when_done(lambda: cell.forget_bond(asked))
        return True

    def _pledge(self, keep: Callable[[], object], drop: Callable[[BaseException], object]) -> None:
        """Have `keep()` called when what the handler at work changes is kept, else `drop(why)`."""
        if self._pledges is None:
            self._pledges = []
        self._pledges.append(Pledge(keep, drop))

    def _keep_pledges(self) -> None:
        pledges, self._pledges = self._pledges, None
        for each in pledges or ():
            each.keep()

    def _drop_pledges(self, error: BaseException) -> None:
        pledges, self._pledges = self._pledges, None
        if not isinstance(error, Exception):
            error = Timeout("the handler that had the answer was cancelled", address=self._row.id)
        for each in pledges or ():
            each.drop(error)

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
        is_async = type(anything) in self._async_messages
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
        self._working().discard()
        is_crash = isinstance(error, Exception) and not isinstance(error, Refusal)
        if self._pledges is not None and not is_crash:  # the end of the actor tells the others
            self._drop_pledges(error)

    def _rest(self) -> None:
        """Be at work no more."""
        self._services.at_work.pop(self._row, None)

    def _kept(self, result: Any, *, is_asked: bool) -> Any:
        if self._services.at_work:
            self._rest()
        draft = self._working()
        if draft.new_holds is not None:
            draft.new_holds = None
        if draft.has_changed:
            if is_asked:
                draft.active_s = self._row.heard_s  # one moment, and one object, for both
            self._keep(draft)
        elif self._pledges is not None:
            self._keep_pledges()
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

    def _go_on_when_kept(self, draft: Draft) -> None:
        """Have done what waits for this commit, by the writer of the store."""
        pledges, self._pledges = self._pledges, None
        follows = draft.session.client is not None
        if pledges or follows:
            draft.when_kept(partial(self._redeem, pledges or [], follows))

    def _redeem(self, pledges: list[Pledge], follows: bool, refusal: StoreError | None) -> None:  # noqa: FBT001 -- it is called back
        for each in pledges:
            if refusal is None:
                each.keep()
            else:
                each.drop(refusal)
        if follows and refusal is None:
            self._log_grew()

    def _keep(self, draft: Draft) -> None:
        services = self._services
        # `Services.keep`, written out for when nobody listens: it is a part of every append.
        is_heard = services.feed.is_heard
        try:
            outcome = services.keep(draft) if is_heard else services.commit(draft.hand_in())
        except StoreError as error:
            draft.rebase()
            if self._pledges is not None:
                self._drop_pledges(error)
            if not self.actor_ref.is_started:
                self._services.book.starts.refuse(self._row.id, error)
            raise
        if outcome is CommitOutcome.FENCED:
            self.system.count("fenced_commits")
            msg = f"a later incarnation of session {self._row.id} has begun"
            raise FencedError(msg, address=self._row.id)
        if outcome is CommitOutcome.WAITING:
            self._go_on_when_kept(draft)
            return
        if self._pledges is not None:
            self._keep_pledges()
        if draft.session.client is not None:
            self._log_grew()

    def _working(self) -> Draft:
        draft = self._draft
        assert draft is not None, "a subclass's on_start calls super().on_start() first"
        return draft

    def _log_grew(self) -> None:
        """Be told that there is more in the log, of a session that a client follows."""


def _settle(settled: Future[None], error: StoreError | None) -> None:
    if error is None:
        settled.offer(None)
    else:
        settled.offer_exception(error)
