"""What an operator does with sessions in PostgreSQL: out of it, into it, from SQLite and back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    ImportRefused,
    Role,
    SessionSystem,
    StoreError,
    StoreFenced,
    StoreRefused,
    TerminateSession,
)
from callboard.actors.storage import importing, postgres_archive
from callboard.actors.storage.checking import Checked, Finding, checking
from callboard.actors.storage.compacting import Compacted
from callboard.actors.storage.exporting import exported
from callboard.actors.storage.importing import Imported
from callboard.actors.storage.operable import Operable, archive_of, arrivals_of, compaction_of
from callboard.actors.storage.postgres import PostgresStore
from callboard.actors.storage.postgres_archive import PostgresArchive
from callboard.actors.storage.postgres_arriving import PostgresArrivals
from tests.daemon.daemons import running
from tests.daemon.test_store_operators import PATIENT, bring
from tests.daemon.test_streams import wait_until
from tests.storage.conftest import Opens, new_schema
from tests.storage.kit import CREATED, ended, head, messages, more, new, said
from tests.storage.postgres_server import Server
from tests.storage.test_operating import END, ONE, READABLE, STORE, TWO, ada, fill, to_end


@pytest.fixture
def schema() -> str:
    return new_schema()


@pytest.fixture
def there(server: Server, schema: str) -> Iterator[PostgresStore]:
    store = PostgresStore(server.dsn, schema=schema)
    store.open()
    yield store
    store.close()


def lines_of(store: Operable) -> list[bytes]:
    with closing(archive_of(store)) as archive:
        return list(exported(archive))


def checked(store: Operable) -> Checked:
    with closing(archive_of(store)) as archive:
        return to_end(checking(archive, READABLE))


def imported(store: Operable, lines: Sequence[bytes]) -> Imported:
    return to_end(importing.importing(arrivals_of(store), lines, READABLE))


def talk(sessions: SessionSystem, name: str) -> None:
    sessions.ask(CreateSession(session_id=name, user_id="ada", idempotency_key="k"))
    for number in range(3):
        sessions.ask(AppendMessage(name, Role.USER, f"said {number}", f"key {number}"))


def ids(store: PostgresStore) -> list[str]:
    return [each.id for each in store.history()]


class TestARoundTrip:
    def test_from_sqlite_through_postgresql_gives_the_same_lines(
        self, opens: Opens, there: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 2)
        here = opens()
        fill(here)
        here.write([new("odd \u2028 \U0001f3ad", 700, body=b'{"kind":"s","n":1e300}')])
        lines = lines_of(here)

        assert imported(there, lines) == Imported(4, 705)

        assert lines_of(there) == lines
        assert checked(there) == Checked(4, 705, ())

    def test_back_into_sqlite_gives_the_same_too(self, opens: Opens, there: PostgresStore) -> None:
        there.write([new("ada", 3, standing=b'{"restarts":1}', created=CREATED), new("bob")])
        there.write([new("eve", messages=messages(0, 2, keys=(2,)), head=head(2))])
        there.write([ended("bob", 77.5)])
        lines, here = lines_of(there), opens()

        imported(here, lines)

        assert lines_of(here) == lines


class TestAnImport:
    def test_comes_beside_what_is_there_and_can_be_gone_on_with(
        self, opens: Opens, there: PostgresStore
    ) -> None:
        here = opens()
        fill(here)
        there.write([new("zoe", 1)])

        imported(there, lines_of(here))

        assert there.write([more("ada", 3, 4), more("zoe", 1, 2), new("last")]) == {}
        assert ids(there) == ["zoe", "ada", "bob", "eve", "last"]
        assert len(said(there, "ada")) == 4
        assert checked(there).findings == ()

    def test_is_not_seen_before_its_end_while_others_are_written(
        self, opens: Opens, there: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 2)
        here = opens()
        fill(here)

        count = 0
        for _ in importing.importing(arrivals_of(there), lines_of(here), READABLE):
            assert ids(there) == [f"new-{n}" for n in range(count)]
            there.write([new(f"new-{count}", 1)])
            count += 1

        assert count > 3
        assert ids(there) == [*(f"new-{n}" for n in range(count)), "ada", "bob", "eve"]

    def test_that_is_given_up_leaves_nothing(
        self, opens: Opens, there: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 2)
        here = opens()
        fill(here)
        arrivals = PostgresArrivals(there)
        steps = importing.importing(arrivals, lines_of(here), READABLE)
        for _ in range(3):
            next(steps)
        steps.close()

        assert not arrivals._link.is_open
        assert ids(there) == []
        assert checked(there) == Checked(0, 0, ())
        assert imported(there, lines_of(here)) == Imported(3, 5)

    @pytest.mark.parametrize(
        ("lines", "number"),
        [
            pytest.param([STORE, ada(), ONE], 3, id="no end"),
            pytest.param([STORE, ada(id="taken"), ONE, TWO, END], 2, id="one that is there"),
            pytest.param([STORE, ada(), ONE, TWO, ada()], 5, id="a session twice"),
            pytest.param([STORE, b"{"], 2, id="no JSON"),
        ],
    )
    @pytest.mark.parametrize("at_once", [1, 250])
    def test_that_is_not_right_names_the_line_and_takes_nothing(
        self,
        there: PostgresStore,
        monkeypatch: pytest.MonkeyPatch,
        lines: list[bytes],
        number: int,
        at_once: int,
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", at_once)
        there.write([new("taken", 1)])

        with pytest.raises(ImportRefused) as refused:
            imported(there, lines)

        assert refused.value.line >= number
        assert ids(there) == ["taken"]
        assert checked(there) == Checked(1, 1, ())

    def test_says_so_of_an_id_that_is_taken_meanwhile(
        self, there: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 1)
        steps = importing.importing(arrivals_of(there), [STORE, ada(), ONE, TWO, END], READABLE)
        for _ in range(3):
            next(steps)
        there.write([new("ada")])

        with pytest.raises(ImportRefused, match="id='ada'"):
            to_end(steps)

        assert (ids(there), said(there, "ada")) == (["ada"], [])

    def test_of_what_postgresql_cannot_keep_says_why(self, there: PostgresStore) -> None:
        with pytest.raises(StoreError, match="cannot be kept") as refused:
            imported(there, [STORE, ada(id="a\0b"), ONE, TWO, END])

        assert "NUL" in refused.value.remedy
        assert ids(there) == []

    @pytest.mark.parametrize("renews", [True, False], ids=["before", "since it was renewed"])
    def test_by_who_has_lost_the_lease_is_refused(
        self, server: Server, schema: str, monkeypatch: pytest.MonkeyPatch, *, renews: bool
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 1)
        slow = PostgresStore(server.dsn, schema=schema, lease_s=1.0, renew_every_s=0.5)
        arrivals = arrivals_of(slow)
        steps = importing.importing(arrivals, [STORE, ada(), ONE, TWO, END], READABLE)
        for _ in range(3):
            next(steps)
        if not renews:
            monkeypatch.setattr(slow, "renew", lambda: None)
        with closing(PostgresStore(server.dsn, schema=schema)) as other:
            other.open()

            with pytest.raises(StoreFenced):
                to_end(steps)

            assert ids(other) == []
        slow.close()


class TestAnArchive:
    def test_shows_one_moment_while_the_owner_writes(self, there: PostgresStore) -> None:
        there.write([new("ada", 3), new("bob", 1)])
        before = lines_of(there)
        with closing(archive_of(there)) as archive:
            going = exported(archive)
            first = next(going)

            there.write([more("ada", 3, 4), ended("bob", 3.0, 1), new("new")])
            there.purge(ended_before=100.0, limit=9)

            assert [first, *going] == before

    def test_whose_connection_is_lost_does_not_go_on_with_another_moment(
        self, there: PostgresStore
    ) -> None:
        there.write([new("ada", 3), new("bob", 1)])
        with closing(PostgresArchive(there.patient_link, there.schema)) as archive:
            going = exported(archive)
            next(going)
            archive._link.drop()

            with pytest.raises(StoreError, match="connection"):
                list(going)

    def test_finds_messages_of_nobody(
        self, there: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres_archive, "LOGS_AT_ONCE", 2)
        there.write([new(name, 1) for name in ("a", "b", "c", "d", "e")])
        link = there.patient_link()
        link.open()
        link.rows("DELETE FROM session WHERE id IN ('b', 'e')")
        link.rows("DELETE FROM message WHERE session = 'a'")
        link.drop()

        assert checked(there).findings == (
            Finding("there are messages of a session 'b' that is not there"),
            Finding("there are messages of a session 'e' that is not there"),
            Finding("the message is missing", "a", 1),
        )

    def test_of_a_database_without_sessions_is_refused(self, server: Server, schema: str) -> None:
        nothing = PostgresStore(server.dsn, schema=schema)

        with pytest.raises(StoreRefused, match="no such schema"):
            lines_of(nothing)


class TestAnExportOfADaemon:
    def test_that_is_read_too_slowly_ends_in_its_time_and_says_that_it_is_not_all(
        self, tmp_path: Path, there: PostgresStore, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = there.patient_link()
        there.close()  # the daemon has its own
        link.open()

        def is_read() -> bool:
            sql = "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'"
            return bool(link.rows(sql))

        tmp_path.chmod(0o700)
        kept = PostgresStore(server.dsn, schema=there.schema)
        with running(tmp_path, store=kept, settings=PATIENT) as daemon, daemon.client() as http:
            bring(http, "ada", messages=20_000)  # more than a socket holds
            with http.stream("GET", "/v1/store/export") as answer:
                lines = answer.iter_lines()
                next(lines)
                wait_until(is_read)

                daemon.let_pass(PATIENT.export_s, monkeypatch)

                last = json.loads(list(lines)[-1])
                wait_until(lambda: not is_read())
        link.drop()

        assert (last["line"], last["problem"]["code"]) == ("broken", "export_timeout")


class TestACompaction:
    def test_deletes_what_ended_long_ago(self, there: PostgresStore) -> None:
        there.write([new("old", 3), new("young", 1), new("lives", 1)])
        there.write([ended("old", 10.0, 3), ended("young", 90.0, 1)])

        done = to_end(compaction_of(there, ended_before=50.0))

        assert isinstance(done, Compacted)
        assert (done.purged, ids(there)) == (1, ["young", "lives"])
        assert done.bytes_before > 0
        assert done.why is not None
        assert "VACUUM FULL" in done.why
        assert checked(there).findings == ()


class TestTheOperatorOfARunningSystem:
    def test_looks_after_sessions_that_go_on(
        self, opens: Opens, path: Path, server: Server, schema: str
    ) -> None:
        with SessionSystem(store=path) as elsewhere:
            talk(elsewhere, "ada")
        lines = lines_of(opens())

        with SessionSystem(store=PostgresStore(server.dsn, schema=schema)) as sessions:
            talk(sessions, "bob")
            operator = sessions.operator

            assert asyncio.run(operator.take_in(lines)) == Imported(1, 3)
            assert sessions.ask(AppendMessage("ada", Role.USER, "and on")) == 4
            with pytest.raises(ImportRefused, match="id='ada'"):
                asyncio.run(operator.take_in(lines))
            with closing(operator.archive()) as archive:
                assert to_end(checking(archive, operator.inspector())) == Checked(2, 7, ())
            sessions.ask(TerminateSession("bob"))
            assert asyncio.run(operator.compact(ended_longer_than_s=0.0)).purged == 1
            assert sessions.health().is_healthy


@pytest.mark.slow
class TestTheCommands:
    @staticmethod
    def command(*words: str, given: bytes = b"") -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.daemon.callboard", "store", *words],
            input=given,
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    @pytest.fixture
    def address(self, server: Server) -> str:
        """Return the server's address as a command takes it; its schema is made anew."""
        store = PostgresStore(server.dsn)
        link = store.patient_link()
        link.open()
        link.rows("DROP SCHEMA IF EXISTS callboard CASCADE")
        link.drop()
        return f"postgresql:///postgres?host={server.folder}&user={_user(server.dsn)}"

    def test_take_sessions_there_and_back(
        self, path: Path, tmp_path: Path, server: Server, address: str
    ) -> None:
        with SessionSystem(store=path) as sessions:
            talk(sessions, "ada")
            sessions.ask(CreateSession(session_id="bob", metadata={"a": [1, None]}))
            sessions.ask(TerminateSession("bob"))
            log = sessions.messages("ada")
        out = tmp_path / "out.jsonl"
        assert self.command("export", str(out), "--store", str(path))[0] == 0

        came = self.command("import", str(out), "--store", address)
        again = self.command("export", "--store", address)
        seen = self.command("check", "--store", address)
        compacted = self.command("compact", "--ended-longer-than-s", "0", "--store", address)

        assert came == (0, "2 sessions with 3 messages are there\n", "")
        assert again == (0, out.read_text(encoding="utf-8"), "")
        assert seen == (0, "2 sessions with 3 messages: all is whole\n", "")
        assert compacted[0] == 0
        assert compacted[1].startswith("1 ended sessions are deleted;")
        with SessionSystem(store=PostgresStore(server.dsn)) as sessions:
            assert sessions.messages("ada") == log

    def test_look_at_what_a_daemon_uses_and_change_nothing_of_it(
        self, server: Server, address: str
    ) -> None:
        with SessionSystem(store=PostgresStore(server.dsn)) as sessions:
            talk(sessions, "ada")

            locked = self.command("compact", "--store", address)
            seen = self.command("check", "--store", address)

        assert locked[0] == 75
        assert "Leave out --store" in locked[2]
        assert seen == (0, "1 sessions with 3 messages: all is whole\n", "")

    def test_refuse_an_address_with_a_password(self) -> None:
        code, _, why = self.command("check", "--store", "postgresql://me:secret@nowhere/db")

        assert code == 64
        assert "secret" not in why


def _user(dsn: str) -> str:
    return dict(each.split("=", 1) for each in dsn.split())["user"]
