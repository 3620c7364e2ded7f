"""Every message reads as a sentence and says what to do: each class's, and each command's."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import AuditFileRefused
from callboard.actors import errors as ours
from callboard.actors.daemon import errors as doors
from callboard.actors.daemon.commands import run
from callboard.actors.daemon.problems import problem_of
from callboard.actors.daemon.showing import error_lines, problem_lines
from callboard.supervision import (
    AlreadyStarted,
    CallboardError,
    ChildStartFailed,
    Crashed,
    DeliveryError,
    IgnoreStart,
    InvalidSpec,
    MailboxFull,
    MaxChildrenReached,
    NameTaken,
    Refusal,
    SpecRefused,
    StartFailed,
    StopStart,
)
from callboard.supervision.runtime.errors import StartRefused
from tests.daemon.daemons import Running, running
from tests.sessions.test_errors import EXAMPLES, every_error

BROKEN = Crashed("ValueError", "It broke.")
"""A reason whose text ends as a sentence does: it stands in the middle of others."""

WITH_DATA: list[CallboardError] = [
    *(error for error, _ in EXAMPLES),
    InvalidSpec("intensity", -1, "Give a number from 0 on."),
    SpecRefused("name", "a", "Give another one."),
    ours.StoreLocked("sessions.db", pid=12, since=1_700_000_000.5),
    ours.StoreLocked("sessions.db", pid=None, since=0.0),
    ours.StoreTooNew("sessions.db", version=3, known=2),
    ours.ImportRefused(7, "last_seq", -1, "Give a number from 0 on."),
    AuditFileRefused("audit.jsonl", "Make its folder first."),
    AlreadyStarted("a", None),
    ChildStartFailed("a", BROKEN),
    MaxChildrenReached(3),
    MailboxFull(3, unsent=None, address="a"),
    StartFailed(BROKEN, address="a"),
    NameTaken("a", "actor b"),
    StartRefused(BROKEN),
    StopStart(BROKEN),
    IgnoreStart(),
    doors.BodyTooLarge(3),
    doors.HeadersTooLarge(3),
    doors.TooManyRequests("connections", 3),
    doors.WrongReply("Guide.on_ask", message="Ask", declared="int", given="str"),
    doors.WrongUsage("--socket and --url name two places", "Give one of them."),
    doors.WrongConfig("callboard.toml: there is no tea", "The names are port, socket."),
    doors.NotAPort(99_999, port_max=65_535),
    doors.UnknownBehaviour("a:B", "is no SessionActor"),
    ours.UpdateFailed("s1", error="KeyError", detail="It broke."),
]
"""Errors that need more than a text."""

BASES: tuple[type[CallboardError], ...] = (
    CallboardError,
    Refusal,
    DeliveryError,
    doors.RequestError,
    doors.DaemonError,
)
"""Classes whose remedy helps nobody with what is below them."""

TO_A_SUPERVISOR = (StartRefused, StopStart, IgnoreStart)
"""Raised by an actor that starts, to its own supervisor: nobody reads them as an error."""

BADLY_SAID = re.compile(
    r"(?<!\.)\.\.(?!\.)"  # zero..
    r"|[,;:]\s*[.,;:]|[.!?]\s*[,;:]"  # , .
    r"|\s[.,;:](?!\w)|\s\s"  # a gap
    r"|[a-z]\. (?:at|in) "  # It broke. at x.py
    r"|\bNone\b|<class|object at 0x"  # what Python says, not people
)


def badly_said(text: str) -> list[str]:
    """Return what of a text no sentence should hold."""
    return BADLY_SAID.findall(text.replace("::1", "localhost").strip())


def each_error() -> Iterator[CallboardError]:
    """Return an example of every class there is."""
    yield from WITH_DATA
    have = {type(error) for error in WITH_DATA}
    for kind in every_error():
        if kind not in have:
            yield example_of(kind)


def example_of(kind: type[CallboardError]) -> CallboardError:
    """Return an error that has words wherever it needs something."""
    made: Any = kind
    init: Any = kind.__init__
    _self, *parameters = inspect.signature(init).parameters.values()
    needed = [
        each
        for each in parameters
        if each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    ]
    by_name = {each.name: "something" for each in needed if each.kind is each.KEYWORD_ONLY}
    words = [
        Path("something") if each.annotation in {"Path", Path} else "something"
        for each in needed
        if each.kind is not each.KEYWORD_ONLY
    ]
    error: CallboardError = made(*(words or ["something"]), **by_name)
    return error


ERRORS = list(each_error())


class TestTheRule:
    @pytest.mark.parametrize(
        "text",
        [
            "Give a number above zero..",
            "ValueError: no start. at app.py:3",
            "not valid., then",
            "said : x",
            "cannot be bound: None",
        ],
    )
    def test_finds_what_is_badly_said(self, text: str) -> None:
        assert badly_said(text)

    @pytest.mark.parametrize(
        "text",
        [
            "limit=0 is not valid. Give more.",
            "'yyy...yyy' is long",
            "Give 127.0.0.1, ::1 or a.sock.",
        ],
    )
    def test_leaves_the_rest_alone(self, text: str) -> None:
        assert not badly_said(text)


class TestEveryError:
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_reads_as_sentences(self, error: CallboardError) -> None:
        said = [*error_lines(error), *problem_lines(problem_of(error))]

        assert str(error)
        assert {each: found for each in said if (found := badly_said(each))} == {}

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_has_a_remedy(self, error: CallboardError) -> None:
        assert re.fullmatch(r"[A-Z].*\.", error.remedy)

    def test_has_a_remedy_of_its_own_unless_it_is_a_base(self) -> None:
        of_bases = {kind.remedy for kind in BASES}
        leaves = [error for error in ERRORS if not type(error).__subclasses__()]

        assert [
            type(error).__name__
            for error in leaves
            if error.remedy in of_bases and not isinstance(error, TO_A_SUPERVISOR)
        ] == []


COMMANDS = {
    "show nobody": 66,
    "send nobody x": 66,
    "revive nobody": 66,
    "end nobody": 66,
    "create --kind opera": 65,
    "create --metadata [1]": 65,
    "create --id taken": 73,
    "create --user-id ''": 65,
    "create --key ''": 65,
    "show ''": 65,
    "show taken --messages -1": 65,
    "log taken --limit 0": 65,
    "list --limit 0": 65,
    "list --after-id ''": 65,
    "list --idle-longer-than-s nan": 65,
    "end taken --grace-s 100": 65,
    "revive taken --patch [1]": 65,
    'revive taken --patch {"tea":1}': 65,
    'revive taken --patch {"metadata":1}': 65,
    "crash": 64,
    "crash taken --part front": 64,
    "crash --part ''": 65,
    "crash --part front/nobody": 65,
    "health --url nonsense": 64,
    "health --url http://127.0.0.1:9 --token-file {folder}/none": 78,
    "health --url http://127.0.0.1:9 --token-file {folder}/short": 78,
    "health --socket a --url http://127.0.0.1:9": 64,
    "resume ''": 65,
    "find ''": 65,
    "system-prompt nobody": 66,
    "system-prompt taken x --remove": 64,
    "watch nobody": 66,
    "watch --events-max 0": 65,
    "follow nobody": 66,
    "follow taken --after-seq 9": 65,
    "metrics": 69,
    "mcp add taken x": 64,
    "mcp add taken x --env a -- b": 64,
    "mcp add taken x -- b": 78,
    "mcp call taken x y --using 1": 65,
    "mcp call taken x y": 66,
    "mcp remove taken ''": 65,
    "agent attach taken -- b": 78,
    "agent attach taken": 65,
    "agent prompt taken x": 65,
    "serve --config {folder}/none.toml": 78,
    "serve --config {folder}/broken.toml": 78,
    "serve --config {folder}/unknown.toml": 78,
    "serve --config {folder}/typed.toml": 78,
    "serve --audit-required": 64,
    "serve --audit {folder}/none/audit": 78,
    "serve --workspace {folder}/short --socket {folder}/w": 78,
    "serve --port 99999": 64,
    "serve --port 1 --socket a": 64,
    "serve --port 0 --host 10.0.0.1": 78,
    "serve --port 0 --token-file {folder}/short": 78,
    "serve --socket {folder}/short": 73,
    "serve --socket {folder}/short/s": 78,
    "serve --socket {socket}": 69,
    "serve --set tea": 78,
    "serve --set in_flight_max=0": 78,
    "serve --set in_flight_max=zero": 78,
    "serve --set ask_s=31": 78,
    "serve --partitions 0": 78,
    "serve --session nowhere:Nobody": 78,
    "serve --session os:path": 78,
    "serve --session os": 78,
}
"""What goes wrong, and the exit code."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("wording")
    folder.chmod(0o700)
    (folder / "short").touch(mode=0o600)
    (folder / "broken.toml").write_text("port = ")
    (folder / "unknown.toml").write_text("[set]\ntea = 1")
    (folder / "typed.toml").write_text('port = "x"')
    with running(folder) as it, it.client() as http:
        http.post("/v1/sessions", json={"session_id": "taken"})
        yield it
    logging.getLogger("callboard").setLevel(logging.NOTSET)  # as it was before `serve`


class TestACommandThatFails:
    @pytest.mark.parametrize(("command", "code"), COMMANDS.items(), ids=COMMANDS)
    def test_says_in_sentences_what_is_wrong_and_what_to_do(
        self,
        daemon: Running,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        command: str,
        code: int,
    ) -> None:
        assert daemon.path is not None
        monkeypatch.setenv("CALLBOARD_SOCKET", str(daemon.path))
        places = {"{folder}": str(daemon.path.parent), "{socket}": str(daemon.path)}
        for name, place in places.items():
            command = command.replace(name, place)

        got = run([word.strip("'") for word in command.split()])
        out, err = capfd.readouterr()
        first, *rest = err.splitlines()

        assert (got, out) == (code, ""), err
        assert {each: found for each in err.splitlines() if (found := badly_said(each))} == {}
        said = re.fullmatch(r"callboard: (.+) \[\w+\]", first)
        assert said is not None, err
        remedy = rest[0].strip() if rest else said[1].partition(". ")[2]
        assert re.fullmatch(r"[A-Z].*\.", remedy), err
