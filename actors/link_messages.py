"""The messages about a session's connections: its MCP clients, its agent, who follows it.

Each goes to the session's own actor, which hands it on at once: a tool call or a
prompt that lasts holds up nothing else of the session. `patience_s` is how long
`SessionSystem.ask` waits when it is not told: what the message itself allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from callboard.actors.messages import SessionMessage
from callboard.actors.sessions.data import Session, SessionId
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.links import AgentSpec, ClientInfo, McpClientInfo, McpSpec, McpTool
from callboard.supervision.model.requests import Request

R_co = TypeVar("R_co", covariant=True)

CONNECT_S: Final = 20.0
"""How long opening a connection may take, in seconds."""

LOAD_S: Final = 90.0
"""How long an agent may take to make a conversation, or to load one again, in seconds."""

CANCEL_S: Final = 3.0
"""How long an agent may take to stop after a cancel before it is killed, in seconds."""

CLOSE_S: Final = 5.0
"""How long closing a connection in order may take before it is killed, in seconds."""

CALL_S: Final = 60.0
"""How long a tool call may take unless its caller says otherwise, in seconds."""

PROMPT_S: Final = 600.0
"""How long an agent may work on a prompt unless the asker says otherwise, in seconds."""

CALLS_MAX: Final = 1_000
"""Calls of one connection that may be under way, and as many that may wait for it to be opened."""

MARGIN_S: Final = 5.0
"""How much longer than the work itself its asker waits: so it hears what became of the work."""


class ConnectionMessage(SessionMessage[R_co], Generic[R_co], frozen=True):
    """A message that may be answered much later than an ordinary one."""

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return CLOSE_S + MARGIN_S


class PromptResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a prompt.

    Args:
        stop_reason: why the agent stopped, in its own word; `cancelled` after a cancel.
        last_seq: number of the last message of the log that belongs to it.
    """

    stop_reason: str
    last_seq: int = 0


# -- MCP clients -----------------------------------------------------------


class AddMcpClient(ConnectionMessage[McpClientInfo], frozen=True):
    """Connect the session to an MCP server; the reply comes when the client can be used.

    Args:
        session_id: which session.
        spec: how it is opened. One whose predecessor of the same id has failed takes its place.

    Raises:
        DuplicateMcpClient: there is one of this id that has not failed.
        NoConnector: nothing here can open it.
        SecretError: a secret that it names is not known.
        McpConnectError, McpTimeout: it could not be opened; nothing is left of it.
    """

    spec: McpSpec

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return CONNECT_S + MARGIN_S


class RemoveMcpClient(ConnectionMessage[None], frozen=True):
    """Take an MCP client away; it is closed within `CLOSE_S`, or killed.

    Args:
        session_id: which session.
        client_id: which client.

    Raises:
        McpClientNotFound: the session has no such client.
    """

    client_id: str


class GetMcpClient(ConnectionMessage[McpClientInfo], frozen=True):
    """Read what is known of an MCP client.

    Args:
        session_id: which session.
        client_id: which client.

    Raises:
        McpClientNotFound: the session has no such client.
    """

    client_id: str


class ListMcpClients(ConnectionMessage[tuple[McpClientInfo, ...]], frozen=True):
    """Read what is known of all MCP clients, in the order they were added.

    Args:
        session_id: which session.
    """


class ListTools(ConnectionMessage[tuple[McpTool, ...]], frozen=True):
    """Ask an MCP server for its tools.

    Args:
        session_id: which session.
        client_id: which client.
        timeout_s: how long the server may take.

    Raises:
        McpClientNotFound: the session has no such client.
        McpClientDown: at once, when it is down, or has died before it had the call.
        McpCallLost: it died meanwhile, and may have done it.
        McpTimeout: no answer in time.
        TooManyCalls: as many as may are under way.
    """

    client_id: str
    timeout_s: float = CALL_S

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return self.timeout_s + MARGIN_S


class CallTool(ConnectionMessage[object], frozen=True):
    """Have an MCP server run a tool; the reply is its result.

    Many may run at once. While a client is opened for the first time the call waits for it.

    Args:
        session_id: which session.
        client_id: which client.
        name: of the tool.
        arguments: for the tool.
        timeout_s: how long it may take, in seconds.

    Raises:
        McpClientNotFound: the session has no such client.
        McpClientDown: at once, when it is down, or has died before it had the call.
        McpCallLost: it died meanwhile, and may have done it.
        McpTimeout: no answer in time.
        TooManyCalls: as many as may are under way.
        McpToolError: the tool said that it failed.
        MessageTooLarge: the arguments have too many bytes.
    """

    client_id: str
    name: str
    arguments: Mapping[str, object] = EMPTY
    timeout_s: float = CALL_S

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return self.timeout_s + MARGIN_S


