"""What becomes of a session now that its incarnation has ended? Decided here, done elsewhere.

The manager learns of an ending (`Ended`), that the partition gave a session up
(`GivenUp`), that a partition came back empty (`PartitionLost`), that the first start
failed (`NeverStarted`), or a later one that somebody had asked for (`NotResumed`) or that a
message waits for (`NotWoken`). `decide` says what the row becomes.

The partition decides which of the sessions that it runs have spent their budget. What they have
is noted here as well, for a partition forgets who sleeps: the next start goes on from it, and so
does a wake that fails.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias, assert_never

import msgspec

from callboard.actors.sessions.budget import RESTARTS
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Row, Standing
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.reasons import ExitReason, NoActor, is_abnormal


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An incarnation has ended: its address has told.

    Args:
        incarnation: which.
        reason: why.
        failed_on: name of the type of the message it was handling, if known.
        has_supervisor: whether the partition that ran it is there to restart it.
        run_by: the incarnation of that partition, to look once more if that was long ago.
    """

    incarnation: int
    reason: ExitReason
    failed_on: str | None = None
    has_supervisor: bool = True
    run_by: object = None


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """The partition has spent the session's budget of restarts and forgotten it.

    Or a start that had been asked for has failed, after which the session is quarantined (again).

    Args:
        incarnation: the last one.
        reason: why that one ended, or the start failed.
        failed_on: name of the type of the message it was handling, if known.
        is_start: whether it is such a start: it may have failed before the incarnation began.
    """

    incarnation: int
    reason: ExitReason
    failed_on: str | None = None
    is_start: bool = False


class PartitionLost(msgspec.Struct, frozen=True, kw_only=True):
    """The partition that ran the session has ended; its successor starts empty.

    Or nobody is there for another reason. How the last incarnation ended may be told yet.

    Args:
        incarnation: the last one that had begun when that was learned.
        is_called_off: the manager has ended what ran: that will be told, and is no failure.
    """

    incarnation: int
    is_called_off: bool = False


class NeverStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The session's very first start failed: its creator gets the cause.

    Args:
        reason: why.
        may_be_kept: the store does not know whether it has kept its first commit.
    """

    reason: ExitReason
    may_be_kept: bool = False


class NotResumed(msgspec.Struct, frozen=True, kw_only=True):
    """A session that slept did not start: whoever asked for that gets the cause.

    Args:
        incarnation: the last one.
        reason: why.
    """

    incarnation: int
    reason: ExitReason


class NotWoken(msgspec.Struct, frozen=True, kw_only=True):
    """A session that slept did not start for a message that waits: it is tried again.

    Args:
        incarnation: the last one.
        reason: why.
    """

    incarnation: int
    reason: ExitReason


News: TypeAlias = Ended | GivenUp | PartitionLost | NeverStarted | NotResumed | NotWoken
"""What the manager can learn of a session's incarnation."""


class Verdict(StrEnum):
    """What the manager does with the row."""

    VOID = "void"
    """Nothing: a later incarnation has begun. Only the history is noted."""
    RESTARTING = "restarting"
    """Nothing but note it: the supervisor starts the next incarnation."""
    ASLEEP = "asleep"
    """Note it: whatever wants the session next starts it."""
    QUARANTINED = "quarantined"
    """Keep place and role, answer what waits, start nothing until it is revived."""
    UNDONE = "undone"
    """End it: its creator was told that it never was, and something of it is kept."""
    REMOVED = "removed"
    """Take the row out and give the place back."""


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision needs to know of a row.

    Args:
        state: of the last commit.
        incarnation: the last one that has begun; 0 before the first.
        standing: what the manager knew before.
    """

    state: SessionState
    incarnation: int
    standing: Standing | None = None


def view_of(row: Row) -> RowView:
    """Return what the decision needs to know of a row, as it is now."""
    state, incarnation = row.latest().session.state, row.incarnation
    return RowView(state=state, incarnation=incarnation, standing=row.standing)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and what to note.

    Args:
        verdict: what to do.
        standing: what to write into the row; None when it goes, or nothing is new.
    """

    verdict: Verdict
    standing: Standing | None = None


CLOSED_MAX: Final = 8
"""Incarnations of a session of which is remembered that their failure is counted."""

_PRESENCE = {
    Verdict.RESTARTING: Presence.RESTARTING,
    Verdict.ASLEEP: Presence.ASLEEP,
    Verdict.UNDONE: Presence.ASLEEP,
    Verdict.QUARANTINED: Presence.QUARANTINED,
}


def decide(news: News, row: RowView, *, now_s: float = 0.0) -> Decision:
    """Say what becomes of a session.

    Sessions are transient: a failure is restarted by the supervisor, an orderly
    end is not. A session whose cleanup is committed goes, however its actor ended.

    Args:
        news: what has been learned.
        row: the row as it is.
        now_s: monotonic now.
    """
    spent, is_spent = _spent(news, row, now_s)
    verdict = _verdict(news, row, is_spent=is_spent)
    if verdict is Verdict.REMOVED:
        return Decision(verdict=verdict)
    return Decision(verdict=verdict, standing=_noted(news, verdict, row, spent, now_s))


def _verdict(news: News, row: RowView, *, is_spent: bool) -> Verdict:
    match news:
        case NeverStarted():
            return _of_never_started(news, row)
        case PartitionLost() | NotResumed() | NotWoken():
            return _of_lost(news, row, is_spent=is_spent)
        case Ended() | GivenUp():
            return _of_end(news, row)
        case _ as never:
            assert_never(never)


def _of_never_started(news: NeverStarted, row: RowView) -> Verdict:
    if row.state is SessionState.CLEANED:
        return Verdict.REMOVED
    # Its first commit takes it further than CREATED.
    is_kept = news.may_be_kept or row.state is not SessionState.CREATED
    return Verdict.UNDONE if is_kept else Verdict.REMOVED


