"""What do a session's connections become, now that something happened to one? Pure.

Each connection has a key, unique in its session for good: what comes late about
an earlier one of the same name is about nobody. The functions return what to
change in the snapshot: nothing when it is so already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from callboard.actors.errors import ReplayGap
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.frozen import FrozenDict
from callboard.actors.sessions.links import (
    AgentInfo,
    AgentSpec,
    ClientInfo,
    LinkState,
    McpClientInfo,
    McpSpec,
)
from callboard.actors.sessions.states import Presence, takes_messages

Changes: TypeAlias = dict[str, object]
"""Fields of the snapshot, each with its new value."""

Link: TypeAlias = McpClientInfo | AgentInfo | ClientInfo

_OPENED_BY_US = (McpClientInfo, AgentInfo)


def key_of(link: Link) -> str:
    """Return the key of a connection.

    >>> key_of(ClientInfo(number=3))
    'client-3'
    """
    match link:
        case McpClientInfo():
            return f"mcp-{link.number}"
        case AgentInfo():
            return f"agent-{link.number}"
        case ClientInfo():
            return client_key(link.number)


def client_key(number: int) -> str:
    """Return the key of a client."""
    return f"client-{number}"


def links_of(session: Session) -> dict[str, Link]:
    """Return all connections of a session, by their keys."""
    others = (session.agent, session.client)
    links: list[Link] = [*session.mcp_servers, *(each for each in others if each is not None)]
    return {key_of(each): each for each in links}


def mcp_client(session: Session, client_id: str) -> McpClientInfo | None:
    """Return the MCP client of this id, if there is one."""
    return next((each for each in session.mcp_servers if each.id == client_id), None)


def wanted(session: Session, presence: Presence) -> dict[str, Link]:
    """Return the connections that are to run now, by their keys.

    None of a session that sleeps, is quarantined or ends: a client or an agent
    keeps it awake, and MCP clients are opened again when it wakes. All go on over
    the crash of the session's actor.
    """
    if not takes_messages(session.state) or presence in {Presence.ASLEEP, Presence.QUARANTINED}:
        return {}
    return {key: link for key, link in links_of(session).items() if _is_to_run(link)}


def _is_to_run(link: Link) -> bool:
    if isinstance(link, ClientInfo):
        return link.status is LinkState.UP
    return link.status is not LinkState.FAILED


def keeps_awake(session: Session) -> bool:
    """Say whether a connection forbids the session to sleep: a client, or an agent that lives."""
    agent, client = session.agent, session.client
    return (client is not None and client.status is LinkState.UP) or (
        agent is not None and agent.status in {LinkState.STARTING, LinkState.UP}
    )


# -- asked for -------------------------------------------------------------


def with_mcp(session: Session, spec: McpSpec, *, number: int, wall_s: float) -> Changes:
    """Add an MCP client that is to be opened, in place of an earlier one of its id."""
    env, headers = FrozenDict(spec.env), FrozenDict(spec.headers)
    spec = msgspec.structs.replace(spec, env=env, headers=headers, command=tuple(spec.command))
    info = McpClientInfo(
        id=spec.id,
        name=spec.name or spec.id,
        transport=spec.transport,
        since=wall_s,
        spec=spec,
        number=number,
    )
    others = [each for each in session.mcp_servers if each.id != spec.id]
    return {"mcp_servers": (*others, info)}


def with_agent(
    spec: AgentSpec, *, agent_session_id: str | None, number: int, wall_s: float
) -> Changes:
    """Add an agent that is to be started."""
    env = FrozenDict(spec.env)
    spec = msgspec.structs.replace(spec, env=env, command=tuple(spec.command))
    info = AgentInfo(
        kind=spec.kind,
        command=spec.command,
        agent_session_id=agent_session_id,
        since=wall_s,
        spec=spec,
        number=number,
    )
    return {"agent": info}


def linked(
    session: Session,
    *,
    mcp: Iterable[McpSpec],
    agent: AgentSpec | None,
    has_client: bool,
    wall_s: float,
) -> Session:
    """Return the first snapshot of a session that is created with connections.

    Its version is as high as the numbers that they have got: those added later get higher ones.
    """
    number = session.version
    for spec in mcp:
        number += 1
        changes = with_mcp(session, spec, number=number, wall_s=wall_s)
        session = msgspec.structs.replace(session, **changes)
    if agent is not None:
        number += 1
        changes = with_agent(agent, agent_session_id=None, number=number, wall_s=wall_s)
        session = msgspec.structs.replace(session, **changes)
    if has_client:
        number += 1
        client = ClientInfo(attached_at=wall_s, number=number)
        session = msgspec.structs.replace(session, client=client)
    return msgspec.structs.replace(session, version=number)


def without(session: Session, key: str) -> Changes:
    """Take a connection away."""
    return _replaced(session, key, lambda _: None)


def check_replay(after_seq: int, *, oldest_seq: int, last_seq: int) -> None:
    """Refuse to go on after a message that the log cannot go on after.

    >>> check_replay(3, oldest_seq=1, last_seq=3)

    Raises:
        ReplayGap: it starts later, or has never come so far.
    """
    if not oldest_seq - 1 <= after_seq <= last_seq:
        raise ReplayGap(oldest_seq, last_seq)


# -- learned ---------------------------------------------------------------


def went_up(
    session: Session, key: str, *, restarts: int, changes: Mapping[str, Any], wall_s: float
) -> Changes:
    """Note that a connection can be used."""

    def up(link: Link) -> Link:
        if isinstance(link, ClientInfo):
            return link
        told = {"status": LinkState.UP, "restarts": restarts, "error": None, **changes}
        if all(getattr(link, name) == value for name, value in told.items()):
            return link
        since = link.since if link.status is LinkState.UP else wall_s
        return msgspec.structs.replace(link, since=since, **told)

    return _replaced(session, key, up)


def went_down(
    session: Session, key: str, *, error: str, acked_seq: int = 0, wall_s: float
) -> Changes:
    """Note that a connection has died."""

    def down(link: Link) -> Link:
        if isinstance(link, ClientInfo):
            acked_seq_now = max(acked_seq, link.acked_seq)
            if (link.status, link.acked_seq) == (LinkState.DOWN, acked_seq_now):
                return link
            return msgspec.structs.replace(link, status=LinkState.DOWN, acked_seq=acked_seq_now)
        if link.status in {LinkState.DOWN, LinkState.FAILED}:
            return link
        gone = {"is_busy": False, "pid": None} if isinstance(link, AgentInfo) else {}
        return msgspec.structs.replace(
            link, status=LinkState.DOWN, since=wall_s, error=error, **gone
        )

    return _replaced(session, key, down)


def failed(session: Session, key: str, *, wall_s: float) -> Changes:
    """Note that a connection is not opened any more."""
    return _replaced(session, key, lambda link: _in_state(link, LinkState.FAILED, wall_s))


def falling_asleep(session: Session, *, wall_s: float) -> Changes:
    """Note that what runs ends while the session sleeps."""
    return _moved(
        session, {LinkState.STARTING, LinkState.UP, LinkState.DOWN}, LinkState.NONE, wall_s
    )


def waking(session: Session, *, wall_s: float) -> Changes:
    """Note that what ended when the session fell asleep is opened again."""
    return _moved(session, {LinkState.NONE}, LinkState.STARTING, wall_s)


# -- inside ----------------------------------------------------------------


def _moved(session: Session, which: set[LinkState], state: LinkState, wall_s: float) -> Changes:
    changes: Changes = {}
    for key, link in links_of(session).items():
        if isinstance(link, _OPENED_BY_US) and link.status in which:
            changes |= _replaced(
                msgspec.structs.replace(session, **changes),
                key,
                lambda each: _in_state(each, state, wall_s),
            )
    return changes


def _in_state(link: Link, state: LinkState, wall_s: float) -> Link:
    if link.status is state:
        return link
    if isinstance(link, ClientInfo):
        return msgspec.structs.replace(link, status=state)
    return msgspec.structs.replace(link, status=state, since=wall_s)


def _replaced(session: Session, key: str, change: Callable[[Link], Link | None]) -> Changes:
    """Return the one field in which a connection stands, with that one changed; or nothing."""
    link = links_of(session).get(key)
    if link is None:
        return {}
    changed = change(link)
    if changed is link:
        return {}
    if isinstance(link, AgentInfo):
        return {"agent": changed}
    if isinstance(link, ClientInfo):
        return {"client": changed}
    places = (changed if each is link else each for each in session.mcp_servers)
    return {"mcp_servers": tuple(each for each in places if each is not None)}
