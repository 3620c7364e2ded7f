"""A session that is created with connections is active when they are up, or never was."""

from __future__ import annotations

from collections.abc import Mapping

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
from callboard.actors.testing import (
    FakeWorkspaces,
    Faults,
    MemoryAgents,
    MemoryClient,
    MemoryMcp,
)
from callboard.actors.testing.connections import MemoryMcpConnection
from tests.connections.kit import AGENT, FILES, let_pass, links_left, open_with
from tests.sessions.stage import Stage, cell_of, later, until

NOTES = McpSpec(id="notes", command=("notes-server",))


@pytest.mark.seed("1.2", "3.10")
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


class ThirdIsDifferent(MemoryMcp):
    """Opens MCP clients; the one named `third` is refused, or takes for ever.

    Args:
        is_refused: which of the two.
    """

    def __init__(self, *, is_refused: bool) -> None:
        super().__init__()
        self._is_refused = is_refused

    async def open(self, spec: McpSpec, secrets: Mapping[str, str]) -> MemoryMcpConnection:
        if spec.id == "third":
            await Faults(refused_opens=1, hangs_when_opened=not self._is_refused).opening("third")
        return await super().open(spec, secrets)


THREE = (FILES, NOTES, McpSpec(id="third", command=("third-server",)))


def test_the_third_of_three_that_fails_undoes_all_that_was_there(stage: Stage) -> None:
    mcp, workspaces = ThirdIsDifferent(is_refused=True), FakeWorkspaces()
    sessions = open_with(stage, mcp, None, workspace=workspaces)

    with pytest.raises(McpConnectError, match="third"):
        sessions.ask(CreateSession(session_id="mine", mcp=THREE))

    until(stage, lambda: not links_left(sessions))
    assert sorted((each.spec.id, each.is_closed) for each in mcp.opened) == [
        ("files", True),
        ("notes", True),
    ]
    assert workspaces.calls[-1] == ("remove", "mine")
    assert workspaces.folders == {}
    assert sessions.ask(CountSessions()) == 0


def test_a_crash_when_two_of_three_are_up_undoes_all_that_was_there(stage: Stage) -> None:
    mcp, workspaces = ThirdIsDifferent(is_refused=False), FakeWorkspaces()
    sessions = open_with(stage, mcp, None, workspace=workspaces)
    made = later(sessions, CreateSession(session_id="mine", mcp=THREE))
    until(stage, lambda: len(mcp.opened) == 2)

    cell_of(sessions, "mine").kill()
    let_pass(stage, 1.0)

    until(stage, lambda: made.is_done and not links_left(sessions))
    with pytest.raises(SpawnError, match="crashed while it was spawned: killed"):
        made.get()
    assert [each.is_open for each in mcp.opened] == [False, False]
    assert workspaces.folders == {}
    assert sessions.ask(CountSessions()) == 0


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