def _of_lost(
    news: PartitionLost | NotResumed | NotWoken, row: RowView, *, is_spent: bool
) -> Verdict:
    if row.state is SessionState.CLEANED:
        return Verdict.REMOVED
    # Told late, since a store had to keep something first: another one has begun meanwhile.
    if news.incarnation < row.incarnation:
        return Verdict.VOID
    if isinstance(news, NotWoken) and is_spent:
        return Verdict.QUARANTINED
    if _rests_in(row, Presence.QUARANTINED):
        return Verdict.VOID
    return Verdict.ASLEEP


def _of_end(news: Ended | GivenUp, row: RowView) -> Verdict:
    if news.incarnation < row.incarnation:
        return Verdict.VOID
    if row.state is SessionState.CLEANED:
        return Verdict.REMOVED
    if isinstance(news, GivenUp):
        return Verdict.QUARANTINED
    # The partition's word and the address's on the same incarnation may come in either order.
    if _is_noted(news, row):
        return Verdict.VOID
    # Gone when it was looked for: nobody knows how it ended, nor whether it is restarted.
    is_restarted = is_abnormal(news.reason) and not isinstance(news.reason, NoActor)
    return Verdict.RESTARTING if is_restarted and news.has_supervisor else Verdict.ASLEEP


def _rests_in(row: RowView, presence: Presence) -> bool:
    standing = row.standing
    return (
        standing is not None
        and standing.incarnation >= row.incarnation
        and standing.presence is presence
    )


def _is_noted(news: Ended | GivenUp, row: RowView) -> bool:
    return row.standing is not None and row.standing.incarnation >= news.incarnation


def _new_failure(news: News, row: RowView) -> ExitReason | None:
    """Return why an incarnation failed that is not counted yet; None: there is no such failure.

    That its end was noted says nothing: that nobody is there may have been seen before anybody told
    why, and the ends of two incarnations be told in either order.
    """
    if isinstance(news, (PartitionLost, NeverStarted)):
        return None
    if not is_abnormal(news.reason) or isinstance(news.reason, NoActor):
        return None
    return news.reason if _is_start(news) or not _is_closed(news.incarnation, row) else None


def _is_start(news: News) -> bool:
    """Say whether a start failed that was asked for: of that one alone is told, and once."""
    return isinstance(news, (NotResumed, NotWoken)) or (isinstance(news, GivenUp) and news.is_start)


def _is_closed(incarnation: int, row: RowView) -> bool:
    closed = () if row.standing is None else row.standing.closed
    return incarnation in closed or (len(closed) == CLOSED_MAX and incarnation < closed[0])


def closed_to(before: Standing, incarnation: int) -> tuple[int, ...]:
    """Return which incarnations are closed when those are, too, of which nothing was known yet.

    Args:
        before: what was known.
        incarnation: the last of these.
    """
    first = max(before.incarnation, incarnation - CLOSED_MAX) + 1
    return _closed_with(before, *range(first, incarnation + 1))


def _closed_with(before: Standing, *incarnations: int) -> tuple[int, ...]:
    return tuple(sorted({*before.closed, *incarnations})[-CLOSED_MAX:])


def _spent(news: News, row: RowView, now_s: float) -> tuple[RestartWindow | None, bool]:
    """Count a failure against the budget; say what is spent of it, and whether it is too much.

    Whom a dead partition took along did nothing for it. In quarantine nothing is left to count.
    """
    before = None if row.standing is None else row.standing.spent
    is_taken_along = isinstance(news, Ended) and not news.has_supervisor
    is_over = isinstance(news, GivenUp) or _rests_in(row, Presence.QUARANTINED)
    if is_taken_along or is_over or _new_failure(news, row) is None:
        return before, False
    return (before or RESTARTS).record(now_s=now_s)


def _noted(
    news: News, verdict: Verdict, row: RowView, spent: RestartWindow | None, now_s: float
) -> Standing | None:
    """Return what the manager now knows; a failure counts once, even when the verdict is void."""
    before = row.standing or Standing(0, Presence.AWAKE)
    last = row.incarnation if isinstance(news, NeverStarted) else news.incarnation
    noted = msgspec.structs.replace(before, incarnation=max(before.incarnation, last), spent=spent)
    if verdict is not Verdict.VOID:
        is_over = verdict is Verdict.QUARANTINED
        noted = msgspec.structs.replace(
            noted,
            presence=_PRESENCE[verdict],
            since_s=now_s if is_over else 0.0,
            spent=None if is_over else spent,
        )
    if isinstance(news, (PartitionLost, NeverStarted)):
        if isinstance(news, PartitionLost) and news.is_called_off:
            noted = msgspec.structs.replace(noted, closed=closed_to(before, last))
        return None if verdict is Verdict.VOID else noted
    reason = _new_failure(news, row)
    if reason is None:
        return noted
    failed_on = news.failed_on if isinstance(news, (Ended, GivenUp)) else None
    is_start = _is_start(news)
    is_last = is_start or not before.closed or last > before.closed[-1]
    return msgspec.structs.replace(
        noted,
        restarts=before.restarts + 1,
        last_error=str(reason) if is_last else before.last_error,
        failed_on=failed_on if is_last else before.failed_on,
        closed=closed_to(before, last) if is_start else _closed_with(before, last),
    )


def revived(resting: Standing) -> Standing:
    """Return the standing of a session that is being started again: on its way, history kept.

    About the same incarnation: if a later one has begun meanwhile, it is awake, and this is void.

    Args:
        resting: what it is before, asleep or quarantined.
    """
    return msgspec.structs.replace(resting, presence=Presence.RESTARTING, since_s=0.0)
