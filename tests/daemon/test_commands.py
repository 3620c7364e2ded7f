"""What a person says to the daemon, and what comes back."""

from __future__ import annotations

import gc
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from callboard.actors.connections.ports import Connectors
from callboard.actors.daemon.cli import EXTRA
from callboard.actors.daemon.client import path_of
from callboard.actors.daemon.commands import run
from callboard.actors.prometheus import PrometheusMetrics
from callboard.actors.statuses import EXIT_CODES
from callboard.actors.testing import MemoryAgents, MemoryMcp
from tests.daemon.daemons import Running, running
from tests.house import ROOT

TERMINATED = ["--kind", "terminated"]

NASTY = "a\x1b[2J\u202eb\x7f"
"""Clears the terminal, turns the direction of writing round."""


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, decoded; one line."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


Say = Callable[..., Said]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("commands")
    folder.chmod(0o700)
    connectors = Connectors(mcp=MemoryMcp(), agents={"acp": MemoryAgents()})
    with running(folder, connectors=connectors) as it:
        yield it


@pytest.fixture
def say(daemon: Running, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command against the daemon."""
    monkeypatch.setenv("CALLBOARD_SOCKET", str(daemon.path))

    def command(*arguments: str) -> Said:
        code = run(arguments)
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return command


@pytest.fixture
def ada(say: Say) -> Iterator[str]:
    """The id of a session."""
    session_id = say("create", "--user-id", "ada").out.strip()
    yield session_id
    say("end", session_id)


class TestTheCommands:
    def test_tell_a_sessions_whole_life(self, say: Say) -> None:
        created = say("create", "--user-id", "ada", "--role", "guide", "--metadata", '{"a": 1}')
        session_id = created.out.strip()
        sent = say("send", session_id, "hello\nworld")
        answered = say("send", session_id, "hi", "--role", "assistant", "--key", "k")
        repeated = say("send", session_id, "hi", "--role", "assistant", "--key", "k")
        shown = say("show", session_id)
        logged = say("log", session_id, "--after-seq", "1")
        listed = say("list", "--user-id", "ada", "--state", "active")
        ended = say("end", session_id, "--reason", "curtain")

        assert [created.code, sent.code, shown.code, listed.code, ended.code] == [0] * 5
        assert (sent.out, answered.out, repeated.out) == ("1\n", "2\n", "2\n")
        assert "guide" in shown.out
        assert "    1 user      hello\n                world\n" in shown.out
        assert logged.out == "    2 assistant hi\n"
        assert session_id in listed.out
        assert ended.out == f"{session_id} ended after 2 messages\n"
        assert say("show", session_id).code == 66

    def test_read_a_text_from_stdin(
        self, say: Say, ada: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", StringIO("from a pipe"))

        say("send", ada, "-")

        assert say("show", ada, "--json").json["messages"][0]["content"] == "from a pipe"

    def test_list_a_page_and_say_how_to_go_on(self, say: Say) -> None:
        for number in range(3):
            say("create", "--id", f"page-{number}", "--org-id", "pages")

        first = say("list", "--org-id", "pages", "--limit", "2")
        rest = say("list", "--org-id", "pages", "--after-id", "page-1")

        assert first.out.endswith("more: --after-id page-1\n")
        assert "page-2" in rest.out
        assert "more" not in rest.out

    def test_crash_a_session_which_comes_back(self, say: Say, ada: str) -> None:
        assert say("crash", ada, "--how", "kill").out == f"{ada} was struck: kill\n"

        assert say("send", ada, "still here?").out == "1\n"
        assert say("show", ada, "--json").json["restarts"] == 1

    def test_crash_a_part_of_the_tree(self, say: Say) -> None:
        before = say("tree", "--json").json

        assert say("crash", "--part", "front/manager", "--how", "kill").code == 0
        assert say("create").code == 0

        assert part(before, "front", "manager")["restarts"] == 0
        assert part(say("tree", "--json").json, "front", "manager")["restarts"] == 1

    def test_revive_a_session_in_quarantine(self, say: Say, ada: str) -> None:
        for _ in range(4):
            say("crash", ada, "--how", "kill")
            say("send", ada, "x")
        refused = say("send", ada, "x")

        revived = say("revive", ada, "--patch", '{"metadata": {"mended": true}}')

        assert (refused.code, "callboard revive" in refused.err) == (69, True)
        assert revived == Said(0, f"{ada} is awake\n", "")
        assert say("show", ada, "--json").json["metadata"] == {"mended": True}
        assert say("send", ada, "still here?").code == 0

    def test_show_and_replace_a_system_prompt(
        self, say: Say, ada: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", StringIO("Be kind.\nBe brief."))

        assert say("system-prompt", ada).out == ""
        assert say("system-prompt", ada, "-").out == "Be kind.\nBe brief.\n"
        assert say("system-prompt", ada).out == "Be kind.\nBe brief.\n"
        assert "system_prompt   Be kind." in say("show", ada).out
        assert say("system-prompt", ada, "--remove").out == ""
        assert say("system-prompt", ada, "--json").json == {"prompt": None}

    def test_take_a_session_through_its_steps(self, say: Say) -> None:
        session_id = say("create", "--no-activate", "--role", "prompter").out.strip()

        assert "state           created\n" in say("show", session_id).out
        assert say("begin", session_id).out == f"{session_id} is active\n"
        assert say("find", "prompter").out == f"{session_id}\n"
        assert say("sleep", session_id).out == f"{session_id} is asleep\n"
        assert say("resume", session_id).out == f"{session_id} is awake\n"
        say("end", session_id)
        assert say("find", "prompter") == Said(66, "", "")

    def test_connect_a_session_and_use_what_it_is_connected_to(self, say: Say, ada: str) -> None:
        added = say(
            "mcp", "add", ada, "a/b", "--env", "A=1", "--secret", "B=HOME", "--", "files", "-r"
        )
        url = ["--url", "http://127.0.0.1:9", "--header", "A=1"]
        by_url = say("mcp", "add", ada, "web", *url, "--json").json["spec"]
        listed = say("mcp", "list", ada)
        tools = say("mcp", "tools", ada, "a/b")
        called = say("mcp", "call", ada, "a/b", "echo", "--using", '{"x": 1}')
        removed = say("mcp", "remove", ada, "web")
        attached = say("agent", "attach", ada, "--", "agent", "--acp")
        prompted = say("agent", "prompt", ada, "say it")
        cancelled = say("agent", "cancel", ada)
        shown = say("show", ada)
        spec = say("mcp", "list", ada, "--json").json["clients"][0]["spec"]
        detached = say("agent", "detach", ada)

        assert added == Said(0, "mcp             a/b up\n", "")
        assert (spec["command"], spec["env"]) == (
            ["files", "-r"],
            {"A": "1", "B": {"name": "HOME"}},
        )
        assert (by_url["transport"], by_url["headers"]) == ("http", {"A": "1"})
        assert listed.out == "mcp             a/b up\nmcp             web up\n"
        assert tools.out == "echo\n"
        assert called.out == '{"x":1}\n'
        assert removed.out == "web is removed\n"
        assert attached.out == "agent           acp up\n"
        assert prompted.out == "end_turn after message 2\n"
        assert cancelled.out == "the agent had nothing to do\n"
        assert "mcp             a/b up\nagent           acp up\n" in shown.out
        assert detached.out == f"{ada} has no agent\n"

    def test_watch_a_session_until_it_has_gone(self, say: Say, daemon: Running) -> None:
        session_id = say("create", "--user-id", "eve").out.strip()
        with ThreadPoolExecutor() as threads:
            watching = threads.submit(run, ["watch", session_id, "--kind", "message", *TERMINATED])
            with daemon.client() as http:
                while http.get("/v1/health").json()["subscriptions"] == 0:
                    pass
                path = f"/v1/sessions/{session_id}"
                http.post(f"{path}/messages", json={"role": "user", "content": "x"})
                http.delete(path, params={"reason": "curtain"})
            code = watching.result()
        watched = say("watch", "nobody")

        assert code == 0
        first, last = watched.out.splitlines()
        assert first.endswith(f"Z {session_id} message message_seq=1 role=user")
        assert f" {session_id} terminated reason=curtain seconds=" in last
        assert watched.code == 66

    def test_follow_a_session_until_it_has_gone(
        self, say: Say, daemon: Running, capfd: pytest.CaptureFixture[str]
    ) -> None:
        session_id = say("create").out.strip()
        say("send", session_id, "first\nline\u2028two")
        printed = ""
        with ThreadPoolExecutor() as threads, daemon.client() as http:
            following = threads.submit(run, ["follow", session_id])
            while "first" not in printed:
                printed += capfd.readouterr().out
            path = f"/v1/sessions/{session_id}"
            http.post(f"{path}/messages", json={"role": "assistant", "content": "second"})
            while "second" not in printed:
                printed += capfd.readouterr().out
            http.delete(path)
            code = following.result()

        assert code == 0
        indent = " " * 16
        assert printed == (
            f"    1 user      first\n{indent}line\\u2028two\n    2 assistant second\n"
        )

    def test_print_the_numbers_where_they_are_kept(self, say: Say, private: Path) -> None:
        refused = say("metrics")
        registry = CollectorRegistry()
        numbers = partial(generate_latest, registry)
        metrics = PrometheusMetrics(registry)
        with running(private, metrics=metrics, numbers=numbers) as other:
            where = ["--socket", str(other.path)]
            say("create", *where)
            while "callboard_sessions" not in (shown := say("metrics", *where).out):
                pass

        assert refused.code == 69
        assert "pip install 'callboard[metrics]'" in refused.err
        assert "# TYPE callboard_sessions gauge\n" in shown

    def test_draw_the_tree(self, say: Say, ada: str) -> None:
        drawn = say("tree").out

        assert drawn.startswith("root  supervisor, running\n├─ ")
        assert f"session/{ada}  worker, running\n" in drawn
        assert "└─ front  supervisor, running\n" in drawn

    def test_say_how_the_sessions_are(self, say: Say, ada: str) -> None:
        assert ada
        assert say("health").out.startswith("healthy\nsessions ")
        assert say("health", "--json").json["is_healthy"]

    def test_print_the_description_without_a_daemon(
        self, say: Say, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALLBOARD_SOCKET", "/nowhere")

        plain, with_faults = say("openapi"), say("openapi", "--faults")

        assert "/v1/faults" not in json.loads(plain.out)["paths"]
        assert "/v1/faults" in json.loads(with_faults.out)["paths"]

    @pytest.mark.parametrize(
        "arguments", [["create"], ["list"], ["tree"], ["health"]], ids=lambda a: a[0]
    )
    def test_print_json_for_programs(self, say: Say, arguments: list[str]) -> None:
        assert isinstance(say(*arguments, "--json").json, dict)

    @pytest.mark.parametrize("session_id", ["count", "..", ".", "a/b", "a b?c#d%2F", "ä€", NASTY])
    def test_reach_a_session_whatever_its_id(self, say: Say, session_id: str) -> None:
        assert say("create", "--id", session_id).code == 0

        assert say("send", session_id, "x").out == "1\n"
        assert say("show", session_id, "--json").json["id"] == session_id
        assert say("end", session_id).code == 0

    def test_reach_a_daemon_on_a_port(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tmp_path.chmod(0o700)
        with running(tmp_path, port=0) as other:
            where = ["--url", other.url, "--token-file", str(tmp_path / "token")]
            assert run(["health", *where]) == 0
            (tmp_path / "token").write_text("x" * 43)
            assert run(["health", *where]) == 77

        assert "[unauthorized]" in capfd.readouterr().err


def part(tree: Any, *steps: str) -> Any:
    for step in steps:
        tree = next(each for each in tree["children"] if each["name"] == step)
    return tree


class TestWhatSomebodyElseWrote:
    def test_cannot_steer_the_terminal(self, say: Say) -> None:
        say("create", "--id", NASTY, "--user-id", NASTY, "--role", NASTY)
        say("send", NASTY, f"{NASTY}\nline")

        said = [
            say("show", NASTY),
            say("log", NASTY),
            say("list"),
            say("tree"),
            say("show", NASTY, "--json"),
            say("list", "--json"),
            say("create", "--id", NASTY),
            say("create", "--id", NASTY, "--json"),
            say("show", f"{NASTY}x"),
            say("end", NASTY),
        ]

        for each in said:
            assert not {"\x1b", "\u202e", "\x7f"} & set(each.out + each.err), each
        assert "a\\x1b[2J\\u202eb\\x7f" in said[0].out
        assert said[4].json["id"] == NASTY

    def test_stays_readable(self, say: Say, ada: str) -> None:
        say("send", ada, "नमस्ते 👩‍🚀 \\o/ 日本")

        assert "नमस्ते 👩‍🚀 \\o/ 日本" in say("show", ada).out


class TestWhere:
    """A command goes where it says, whatever the environment says."""

    NOWHERE = "http://127.0.0.1:9"

    def test_its_own_socket_comes_before_the_url_around_it(
        self, say: Say, daemon: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CALLBOARD_SOCKET")
        monkeypatch.setenv("CALLBOARD_URL", self.NOWHERE)

        assert say("health", "--socket", str(daemon.path)).code == 0

    def test_its_own_url_comes_before_the_socket_around_it(self, say: Say, private: Path) -> None:
        with running(private, port=0) as other:
            where = ["--url", other.url, "--token-file", str(private / "token")]

            assert say("list", *where, "--json").json["sessions"] == []

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            (["health", "--socket", "s", "--url", NOWHERE], "--socket and --url"),
            (["serve", "--socket", "s", "--port", "0"], "--socket and --port"),
        ],
        ids=["client", "daemon"],
    )
    def test_two_places_at_once_are_refused(
        self, say: Say, arguments: list[str], names: str
    ) -> None:
        said = say(*arguments)

        assert (said.code, said.out) == (64, "")
        assert f"callboard: {names} name two " in said.err
        assert "Give one of them" in said.err

    @pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:9", "ftp://x", "http://", "\x00"])
    def test_what_is_no_url_is_refused(self, say: Say, url: str) -> None:
        said = say("health", "--url", url)

        assert said.code == 64
        assert "Give http://127.0.0.1:PORT" in said.err

    def test_a_token_file_that_is_not_there_is_not_to_be_deleted(
        self, say: Say, tmp_path: Path
    ) -> None:
        said = say("health", "--url", self.NOWHERE, "--token-file", str(tmp_path / "none"))

        assert said.code == 78
        assert f"there is no token file {tmp_path}/none [token_missing]" in said.err
        assert "Delete" not in said.err


class TestAFailure:
    def test_says_what_and_what_to_do(self, say: Say) -> None:
        said = say("show", "nobody")

        assert said == Said(
            66,
            "",
            "callboard: there is no session 'nobody' [session_not_found]\n"
            "  List the sessions, or create one.\n",
        )

    def test_is_json_where_json_is_wanted(self, say: Say) -> None:
        said = say("show", "nobody", "--json")

        assert said.out == ""
        assert json.loads(said.err)["code"] == "session_not_found"

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["show"], 64),
            (["dance"], 64),
            (["list", "--state", "happy"], 64),
            (["create", "--metadata", "[1]"], 65),
            (["create", "--kind", "opera"], 65),
            (["send", "nobody", "x"], 66),
            (["send", "nobody", "\udc80"], 65),
            (["show", "\udc80"], 65),
        ],
    )
    def test_has_an_exit_code(self, say: Say, arguments: list[str], code: int) -> None:
        said = say(*arguments)

        assert said.code == code
        assert said.out == "" or code == 64
        assert "Traceback" not in said.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["show", ""],
            ["log", ""],
            ["send", "", "hello"],
            ["end", ""],
            ["revive", ""],
            ["create", "--id", ""],
            ["crash", ""],
        ],
        ids=lambda arguments: arguments[0],
    )
    def test_of_an_empty_id_names_it(self, say: Say, arguments: list[str]) -> None:
        said = say(*arguments)

        assert (said.code, said.out) == (65, "")
        assert said.err.startswith("callboard: session_id='' is not valid. Give ")

    def test_to_crash_anything_without_faults_says_how_to_switch_them_on(
        self, say: Say, private: Path
    ) -> None:
        with running(private, faults=False) as other:
            said = say("crash", "ada", "--socket", str(other.path))

        assert said.code == 69
        assert "Start the daemon with --faults" in said.err

    # httpcore leaves a socket open that could not connect.
    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("command", [["list"], ["create"], ["health"], ["tree"]])
    def test_of_a_daemon_that_does_not_run_is_clear(
        self, say: Say, tmp_path: Path, command: list[str]
    ) -> None:
        said = say(*command, "--socket", str(tmp_path / "s"))
        gc.collect()

        assert said.code == 69
        assert "no daemon answers at unix:" in said.err
        assert "callboard serve" in said.err


class TestTheReadme:
    def test_shows_what_the_commands_print(self, private: Path, say: Say) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        (shown,) = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        spoken = re.findall(r"^\$ callboard (.*)\n((?:(?!\$).*\n)*)", shown, re.MULTILINE)

        with running(private) as other:
            printed = [
                (line, say(*shlex.split(line), "--socket", str(other.path)).out)
                for line, _ in spoken
            ]

        moment = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")
        assert len(printed) > 4
        assert [(line, moment.sub("NOW", out)) for line, out in printed] == [
            (line, moment.sub("NOW", out)) for line, out in spoken
        ]


class TestTheProgram:
    @pytest.mark.slow
    @pytest.mark.parametrize("package", EXTRA)
    def test_names_the_extra_that_is_missing(self, package: str) -> None:
        script = (
            "import sys\n"
            f"sys.modules[{package!r}] = None\n"
            "from callboard.actors.daemon.cli import main\n"
            "main(['serve', '--partitions', '0'])\n"
        )

        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )

        assert done.returncode == 78
        assert done.stderr == (
            f"callboard: the package {package} is missing; the daemon and its commands need it:\n"
            "  pip install 'callboard[daemon]'\n"
        )

    @pytest.mark.parametrize("command", [[], ["serve"]], ids=["whole", "serve"])
    def test_says_its_own_version(self, say: Say, command: list[str]) -> None:
        assert say(*command, "--version") == Said(0, f"{version('callboard')}\n", "")

    @pytest.mark.parametrize("command", [[], ["serve"], ["send"]], ids=["whole", "serve", "send"])
    def test_explains_every_exit_code_in_its_help(self, say: Say, command: list[str]) -> None:
        said = " ".join(say(*command, "--help").out.split())

        for code, meaning in EXIT_CODES.items():
            assert f"• {code}: {meaning}" in said

    def test_takes_no_path_for_another(self) -> None:
        assert path_of("count") != "/v1/sessions/count"
        assert path_of("a/messages", "activity") == "/v1/sessions/a%2Fmessages/activity"
