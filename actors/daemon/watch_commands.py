"""The commands that read along: events, a log as it grows, numbers."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from callboard.actors.daemon.client import path_of
from callboard.actors.daemon.program import HERE, Where, say
from callboard.actors.daemon.showing import as_json, event_line, message_lines
from callboard.actors.sessions.events import EventKind
from callboard.actors.statuses import EX_OK


def watch(
    session_id: str | None = None,
    /,
    *,
    kind: Annotated[tuple[EventKind, ...], Parameter(negative="")] = (),
    events_max: int | None = None,
    where: Where = HERE,
) -> int:
    """Print events as they happen: of all sessions, or of one until it has gone.

    Whoever reads too slowly is told how many events were lost, and ends with 75.

    Parameters
    ----------
    session_id
        Which session. The default is all.
    kind
        Which kind of events. May be given often; the default is all.
    events_max
        How many events may wait in the daemon. The default is 1,000.
    """
    path = "/v1/events" if session_id is None else path_of(session_id, "events")
    query = {"kinds": ",".join(kind) or None, "events_max": events_max}
    with where.client() as client:
        for told in client.stream(path, query=query):
            say([as_json(told.data) if where.json else event_line(told.data)])
    return EX_OK


def follow(session_id: str, /, *, after_seq: int = 0, where: Where = HERE) -> int:
    """Print a session's messages, those there are and each as it comes.

    It follows as the session's client: whoever followed before is let go.

    Parameters
    ----------
    session_id
        Which session.
    after_seq
        What follows this number.
    """
    query = {"after_seq": after_seq, "peer": "callboard follow"}
    with where.client() as client:
        for told in client.stream(path_of(session_id, "client"), query=query):
            if where.json:
                say([as_json(told.data)])
            elif told.data["message"] is not None:
                say(message_lines([told.data["message"]]))
    return EX_OK


def metrics(*, where: Where = HERE) -> int:
    """Print the daemon's numbers, as Prometheus reads them."""
    with where.client() as client:
        answer = client.request("GET", "/v1/metrics")
    say([as_json(answer)] if where.json else answer.splitlines())
    return EX_OK
