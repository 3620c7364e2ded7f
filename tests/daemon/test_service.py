"""How a daemon starts and ends, as a service manager sees it."""

from __future__ import annotations

import gc
import math
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from callboard.actors.daemon.options import read_bounds
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.daemon.showing import health_lines
from callboard.actors.keeping import Keeping
from callboard.actors.limits import SessionLimits
from callboard.supervision import InvalidSpec, Settings
from tests.daemon.daemons import READY_S, Moody, Process, running
from tests.house import ROOT

MOODY = ["--session", "tests.daemon.daemons:Moody"]


def over(path: str) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=path.removeprefix("unix:"))
    return httpx.Client(base_url="http://callboard", transport=transport, timeout=READY_S)


class TestASignal:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
    def test_stops_the_daemon_in_order(self, private: Path, number: signal.Signals) -> None:
        path = private / "callboard.sock"
        with Process(["--socket", str(path)]) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions", json={})

            code, out, err = daemon.end(number)

        assert code == 0
        assert number.name in out
        assert "everything stopped in time" in out
        assert "Traceback" not in err
        assert list(private.iterdir()) == []

    @pytest.mark.slow
    def test_ends_one_that_was_told_by_its_options_what_sessions_it_takes(
        self, private: Path
    ) -> None:
        bounds = ["--set", "ask_s=3", "--set", "sessions_per_user_max=1", "--set", "awake_max=1"]
        arguments = ["--socket", str(private / "s"), "--tenants", "--unique-role", *bounds]
        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                nobodys = http.post("/v1/sessions", json={})
                body = {"user_id": "ada", "org_id": "acme", "session_id": "ada"}
                adas = http.post("/v1/sessions", json=body)
                second = http.post("/v1/sessions", json={**body, "session_id": "two"})
                ended = http.delete("/v1/sessions/ada")
                hasty = http.delete("/v1/sessions/ada", params={"grace_s": 1.6})

            code, _, _ = daemon.end()

        answers = [each.status_code for each in (nobodys, adas, second, ended, hasty)]
        assert answers == [422, 201, 429, 200, 422]
        assert "serve --set sessions_per_user_max=" in second.json()["remedy"]
        assert code == 0

    @pytest.mark.slow
    def test_names_what_did_not_stop(self, private: Path) -> None:
        bounds = ["--set", "stop_s=2", "--set", "drain_s=0.2", "--set", "kill_grace_s=0.2"]
        arguments = ["--socket", str(private / "s"), *MOODY, *bounds]
        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions", json={"session_id": "stuck"})
                with pytest.raises(httpx.ReadTimeout):
                    http.post(
                        "/v1/sessions/stuck/messages",
                        json={"role": "user", "content": "wait"},
                        timeout=0.3,
                    )

            code, out, _ = daemon.end()

        assert code == 1
        assert "STOPPED: killed: " in out
        assert "root/sessions/" in out

    @pytest.mark.slow
    def test_the_second_time_forces_it(self, private: Path) -> None:
        bounds = ["--set", "drain_s=9"]
        with Process(["--socket", str(private / "s"), *MOODY, *bounds]) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions", json={"session_id": "stuck"})
                with pytest.raises(httpx.ReadTimeout):
                    http.post(
                        "/v1/sessions/stuck/messages",
                        json={"role": "user", "content": "wait"},
                        timeout=0.3,
                    )
            daemon.child.send_signal(signal.SIGTERM)
            assert daemon.child.stdout is not None
            assert daemon.child.stdout.readline().startswith("STOPPING")

            code, out, _ = daemon.end()

        assert code == 128 + signal.SIGTERM
        assert "FORCED" in out
        assert list(private.iterdir()) == []


@pytest.mark.slow
class TestTheMemory:
    def test_beyond_its_bound_puts_sessions_to_sleep_and_is_told_of(self, private: Path) -> None:
        bounds = ["--set", "memory_max_bytes=1000000", "--set", "passivate_interval_s=0.01"]
        with Process(["--socket", str(private / "s"), *bounds]) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions", json={"session_id": "ada"})
                while http.get("/v1/sessions/ada").json()["presence"] != "asleep":
                    pass
                health = http.get("/v1/health").json()
                shown = list(health_lines(health))

            code, _, err = daemon.end()

        assert health["memory_bytes"] > 1_000_000
        assert health["memory_pressure"] in {"over", "stuck"}
        assert health["is_healthy"]
        assert f"memory          {health['memory_bytes']:,} bytes" in shown
        assert f"  pressure      {health['memory_pressure']}" in shown
        assert "memory.pressure_changed pressure=over" in err
        assert code == 0


@pytest.mark.slow
class TestTheRoot:
    # httpcore leaves a socket open that could not connect.
    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_that_gives_up_ends_the_daemon_with_70(self, private: Path) -> None:
        with Process(["--socket", str(private / "s"), "--faults"]) as daemon:
            with over(daemon.ready()) as http:
                for _ in range(100):
                    try:
                        http.post("/v1/faults", json={"part": "front", "how": "kill"})
                    except httpx.TransportError:
                        break

            code, out, err = daemon.result()
        gc.collect()

        assert code == 70
        assert "FAILED: the root of the tree gave up" in out
        assert "supervisor.gave_up" in err
        assert "Traceback" not in err