# -- the agent -------------------------------------------------------------


class AttachAgent(ConnectionMessage[Session], frozen=True):
    """Start an agent for the session; the reply is the snapshot, with the agent up.

    Args:
        session_id: which session.
        spec: how it is started.
        agent_session_id: the agent's own id of a conversation that it is to load; None: a new one.

    Raises:
        AgentAttached: there is an agent that has not failed.
        NoConnector: nothing here starts agents of this kind.
        SecretError: a secret that it names is not known.
        SpawnError, AgentTimeout: it did not start; nothing is left of it.
    """

    spec: AgentSpec
    agent_session_id: SessionId | None = None

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return CONNECT_S + LOAD_S + MARGIN_S


class DetachAgent(ConnectionMessage[Session], frozen=True):
    """End the agent, a prompt it works on included; closed within `CLOSE_S`, or killed.

    Args:
        session_id: which session.

    Raises:
        AgentNotAttached: the session has no agent.
    """


class Prompt(ConnectionMessage[PromptResult], frozen=True):
    """Give the agent something to do; the reply comes when it has stopped.

    What is said is appended to the log; what the agent says is, too, as each message is
    complete, and a client that follows sees it as it comes.

    Args:
        session_id: which session.
        content: what is said.
        blocks: further content blocks, as the agent's protocol knows them.
        timeout_s: how long the agent may take; then the prompt is cancelled.
        client_msg_id: the sender's key for the message that is appended. A prompt that is repeated
            with it is not done twice: it gets the reply of the first, also one that is still to
            come.

    Raises:
        AgentNotAttached: the session has no agent.
        AgentBusy: it works on another prompt.
        PromptFailed: it said that it could not do it.
        AgentDied: it is not there just now, or died meanwhile.
        PromptTimeout: it has not stopped in time.
        PromptRepeated: it was done, and its reply is not remembered any more (`PROMPTS_MAX` of
            them, by the session's incarnation).
        IdempotencyConflict: the key was used before, with other content.
    """

    content: str
    blocks: tuple[Mapping[str, object], ...] = ()
    timeout_s: float = PROMPT_S
    client_msg_id: str | None = None

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return self.timeout_s + MARGIN_S


class CancelPrompt(ConnectionMessage[bool], frozen=True):
    """Have the agent stop what it works on; the reply comes when it has.

    An agent that has not stopped when the grace is over is killed, and started again.

    Args:
        session_id: which session.
        grace_s: how long it may take.

    Raises:
        AgentNotAttached: the session has no agent.

    Returns:
        Whether there was something to cancel.
    """

    grace_s: float = CANCEL_S

    @property
    def patience_s(self) -> float:
        """How long an asker waits who does not say, in seconds."""
        return self.grace_s + MARGIN_S


# -- who follows -----------------------------------------------------------


class AttachClient(ConnectionMessage[ClientInfo], frozen=True, kw_only=True):
    """Follow a session: what its log holds after `after_seq`, then what comes.

    Every message once and in order. The newest client wins: one that was there is closed.

    Args:
        session_id: which session.
        sink: where to send it, a `ClientSink`; in process only.
        after_seq: number of the last message that the client has; 0: none.
        kind: how it is reached.
        peer: who it is.

    Raises:
        ReplayGap: the log does not go on where the client has stopped.
    """

    sink: Any
    after_seq: int = 0
    kind: str = "in_process"
    peer: str | None = None


class DetachClient(ConnectionMessage[None], frozen=True):
    """Follow no more: the client is closed.

    Args:
        session_id: which session.
    """


class ResumeSession(Request[Session], frozen=True):
    """Have a session that sleeps come back, its connections too; the reply is its snapshot.

    One that is awake stays as it is; one that is quarantined is refused (`ReviveSession`).

    Args:
        session_id: which session.

    Raises:
        SessionNotFound: there is no such session.
        SessionQuarantined: it must be revived (`ReviveSession`).
        SpawnError: it did not start.
    """

    session_id: SessionId
