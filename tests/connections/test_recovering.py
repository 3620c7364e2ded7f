"""What the next system says of the connections that died with the process."""

from __future__ import annotations

from callboard.actors import (
    AddMcpClient,
    Connectors,
    LinkState,
    Presence,
    Prompt,
    SessionActor,
)
from callboard.actors.sessions.recovering import INTERRUPTED
from callboard.actors.testing import Barrier, MemoryAgents, MemoryMcp, Turn
from callboard.actors.testing.stores import StoreInMemory
from tests.connections.kit import FILES, agent_of, files_of, open_with, with_agent
from tests.sessions.stage import Stage, later, presence, until


def test_a_prompt_that_was_under_way_was_interrupted_and_nothing_is_open(
    stage: Stage, mcp: MemoryMcp, agents: MemoryAgents
) -> None:
    held, store = Barrier(), StoreInMemory()

    async def script(_: Turn) -> str:
        await held.passed()
        return "end_turn"

    agents.script = script
    sessions = open_with(stage, mcp, agents, store=store)
    session_id = with_agent(sessions)
    sessions.ask(AddMcpClient(session_id, FILES))
    answer = later(sessions, Prompt(session_id, "go"))
    until(stage, lambda: held.waiting == 1)
    left = store.copy()  # and the process is no more
    held.let_go()
    until(stage, lambda: answer.is_done)

    connectors = Connectors(mcp=mcp, agents={"acp": agents})
    sessions = stage.again(session=SessionActor, connectors=connectors, store=left)

    agent = agent_of(sessions, session_id)
    assert presence(sessions, session_id) is Presence.ASLEEP
    assert (agent.is_busy, agent.pid, agent.error) == (False, None, INTERRUPTED)
    assert (agent.status, files_of(sessions, session_id).status) == (LinkState.NONE,) * 2
