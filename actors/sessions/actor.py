"""One session at work: the user's behaviour, and one commit for every message that changed it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from functools import partial, wraps
from types import CoroutineType, GeneratorType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

import msgspec

from callboard.actors.checks import check, check_own, check_patch
from callboard.actors.errors import (
    InvalidField,
    SessionError,
    SessionTerminating,
    StoreError,
    UpdateFailed,
)
from callboard.actors.limits import SessionLimits
from callboard.actors.messages import (
    AppendMessage,
    IncrementMessageCount,
    RecordActivity,
    SessionMessage,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.secrets import Secrets
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.busy import has_work, may_sleep
from callboard.actors.sessions.data import Message, Role, Session, SessionPatch
from callboard.actors.sessions.draft import Draft, SessionEntry
from callboard.actors.sessions.errands import do, undo
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.feed import Feed
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.holds import Hold, HoldKind
from callboard.actors.sessions.internal import (
    CleanUp,
    EndRefused,
    EndSession,
    FailNow,
    FallAsleep,
    SessionStays,
    SpawnSession,
)
from callboard.actors.sessions.linked import Connections, LinkedActor
from callboard.actors.sessions.spawn import (
    AGAIN,
    STRUCK,
    Planner,
    Step,
    is_half_spawned,
    to_do,
    to_undo,
)
from callboard.actors.sessions.spawning import Spawning
from callboard.actors.sessions.states import (
    Presence,
    SessionEvent,
    SessionState,
    takes_messages,
)
from callboard.actors.sessions.table import Row
from callboard.actors.storage.journal import CommitOutcome
from callboard.supervision import (
    ExitReason,
    FencedError,
    InvalidSpec,
    Refusal,
    Shutdown,
    StopStart,
    SystemStopped,
    handles,
)
from callboard.supervision.model.reasons import is_abnormal

D = TypeVar("D")

DETAIL_CHARS_MAX: Final = 200
"""Characters of the text of what an update's function raised, in `UpdateFailed`."""

START_S: Final = 4.0
"""Seconds that the start of a session may take unless its class says otherwise.

Less than an ask's 5 s, so that whoever creates a session hears why it did not start.
"""


class Services(Protocol):
    """What every session of a system shares."""

    limits: SessionLimits
    book: Book
    secrets: Secrets
    connections: Connections
    planners: list[Planner]
    at_work: dict[Row, float]
    feed: Feed

    def plan(self, session: Session) -> tuple[Step, ...]:
        """Return what a session needs, in the order in which it is done."""
        ...

    def commit(self, entry: SessionEntry) -> CommitOutcome:
        """Keep a commit and publish it; raises StoreError when it was not kept."""
        ...

    def keep(self, draft: Draft) -> CommitOutcome:
        """Commit and publish what has changed, and tell what it says; raises like `commit`."""
        ...

    def tell(self, session: Session, kind: EventKind, /, **details: object) -> None:
        """Emit an event of a session, if anybody listens."""
        ...

    def announce(self, notice: object) -> None:
        """Tell the manager; it may be dead just now."""
        ...


class StepDoneWithout(msgspec.Struct, frozen=True):
    """An event of the system's hook: a step of a spawn failed that the session does without.

    Args:
        session_id: whose.
        step: its name.
        error: what failed, without secrets.
    """

    log_level: ClassVar[int] = logging.WARNING
    log_event: ClassVar[str] = "session.did_without"

    session_id: str
    step: str
    error: str


