"""What do requests about a session's connections look like in JSON, and their answers?"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callboard.actors.daemon.wire import Wire
from callboard.actors.sessions.links import AgentSpec, McpClientInfo, McpSpec, McpTool


class NewMcpClient(Wire, frozen=True, kw_only=True):
    """An MCP client to be opened.

    Args:
        spec: how. Secrets stand in it by name: `{"name": "TOKEN"}` in the place of a value is
            looked up in the daemon's environment.
    """

    spec: McpSpec


class ToolCall(Wire, frozen=True, kw_only=True):
    """A call of a tool.

    Args:
        name: of the tool.
        arguments: for the tool.
        timeout_s: how long it may take; at most what the daemon's `work_s` allows. Without it
            60 seconds.
    """

    name: str
    arguments: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    timeout_s: float | None = None


class NewAgent(Wire, frozen=True, kw_only=True):
    """An agent to be started.

    Args:
        spec: how. Secrets stand in it by name.
        agent_session_id: the agent's own id of a conversation that it is to load; left out: a
            new one.
    """

    spec: AgentSpec
    agent_session_id: str | None = None


class NewTask(Wire, frozen=True, kw_only=True):
    """Something for the agent to do.

    Args:
        content: what is said; it is appended to the log.
        blocks: further content blocks, as the agent's protocol knows them.
        timeout_s: how long the agent may take; at most what the daemon's `work_s` allows.
            Without it 600 seconds.
        client_msg_id: the sender's key for the message that is appended; repeated with the same
            content the prompt is not done twice.
    """

    content: str
    blocks: tuple[Mapping[str, object], ...] = ()
    timeout_s: float | None = None
    client_msg_id: str | None = None


class Cancellation(Wire, frozen=True, kw_only=True):
    """How to stop what the agent works on.

    Args:
        grace_s: how long it may take before the agent is killed. Without it 3 seconds.
    """

    grace_s: float | None = None


class Patience(Wire, frozen=True, kw_only=True):
    """How long to wait.

    Args:
        timeout_s: how long the server may take; at most what the daemon's `work_s` allows.
            Without it 60 seconds.
    """

    timeout_s: float | None = None


# -- replies ---------------------------------------------------------------


class McpClients(msgspec.Struct, frozen=True, kw_only=True):
    """The MCP clients of a session.

    Args:
        clients: in the order they were added.
    """

    clients: tuple[McpClientInfo, ...]


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of an MCP server.

    Args:
        tools: in the server's order.
    """

    tools: tuple[McpTool, ...]


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool has answered.

    Args:
        result: whatever it is.
    """

    result: object


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away.

    Args:
        removed: what it was called.
    """

    removed: str


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the agent's work.

    Args:
        was_busy: whether there was something to cancel.
    """

    was_busy: bool
