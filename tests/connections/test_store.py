"""A store that refuses what a connection changes: nothing is lost, and nothing done twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from callboard.actors import (
    AddMcpClient,
    AppendMessage,
    AttachAgent,
    AttachClient,
    CallTool,
    LinkState,
    McpConnectError,
    PassivateSession,
    Presence,
    Prompt,
    Role,
    Session,
    SessionSystem,
    StoreError,
)
from callboard.actors.connections.line import RESTARTS
from callboard.actors.sessions.linked import LOOK_LATER_S
from callboard.actors.sessions.table import Row
from callboard.actors.testing import FakeStore, MemoryAgents, MemoryClient, MemoryMcp
from tests.connections.kit import (
    AGENT,
    FILES,
    agent_of,
    create,
    files_of,
    let_pass,
    links_left,
    open_with,
    with_agent,
    with_files,
)
from tests.sessions.stage import Stage, cell_of, later, presence, services_of, texts, until


@pytest.fixture
def store() -> FakeStore:
    """Return a store that keeps what it is given until it is told otherwise."""
    return FakeStore()


@pytest.fixture
def sessions(stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, store: FakeStore) -> SessionSystem:
    """Return a system with that store."""
    return open_with(stage, mcp, agents, store=store)


def row_of(sessions: SessionSystem, session_id: str) -> Row:
    return services_of(sessions).table.row(session_id)


def is_up(session: Session) -> bool:
    return any(each.status is LinkState.UP for each in session.mcp_servers)


def has_failed(session: Session) -> bool:
    return any(each.status is LinkState.FAILED for each in session.mcp_servers)


class TestWhatIsAskedFor:
    def test_is_not_begun_when_it_is_not_kept(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = create(sessions)
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(AddMcpClient(session_id, FILES))

        stage.settle()
        assert (sessions.get(session_id).mcp_servers, mcp.opened) == ((), [])
        assert sessions.ask(AddMcpClient(session_id, FILES)).status is LinkState.UP

    def test_of_an_agent_likewise(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = create(sessions)
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(AttachAgent(session_id, AGENT))

        stage.settle()
        assert (sessions.get(session_id).agent, agents.started) == (None, [])
        sessions.ask(AttachAgent(session_id, AGENT))
        assert agent_of(sessions, session_id).status is LinkState.UP

    def test_runs_no_tool(self, mcp: MemoryMcp, sessions: SessionSystem, store: FakeStore) -> None:
        called: list[Mapping[str, object]] = []
        mcp.tools["note"] = called.append
        session_id = with_files(sessions)
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(CallTool(session_id, "files", "note", {"n": 1}))

        assert called == []
        sessions.ask(CallTool(session_id, "files", "note", {"n": 2}))
        assert called == [{"n": 2}]

    def test_prompts_nobody(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = with_agent(sessions)
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(Prompt(session_id, "lost"))

        stage.settle()
        assert agents.started[0].turn is None
        assert not agent_of(sessions, session_id).is_busy
        assert sessions.ask(Prompt(session_id, "hello")).last_seq == 2
        assert texts(sessions, session_id) == ["hello", "hello "]

    def test_leaves_a_client_open_whom_it_does_not_take(
        self, stage: Stage, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id, client = create(sessions), MemoryClient()
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(AttachClient(session_id, sink=client))

        stage.settle()
        assert client.is_open
        assert sessions.get(session_id).client is None
        assert services_of(sessions).connections.claim(row_of(sessions, session_id), 2) is None
        assert sessions.ask(AttachClient(session_id, sink=client)).status is LinkState.UP

    def test_sleep_closes_nothing(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = with_files(sessions)
        cell = cell_of(sessions, session_id)
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(PassivateSession(session_id))

        stage.settle()
        assert cell_of(sessions, session_id) is cell
        assert files_of(sessions, session_id).status is LinkState.UP
        assert mcp.opened[0].is_open
        assert sessions.ask(PassivateSession(session_id)).presence is Presence.ASLEEP
        until(stage, lambda: not mcp.opened[0].is_open)


class TestWhatAConnectionTells:
    def test_that_itis_up_is_told_once_more(
        self, stage: Stage, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = create(sessions)
        store.refuse(when=is_up)
        added = later(sessions, AddMcpClient(session_id, FILES))
        called = later(sessions, CallTool(session_id, "files", "echo", {"a": 1}))
        let_pass(stage, 2 * LOOK_LATER_S)
        assert files_of(sessions, session_id).status is LinkState.STARTING
        assert not added.is_done

        store.accept()
        let_pass(stage, LOOK_LATER_S)

        until(stage, lambda: added.is_done and called.is_done)
        assert added.get().status is LinkState.UP
        assert called.get() == {"a": 1}

    def test_that_it_could_not_be_opened_is_told_with_the_next_attempt(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = create(sessions)
        mcp.faults.refused_opens = 2
        store.refuse(times=1, when=lambda session: session.version > 1 and not session.mcp_servers)

        added = later(sessions, AddMcpClient(session_id, FILES))
        let_pass(stage, 5.0)

        until(stage, lambda: added.is_done)
        assert isinstance(added.error, McpConnectError)
        assert sessions.get(session_id).mcp_servers == ()
        until(stage, lambda: not links_left(sessions))

    def test_that_it_is_down_does_not_matter_once_itis_up(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = with_files(sessions)
        store.refuse(times=1)
        mcp.opened[0].die()

        let_pass(stage, 5.0)

        until(stage, lambda: files_of(sessions, session_id).restarts == 1)
        assert files_of(sessions, session_id).status is LinkState.UP
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}

    def test_that_ithas_failed_for_good_is_told_once_more(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = with_files(sessions)
        mcp.faults.refused_opens = 99
        store.refuse(when=has_failed)
        mcp.opened[0].die()
        let_pass(stage, 300.0)
        assert 99 - mcp.faults.refused_opens == RESTARTS.intensity
        assert files_of(sessions, session_id).status is LinkState.DOWN

        store.accept()
        let_pass(stage, 2 * LOOK_LATER_S)

        until(stage, lambda: files_of(sessions, session_id).status is LinkState.FAILED)
        until(stage, lambda: not links_left(sessions))

    def test_of_an_agent_reaches_the_log_once(
        self, stage: Stage, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id = with_agent(sessions)
        store.refuse(when=lambda session: session.message_count > 1)
        prompted = later(sessions, Prompt(session_id, "one two"))
        let_pass(stage, 2 * LOOK_LATER_S)
        assert texts(sessions, session_id) == ["one two"]
        assert not prompted.is_done

        store.accept()
        let_pass(stage, LOOK_LATER_S)

        until(stage, lambda: prompted.is_done)
        assert prompted.get().last_seq == 2
        assert texts(sessions, session_id) == ["one two", "one two "]
        assert not agent_of(sessions, session_id).is_busy

    def test_of_a_client_that_has_gone_is_told_once_more_and_not_all_the_time(
        self, stage: Stage, sessions: SessionSystem, store: FakeStore
    ) -> None:
        session_id, client = create(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        sessions.ask(AppendMessage(session_id, Role.USER, "one"))
        until(stage, lambda: [each.content for each in client.messages] == ["one"])
        store.refuse()
        asked = len(store.calls)
        client.die("connection reset")
        let_pass(stage, 5 * LOOK_LATER_S)
        assert presence(sessions, session_id) is Presence.AWAKE
        assert len(store.calls) - asked <= 20

        store.accept()
        let_pass(stage, 2 * LOOK_LATER_S)

        until(stage, lambda: not links_left(sessions))
        info = sessions.get(session_id).client
        assert info is not None
        assert (info.status, info.acked_seq) == (LinkState.DOWN, 1)