class SessionActor(LinkedActor, Generic[D]):
    """The behaviour of a session. Subclass it with messages and data of your own.

        class Asked(msgspec.Struct, frozen=True):
            questions: int = 0

        class Guide(SessionActor[Asked]):
            @handles(Question)
            def on_question(self, message: Question) -> str:
                self.append(Role.USER, message.text)
                ...

    One message, one commit: what a handler changed is kept and published
    together when it returns, and none of it when it raises. A refusal leaves
    the session as it was; any other exception ends this incarnation, and the
    next one goes on from the last commit. What the store does not keep is undone,
    and the asker gets StoreError in place of the reply. Plain attributes are a cache that dies
    with the incarnation; what must live on is in the log and in `data`.

    A value of a wrong type that the behaviour gives to `append` or `update` is its own slip, not
    its asker's: `InvalidSpec`, a crash like any other, which is counted, told and logged.

    `SessionSystem.ask` and `tell` bring it `SessionMessage`s. Messages of any other type come by
    its own address (`SessionSystem.address`), from timers, monitors and the actor itself.

    Args:
        row: the session's place in the table.
        services: what the system lends.
    """

    hand_off: ClassVar[bool] = True
    """A plain session's handlers are short. A subclass says so itself, or runs on the pool."""

    start_s: ClassVar[float | None] = START_S
    """How long `__init__` and `on_start` may take, in seconds; None: as long as they take.

    What has not started by then is killed. A create is answered with `SpawnError`; a session
    that was to come back counts it as a crash.
    """

    starts_at_once: ClassVar[bool] = True
    """Whether `__init__`, `on_start` and `initial_data` wait for nothing, as this class's own do.

    They then run on the partition's thread, where `start_s` does not end them. A subclass with
    one of its own says so itself, or starts on the pool.
    """

    callboard_starts: ClassVar[tuple[str, ...]] = (
        *LinkedActor.callboard_starts,
        "initial_data",
    )

    _async_messages: ClassVar[frozenset[type[Any]]] = frozenset({SpawnSession, CleanUp})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.hand_off = bool(cls.__dict__.get("hand_off", False))
        super().__init_subclass__(**kwargs)
        base: Any = next(each for each in cls.__mro__[1:] if "_async_messages" in vars(each))
        if cls.on_start is not base.on_start:
            cls.on_start = cast("Any", _going_on(cls.on_start))  # type: ignore[method-assign]  # wrapped, once for each class
        cls._async_messages = frozenset(
            kind
            for kind, handler in cls._callboard_handlers.items()
            if inspect.iscoroutinefunction(handler)
        )

    def __init__(self, row: Row, services: Services) -> None:
        super().__init__()
        self._row = row
        self._services = services

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
        """Return the last messages of the log, in order, those of this handler included."""
        return self._working().log.last(last)

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

        Raises:
            StoreError: the store did not keep it: the session is at its last commit.
        """
        draft = self._working()
        if draft.has_changed:
            self._keep(draft)

    def hold(self, kind: HoldKind = HoldKind.WORK) -> Hold:
        """Say that something goes on after this handler: the session does not sleep meanwhile.

        A prompt that another message ends, a tool that is called, a client that is attached.
        While there is `WORK` it does not expire either, and a shutdown waits for it. It ends
        with `release()`, or with the incarnation.

        Args:
            kind: what it keeps off.
        """
        return self._working().hold(kind)

    # -- life --------------------------------------------------------------

    def initial_data(self) -> D | None:
        """Return the `data` of a new session; a subclass with data of its own overrides it."""
        return None

    def on_start(self) -> None:
        """Go on from the last commit. A subclass that overrides this calls it first."""
        start = self._row.begin(self.incarnation)
        if start is None:
            raise StopStart(Shutdown(detail="a later incarnation has begun"))
        self._draft = draft = Draft(self._row, start, self._services.limits)
        services = self._services
        has_links = draft.session.has_links
        self._go_on(draft, services.plan(draft.session) if services.planners or has_links else ())
        if has_links:
            self._wake_links()
        self.commit()
        if has_links:
            self._look()
            self._log_grew()
        if self.incarnation > 1 or self._row.standing is not None:
            self._tell_that_it_runs()
        state = draft.session.state
        if state is SessionState.TERMINATING:
            self.continue_with(EndSession(self._row.id, draft.session.state_reason or ""))
        elif state is SessionState.SPAWNING:
            self._services.book.spawns.enter(self._row.id)
            self.continue_with(SpawnSession())
        elif state is SessionState.CLEANED:  # the one before was killed before it could end
            self.stop()

    def _go_on(self, draft: Draft, steps: tuple[Step, ...]) -> None:
        """Take the session to the state in which this incarnation begins."""
        clock, session = self.system.clock, draft.session
        wall_s = clock.wall_s()
        if session.state is SessionState.CREATED:
            draft.move(SessionEvent.SPAWN, wall_s=wall_s)
            if draft.session.data is None:
                made = self.initial_data()
                if made is not None:
                    draft.set_data(made, wall_s=wall_s, now_s=clock.now_s())
            if not (steps and to_do(steps)):
                draft.move(SessionEvent.ACTIVATE, wall_s=wall_s)
        elif is_half_spawned(session):
            draft.move(SessionEvent.TERMINATE, wall_s=wall_s, reason=STRUCK)
        elif session.state is SessionState.ACTIVE and steps and to_do(steps, again=True):
            draft.move(SessionEvent.RESPAWN, wall_s=wall_s, reason=AGAIN)

    def continue_with(self, message: Any) -> None:
        """Handle `message` right after this one; after a start, when the session is ACTIVE.

        Raises:
            InvalidSpec: there is one to be handled next already.
        """
        cell = self.actor_ref
        spawn: Any = cell.next_message
        if type(spawn) is SpawnSession and spawn.then is None:
            cell.next_message = SpawnSession(message)
        else:
            super().continue_with(message)

    def _tell_that_it_runs(self) -> None:
        """Say why it begins once more. Of a crash that nobody has noted yet: it is a restart."""
        incarnation, standing = self.incarnation, self._row.standing
        before = None if standing is None else standing.presence
        if standing is not None and standing.incarnation < incarnation - 1:
            before = None
        was_asleep = before is Presence.ASLEEP
        kind = EventKind.AWAKE if was_asleep else EventKind.RESTARTED
        self._services.tell(self.session, kind, incarnation=incarnation)

    def let_go(self, reason: ExitReason) -> None:
        """Hold the session's versions no longer."""
        super().let_go(reason)
        self._rest()
        if self._draft is not None:
            if not (is_abnormal(reason) or self.system.is_serving):
                self._end_links(SystemStopped("the system was stopped"))
            self._draft.let_go()

    # -- one message, one commit -------------------------------------------

    def _handle_receive(self, message: Any) -> Any:
        is_asked = isinstance(message, SessionMessage)
        if is_asked:
            known: SessionMessage[Any] = message  # pyright: ignore[reportUnknownVariableType]  # any reply
            check(known, self._services.limits)
            session = self._working().session
            if message.session_id != session.id:
                raise InvalidField("session_id", message.session_id, f"This is {session.id}.")
            if not takes_messages(session.state):
                raise SessionTerminating(session.id)
            # What is declared short is not looked after: it would pay for it with every message.
            if not self.hand_off or type(known) in self._async_messages:
                self._services.at_work[self._row] = self.system.clock.now_s()
        handle = super()._handle_receive
        anything: Any = message  # pyright: ignore[reportUnknownVariableType]  # whatever it was
        if type(anything) in self._async_messages:
            return self._awaited(partial(handle, message), is_asked=is_asked)
        try:
            result = handle(message)
        except Refusal:
            self._rest()
            self._working().discard()
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
        # The handler's coroutine is made when this one begins: one that is cancelled before it
        # began must not leave another behind that nobody awaits.
        has_returned = False
        try:
            result = await begin()
            has_returned = True
        finally:
            # A refusal, or cancelled since its asker's time ran out: the actor lives on.
            if not has_returned:
                self._rest()
                self._working().discard()
            if is_asked:
                self._row.heard_s = self.system.clock.now_s()
        return self._kept(result, is_asked=is_asked)

    def _rest(self) -> None:
        """Be at work no more."""
        self._services.at_work.pop(self._row, None)

    def _kept(self, result: Any, *, is_asked: bool) -> Any:
        if self._services.at_work:
            self._rest()
        draft = self._working()
        if draft.has_changed:
            if is_asked:
                draft.active_s = self._row.heard_s  # one moment, and one object, for both
            self._keep(draft)
        return result

    def _keep(self, draft: Draft) -> None:
        services = self._services
        # `Services.keep`, written out for when nobody listens: it is a part of every append.
        is_heard = services.feed.is_heard
        try:
            outcome = services.keep(draft) if is_heard else services.commit(draft.hand_in())
        except StoreError as error:
            draft.rebase()
            if not self.actor_ref.is_started:
                self._services.book.starts.refuse(self._row.id, error)
            raise
        if outcome is CommitOutcome.FENCED:
            self.system.count("fenced_commits")
            msg = f"a later incarnation of session {self._row.id} has begun"
            raise FencedError(msg, address=self._row.id)
        if draft.session.client is not None:
            self._log_grew()

    def _working(self) -> Draft:
        draft = self._draft
        assert draft is not None, "a subclass's on_start calls super().on_start() first"
        return draft

    # -- the messages of every session -------------------------------------

    @handles(AppendMessage)
    def on_append_message(self, message: AppendMessage) -> int:
        """Append to the log; reply the message's number."""
        appended = self._append(
            message.role,
            message.content,
            client_msg_id=message.client_msg_id,
            metadata=message.metadata,
        )
        return appended.seq

    @handles(UpdateSession)
    def on_update_session(self, message: UpdateSession) -> Session:
        """Change the session in one step; reply the new snapshot."""
        draft, clock = self._working(), self.system.clock
        patch, fn = message.patch, message.fn
        if (patch is None) == (fn is None):
            raise InvalidField("patch", patch, "Give either a patch, or an fn that returns one.")
        draft.expect(message.expected_version)
        if fn is not None:
            patch = self._patch_by(fn, draft.session)
        assert patch is not None, "there is one or the other"
        draft.update(
            patch,
            wall_s=clock.wall_s(),
            now_s=clock.now_s(),
            expected_version=message.expected_version,
        )
        return draft.session

    def _patch_by(self, fn: Callable[[Session], SessionPatch], session: Session) -> SessionPatch:
        """Call the caller's code: whatever it does wrong is its answer, not our crash."""
        try:
            patch: object = fn(session)
        except Exception as error:  # noqa: BLE001 -- its failure is its answer
            raise UpdateFailed(
                session.id, error=type(error).__name__, detail=str(error)[:DETAIL_CHARS_MAX]
            ) from None
        if not isinstance(patch, SessionPatch):
            detail = "it returns no SessionPatch"
            raise UpdateFailed(session.id, error=type(patch).__name__, detail=detail)
        check_patch(patch, self._services.limits)
        return patch

    @handles(IncrementMessageCount)
    def on_increment_message_count(self, message: IncrementMessageCount) -> int:
        """Count a message that is kept elsewhere; reply how many there are."""
        del message
        clock = self.system.clock
        return self._working().count(wall_s=clock.wall_s(), now_s=clock.now_s())

    @handles(RecordActivity)
    def on_record_activity(self, message: RecordActivity) -> float:
        """Note a sign of life; reply when."""
        del message
        clock = self.system.clock
        session = self._working().touch(wall_s=clock.wall_s(), now_s=clock.now_s())
        return session.last_active_at

    @handles(UpdateSystemPrompt)
    def on_update_system_prompt(self, message: UpdateSystemPrompt) -> str | None:
        """Replace the system prompt; reply it."""
        clock, patch = self.system.clock, SessionPatch(system_prompt=message.prompt)
        self._working().update(patch, wall_s=clock.wall_s(), now_s=clock.now_s())
        return message.prompt

    # -- spawning and ending -----------------------------------------------

    @handles(SpawnSession)
    async def on_spawn_session(self, message: SpawnSession) -> None:
        """Do the steps of the plan; be ACTIVE, or undo what was done and end."""
        draft, clock = self._working(), self.system.clock
        spawns, steps = self._services.book.spawns, self._services.plan(draft.session)
        is_again = not is_half_spawned(draft.session)
        spawning = spawns.enter(self._row.id)
        begun: Step | None = None
        try:
            for step in to_do(steps, again=is_again):
                begun = step
                await self._do(step, spawning)
                if spawning.cancelled is not None:
                    break
            else:
                draft.move(SessionEvent.ACTIVATE, wall_s=clock.wall_s())
                self.commit()
        except SessionError as cause:
            if is_again and spawning.cancelled is None:
                raise RespawnFailed(str(cause)) from cause
            spawning.fail(cause)
        if draft.session.state is SessionState.ACTIVE:
            session = self._row.session()
            self._services.book.creates.replied(self._row.id, session)
            spawns.take_out(self._row.id)
            spawning.answer(session)
            if message.then is not None:
                self.continue_with(message.then)
            return
        reason = str(spawning.cause) if spawning.cancelled is None else spawning.cancelled
        draft.move(SessionEvent.TERMINATE, wall_s=clock.wall_s(), reason=reason)
        try:
            self.commit()
        except StoreError as cause:
            if is_again:  # it was ACTIVE before, so it stays: whoever wanted its end is told
                self._stay(cause)
                spawns.take_out(self._row.id)
                spawning.refuse()
                raise RespawnFailed(str(cause)) from cause
            # Else it is undone all the same: it is half spawned, and so its next incarnation, or
            # the manager, goes on with its end.
        await self._clean_up(to_undo(steps, begun=None if is_again else begun), reason)

    async def _do(self, step: Step, spawning: Spawning) -> None:
        """Do one step and keep what it changes."""
        draft, services = self._working(), self._services
        try:
            changes = await do(self, step, draft.session, services.secrets, sent=spawning.sent)
        except SessionError as cause:
            if step.otherwise is None or spawning.cancelled is not None:
                raise
            error = type(cause).__name__
            services.tell(draft.session, EventKind.ERROR, name=step.name, error=error)
            self.system.emit(StepDoneWithout(draft.session.id, step.name, str(cause)))
            changes = step.otherwise
        draft.enter(changes)
        self.commit()

    async def _clean_up(self, steps: tuple[Step, ...], reason: str = STRUCK) -> None:
        """Undo steps, in this order, and end; the manager then removes the row."""
        draft = self._working()
        spawning = self._services.book.spawns.get(self._row.id)
        errand = None if spawning is None else spawning.errand
        await undo(self, steps, draft.session, self._services, after=errand)
        self._be_clean(reason)

    def _be_clean(self, reason: str = STRUCK) -> None:
        """Note that all is undone, and end. The reason counts if there is none yet."""
        draft, wall_s = self._working(), self.system.clock.wall_s()
        reason = draft.move(SessionEvent.TERMINATE, wall_s=wall_s, reason=reason).state_reason or ""
        draft.move(SessionEvent.CLEAN, wall_s=wall_s, reason=reason)
        with suppress(StoreError):  # the manager finds it so, and tries again
            self.commit()
        self.stop()

    def _stay(self, error: StoreError) -> None:
        """Tell the manager, and so who wanted the end, that the store did not keep it."""
        ending = self._services.book.endings.get(self._row.id)
        number = None if ending is None else ending.number
        self._services.announce(EndRefused(self._row.id, number, error))

    @handles(EndSession)
    def on_end_session(self, message: EndSession) -> None:
        """Clean up and end; the manager then removes the row."""
        draft, clock = self._working(), self.system.clock
        ending = self._services.book.endings.get(self._row.id)
        if message.number is not None and (ending is None or ending.number != message.number):
            return
        idle_s = message.idle_longer_than_s
        active_s = max(draft.active_s, self._row.heard_s)
        if idle_s is not None and (clock.now_s() - active_s <= idle_s or has_work(self._row)):
            self._services.announce(SessionStays(self._row.id))
            return
        draft.move(SessionEvent.TERMINATE, wall_s=clock.wall_s(), reason=message.reason)
        try:
            self.commit()
        except StoreError as error:
            self._stay(error)
            return
        self._end_links(SessionTerminating(self._row.id))
        if to_undo(self._services.plan(draft.session)):
            self.continue_with(CleanUp())
        else:
            self._be_clean()

    @handles(CleanUp)
    async def on_clean_up(self, message: CleanUp) -> None:
        """Undo all that the session has spawned, and end."""
        del message
        await self._clean_up(to_undo(self._services.plan(self._working().session)))

    @handles(FallAsleep)
    def on_fall_asleep(self, message: FallAsleep) -> None:
        """End in order, unless there is something to do."""
        since_s = message.unless_active_since_s
        refusal: StoreError | None = None
        if may_sleep(self._row) and (since_s is None or self._row.active_s <= since_s):
            try:
                if self.session.has_links:
                    self._let_links_sleep()
                    self.commit()
            except StoreError as error:
                refusal = error
            else:
                self.stop()
                return
        if since_s is None:
            self._services.announce(SessionStays(self._row.id, refusal))

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        del message
        raise InjectedFault


