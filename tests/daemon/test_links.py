"""A session's connections over HTTP: with some in memory, and with none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from callboard.actors import Session
from callboard.actors.connections.ports import Connectors
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.secrets import Vault
from callboard.actors.sessions.spawn import Step
from callboard.actors.testing import Faults, MemoryAgents, MemoryMcp, Turn
from tests.daemon.daemons import Running, running
from tests.daemon.test_errors_over_http import problem
from tests.daemon.test_streams import wait_until
from tests.laws import services_of

FILES = {"id": "files", "command": ["files-server"]}
AGENT = {"command": ["agent"]}


async def wait(turn: Turn) -> str:
    """Wait until the prompt is cancelled; a script."""
    turn.say("one moment")
    await turn.cancelled()
    return "cancelled"


@pytest.fixture(scope="module")
def agents() -> MemoryAgents:
    return MemoryAgents()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, agents: MemoryAgents) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("links")
    folder.chmod(0o700)
    connectors = Connectors(mcp=MemoryMcp(), agents={"acp": agents})
    bounds = DaemonSettings(
        stop_s=10.0, drain_s=0.5, ask_s=1.0, request_s=2.0, work_s=15.0, lasting_max=2
    )
    with running(folder, connectors=connectors, settings=bounds) as it:
        yield it


@pytest.fixture
def http(daemon: Running) -> Iterator[httpx.Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture
def ada(http: httpx.Client) -> Iterator[str]:
    """The path of a session."""
    session_id = http.post("/v1/sessions", json={}).json()["id"]
    yield f"/v1/sessions/{session_id}"
    http.delete(f"/v1/sessions/{session_id}")


def done(answer: httpx.Response, status: int = 200) -> Any:
    """Check that a request was answered, and return what with."""
    assert answer.status_code == status, answer.text
    return answer.json()


class TestACreate:
    def test_is_answered_however_long_the_steps_of_its_spawn_may_take(
        self, http: httpx.Client, daemon: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def longer_than_ask_s(session: Session, vault: Vault) -> None:
            del session, vault
            await asyncio.sleep(1.2)

        def planner(session: Session) -> tuple[Step, ...]:
            del session
            return (Step(name="wait", do=longer_than_ask_s),)

        monkeypatch.setattr(services_of(daemon.daemon._sessions), "planners", [planner])

        made = done(http.post("/v1/sessions", json={}), 201)

        assert made["state"] == "active"
        http.delete(f"/v1/sessions/{made['id']}")


class TestAnMcpClient:
    def test_is_added_used_and_removed(self, http: httpx.Client, ada: str) -> None:
        added = done(http.post(f"{ada}/mcp", json={"spec": FILES}), 201)
        tools = done(http.get(f"{ada}/mcp/files/tools", params={"timeout_s": 2}))
        call = {"name": "echo", "arguments": {"path": "/"}}
        called = done(http.post(f"{ada}/mcp/files/calls", json=call))
        listed = done(http.get(f"{ada}/mcp"))
        got = done(http.get(f"{ada}/mcp/files"))
        removed = done(http.delete(f"{ada}/mcp/files"))

        assert (added["id"], added["status"]) == ("files", "up")
        assert [each["name"] for each in tools["tools"]] == ["echo"]
        assert called == {"result": {"path": "/"}}
        assert listed["clients"] == [got]
        assert removed == {"removed": "files"}
        problem(http.get(f"{ada}/mcp/files"), 404, "mcp_client_not_found")

    def test_keeps_its_secrets_by_name(self, http: httpx.Client, ada: str) -> None:
        spec = {**FILES, "id": "secret", "env": {"HOME_OF": {"name": "HOME"}, "PLAIN": "x"}}

        added = done(http.post(f"{ada}/mcp", json={"spec": spec}), 201)

        assert added["spec"]["env"] == {"HOME_OF": {"name": "HOME"}, "PLAIN": "x"}

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"id": "x", "command": ["a"], "tea": 1}, "spec.tea"),
            ({"id": "x", "command": ["a"], "env": {"A": {"name": "B", "tea": 1}}}, "spec.env"),
            ({"id": "x"}, "spec.command"),
            ({"id": "x", "transport": "http", "url": "ftp://x"}, "spec.url"),
        ],
        ids=["unknown", "unknown deep", "no command", "url"],
    )
    def test_that_is_badly_described_is_refused(
        self, http: httpx.Client, ada: str, spec: object, field: str
    ) -> None:
        said = problem(http.post(f"{ada}/mcp", json={"spec": spec}), 422, "invalid_field")

        assert said["field"].startswith(field)

    def test_with_an_empty_id_is_not_all_of_them(self, http: httpx.Client, ada: str) -> None:
        for path in (f"{ada}/mcp/", f"{ada}/mcp//tools"):
            assert problem(http.get(path), 422, "invalid_field")["field"] == "client_id"

    def test_whose_call_fails_says_so(self, http: httpx.Client, ada: str) -> None:
        done(http.post(f"{ada}/mcp", json={"spec": FILES}), 201)

        answer = http.post(f"{ada}/mcp/files/calls", json={"name": "nothing"})

        problem(answer, 422, "mcp_tool_error")

    def test_may_take_no_longer_than_the_daemon_allows(self, http: httpx.Client, ada: str) -> None:
        said = problem(
            http.get(f"{ada}/mcp/files/tools", params={"timeout_s": 11}), 422, "invalid_field"
        )

        assert (said["field"], said["remedy"]) == ("timeout_s", "Give at most 10 seconds.")


class TestAnAgent:
    def test_is_attached_prompted_and_detached(self, http: httpx.Client, ada: str) -> None:
        attached = done(http.post(f"{ada}/agent", json={"spec": AGENT}), 201)
        prompted = done(http.post(f"{ada}/agent/prompts", json={"content": "say it"}))
        log = done(http.get(f"{ada}/messages"))["messages"]
        detached = done(http.delete(f"{ada}/agent"))

        assert attached["agent"]["status"] == "up"
        assert prompted == {"stop_reason": "end_turn", "last_seq": 2}
        assert [each["role"] for each in log] == ["user", "assistant"]
        assert detached["agent"] is None
        answer = http.post(f"{ada}/agent/prompts", json={"content": "x"})
        problem(answer, 409, "agent_not_attached")

    def test_comes_with_its_session(self, http: httpx.Client) -> None:
        body = {"agent": AGENT, "mcp": [FILES]}

        created = done(http.post("/v1/sessions", json=body), 201)
        http.delete(f"/v1/sessions/{created['id']}")

        assert created["agent"]["status"] == "up"
        assert [each["status"] for each in created["mcp_servers"]] == ["up"]

    def test_may_work_longer_than_a_request_lasts_and_be_cancelled(
        self, http: httpx.Client, ada: str, agents: MemoryAgents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents, "script", wait)
        done(http.post(f"{ada}/agent", json={"spec": AGENT}), 201)
        with ThreadPoolExecutor() as threads:
            # Longer than request_s (2 s): the agent itself is cancelled when its own time is over.
            task = {"content": "wait", "timeout_s": 3}
            late = threads.submit(http.post, f"{ada}/agent/prompts", json=task)
            problem(late.result(), 504, "prompt_timeout")
            while done(http.get(ada))["agent"]["is_busy"]:
                pass  # it stops within the grace
            task = {"content": "wait"}
            begun = threads.submit(http.post, f"{ada}/agent/prompts", json=task)
            while not done(http.get(ada))["agent"]["is_busy"]:
                pass
            cancelled = done(http.post(f"{ada}/agent/cancel"))
            ended = done(begun.result())

        assert cancelled == {"was_busy": True}
        assert ended["stop_reason"] == "cancelled"
        assert done(http.post(f"{ada}/agent/cancel")) == {"was_busy": False}

    def test_that_works_takes_no_place_of_other_requests(
        self,
        http: httpx.Client,
        daemon: Running,
        agents: MemoryAgents,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(agents, "script", wait)
        made = [done(http.post("/v1/sessions", json={"agent": AGENT}), 201) for _ in range(3)]
        paths = [f"/v1/sessions/{each['id']}" for each in made]
        with ThreadPoolExecutor() as threads:
            begun = [
                threads.submit(http.post, f"{path}/agent/prompts", json={"content": "wait"})
                for path in paths[:2]
            ]
            for path in paths[:2]:
                while not done(http.get(path))["agent"]["is_busy"]:
                    pass
            third = http.post(f"{paths[2]}/agent/prompts", json={"content": "wait"})
            guard = daemon.daemon._app
            wait_until(lambda: (guard.lasting, guard.in_flight) == (2, 0))
            for path in paths:
                http.delete(path)
            for each in begun:
                assert each.result().status_code >= 400

        said = problem(third, 503, "too_many_requests")
        assert "2 requests that last" in said["detail"]
        wait_until(lambda: (guard.lasting, guard.in_flight) == (0, 0))


class TestWithoutAConnector:
    @pytest.mark.parametrize(
        ("path", "spec"), [("mcp", FILES), ("agent", AGENT)], ids=["mcp", "agent"]
    )
    def test_the_answer_says_who_could_give_one(
        self, private: Path, path: str, spec: object
    ) -> None:
        with running(private) as bare, bare.client() as http:
            session_id = http.post("/v1/sessions", json={}).json()["id"]
            answer = http.post(f"/v1/sessions/{session_id}/{path}", json={"spec": spec})

        remedy = problem(answer, 501, "no_connector")["remedy"]
        assert "connectors=Connectors(...)" in remedy
        assert "`callboard serve` has none" in remedy


class TestAConnectionThatFails:
    def test_says_why(self, private: Path) -> None:
        connectors = Connectors(mcp=MemoryMcp(faults=Faults(refused_opens=9)))
        with running(private, connectors=connectors) as daemon, daemon.client() as http:
            session_id = http.post("/v1/sessions", json={}).json()["id"]
            answer = http.post(f"/v1/sessions/{session_id}/mcp", json={"spec": FILES})

        assert "refuses" in problem(answer, 502, "mcp_connect_error")["detail"]
