"""What does a connection need of the world? Small protocols, all of them async.

What implements them runs on the system's event loop and must never block it.
The rules, which the actors above rely on:

- opening either returns a connection or raises; one that is cancelled leaves nothing behind;
- `ended` returns as soon as the connection has died, however that came, also while nothing is
  asked of it; whoever has a connection may rely on being told;
- open, `ended` and `close` are awaited by one task, calls by others (MCP's SDK asks for that);
- `close` ends it in order and may hang: it is cancelled then, and `kill` follows;
- `kill` ends it now, with all its processes. It does not wait, and never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

import msgspec

from callboard.actors.errors import NoConnector
from callboard.actors.sessions.data import Message, Role
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.links import AgentSpec, McpSpec, McpTool
from callboard.supervision.model.errors import InvalidSpec

SEND_S: Final = 20.0
"""How long a client may take to take what it is sent before it counts as dead, in seconds."""

UPDATES_MAX: Final = 10_000
"""Updates of one agent that may wait to be taken; an agent that says more is ended."""

EVENTS_MAX: Final = 1_000
"""Updates that wait for one client; a slow one misses updates, but never a message of the log."""

SENT_AT_ONCE_MAX: Final = 100
"""Events that a client is sent in one go."""


# -- MCP -------------------------------------------------------------------


class McpConnection(Protocol):
    """An open client of one MCP server."""

    async def list_tools(self) -> tuple[McpTool, ...]:
        """Return the server's tools."""
        ...

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> object:
        """Run a tool and return its result; several may run at once. Cancelling leaves it usable.

        Raises:
            McpToolError: the tool failed.
        """
        ...

    async def ended(self) -> str:
        """Return why it has died, when it has."""
        ...

    async def close(self) -> None:
        """End it in order."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class McpConnector(Protocol):
    """Opens MCP clients."""

    async def open(self, spec: McpSpec, secrets: Mapping[str, str]) -> McpConnection:
        """Connect to a server.

        Args:
            spec: which, and how.
            secrets: the secrets that the spec names, by their names.

        Raises:
            Exception: it cannot be opened; the text says why, without secrets.
        """
        ...


# -- agents ----------------------------------------------------------------


class AgentUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what an agent says while it works.

    Args:
        role: as whom: assistant, thought or tool.
        text: what it says; parts of one role that follow each other are one message.
        data: what else belongs to it, frozen; a part that has some is a message of its own.
    """

    role: Role = Role.ASSISTANT
    text: str = ""
    data: Mapping[str, object] = EMPTY


class AgentHello(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of itself when it has started.

    Args:
        pid: of its process, if it has one.
        capabilities: what it can do, frozen.
        can_load: whether it can load a conversation again.
        can_resume: whether it can go on with one without telling it again.
    """

    pid: int | None = None
    capabilities: Mapping[str, object] = EMPTY
    can_load: bool = False
    can_resume: bool = False


class AgentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent ended.

    Args:
        returncode: of its process, if it has one and that has ended.
        stderr_tail: the end of what it wrote to its standard error.
        detail: what else is known.
    """

    returncode: int | None = None
    stderr_tail: str = ""
    detail: str = ""


class AgentConnection(Protocol):
    """A running agent."""

    hello: AgentHello

    async def new_session(self, cwd: str | None) -> str:
        """Begin a conversation in this folder; return the agent's own id of it."""
        ...

    async def load_session(self, agent_session_id: str, cwd: str | None) -> None:
        """Load a conversation again. What the agent repeats of it is not passed on.

        Raises:
            Exception: it is lost.
        """
        ...

    async def prompt(
        self,
        agent_session_id: str,
        content: str,
        blocks: tuple[Mapping[str, object], ...],
        on_update: Callable[[AgentUpdate], None],
    ) -> str:
        """Have the agent work on a prompt; return why it stopped.

        `on_update` is called on the loop, in the order in which the agent said it; it never waits.
        Cancelling the task does not stop the agent: `cancel` does.
        """
        ...

    async def cancel(self, agent_session_id: str) -> None:
        """Tell the agent to stop; its prompt then returns."""
        ...

    async def ended(self) -> AgentEnd:
        """Return how it has ended, when it has."""
        ...

    async def close(self) -> None:
        """End it in order."""
        ...

    def kill(self) -> None:
        """End it now, with all its processes."""
        ...


class AgentConnector(Protocol):
    """Starts agents."""

    async def start(self, spec: AgentSpec, secrets: Mapping[str, str]) -> AgentConnection:
        """Start an agent and hear what it can do.

        Args:
            spec: which, and how.
            secrets: the secrets that the spec names, by their names.

        Raises:
            Exception: it does not start; the text says why, without secrets.
        """
        ...


# -- clients ---------------------------------------------------------------


class ClientEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a client is told: a message of the log, or an update of the agent.

    Args:
        message: a message of the log; every one comes once, in order.
        update: a part of a message that is not complete yet; it may be missed.
    """

    message: Message | None = None
    update: AgentUpdate | None = None


class ClientSink(Protocol):
    """Where a client is reached."""

    async def send(self, events: tuple[ClientEvent, ...]) -> None:
        """Give it these, in order; return when it has them. The next come only then.

        Raises:
            Exception: it is gone.
        """
        ...

    async def ended(self) -> str:
        """Return why it is gone, when it is."""
        ...

    async def close(self) -> None:
        """Let it go in order."""
        ...

    def kill(self) -> None:
        """Let it go now."""
        ...


# -- which there are -------------------------------------------------------


class Connectors(msgspec.Struct, frozen=True, kw_only=True):
    """What opens connections; give it to `SessionSystem(connectors=...)`.

    Args:
        mcp: opens MCP clients; None: there is none.
        agents: starts agents, by the kind in their spec.

    Raises:
        InvalidSpec: one of them is no connector.
    """

    mcp: Any = None
    agents: Mapping[str, Any] = EMPTY

    def __post_init__(self) -> None:
        if self.mcp is not None and not _can(self.mcp, "open"):
            raise InvalidSpec("mcp", self.mcp, "Give an McpConnector, which has `open`, or None.")
        agents: object = self.agents
        if not isinstance(agents, Mapping):
            raise InvalidSpec("agents", agents, "Give a mapping from kinds to AgentConnectors.")
        for kind, connector in cast("Mapping[object, object]", agents).items():
            if not isinstance(kind, str) or not _can(connector, "start"):
                field = f"agents[{kind!r}]"
                remedy = "Give each kind as text an AgentConnector, which has `start`."
                raise InvalidSpec(field, connector, remedy)

    def for_mcp(self) -> McpConnector:
        """Return what opens MCP clients.

        Raises:
            NoConnector: there is none.
        """
        if self.mcp is None:
            raise NoConnector("mcp")
        connector: McpConnector = self.mcp
        return connector

    def for_agent(self, kind: str) -> AgentConnector:
        """Return what starts agents of a kind.

        Raises:
            NoConnector: there is none.
        """
        connector: AgentConnector | None = self.agents.get(kind)
        if connector is None:
            raise NoConnector(kind)
        return connector


def _can(connector: object, what: str) -> bool:
    """Say whether an object, and no class, has such a method."""
    return not isinstance(connector, type) and callable(getattr(connector, what, None))
