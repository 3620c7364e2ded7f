"""The session manager: it alone adds and removes rows, and it never waits.

What it is told it hands to its parts, which find their words elsewhere:
`sessions/creating.py`, `waking.py`, `ending.py`, `watching.py`. Every ending of
an incarnation is put before the pure `sessions/verdict.py`; what that says is
carried out by `sessions/judging.py`. What must survive the manager's own crash
is in the `Book` and the `Table`, which the system owns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from callboard.actors.checks import check
from callboard.actors.errors import InvalidField, SessionTerminating, ShuttingDown
from callboard.actors.link_messages import ResumeSession
from callboard.actors.messages import (
    BeginSpawn,
    CleanupInactive,
    CreateSession,
    InjectCrash,
    PassivateSession,
    ReviveSession,
    Shutdown,
    TerminateSession,
)
from callboard.actors.sessions.address import address_of, is_waited_for
from callboard.actors.sessions.attending import AttendingActor
from callboard.actors.sessions.book import Waiting
from callboard.actors.sessions.creating import Creator
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.draining import DRAIN_CHECK_S, Drain
from callboard.actors.sessions.ending import Ender
from callboard.actors.sessions.internal import (
    Adopt,
    AdoptionOver,
    AreYouThere,
    Audited,
    CreateAgain,
    CreateRefused,
    DrainCheck,
    EndAll,
    EndKept,
    EndRefused,
    GraceOver,
    Learned,
    LogLoaded,
    PartitionReady,
    PauseOver,
    PlacesLeft,
    QuarantineSweep,
    SessionEnded,
    SessionGivenUp,
    SessionStays,
    SessionWaits,
    StartAnswered,
    StartKept,
    Undone,
    WalkOn,
)
from callboard.actors.sessions.judging import Judge
from callboard.actors.sessions.keys import FirstReply
from callboard.actors.sessions.outlasting import outlast
from callboard.actors.sessions.recovering import restore
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawning import Waiter
from callboard.actors.sessions.starts import Start
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.striking import part_named_by, strike
from callboard.actors.sessions.table import Row
from callboard.actors.sessions.verdict import (
    GivenUp,
    News,
    PartitionLost,
)
from callboard.actors.sessions.waking import Waker
from callboard.actors.sessions.walks import Walk
from callboard.actors.sessions.watching import Watcher
from callboard.supervision import (
    LATER,
    ActorKilled,
    ExitReason,
    Future,
    Later,
    Request,
    UnhandledMessage,
    handles,
)

Ref: TypeAlias = Any


class SessionManager(AttendingActor):
    """Keeps the registry: creates, finds ends, hears of deaths, brings sessions back.

    Args:
        services: what the system lends: table, book, behaviours, limits.
    """

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._table = services.table
        self._book = services.book
        self._watcher = Watcher(self, services)
        self._waker = Waker(self, services, self._watcher)
        self._creator = Creator(services, self._waker)
        self._ender = Ender(self, services, self._is_over)
        self._judge = Judge(services, self._waker, self._ender, self._is_over)
        self._promised: dict[Future[Any], None] = {}

    # -- life --------------------------------------------------------------

    def _is_over(self) -> bool:
        """Say whether this manager has ended: killed, it may go on for a moment."""
        return self.actor_ref.is_dead

    def on_start(self) -> Any:
        """Take over: look at every row, go on with what the predecessor had begun."""
        yield from outlast(self, self._book.keeper)
        self._book.keeper = self.actor_ref
        self._table.recount()
        self._book.starts.take_over()
        self._waker.forget_strays()
        for row in self._table.rows():
            if self._creator.came_to_be(row) and not self._waker.go_on_failing(row):
                self._take_over(row)
        self._creator.release_strays()
        self._waker.take_over()
        self._ender.take_over()
        for session_id in [each for each in self._book.waiting if each not in self._table]:
            self._judge.have_created(session_id)
        self._services.feed.look_after(self._table.get)
        if self._book.are_to_wake:
            self._go_through(Walk(self._table.rows(), self._wake_at_start, self._have_woken))

    def _wake_at_start(self, row: Row) -> None:
        """Have a session started that a store has brought back, as soon as there is a place."""
        is_at_work = row.latest().session.state is SessionState.ACTIVE
        if row.presence is Presence.ASLEEP and is_at_work:
            self._waker.wake(row)

    def _have_woken(self) -> None:
        self._book.are_to_wake = False

    def _take_over(self, row: Row) -> None:
        self._is_looked_at(row)
        self._watcher.look_at(row)
        if row.presence is Presence.ASLEEP and self._ender.is_left(row):
            self.learn(
                row, PartitionLost(incarnation=row.incarnation)
            )  # the process died with its end, or with its spawn
        elif row.presence is Presence.QUARANTINED and self._ender.is_left(row):
            self._ender.clean_up(row, self._ender.ending_of(row))
        elif row.presence is Presence.ASLEEP and is_waited_for(row):
            self._waker.wake(row)

    @staticmethod
    def _is_looked_at(row: Row) -> None:
        """Have it told again that a message waits: before looking, so that none is missed."""
        address = address_of(row)
        if address is not None:
            address.is_wanted = False

    def let_go(self, reason: ExitReason) -> None:
        """Answer those to whom this manager alone had promised something."""
        super().let_go(reason)
        for reply in list(self._promised):
            msg = f"{self.actor_ref.name} ended before it was done"
            reply.offer_exception(ActorKilled(msg, address=self.actor_ref.name))  # a part is done

    def _promise(self) -> Future[Any]:
        """Return the future of the message in hand; this manager, and no later one, answers it."""
        for reply in [each for each in self._promised if each.is_done]:
            del self._promised[reply]
        reply = self.reply_later(outlives=True)
        self._promised[reply] = None
        return reply

    def _reply_by_anyone(self) -> Future[Any]:
        """Return the future of the message in hand; this manager answers it, or a later one."""
        return self._book.promised(self.reply_later(outlives=True))

    # -- what it is asked --------------------------------------------------

    def on_receive(self, message: Any) -> Any:
        """Refuse a message that nobody here handles: it is the host's own, and for a session."""
        try:
            return super().on_receive(message)
        except UnhandledMessage as error:
            if isinstance(message, Request):
                error.remedy = "Make it a SessionMessage if it is for a session."
            raise

    @handles(CreateSession)
    def on_create_session(self, message: CreateSession) -> Session | Later:
        """Reserve a place and start the session; reply its snapshot when it is active."""
        check(message, self._services.limits)
        try:
            begun = self._creator.create(message, self._reply_by_anyone)
        except ShuttingDown as error:
            return self._refused(error)
        if isinstance(begun, Later):
            return begun
        if isinstance(begun, Session) and (
            begun.state is SessionState.ACTIVE or not message.activate
        ):
            return begun  # the first reply again, whatever goes on by now
        if isinstance(begun, Session) or message.idempotency_key is None:
            return self._started(begun)
        creates = self._book.creates
        told = self._started(begun, lambda reply: FirstReply(reply, creates))
        return told if isinstance(told, Later) else creates.replied(told.id, told)

    @handles(CreateAgain)
    def on_create_again(self, message: CreateAgain) -> Session | Later:
        """Do a create that has waited until the session that had its id was gone."""
        waiting: Waiting = message.waiting
        if waiting.is_taken:
            return LATER  # a manager before this one has begun with it
        waiting.is_taken = True
        return self.on_create_session(waiting.create)

    @handles(ReviveSession)
    def on_revive_session(self, message: ReviveSession) -> Session | Later:
        """Start a session that is quarantined or asleep; reply its snapshot."""
        check(message, self._services.limits)
        return self._revived(message)

    @handles(BeginSpawn)
    def on_begin_spawn(self, message: BeginSpawn) -> Session | Later:
        """Have a session spawned that was created only; reply its snapshot when it is active."""
        check(message, self._services.limits)
        return self._started(self._waker.begin_spawn(message))

    def _started(
        self,
        begun: Start | Session,
        told_by: Callable[[Future[Session]], Waiter] = lambda reply: reply,
    ) -> Session | Later:
        """Answer with what a start has come to, now or when it has.

        Args:
            begun: the start, or the session when there is none.
            told_by: what takes that in place of the asker's future.
        """
        session_id = begun.id if isinstance(begun, Session) else begun.session_id
        row = self._table.get(session_id)
        is_spawning = self._book.spawns.get(session_id) is not None
        if is_spawning and session_id not in self._book.starts:
            reply = told_by(self._reply_by_anyone())
            if row is not None and not self._book.spawns.join(session_id, [reply]):
                reply.offer(row.session())  # it has just become active
            return LATER
        start = self._book.starts.get(session_id)
        if isinstance(begun, Session):
            if not is_spawning or start is None:
                return begun
            begun = start  # it spawns, but that its start is over has not been heard yet
        if begun.session is not None:
            return begun.session
        if begun.session_id not in self._book.starts and begun.error is None and row is not None:
            return row.session()
        if begun.error is not None:
            return self._refused(begun.error)
        begun.replies.append(told_by(self._reply_by_anyone()))
        return LATER

    def _refused(self, error: Exception) -> Later:
        """Answer with an error that is no refusal: raised, it would end the manager."""
        self.reply_later(outlives=True).offer_exception(error)
        return LATER

    @handles(ResumeSession)
    def on_resume_session(self, message: ResumeSession) -> Session | Later:
        """Start a session that sleeps; reply its snapshot."""
        check(message, self._services.limits)
        row = self._table.row(message.session_id)
        if row.presence is Presence.QUARANTINED:
            error = self._services.addresses.of(row).dead_error()
            return self._refused(error)
        return self._revived(ReviveSession(message.session_id))

    def _revived(self, message: ReviveSession) -> Session | Later:
        begun = self._waker.revive(message, self._reply_by_anyone)
        return begun if isinstance(begun, Later) else self._started(begun)

    @handles(PassivateSession)
    def on_passivate_session(self, message: PassivateSession) -> Session | Later:
        """Put a session to sleep if it has nothing to do; reply its snapshot."""
        check(message, self._services.limits)
        row = self._table.row(message.session_id)
        address = address_of(row)
        if row.presence is not Presence.AWAKE or address is None or not address.is_alive():
            return row.session()
        self._waker.put_to_sleep(row, self._reply_by_anyone())
        return LATER

    @handles(TerminateSession)
    def on_terminate_session(self, message: TerminateSession) -> Later:
        """End a session; reply its last snapshot."""
        check(message, self._services.limits)
        self._table.row(message.session_id)
        self._ender.terminate(message, self._reply_by_anyone())
        return LATER

    @handles(EndAll)
    def on_end_all(self, message: EndAll) -> Later:
        """Take no new session, and end those that have spawned something; reply when they have."""
        del message
        self._book.is_draining = True
        self._go_through(self._ender.end_all(self._promise()))
        return LATER

    @handles(CleanupInactive)
    def on_cleanup_inactive(self, message: CleanupInactive) -> Later:
        """End the sessions that have been idle for too long; reply their ids."""
        check(message, self._services.limits)
        self._go_through(self._ender.cleanup(message, self._promise()))
        return LATER

    @handles(QuarantineSweep)
    def on_quarantine_sweep(self, message: QuarantineSweep) -> None:
        """End what has been quarantined for too long, and forget keys that are too old."""
        del message
        clock, creates = self.system.clock, self._book.creates
        creates.look_again(wall_s=clock.wall_s(), now_s=clock.now_s())
        creates.forget_old(now_s=clock.now_s())
        self._go_through(self._ender.end_quarantined())

    @handles(Shutdown)
    def on_shutdown(self, message: Shutdown) -> Later:
        """Take no new session; reply the ids that are still busy when the grace is over."""
        check(message, self._services.limits)
        self._book.is_draining = True
        drain = Drain(self.system.clock.now_s() + message.grace_s, self._promise())
        self._look_for_work(drain)
        return LATER

    def _look_for_work(self, drain: Drain) -> None:
        def come_to_an_end() -> None:
            if drain.is_working(self.system.clock.now_s()):
                self.send_after(DRAIN_CHECK_S, DrainCheck(drain))
            else:
                drain.answer()

        drain.busy = []
        self._go_through(Walk(self._table.rows(), drain.look_at, come_to_an_end))

    @handles(DrainCheck)
    def on_drain_check(self, message: DrainCheck) -> None:
        """Look whether those that were busy are done; if so, whether others are busy by now."""
        drain: Drain = message.drain
        if drain.is_working(self.system.clock.now_s()):
            self.send_after(DRAIN_CHECK_S, message)
        else:
            self._look_for_work(drain)

    @handles(WalkOn)
    def on_walk_on(self, message: WalkOn) -> None:
        """Go on with what there are many rows to look at for."""
        self._go_through(message.walk)

    def _go_through(self, walk: Walk) -> None:
        if walk.step():
            self.send_on(WalkOn(walk))

    def send_on(self, message: Any) -> None:
        """Tell oneself something, behind all that waits."""
        self.actor_ref.notify(message)

    @handles(AreYouThere)
    def on_are_you_there(self, message: AreYouThere) -> None:
        """Answer: nothing more is wanted."""

    # -- what it learns ----------------------------------------------------

    def _still_there(self, message: Any) -> Row | None:
        """Return the row that a message is about, unless it has gone, its id used again or not."""
        row: Row = message.row
        return row if self._table.get(row.id) is row else None

    @handles(StartAnswered)
    def on_start_answered(self, message: StartAnswered) -> None:
        """Watch what was started and answer those who wanted it; or say why it was not."""
        self._waker.answered(message)

    @handles(StartKept)
    def on_start_kept(self, message: StartKept) -> None:
        """Do the same: the store has what the session began with, or has refused it."""
        self._waker.answered(message.answer)

    @handles(PauseOver)
    def on_pause_over(self, message: PauseOver) -> None:
        """Try a start again that failed before."""
        self._waker.resume(message.start)

    @handles(PlacesLeft)
    def on_places_left(self, message: PlacesLeft) -> None:
        """Start more of what waits."""
        self._waker.wake_more(message.number)

    @handles(SessionWaits)
    def on_session_waits(self, message: SessionWaits) -> None:
        """Start a session for which a message waits."""
        row = self._still_there(message)
        if row is None:
            return
        self._is_looked_at(row)
        if self._ender.must_end(row):
            # What is left is not for messages. There is such a session still, as reads say.
            self._services.addresses.of(row).refuse_waiting(SessionTerminating(row.id))
        elif row.presence is Presence.ASLEEP:
            self._waker.wake(row)

    @handles(SessionEnded)
    def on_session_ended(self, message: SessionEnded) -> None:
        """Find out what becomes of a session whose incarnation has ended."""
        row = self._still_there(message)
        if row is not None:
            self._watcher.ended(row, message.cell)

    @handles(SessionStays)
    def on_session_stays(self, message: SessionStays) -> None:
        """Give up an ending or a sleep: the session has had something to do since."""
        row = self._still_there(message)
        if row is not None:
            self._waker.answer_sleepers(row, message.error)
            self._ender.stays(row.id)

    @handles(CreateRefused)
    def on_create_refused(self, message: CreateRefused) -> None:
        """Take back a session that a durable store has not kept."""
        self._creator.refused(message)

    @handles(LogLoaded)
    def on_log_loaded(self, message: LogLoaded) -> None:
        """Start a session whose last messages had to be read from a durable store first."""
        row = self._still_there(message)
        if row is not None:
            self._waker.loaded(row, message)

    @handles(Adopt)
    def on_adopt(self, message: Adopt) -> None:
        """Have sessions that have come into the store from elsewhere: they sleep."""
        storing, clock = self._services.storing, self.system.clock
        assert storing is not None, "they come from a store"
        for stored in message.sessions:
            if stored.id not in self._table:
                row = restore(
                    self._services, storing, stored, wall_s=clock.wall_s(), now_s=clock.now_s()
                )
                self._take_over(row)

    @handles(AdoptionOver)
    def on_adoption_over(self, message: AdoptionOver) -> None:
        """Answer: what came before is adopted."""
        del message
        self._book.creates.put_in_order(now_s=self.system.clock.now_s())

    @handles(Learned)
    def on_learned(self, message: Learned) -> None:
        """Carry on with what was learned of a session: a durable store has all of it by now."""
        row = self._still_there(message)
        if row is not None:
            self.learn(row, self._watcher.as_of_now(row, message.news))

    @handles(EndKept)
    def on_end_kept(self, message: EndKept) -> None:
        """Go on with an ending: a durable store has its last commit, or has refused it."""
        self._ender.kept(message)

    @handles(EndRefused)
    def on_end_refused(self, message: EndRefused) -> None:
        """Tell who waits for the end of a session that the store refused it."""
        if self._still_there(message) is not None:
            self._ender.refused(message)

    @handles(SessionGivenUp)
    def on_session_given_up(self, message: SessionGivenUp) -> None:
        """Quarantine a session that crashed too often."""
        row = self._still_there(message)
        if row is not None:
            last, reason, failed_on = message.incarnation, message.reason, message.failed_on
            self.learn(row, GivenUp(incarnation=last, reason=reason, failed_on=failed_on))

    @handles(PartitionReady)
    def on_partition_ready(self, message: PartitionReady) -> None:
        """Put to sleep whom its predecessor took along, and start what waits for it."""
        self._waker.wake_more(message.number)
        self._go_through(Walk(self._table.running_in(message.number), self._watcher.look_at))

    @handles(GraceOver)
    def on_grace_over(self, message: GraceOver) -> None:
        """Kill what has not ended in its time, and clean up in its place."""
        self._ender.grace_over(message)

    @handles(Undone)
    def on_undone(self, message: Undone) -> None:
        """Go on with an ending: what the session had spawned is undone."""
        self._ender.undone(message.session_id)

    # -- what its parts have it do -----------------------------------------

    def learn(self, row: Row, news: News) -> None:
        """Put news of a session before the verdict, and carry that out."""
        self._judge.learn(row, news)

    def remove(self, row: Row) -> None:
        """Take a row out of the table, and tell everybody who waits for that."""
        self._judge.remove(row)

    # -- faults on purpose -------------------------------------------------

    @handles(InjectCrash)
    def on_inject_crash(self, message: InjectCrash) -> Later | None:
        """Make a part crash, to see that it heals."""
        check(message, self._services.limits)
        if not self._services.faults:
            raise InvalidField("how", str(message.how), "Start with faults=True to inject crashes.")
        part = part_named_by(message, self._services)
        if isinstance(part, Exception):
            return self._refused(part)
        if part is self.actor_ref:
            self.reply_later(outlives=True).offer(None)
        strike(part, message.how)
        return LATER if part is self.actor_ref else None


class AuditedManager(SessionManager):
    """The same, where every operation must be audited before it is done (`audit_required`).

    Args:
        services: what the system lends.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        assert services.gate is not None, "this one is for audit_required"
        self._gate = services.gate

    def _handle_receive(self, message: Any) -> Any:
        """Have an operation audited before it is done."""
        if not self._gate.is_for_manager(message):
            return super()._handle_receive(message)
        manager, reply = self._services.manager, self._reply_by_anyone()
        passed = partial(manager.forward, Audited(message), reply)
        self._gate.pass_later(message, passed, reply.offer_exception)
        return LATER

    @handles(Audited)
    def on_audited(self, message: Audited) -> Any:
        """Do what has been audited, for whoever asked for it."""
        return super()._handle_receive(message.message)
