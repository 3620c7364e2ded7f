"""What happens to sessions, as values; what does a commit tell? Pure.

Whoever makes something happen emits it (`Services.tell`, `Services.emit`). The
hub numbers the events of each session, from 1 without holes, and passes them on
to subscriptions, audit, metrics and log. Nothing of this is made while nobody listens.

No event holds what a message says, a variable, a prompt or an exception's text:
who may read these reads the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from callboard.actors.sessions.data import Session
from callboard.actors.sessions.frozen import EMPTY, FrozenDict
from callboard.actors.sessions.linking import Link, links_of
from callboard.actors.sessions.links import AgentInfo, ClientInfo, LinkState, McpClientInfo
from callboard.actors.sessions.log import Log

ACTIVITY_SAMPLE_S: Final = 60.0
"""Of the signs of life that change nothing else, the first in each such window is an event."""


class EventKind(StrEnum):
    """What has happened. The words in brackets are what `details` tells."""

    CREATED = "created"
    """Its place is reserved [kind, agent_role]."""
    STATE_CHANGED = "state_changed"
    """It has gone to another state [before, after, reason]."""
    UPDATED = "updated"
    """Something of it was replaced [fields, version]."""
    ACTIVITY = "activity"
    """It gave a sign of life; sampled, see `ACTIVITY_SAMPLE_S`."""
    MESSAGE = "message"
    """A message was appended to its log [message_seq, role]."""
    AGENT_UP = "agent_up"
    """Its agent answers."""
    AGENT_DOWN = "agent_down"
    """Its agent answers no more."""
    MCP_UP = "mcp_up"
    """One of its MCP servers answers [id]."""
    MCP_DOWN = "mcp_down"
    """One of its MCP servers answers no more [id]."""
    CLIENT_ATTACHED = "client_attached"
    """A client reads along."""
    CLIENT_DETACHED = "client_detached"
    """The client has gone."""
    ERROR = "error"
    """It failed: an incarnation [error, failed_on, incarnation], its start or its end [error], or a
    step of its spawn that it does without [error, name]."""
    RESTARTED = "restarted"
    """The next incarnation runs [incarnation]."""
    ASLEEP = "asleep"
    """It has no actor; the next message wakes it."""
    AWAKE = "awake"
    """It has been woken [incarnation]."""
    QUARANTINED = "quarantined"
    """It failed too often: kept, and not run [restarts]."""
    EXPIRED = "expired"
    """It has ended for being idle too long [idle_longer_than_s]."""
    CLEANUP_STEP = "cleanup_step"
    """A step of its cleanup is over [name, ok, seconds]."""
    TERMINATED = "terminated"
    """It has gone; the last event of every session [reason, seconds]."""


class SessionEvent(msgspec.Struct, frozen=True):
    """Something that has happened to a session.

    Args:
        session_id: whose.
        kind: what.
        at: when: UTC, seconds since the epoch.
        details: what else is known: names, numbers and truth values only.
        user_id: whose session it is.
        org_id: the user's organisation.
        seq: its number among the events of the session, from 1 without holes. It counts
            from when somebody began to listen; 0 as long as the hub has not seen it.
    """

    session_id: str
    kind: EventKind
    at: float
    details: Mapping[str, object] = EMPTY
    user_id: str | None = None
    org_id: str | None = None
    seq: int = 0


def event_of(session: Session, kind: EventKind, at: float, /, **details: object) -> SessionEvent:
    """Return an event of a session that has no number yet.

    Args:
        session: a snapshot: it says whose.
        kind: what has happened.
        at: UTC now, seconds since the epoch.
        details: names, numbers and truth values; see `EventKind`.
    """
    told = FrozenDict(details) if details else EMPTY
    return SessionEvent(session.id, kind, at, told, session.user_id, session.org_id)


_REPLACED: Final = (
    "workspace",
    "metadata",
    "variables",
    "system_prompt",
    "client_capabilities",
    "data",
)


def changes(before: Session, after: Session, log: Log, *, at: float) -> tuple[SessionEvent, ...]:
    """Say what a commit tells, in order.

    Args:
        before: the snapshot it was built upon.
        after: the snapshot it makes.
        log: the log after it.
        at: UTC now, seconds since the epoch.
    """
    told: list[SessionEvent] = []
    if after.last_seq > before.last_seq:
        appended = log.slice(after_seq=before.last_seq, limit=after.last_seq - before.last_seq)
        told += [
            event_of(after, EventKind.MESSAGE, at, message_seq=each.seq, role=each.role.value)
            for each in appended
        ]
    if after.state is not before.state:
        states = {"before": before.state.value, "after": after.state.value}
        if after.state_reason:
            states["reason"] = after.state_reason
        told.append(event_of(after, EventKind.STATE_CHANGED, at, **states))
    else:
        fields = tuple(n for n in _REPLACED if getattr(before, n) is not getattr(after, n))
        if fields:
            event = event_of(after, EventKind.UPDATED, at, fields=fields, version=after.version)
            told.append(event)
    if after.has_links or before.has_links:
        told += _of_links(before, after, at)
    if not told and _window(after) != _window(before):
        told.append(event_of(after, EventKind.ACTIVITY, at))
    return tuple(told)


_UP: Final = {
    McpClientInfo: (EventKind.MCP_UP, EventKind.MCP_DOWN),
    AgentInfo: (EventKind.AGENT_UP, EventKind.AGENT_DOWN),
    ClientInfo: (EventKind.CLIENT_ATTACHED, EventKind.CLIENT_DETACHED),
}


def _of_links(before: Session, after: Session, at: float) -> Iterator[SessionEvent]:
    """Say which connections can be used since this commit, and which no more."""
    earlier, later = _running(before), _running(after)
    for key in [*earlier, *later]:
        if (key in earlier) is (key in later):
            continue
        link = later.get(key) or earlier[key]
        up, down = _UP[type(link)]
        details = {"id": link.id} if isinstance(link, McpClientInfo) else {}
        yield event_of(after, up if key in later else down, at, **details)


def _running(session: Session) -> dict[str, Link]:
    return {key: each for key, each in links_of(session).items() if each.status is LinkState.UP}


def _window(session: Session) -> float:
    return session.last_active_at // ACTIVITY_SAMPLE_S