@pytest.mark.slow
class TestTheServiceManager:
    def test_is_told_when_the_daemon_is_ready_and_when_it_stops(self, private: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(private / "notify"))
            manager.settimeout(READY_S)
            arguments = ["--socket", str(private / "s")]
            with Process(arguments, NOTIFY_SOCKET=str(private / "notify")) as daemon:
                assert manager.recv(100) == b"READY=1"

                code, _, _ = daemon.end()

            assert manager.recv(100) == b"STOPPING=1"
        assert code == 0

    def test_hears_from_a_healthy_daemon_in_time(self, private: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(private / "notify"))
            manager.settimeout(READY_S)
            arguments = ["--socket", str(private / "s")]
            where = str(private / "notify")
            with Process(arguments, NOTIFY_SOCKET=where, WATCHDOG_USEC="300000") as daemon:
                daemon.ready()
                told = [manager.recv(100) for _ in range(3)]

        assert set(told) == {b"READY=1", b"WATCHDOG=1"}


@pytest.mark.slow
class TestADaemonThatCannotStart:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["--socket", "{folder}/file"], 73),
            (["--socket", "{folder}/open/s"], 78),
            (["--port", "0", "--host", "0.0.0.0"], 78),  # noqa: S104 -- refused
            (["--session", "nowhere:Nobody", "--socket", "{folder}/s"], 78),
            (["--set", "in_flight_max=0", "--socket", "{folder}/s"], 78),
            (["--set", "tea=1", "--socket", "{folder}/s"], 78),
            (["--partitions", "0", "--socket", "{folder}/s"], 78),
            (["--colour"], 64),
            (["--port", "99999"], 64),
            (["--port", "0", "--socket", "{folder}/s"], 64),
            (["--session", "no class", "--socket", "{folder}/s"], 78),
        ],
        ids=[
            *["file", "folder", "host", "class", "bound", "name", "partitions", "option"],
            *["no port", "two doors", "no class"],
        ],
    )
    def test_says_why_in_a_line(self, private: Path, arguments: list[str], code: int) -> None:
        (private / "file").touch()
        (private / "open").mkdir()
        (private / "open").chmod(0o777)
        given = [each.format(folder=private) for each in arguments]

        with Process(given) as daemon:
            got, out, err = daemon.result()

        assert got == code, err
        assert out == ""
        assert err
        assert "Traceback" not in err

    def test_because_another_lives_there_says_so(self, private: Path) -> None:
        with running(private) as first, Process(["--socket", str(first.path)]) as second:
            code, _, err = second.result()

        assert code == 69
        assert "[door_in_use]" in err


INSTALLED = [str(Path(sys.executable).with_name("callboard"))]
"""The program as it is installed: Python itself puts no folder of the user's on its path."""

GUIDE = """
from callboard.actors import SessionActor
class Guide(SessionActor[None]): pass
"""


@pytest.mark.slow
class TestASessionOfOnesOwn:
    @pytest.mark.parametrize("is_elsewhere", [False, True], ids=["here", "app dir"])
    def test_is_found_in_the_current_folder_or_the_one_that_is_named(
        self, private: Path, *, is_elsewhere: bool
    ) -> None:
        folder = private / "elsewhere" if is_elsewhere else private
        folder.mkdir(exist_ok=True)
        (folder / "guide_of_mine.py").write_text(GUIDE)
        arguments = ["--socket", str(private / "s"), "--session", "guide_of_mine:Guide"]
        arguments += ["--app-dir", "elsewhere"] if is_elsewhere else []

        with Process(arguments, program=INSTALLED, folder=private, PYTHONPATH="") as daemon:
            with over(daemon.ready()) as http:
                created = http.post("/v1/sessions", json={})
            code, _, _ = daemon.end()

        assert (created.status_code, code) == (201, 0)

    @pytest.mark.skipif(
        Path(sys.prefix) != ROOT / ".venv", reason="scripts/serve would make a venv first"
    )
    def test_is_found_where_the_script_is_called_from(self, private: Path) -> None:
        (private / "guide_of_mine.py").write_text(GUIDE)
        arguments = ["--socket", "s", "--session", "guide_of_mine:Guide"]

        script = [str(ROOT / "scripts" / "serve")]
        with Process(arguments, program=script, command=(), folder=private) as daemon:
            assert daemon.ready() == f"unix:{private}/s"
            code, _, _ = daemon.end()

        assert code == 0

    @pytest.mark.parametrize(
        ("source", "name", "said"),
        [
            ("", "nowhere:Guide", "No module named 'nowhere'"),
            ("import nowhere", "mine:Guide", "No module named 'nowhere'"),
            ("1 / 0", "mine:Guide", "ZeroDivisionError: division by zero at {folder}/mine.py:1"),
            ("def (", "mine:Guide", "SyntaxError: invalid syntax (mine.py, line 1) ["),
            (GUIDE, "mine:Gide", "is no SessionActor of {folder}/mine.py"),
            (GUIDE, "mine", "is not MODULE:CLASS"),
        ],
        ids=["module", "import", "crash", "syntax", "class", "form"],
    )
    def test_that_cannot_be_used_is_told_with_its_reason(
        self, private: Path, source: str, name: str, said: str
    ) -> None:
        (private / "mine.py").write_text(source)
        arguments = ["--socket", str(private / "s"), "--session", name]

        with Process(arguments, program=INSTALLED, folder=private) as daemon:
            code, _, err = daemon.result()

        assert code == 78
        assert said.format(folder=private) in err
        assert "--app-dir" in err
        assert "Traceback" not in err


