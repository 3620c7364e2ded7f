"""How does a session end? By its own actor; by the manager's hand when there is none in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import msgspec

from callboard.actors.errors import SessionNotFound, SessionTerminating, StoreError
from callboard.actors.messages import CleanupInactive, TerminateSession
from callboard.actors.sessions.book import Ending
from callboard.actors.sessions.busy import is_busy
from callboard.actors.sessions.caretaking import take_care
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.desk import Desk
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.errands import Undertaker
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.internal import (
    EndKept,
    EndRefused,
    EndSession,
    GraceOver,
    Undone,
)
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawn import STRUCK, Step, must_end, to_undo
from callboard.actors.sessions.states import Presence, SessionState, Transition, takes_messages
from callboard.actors.sessions.table import Row, Standing, UnreadableRow
from callboard.actors.sessions.verdict import PartitionLost, closed_to
from callboard.actors.sessions.walks import Walk
from callboard.actors.storage.commits import CommitOutcome
from callboard.supervision import Backoff, Future
from callboard.supervision.model.reasons import is_abnormal

Outcome: TypeAlias = Session | StoreError | None
"""The last snapshot; why the store refused the end; None when it does not end after all."""

Answer: TypeAlias = Callable[[Outcome], None]

IDLE: Final = "idle"
"""Why a session ended that nobody has used for too long."""

QUARANTINE_OVER: Final = "quarantined for too long"
"""Why one ended that nobody has revived."""

UNDERTAKERS_AT_ONCE_MAX: Final = 64
"""Sessions whose steps are undone in the place of their actors at once; the others wait."""

UNDERTAKERS_MAX = 3
"""How often the undoing of a session is begun anew when whoever did it was killed."""

END_AGAIN: Final = Backoff(delays_s=(1.0, 2.0, 5.0, 10.0, 30.0, 60.0))
"""How long to wait, again and again, before an end is tried that the store has refused, of a
session that must end. Whoever asks for it meanwhile has it tried at once."""

NEVER_STARTED = "it never started"
"""Why one ends whose create has failed after its first commit."""

STOPPED = "the system is being stopped"
"""Why a session ends that has something to undo when the host stops the system."""


class Ender:
    """Ends sessions, each within its grace.

    Args:
        desk: the manager.
        services: what the system lends.
        is_over: says whether the manager has ended: killed at a store, it goes on for a moment.
    """

    def __init__(self, desk: Desk, services: Services, is_over: Callable[[], bool]) -> None:
        self._desk = desk
        self._is_over = is_over
        self._services = services
        self._system = services.system
        self._table = services.table
        self._book = services.book
        # Of this manager alone: the next one makes them anew of the endings in the book.
        self._at_work: dict[str, None] = {}
        self._waiting: dict[str, None] = {}

    # -- asked for ---------------------------------------------------------

    def terminate(self, message: TerminateSession, reply: Future[Session]) -> None:
        """End a session; answer with its last snapshot."""
        row = self._table.row(message.session_id)

        def answer(outcome: Outcome) -> None:
            if isinstance(outcome, Session):
                reply.offer(outcome)
            else:
                reply.offer_exception(outcome or SessionNotFound(message.session_id))

        self._begin(row, message.reason, message.grace_s, answer)

    def cleanup(self, message: CleanupInactive, reply: Future[tuple[str, ...]]) -> Walk:
        """Return the walk that ends the idle sessions, and answers with their ids."""
        idle_s = message.idle_longer_than_s
        idle_s = self._services.keeping.max_idle_s if idle_s is None else idle_s
        grace_s = self._services.keeping.grace_s
        found: list[str] = []
        under_way: dict[str, None] = {}
        ended: list[str] = []
        refused: list[StoreError] = []

        def look_at(row: Row) -> None:
            if not self._is_idle(row, idle_s):
                return
            found.append(row.id)
            if not message.dry_run:
                under_way[row.id] = None
                answer = partial(one_ended, row.id)
                self._begin(row, IDLE, grace_s, answer, idle_longer_than_s=idle_s)

        def one_ended(session_id: str, outcome: Outcome) -> None:
            under_way.pop(session_id, None)
            if isinstance(outcome, Session):
                ended.append(session_id)
            elif outcome is not None:
                refused.append(outcome)
            if not under_way and walk.is_over:
                tell()

        def come_to_an_end() -> None:
            if message.dry_run:
                reply.offer(tuple(found))
            elif not under_way:
                tell()

        def tell() -> None:
            if refused and not ended:
                reply.offer_exception(refused[0])
            else:
                reply.offer(tuple(sorted(ended)))

        walk = Walk(self._table.rows(), look_at, come_to_an_end)
        return walk

    def end_all(self, reply: Future[None]) -> Walk:
        """Return the walk that ends the sessions that have something to undo, then answers."""
        under_way: dict[str, None] = {}
        grace_s = self._services.keeping.grace_s

        def look_at(row: Row) -> None:
            if self._table.get(row.id) is row and self._services.plan(row.latest().session):
                under_way[row.id] = None
                self._begin(row, STOPPED, grace_s, partial(one_ended, row.id))

        def one_ended(session_id: str, _: Outcome) -> None:
            under_way.pop(session_id, None)
            if not under_way and walk.is_over:
                reply.offer(None)

        def come_to_an_end() -> None:
            if not under_way:
                reply.offer(None)

        walk = Walk(self._table.rows(), look_at, come_to_an_end)
        return walk

    def ending_of(self, row: Row, reason: str = STRUCK) -> Ending:
        """Return the ending of a session that must end though nobody has asked for it."""
        reason = row.latest().session.state_reason or reason
        until_s = self._system.clock.now_s() + self._services.keeping.grace_s
        ending = Ending(self._book.next_number(), reason, until_s, [], None)
        self._book.endings[row.id] = ending
        return ending

    def take_back(self, row: Row) -> None:
        """End a session of which its creator was told that it never was."""
        ending = self._book.endings.get(row.id) or self.ending_of(row, NEVER_STARTED)
        ending.is_bound = True
        self.clean_up(row, ending)

    def must_end(self, row: Row) -> bool:
        """Say whether a session is being ended, and there is no way back."""
        ending = self._book.endings.get(row.id)
        return ending is not None and self._must_end(row, ending)

    @staticmethod
    def _must_end(row: Row, ending: Ending) -> bool:
        return ending.is_bound or must_end(row.latest().session)

    def end_quarantined(self) -> Walk:
        """Return the walk that ends the sessions that have been quarantined for too long."""
        keeping, clock = self._services.keeping, self._system.clock

        def look_at(row: Row) -> None:
            standing = row.standing
            if standing is None or row.presence is not Presence.QUARANTINED:
                return
            if isinstance(row, UnreadableRow):  # kept until somebody who can read it is here again
                return
            if clock.now_s() - standing.since_s > keeping.quarantine_keep_s:
                self._begin(row, QUARANTINE_OVER, keeping.grace_s, _nobody_waits)

        return Walk(self._table.quarantined(), look_at)

    def _is_idle(self, row: Row, idle_s: float) -> bool:
        return (
            self._system.clock.now_s() - row.active_s > idle_s
            and takes_messages(row.latest().session.state)
            and not is_busy(row)
            and row.presence is not Presence.QUARANTINED  # kept until somebody has looked at it
            and row.id not in self._book.starts
            and self._table.get(row.id) is row
        )

    def _begin(
        self,
        row: Row,
        reason: str,
        grace_s: float,
        answer: Answer,
        *,
        idle_longer_than_s: float | None = None,
    ) -> None:
        number, until_s = self._book.next_number(), self._system.clock.now_s() + grace_s
        ending = self._book.endings.get(row.id)
        if ending is None:
            ending = Ending(number, reason, until_s, [answer], idle_longer_than_s)
            self._book.endings[row.id] = ending
            self._drive(row, ending)
            return
        ending.answers.append(answer)
        if idle_longer_than_s is not None:
            return
        was_cleanup = ending.idle_longer_than_s is not None
        if was_cleanup:
            ending.idle_longer_than_s = ending.expires_after_s = None
            ending.reason = reason
        if was_cleanup or until_s < ending.until_s or ending.refusals:
            ending.number, ending.until_s = number, until_s
            self._drive(row, ending)

    # -- driven ------------------------------------------------------------

    def take_over(self) -> None:
        """Go on with what a manager before this one had begun."""
        for session_id, ending in list(self._book.endings.items()):
            row = self._table.get(session_id)
            if row is None:
                self.over(session_id, ending.last)
            else:
                self._drive(row, ending)

    def note_last(self, row: Row) -> None:
        """Keep the last snapshot of a session that is about to go, for who waits for its end."""
        ending, session = self._book.endings.get(row.id), row.session()
        if ending is not None and session.state is SessionState.CLEANED:
            ending.last = session

    def _drive(self, row: Row, ending: Ending) -> None:
        if row.presence in {Presence.ASLEEP, Presence.QUARANTINED}:
            if not row.is_settled:
                self._wait_for_store(row, ending)
            elif self.spares(row, ending):
                self.over(row.id, None)
            else:
                self.clean_up(row, ending)
            return
        left_s = max(0.0, ending.until_s - self._system.clock.now_s())
        self._desk.send_after(left_s, GraceOver(row.id, ending.number))
        self.remind(row, ending)

    def is_left(self, row: Row) -> bool:
        """Say whether a session that rests must end, and nobody sees to it."""
        return row.id not in self._book.endings and must_end(row.latest().session)

    def spares(self, row: Row, ending: Ending) -> bool:
        """Say whether a cleanup of the idle leaves this session alone, as things are by now."""
        idle_s = ending.idle_longer_than_s
        if idle_s is None or not takes_messages(row.latest().session.state):
            return False
        return not self._is_idle(row, idle_s)

    def remind(self, row: Row, ending: Ending) -> None:
        """Tell the session's actor, or the next one, to end; it spawns no further."""
        spawning = self._book.spawns.get(row.id)
        if spawning is not None and ending.idle_longer_than_s is None:
            spawning.cancel(ending.reason)
        idle_s, number = ending.idle_longer_than_s, ending.number
        self._services.addresses.of(row).notify(EndSession(row.id, ending.reason, idle_s, number))

    def grace_over(self, message: GraceOver) -> None:
        """Kill what has not ended in its time, and clean up in its place."""
        row = self._table.get(message.session_id)
        ending = self._book.endings.get(message.session_id)
        if row is None or ending is None or ending.number != message.number:
            return
        is_busy = takes_messages(row.latest().session.state)
        if ending.idle_longer_than_s is not None and is_busy:
            self.over(row.id, None)
            return
        ending.is_forced = True
        self.clean_up(row, ending)

    def stays(self, session_id: str) -> None:
        """Give up a cleanup: the session has had something to do since."""
        ending = self._book.endings.get(session_id)
        if ending is not None and ending.idle_longer_than_s is not None:
            self.over(session_id, None)

    def clean_up(self, row: Row, ending: Ending) -> bool:
        """End a session that has no actor to do it, or whose actor does not come to it.

        Returns:
            False when it does not end: the store has refused that, and it is as it was.
        """
        if ending.undertaker is not None and not ending.undertaker.is_dead:
            self._wait_for_undertaker(row.id, ending)
            return True
        self._call_off(row)
        services, clock = self._services, self._system.clock
        draft = take_care(services.addresses.kept(row), services.limits)
        if draft.session.state is not SessionState.CLEANED:  # its actor came half the way
            draft.move(Transition.TERMINATE, wall_s=clock.wall_s(), reason=ending.reason)
            steps = to_undo(services.plan(draft.session))
            if steps and self._must_be_undone(ending):
                outcome = self._outcome_of(draft)
                draft.let_go()
                if self._is_over():  # what follows is the next one's
                    return True
                if outcome is CommitOutcome.FENCED:
                    return self._overtaken(row, ending)
                if outcome is CommitOutcome.WAITING:
                    return self._wait_for_store(row, ending)
                # One that is half spawned is undone whether or not it is noted that it ends.
                if isinstance(outcome, StoreError) and not self._must_end(row, ending):
                    return self._refused(row, ending, outcome)
                self._send_undertaker(row, ending, steps)
                return True
            draft.move(Transition.CLEAN, wall_s=clock.wall_s(), reason=draft.session.state_reason)
            outcome = self._outcome_of(draft)
            if self._is_over():
                return True
            if outcome is CommitOutcome.FENCED:
                return self._overtaken(row, ending)
            if isinstance(outcome, StoreError):
                draft.let_go()
                return self._refused(row, ending, outcome)
            if outcome is CommitOutcome.WAITING:
                return self._wait_for_store(row, ending)
        elif not draft.is_kept:
            return self._wait_for_store(row, ending)
        self._desk.remove(row)
        return True

    def _call_off(self, row: Row) -> None:
        """Kill what runs of a session; that it is killed, which may be told soon, is no failure."""
        self._services.call_off(row)
        before = row.standing or Standing(0, Presence.ASLEEP)
        closed = closed_to(before, row.incarnation)
        if closed != before.closed:
            row.note(msgspec.structs.replace(before, closed=closed))

    def _wait_for_store(self, row: Row, ending: Ending) -> bool:
        """Go on with an ending when the store has kept what has been handed in of it."""
        session_id, number = row.id, ending.number

        def tell(error: StoreError | None) -> None:
            self._services.announce(EndKept(session_id, number, error))

        if not row.when_settled(tell):
            tell(None)
        return True

    def kept(self, message: EndKept) -> None:
        """Go on with an ending whose last commit is kept, or is not."""
        row = self._table.get(message.session_id)
        ending = self._book.endings.get(message.session_id)
        if row is None or ending is None or ending.number != message.number:
            return
        if message.error is not None:
            self._refused(row, ending, message.error)
        elif self.spares(row, ending):
            self.over(row.id, None)
        else:
            self.clean_up(row, ending)

    # -- refused by the store ----------------------------------------------

    def _outcome_of(self, draft: Draft) -> StoreError | CommitOutcome:
        """Keep what was changed, if anything; or return why the store did not, all undone."""
        if not draft.has_changed:
            return CommitOutcome.COMMITTED if draft.is_kept else CommitOutcome.WAITING
        try:
            return self._services.keep(draft)
        except StoreError as error:
            draft.rebase()
            return error

    def _overtaken(self, row: Row, ending: Ending) -> bool:
        """Go on with an ending whose commit came too late: an incarnation has begun meanwhile.

        Its partition had been asked for it before it was told to forget the session; none comes
        after that one.
        """
        self._drive(row, ending)
        return True

    def refused(self, message: EndRefused) -> None:
        """Tell who waits for an end that the store refused it: the session goes on."""
        ending = self._book.endings.get(message.row.id)
        if ending is not None and ending.number == message.number:
            self.over(message.row.id, message.error)

    def _refused(self, row: Row, ending: Ending, error: StoreError) -> bool:
        """Tell who waits for an end that it is refused; say whether it is tried again.

        That it is if there is no way back: the session is half spawned or being cleaned up, or
        its creator was told that it never was.
        """
        session = row.latest().session
        self._services.tell(session, EventKind.ERROR, error=type(error).__name__)
        if not self._must_end(row, ending):
            self.over(row.id, error)
            if self._services.addresses.is_awake(row):
                return False  # the next one has begun before the store has said so
            if row.presence in {Presence.AWAKE, Presence.RESTARTING}:  # its actor was called off
                lost = PartitionLost(incarnation=row.incarnation, is_called_off=True)
                self._desk.learn(row, lost)
            else:
                self._services.addresses.give_up(row)
            return False
        self._answer(ending, error)
        spawning = self._book.spawns.get(row.id)
        if spawning is not None:
            spawning.refuse()
        if not self._services.addresses.is_awake(row):  # else the next one has begun, to end it
            self._have_rest(row, ending)
        ending.answers.clear()
        ending.number = self._book.next_number()
        delay_s = END_AGAIN.delay_s(ending.refusals)
        ending.refusals += 1
        self._desk.send_after(delay_s, GraceOver(row.id, ending.number))
        return True

    # -- undone in the place of its actor ----------------------------------

    @staticmethod
    def _must_be_undone(ending: Ending) -> bool:
        """Say whether somebody is to be sent: nobody has done it yet, nor been killed too often."""
        done_by = ending.undertaker
        if done_by is None:
            return True
        return is_abnormal(done_by.reason) and ending.undertakers < UNDERTAKERS_MAX

    def _send_undertaker(self, row: Row, ending: Ending, steps: tuple[Step, ...]) -> None:
        """Have a session's steps undone by an actor of their own; `undone` goes on from there."""
        self._have_rest(row, ending)
        if not self._may_send():
            self._waiting[row.id] = None
            return
        ending.undertakers += 1
        spawning = self._book.spawns.get(row.id)
        errand = None if spawning is None else spawning.errand
        ending.undertaker = self._system.spawn(
            Undertaker, row.session(), steps, self._services, errand
        )
        self._wait_for_undertaker(row.id, ending)

    def _may_send(self) -> bool:
        """Say whether there is a place for another one; none while the system is being stopped.

        What is left then, the stop tells.
        """
        return self._system.is_open and len(self._at_work) < UNDERTAKERS_AT_ONCE_MAX

    def _have_rest(self, row: Row, ending: Ending) -> None:
        """Have a session rest that is being ended without its actor."""
        ending.idle_longer_than_s = None  # there is no way back
        before = row.standing or Standing(0, Presence.ASLEEP)
        is_kept = before.presence is Presence.QUARANTINED
        presence = Presence.QUARANTINED if is_kept else Presence.ASLEEP
        closed = closed_to(before, row.incarnation)  # it was called off
        row.note(
            msgspec.structs.replace(
                before, incarnation=row.incarnation, presence=presence, closed=closed
            )
        )
        self._services.addresses.of(row).refuse_waiting(SessionTerminating(row.id))

    def _wait_for_undertaker(self, session_id: str, ending: Ending) -> None:
        self._at_work[session_id] = None

        # By a notice that waits for the manager: of this one, or of the next.
        def tell(_reason: object) -> None:
            self._services.announce(Undone(session_id))

        if not ending.undertaker.when_dead(ending, tell):
            tell(None)

    def undone(self, session_id: str) -> None:
        """Go on with an ending whose undertaker has ended; then there is a place for others."""
        self._at_work.pop(session_id, None)
        row, ending = self._table.get(session_id), self._book.endings.get(session_id)
        if row is not None and ending is not None and ending.undertaker is not None:
            self.clean_up(row, ending)
        while self._waiting and self._may_send():
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            row, ending = self._table.get(waiting), self._book.endings.get(waiting)
            if row is not None and ending is not None:
                self.clean_up(row, ending)

    def over(self, session_id: str, outcome: Outcome) -> None:
        """Answer everybody who waited for an end, if somebody did."""
        ending = self._book.endings.get(session_id)
        if ending is not None:
            self._answer(ending, outcome)
            # Not before: a manager that is killed here is followed by one that tells them again.
            del self._book.endings[session_id]

    @staticmethod
    def _answer(ending: Ending, outcome: Outcome) -> None:
        for answer in ending.answers:
            answer(outcome)


def _nobody_waits(outcome: Outcome) -> None:
    """Answer nobody: the janitor does not wait."""
    del outcome
