"""How does a session come to run, and to sleep? The manager asks its partition and never waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from callboard.actors.errors import (
    InvalidField,
    SessionError,
    SessionNotFound,
    SpawnError,
    StoreError,
    StoreOutcomeUnknown,
    TransitionError,
)
from callboard.actors.messages import BeginSpawn, ReviveSession, UpdateSession
from callboard.actors.sessions.address import is_waited_for
from callboard.actors.sessions.budget import DELAYS
from callboard.actors.sessions.caretaking import take_care, take_care_of_resting
from callboard.actors.sessions.data import Session, SessionPatch
from callboard.actors.sessions.desk import Desk
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.failing import StartFailed
from callboard.actors.sessions.internal import (
    FallAsleep,
    LogLoaded,
    PauseOver,
    PlacesLeft,
    StartAnswered,
    StartKept,
    StartSession,
)
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.starts import Cause, Phase, Start
from callboard.actors.sessions.states import (
    Presence,
    SessionState,
    Transition,
    takes_messages,
)
from callboard.actors.sessions.table import DurableRow, Row, Standing, UnreadableRow
from callboard.actors.sessions.verdict import (
    GivenUp,
    NeverStarted,
    News,
    NotResumed,
    NotWoken,
    PartitionLost,
    Verdict,
    decide,
    revived,
    view_of,
)
from callboard.actors.sessions.watching import Watcher
from callboard.actors.storage.chain import Act, Pending
from callboard.actors.storage.commits import CommitOutcome
from callboard.supervision import (
    LATER,
    Address,
    Crashed,
    DeliveryError,
    ExitReason,
    Future,
    Later,
    MailboxFull,
    Timeout,
)
from callboard.supervision.model.reasons import is_abnormal

Promise: TypeAlias = Callable[[], Future[Any]]

WOKEN_AT_ONCE_MAX = 64
"""Starts under way in one partition while more of its sessions wait to be woken; those count whose
last messages are read from a store first."""

_TO_BE_WOKEN = frozenset({Presence.ASLEEP, Presence.RESTARTING})
"""Who restarts may have been lost with a partition since; to ask for one twice does no harm."""

_ANSWERED = frozenset({Phase.ASKED, Phase.KEEPING})
"""What an answer of the partition may be for: the first, and once more when it is kept."""

REFUSED_RETRY_S = 0.1
"""How long a session that is to be woken waits when its partition's mailbox was full."""