def _going_on(on_start: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a subclass's `on_start` fail unless it goes through that of `SessionActor`.

    Left out, the session would be up without its last commit, and crash with its first message.
    """

    @wraps(on_start)
    def start(self: Any) -> Any:
        result: Any = on_start(self)
        if isinstance(result, CoroutineType):
            return go_on_later(self, cast("Any", result))
        if isinstance(result, GeneratorType):
            return go_on_in_steps(self, cast("Any", result))
        see_that_it_has_gone_on(self)
        return result

    async def go_on_later(self: Any, rest: Coroutine[Any, Any, Any]) -> None:
        await rest
        see_that_it_has_gone_on(self)

    def go_on_in_steps(self: Any, rest: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
        yield from rest
        see_that_it_has_gone_on(self)

    def see_that_it_has_gone_on(self: Any) -> None:
        if self._draft is None:
            raise InvalidSpec("on_start", on_start.__qualname__, "Call super().on_start() first.")

    @wraps(on_start)
    async def start_later(self: Any) -> None:
        # Called where it is awaited: one that is killed before leaves no coroutine behind.
        await on_start(self)
        see_that_it_has_gone_on(self)

    return start_later if inspect.iscoroutinefunction(on_start) else start


class RespawnFailed(Exception):
    """A session that has been ACTIVE could not be spawned again; its budget decides."""


class InjectedFault(Exception):
    """A crash on purpose."""