class TestTheSettings:
    @pytest.mark.parametrize("field", DaemonSettings.__struct_fields__)
    def test_have_no_bound_at_zero(self, field: str) -> None:
        with pytest.raises(InvalidSpec, match=field):
            DaemonSettings(**{field: 0})

    @pytest.mark.parametrize("field", DaemonSettings.__struct_fields__)
    def test_explain_every_bound(self, field: str) -> None:
        assert f"    {field}: " in (DaemonSettings.__doc__ or "")

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (
                "in_flight_max=zero",
                "in_flight_max='zero' is not valid. Give a whole number, not text.",
            ),
            ("in_flight_max=0", "in_flight_max=0 is not valid. Give a number above zero."),
            ("ask_s=31", "ask_s=31.0 is not valid. Give less than request_s."),
            ("content_bytes_max=x", "content_bytes_max='x' is not valid."),
            ("tea=1", "--set='tea=1' is not valid. Give NAME=VALUE; the names are abandoned_max, "),
            ("awake_max=0", "awake_max=0 is not valid. Give a whole number from 1 on, or None."),
            (
                "memory_max_bytes=0",
                "memory_max_bytes=0 is not valid. Give a whole number from 1 on, or None.",
            ),
            (
                "memory_max_bytes=2G",
                "memory_max_bytes='2G' is not valid. Give a whole number or null, not text.",
            ),
            ("max_idle_s=soon", "max_idle_s='soon' is not valid. Give a number, not text."),
        ],
    )
    def test_given_by_name_are_refused_by_name(self, given: str, said: str) -> None:
        with pytest.raises(InvalidSpec) as refused:
            read_bounds([given])

        assert str(refused.value).startswith(said)

    def test_are_all_named_to_who_does_not_know_their_names(self) -> None:
        with pytest.raises(InvalidSpec) as refused:
            read_bounds(["tea=1"])

        shapes = (DaemonSettings, SessionLimits, Keeping, Settings)
        names = {name for shape in shapes for name in shape.__struct_fields__}
        assert names - set(re.findall(r"\w+", refused.value.remedy)) == set()
        assert sum(len(shape.__struct_fields__) for shape in shapes) == len(names)

    def test_of_how_long_sessions_are_kept_are_among_them(self) -> None:
        given = ["max_idle_s=inf", "awake_max=10", "passivate_after_s=60", "memory_max_bytes=5"]

        assert read_bounds(given).keeping == Keeping(
            max_idle_s=math.inf, awake_max=10, passivate_after_s=60.0, memory_max_bytes=5
        )

    def test_let_an_actor_answer_before_the_request_is_given_up(self) -> None:
        with pytest.raises(InvalidSpec, match="ask_s"):
            DaemonSettings(ask_s=2.0, request_s=1.0)


class TestManyClients:
    @pytest.mark.slow
    def test_lose_nothing_and_keep_order(self, private: Path) -> None:
        with running(private, session=Moody) as daemon, daemon.client() as http:
            path = f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"
            for number in range(300):
                body = {"role": "user", "content": f"{number} 日本 نص \u202e\x1b"}
                assert http.post(f"{path}/messages", json=body).json() == {"seq": number + 1}

            page = http.get(f"{path}/messages", params={"after_seq": 100, "limit": 150}).json()

        assert page["last_seq"] == 300
        assert [each["seq"] for each in page["messages"]] == list(range(101, 251))
        assert page["messages"][0]["content"] == "100 日本 نص \u202e\x1b"

    def test_get_pages_of_a_bounded_length(self, private: Path) -> None:
        settings = DaemonSettings(page_bytes_max=5_000, drain_s=0.5, stop_s=10.0)
        with running(private, settings=settings) as daemon, daemon.client() as http:
            path = f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"
            for _ in range(10):
                http.post(f"{path}/messages", json={"role": "user", "content": "x" * 1_000})
            seqs: list[int] = []
            while True:
                query = {"after_seq": seqs[-1] if seqs else 0}
                page = http.get(f"{path}/messages", params=query).json()
                seqs += [each["seq"] for each in page["messages"]]
                assert len(page["messages"]) <= 4
                if seqs[-1] == page["last_seq"]:
                    break
            tail = http.get(path, params={"messages": 10}).json()["messages"]

        assert seqs == list(range(1, 11))
        assert [each["seq"] for each in tail] == [7, 8, 9, 10]
