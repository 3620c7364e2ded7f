"""What fuzzing found: each was a crash, a hang, a leak or a wrong door; now it is refused."""

from __future__ import annotations

import io
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    InvalidField,
    MessageTooLarge,
    RecordActivity,
    Role,
    SessionPatch,
    SessionSystem,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.daemon import commands
from callboard.actors.daemon.config import read_config
from callboard.actors.daemon.doors import loopback
from callboard.actors.daemon.errors import (
    NotAPort,
    NotLoopback,
    TokenRefused,
    UnknownBehaviour,
    WrongConfig,
)
from callboard.actors.daemon.options import load_behaviour, read_bounds
from callboard.actors.daemon.program import STDIN_CHARS_MAX
from callboard.actors.daemon.settings import BACKLOG_MAX
from callboard.actors.daemon.tokens import read_token
from callboard.actors.options import PARTITIONS_MAX
from callboard.actors.sessions.frozen import freeze
from callboard.actors.statuses import EX_DATAERR, EX_USAGE
from callboard.supervision import InvalidSpec
from callboard.supervision.model.showing import FIELD_CHARS_MAX, shown, shown_path
from tests.daemon.daemons import Running, running
from tests.fuzz.hosted import descriptors
from tests.fuzz.values import UNWRITABLE_BITS, nested
from tests.laws import broken_laws

HUGE = 1 << UNWRITABLE_BITS
DEEP = nested(3_000)
IN_ITSELF: dict[str, Any] = {}
IN_ITSELF["self"] = IN_ITSELF


@pytest.fixture
def sessions() -> Any:
    with SessionSystem(partitions=1) as sessions:
        sessions.ask(CreateSession(session_id="ada"))
        yield sessions


def made(kind: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    """Make a message as a program without a type checker would."""
    return kind(*args, **fields)


class TestAMessageThatCannotBeWritten:
    @pytest.mark.parametrize(
        ("message", "field"),
        [
            (made(CreateSession, user_id=HUGE), "user_id"),
            (made(CreateSession, user_id=DEEP), "user_id"),
            (made(CreateSession, user_id=IN_ITSELF), "user_id"),
            (made(CreateSession, metadata="\ud800"), "metadata"),
            (made(AppendMessage, "ada", "\ud800", "hello"), "role"),
            (made(AppendMessage, "ada", Role.USER, DEEP), "content"),
            (made(UpdateSession, "ada", patch=SessionPatch(metadata=IN_ITSELF)), "patch"),
            (made(UpdateSession, "ada", patch=SessionPatch(), expected_version=HUGE), "expected_"),
            (made(TerminateSession, "ada", "", HUGE), "grace_s"),
            (made(TerminateSession, "ada", "", 1e300), "grace_s"),
            (made(RecordActivity, bytearray(b"ada")), "session_id"),
        ],
        ids=lambda each: each if isinstance(each, str) else type(each).__name__,
    )
    def test_names_its_field_and_crashes_nobody(
        self, sessions: SessionSystem, message: Any, field: str
    ) -> None:
        with pytest.raises(InvalidField) as refused:
            sessions.ask(message)

        assert refused.value.field.startswith(field)
        assert sessions.get("ada").restarts == 0
        assert broken_laws(sessions) == []

    def test_is_refused_as_a_time_to_wait(self, sessions: SessionSystem) -> None:
        with pytest.raises(InvalidField, match="timeout=<int of 20001 bits>"):
            sessions.ask(RecordActivity("ada"), timeout=HUGE)

    def test_is_refused_as_an_id(self, sessions: SessionSystem) -> None:
        no_id: Any = bytearray(b"ada")

        with pytest.raises(InvalidField, match="session_id=bytearray"):
            sessions.get(no_id)


class TestAnError:
    def test_shows_no_more_than_the_start_of_a_key_of_the_callers(self) -> None:
        with pytest.raises(InvalidField) as refused:
            freeze("metadata", {"k" * 1_000_000: object()})

        assert len(refused.value.field) == FIELD_CHARS_MAX
        assert len(str(refused.value)) < 2 * FIELD_CHARS_MAX

    def test_shows_a_key_that_is_not_printable_as_what_it_is(self) -> None:
        assert shown_path("metadata.\ud800\x1b") == "metadata.\\ud800\\x1b"

    def test_shows_no_address(self) -> None:
        class Mute:
            def __repr__(self) -> str:
                raise RuntimeError

        assert shown(Mute()) == "<Mute>"

    def test_of_a_spec_is_bounded_too(self) -> None:
        assert len(str(InvalidSpec("name", "x" * 1_000_000, "Give less."))) < 200


@pytest.mark.timeout(15)
def test_a_long_key_over_a_long_list_costs_what_it_has_not_its_square() -> None:
    """Written out for every item, the paths alone would be a terabyte."""
    with pytest.raises(MessageTooLarge):
        freeze("metadata", {"k" * 2_000_000: [0] * 500_000})


class TestTheDoor:
    @pytest.fixture
    def daemon(self, private: Path) -> Any:
        with running(private) as daemon:
            yield daemon

    def said_to(self, daemon: Running, raw: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(daemon.path))
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65_536), b""))

    def test_says_of_an_unknown_path_that_there_is_none_whatever_host_it_is_asked_of(
        self, daemon: Running
    ) -> None:
        said = self.said_to(daemon, b"GET /nothing HTTP/1.1\r\nHost: x:abc\r\n\r\n")

        assert said.startswith(b"HTTP/1.1 404 ")
        assert b"no_such_path" in said

    def test_takes_a_path_with_an_empty_step_for_no_other_path(self, daemon: Running) -> None:
        with daemon.client() as http:
            http.post("/v1/sessions", json={"session_id": "events"})

            answer = http.delete("/v1//sessions//events")

            assert answer.json()["code"] == "no_such_path"
            assert http.get("/v1/sessions/events").status_code == 200

    @pytest.mark.parametrize("media_type", [b"application/json", b"text/plain"])
    def test_takes_a_body_that_breaks_off_for_no_failure_of_its_own(
        self, daemon: Running, caplog: pytest.LogCaptureFixture, media_type: bytes
    ) -> None:
        """Whether somebody waits for the body, or has refused the request without it."""
        begun = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"

        said = self.said_to(daemon, begun + b"Content-Type: " + media_type + b"\r\n\r\nzz\r\n")

        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"\r\nHTTP/1.1 ") == 0

        with daemon.client() as http:
            assert http.get("/v1/health").json()["sessions"] == 0
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []

    def test_names_the_query_where_a_field_has_no_name(self, daemon: Running) -> None:
        with daemon.client() as http:
            problem = http.get("/v1/sessions?=1&=2").json()

        assert problem["field"] == "query"

    def test_repeats_no_more_than_the_start_of_a_name(self, daemon: Running) -> None:
        with daemon.client() as http:
            answer = http.post("/v1/sessions", json={"k" * 1_000_000: 1})

        assert answer.status_code == 422
        assert len(answer.content) < 2_000


