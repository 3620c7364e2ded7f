"""What is a session, as a value? Frozen: whoever holds one may keep it and share it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.links import AgentInfo, ClientInfo, McpClientInfo
from callboard.actors.sessions.states import (
    Presence,
    SessionState,
    SessionStatus,
    status_of,
)
from callboard.actors.sessions.unchanging import changeable
from callboard.supervision.model.errors import InvalidSpec

SessionId: TypeAlias = str
"""The id of a session: a UUIDv7 as text, unless its creator, or the host's generator, gave another.

Not empty, bounded in length, and no secret: the time of the create can be read in it. It is an
alias, so that an id may come out of a URL or a database as it is; what is no id is refused with
`InvalidField` wherever one is taken.
"""

DEFAULT_KIND = "session"
"""The kind of a session when its creator names none."""


class Role(StrEnum):
    """Who wrote a message."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"
    THOUGHT = "thought"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a session's log.

    Args:
        seq: its number in the session, from 1 without holes.
        role: who wrote it.
        content: what it says.
        timestamp: when it was appended: UTC, seconds since the epoch.
        metadata: what else is known of it; frozen.
        client_msg_id: the sender's key, which makes a repeated append harmless.
    """

    seq: int
    role: Role
    content: str
    timestamp: float
    metadata: Mapping[str, object] = EMPTY
    client_msg_id: str | None = None


# `gc=False`: a snapshot holds only values older than itself, so it is in no cycle.
class Session(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A snapshot of a session, as it was committed.

    Times are UTC, in seconds since the epoch, for people and for storage; idle
    time is measured by the monotonic clock elsewhere.

    Args:
        id: permanent and unique (UUIDv7 text unless the creator chose one).
        kind: which of the system's behaviours runs it.
        user_id: whose it is, as given.
        org_id: the user's organisation, as given.
        agent_role: the part it plays (unique for a user when the system says so).
        state: where it is in its life.
        state_reason: why it came there.
        state_since: since when.
        created_at: when its place was reserved.
        last_active_at: when it last changed or gave a sign of life; reads do not count.
        workspace: path of its folder.
        system_prompt: the prompt it works under.
        variables: what the prompt was composed with.
        message_count: how many messages its log holds.
        last_seq: number of the last one.
        mcp_servers: its MCP clients, in the order they were added. While it is not awake the
            states of its connections are those of its last commit.
        agent: its agent, if it has one.
        client: who follows it, or was the last to do so.
        client_capabilities: what its client can do.
        metadata: the creator's own notes.
        data: one frozen struct of the behaviour's own type, or None.
        version: one more with every commit.
        presence: whether its actor runs.
        restarts: how many of its incarnations ended by a failure.
        last_error: what ended the last of these.
        failed_on: name of the type of the message that incarnation was handling.
        messages: the last messages of the log, when they were asked for.
    """

    id: SessionId
    kind: str = DEFAULT_KIND
    user_id: str | None = None
    org_id: str | None = None
    agent_role: str | None = None
    state: SessionState = SessionState.CREATED
    state_reason: str | None = None
    state_since: float = 0.0
    created_at: float = 0.0
    last_active_at: float = 0.0
    workspace: str | None = None
    system_prompt: str | None = None
    variables: Mapping[str, object] = EMPTY
    message_count: int = 0
    last_seq: int = 0
    mcp_servers: tuple[McpClientInfo, ...] = ()
    agent: AgentInfo | None = None
    client: ClientInfo | None = None
    client_capabilities: Mapping[str, object] | None = None
    metadata: Mapping[str, object] = EMPTY
    data: object = None
    version: int = 0
    presence: Presence = Presence.AWAKE
    restarts: int = 0
    last_error: str | None = None
    failed_on: str | None = None
    messages: tuple[Message, ...] = ()

    @property
    def status(self) -> SessionStatus:
        """The coarser view of the state, for people."""
        return status_of(self.state)

    @property
    def has_links(self) -> bool:
        """Whether it is, or was, connected to anything."""
        return bool(self.mcp_servers) or self.agent is not None or self.client is not None


class SessionPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What an update changes. A field that is left out stays; one that is given is replaced whole.

    Args:
        metadata: the creator's own notes.
        variables: what the prompt is composed with.
        system_prompt: the prompt; None takes it away.
        client_capabilities: what the client can do; None: not known.
    """

    metadata: Mapping[str, object] | msgspec.UnsetType = msgspec.UNSET
    variables: Mapping[str, object] | msgspec.UnsetType = msgspec.UNSET
    system_prompt: str | msgspec.UnsetType | None = msgspec.UNSET
    client_capabilities: Mapping[str, object] | msgspec.UnsetType | None = msgspec.UNSET


FROZEN_DATA: Final = "Use one msgspec.Struct with frozen=True."
"""What can be a behaviour's own data."""


def checked_data(data: object, before: object = None) -> object:
    """Return a behaviour's own data if it can be part of a snapshot.

    Args:
        data: what is to be kept.
        before: what it takes the place of: what is in both is not looked at again.

    Raises:
        InvalidSpec: it is neither None nor a frozen msgspec struct, or can be changed from
            within: the behaviour's own slip.
    """
    if data is None:
        return data
    if not (isinstance(data, msgspec.Struct) and data.__struct_config__.frozen):
        raise InvalidSpec("data", type(data).__name__, FROZEN_DATA)
    field = changeable(data, before)
    if field is not None:
        where, kind = f"data.{field}", type(getattr(data, field)).__name__
        raise InvalidSpec(where, kind, "Use tuples, frozensets and frozen structs in it.")
    return data
