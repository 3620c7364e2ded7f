"""What becomes of connections when the session or a part of their line sleeps, ends or crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from callboard.actors import (
    AddMcpClient,
    AppendMessage,
    AttachAgent,
    AttachClient,
    CallTool,
    CleanupInactive,
    CreateSession,
    DetachClient,
    LinkState,
    McpSpec,
    PassivateSession,
    Presence,
    Prompt,
    ResumeSession,
    ReviveSession,
    Role,
    SessionNotFound,
    SessionQuarantined,
    SessionSystem,
    Shutdown,
    TerminateSession,
)
from callboard.actors.link_messages import CLOSE_S
from callboard.actors.sessions.naming import connections_partition_name, links_name
from callboard.actors.testing import Barrier, MemoryAgents, MemoryClient, MemoryMcp, Turn
from callboard.supervision import Future
from tests.connections.kit import (
    AGENT,
    FILES,
    agent_of,
    create,
    files_of,
    let_pass,
    link,
    links_left,
    with_agent,
    with_files,
)
from tests.sessions.stage import Stage, cell_of, later, part_of, presence, until


def with_all(sessions: SessionSystem) -> tuple[str, MemoryClient]:
    """Return a session with one connection of each kind, and its client."""
    session_id, client = with_files(sessions), MemoryClient()
    sessions.ask(AttachAgent(session_id, AGENT))
    sessions.ask(AttachClient(session_id, sink=client))
    return session_id, client


def client_state(sessions: SessionSystem, session_id: str) -> LinkState:
    """Return how the client is that follows a session, or was the last to do so."""
    client = sessions.get(session_id).client
    assert client is not None, "none was attached"
    return client.status


class TestTheEndOfASession:
    @pytest.mark.seed("2.15", "2.23", "3.33")
    def test_closes_all_connections_before_the_reply_comes(
        self, stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id, client = with_all(sessions)
        stage.settle()

        sessions.ask(TerminateSession(session_id))

        assert mcp.opened[0].is_closed
        assert agents.started[0].is_closed
        assert client.is_closed
        until(stage, lambda: not links_left(sessions))

    def test_kills_what_does_not_let_itself_be_closed(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        sessions.ask(AddMcpClient(session_id, McpSpec(id="other", command=("x",))))
        mcp.faults.hangs_when_closed = True
        ended = later(sessions, TerminateSession(session_id, grace_s=60.0))
        stage.settle()
        assert not ended.is_done

        let_pass(stage, CLOSE_S)

        until(stage, lambda: ended.is_done)
        assert [each.is_killed for each in mcp.opened] == [True, True]
        until(stage, lambda: not links_left(sessions))

    def test_that_is_forced_closes_them_all_the_same(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        mcp.faults.hangs_when_closed = True
        ended = later(sessions, TerminateSession(session_id, grace_s=1.0))
        stage.settle()

        let_pass(stage, 1.0)
        assert not ended.is_done
        assert not mcp.opened[0].is_killed
        let_pass(stage, CLOSE_S)

        until(stage, lambda: ended.is_done)
        until(stage, lambda: mcp.opened[0].is_killed)
        until(stage, lambda: not links_left(sessions))
        with pytest.raises(SessionNotFound):
            sessions.get(session_id)

    def test_answers_calls_and_prompts_that_are_under_way(
        self, stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        async def endless(_: Mapping[str, object]) -> None:
            await asyncio.get_running_loop().create_future()

        async def deaf(_: Turn) -> str:
            await asyncio.get_running_loop().create_future()
            return "never"

        mcp.tools["endless"], agents.script = endless, deaf
        session_id, _ = with_all(sessions)
        under_way: list[Future[Any]] = [
            later(sessions, CallTool(session_id, "files", "endless")),
            later(sessions, Prompt(session_id, "go")),
        ]
        stage.settle()

        sessions.ask(TerminateSession(session_id))

        until(stage, lambda: all(each.is_done for each in under_way))
        assert all(each.error is not None for each in under_way)

    def test_of_one_that_sleeps_needs_no_connection(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        sessions.ask(PassivateSession(session_id))
        until(stage, lambda: mcp.opened[0].is_closed)

        sessions.ask(TerminateSession(session_id))

        assert len(mcp.opened) == 1


class TestSleep:
    def test_closes_mcp_clients_and_the_next_message_opens_them_again(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)

        asleep = sessions.ask(PassivateSession(session_id))

        assert asleep.presence is Presence.ASLEEP
        assert asleep.mcp_servers[0].status is LinkState.NONE
        until(stage, lambda: mcp.opened[0].is_closed and not links_left(sessions))
        assert sessions.ask(CallTool(session_id, "files", "echo", {"a": 1})) == {"a": 1}
        assert len(mcp.opened) == 2

    def test_is_forbidden_by_a_client_until_it_goes(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        sessions.ask(AttachClient(session_id, sink=MemoryClient()))

        assert sessions.ask(PassivateSession(session_id)).presence is Presence.AWAKE

        sessions.ask(DetachClient(session_id))
        stage.settle()
        assert sessions.ask(PassivateSession(session_id)).presence is Presence.ASLEEP

    def test_is_forbidden_by_an_agent_that_lives(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = with_agent(sessions)

        assert sessions.ask(PassivateSession(session_id)).presence is Presence.AWAKE

        agents.faults.refused_opens = 99
        agents.started[0].die()
        until(stage, lambda: agent_of(sessions, session_id).status is LinkState.DOWN)
        assert sessions.ask(PassivateSession(session_id)).presence is Presence.ASLEEP

    def test_is_forbidden_by_a_call_that_is_under_way(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> None:
            await held.passed()

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "slow"))
        until(stage, lambda: held.waiting == 1)

        assert sessions.ask(PassivateSession(session_id)).presence is Presence.AWAKE

        held.let_go()
        until(stage, lambda: call.is_done)
        stage.settle()
        assert sessions.ask(PassivateSession(session_id)).presence is Presence.ASLEEP

    def test_ends_with_resume_and_the_connections_come_back(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        sessions.ask(PassivateSession(session_id))
        until(stage, lambda: mcp.opened[0].is_closed)

        resumed = sessions.ask(ResumeSession(session_id))

        assert resumed.presence is Presence.AWAKE
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.UP)
        assert sessions.ask(ResumeSession(session_id)).presence is Presence.AWAKE


class TestExpiry:
    def test_is_not_forbidden_by_a_client_or_an_agent(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id, client = with_all(sessions)
        stage.advance(50.0)

        ended = sessions.ask(CleanupInactive(idle_longer_than_s=40.0))

        assert ended == (session_id,)
        until(stage, lambda: client.is_closed)

    def test_is_forbidden_by_a_prompt_and_counts_from_its_end(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Turn) -> str:
            await held.passed()
            return "end_turn"

        agents.script = slow
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        until(stage, lambda: held.waiting == 1)
        stage.advance(50.0)

        assert sessions.ask(CleanupInactive(idle_longer_than_s=40.0)) == ()

        held.let_go()
        until(stage, lambda: prompt.is_done)
        stage.settle()
        assert sessions.ask(CleanupInactive(idle_longer_than_s=40.0)) == ()
        stage.advance(50.0)
        assert sessions.ask(CleanupInactive(idle_longer_than_s=40.0)) == (session_id,)

    def test_work_in_hand_keeps_a_shutdown_waiting(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> None:
            await held.passed()

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "slow"))
        until(stage, lambda: held.waiting == 1)
        down = later(sessions, Shutdown(grace_s=60.0))
        stage.advance(1.0)
        assert not down.is_done

        held.let_go()
        stage.settle()
        let_pass(stage, 1.0)

        until(stage, lambda: down.is_done)
        assert down.get() == ()
        assert call.is_done


class TestACrashOfTheSession:
    def test_leaves_its_connections_as_they_are(
        self, stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id, client = with_all(sessions)
        before = cell_of(sessions, session_id)

        before.kill()
        until(stage, lambda: presence(sessions, session_id) is Presence.AWAKE)

        assert cell_of(sessions, session_id) is not before
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}
        assert sessions.ask(Prompt(session_id, "hello")).stop_reason == "end_turn"
        assert (len(mcp.opened), len(agents.started)) == (1, 1)
        until(stage, lambda: len(client.messages) == 2)

    def test_does_not_end_a_call_that_is_under_way(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> str:
            await held.passed()
            return "done"

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "slow"))
        until(stage, lambda: held.waiting == 1)

        cell_of(sessions, session_id).kill()
        held.let_go()

        until(stage, lambda: call.is_done)
        assert call.get() == "done"

    def test_that_ends_in_quarantine_closes_them_until_it_is_revived(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        for _ in range(4):
            until(stage, lambda: sessions.address(session_id).is_alive())
            cell_of(sessions, session_id).kill()
            let_pass(stage, 2.0)

        until(stage, lambda: presence(sessions, session_id) is Presence.QUARANTINED)
        until(stage, lambda: mcp.opened[0].is_closed and not links_left(sessions))
        with pytest.raises(SessionQuarantined):
            sessions.ask(ResumeSession(session_id))
        sessions.ask(ReviveSession(session_id))
        until(stage, lambda: len(mcp.opened) == 2)
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}


class TestACrashOfTheLine:
    @pytest.mark.seed("4.2")
    def test_of_a_sessions_supervisor_brings_its_connections_back(
        self, stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id, client = with_all(sessions)
        stage.settle()
        supervisor = sessions.system.lookup(links_name(session_id))
        assert supervisor is not None
        assert supervisor.ref is not None

        supervisor.ref.kill()

        until(stage, lambda: len(mcp.opened) == 2 and len(agents.started) == 2)
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.UP)
        until(stage, lambda: agent_of(sessions, session_id).status is LinkState.UP)
        until(stage, lambda: client_state(sessions, session_id) is LinkState.DOWN)
        assert mcp.opened[0].is_closed
        assert not client.is_open

    def test_of_a_partition_brings_them_back(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        ids = [with_files(sessions) for _ in range(4)]
        for number in (0, 1):
            part_of(sessions, connections_partition_name(number)).kill()

        until(stage, lambda: len(mcp.opened) == 8)
        until(
            stage,
            lambda: all(files_of(sessions, each).status is LinkState.UP for each in ids),
        )
        for each in ids:
            assert sessions.ask(CallTool(each, "files", "echo", {})) == {}

    def test_of_the_whole_of_it_restarts_no_session(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        before = cell_of(sessions, session_id)

        part_of(sessions, "connections").kill()

        until(stage, lambda: len(mcp.opened) == 2)
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.UP)
        assert cell_of(sessions, session_id) is before
        assert sessions.ask(AppendMessage(session_id, Role.USER, "hello")) == 1

    def test_under_load_answers_every_call(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        async def turn(arguments: Mapping[str, object]) -> object:
            await asyncio.sleep(0)
            return arguments["n"]

        mcp.tools["turn"] = turn
        ids = [with_files(sessions) for _ in range(5)]
        calls: list[Future[object]] = []
        for n in range(60):
            message = [CallTool(each, "files", "turn", {"n": n}) for each in ids]
            calls += [later(sessions, each) for each in message]
            if n % 20 == 7:
                mcp.opened[-1].die()
            if n % 20 == 13:
                link_ref = sessions.system.lookup(links_name(ids[n % 5]))
                if link_ref is not None and link_ref.ref is not None:
                    link_ref.ref.kill()
            if n % 20 == 17:
                cell_of_one = sessions.address(ids[(n + 1) % 5]).ref
                if cell_of_one is not None:
                    cell_of_one.kill()

        let_pass(stage, 20.0)

        until(stage, lambda: all(each.is_done for each in calls))
        for each in ids:
            assert sessions.ask(CallTool(each, "files", "turn", {"n": 1})) == 1
        stage.settle()
        assert [sessions.address(each).mailbox_size for each in ids] == [0] * 5


class TestASessionWithoutConnections:
    def test_has_nothing_in_the_line(self, sessions: SessionSystem) -> None:
        session = sessions.ask(CreateSession())
        sessions.ask(AppendMessage(session.id, Role.USER, "hello"))

        assert links_left(sessions) == []
        assert (session.mcp_servers, session.agent, session.client) == ((), None, None)
        actor = cell_of(sessions, session.id).actor
        assert actor is not None
        assert actor._pending is None


class TestTheEndOfTheSystem:
    def test_closes_everything(
        self, stage: Stage, mcp: MemoryMcp, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        _, client = with_all(sessions)
        stage.settle()

        report = sessions.stop()

        assert report.is_clean
        assert mcp.opened[0].is_closed
        assert agents.started[0].is_closed
        assert client.is_closed


def test_a_connection_is_found_in_the_tree(stage: Stage, sessions: SessionSystem) -> None:
    session_id = with_files(sessions)
    stage.settle()

    assert link(sessions, session_id, "mcp").path.endswith(f"{session_id}/mcp-2")
    assert files_of(sessions, session_id).spec == FILES
