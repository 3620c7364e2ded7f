"""MCP clients of a session: opened, used, lost and opened again; no call ever hangs."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from callboard.actors import (
    AddMcpClient,
    AppendMessage,
    CallTool,
    CreateSession,
    DuplicateMcpClient,
    GetMcpClient,
    InvalidField,
    LinkState,
    ListMcpClients,
    ListTools,
    McpCallLost,
    McpClientDown,
    McpClientNotFound,
    McpConnectError,
    McpSpec,
    McpTimeout,
    McpToolError,
    NoConnector,
    RemoveMcpClient,
    Role,
    SecretError,
    SecretRef,
    SessionNotFound,
    SessionSystem,
    TooManyCalls,
    Transport,
)
from callboard.actors.connections import mcp as mcp_module
from callboard.actors.link_messages import CALL_S, CLOSE_S, CONNECT_S
from callboard.actors.secrets import EnvironmentSecrets
from callboard.actors.testing import Barrier, MemoryMcp
from tests.connections.kit import (
    FILES,
    create,
    files_of,
    let_pass,
    link,
    links_left,
    open_with,
    with_files,
)
from tests.sessions.stage import Stage, cell_of, later, until


def as_untyped(value: Any) -> Any:
    """Return what a caller without a type checker may give."""
    return value


class TestAdding:
    @pytest.mark.seed("2.10", "2.11", "2.13", "2.14")
    def test_replies_when_the_client_can_be_used(self, sessions: SessionSystem) -> None:
        session_id = create(sessions)

        info = sessions.ask(AddMcpClient(session_id, FILES))

        assert (info.id, info.status, info.restarts) == ("files", LinkState.UP, 0)
        assert sessions.get(session_id).mcp_servers == (info,)
        assert sessions.ask(GetMcpClient(session_id, "files")) == info
        assert sessions.ask(ListMcpClients(session_id)) == (info,)

    def test_shows_the_client_as_starting_and_holds_nothing_up_meanwhile(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        mcp.faults.hangs_when_opened = True

        added = later(sessions, AddMcpClient(session_id, FILES))
        stage.settle()

        assert files_of(sessions, session_id).status is LinkState.STARTING
        assert sessions.ask(AppendMessage(session_id, Role.USER, "hello")) == 1
        assert not added.is_done

    @pytest.mark.in_memory  # it is tried once more meanwhile
    def test_is_refused_when_the_server_cannot_be_reached_and_leaves_nothing(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        mcp.faults.refused_opens = 1

        with pytest.raises(McpConnectError, match="refuses"):
            sessions.ask(AddMcpClient(session_id, FILES))

        assert sessions.get(session_id).mcp_servers == ()
        until(stage, lambda: not links_left(sessions))
        let_pass(stage, 10.0)
        assert mcp.opened == []

    @pytest.mark.in_memory  # it is tried once more meanwhile
    def test_is_refused_when_the_server_does_not_answer(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        mcp.faults.hangs_when_opened = True
        added = later(sessions, AddMcpClient(session_id, FILES))

        stage.advance(CONNECT_S)

        until(stage, lambda: added.is_done)
        assert isinstance(added.error, McpTimeout)
        until(stage, lambda: not links_left(sessions))
        assert mcp.faults.abandoned_opens == 1

    def test_is_refused_for_an_id_that_is_taken(self, sessions: SessionSystem) -> None:
        session_id = with_files(sessions)

        with pytest.raises(DuplicateMcpClient):
            sessions.ask(AddMcpClient(session_id, FILES))

        assert files_of(sessions, session_id).status is LinkState.UP

    def test_names_what_is_missing_when_nothing_opens_such_connections(self, stage: Stage) -> None:
        sessions = open_with(stage, None, None)
        session_id = create(sessions)

        with pytest.raises(NoConnector, match="mcp") as refused:
            sessions.ask(AddMcpClient(session_id, FILES))

        assert "connectors=Connectors(...)" in refused.value.remedy
        assert "`callboard serve` has none" in refused.value.remedy
        assert sessions.get(session_id).mcp_servers == ()

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            (McpSpec(id=""), "spec.id"),
            (McpSpec(id="x"), "spec.command"),
            (McpSpec(id="x", transport=Transport.HTTP, url="ftp://x"), "spec.url"),
            (McpSpec(id="x", command=("a",), env={"K": "a\0b"}), "spec.env.K"),
            (McpSpec(id="x", command=("a",), env=as_untyped({"K": 5})), "spec.env"),
        ],
        ids=lambda value: value if isinstance(value, str) else "spec",
    )
    def test_is_refused_for_a_spec_that_cannot_be(
        self, sessions: SessionSystem, spec: McpSpec, field: str
    ) -> None:
        session_id = create(sessions)

        with pytest.raises(InvalidField) as refused:
            sessions.ask(AddMcpClient(session_id, spec))

        assert refused.value.field.startswith(field)

    def test_keeps_a_copy_of_the_spec_that_nobody_can_change(self, sessions: SessionSystem) -> None:
        session_id, env = create(sessions), {"MODE": "fast"}
        sessions.ask(AddMcpClient(session_id, McpSpec(id="x", command=("a",), env=env)))

        env["MODE"] = "slow"

        assert files_of(sessions, session_id).spec.env == {"MODE": "fast"}

    def test_of_a_session_that_is_not_there_is_refused(self, sessions: SessionSystem) -> None:
        for message in (AddMcpClient("x", FILES), ListMcpClients("x"), GetMcpClient("x", "y")):
            with pytest.raises(SessionNotFound):
                sessions.ask(message)


class TestSecrets:
    SPEC = McpSpec(id="files", command=("files-server",), env={"TOKEN": SecretRef("FILES_TOKEN")})

    def test_are_given_to_the_connector_and_stand_nowhere_else(
        self, stage: Stage, mcp: MemoryMcp
    ) -> None:
        vault = EnvironmentSecrets({"FILES_TOKEN": "hush-hush"})
        sessions = open_with(stage, mcp, None, secrets=vault)
        session_id = create(sessions)

        sessions.ask(AddMcpClient(session_id, self.SPEC))

        assert mcp.opened[0].secrets == {"FILES_TOKEN": "hush-hush"}
        assert "hush-hush" not in repr(sessions.get(session_id))

    def test_are_taken_out_of_what_a_server_says_of_its_end(
        self, stage: Stage, mcp: MemoryMcp
    ) -> None:
        vault = EnvironmentSecrets({"FILES_TOKEN": "hush-hush"})
        sessions = open_with(stage, mcp, None, secrets=vault)
        session_id = create(sessions)
        sessions.ask(AddMcpClient(session_id, self.SPEC))

        mcp.faults.refused_opens = 99
        mcp.opened[0].die("401 for hush-hush")

        until(stage, lambda: files_of(sessions, session_id).status is LinkState.DOWN)
        assert "401 for [secret]" in str(files_of(sessions, session_id).error)

    def test_are_taken_out_of_what_a_tool_refuses(self, stage: Stage) -> None:
        def login(arguments: object) -> object:
            del arguments
            tool, key = "login", "hush-hush"
            raise McpToolError(tool, f"401 for {key}") from RuntimeError(key)

        vault = EnvironmentSecrets({"FILES_TOKEN": "hush-hush"})
        sessions = open_with(stage, MemoryMcp({"login": login}), None, secrets=vault)
        session_id = create(sessions)
        sessions.ask(AddMcpClient(session_id, self.SPEC))

        with pytest.raises(McpToolError, match=r"401 for \[secret\]") as failed:
            sessions.ask(CallTool(session_id, "files", "login"))

        assert "hush" not in "".join(traceback.format_exception(failed.value))

    def test_that_are_not_known_keep_a_client_from_being_added(
        self, stage: Stage, mcp: MemoryMcp
    ) -> None:
        sessions = open_with(stage, mcp, None, secrets=EnvironmentSecrets({}))
        session_id = create(sessions)

        with pytest.raises(SecretError, match="FILES_TOKEN"):
            sessions.ask(AddMcpClient(session_id, self.SPEC))
        with pytest.raises(SecretError, match="FILES_TOKEN"):
            sessions.ask(CreateSession(mcp=(self.SPEC,)))

        assert sessions.get(session_id).mcp_servers == ()


class TestCalls:
    def test_are_answered_with_the_tools_result(self, sessions: SessionSystem) -> None:
        session_id = with_files(sessions)

        assert sessions.ask(CallTool(session_id, "files", "echo", {"a": [1]})) == {"a": [1]}
        assert [each.name for each in sessions.ask(ListTools(session_id, "files"))] == ["echo"]

    def test_run_beside_each_other_and_end_in_any_order(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> str:
            await held.passed()
            return "slow"

        mcp.tools |= {"slow": slow, "quick": lambda _: "quick"}
        session_id = with_files(sessions)
        first = later(sessions, CallTool(session_id, "files", "slow"))
        second = later(sessions, CallTool(session_id, "files", "quick"))

        until(stage, lambda: second.is_done)
        assert not first.is_done
        held.let_go()
        until(stage, lambda: first.is_done)

        assert (first.get(), second.get()) == ("slow", "quick")

    def test_hold_up_nothing_else_of_the_session(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> None:
            await held.passed()

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "slow"))
        until(stage, lambda: held.waiting == 1)

        assert sessions.ask(AppendMessage(session_id, Role.USER, "hello")) == 1
        assert not call.is_done
        held.let_go()

    def test_of_a_tool_that_fails_say_what_it_says(
        self, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        def bad(_: Mapping[str, object]) -> None:
            msg = "no such file"
            raise FileNotFoundError(msg)

        mcp.tools["bad"] = bad
        session_id = with_files(sessions)

        with pytest.raises(McpToolError, match="no such file"):
            sessions.ask(CallTool(session_id, "files", "bad"))
        with pytest.raises(McpToolError, match="no such tool"):
            sessions.ask(CallTool(session_id, "files", "unknown"))
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}

    def test_that_take_too_long_are_given_up_and_the_client_stays_usable(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        async def endless(_: Mapping[str, object]) -> None:
            await asyncio.get_running_loop().create_future()

        mcp.tools["endless"] = endless
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "endless", timeout_s=3.0))
        stage.settle()

        stage.advance(3.0)

        until(stage, lambda: call.is_done)
        assert isinstance(call.error, McpTimeout)
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}
        assert files_of(sessions, session_id).restarts == 0

    @pytest.mark.seed("2.13")
    def test_of_a_client_that_is_not_there_are_refused(self, sessions: SessionSystem) -> None:
        session_id = create(sessions)

        with pytest.raises(McpClientNotFound):
            sessions.ask(CallTool(session_id, "files", "echo"))

    def test_wait_for_a_client_that_is_opened_for_the_first_time(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held, session_id = Barrier(), create(sessions)
        opens = mcp.faults.opening

        async def opening(what: str) -> None:
            await held.passed()
            await opens(what)

        mcp.faults.opening = opening  # type: ignore[method-assign]  # one more fault
        added = later(sessions, AddMcpClient(session_id, FILES))
        call = later(sessions, CallTool(session_id, "files", "echo", {"a": 1}))
        until(stage, lambda: held.waiting == 1)
        assert not call.is_done

        held.let_go()
        until(stage, lambda: call.is_done and added.is_done)

        assert call.get() == {"a": 1}

    def test_beyond_the_bound_are_refused(
        self,
        monkeypatch: pytest.MonkeyPatch,
        stage: Stage,
        mcp: MemoryMcp,
        sessions: SessionSystem,
    ) -> None:
        monkeypatch.setattr(mcp_module, "CALLS_MAX", 1)
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> None:
            await held.passed()

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "slow"))
        until(stage, lambda: held.waiting == 1)

        with pytest.raises(TooManyCalls):
            sessions.ask(CallTool(session_id, "files", "echo"))
        assert not call.is_done
        held.let_go()

    def test_count_as_activity_of_the_session(self, stage: Stage, sessions: SessionSystem) -> None:
        session_id = with_files(sessions)
        before = sessions.get(session_id).last_active_at
        stage.advance(5.0)

        sessions.ask(CallTool(session_id, "files", "echo"))

        assert sessions.get(session_id).last_active_at == before + 5.0

    def test_may_take_a_minute_unless_somebody_says_otherwise(self) -> None:
        assert CALL_S == 60.0
        assert CallTool("s", "files", "echo").patience_s > CALL_S


class TestAClientThatDies:
    def test_fails_what_it_works_on_at_once(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> None:
            await held.passed()

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        calls = [later(sessions, CallTool(session_id, "files", "slow")) for _ in range(20)]
        until(stage, lambda: held.waiting == 20)

        mcp.opened[0].die("connection reset")

        until(stage, lambda: all(each.is_done for each in calls))
        assert {type(each.error) for each in calls} == {McpCallLost}
        assert "connection reset" in str(calls[0].error)
        assert not McpCallLost.is_outcome_known

    def test_refuses_calls_at_once_until_it_is_up_again(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        mcp.faults.refused_opens = 2
        mcp.opened[0].die()
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.DOWN)

        with pytest.raises(McpClientDown):
            sessions.ask(CallTool(session_id, "files", "echo"))

        let_pass(stage, 5.0)
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.UP)
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}
        assert files_of(sessions, session_id).restarts == 3

    def test_is_opened_again_after_longer_and_longer_times_and_has_failed_in_the_end(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        mcp.faults.refused_opens = 99
        mcp.opened[0].die()
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.DOWN)
        let_pass(stage, 3.0)
        tried_soon = 99 - mcp.faults.refused_opens
        assert 2 <= tried_soon <= 4

        let_pass(stage, 300.0)

        until(stage, lambda: files_of(sessions, session_id).status is LinkState.FAILED)
        assert 99 - mcp.faults.refused_opens == 10
        with pytest.raises(McpClientDown):
            sessions.ask(CallTool(session_id, "files", "echo"))
        until(stage, lambda: not links_left(sessions))

    def test_may_be_added_anew_when_it_has_failed(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        mcp.faults.refused_opens = 10
        mcp.opened[0].die()
        let_pass(stage, 300.0)
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.FAILED)

        info = sessions.ask(AddMcpClient(session_id, FILES))

        assert info.status is LinkState.UP
        assert sessions.get(session_id).mcp_servers == (info,)

    def test_does_not_disturb_the_session(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        before = cell_of(sessions, session_id)

        mcp.opened[0].die()
        until(stage, lambda: len(mcp.opened) == 2)

        assert cell_of(sessions, session_id) is before
        assert sessions.get(session_id).restarts == 0

    def test_is_opened_again_also_when_its_actor_is_killed(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def slow(_: Mapping[str, object]) -> None:
            await held.passed()

        mcp.tools["slow"] = slow
        session_id = with_files(sessions)
        call = later(sessions, CallTool(session_id, "files", "slow"))
        until(stage, lambda: held.waiting == 1)

        link(sessions, session_id, "mcp").kill()

        until(stage, lambda: call.is_done and not mcp.opened[0].is_open)
        assert isinstance(call.error, McpClientDown)
        until(stage, lambda: files_of(sessions, session_id).status is LinkState.UP)
        assert sessions.ask(CallTool(session_id, "files", "echo", {})) == {}


class TestRemoving:
    @pytest.mark.seed("2.12")
    def test_closes_the_client(self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem) -> None:
        session_id = with_files(sessions)

        sessions.ask(RemoveMcpClient(session_id, "files"))

        assert sessions.get(session_id).mcp_servers == ()
        until(stage, lambda: mcp.opened[0].is_closed)
        until(stage, lambda: not links_left(sessions))
        assert not mcp.opened[0].is_killed

    def test_of_one_that_is_not_there_is_refused(self, sessions: SessionSystem) -> None:
        with pytest.raises(McpClientNotFound):
            sessions.ask(RemoveMcpClient(create(sessions), "files"))

    def test_kills_a_client_whose_close_hangs_and_holds_up_no_other(
        self, stage: Stage, mcp: MemoryMcp, sessions: SessionSystem
    ) -> None:
        session_id = with_files(sessions)
        mcp.faults.hangs_when_closed = True
        sessions.ask(AddMcpClient(session_id, McpSpec(id="other", command=("x",))))
        sessions.ask(RemoveMcpClient(session_id, "files"))
        stage.settle()

        assert sessions.ask(AddMcpClient(session_id, FILES)).status is LinkState.UP
        assert not mcp.opened[0].is_killed
        stage.advance(CLOSE_S)

        until(stage, lambda: mcp.opened[0].is_killed)
        assert not mcp.opened[0].is_closed
        assert [each.is_open for each in mcp.opened[1:]] == [True, True]
        mcp.faults.hangs_when_closed = False
