"""The session manager: it alone adds and removes rows, and it never waits.

A create checks, reserves place, id and role, asks the partition for a child and
goes on; the answer comes as a message. Every `Down` of a session is put before
`sessions/verdict.py`; what that says is carried out here. What must survive the
manager's own crash lives in the `Book`, which the system owns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeAlias

from callboard.actors.checks import check, check_tenant
from callboard.actors.errors import (
    IdempotencyConflict,
    InvalidField,
    SessionNotFound,
    SessionRestarting,
    ShuttingDown,
    SpawnError,
)
from callboard.actors.messages import (
    CleanupInactive,
    CreateSession,
    Fault,
    InjectCrash,
    PassivateSession,
    ReviveSession,
    Shutdown,
    TerminateSession,
)
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.book import Book, Creation, Ending
from callboard.actors.sessions.data import DEFAULT_KIND, Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.frozen import freeze
from callboard.actors.sessions.internal import (
    DrainCheck,
    EndSession,
    FailNow,
    FallAsleep,
    ForgetSession,
    GraceOver,
    PartitionReady,
    SessionAwake,
    SessionGivenUp,
    SessionStays,
    SessionWaits,
    StartAnswered,
)
from callboard.actors.sessions.naming import MANAGER, partition_name, session_name
from callboard.actors.sessions.partition import DELAYS, RESTARTS, spec_of
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import Presence, SessionEvent, SessionState, takes_messages
from callboard.actors.sessions.table import Row, Standing
from callboard.actors.sessions.verdict import (
    Ended,
    GivenUp,
    News,
    NotStarted,
    PartitionLost,
    RowView,
    Verdict,
    decide,
    revived,
)
from callboard.supervision import (
    LATER,
    CallboardError,
    Crashed,
    DeliveryError,
    Down,
    ExitReason,
    Future,
    Later,
    NoActor,
    handles,
)
from callboard.supervision.model.routing import partition_of
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.operations import Until
from callboard.supervision.tree.requests import StartChild

Ref: TypeAlias = Any

_WOKEN_AT_ONCE_MAX = 64
"""Sessions of one partition that are started at the same time after it came back."""

_OUTLAST_CHECK_S = 0.001
"""How often a new manager looks whether a killed one still works."""

_DRAIN_CHECK_S = 0.05
"""How often a shutdown looks whether the work in hand is done."""


class SessionManager(SystemActor):
    """Keeps the registry: creates, finds ends, watches deaths, brings sessions back.

    Args:
        services: what the system lends: table, book, behaviours, limits.
    """

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._table = services.table
        self._book: Book = services.book
        self._watched: dict[int, tuple[Row, Ref]] = {}
        self._watching: dict[str, Ref] = {}
        self._partitions: dict[int, int] = {}
        self._waking: dict[int, dict[str, None]] = {}

    # -- life --------------------------------------------------------------

    def on_start(self) -> Any:
        """Take over: monitor every awake row, go on with what the predecessor had begun."""
        yield from self._outlast_predecessor()
        book = self._book
        self._table.recount()
        book.starting.clear()
        for session_id in [each for each in book.creations if self._table.get(each) is None]:
            book.creations.pop(session_id).fail(SessionNotFound(session_id))
        for number in range(self._services.partitions):
            self._watch_partition(number)
        for row in self._table.rows():
            self._take_over(row)
        for number in range(self._services.partitions):
            self._wake_more(number)
        for session_id in list(self._book.endings):
            ending_row = self._table.get(session_id)
            if ending_row is None:
                self._ended(session_id, None)
            else:
                self._drive_end(ending_row, self._book.endings[session_id])

    def _outlast_predecessor(self) -> Generator[Until, bool, None]:
        """Wait until a killed predecessor's handler is over: two must not write at once."""
        predecessor: Ref = self._book.keeper
        until_s = self.system.clock.now_s() + self.system.settings.kill_grace_s
        while predecessor is not None and predecessor.is_at_work:
            if self.system.clock.now_s() > until_s:
                break
            yield Until(lambda: False, _OUTLAST_CHECK_S)
        self._book.keeper = self.actor_ref

    def _take_over(self, row: Row) -> None:
        address = row.address
        is_being_created = row.id in self._book.creations
        never_ran = row.incarnation == 0 and row.standing is None
        if not isinstance(address, SessionAddress) or (never_ran and not is_being_created):
            self._undo_reservation(row)
            return
        address.is_wanted = False
        cell = address.ref
        if cell is not None and not cell.is_dead:
            self._watch(row, cell)
        elif row.presence is Presence.AWAKE and not is_being_created:
            self._learn(row, Ended(incarnation=row.incarnation, reason=NoActor()))
        elif row.presence is Presence.ASLEEP and address.mailbox_size:
            self._wake(row)
        if is_being_created:
            self._start(row)  # whether the predecessor had asked is not known: twice does no harm

    def _undo_reservation(self, row: Row) -> None:
        """Take back a row whose create had not come far enough to be answered."""
        self._table.remove(row.id)
        if isinstance(row.address, SessionAddress):
            self.system.release(row.address)
        self._book.forget_create(row.id)

    # -- creating ----------------------------------------------------------

    @handles(CreateSession)
    def on_create_session(self, message: CreateSession) -> Session | Later:
        """Reserve a place and start the session; reply its snapshot when it is active."""
        services = self._services
        check(message, services.limits)
        if services.tenants:
            check_tenant(message.user_id, message.org_id)
        if self._book.is_draining:
            msg = "the sessions are being shut down"
            raise ShuttingDown(msg, address=MANAGER)
        if message.idempotency_key is not None:
            known = self._book.creates.get(message.idempotency_key)
            if known is not None:
                return self._repeated(message, *known)
        kind = DEFAULT_KIND if message.kind is None else message.kind
        if kind not in services.kinds:
            raise InvalidField("kind", kind, f"Give one of {', '.join(sorted(services.kinds))}.")
        session = self._first_snapshot(message, kind)
        row = self._table.reserve(
            session,
            active_s=self.system.clock.now_s(),
            limits=services.limits,
            unique_role=services.unique_role,
        )
        self._give_address(row)
        if message.idempotency_key is not None:
            self._book.remember_create(message.idempotency_key, message, row.id)
        if not message.activate:
            row.standing = Standing(0, Presence.ASLEEP, since=session.created_at)
            return row.session()
        creation = self._book.creations[row.id] = Creation([])
        self._start(row)
        if self._book.creations.get(row.id) is not creation:
            return self._table.row(row.id).session()
        creation.replies.append(self.reply_later())
        return LATER

    def _repeated(
        self, message: CreateSession, first: CreateSession, session_id: str
    ) -> Session | Later:
        if message != first:
            assert message.idempotency_key is not None
            raise IdempotencyConflict("idempotency_key", message.idempotency_key)
        creation = self._book.creations.get(session_id)
        if creation is not None:
            creation.replies.append(self.reply_later())
            return LATER
        row = self._table.get(session_id)
        if row is None:
            raise SessionNotFound(session_id)
        return row.session()

    def _first_snapshot(self, message: CreateSession, kind: str) -> Session:
        limits = self._services.limits
        wall_s = self.system.clock.wall_s()
        capabilities = message.client_capabilities
        return Session(
            id=self.system.ids.new_id() if message.session_id is None else message.session_id,
            kind=kind,
            user_id=message.user_id,
            org_id=message.org_id,
            agent_role=message.agent_role,
            state_since=wall_s,
            created_at=wall_s,
            last_active_at=wall_s,
            variables=freeze("variables", message.variables, limits),
            metadata=freeze("metadata", message.metadata, limits),
            client_capabilities=None
            if capabilities is None
            else freeze("client_capabilities", capabilities, limits),
        )

    def _give_address(self, row: Row) -> None:
        address = SessionAddress(self.system, row, self._services.wake)
        row.address = address
        self.system.names[address.name] = address

    def _start(self, row: Row) -> None:
        """Ask the row's partition to start the next incarnation; the answer may be a message."""
        number = partition_of(row.id, self._services.partitions)
        partition = self.system.lookup(partition_name(number))
        announce, session_id = self._services.announce, row.id
        if partition is None or not partition.is_alive():
            self._book.let_wait(number, session_id)  # until PartitionReady
            return
        self._waking.setdefault(number, {})[session_id] = None
        self._book.starting[session_id] = None
        try:
            future = partition.ask_at_once(
                StartChild(spec_of(row, self._services)), timeout=_NO_LIMIT
            )
        except DeliveryError:  # it has just ended
            self._not_asked(number, session_id)
            return
        if future.is_done:
            self.on_start_answered(_answered(session_id, future))
        elif not future.add_waiter(lambda: announce(_answered(session_id, future))):
            announce(_answered(session_id, future))

    def _not_asked(self, number: int, session_id: str) -> None:
        self._waking.get(number, {}).pop(session_id, None)
        self._book.starting.pop(session_id, None)
        self._book.let_wait(number, session_id)

    @handles(StartAnswered)
    def on_start_answered(self, message: StartAnswered) -> None:
        """Watch what was started and answer the creators; or undo what was reserved for them."""
        number = partition_of(message.session_id, self._services.partitions)
        self._waking.get(number, {}).pop(message.session_id, None)
        self._book.starting.pop(message.session_id, None)
        row = self._table.get(message.session_id)
        if row is not None and isinstance(message.error, DeliveryError):
            self._not_asked(number, row.id)  # the partition ended before it could answer
            if row.id not in self._book.creations:
                self._watch_started(row, None)  # it may have begun all the same
            return
        creation = self._book.creations.pop(message.session_id, None)
        if message.error is None or row is None:
            self._book.wakes.pop(message.session_id, None)
            if row is not None:
                self._watch_started(row, message.cell)
                if creation is not None:
                    creation.answer(row.session())
            self._wake_more(number)
            return
        reason: ExitReason = getattr(message.error, "reason", None) or Crashed(
            type(message.error).__name__, str(message.error)
        )
        if creation is not None:
            creation.fail(_spawn_error(row, reason))
        if creation is not None and not creation.is_revival:
            self._book.forget_create(row.id)
            self._learn(row, NotStarted(reason=reason))
        elif creation is not None or row.id in self._book.endings:
            self._learn(row, GivenUp(incarnation=row.incarnation, reason=reason))
        else:
            self._wake_again(row, reason)
        self._wake_more(number)

    def _wake_again(self, row: Row, reason: ExitReason) -> None:
        """Count a wake that failed as the partition counts a restart; try again, or give up."""
        clock = self.system.clock
        window, is_spent = self._book.wakes.get(row.id, RESTARTS).record(now_s=clock.now_s())
        if is_spent:
            self._book.wakes.pop(row.id, None)
            self._learn(row, GivenUp(incarnation=row.incarnation, reason=reason))
            return
        self._book.wakes[row.id] = window
        view = RowView(
            state=row.latest().session.state, incarnation=row.incarnation, standing=row.standing
        )
        news = Ended(incarnation=row.incarnation, reason=reason, has_supervisor=False)
        row.standing = decide(news, view, wall_s=clock.wall_s()).standing
        self._answer_sleepers(row)
        self.send_after(DELAYS.delay_s(len(window.restarts) - 1), SessionWaits(row.id))

    # -- watching ----------------------------------------------------------

    @handles(SessionAwake)
    def on_session_awake(self, message: SessionAwake) -> None:
        """Watch the incarnation that has just started."""
        row = self._table.get(message.session_id)
        # It may have ended by now, when a message waited for it: then the Down comes at once.
        if row is not None and message.cell.address is _address(row):
            self._watch(row, message.cell)

    def _watch_started(self, row: Row, started: Ref | None) -> None:
        """Watch what runs now, or what was started and has ended since: nobody else tells of it."""
        cell = _address(row).ref or started
        if cell is not None and cell.incarnation >= row.incarnation:
            self._watch(row, cell)
        elif row.presence is Presence.AWAKE:
            self._learn(row, Ended(incarnation=row.incarnation, reason=NoActor()))

    def _watch(self, row: Row, cell: Ref) -> None:
        if self._watching.get(row.id) is cell:
            return
        self._watching[row.id] = cell
        self._watched[self.monitor(cell)] = (row, cell)

    def _watch_partition(self, number: int) -> None:
        self._partitions[self.monitor(partition_name(number))] = number

    @handles(Down)
    def on_down(self, message: Down) -> None:
        """Carry out what the verdict says about a session whose incarnation has ended."""
        number = self._partitions.pop(message.monitor, None)
        if number is not None:
            self._lost(number)
            return
        watched = self._watched.pop(message.monitor, None)
        if watched is None:
            return
        row, cell = watched
        if self._watching.get(row.id) is cell:
            del self._watching[row.id]
        if self._table.get(row.id) is not row:
            return
        number = partition_of(row.id, self._services.partitions)
        partition = self.system.lookup(partition_name(number))
        parent = cell.parent
        self._learn(
            row,
            Ended(
                incarnation=cell.incarnation,
                # Of one that had ended before it was watched, the Down only says: no actor.
                reason=message.reason if cell.reason is None else cell.reason,
                failed_on=cell.failed_on,
                has_supervisor=partition is not None and partition.ref is parent,
            ),
        )

    @handles(SessionGivenUp)
    def on_session_given_up(self, message: SessionGivenUp) -> None:
        """Quarantine a session that crashed too often."""
        row = self._table.get(message.session_id)
        if row is not None:
            news = GivenUp(
                incarnation=row.incarnation, reason=message.reason, failed_on=message.failed_on
            )
            self._learn(row, news)

    @handles(PartitionReady)
    def on_partition_ready(self, message: PartitionReady) -> None:
        """Watch the partition again, and start what waits for it, a bounded number at a time."""
        number = message.number
        if number not in self._partitions.values():
            self._lost(number)
        self._waking.pop(number, None)
        self._partitions = {key: each for key, each in self._partitions.items() if each != number}
        self._watch_partition(number)
        self._wake_more(number)

    def _lost(self, number: int) -> None:
        """Put to sleep whom the partition took along; who still cleans up says so by its `Down`."""
        for row in self._rows_of(number):
            cell = _address(row).ref
            if cell is not None and not cell.is_dead:
                self._watch(row, cell)
            elif row.id not in self._book.creations:
                self._learn(row, PartitionLost())

    def _wake_more(self, number: int) -> None:
        waking = self._waking.setdefault(number, {})
        if len(waking) >= _WOKEN_AT_ONCE_MAX or not self._book.has_waiting(number):
            return
        for session_id in self._book.take_waiting(number, _WOKEN_AT_ONCE_MAX - len(waking)):
            row = self._table.get(session_id)
            if row is None or session_id in waking:
                continue
            if row.presence is Presence.ASLEEP or session_id in self._book.creations:
                self._start(row)

    def _rows_of(self, number: int) -> list[Row]:
        partitions = self._services.partitions
        return [row for row in self._table.rows() if partition_of(row.id, partitions) == number]

    def _learn(self, row: Row, news: News) -> None:
        view = RowView(
            state=row.latest().session.state, incarnation=row.incarnation, standing=row.standing
        )
        decision = decide(news, view, wall_s=self.system.clock.wall_s())
        if decision.standing is not None:
            row.standing = decision.standing
        ending = self._book.endings.get(row.id)
        match decision.verdict:
            case Verdict.REMOVED:
                self._remove(row)
            case Verdict.ASLEEP | Verdict.QUARANTINED if ending is not None:
                self._clean_up(row, ending)
            case Verdict.ASLEEP:
                self._fell_asleep(row)
            case Verdict.QUARANTINED:
                _address(row).refuse_waiting()
                self._answer_sleepers(row)
            case Verdict.RESTARTING if ending is not None and ending.is_forced:
                self._clean_up(row, ending)
            case Verdict.RESTARTING | Verdict.VOID if ending is not None:
                self._tell_end(row, ending)  # it may have been in hand when the incarnation ended
            case Verdict.RESTARTING | Verdict.VOID:
                self._answer_sleepers(row)

    def _fell_asleep(self, row: Row) -> None:
        self._answer_sleepers(row)
        if row.id in self._book.creations or _address(row).mailbox_size:
            self._wake(row)

    def _remove(self, row: Row) -> None:
        last = self._table.remove(row.id)
        self._book.wakes.pop(row.id, None)
        self.system.release(_address(row))
        creation = self._book.creations.pop(row.id, None)
        if creation is not None:
            creation.fail(SessionNotFound(row.id))
        self._answer_sleepers(row, last)
        self._ended(row.id, last)

    # -- waking and sleeping -----------------------------------------------

    @handles(SessionWaits)
    def on_session_waits(self, message: SessionWaits) -> None:
        """Start a session for which a message waits."""
        row = self._table.get(message.session_id)
        if row is None:
            return
        _address(row).is_wanted = False  # before looking: who comes later tells again
        if row.presence is Presence.ASLEEP:
            self._wake(row)

    def _wake(self, row: Row) -> None:
        number = partition_of(row.id, self._services.partitions)
        self._book.let_wait(number, row.id)
        self._wake_more(number)

    @handles(PassivateSession)
    def on_passivate_session(self, message: PassivateSession) -> Session | Later:
        """Put a session to sleep if it has nothing to do; reply its snapshot."""
        check(message, self._services.limits)
        row = self._table.row(message.session_id)
        if row.presence is not Presence.AWAKE or not _address(row).is_alive():
            return row.session()
        self._book.sleepers.setdefault(row.id, []).append(self.reply_later())
        _address(row).notify(FallAsleep())
        return LATER

    def _answer_sleepers(self, row: Row, last: Session | None = None) -> None:
        for reply in self._book.sleepers.pop(row.id, ()):
            reply.offer(last or row.session())

    @handles(ReviveSession)
    def on_revive_session(self, message: ReviveSession) -> Session | Later:
        """Start a session that is quarantined or asleep; reply its snapshot."""
        check(message, self._services.limits)
        row = self._table.row(message.session_id)
        if row.presence not in {Presence.QUARANTINED, Presence.ASLEEP}:
            return row.session()
        if message.patch is not None:
            draft, clock = self._take_care(row), self.system.clock
            draft.update(message.patch, wall_s=clock.wall_s(), now_s=clock.now_s())
            self._services.commit(draft.hand_in())
            draft.let_go()
        row.standing = revived(
            RowView(
                state=row.latest().session.state, incarnation=row.incarnation, standing=row.standing
            ),
            wall_s=self.system.clock.wall_s(),
        )
        creation = self._book.creations.setdefault(row.id, Creation([]))
        creation.replies.append(self.reply_later())
        creation.is_revival = True
        self._start(row)
        return LATER

    # -- ending ------------------------------------------------------------

    @handles(TerminateSession)
    def on_terminate_session(self, message: TerminateSession) -> Later:
        """End a session; reply its last snapshot."""
        check(message, self._services.limits)
        row = self._table.row(message.session_id)
        reply = self.reply_later()

        def answer(last: Session | None) -> None:
            if last is None:
                reply.offer_exception(SessionNotFound(message.session_id))
            else:
                reply.offer(last)

        self._begin_end(row, message.reason, message.grace_s, answer)
        return LATER

    @handles(CleanupInactive)
    def on_cleanup_inactive(self, message: CleanupInactive) -> tuple[str, ...] | Later:
        """End the sessions that have been idle for too long; reply their ids."""
        services = self._services
        check(message, services.limits)
        idle_s = message.idle_longer_than_s
        idle_s = services.max_idle_s if idle_s is None else idle_s
        now_s = self.system.clock.now_s()
        rows = [
            row
            for row in self._table.rows()
            if now_s - row.latest().active_s > idle_s
            and takes_messages(row.latest().session.state)
            and row.id not in self._book.creations
        ]
        if message.dry_run or not rows:
            return tuple(row.id for row in rows)
        reply = self.reply_later()
        ended: list[str] = []
        left = {row.id for row in rows}

        def one_ended(session_id: str, last: Session | None) -> None:
            left.discard(session_id)
            if last is not None:
                ended.append(session_id)
            if not left:
                reply.offer(tuple(sorted(ended)))

        for row in rows:
            answer = partial(one_ended, row.id)
            self._begin_end(row, "idle", services.grace_s, answer, idle_longer_than_s=idle_s)
        return LATER

    def _begin_end(
        self,
        row: Row,
        reason: str,
        grace_s: float,
        answer: Callable[[Session | None], None],
        *,
        idle_longer_than_s: float | None = None,
    ) -> None:
        number, until_s = self._book.next_number(), self.system.clock.now_s() + grace_s
        ending = self._book.endings.get(row.id)
        if ending is None:
            ending = Ending(number, reason, until_s, [answer], idle_longer_than_s)
            self._book.endings[row.id] = ending
            self._drive_end(row, ending)
            return
        ending.answers.append(answer)
        if idle_longer_than_s is not None:
            return
        was_cleanup = ending.idle_longer_than_s is not None
        if was_cleanup:
            ending.idle_longer_than_s = None
            ending.reason = reason
        if was_cleanup or until_s < ending.until_s:
            ending.number, ending.until_s = number, until_s
            self._drive_end(row, ending)

    def _drive_end(self, row: Row, ending: Ending) -> None:
        if row.presence in {Presence.ASLEEP, Presence.QUARANTINED}:
            self._clean_up(row, ending)
            return
        left_s = max(0.0, ending.until_s - self.system.clock.now_s())
        self.send_after(left_s, GraceOver(row.id, ending.number))
        self._tell_end(row, ending)

    @staticmethod
    def _tell_end(row: Row, ending: Ending) -> None:
        _address(row).notify(EndSession(row.id, ending.reason, ending.idle_longer_than_s))

    @handles(SessionStays)
    def on_session_stays(self, message: SessionStays) -> None:
        """Give up an ending or a sleep: the session has had something to do since."""
        row = self._table.get(message.session_id)
        if row is None:
            return
        self._answer_sleepers(row)
        ending = self._book.endings.get(message.session_id)
        if ending is not None and ending.idle_longer_than_s is not None:
            self._ended(message.session_id, None)

    @handles(GraceOver)
    def on_grace_over(self, message: GraceOver) -> None:
        """Kill what has not ended in its time, and clean up in its place."""
        row, ending = (
            self._table.get(message.session_id),
            self._book.endings.get(message.session_id),
        )
        if row is None or ending is None or ending.number != message.number:
            return
        if ending.idle_longer_than_s is not None:
            self._ended(row.id, None)  # it is busy
            return
        ending.is_forced = True
        self._clean_up(row, ending)

    def _clean_up(self, row: Row, ending: Ending) -> None:
        """End a session that has no actor to do it, or whose actor does not come to it."""
        self._call_off(row)
        draft, clock = self._take_care(row), self.system.clock
        idle_s = ending.idle_longer_than_s
        if idle_s is not None and clock.now_s() - draft.active_s <= idle_s:
            draft.let_go()
            self._ended(row.id, None)
            return
        if draft.session.state is not SessionState.CLEANED:  # its actor came half the way
            draft.move(SessionEvent.TERMINATE, wall_s=clock.wall_s(), reason=ending.reason)
            draft.move(SessionEvent.CLEAN, wall_s=clock.wall_s(), reason=draft.session.state_reason)
            self._services.commit(draft.hand_in())
        self._remove(row)

    def _call_off(self, row: Row) -> None:
        """Kill what runs of a session, and have nothing more of it started."""
        partition = self.system.lookup(
            partition_name(partition_of(row.id, self._services.partitions))
        )
        # The partition learns first: its mailbox keeps the order, so that it has forgotten the
        # session before it hears of the kill, however long it is busy with something else.
        if partition is not None:
            partition.notify(ForgetSession(row.id))
        cell = _address(row).ref
        if cell is not None:
            cell.kill()

    def _take_care(self, row: Row) -> Draft:
        """Begin an incarnation without an actor: the manager's own hand on the row."""
        address = _address(row)
        address.incarnations += 1
        start = row.begin(max(address.incarnations, row.incarnation + 1))
        assert start is not None, "the manager alone begins incarnations of a row without an actor"
        return Draft(row, start, self._services.limits)

    def _ended(self, session_id: str, last: Session | None) -> None:
        ending = self._book.endings.pop(session_id, None)
        if ending is not None:
            for answer in ending.answers:
                answer(last)

    # -- the rest ----------------------------------------------------------

    @handles(Shutdown)
    def on_shutdown(self, message: Shutdown) -> Later:
        """Take no new session; reply the ids that are still busy when the grace is over."""
        check(message, self._services.limits)
        self._book.is_draining = True
        until_s = self.system.clock.now_s() + message.grace_s
        self.on_drain_check(DrainCheck(until_s, self.reply_later()))
        return LATER

    @handles(DrainCheck)
    def on_drain_check(self, message: DrainCheck) -> None:
        """Reply when nothing is busy any more, or the time is up."""
        busy = tuple(row.id for row in self._table.rows() if _is_busy(row))
        if not busy or self.system.clock.now_s() >= message.until_s:
            message.reply.offer(busy)
        else:
            self.send_after(_DRAIN_CHECK_S, message)

    @handles(InjectCrash)
    def on_inject_crash(self, message: InjectCrash) -> Later | None:
        """Make a part crash, to see that it heals."""
        check(message, self._services.limits)
        if not self._services.faults:
            raise InvalidField("how", str(message.how), "Start with faults=True to inject crashes.")
        if message.session_id is not None:
            row = self._table.row(message.session_id)
            cell = _address(row).ref
            if cell is None or cell.is_dead:
                msg = f"{session_name(row.id)} does not run just now"
                self.reply_later().offer_exception(SessionRestarting(msg, address=row.id))
                return LATER
            self._strike(cell, message.how)
            return None
        part = self._services.find_part(message.part or "")
        if part is None:
            raise InvalidField("part", message.part, "Give a path of the tree, as `tree` shows it.")
        if part is self.actor_ref:
            self.reply_later().offer(None)
        self._strike(part, message.how)
        return LATER if part is self.actor_ref else None

    @staticmethod
    def _strike(cell: Ref, how: Fault) -> None:
        if how is Fault.KILL:
            cell.kill()
        elif how is Fault.EXIT or cell.is_system:
            cell.exit(Crashed("InjectedFault", "an exit signal on purpose"))
        else:
            cell.notify(FailNow())


def _answered(session_id: str, future: Future[Any]) -> StartAnswered:
    error = future.error
    return StartAnswered(session_id, error, None if error is not None else future.get())


def _address(row: Row) -> SessionAddress:
    address = row.address
    assert isinstance(address, SessionAddress), "the manager gives every row its address"
    return address


def _is_busy(row: Row) -> bool:
    cell = _address(row).ref
    return cell is not None and (cell.runner is not None or bool(_address(row).mailbox_size))


def _spawn_error(row: Row, reason: ExitReason) -> CallboardError:
    return SpawnError(f"session {row.id} did not start: {reason}")


_NO_LIMIT = float("inf")
