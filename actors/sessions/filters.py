"""Which sessions are meant, and which of them are on this page? On the caller's thread."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice

from callboard.actors.messages import CountSessions, ListSessions, SessionPage
from callboard.actors.sessions.table import Row, Table


def matching(
    rows: Iterable[Row], wanted: ListSessions | CountSessions, *, now_s: float
) -> Iterator[Row]:
    """Yield the rows for which all that is given holds.

    Args:
        rows: the rows as they were taken from the table.
        wanted: the filter; None in a field means that it does not matter.
        now_s: monotonic now, against which idle time is measured (strictly longer).
    """
    user_id, org_id, agent_role = wanted.user_id, wanted.org_id, wanted.agent_role
    state, presence, idle_s = wanted.state, wanted.presence, wanted.idle_longer_than_s
    for row in rows:
        kept = row.latest()
        session = kept.session
        if (
            (user_id is None or session.user_id == user_id)
            and (org_id is None or session.org_id == org_id)
            and (agent_role is None or session.agent_role == agent_role)
            and (state is None or session.state == state)
            and (presence is None or row.presence == presence)
            and (idle_s is None or now_s - row.active_s > idle_s)
        ):
            yield row


def page(table: Table, wanted: ListSessions, *, now_s: float) -> SessionPage:
    """Return the page that is asked for.

    A session that is there from the first page to the last is on exactly one of
    them, whatever comes and goes meanwhile.
    """
    ids = _candidates(table, wanted)
    # New ids follow old ones as a rule: then sorting them is one look at each, in one C call.
    ids.sort()
    start = 0 if wanted.after_id is None else bisect_right(ids, wanted.after_id)
    rows = filter(None, map(table.get, islice(ids, start, None)))  # some have gone meanwhile
    found = list(islice(matching(rows, wanted, now_s=now_s), wanted.limit + 1))
    shown = found[: wanted.limit]
    return SessionPage(
        ids=tuple(row.id for row in shown),
        sessions=() if wanted.fields == "id" else tuple(row.session() for row in shown),
        next_after_id=shown[-1].id if len(found) > len(shown) else None,
    )


def count(table: Table, wanted: CountSessions, *, now_s: float) -> int:
    """Return how many sessions are meant: without a look at them when one count is enough."""
    if wanted.state is None and wanted.presence is None and wanted.idle_longer_than_s is None:
        quick = _kept_count(table, wanted)
        if quick is not None:
            return quick
    if wanted == CountSessions(presence=wanted.presence) and wanted.presence is not None:
        return table.presences()[wanted.presence]
    rows = filter(None, map(table.get, _candidates(table, wanted)))
    return sum(1 for _ in matching(rows, wanted, now_s=now_s))


def _candidates(table: Table, wanted: ListSessions | CountSessions) -> list[str]:
    """Return ids among which are all that are meant: as few as the table knows."""
    return table.ids(
        user_id=wanted.user_id,
        org_id=wanted.org_id,
        agent_role=wanted.agent_role,
        presence=wanted.presence,
    )


def _kept_count(table: Table, wanted: CountSessions) -> int | None:
    match (wanted.user_id, wanted.org_id, wanted.agent_role):
        case (None, None, None):
            return len(table)
        case (str(user_id), None, None):
            return table.count_user(user_id)
        case (None, str(org_id), None):
            return table.count_org(org_id)
        case (None, None, str(agent_role)):
            return table.count_role(agent_role)
        case _:
            return None
