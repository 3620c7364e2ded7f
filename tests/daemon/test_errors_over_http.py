"""Whatever is wrong with a request: its own status, and a problem document that says what."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callboard.actors import SessionLimits
from callboard.actors.daemon.problems import MEDIA_TYPE, TYPE_PREFIX
from callboard.actors.daemon.settings import DaemonSettings
from callboard.supervision import Settings
from tests.daemon.daemons import Moody, Running, running

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("daemon")
    folder.chmod(0o700)
    with running(
        folder,
        settings=DaemonSettings(
            body_bytes_max=100_000, header_bytes_max=2_000, stop_s=10.0, drain_s=0.5
        ),
        limits=SessionLimits(content_bytes_max=1_000, sessions_per_user_max=1),
    ) as it:
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


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem, and return what it says."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), answer.text
    said: dict[str, Any] = answer.json()
    assert said["code"] == code
    assert said["type"] == TYPE_PREFIX + code
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    assert said["remedy"]
    assert isinstance(said["is_retryable"], bool)
    assert isinstance(said["is_outcome_known"], bool)
    assert "Traceback" not in answer.text
    return said


class TestTheBody:
    def test_broken_json_is_told_from_wrong_json(self, http: httpx.Client, ada: str) -> None:
        answer = http.post(f"{ada}/messages", content=b'{"role": "user"', headers=JSON)

        problem(answer, 400, "malformed_json")

    @pytest.mark.parametrize(
        "content",
        [
            b"[" * 50_000,
            b'{"role":' * 5_000,
            b"\xff\xfe",
            b'{"content": "\xff"}',
            b'"\\ud800"',
            b"",
        ],
        ids=["deep list", "deep object", "no text", "no utf-8", "surrogate", "nothing"],
    )
    def test_what_no_decoder_takes_is_malformed(
        self, http: httpx.Client, ada: str, content: bytes
    ) -> None:
        answer = http.post(f"{ada}/messages", content=content, headers=JSON)

        problem(answer, 400, "malformed_json")

    @pytest.mark.parametrize(
        ("body", "field", "value"),
        [
            ({"role": "user", "content": 5}, "content", "5"),
            ({"role": "king", "content": "x"}, "role", "'king'"),
            ({"role": "user"}, "content", "None"),
            ({"role": "user", "content": "x", "colour": "red"}, "colour", "'red'"),
            ({"role": "user", "content": "x", "metadata": [1]}, "metadata", "[1]"),
            ({"role": "user", "content": "x", "client_msg_id": ""}, "client_msg_id", "''"),
            ([1], "body", "[1]"),
        ],
        ids=["type", "word", "missing", "unknown", "structure", "bound", "no object"],
    )
    def test_a_wrong_field_is_named_with_its_value(
        self, http: httpx.Client, ada: str, body: object, field: str, value: str
    ) -> None:
        said = problem(http.post(f"{ada}/messages", json=body), 422, "invalid_field")

        assert (said["field"], said["value"]) == (field, value)

    @pytest.mark.parametrize(
        ("body", "remedy"),
        [
            ({"role": "user", "content": 5}, "Give text, not a whole number."),
            ({"role": "user"}, "Give it: it is required."),
            ({"role": "user", "content": "", "tea": 1}, "Leave it out: it is not known here."),
            (
                {"role": "king", "content": ""},
                "Give one of user, assistant, system, tool, thought.",
            ),
            ([1], "Give an object, not a list."),
        ],
        ids=["type", "missing", "unknown", "word", "no object"],
    )
    def test_a_wrong_field_is_told_what_would_be_right(
        self, http: httpx.Client, ada: str, body: object, remedy: str
    ) -> None:
        said = problem(http.post(f"{ada}/messages", json=body), 422, "invalid_field")

        assert said["remedy"] == remedy

    def test_a_number_in_quotes_is_no_number(self, http: httpx.Client, ada: str) -> None:
        body: dict[str, object] = {"patch": {}, "expected_version": "3"}

        said = problem(http.patch(ada, json=body), 422, "invalid_field")

        assert said["field"] == "expected_version"

    def test_a_field_inside_a_patch_is_named_by_its_path(
        self, http: httpx.Client, ada: str
    ) -> None:
        said = problem(http.patch(ada, json={"patch": {"metadata": 3}}), 422, "invalid_field")

        assert (said["field"], said["value"]) == ("patch.metadata", "3")

    def test_a_wrong_value_is_shortened(self, http: httpx.Client, ada: str) -> None:
        body = {"role": "x" * 50_000, "content": ""}

        said = problem(http.post(f"{ada}/messages", json=body), 422, "invalid_field")

        assert len(said["value"]) <= 80

    def test_a_long_message_is_refused_by_its_own_bound(self, http: httpx.Client, ada: str) -> None:
        body = {"role": "user", "content": "é" * 501}

        said = problem(http.post(f"{ada}/messages", json=body), 413, "message_too_large")

        assert (said["field"], said["value"]) == ("content", "1002")

    def test_a_long_body_is_refused_before_it_is_read(self, http: httpx.Client, ada: str) -> None:
        answer = http.post(f"{ada}/messages", content=b"x" * 100_001, headers=JSON)

        problem(answer, 413, "body_too_large")

    def test_a_long_body_without_a_length_is_refused_while_it_is_read(
        self, http: httpx.Client, ada: str
    ) -> None:
        answer = http.post(f"{ada}/messages", content=iter([b"x" * 20_000] * 20), headers=JSON)

        problem(answer, 413, "body_too_large")

    @pytest.mark.parametrize(
        "headers",
        [{"content-type": "text/plain"}, {**JSON, "content-encoding": "gzip"}],
        ids=["another type", "compressed"],
    )
    def test_only_plain_json_is_taken(
        self, http: httpx.Client, ada: str, headers: dict[str, str]
    ) -> None:
        answer = http.post(f"{ada}/messages", content=b"{}", headers=headers)

        problem(answer, 415, "unsupported_media_type")


class TestTheRequest:
    def test_a_path_that_is_not_there(self, http: httpx.Client) -> None:
        problem(http.get("/v1/nothing"), 404, "no_such_path")

    def test_a_method_that_is_not_there(self, http: httpx.Client) -> None:
        problem(http.put("/v1/sessions", json={}), 405, "method_not_allowed")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=many", "limit"),
            ("limit=0", "limit"),
            ("limit=1000000", "limit"),
            ("state=happy", "state"),
            ("colour=red", "colour"),
            ("limit=1&limit=2", "limit"),
            ("idle_longer_than_s=nan", "idle_longer_than_s"),
            ("user_id=%FF", "query"),
        ],
    )
    def test_a_wrong_query_is_named(self, http: httpx.Client, query: str, field: str) -> None:
        said = problem(http.get(f"/v1/sessions?{query}"), 422, said_code(field))

        assert said["field"] == field

    def test_long_headers(self, http: httpx.Client) -> None:
        answer = http.get("/v1/health", headers={"x-long": "y" * 2_000})

        problem(answer, 431, "headers_too_large")

    def test_headers_without_an_end(self, daemon: Running) -> None:
        said = raw(daemon, b"GET / HTTP/1.1\r\nx: " + b"y" * 10_000)

        assert said.startswith(b"HTTP/1.1 431 ")
        assert b'"code":"headers_too_large"' in said

    def test_no_http_at_all(self, daemon: Running) -> None:
        said = raw(daemon, b"HELLO\r\n\r\n")

        assert said.startswith(b"HTTP/1.1 400 ")
        assert b'"code":"bad_request"' in said


def said_code(field: str) -> str:
    return "invalid_user_id" if field == "user_id" else "invalid_field"


def raw(daemon: Running, sent: bytes) -> bytes:
    """Send bytes and return all that comes until the daemon hangs up."""
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(10)
        visitor.connect(str(daemon.path))
        visitor.sendall(sent)
        return b"".join(iter(lambda: visitor.recv(65_536), b""))


class TestTheSession:
    @pytest.mark.parametrize(
        ("method", "below"),
        [
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/messages"),
            ("POST", "/activity"),
            ("POST", "/passivate"),
            ("POST", "/revive"),
        ],
    )
    def test_one_that_is_not_there(self, http: httpx.Client, method: str, below: str) -> None:
        answer = http.request(method, f"/v1/sessions/nobody{below}")

        problem(answer, 404, "session_not_found")

    @pytest.mark.parametrize("slash", ["/", "//messages", "//revive", "///"])
    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
    def test_an_empty_id_is_named_and_never_another_path(
        self, daemon: Running, http: httpx.Client, method: str, slash: str
    ) -> None:
        before = http.get("/v1/sessions/count").json()
        request = f"{method} /v1/sessions{slash} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n"

        said = raw(daemon, f"{request}connection: close\r\n\r\n".encode())

        assert said.startswith(b"HTTP/1.1 422 ")
        body = json.loads(said.partition(b"\r\n\r\n")[2])
        assert (body["code"], body["field"], body["value"]) == ("invalid_field", "session_id", "''")
        assert "lists them" in body["remedy"]
        assert http.get("/v1/sessions/count").json() == before

    def test_an_id_that_cannot_be(self, http: httpx.Client) -> None:
        problem(http.get(f"/v1/sessions/{'x' * 129}"), 422, "invalid_field")

    def test_a_taken_name(self, http: httpx.Client, ada: str) -> None:
        body = {"session_id": ada.rpartition("/")[2]}

        problem(http.post("/v1/sessions", json=body), 409, "duplicate_session")

    def test_another_version(self, http: httpx.Client, ada: str) -> None:
        body: dict[str, object] = {"patch": {"metadata": {}}, "expected_version": 99}

        problem(http.patch(ada, json=body), 409, "version_conflict")

    def test_a_key_with_other_content(self, http: httpx.Client) -> None:
        first = {"idempotency_key": "k", "metadata": {"a": 1}}
        http.post("/v1/sessions", json=first)

        answer = http.post("/v1/sessions", json={"idempotency_key": "k"})

        problem(answer, 409, "idempotency_conflict")

    def test_one_too_many(self, http: httpx.Client) -> None:
        http.post("/v1/sessions", json={"user_id": "greedy"})

        answer = http.post("/v1/sessions", json={"user_id": "greedy"})

        said = problem(answer, 429, "max_sessions_reached")
        assert said["is_retryable"]
        assert answer.headers["retry-after"] == "1"

    def test_a_kind_that_is_not_known(self, http: httpx.Client) -> None:
        problem(http.post("/v1/sessions", json={"kind": "opera"}), 422, "invalid_field")

    def test_nothing_half_made_is_left(self, http: httpx.Client) -> None:
        before = http.get("/v1/sessions/count").json()

        http.post("/v1/sessions", json={"kind": "opera"})
        http.post("/v1/sessions", json={"metadata": {"a": "x" * 70_000}})
        http.post("/v1/sessions", content=b"{", headers=JSON)

        assert http.get("/v1/sessions/count").json() == before

    @pytest.mark.parametrize(
        ("content", "given"), [("none", "NoneType"), ("words", "str"), ("yes", "bool")]
    )
    def test_a_handler_that_answers_nonsense_is_named(
        self, http: httpx.Client, ada: str, content: str, given: str
    ) -> None:
        answer = http.post(f"{ada}/messages", json={"role": "user", "content": content})

        said = problem(answer, 500, "wrong_reply")
        assert said["detail"] == (
            f"Moody.on_append_message answered a value of type {given},"
            " where AppendMessage declares int"
        )
        assert not said["is_outcome_known"]

    def test_a_handler_that_answers_nonsense_stands_in_the_log(
        self, http: httpx.Client, ada: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        http.post(f"{ada}/messages", json={"role": "user", "content": "none"})

        assert "reply.wrong: Moody.on_append_message" in caplog.text

    def test_its_own_refusal_keeps_its_own_code(self, http: httpx.Client, ada: str) -> None:
        body = {"role": "user", "content": "tea"}

        said = problem(http.post(f"{ada}/messages", json=body), 422, "out_of_tea")

        assert said["remedy"] == "Take coffee."

    def test_a_crash_and_a_kill_are_answered_alike(self, http: httpx.Client, ada: str) -> None:
        crashed = http.post(f"{ada}/messages", json={"role": "user", "content": "crash"})
        left = http.post(f"{ada}/messages", json={"role": "user", "content": "exit"})
        killed = while_waiting(
            http, ada, lambda: http.post("/v1/faults", json=fault(ada, how="kill"))
        )

        assert "swordfish" not in crashed.text
        first = problem(crashed, 500, "session_crashed")
        assert problem(left, 500, "session_crashed") == first
        assert problem(killed, 500, "session_crashed") == first
        assert first["is_retryable"]
        assert not first["is_outcome_known"]

    def test_one_that_crashes_too_often_is_quarantined(self, http: httpx.Client) -> None:
        session_id = http.post("/v1/sessions", json={"session_id": "hamlet"}).json()["id"]
        path = f"/v1/sessions/{session_id}"

        codes = [
            http.post(f"{path}/messages", json={"role": "user", "content": "crash"}).json()["code"]
            for _ in range(4)
        ]
        answer = http.post(f"{path}/messages", json={"role": "user", "content": "x"})

        assert codes == ["session_crashed"] * 4
        problem(answer, 503, "session_quarantined")
        assert http.get(path).json()["presence"] == "quarantined"
        assert http.post(f"{path}/revive").json()["presence"] == "awake"

    def test_one_that_is_ended_while_it_restarts_is_gone(self, http: httpx.Client) -> None:
        path = f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"
        for _ in range(2):
            http.post(f"{path}/messages", json={"role": "user", "content": "crash"})

        ended = http.delete(path)

        assert (ended.status_code, ended.json()["state"]) == (200, "cleaned")
        problem(http.get(path), 404, "session_not_found")


def fault(path: str, how: str) -> dict[str, str]:
    return {"session_id": path.rpartition("/")[2], "how": how}


def while_waiting(http: httpx.Client, path: str, act: Any) -> httpx.Response:
    """Do something while a session's handler waits; return what the waiting request got."""
    got: list[httpx.Response] = []
    Moody.gate.clear()
    Moody.is_waiting.clear()
    body = {"role": "user", "content": "wait"}
    asker = threading.Thread(target=lambda: got.append(http.post(f"{path}/messages", json=body)))
    asker.start()
    assert Moody.is_waiting.wait(10)
    try:
        act()
    finally:
        Moody.gate.set()
        asker.join(10)
    return got[0]


