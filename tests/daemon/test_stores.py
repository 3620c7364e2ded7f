"""A daemon keeps its sessions where it is told to, and finds them there again."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callboard.actors import PostgresStore, SessionSystem
from callboard.actors.daemon.commands import run
from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.daemon.stores import refuse_password, server_of, store_of
from callboard.actors.statuses import EX_USAGE
from callboard.supervision import InvalidSpec
from tests.daemon.daemons import READY_S, Moody, Process, running
from tests.daemon.test_service import over

SECRET = "swordfish"  # noqa: S105 -- it must not get out
ADDRESS = f"postgresql://ada:{SECRET}@nowhere.invalid/db"


class TestWhatIsMeant:
    def test_is_memory_when_nobody_says_anything(self) -> None:
        assert store_of(None, {}) is None
        assert store_of(None, {"CALLBOARD_STORE": ""}) is None

    def test_is_what_the_command_says_before_what_the_environment_does(self) -> None:
        environ = {"CALLBOARD_STORE": "theirs.db"}

        assert store_of(None, environ) == Path("theirs.db")
        assert store_of("ours.db", environ) == Path("ours.db")

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
    def test_is_a_server_where_it_begins_like_one(self, scheme: str) -> None:
        store = store_of(f"{scheme}://ada:{SECRET}@nowhere.invalid/db", {})

        assert isinstance(store, PostgresStore)
        assert SECRET not in repr(store)

    @pytest.mark.parametrize(
        ("given", "kind"),
        [(f"mysql://ada:{SECRET}@db", WrongUsage), (f"{ADDRESS}?tea={SECRET}", InvalidSpec)],
    )
    def test_is_not_shown_when_it_is_wrong(self, given: str, kind: type[Exception]) -> None:
        with pytest.raises(kind) as refused:
            store_of(given, {})

        assert SECRET not in f"{refused.value} {getattr(refused.value, 'remedy', '')}"

    @pytest.mark.parametrize(
        "given", [":memory:", ":MEMORY:", "file:sessions.db", f"file:{SECRET}?mode=memory"]
    )
    def test_is_no_file_of_the_name_that_sqlite_would_take_for_something_else(
        self, given: str
    ) -> None:
        for read in (store_of, server_of):
            with pytest.raises(WrongUsage, match="no such kind of store") as refused:
                read(given)
            assert "./file:" in refused.value.remedy
            assert SECRET not in f"{refused.value} {refused.value.remedy}"

    def test_is_a_file_that_has_such_a_name_where_a_path_says_so(self) -> None:
        assert store_of("./file:a", {}) == Path("file:a")
        assert server_of("a:b") is None

    def test_makes_nothing_when_it_is_none(
        self, private: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(private)
        serve = ["serve", "--socket", "s", "--audit", "audit.jsonl"]
        for command in (serve, ["store", "import"], ["store", "check"]):
            assert run([*command, "--store", ":memory:"]) == EX_USAGE
            assert "no such kind of store [wrong_usage]" in capsys.readouterr().err

        assert list(private.iterdir()) == []


class TestAPassword:
    @pytest.mark.parametrize("given", [ADDRESS, f"postgresql://db/x?password={SECRET}"])
    def test_is_refused_in_a_command_line(self, given: str) -> None:
        with pytest.raises(WrongUsage, match="every user") as refused:
            refuse_password(given)

        assert "CALLBOARD_STORE" in refused.value.remedy
        assert SECRET not in f"{refused.value} {refused.value.remedy}"

    @pytest.mark.parametrize(
        "given", [None, "sessions.db", "postgresql://ada@db/x", "postgresql://[db"]
    )
    def test_is_not_seen_where_there_is_none(self, given: str | None) -> None:
        refuse_password(given)

    @pytest.mark.slow
    @pytest.mark.parametrize("command", ["argument", "environment"])
    def test_is_never_told(self, private: Path, command: str) -> None:
        is_argument = command == "argument"
        arguments = ["--socket", str(private / "s"), *["--store", ADDRESS] * is_argument]
        with Process(arguments, CALLBOARD_STORE="" if is_argument else ADDRESS) as daemon:
            code, out, err = daemon.result()

        assert code in {64, 74}
        assert "callboard: " in err
        assert SECRET not in out + err


class TestADaemon:
    def test_that_was_killed_is_followed_by_one_with_all_it_had_acknowledged(
        self, private: Path
    ) -> None:
        path = private / "k" / "sessions.db"
        arguments = ["--socket", str(private / "s"), "--store", str(path)]
        create = {"session_id": "ada", "user_id": "ada", "idempotency_key": "k"}
        message = {"role": "user", "content": "hello", "client_msg_id": "1"}
        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions", json=create)
                http.post("/v1/sessions/ada/messages", json=message)
            code, _, _ = daemon.end(signal.SIGKILL)
        assert code == -signal.SIGKILL

        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                found = http.get("/v1/sessions/ada", params={"messages": 9}).json()
                again = http.post("/v1/sessions", json=create)
                repeated = http.post("/v1/sessions/ada/messages", json=message)
            code, _, err = daemon.end()

        assert code == 0
        assert (found["presence"], [each["content"] for each in found["messages"]]) == (
            "asleep",
            ["hello"],
        )
        assert (again.status_code, again.json()["id"]) == (201, "ada")
        assert repeated.json() == {"seq": 1}
        line = next(each for each in err.splitlines() if "store.recovered" in each)
        assert re.search(
            rf" INFO callboard\.events store\.recovered store={re.escape(str(path))} sessions=1"
            r" unreadable=0 seconds=\d+\.\d{1,3} was_closed=False$",
            line,
        )

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("number", "was_closed"), [(signal.SIGTERM, True), (signal.SIGKILL, False)]
    )
    def test_says_whether_the_last_one_closed_its_store(
        self, private: Path, number: int, *, was_closed: bool
    ) -> None:
        arguments = ["--socket", str(private / "s"), "--store", str(private / "sessions.db")]
        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions", json={"session_id": "ada"})
            daemon.end(number)

        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                http.post("/v1/sessions/ada/activity")
            code, _, err = daemon.end()

        assert code == 0
        assert f"was_closed={was_closed}" in err
        assert [each.name for each in private.iterdir()] == ["sessions.db"]

    def test_that_is_stopped_finishes_what_is_in_work_and_takes_nothing_new(
        self, private: Path
    ) -> None:
        Moody.gate.clear()
        Moody.is_waiting.clear()
        path = private / "sessions.db"
        bounds = DaemonSettings(stop_s=10.0, drain_s=8.0, retry_after_s=3)
        with (
            running(private, store=path, settings=bounds) as daemon,
            daemon.client() as http,
            daemon.client() as other,
            ThreadPoolExecutor() as threads,
        ):
            http.post("/v1/sessions", json={"session_id": "ada"})
            message = {"role": "user", "content": "wait"}
            begun = threads.submit(http.post, "/v1/sessions/ada/messages", json=message)
            assert Moody.is_waiting.wait(READY_S)
            assert daemon._loop is not None
            daemon._loop.call_soon_threadsafe(daemon.daemon.stop)
            while (refused := other.get("/v1/health")).is_success:
                pass
            Moody.gate.set()

            answered = begun.result(READY_S)
            code = daemon.wait()

        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert refused.json()["code"] == "shutting_down"
        assert (answered.status_code, answered.json()) == (201, {"seq": 1})
        assert code == 0
        with SessionSystem(Moody, store=path, on_event=lambda _: None) as sessions:
            assert [each.content for each in sessions.messages("ada")] == ["wait"]

    @pytest.mark.slow
    def test_has_its_store_alone(self, private: Path) -> None:
        store = ["--store", str(private / "sessions.db")]
        with Process(["--socket", str(private / "s"), *store]) as first:
            first.ready()
            with Process(["--socket", str(private / "t"), *store]) as second:
                code, _, err = second.result()

            assert code == 75
            assert f"process {first.child.pid} uses it since" in err
            assert "[store_locked]" in err
            assert first.end()[0] == 0

    @pytest.mark.slow
    def test_does_not_touch_what_is_no_store(self, private: Path) -> None:
        path = private / "notes.txt"
        path.write_text("hello")
        path.chmod(0o600)
        with Process(["--socket", str(private / "s")], CALLBOARD_STORE=str(path)) as daemon:
            code, _, err = daemon.result()

        assert code == 78
        assert "it is no SQLite database [store_refused]" in err
        assert path.read_text() == "hello"
        assert [each.name for each in private.iterdir()] == ["notes.txt"]
