"""How does a session's actor begin, fall asleep and end?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from functools import partial, wraps
from types import CoroutineType, GeneratorType
from typing import Any, cast

from callboard.actors.errors import SessionTerminating, StoreError
from callboard.actors.sessions.busy import has_work, may_sleep
from callboard.actors.sessions.committing import D
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.following import FollowedActor
from callboard.actors.sessions.internal import (
    CleanUp,
    EndSession,
    FailNow,
    FallAsleep,
    SessionStays,
    SpawnSession,
)
from callboard.actors.sessions.owing import promised
from callboard.actors.sessions.prompting import PromptingActor
from callboard.actors.sessions.spawn import AGAIN, STRUCK, Step, is_half_spawned, to_do, to_undo
from callboard.actors.sessions.spawned import SpawnedActor
from callboard.actors.sessions.states import Presence, SessionState, Transition
from callboard.actors.sessions.tooling import ToolingActor
from callboard.supervision import (
    ExitReason,
    InvalidSpec,
    Shutdown,
    StopStart,
    SystemStopped,
    handles,
)
from callboard.supervision.model.reasons import is_abnormal

ENDED_ITSELF = "it ended itself"
"""Why a session ends that says no other reason."""


class InjectedFault(Exception):
    """A crash on purpose."""


class LivingActor(SpawnedActor[D], ToolingActor[D], PromptingActor[D], FollowedActor[D]):
    """The part of a session's actor that begins, falls asleep and ends."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        session: type[Any] = LivingActor  # else it is one of what nobody knows
        base: Any = next(each for each in cls.__mro__[1:] if issubclass(each, session))
        if cls.on_start is not base.on_start:
            cls.on_start = cast("Any", _going_on(cls.on_start))  # type: ignore[method-assign]  # wrapped, once for each class

    # -- its start ---------------------------------------------------------

    def initial_data(self) -> D | None:
        """Return the `data` of a new session; a subclass with data of its own overrides it."""
        return None

    def on_start(self) -> None:
        """Go on from the last commit. A subclass that overrides this calls it first."""
        # One that was killed while it started must not take the row: nobody would run upon it.
        start = None if self.actor_ref.is_dead else self._row.begin(self.incarnation)
        if start is None:
            raise StopStart(Shutdown(detail="a later incarnation has begun"))
        if not start.log.is_here:
            # It slept, and has its messages no more: the manager, told of this end, has them read.
            raise StopStart(Shutdown(detail="its last messages are not in memory"))
        self._draft = draft = Draft(self._row, start, self._services.limits)
        services = self._services
        has_links = draft.session.has_links
        self._go_on(draft, services.plan(draft.session) if services.planners or has_links else ())
        if has_links:
            self._wake_links()
        self.commit()
        if self._is_durable:  # whoever waits for the start is told when the store has that
            self._begun_with = draft.handed
            services.book.starts.hand_in(self._row, draft.handed)
        if has_links:
            # Who opens them goes by what is published.
            if not (self._is_durable and draft.when_kept(lambda _: self._look())):
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
            draft.move(Transition.SPAWN, wall_s=wall_s)
            if draft.session.data is None:
                made = self.initial_data()
                if made is not None:
                    draft.set_data(made, wall_s=wall_s, now_s=clock.now_s())
            if not (steps and to_do(steps)):
                draft.move(Transition.ACTIVATE, wall_s=wall_s)
        elif is_half_spawned(session):
            draft.move(Transition.TERMINATE, wall_s=wall_s, reason=STRUCK)
        elif session.state is SessionState.ACTIVE and steps and to_do(steps, again=True):
            draft.move(Transition.RESPAWN, wall_s=wall_s, reason=AGAIN)

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
        draft = self._draft
        if draft is not None:
            if not (is_abnormal(reason) or self.system.is_serving):
                self._end_links(SystemStopped("the system was stopped"))
            draft.let_go()
            if draft.turn is not None:
                draft.turn.die(self.actor_ref.killed_error())

    # -- its end, or its sleep ---------------------------------------------

    def end(self, reason: str = ENDED_ITSELF) -> None:
        """End this session when this handler has returned: cleaned up, its place given back.

        As `TerminateSession` does, whom a handler must not ask for its own session: it would
        wait for itself. It is a part of what the handler commits: nothing else can be changed
        after it, a handler that is refused or crashes has not ended the session, and what was
        committed comes about whatever dies meanwhile.

        Args:
            reason: why, for the snapshot and the events.

        Raises:
            InvalidSpec: no handler is at work.
        """
        self._see_that_it_is_at_work("end")
        wall_s = self.system.clock.wall_s()
        self._working().move(Transition.TERMINATE, wall_s=wall_s, reason=reason)
        notice = EndSession(self._row.id, reason)
        promised(self._turn().outcome, partial(self.actor_ref.notify, notice))

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
            self._services.announce(SessionStays(self._row))
            return
        draft.move(Transition.TERMINATE, wall_s=clock.wall_s(), reason=message.reason)
        try:
            self._hand_in()
        except StoreError as error:
            self._stay(error)
            return
        if self._ends_when_kept(draft, message.reason):
            return
        self._end_links(SessionTerminating(self._row.id))
        if to_undo(self._services.plan(draft.session)):
            self.continue_with(CleanUp())
        else:
            self._be_clean()

    def _ends_when_kept(self, draft: Draft, reason: str) -> bool:
        """Say whether the store has yet to keep that this ends; then it goes on, or stays, by that.

        No worker waits for it: thousands may end at once, and others have work for the workers.
        """
        cell, notice = self.actor_ref, EndSession(self._row.id, reason)

        def go_on(refusal: StoreError | None) -> None:
            if refusal is None:
                cell.notify(notice)
            else:
                self._stay(refusal)

        return draft.when_kept(go_on)

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
            self._services.announce(SessionStays(self._row, refusal))

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