class Waker:
    """Has sessions started: at once, or as soon as their partition has a place.

    Who waits is told first, and forgotten then: a manager that is killed between
    the two is followed by one that tells them once more, which does no harm.

    Args:
        desk: the manager.
        services: what the system lends.
        watcher: is told what was started.
    """

    def __init__(self, desk: Desk, services: Services, watcher: Watcher) -> None:
        self._desk = desk
        self._services = services
        self._system = services.system
        self._watcher = watcher
        self._table = services.table
        self._book = services.book
        self._starts = services.book.starts
        self._is_durable = services.storing is not None
        self._partitions = [partition_name(number) for number in range(services.partitions)]

    # -- asking for a start ------------------------------------------------

    def start(self, row: Row, cause: Cause) -> Start:
        """Have a session started without waiting for a place.

        Returns:
            The start; settled already when the partition has answered on this thread.
        """
        start = self._starts.want(row, cause)
        partition = self._living(row.partition)
        if partition is not None and start.phase is Phase.WAITING:
            self._ask(start, row, partition)
        return start

    def wake(self, row: Row) -> None:
        """Have a session started as soon as its partition has a place."""
        self._starts.want(row, Cause.WAKE)
        self.wake_more(row.partition)

    def wake_more(self, number: int) -> None:
        """Start what waits for a partition, a bounded number at a time."""
        starts = self._starts
        if not starts.has_waiting(number):
            return
        partition = self._living(number)
        if partition is None:
            return  # until PartitionReady
        for start in starts.take(number, WOKEN_AT_ONCE_MAX - starts.asked(number)):
            row = start.row
            if starts.of(row) is not start or start.phase is not Phase.WAITING:
                continue  # what was started before it has changed that
            if start.cause is Cause.WAKE and not self._is_to_be_woken(row):
                starts.settle(start)  # it runs, or must not run, by now
            else:
                self._ask(start, row, partition)
        if starts.has_waiting(number) and starts.asked(number) < WOKEN_AT_ONCE_MAX:
            self._desk.send_on(PlacesLeft(number))  # others may have their turn before

    def _is_to_be_woken(self, row: Row) -> bool:
        presence = row.presence
        if presence is Presence.AWAKE:  # its end may have been told to a manager that was killed
            return not self._services.addresses.is_awake(row)
        return presence in _TO_BE_WOKEN

    def resume(self, start: Start) -> None:
        """Go on with a start whose pause is over, unless it has come to its end, or must not."""
        is_there = self._starts.of(start.row) is start
        if is_there and start.phase is Phase.PAUSED and start.error is None:
            self._starts.wait(start)
            self.wake_more(start.partition)

    def _living(self, number: int) -> Address[Any] | None:
        partition = self._system.lookup(self._partitions[number])
        cell = None if partition is None else partition.cell
        # One that is ending takes nothing any more: its successor says when it is there.
        return None if cell is None or cell.reason is not None else partition

    def _must_load(self, start: Start, row: Row) -> bool:
        """Say whether a session's last messages are read from a store before it starts."""
        if row.tip().log.is_here:
            return False
        storing = self._services.storing
        assert storing is not None, "else all of it is here"
        self._starts.load(start)
        storing.load(row)
        return True

    def loaded(self, row: Row, message: LogLoaded) -> None:
        """Go on with a start: the last messages are here, or cannot be read."""
        start = self._starts.of(row)
        if message.error is None:
            assert isinstance(row, DurableRow), "no other is loaded"
            row.load(message.log)
            if start is not None and start.phase is Phase.LOADING:
                # Before those that wait: theirs would be loaded too, and all be held at once.
                self._starts.wait(start)
                partition = self._living(start.partition)
                if partition is not None:
                    self._ask(start, row, partition)
        elif start is not None and start.phase is Phase.LOADING:  # else it is not waited for
            self._starts.refuse(row, message.error)
            self._failed(start, row, message.error)
        self.wake_more(row.partition)  # there may be a place for others

    def _ask(self, start: Start, row: Row, partition: Address[Any]) -> None:
        if self._must_load(start, row):
            return
        announce, asked = self._services.announce, partition.ref
        self._starts.ask(start)
        number = start.number
        is_heard = False
        try:
            future = partition.ask_at_once(StartSession(row), timeout=math.inf)
            is_answered = future.is_done and future.error is None
            if not is_answered:
                # A failure comes by the mailbox in any case: behind the address's word on the
                # incarnation that failed, which is not to be taken for one that is restarted.
                future.when_done(lambda: announce(_answered(row, number, future, asked)))
            is_heard = True
        except DeliveryError:  # it has just ended
            return
        finally:
            # Also when this manager is killed here, whose successor may have looked already: nobody
            # would hear of the answer.
            if not is_heard and start.number == number and self._starts.of(row) is start:
                self._starts.wait(start)
        if is_answered:
            self._take(start, row, _answered(row, number, future, asked))

    # -- what becomes of it ------------------------------------------------

    def answered(self, message: StartAnswered) -> None:
        """Carry on with what a partition has answered; then there may be a place for others."""
        row: Row = message.row
        start = self._starts.of(row)
        if self._table.get(row.id) is row:
            if start is not None:
                self._take(start, row, message)
            elif message.error is None:  # a manager before this one had asked
                self._watcher.started(row, message.cell)
        self.wake_more(row.partition)

    def _take(self, start: Start, row: Row, answer: StartAnswered) -> None:
        if start.phase not in _ANSWERED or answer.number != start.number:
            return  # a manager before this one had asked; it has been asked again since, or will be
        if answer.refusal is not None:
            self._starts.refuse(row, answer.refusal)
        match answer.error:
            case None if self._is_being_kept(start, row, answer):
                return
            case None if (unkept := start.unkept) is not None and unkept.error is not None:
                self._not_kept(start, row, unkept.error)
            case None:
                self._watcher.started(row, answer.cell)
                if row.presence is Presence.RESTARTING and not self._comes_back(row, answer.cell):
                    # That life is over, and since then it has been revived: for another one.
                    self._starts.wait(start)
                    self._desk.send_on(PlacesLeft(start.partition))
                    return
                spawns = self._book.spawns
                if spawns.get(row.id) is None or not spawns.join(row.id, start.replies):
                    session = row.session()
                    if start.cause is Cause.CREATE:
                        session = self._book.creates.replied(row.id, session)
                    start.answer(session)
                self._starts.settle(start)
                if row.presence is Presence.ASLEEP:
                    # It ran, has ended, and may have been wanted since; or it comes back.
                    comes_back = self._comes_back(row, answer.cell)
                    self.fell_asleep(row, has_ended=not comes_back, comes_back=comes_back)
                self._services.see_to_room()
            case MailboxFull() | Timeout() as error:
                self._not_taken(start, row, error)
            case error if answer.is_lost or isinstance(error, DeliveryError):
                self._starts.wait(start)  # until PartitionReady
                if start.cause is Cause.WAKE:
                    self._watcher.started(row, None)  # it may have begun all the same
            case _ if start.cause is not Cause.WAKE and row.when_settled(self._goes_on(answer)):
                return  # what has begun and failed may have handed in something
            case error:
                self._failed(start, row, error)

    def _comes_back(self, row: Row, cell: Any) -> bool:
        """Say whether a session that does not run is restarted by its partition."""
        if cell is None or cell.reason is None:
            return True
        return is_abnormal(cell.reason) and self._watcher.has_supervisor(row, cell.parent)

    def _is_being_kept(self, start: Start, row: Row, answer: StartAnswered) -> bool:
        """Say whether it is told later that a session runs: what it began with waits."""
        unkept = start.unkept
        if unkept is None or unkept.is_settled:
            return False
        self._starts.keep(start)
        unkept.when_settled(self._goes_on(answer))
        assert isinstance(row, DurableRow), "no other waits"
        row.mark()  # whoever handed it in may have been killed before he had it written
        return True

    def _goes_on(self, answer: StartAnswered) -> Act:
        """Return what has the manager go on with an answer, by then with why nothing was kept."""
        announce, replace = self._services.announce, msgspec.structs.replace
        return lambda error: announce(StartKept(replace(answer, refusal=error)))

    def _not_kept(self, start: Start, row: Row, error: StoreError) -> None:
        """Carry on with a session that runs, though the store has not kept what it began with."""
        self._starts.refuse(row, error)
        self._services.call_off(row)
        # Its end is no news any more, nor is that of one which was about to begin in its place.
        take_care(self._services.addresses.kept(row), self._services.limits).let_go()
        self._failed(start, row, error)

    def _not_taken(self, start: Start, row: Row, error: DeliveryError) -> None:
        """Carry on with what the partition has not begun: it was full, or the asker gave up."""
        if start.cause is Cause.WAKE:
            self._put_off(start, REFUSED_RETRY_S)
            return
        if isinstance(error, Timeout) and start.is_awaited:  # by another asker, who has more time
            self._starts.wait(start)
            return
        if start.cause is Cause.CREATE:
            self._take_back(start, row, error)
            return
        self._fail(start, row, PartitionLost(incarnation=row.incarnation), error)

    def _failed(self, start: Start, row: Row, error: Exception) -> None:
        reason = _reason_of(error)
        if start.refusal is None:  # what a store refuses is told as that
            self._system.emit(StartFailed(row.id, start.cause, str(reason)))
        is_wake = start.cause is Cause.WAKE and row.id not in self._book.endings
        if is_wake and start.refusal is None:
            self._wake_again(start, row, reason)
            return
        why = start.refusal or SpawnError(f"session {row.id} did not start: {reason}")
        if start.cause is Cause.CREATE and start.refusal is not None and row.may_be_kept:
            why = StoreOutcomeUnknown("what the store has kept of an earlier attempt is not known")
        if start.cause is Cause.CREATE and start.refusal is None:
            start.error = why
            self._take_back(start, row, error)
            return
        if start.cause is Cause.CREATE:
            start.fail(why)
            self._starts.settle(start)
            self.never_was(row, start.refusal or error)
        elif start.refusal is not None and start.cause is not Cause.REVIVE:
            # No fault of the session: it sleeps, as it did before. Who waits may try again.
            name = type(start.refusal).__name__
            self._services.tell(row.latest().session, EventKind.ERROR, error=name)
            self._services.addresses.of(row).refuse_waiting(start.refusal)
            lost = PartitionLost(incarnation=row.incarnation, is_called_off=True)
            self._fail(start, row, lost, why)
        elif start.cause is Cause.RESUME:
            self._fail(start, row, NotResumed(incarnation=row.incarnation, reason=reason), why)
        else:
            news = GivenUp(incarnation=row.incarnation, reason=reason, is_start=True)
            self._fail(start, row, news, why)

    def _fail(self, start: Start, row: Row, news: News, error: Exception) -> None:
        """Carry out what becomes of a session that did not start; then tell who waited for it.

        In this order, for whoever is told may look.
        """
        self._starts.give_up(start, error)
        self._desk.learn(row, news)
        start.fail(error)
        self._starts.settle(start)

    def _take_back(self, start: Start, row: Row, error: Exception) -> None:
        """Have a session be no more that did not begin, then tell its creator.

        A durable store has it first: then that is told by what removes the row. A store of the
        host's may refuse to hear of it for as long as it likes.
        """
        start.error = start.error or error
        self._starts.pause(start)  # for good: nobody starts it any more
        self.never_was(row, error)
        if not self._is_durable:
            start.fail(error)
            self._starts.settle(start)

    def never_was(self, row: Row, error: Exception) -> None:
        """Take a session back whose creator is told that it came to nothing."""
        self._book.creates.forget(row.id)
        if isinstance(row, DurableRow):  # by the commit that undoes it, if it was kept
            row.leaves_key = True
        is_unknown = isinstance(error, StoreError) and not error.is_outcome_known
        may_be_kept = is_unknown or row.may_be_kept
        self._desk.learn(row, NeverStarted(reason=_reason_of(error), may_be_kept=may_be_kept))

    def go_on_failing(self, row: Row) -> bool:
        """Take a session back if a manager before this one had told its creator; say whether."""
        start = self._starts.of(row)
        if start is None or start.cause is not Cause.CREATE or start.error is None:
            return False
        if start.refusal is not None:
            self._starts.settle(start)
            self.never_was(row, start.error)
        else:
            self._take_back(start, row, start.error)
        return True

    def _wake_again(self, start: Start, row: Row, reason: ExitReason) -> None:
        """Try a wake that failed again, after a delay, unless it has failed too often."""
        news = NotWoken(incarnation=row.incarnation, reason=reason)
        decision = decide(news, view_of(row), now_s=self._system.clock.now_s())
        noted = decision.standing
        if decision.verdict is not Verdict.ASLEEP or noted is None:
            self._starts.settle(start)
            self._desk.learn(row, news)
            return
        self._services.note(row, noted)
        self.answer_sleepers(row)
        failures = 1 if noted.spent is None else len(noted.spent.restarts)
        self._put_off(start, DELAYS.delay_s(failures - 1))

    def _put_off(self, start: Start, delay_s: float) -> None:
        self._starts.pause(start)
        self._desk.send_after(delay_s, PauseOver(start))

    def forget(self, session_id: str, row: Row | None = None) -> None:
        """Start a session no more: it is gone, or in quarantine.

        Its creator is told an error, and may repeat the create with its key; unless that has its
        first reply, or a store has kept it, for then it came to be.
        """
        creates, spawns = self._book.creates, self._book.spawns
        start, spawning = self._starts.get(session_id), spawns.get(session_id)
        is_new = start is not None and start.cause is Cause.CREATE
        told = creates.reply_for(session_id)
        if told is None and (is_new or spawning is not None):
            told = None if row is None else self._kept_reply(row)
            if told is None:
                creates.forget(session_id)
            elif spawning is not None:
                spawning.answer(told)
        cause = None if spawning is None else spawning.refuse()
        spawns.take_out(session_id)
        if start is None:
            return
        if told is not None and is_new:
            start.answer(told)
        else:
            start.fail(cause or SessionNotFound(session_id))
        self._starts.settle(start)

    def _kept_reply(self, row: Row) -> Session | None:
        """Return what the creator of a session is told whose key a store has; None: it has none.

        The next process would answer a create that is repeated with this session, so must we.
        """
        creates = self._book.creates
        is_kept = isinstance(row, DurableRow) and row.is_stored and row.created is None
        if not is_kept or creates.key_for(row.id) is None:
            return None
        return creates.replied(row.id, row.session())

    def forget_strays(self) -> None:
        """Do the same for those that have left the table: the manager was killed in between."""
        for start in self._starts:
            if start.session_id not in self._table:
                self.forget(start.session_id, start.row)
        for session_id in self._book.spawns:
            if session_id not in self._table:
                self.forget(session_id)

    def begin_spawn(self, message: BeginSpawn) -> Start | Session:
        """Start a session that was created and no more; return its snapshot if it is ACTIVE.

        Raises:
            TransitionError: it is being terminated.
        """
        row = self._table.row(message.session_id)
        session = row.session()
        if row.id in self._book.spawns:  # by a message to it, or another one of these
            return session
        if session.state is SessionState.ACTIVE:
            return session
        if not takes_messages(session.state):
            raise TransitionError(session.state, Transition.SPAWN)
        return self.start(row, Cause.RESUME)

    # -- reviving, sleeping ------------------------------------------------

    def revive(self, message: ReviveSession, promise: Promise) -> Start | Session | Later:
        """Start a session that is quarantined or asleep; return its snapshot if it is neither.

        Args:
            message: which, and what to change before it starts.
            promise: makes the future of whoever asks.

        Returns:
            `LATER` when somebody starts it already: then the change is a message to it, in line
            behind its start, and what it answers goes to whoever asks.

        Raises:
            InvalidField: a patch for one that is neither: its own actor alone changes it.
            StoreError: the patch was not kept; the session is what it was.
        """
        row, patch = self._table.row(message.session_id), message.patch
        presence = row.presence
        if isinstance(row, UnreadableRow):
            raise row.why.with_traceback(None)  # again and again the same one
        if presence not in {Presence.QUARANTINED, Presence.ASLEEP}:
            if patch is not None:
                remedy = f"Send UpdateSession: the session is {presence.value}."
                raise InvalidField("patch", patch, remedy)
            return row.session()
        cause = Cause.REVIVE if presence is Presence.QUARANTINED else Cause.RESUME
        resting = row.standing
        assert resting is not None, "else it would be awake"
        patched = self._revived_with(row, cause, patch, resting)
        # The start comes first: a manager that is killed before the note is followed by one that
        # goes on with it; the other way round the session would be restarting for ever.
        want = self._starts.want(row, cause)
        if patched is not None:
            want.patched = patched.handed
        self._services.note(row, revived(resting))
        start = self.start(row, cause)
        if patch is None or patched is not None:
            return start
        update = UpdateSession(row.id, patch=patch)
        self._services.addresses.kept(row).forward(update, promise())
        return LATER

    def _revived_with(
        self, row: Row, cause: Cause, patch: SessionPatch | None, resting: Standing
    ) -> _Patched | None:
        """Hand in what a revive changes: its patch, and for a store that the quarantine is over.

        That goes with a commit, so that whoever asked is answered when it is kept.
        """
        if cause is Cause.REVIVE and self._is_durable:
            self._services.have_kept(row, revived(resting))
            try:
                return self._keep_patch(row, patch or SessionPatch())
            except SessionError:
                self._services.have_kept(row, resting)
                raise
        return None if patch is None else self._keep_patch(row, patch)

    def _keep_patch(self, row: Row, patch: SessionPatch) -> _Patched | None:
        """Change a session that rests; None when somebody starts it: that one goes before us."""
        if self._starts.is_asked(row.id):
            return None
        clock, services = self._system.clock, self._services
        draft = take_care_of_resting(services.addresses.kept(row), services.limits)
        if draft is None:
            return None
        try:
            draft.update(patch, wall_s=clock.wall_s(), now_s=clock.now_s())
            if services.keep(draft) is CommitOutcome.FENCED:
                return None
            return _Patched(draft.handed)
        except SessionError:
            services.addresses.give_up(row)
            raise
        finally:
            draft.let_go()

    def put_to_sleep(self, row: Row, reply: Future[Any]) -> None:
        """Have a session end in order, if it has nothing to do."""
        sleepers = self._book.sleepers.setdefault(row.id, [])
        sleepers.append(reply)
        if len(sleepers) == 1:  # a second notice would be something to do, to the first
            self._services.addresses.of(row).notify(FallAsleep())

    def take_over(self) -> None:
        """Go on with what a manager before this one had begun."""
        for session_id in list(self._book.sleepers):
            row = self._table.get(session_id)
            if row is None:
                for reply in self._book.sleepers[session_id]:
                    reply.offer_exception(SessionNotFound(session_id))
                del self._book.sleepers[session_id]
            elif row.presence is Presence.AWAKE:
                # Whether it was told is not known.
                self._services.addresses.of(row).notify(FallAsleep())
            else:
                self.answer_sleepers(row)
        for number in range(self._services.partitions):
            self.wake_more(number)

    def fell_asleep(self, row: Row, *, has_ended: bool, comes_back: bool = False) -> None:
        """Tell who waits for that; wake it again if there is something for it to do.

        Args:
            row: which.
            has_ended: its incarnation has ended in order: its partition lets it go.
            comes_back: its partition, just asked, restarts it by itself after a delay. Asked
                again at once it would say so again, without end.
        """
        self.answer_sleepers(row)
        if not (row.id in self._starts or is_waited_for(row)):
            if has_ended:  # whom its partition may restart needs its messages: it cannot wait
                row.unload()
            self._services.addresses.give_up(row)
        elif comes_back:
            self._put_off(self._starts.want(row, Cause.WAKE), REFUSED_RETRY_S)
        else:
            self.wake(row)

    def answer_sleepers(self, row: Row, outcome: Session | StoreError | None = None) -> None:
        """Tell those who wanted it to sleep what has become of it."""
        for reply in self._book.sleepers.get(row.id, ()):
            if isinstance(outcome, StoreError):
                reply.offer_exception(outcome)
            else:
                reply.offer(outcome or row.session())
        self._book.sleepers.pop(row.id, None)


class _Patched(NamedTuple):
    """A session that rests was changed."""

    handed: Pending | None
    """What of that waits for a durable store: whoever revives it is told when it is kept."""


def _answered(row: Row, number: int, future: Future[Any], asked: Any) -> StartAnswered:
    """Return what a partition has answered, seen at that moment."""
    error = future.error
    if error is None:
        return StartAnswered(row, number, None, future.get())
    is_lost = asked is None or asked.reason is not None
    return StartAnswered(row, number, error, None, is_lost=is_lost)


def _reason_of(error: Exception) -> ExitReason:
    reason: ExitReason | None = getattr(error, "reason", None)
    return Crashed(type(error).__name__, str(error)) if reason is None else reason
