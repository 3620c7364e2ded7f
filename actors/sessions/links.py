"""What is a session connected to, as values? What its snapshot says, and how each is opened."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from callboard.actors.secrets import SecretRef
from callboard.actors.sessions.frozen import EMPTY

Setting: TypeAlias = str | SecretRef
"""A value as it is, or the name of a secret that is looked up when the connection is opened."""

NO_SETTINGS: Mapping[str, Setting] = EMPTY
"""The one empty mapping that all specs share."""


class LinkState(StrEnum):
    """How a connection is. Never a state of the session: that goes on without it."""

    NONE = "none"
    """It does not run and is not to: the session sleeps."""
    STARTING = "starting"
    """It is being opened for the first time since the session was created, or woke."""
    UP = "up"
    """It can be used."""
    DOWN = "down"
    """It has died; it is opened again after a delay (a client attaches anew by itself)."""
    FAILED = "failed"
    """It died too often: nothing opens it any more."""


class Transport(StrEnum):
    """How an MCP server is reached."""

    STDIO = "stdio"
    HTTP = "http"


class McpSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an MCP client is opened. Secrets stand in it by name only.

    Args:
        id: what the client is called in its session.
        name: for people; empty: the id.
        transport: how the server is reached.
        command: with stdio, the program and its arguments.
        env: with stdio, the environment of the program; it gets no other.
        url: with http, where the server is.
        headers: with http, what is sent with every request.
    """

    id: str
    name: str = ""
    transport: Transport = Transport.STDIO
    command: tuple[str, ...] = ()
    env: Mapping[str, Setting] = NO_SETTINGS
    url: str | None = None
    headers: Mapping[str, Setting] = NO_SETTINGS


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an agent is started. Secrets stand in it by name only.

    Args:
        kind: what it speaks.
        command: the program and its arguments.
        env: the environment of the program; it gets no other.
        cwd: the folder it works in; None: the session's workspace.
    """

    kind: str = "acp"
    command: tuple[str, ...] = ()
    env: Mapping[str, Setting] = NO_SETTINGS
    cwd: str | None = None


class McpClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP client of a session.

    Args:
        id: what it is called in its session.
        name: for people.
        transport: how its server is reached.
        status: how it is.
        since: since when: UTC, seconds since the epoch.
        restarts: how often it was opened again after it had died.
        error: why it is down.
        spec: how it is opened.
        number: tells it from an earlier one of the same id; unique in its session.
    """

    id: str
    name: str = ""
    transport: Transport = Transport.STDIO
    status: LinkState = LinkState.STARTING
    since: float = 0.0
    restarts: int = 0
    error: str | None = None
    spec: McpSpec
    number: int = 0


class McpTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of an MCP server.

    Args:
        name: what it is called.
        description: what it does, for people and models.
        input_schema: the JSON schema of its arguments.
    """

    name: str
    description: str = ""
    input_schema: Mapping[str, object] = EMPTY


class AgentMemory(StrEnum):
    """What an agent knows of what was said before."""

    NEW = "new"
    """There was nothing before: its conversation is new."""
    LOADED = "loaded"
    """All: its own conversation was loaded again after a restart."""
    LOST = "lost"
    """Nothing, though there was: the conversation could not be loaded, and a new one was begun."""


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The agent of a session.

    Args:
        kind: what it speaks.
        command: the program and its arguments.
        pid: of its process, if it has one.
        agent_session_id: what the agent itself calls the conversation.
        capabilities: what it says that it can do.
        can_load: whether it can load a conversation again.
        can_resume: whether it can go on with one without telling it again.
        status: how it is.
        since: since when: UTC, seconds since the epoch.
        restarts: how often it was started again after it had died.
        error: why it is down.
        memory: what it knows of what was said before.
        is_busy: whether it works on a prompt.
        spec: how it is started.
        number: tells it from an earlier one; unique in its session.
    """

    kind: str = "acp"
    command: tuple[str, ...] = ()
    pid: int | None = None
    agent_session_id: str | None = None
    capabilities: Mapping[str, object] = EMPTY
    can_load: bool = False
    can_resume: bool = False
    status: LinkState = LinkState.STARTING
    since: float = 0.0
    restarts: int = 0
    error: str | None = None
    memory: AgentMemory = AgentMemory.NEW
    is_busy: bool = False
    spec: AgentSpec
    number: int = 0


class ClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who follows a session: at most one, the newest.

    Args:
        kind: how it is reached.
        peer: who it is, as far as is known.
        attached_at: since when it follows: UTC, seconds since the epoch.
        acked_seq: number of the last message that it had when this was written; while it is up
            it may have more by now.
        status: how it is.
        number: tells it from an earlier one; unique in its session.
    """

    kind: str = "in_process"
    peer: str | None = None
    attached_at: float = 0.0
    acked_seq: int = 0
    status: LinkState = LinkState.UP
    number: int = 0


def secrets_of(spec: McpSpec | AgentSpec) -> tuple[SecretRef, ...]:
    """Return the names of the secrets that a spec needs, each once."""
    settings = [*spec.env.values()]
    if isinstance(spec, McpSpec):
        settings += spec.headers.values()
    return tuple(dict.fromkeys(each for each in settings if isinstance(each, SecretRef)))
