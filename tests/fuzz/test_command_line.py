"""Whatever is typed: one of the exit codes there are, and words for people, never a traceback."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import strategies as st

from callboard.actors.daemon import commands
from callboard.actors.statuses import EX_NOINPUT, EX_OK, EXIT_CODES
from tests.fuzz.campaign import fuzz
from tests.fuzz.hosted import KEPT, Hosted, hosting

COMMANDS = (
    *("create", "send", "show", "log", "list", "end", "crash", "begin", "sleep", "resume"),
    *("find", "system-prompt", "revive", "tree", "health", "metrics", "openapi"),
    *("mcp add", "mcp remove", "mcp list", "mcp tools", "mcp call"),
    *("agent attach", "agent detach", "agent prompt", "agent cancel", "mcp", "agent", ""),
    *("store check", "store compact"),
)
"""All but those that go on: `serve`, `watch`, `follow`."""

OPTIONS = (
    *("--user-id", "--org-id", "--role", "--kind", "--id", "--metadata", "--key", "--messages"),
    *("--after-seq", "--limit", "--state", "--presence", "--idle-longer-than-s", "--after-id"),
    *("--reason", "--grace-s", "--part", "--how", "--patch", "--remove", "--json", "--env"),
    *("--secret", "--url", "--header", "--timeout-s", "--arguments", "--no-activate", "--set"),
    *("--skip-damaged", "--ended-longer-than-s"),
)

WORDS = (
    KEPT,
    "nobody",
    "user",
    "kill",
    "",
    "-",
    "--",
    "-1",
    "\udcff",
    "x" * 70_000,
    "9" * 5_000,
    "1e400",
    "nan",
    "²",
    "[",
    "{}",
    '{"a":' * 20_000,
    '{"a": 1}',
    "a=b",
    "=",
    "../x",
    "/",
    "count",
    "\x1b[31m",
    "\u202e",
    "💬",
    "--help",
    "--version",
)

URLS = (
    "",
    "http://",
    "http://127.0.0.1:99999",
    "http://[::1",
    "http://" + "a" * 300,
    "http://xn--a",
    "http://a..b",
    "http://\udcff",
    "file:///etc/passwd",
    "http://127.0.0.1:1",
    "http://127.0.0.1:1?x#y",
)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    with hosting(tmp_path) as hosted:
        yield hosted


class Terminal:
    """Types commands, and reads what they say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def type(self, arguments: Sequence[str]) -> None:
        self._monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
        code = commands.run(arguments)
        said = self._capsys.readouterr()

        assert code in EXIT_CODES, arguments
        assert "Traceback" not in said.err
        # `find` says by its code alone that there is none, as `grep` does.
        if code != EX_OK and (arguments[0], code) != ("find", EX_NOINPUT):
            assert said.err or said.out, arguments
        if "--json" in arguments and said.err.startswith("{"):
            assert json.loads(said.err)["remedy"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def lines() -> st.SearchStrategy[list[str]]:
    words = st.one_of(st.sampled_from(WORDS), st.text(max_size=6))
    options = st.builds(_option, st.sampled_from(OPTIONS), words, is_one=st.booleans())
    return st.builds(
        _line,
        st.sampled_from(COMMANDS),
        st.lists(words, max_size=3),
        st.lists(options, max_size=2),
    )


def _option(name: str, value: str, *, is_one: bool) -> list[str]:
    return [f"{name}={value}"] if is_one else [name, value]


def _line(command: str, given: list[str], told: list[list[str]]) -> list[str]:
    return [*command.split(), *given, *chain.from_iterable(told)]


def _url(url: str, file: str) -> list[str]:
    return ["--url", url, "--token-file", file]


def _socket(file: str) -> list[str]:
    return ["--socket", file]


def test_a_command_ends_with_an_exit_code_and_words(hosted: Hosted, terminal: Terminal) -> None:
    socket = ["--socket", str(hosted.it.path)]

    def enter(line: list[str]) -> None:
        at = line.index("--") if "--" in line else len(line)
        terminal.type([*line[:at], *socket, *line[at:]])
        hosted.create()

    fuzz(enter, lines(), examples=60)

    hosted.is_as_before()


# httpcore leaves a Unix socket that it could not connect to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_place_that_is_none_is_said_to_be_none(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").touch(mode=0o600)
    files = ("", "/", str(tmp_path), str(tmp_path / "empty"), "x" * 300, "\udcff")
    places = st.one_of(
        st.builds(_url, st.sampled_from(URLS), st.sampled_from(files)),
        st.builds(_socket, st.sampled_from((*files, "x" * 5_000))),
    )

    def enter(place: list[str]) -> None:
        terminal.type(["list", *place])

    fuzz(enter, places, examples=30)