class TestAFile:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('socket = "a\\u0000b"', "socket="),
            ('workspace = "\\u0000"', "workspace="),
            ("port = " + "9" * 5_000, "too many digits"),
            (f"[set]\nbacklog = {HUGE:#x}", "set.backlog=<int of 20001 bits>"),
            ("[set]\nbacklog = true", "set.backlog=True"),
        ],
        ids=["nul", "nul-too", "digits", "bits", "truth"],
    )
    def test_that_cannot_be_is_wrong(self, private: Path, text: str, said: str) -> None:
        path = private / "callboard.toml"
        path.write_text(text)

        with pytest.raises(WrongConfig, match=said):
            read_config(path)


class TestASetting:
    @pytest.mark.parametrize("value", ["\ud800", str(BACKLOG_MAX + 1)])
    def test_that_no_system_takes_is_refused(self, value: str) -> None:
        with pytest.raises(InvalidSpec, match="backlog="):
            read_bounds([f"backlog={value}"])

    def test_of_partitions_has_a_bound(self) -> None:
        with pytest.raises(InvalidSpec, match=f"from 1 to {PARTITIONS_MAX}"):
            SessionSystem(partitions=PARTITIONS_MAX + 1)

    def test_of_a_port_that_cannot_be_written_is_refused(self) -> None:
        assert "--port <int of 20001 bits>" in str(NotAPort(HUGE, port_max=65_535))

    def test_of_a_host_names_no_interface(self) -> None:
        with pytest.raises(NotLoopback):
            loopback("::1%lo")

    @pytest.mark.parametrize("name", ["sys:path", "ends:Guide"])
    def test_of_a_behaviour_may_name_a_module_without_a_file_or_one_that_ends(
        self, private: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr("sys.path", [str(private), *sys.path])
        (private / "ends.py").write_text("raise SystemExit(3)")

        with pytest.raises(UnknownBehaviour):
            load_behaviour(name, private)


class TestACommand:
    @pytest.mark.parametrize(
        ("line", "code"),
        [
            (["create", "--metadata", '{"a":' * 20_000], EX_DATAERR),
            (["show", "x" * 70_000], EX_USAGE),
            (["list", "--user-id", "x" * 70_000], EX_USAGE),
            (["list", "--url", "http://" + "a" * 300], EX_USAGE),
            (["list", "--url", "http://xn--a"], EX_USAGE),
        ],
        ids=["deep", "id", "option", "label", "name"],
    )
    def test_that_cannot_be_sent_says_so(
        self, capsys: pytest.CaptureFixture[str], line: list[str], code: int
    ) -> None:
        assert commands.run(line) == code
        assert capsys.readouterr().err

    def test_reads_no_more_of_stdin_than_it_may(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("x" * (STDIN_CHARS_MAX + 1)))

        assert commands.run(["send", "ada", "-"]) == EX_DATAERR
        assert "stdin" in capsys.readouterr().err

    def test_says_that_stdin_is_no_text(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8"))

        assert commands.run(["send", "ada", "-"]) == EX_DATAERR
        assert "Give UTF-8." in capsys.readouterr().err

    def test_refuses_a_folder_as_token_file_and_leaves_no_descriptor(self, private: Path) -> None:
        with pytest.raises(TokenRefused):
            read_token(private)

        assert str(private.resolve()) not in descriptors().values()
