"""A session that is created with connections is active when they are up, or never was."""

from __future__ import annotations

import pytest

from callboard.actors import (
    CallTool,
    CountSessions,
    CreateSession,
    DuplicateMcpClient,
    LinkState,
    McpConnectError,
    McpSpec,
    NoConnector,
    Prompt,
    SessionState,
    SessionSystem,
    SpawnError,
    TerminateSession,
)
from callboard.actors.testing import MemoryAgents, MemoryClient, MemoryMcp
from tests.connections.kit import AGENT, FILES, let_pass, links_left, open_with, until
from tests.sessions.stage import Stage, later

NOTES = McpSpec(id="notes", command=("notes-server",))


def test_all_are_up_when_the_reply_comes(sessions: SessionSystem) -> None:
    made = sessions.ask(CreateSession(mcp=(FILES, NOTES), agent=AGENT))

    assert made.state is SessionState.ACTIVE
    assert [(each.id, each.status) for each in made.mcp_servers] == [
        ("files", LinkState.UP),
        ("notes", LinkState.UP),
    ]
    assert made.agent is not None
    assert made.agent.status is LinkState.UP
    assert sessions.ask(CallTool(made.id, "notes", "echo", {"a": 1})) == {"a": 1}
    assert sessions.ask(Prompt(made.id, "hello")).stop_reason == "end_turn"


@pytest.mark.seed("3.10")
def test_a_client_follows_from_the_first_message_on(stage: Stage, sessions: SessionSystem) -> None:
    client = MemoryClient()

    made = sessions.ask(CreateSession(agent_role="guide", agent=AGENT, client=client))
    sessions.ask(Prompt(made.id, "hello"))

    until(stage, lambda: [each.content for each in client.messages] == ["hello", "hello "])


def test_one_that_cannot_be_opened_undoes_the_others_and_is_the_cause(
    stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
) -> None:
    agents.faults.refused_opens = 99

    with pytest.raises(SpawnError, match="refuses"):
        sessions.ask(CreateSession(mcp=(FILES,), agent=AGENT))

    until(stage, lambda: not links_left(sessions))
    assert sessions.ask(CountSessions()) == 0
    assert [each.is_closed for each in mcp.opened] == [True]


def test_a_server_that_cannot_be_reached_is_named(
    stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
) -> None:
    mcp.faults.refused_opens = 99

    with pytest.raises(McpConnectError, match="files"):
        sessions.ask(CreateSession(mcp=(FILES,)))

    until(stage, lambda: not links_left(sessions))
    assert sessions.ask(CountSessions()) == 0


def test_what_cannot_be_is_refused_before_anything_is_reserved(stage: Stage) -> None:
    sessions = open_with(stage, MemoryMcp(), None)

    with pytest.raises(NoConnector):
        sessions.ask(CreateSession(agent=AGENT))
    with pytest.raises(DuplicateMcpClient):
        sessions.ask(CreateSession(mcp=(FILES, FILES)))

    assert sessions.ask(CountSessions()) == 0


def test_an_end_in_the_middle_of_the_opening_closes_all(
    stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
) -> None:
    agents.faults.hangs_when_opened = True
    made = later(sessions, CreateSession(session_id="mine", mcp=(FILES,), agent=AGENT))
    until(stage, lambda: len(mcp.opened) == 1)

    ended = later(sessions, TerminateSession("mine"))
    stage.settle()
    let_pass(stage, 6.0)

    until(stage, lambda: ended.is_done and made.is_done)
    assert isinstance(made.error, SpawnError)
    until(stage, lambda: not links_left(sessions))
    assert not mcp.opened[0].is_open


def test_what_was_given_at_the_creation_is_opened_again_after_a_crash_of_the_line(
    stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
) -> None:
    made = sessions.ask(CreateSession(mcp=(FILES,)))
    mcp.opened[0].die()

    until(stage, lambda: len(mcp.opened) == 2)
    until(stage, lambda: sessions.get(made.id).mcp_servers[0].status is LinkState.UP)
