"""A store is looked after: in a daemon while its sessions go on, and in a file that nobody uses."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Presence,
    ReviveSession,
    Role,
    SessionActor,
    SessionLimits,
    SessionSystem,
    SessionUnreadable,
)
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.sessions.recovering import Recovered, UnreadableFound
from callboard.actors.statuses import STATUSES
from callboard.supervision import handles
from tests.daemon.daemons import Moody, Running, running
from tests.daemon.test_streams import wait_until
from tests.house import ROOT

LINES = {"content-type": "application/jsonl"}

PATIENT = DaemonSettings(stop_s=10.0, drain_s=0.5, send_s=1e6)
"""With a reader that stands still, whatever the time is."""


@pytest.fixture
def path(private: Path) -> Path:
    return private / "kept" / "sessions.db"


@pytest.fixture
def daemon(private: Path, path: Path) -> Iterator[Running]:
    with running(private, store=path, limits=SessionLimits(content_bytes_max=1_000)) as it:
        yield it


@pytest.fixture
def http(daemon: Running) -> Iterator[httpx.Client]:
    with daemon.client() as it:
        yield it


def fill(http: httpx.Client, *names: str, messages: int = 3) -> None:
    for name in names:
        assert http.post("/v1/sessions", json={"session_id": name}).is_success
        for number in range(messages):
            say(http, name, f"{name} {number + 1}")


def say(http: httpx.Client, name: str, text: str) -> int:
    message = {"role": "user", "content": text}
    answer = http.post(f"/v1/sessions/{name}/messages", json=message)
    return int(answer.json()["seq"])


def texts(http: httpx.Client, name: str) -> list[str]:
    page = http.get(f"/v1/sessions/{name}/messages").json()
    return [each["content"] for each in page["messages"]]


def command(*words: str, given: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.daemon.callboard", "store", *words],
        input=given,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def bring(http: httpx.Client, name: str, *, messages: int) -> None:
    """Have a session with a log that it would take long to append."""
    fill(http, "another", messages=1)
    lines = http.get("/v1/store/export").text.splitlines(keepends=True)
    head = renamed(lines[1].encode(), "another", name)
    for field in (b'"last_seq":', b'"message_count":'):
        head = head.replace(field + b"1", field + b"%d" % messages)
    said = [lines[2].replace('"seq":1', f'"seq":{seq}').encode() for seq in range(1, messages + 1)]
    end = b'{"line":"end","sessions":1,"messages":%d}\n' % messages
    all_of_it = b"".join((lines[0].encode(), head, *said, end))
    came = http.post("/v1/store/import", content=all_of_it, headers=LINES)
    assert came.json() == {"sessions": 1, "messages": messages}


def cannot_begin_anew(path: Path) -> bool:
    """Say whether somebody reads a moment of the store, so that its log only grows."""
    with sqlite3.connect(path, timeout=0) as other:
        (answer,) = other.execute("PRAGMA wal_checkpoint(RESTART)")
    other.close()
    return bool(answer[0])


def spoil(path: Path, *, seq: int) -> None:
    """Write something into a message of all sessions that a store cannot have written."""
    with sqlite3.connect(path) as stranger:
        stranger.execute("UPDATE message SET body = 'text' WHERE seq = ?", (seq,))
    stranger.close()


def note(ends: list[bool | None], event: object) -> None:
    """Note how the last owner of a store has ended, by the event that tells it."""
    if isinstance(event, Recovered):
        ends.append(event.was_closed)


def renamed(exported: bytes, before: str, after: str) -> bytes:
    return exported.replace(f'"id":"{before}'.encode(), f'"id":"{after}'.encode())


class TestACheckOfADaemon:
    def test_says_that_all_is_whole(self, http: httpx.Client) -> None:
        fill(http, "ada", "bob")

        checked = http.get("/v1/store/check").json()

        assert checked == {"sessions": 2, "messages": 6, "findings": [], "is_complete": True}

    def test_names_what_is_not(self, http: httpx.Client, path: Path) -> None:
        fill(http, "ada", "bob")
        with sqlite3.connect(path) as stranger:
            stranger.execute("DELETE FROM message WHERE session = 1 AND seq = 2")
            stranger.execute("UPDATE message SET body = ?", (b'{"role":"user","content":7}',))
        stranger.close()

        findings = http.get("/v1/store/check").json()["findings"]

        assert {(each["session_id"], each["seq"]) for each in findings} == {
            *(("ada", seq) for seq in (1, 2, 3)),
            *(("bob", seq) for seq in (1, 2, 3)),
        }
        assert any("missing" in each["what"] for each in findings)
        assert any("content" in each["what"] for each in findings)


class TestAnExportOfADaemon:
    def test_holds_everything_and_comes_in_again(self, http: httpx.Client) -> None:
        fill(http, "ada", "bob")
        http.delete("/v1/sessions/bob")

        first = http.get("/v1/store/export")
        came = http.post(
            "/v1/store/import", content=renamed(first.content, "ada", "eve"), headers=LINES
        )

        assert first.headers["content-type"].partition(";")[0] == "application/jsonl"
        assert first.headers["cache-control"] == "no-store"
        assert came.status_code == 422  # bob is there, though he has ended
        assert came.json()["code"] == "import_refused"
        assert http.get("/v1/sessions/eve").status_code == 404

    @pytest.mark.slow
    def test_goes_on_while_sessions_do(self, http: httpx.Client, daemon: Running) -> None:
        fill(http, "ada", messages=400)
        with daemon.client() as other, http.stream("GET", "/v1/store/export") as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["line"] == "store"

            after = say(other, "ada", "meanwhile")
            last = json.loads(list(lines)[-1])

        assert after == 401
        assert last == {"line": "end", "sessions": 1, "messages": 400}

    @pytest.mark.slow
    def test_that_nobody_reads_to_the_end_lets_go_of_the_file(
        self, http: httpx.Client, path: Path
    ) -> None:
        fill(http, "ada", messages=1_500)

        def held() -> int:
            return sum(each.resolve() == path for each in Path("/proc/self/fd").iterdir())

        def begin_to_read(times: int) -> int:
            for _ in range(times):
                with http.stream("GET", "/v1/store/export") as answer:
                    next(answer.iter_raw())
            return held()

        before = begin_to_read(2)  # SQLite itself keeps what it closes, and opens it again

        assert begin_to_read(6) <= before + 1
        assert http.post("/v1/store/compact", json={"ended_longer_than_s": 0}).is_success

    def test_whose_reader_stands_still_holds_up_the_files_log_for_a_bounded_time(
        self, private: Path, path: Path
    ) -> None:
        bounds = DaemonSettings(stop_s=10.0, drain_s=0.5, send_s=0.5)
        with running(private, store=path, settings=bounds) as daemon, daemon.client() as http:
            bring(http, "ada", messages=20_000)  # more than a socket holds
            with http.stream("GET", "/v1/store/export"), daemon.client() as other:
                say(other, "ada", "meanwhile")
                assert cannot_begin_anew(path)

                wait_until(lambda: daemon.daemon._app.lasting == 0)  # after send_s

                wait_until(lambda: not cannot_begin_anew(path))

    def test_that_is_read_too_slowly_ends_in_its_time_and_says_that_it_is_not_all(
        self, private: Path, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(private, store=path, settings=PATIENT) as daemon, daemon.client() as http:
            bring(http, "ada", messages=20_000)  # more than a socket holds
            with http.stream("GET", "/v1/store/export") as answer:
                lines = answer.iter_lines()
                next(lines)
                assert cannot_begin_anew(path)

                daemon.let_pass(PATIENT.export_s, monkeypatch)

                last = json.loads(list(lines)[-1])
                wait_until(lambda: not cannot_begin_anew(path))

        assert (last["line"], last["problem"]["code"]) == ("broken", "export_timeout")
        assert "export_s" in last["problem"]["remedy"]

    def test_of_which_nothing_comes_in_its_time_is_an_error(
        self, private: Path, path: Path
    ) -> None:
        bounds = DaemonSettings(stop_s=10.0, drain_s=0.5, export_s=1e-9)
        with running(private, store=path, settings=bounds) as daemon, daemon.client() as http:
            answer = http.get("/v1/store/export")

            assert (answer.status_code, answer.json()["code"]) == (504, "export_timeout")
            wait_until(lambda: not cannot_begin_anew(path))

    @pytest.mark.parametrize("what", ["export", "check"])
    def test_of_a_file_that_was_removed_is_an_error_that_names_it(
        self, http: httpx.Client, path: Path, what: str
    ) -> None:
        fill(http, "ada")
        path.unlink()

        answer = http.get(f"/v1/store/{what}")

        assert (answer.status_code, answer.json()["code"]) == (503, "store_error")
        assert f"store {path}: the file was moved, removed or replaced" in answer.json()["detail"]
        assert "Put it back" in answer.json()["remedy"]

    def test_of_a_file_that_another_has_replaced_is_not_one_of_that(
        self, http: httpx.Client, path: Path
    ) -> None:
        fill(http, "ada")
        other = path.with_name("other.db")
        with SessionSystem(store=other, on_event=lambda _: None) as sessions:
            sessions.ask(CreateSession(session_id="eve"))
        other.replace(path)

        answer = http.get("/v1/store/export")

        assert (answer.status_code, answer.json()["code"]) == (503, "store_error")

    def test_that_ends_in_a_damaged_place_says_so_in_its_last_line(
        self, http: httpx.Client, path: Path
    ) -> None:
        bring(http, "ada", messages=1_500)
        spoil(path, seq=1_400)

        lines = http.get("/v1/store/export").text.splitlines()
        last = json.loads(lines[-1])
        moved = renamed(renamed("\n".join(lines).encode(), "ada", "eve"), "another", "one")
        came = http.post("/v1/store/import", content=moved, headers=LINES).json()

        assert len(lines) > 500
        assert last["line"] == "broken"
        assert last["problem"]["code"] == "store_damaged"
        assert "message 1400 of session 'ada' cannot be read" in last["problem"]["detail"]
        assert came["code"] == "import_refused"
        assert "It broke off there" in came["remedy"]


class TestADamagedFile:
    def test_is_told_to_clients_and_in_health_as_what_it_is(
        self, http: httpx.Client, path: Path
    ) -> None:
        bring(http, "ada", messages=1_500)
        spoil(path, seq=1_400)
        whole = http.get("/v1/health").json()

        answer = http.post("/v1/sessions/ada/messages", json={"role": "user", "content": "hello"})

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (500, "store_damaged")
        assert (problem["is_retryable"], "retry-after" in answer.headers) == (False, False)
        assert "message 1400 of session 'ada' cannot be read" in problem["detail"]
        assert "export --skip-damaged" in problem["remedy"]
        assert whole["is_healthy"]
        health = http.get("/v1/health").json()
        assert (health["is_healthy"], health["failing"]) == (False, ["store"])
        assert (health["store"]["is_damaged"], health["store"]["is_taking"]) == (True, True)
        assert health["store"]["error"] == problem["detail"]
        assert say(http, "another", "goes on") == 2


class TestAnImportIntoADaemon:
    def test_is_there_at_once_and_goes_on(self, http: httpx.Client) -> None:
        fill(http, "ada", "bob")
        exported = http.get("/v1/store/export").content
        moved = renamed(renamed(exported, "ada", "eve"), "bob", "dan")

        came = http.post("/v1/store/import", content=moved, headers=LINES)

        assert came.json() == {"sessions": 2, "messages": 6}
        eve = http.get("/v1/sessions/eve").json()
        assert (eve["presence"], eve["message_count"]) == ("asleep", 3)
        assert texts(http, "eve") == ["ada 1", "ada 2", "ada 3"]
        assert say(http, "eve", "and on") == 4
        assert http.get("/v1/health").json()["sessions"] == 4

    @pytest.mark.parametrize(
        ("before", "after", "field"),
        [
            (b'"role":"user"', b'"role":"nobody"', "body.role"),
            (b"ada 2", b"x" * 1_001, "content"),
            (b'"seq":2', b'"seq":3', "seq"),
            (b'"message_count":3', b'"message_count":2', "message_count"),
            (b'"message_count":3', b'"message_count":300', "message_count"),
            (b'"kind":"session"', b'"kind":7', "body.kind"),
            (b'"kind":"session"', b'"kind":"planner"', "body.kind"),
            (b'"state":"active"', b'"state":"happy"', "state"),
            (b'"seq":2', b'"seq":1', "seq"),
            (b'"metadata":{}', b'"metadata":{"x":"' + b"x" * 70_000 + b'"}', "metadata"),
        ],
        ids=[
            *("a role", "too large", "a hole", "fewer than there are", "more than changes"),
            *("no kind", "a kind of nobody", "a state"),
            *("twice", "large notes"),
        ],
    )
    def test_is_looked_at_as_strictly_as_a_create(
        self, http: httpx.Client, before: bytes, after: bytes, field: str
    ) -> None:
        fill(http, "ada")
        exported = renamed(http.get("/v1/store/export").content, "ada", "eve")
        assert before in exported

        came = http.post(
            "/v1/store/import", content=exported.replace(before, after, 1), headers=LINES
        )

        said = came.json()
        assert (came.status_code, said["code"]) == (422, "import_refused")
        assert said["field"].startswith(field), said
        assert said["detail"].startswith("line ")
        assert ", session eve: " in said["detail"]
        assert http.get("/v1/sessions/eve").status_code == 404
        assert http.get("/v1/store/check").json()["findings"] == []

    def test_names_a_session_that_is_there(self, http: httpx.Client) -> None:
        fill(http, "ada")

        came = http.post(
            "/v1/store/import", content=http.get("/v1/store/export").content, headers=LINES
        )

        assert came.json()["field"] == "id"
        assert texts(http, "ada") == ["ada 1", "ada 2", "ada 3"]

    def test_takes_json_lines_and_nothing_else(self, http: httpx.Client) -> None:
        answers = [
            http.post("/v1/store/import", json={}),
            http.post("/v1/sessions", content=b"{}", headers=LINES),
            http.post("/v1/store/import", content=b"", headers=LINES),
        ]

        assert [each.status_code for each in answers] == [415, 415, 422]

    def test_is_as_large_as_it_may_be(self, private: Path, path: Path) -> None:
        bounds = DaemonSettings(
            body_bytes_max=1_000, import_bytes_max=20_000, stop_s=10.0, drain_s=0.5
        )
        with running(private, store=path, settings=bounds) as daemon, daemon.client() as http:
            fill(http, "ada", messages=10)
            exported = renamed(http.get("/v1/store/export").content, "ada", "eve")
            assert len(exported) > 1_000

            taken = http.post("/v1/store/import", content=exported, headers=LINES)
            refused = http.post("/v1/store/import", content=b" " * 20_001, headers=LINES)

        assert taken.json() == {"sessions": 1, "messages": 10}
        assert refused.status_code == 413

    @pytest.mark.slow
    def test_waits_for_no_other(self, http: httpx.Client, daemon: Running) -> None:
        fill(http, "ada", messages=1_500)
        exported = http.get("/v1/store/export").content

        def take_in(number: int) -> int:
            with daemon.client() as client:
                moved = renamed(exported, "ada", f"ada {number}")
                return client.post("/v1/store/import", content=moved, headers=LINES).status_code

        with ThreadPoolExecutor(4) as threads:
            statuses = list(threads.map(take_in, range(4)))

        assert set(statuses) <= {200, 409}
        assert http.get("/v1/health").json()["sessions"] == 1 + statuses.count(200)
        assert take_in(9) == 200


class TestACompaction:
    def test_deletes_what_ended_and_makes_the_file_smaller(self, http: httpx.Client) -> None:
        fill(http, "ada", "bob", messages=100)
        http.delete("/v1/sessions/bob")

        kept = http.post("/v1/store/compact").json()
        done = http.post("/v1/store/compact", json={"ended_longer_than_s": 0}).json()
        wrong = http.post("/v1/store/compact", json={"ended_longer_than_s": -1})

        assert (kept["purged"], done["purged"]) == (0, 1)
        assert "a lower ended_longer_than_s deletes more" in kept["why"]
        assert done["why"] is None
        assert done["bytes_after"] < done["bytes_before"]
        assert wrong.json()["field"] == "ended_longer_than_s"
        assert len(texts(http, "ada")) == 100


class TestADaemonWithoutAFile:
    def test_says_so(self, private: Path) -> None:
        with running(private) as daemon, daemon.client() as http:
            answers = [
                http.get("/v1/store/check"),
                http.get("/v1/store/export"),
                http.post("/v1/store/import", content=b"", headers=LINES),
                http.post("/v1/store/compact"),
            ]

        assert [each.status_code for each in answers] == [501] * 4
        assert {each.json()["code"] for each in answers} == {"store_not_operable"}
        assert "--store" in answers[0].json()["remedy"]


@pytest.mark.slow
class TestTheCommands:
    def test_ask_the_daemon(self, http: httpx.Client, daemon: Running, private: Path) -> None:
        fill(http, "ada")
        where = ["--socket", str(daemon.path)]
        written = private / "all.jsonl"

        checked = command("check", *where)
        exported = command("export", str(written), *where)
        again = command("export", str(written), *where)
        moved = renamed(written.read_bytes(), "ada", "eve")
        imported = command("import", *where, "--json", given=moved)
        compacted = command("compact", *where, "--ended-longer-than-s", "0")

        assert checked == (0, "1 sessions with 3 messages: all is whole\n", "")
        assert exported == (0, "", "")
        assert written.stat().st_mode & 0o777 == 0o600
        assert again[0] == 73
        assert json.loads(imported[1]) == {"sessions": 1, "messages": 3}
        assert compacted[0] == 0
        assert compacted[1].splitlines()[1:] == ["nothing has ended so long ago"]
        assert http.get("/v1/health").json()["sessions"] == 2

    def test_of_an_export_that_breaks_off_leave_no_file(
        self, http: httpx.Client, daemon: Running, path: Path, private: Path
    ) -> None:
        bring(http, "ada", messages=1_500)
        where = ["--socket", str(daemon.path)]
        written = private / "all.jsonl"
        spoil(path, seq=1_400)

        damaged = command("export", str(written), *where)
        to_stdout = command("export", *where)
        path.unlink()
        removed = command("export", str(written), *where)

        assert [damaged[0], to_stdout[0], removed[0]] == [74, 74, 74]
        assert "message 1400 of session 'ada' cannot be read" in damaged[2]
        assert f"store {path}: the file was moved, removed or replaced" in removed[2]
        assert "Put it back" in removed[2]
        assert '"line":"end"' not in to_stdout[1]
        assert not list(private.glob("all.jsonl*"))

    def test_of_an_export_that_is_read_too_slowly_say_that_it_is_not_all(
        self, private: Path, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(private, store=path, settings=PATIENT) as daemon, daemon.client() as http:
            bring(http, "ada", messages=50_000)  # more than sockets and pipes hold
            words = [sys.executable, "-m", "tests.daemon.callboard", "store", "export"]
            with subprocess.Popen(
                [*words, "--socket", str(daemon.path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as slow:
                assert slow.stdout is not None
                slow.stdout.read(1)

                daemon.let_pass(PATIENT.export_s, monkeypatch)

                out, err = slow.communicate()

        assert slow.returncode == 75
        assert b'"line":"end"' not in out
        assert b"not all" in err
        assert b"--set export_s=SECONDS" in err

    def test_export_what_can_be_read_and_name_the_rest(
        self, http: httpx.Client, daemon: Running, path: Path, private: Path
    ) -> None:
        fill(http, "ada", "bob", "eve", messages=2)
        damaged, saved = private / "damaged.db", private / "saved.jsonl"
        with sqlite3.connect(path) as stranger:
            stranger.execute("UPDATE message SET body = 'text' WHERE session = 2")
            stranger.commit()
            stranger.execute("VACUUM INTO ?", (str(damaged),))
        stranger.close()
        damaged.chmod(0o600)

        of_the_file = command("export", "--skip-damaged", "--store", str(damaged))
        of_the_daemon = command(
            "export", str(saved), "--skip-damaged", "--socket", str(daemon.path)
        )
        whole = command("export", "--skip-damaged", "--store", str(private / "new.db"))
        imported = command("import", str(saved), "--store", str(private / "new.db"))
        again = command("export", "--skip-damaged", "--store", str(private / "new.db"))

        for code, _, err in (of_the_file, of_the_daemon):
            assert code == 65
            assert "session bob: left out: message 1: the messages from here on cannot be" in err
            assert "1 left out; all that can be read whole is there" in err
        assert saved.read_text().replace(str(path), str(damaged)) == of_the_file[1]
        assert whole[0] == 66
        assert imported[:2] == (0, "2 sessions with 4 messages are there\n")
        assert (again[0], again[2]) == (0, "")

    def test_that_are_killed_leave_no_file_that_looks_whole(self, private: Path) -> None:
        path, written = private / "sessions.db", private / "all.jsonl"
        with SessionSystem(store=path, on_event=lambda _: None) as sessions:
            sessions.ask(CreateSession(session_id="ada"))
        os.mkfifo(private / "all.jsonl.part")  # of one that was killed before

        code, _, _ = command("export", str(written), "--store", str(path))

        assert code == 0
        assert written.read_text().endswith('"sessions":1,"messages":0}\n')
        assert written.stat().st_nlink == 1

    def test_leave_it_to_the_next_start_how_the_last_owner_ended(
        self, private: Path, path: Path
    ) -> None:
        killed = private / "killed.db"
        with SessionSystem(store=path, on_event=lambda _: None) as sessions:
            sessions.ask(CreateSession(session_id="ada"))
            for end in ("", "-wal"):  # as `kill -9` leaves them
                shutil.copy(f"{path}{end}", f"{killed}{end}")

        done = [command(each, "--store", str(killed)) for each in ("check", "export", "compact")]
        ends: list[bool | None] = []
        for _ in range(2):
            with SessionSystem(store=killed, on_event=lambda each: note(ends, each)) as sessions:
                assert sessions.get("ada").presence == "asleep"

        assert [each[0] for each in done] == [0, 0, 0]
        assert ends == [False, True]

    def test_do_the_same_to_a_file(self, private: Path) -> None:
        old, new, lines = private / "old.db", private / "new.db", private / "all.jsonl"
        with SessionSystem(Moody, store=old, on_event=lambda _: None) as sessions:
            ada = sessions.ask(CreateSession(session_id="ada")).id
            sessions.ask(AppendMessage(ada, Role.USER, "hello"))

        exported = command("export", str(lines), "--store", str(old))
        to_stdout = command("export", "-", "--store", str(old))
        imported = command("import", "-", "--store", str(new), given=lines.read_bytes())
        twice = command("import", str(lines), "--store", str(new))
        behaviour = ["--session", "tests.daemon.daemons:Moody", "--app-dir", "."]
        checked = command("check", "--store", str(new), *behaviour)
        compacted = command("compact", "--store", str(new))

        assert [each[0] for each in (exported, imported, twice, checked, compacted)] == [
            *(0, 0, 65, 0, 0)
        ]
        assert to_stdout[1] == lines.read_text()
        assert "line 2: id='ada'" in twice[2]
        left = {each.name for each in private.iterdir()}
        assert left == {"old.db", "new.db", "all.jsonl"}
        with SessionSystem(Moody, store=new, on_event=lambda _: None) as sessions:
            assert [each.content for each in sessions.messages(ada)] == ["hello"]

    def test_find_what_is_wrong_in_a_file(self, private: Path) -> None:
        path = private / "sessions.db"
        with SessionSystem(store=path, on_event=lambda _: None) as sessions:
            sessions.ask(CreateSession(session_id="ada"))
        with sqlite3.connect(path) as stranger:
            stranger.execute("UPDATE snapshot SET body = ?", (b"no JSON",))
        stranger.close()

        code, out, _ = command("check", "--store", str(path))

        assert code == 65
        assert "session ada: its body is no JSON" in out

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["check", "--store", "none.db"], 66, f"{Path.cwd()}/none.db: No such file"),
            (["compact", "--store", "postgresql://ada:swordfish@db/x"], 64, "PGPASSFILE"),
            (
                ["export", "--skip-damaged", "--store", "postgresql://db/x"],
                *(64, "--skip-damaged is of a file, and --store names a server"),
            ),
            (["compact", "--store", "{used}"], 75, "Leave out --store"),
            (["import", "none.jsonl", "--store", "new.db"], 66, "No such file"),
            (["export", "{folder}/no/all.jsonl", "--store", "{used}"], 73, "cannot be written"),
            (["export", "--damaged", "--store", "{used}"], 64, "no option '--damaged'"),
            (["import", "--damaged", "--store", "new.db"], 64, "no option '--damaged'"),
        ],
    )
    def test_say_what_keeps_them(
        self, daemon: Running, words: list[str], code: int, said: str
    ) -> None:
        assert daemon.path is not None
        folder = daemon.path.parent
        used = folder / "kept" / "sessions.db"
        found = command(*(each.format(used=used, folder=folder) for each in words))

        assert found[0] == code, found
        assert said in found[2]
        assert "swordfish" not in found[2]


class Priced(msgspec.Struct, frozen=True):
    price: float


class InCents(msgspec.Struct, frozen=True):
    cents: int


class OldShop(SessionActor[Priced]):
    @handles(AppendMessage)
    def on_append_message(self, message: AppendMessage) -> int:
        self.update(data=Priced(9.99))
        return self.append(message.role, message.content).seq


class Shop(SessionActor[InCents]):
    pass


class TestDataOfAnotherType:
    """The story of docs/how-to/keep-sessions.md, with the program that it shows."""

    @pytest.fixture
    def old(self, private: Path) -> Path:
        path = private / "sessions.db"
        with SessionSystem(OldShop, store=path, on_event=lambda _: None) as sessions:
            ada = sessions.ask(CreateSession(session_id="ada")).id
            sessions.ask(AppendMessage(ada, Role.USER, "tea"))
        return path

    def test_is_named_and_kept_until_the_right_class_comes(self, old: Path) -> None:
        told: list[UnreadableFound] = []

        def hear(event: object) -> None:
            if isinstance(event, UnreadableFound):
                told.append(event)

        with SessionSystem(Shop, store=old, on_event=hear) as sessions:
            assert sessions.get("ada").presence is Presence.QUARANTINED
            with pytest.raises(SessionUnreadable, match=r"data\.cents: it is required") as refused:
                sessions.ask(ReviveSession("ada"))
            assert sessions.get("ada").presence is Presence.QUARANTINED
            found = sessions.health().store
            assert found is not None
            assert not found.is_damaged

        (event,) = told
        assert event.session_id == "ada"
        assert f"its data is no {__name__}.InCents" in event.error
        assert "--session MODULE:CLASS" in event.remedy
        assert refused.value.remedy == event.remedy
        assert (refused.value.session_id, refused.value.is_retryable) == ("ada", False)
        assert STATUSES["session_unreadable"].http == 500
        with SessionSystem(OldShop, store=old, on_event=hear) as sessions:
            assert sessions.get("ada").data == Priced(9.99)
            assert sessions.ask(AppendMessage("ada", Role.USER, "and milk")) == 2
        assert len(told) == 1

    @pytest.mark.slow
    def test_is_exported_changed_and_imported(self, old: Path, private: Path) -> None:
        new, after = private / "new.db", private / "after.jsonl"
        shop = ["--session", f"{__name__}:Shop", "--app-dir", "."]

        before = command("check", "--store", str(old), *shop)
        exported = command("export", "--store", str(old))[1]
        changed = subprocess.run(
            [sys.executable, ROOT / "docs" / "examples" / "shop" / "change_data.py"],
            input=exported.encode(),
            capture_output=True,
            check=True,
        )
        after.write_bytes(changed.stdout)
        as_it_was = command("import", "--store", str(new), *shop, given=exported.encode())
        imported = command("import", str(after), "--store", str(new), *shop)
        checked = command("check", "--store", str(new), *shop)

        assert before[0] == 65
        assert "session ada: body.data.cents=None is not valid" in before[1]
        assert f"{__name__}.InCents" in before[1]
        assert as_it_was[0] == 65
        assert "line 2, session ada: body.data.cents=None" in as_it_was[2]
        assert [imported[0], checked[0]] == [0, 0]
        with SessionSystem(Shop, store=new, on_event=lambda _: None) as sessions:
            assert sessions.get("ada").data == InCents(999)
