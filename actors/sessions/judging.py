"""What the verdict on a session says is carried out: it rests, ends, comes back, or is gone.

The pure `verdict.py` says what becomes of a session when something is learned of its
incarnation; this does that, by the hand of the manager, and tells it.
"""

from __future__ import annotations

from collections.abc import Callable

from callboard.actors.errors import SpawnError
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.ending import Ender
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.failing import Quarantined
from callboard.actors.sessions.internal import CreateAgain, Learned
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawn import must_end
from callboard.actors.sessions.states import SessionState
from callboard.actors.sessions.table import Row, Standing
from callboard.actors.sessions.verdict import (
    Decision,
    Ended,
    GivenUp,
    NeverStarted,
    News,
    Verdict,
    decide,
    view_of,
)
from callboard.actors.sessions.waking import Waker
from callboard.supervision.model.reasons import is_abnormal


class Judge:
    """Carries out verdicts. The manager alone calls it, one session at a time.

    Args:
        services: what the system lends.
        waker: starts sessions, and answers those who wait for a sleep.
        ender: ends them.
        is_over: says whether the manager has ended: killed, it may go on for a moment.
    """

    def __init__(
        self, services: Services, waker: Waker, ender: Ender, is_over: Callable[[], bool]
    ) -> None:
        self._services = services
        self._table = services.table
        self._book = services.book
        self._clock = services.system.clock
        self._waker = waker
        self._ender = ender
        self._is_over = is_over

    def learn(self, row: Row, news: News) -> None:
        """Put news of a session before the verdict, and carry that out.

        What it has handed in comes first: the verdict goes by what is kept. Not where a later
        incarnation has begun: what that one hands in is no matter of this verdict.
        """
        if self._table.get(row.id) is not row:
            return  # found on a walk through many rows: it has gone since, its id may be another's
        if isinstance(news, GivenUp) and self._book.starts.is_asked(row.id):
            # It is started anew: a manager before this one was killed with this word on its way, or
            # a store kept it back. What has been asked for since is answered, its failures counted.
            return
        is_old = not isinstance(news, NeverStarted) and news.incarnation < row.incarnation
        if not is_old and row.when_settled(lambda _: self._services.announce(Learned(row, news))):
            return
        before, view = row.standing, view_of(row)
        if self._is_over():  # after the look: else what the next manager has begun is judged, too
            return
        decision = decide(news, view, now_s=self._clock.now_s())
        if decision.standing is not None:
            self._services.note(row, decision.standing)
        ending = self._book.endings.get(row.id)
        if self._services.feed.is_heard:
            self._tell(row, news, before, decision)
        self._note_cause(row, news)
        rests = decision.verdict in {Verdict.ASLEEP, Verdict.QUARANTINED}
        if rests and ending is not None and self._ender.spares(row, ending):
            self._ender.over(row.id, None)  # what it was doing when it ended: it was not idle
            ending = None
        if rests and ending is None and must_end(row.latest().session):
            ending = self._ender.ending_of(row)
        if rests and ending is not None and self._ender.clean_up(row, ending):
            self._look_at_links(row)
            return
        match decision.verdict:
            case Verdict.REMOVED:
                self.remove(row)
                return
            case Verdict.UNDONE:
                self._ender.take_back(row)
            case Verdict.ASLEEP:
                has_ended = isinstance(news, Ended) and not is_abnormal(news.reason)
                self._waker.fell_asleep(row, has_ended=has_ended)
            case Verdict.QUARANTINED:
                self._tell_the_log(row)
                self._waker.forget(row.id, row)
                self._services.addresses.of(row).refuse_waiting()
                self._waker.answer_sleepers(row)
            case Verdict.RESTARTING if ending is not None and ending.is_forced:
                self._ender.clean_up(row, ending)
            case Verdict.RESTARTING | Verdict.VOID if ending is not None:
                self._ender.remind(row, ending)  # it may have been in hand when that one ended
            case Verdict.RESTARTING | Verdict.VOID:
                self._waker.answer_sleepers(row)
        self._look_at_links(row)

    def _tell_the_log(self, row: Row) -> None:
        """Say that a session is not run any more, and why."""
        standing = row.standing
        if standing is not None:
            told = Quarantined(row.id, standing.restarts, standing.last_error)
            self._services.system.emit(told)

    def _look_at_links(self, row: Row) -> None:
        """Have the connections closed of a session that rests or is gone."""
        if row.latest().session.has_links:
            self._services.connections.look(row)

    def _note_cause(self, row: Row, news: News) -> None:
        """Note what ended an incarnation, for those who wait until the session is spawned."""
        spawning = self._book.spawns.get(row.id)
        if spawning is None:
            return
        session, reason = row.session(), getattr(news, "reason", None)
        if session.state is SessionState.ACTIVE:  # it ended just before it could say so
            self._book.spawns.take_out(row.id)
            spawning.answer(session)
        elif reason is not None and is_abnormal(reason):
            spawning.fail(SpawnError(f"session {row.id} crashed while it was spawned: {reason}"))

    def _tell(self, row: Row, news: News, before: Standing | None, decision: Decision) -> None:
        """Emit what the news and the verdict say; a session's end is told by `remove`."""
        tell, session, standing = self._services.tell, row.latest().session, decision.standing
        reason = getattr(news, "reason", None)
        is_failure = standing is not None and standing.restarts > (before.restarts if before else 0)
        if is_failure or isinstance(news, NeverStarted):
            details: dict[str, object] = {"error": _name_of(reason)}
            if is_failure and not isinstance(news, NeverStarted):
                failed_on = getattr(news, "failed_on", None)
                details.update(incarnation=news.incarnation, failed_on=failed_on)
            tell(session, EventKind.ERROR, **details)
        if decision.verdict is Verdict.ASLEEP and row.id not in self._book.endings:
            tell(session, EventKind.ASLEEP)
        elif decision.verdict is Verdict.QUARANTINED:
            restarts = 0 if standing is None else standing.restarts
            tell(session, EventKind.QUARANTINED, restarts=restarts)

    def _tell_the_end(self, row: Row, last: Session) -> None:
        tell, ending = self._services.tell, self._book.endings.get(row.id)
        if ending is not None and ending.expires_after_s is not None:
            tell(last, EventKind.EXPIRED, idle_longer_than_s=ending.expires_after_s)
        lived_s = max(0.0, self._clock.wall_s() - last.created_at)
        tell(last, EventKind.TERMINATED, reason=last.state_reason, seconds=lived_s)

    def remove(self, row: Row) -> None:
        """Take a row out of the table, and tell everybody who waits for that."""
        self._ender.note_last(row)
        last = self._table.remove(row.id)
        if last is not None and self._services.feed.is_heard:
            self._tell_the_end(row, last)
        self._look_at_links(row)
        self._services.addresses.release(row)
        self._waker.forget(row.id, row)
        self._waker.answer_sleepers(row, last)
        # One that was to be ended and has not come to be was none: it has no last snapshot.
        has_ended = last is not None and last.state is SessionState.CLEANED
        self._ender.over(row.id, last if has_ended else None)
        self.have_created(row.id)

    def have_created(self, session_id: str) -> None:
        """Have those creates done that have waited until a session of their id is gone."""
        waiting = self._book.waiting
        for each in waiting.get(session_id, ()):
            self._services.manager.forward(CreateAgain(each), each.reply)
        # Not before: a manager that is killed here is followed by one that does it once more.
        waiting.pop(session_id, None)


def _name_of(reason: object) -> str:
    """Return an exit reason's kind, without the text of the exception."""
    error = getattr(reason, "error", None)
    return error if isinstance(error, str) else type(reason).__name__.lower()