class TestTooMuchAtOnce:
    def test_a_full_mailbox(self, private: Path) -> None:
        with running(private, runtime=Settings(mailbox_max=1)) as daemon, daemon.client() as http:
            path = f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"
            answers: list[httpx.Response] = []

            def fill() -> None:
                body = {"role": "user", "content": "x"}
                with daemon.client(timeout=httpx.Timeout(0.2)) as other:
                    for _ in range(3):
                        try:
                            answers.append(other.post(f"{path}/messages", json=body))
                        except httpx.ReadTimeout:
                            continue

            while_waiting(http, path, fill)

        said = problem(answers[-1], 503, "mailbox_full")
        assert said["is_retryable"]
        assert answers[-1].headers["retry-after"] == "1"

    def test_more_requests_than_may_be_in_flight(self, private: Path) -> None:
        settings = DaemonSettings(in_flight_max=1, retry_after_s=7, drain_s=0.5, stop_s=10.0)
        with running(private, settings=settings) as daemon, daemon.client() as http:
            path = f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"
            answers: list[httpx.Response] = []

            waited = while_waiting(http, path, lambda: answers.append(http.get("/v1/health")))

            assert waited.status_code == 201
            assert http.get("/v1/health").status_code == 200
        problem(answers[0], 503, "too_many_requests")
        assert answers[0].headers["retry-after"] == "7"

    def test_more_connections_than_may_be(self, private: Path) -> None:
        settings = DaemonSettings(connections_max=1, drain_s=0.5, stop_s=10.0)
        with running(private, settings=settings) as daemon, daemon.client() as http:
            http.get("/v1/health")

            said = raw(daemon, b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n")

        assert said.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"too_many_requests"' in said
        assert b"retry-after: 1" in said

    def test_an_answer_that_does_not_come_in_time(self, private: Path) -> None:
        settings = DaemonSettings(ask_s=0.2, drain_s=0.5, stop_s=10.0)
        with running(private, settings=settings) as daemon, daemon.client() as http:
            path = f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"
            body = {"role": "user", "content": "wait"}
            Moody.gate.clear()

            answer = http.post(f"{path}/messages", json=body)

            Moody.gate.set()
        said = problem(answer, 504, "timeout")
        assert not said["is_outcome_known"]

    def test_a_body_that_does_not_arrive_in_time(self, private: Path) -> None:
        settings = DaemonSettings(ask_s=0.1, request_s=0.2, drain_s=0.5, stop_s=10.0)
        with running(private, settings=settings) as daemon:
            said = raw(
                daemon,
                b"POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
            )

        assert said.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_too_slow"' in said

    def test_a_connection_that_says_nothing_is_closed(self, private: Path) -> None:
        with running(
            private, settings=DaemonSettings(header_s=0.1, drain_s=0.5, stop_s=10.0)
        ) as daemon:
            assert raw(daemon, b"") == b""
            assert raw(daemon, b"GET /v1/hea") == b""


class TestAStoppedSystem:
    def test_requests_are_told_so(self, private: Path) -> None:
        with running(private) as daemon, daemon.client() as http:
            daemon.daemon._sessions._is_over = True
            try:
                answer = http.post("/v1/sessions", json={})
                health = http.get("/v1/health")
            finally:
                daemon.daemon._sessions._is_over = False

        problem(answer, 503, "system_stopped")
        problem(health, 503, "system_stopped")

    def test_a_daemon_that_is_being_stopped_takes_nothing_new(self, private: Path) -> None:
        with running(private) as daemon, daemon.client() as http:
            daemon.daemon._app.is_draining = True

            answer = http.get("/v1/health")

        said = problem(answer, 503, "shutting_down")
        assert said["is_retryable"]


class TestFaultInjection:
    def test_without_the_flag_the_path_is_not_there(self, private: Path) -> None:
        with running(private, faults=False) as daemon, daemon.client() as http:
            answer = http.post("/v1/faults", json={"part": "front/manager"})
            paths = http.get("/v1/openapi.json").json()["paths"]

        assert "--faults" in problem(answer, 404, "faults_are_off")["remedy"]
        assert "/v1/faults" not in paths

    @pytest.mark.parametrize("body", [{}, {"part": "front", "session_id": "x"}])
    def test_it_wants_one_target(self, http: httpx.Client, body: dict[str, str]) -> None:
        problem(http.post("/v1/faults", json=body), 422, "invalid_field")

    def test_a_part_that_is_not_there(self, http: httpx.Client) -> None:
        problem(http.post("/v1/faults", json={"part": "front/nobody"}), 422, "invalid_field")
