"""What the tests of connections share."""

from __future__ import annotations

from typing import Any

from callboard.actors import (
    AddMcpClient,
    AgentInfo,
    AgentSpec,
    AttachAgent,
    Connectors,
    CreateSession,
    McpClientInfo,
    McpSpec,
    SessionActor,
    SessionSystem,
)
from callboard.actors.testing import MemoryAgents, MemoryMcp
from callboard.supervision import ActorRef
from tests.sessions.stage import Stage

FILES = McpSpec(id="files", command=("files-server",))
AGENT = AgentSpec(command=("agent",))


def open_with(
    stage: Stage, mcp: MemoryMcp | None, agents: MemoryAgents | None, **options: Any
) -> SessionSystem:
    """Start a system with these connectors."""
    kinds = {} if agents is None else {"acp": agents}
    options.setdefault("session", SessionActor)
    return stage.open(connectors=Connectors(mcp=mcp, agents=kinds), faults=True, **options)


def create(sessions: SessionSystem) -> str:
    return sessions.ask(CreateSession(user_id="ada")).id


def with_files(sessions: SessionSystem) -> str:
    """Return the id of a session with an MCP client that is up."""
    session_id = create(sessions)
    sessions.ask(AddMcpClient(session_id, FILES))
    return session_id


def with_agent(sessions: SessionSystem) -> str:
    """Return the id of a session with an agent that is up."""
    session_id = create(sessions)
    sessions.ask(AttachAgent(session_id, AGENT))
    return session_id


def files_of(sessions: SessionSystem, session_id: str) -> McpClientInfo:
    (info,) = sessions.get(session_id).mcp_servers
    return info


def agent_of(sessions: SessionSystem, session_id: str) -> AgentInfo:
    info = sessions.get(session_id).agent
    assert info is not None, "it has no agent"
    return info


def link(sessions: SessionSystem, session_id: str, kind: str) -> ActorRef[Any]:
    """Return the actor of a session's connection."""
    names = sessions.system.names
    found = [
        address.ref
        for name, address in list(names.items())
        if name.startswith(f"link/{kind}-") and name.endswith(session_id)
    ]
    (ref,) = [each for each in found if each is not None]
    return ref


def links_left(sessions: SessionSystem) -> list[str]:
    """Return the names of the connections that there are."""
    return [name for name in sessions.system.names if name.startswith(("link/", "links/"))]


def let_pass(stage: Stage, seconds: float) -> None:
    """Let time pass in small steps: what comes off the loop may need several rounds to settle."""
    steps = max(1, round(2 * seconds))
    for _ in range(steps):
        stage.advance(seconds / steps)
        stage.settle()
        stage.settle()
