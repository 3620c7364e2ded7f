"""What PostgresStore does beyond the contract of every store: leases, lost servers, secrets."""

from __future__ import annotations

import inspect
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from typing import Any

import psutil
import psycopg
import pytest

from callboard.actors.errors import (
    StoreDamaged,
    StoreError,
    StoreFenced,
    StoreLocked,
    StoreOutcomeUnknown,
    StoreRefused,
    StoreTooNew,
)
from callboard.actors.storage import postgres, postgres_link, postgres_rows
from callboard.actors.storage.postgres import PostgresExtraMissing, PostgresStore
from callboard.actors.storage.postgres_link import PsycopgLink
from callboard.actors.storage.postgres_port import Lost, Refused, Rows, Statement
from callboard.actors.storage.postgres_tables import UPGRADES, VERSION, make, upgrade
from callboard.actors.storage.records import Head, MessageRecord, Store, Write
from callboard.supervision.model.errors import InvalidSpec
from tests.house import ROOT
from tests.storage.conftest import new_schema
from tests.storage.kit import by_id, head, more, new, said
from tests.storage.postgres_server import Server

Open = Callable[..., PostgresStore]


@pytest.fixture
def schema() -> str:
    return new_schema()


@pytest.fixture
def stores() -> Iterator[list[Store]]:
    """Closed at the end of the test, the last one first."""
    opened: list[Store] = []
    yield opened
    for each in reversed(opened):
        each.close()


@pytest.fixture
def opening(server: Server, schema: str, stores: list[Store]) -> Open:
    """Makes stores on one schema."""

    def opened(schema: str = schema, **options: Any) -> PostgresStore:
        store = PostgresStore(server.dsn, schema=schema, **options)
        stores.append(store)
        return store

    return opened


@pytest.fixture
def store(opening: Open) -> PostgresStore:
    return opening()


@pytest.fixture
def operator(server: Server, schema: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's connection, who looks at the tables of the schema."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {schema}".encode())
        yield connection


def backends_of(operator: psycopg.Connection[Any]) -> list[int]:
    """The processes that serve stores."""
    rows = operator.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'callboard'"
    ).fetchall()
    return [row[0] for row in rows]


@contextmanager
def lease_kept(store: PostgresStore) -> Generator[None]:
    """Renew a store's lease again and again, as its writer does."""
    is_over = Event()

    def renew() -> None:
        while not is_over.wait(0.02):
            store.renew()

    thread = Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(10.0)


class TestAServerWhoseFilesAreDamaged:
    def test_is_told_as_what_it_is(
        self, store: PostgresStore, operator: psycopg.Connection[Any]
    ) -> None:
        store.write([new("a", 1)])
        operator.execute(
            "CREATE FUNCTION torn() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'page 7 is torn' USING ERRCODE = 'data_corrupted'; END $$"
        )
        operator.execute(
            "CREATE TRIGGER torn BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION torn()"
        )

        with pytest.raises(StoreDamaged, match="page 7 is torn") as damaged:
            store.write([more("a", 1, 2)])

        assert not damaged.value.is_retryable
        assert "backup" in damaged.value.remedy
        assert damaged.value.__cause__ is damaged.value.__context__ is None


@pytest.mark.slow
class TestAServerThatGoes:
    def test_nothing_is_kept_while_it_is_away_and_writes_go_on_when_it_is_back(
        self, server: Server, store: PostgresStore
    ) -> None:
        store.write([new("a", 1)])
        reader = store.reader()
        assert said(reader, "a") == ["said 1"]

        server.stop()
        with pytest.raises(StoreError) as caught:
            store.write([more("a", 1, 2)])
        with pytest.raises(StoreError):
            said(reader, "a")
        server.start()

        assert type(caught.value) is StoreError
        assert not store.write([more("a", 1, 2, said="again")])
        assert said(reader, "a") == ["said 1", "again 2"]
        reader.close()

    def test_a_restart_while_nothing_is_written_goes_unnoticed(
        self, server: Server, store: PostgresStore
    ) -> None:
        store.write([new("a", 1)])
        reader = store.reader()
        assert said(reader, "a") == ["said 1"]

        server.stop()
        server.start()

        assert not store.write([more("a", 1, 2)])
        assert said(reader, "a") == ["said 1", "said 2"]
        reader.close()

    def test_a_kill_of_all_its_processes_loses_nothing_acknowledged(
        self, server: Server, store: PostgresStore
    ) -> None:
        store.write([new("a")])
        acknowledged: list[str] = []
        failures: list[StoreError] = []
        has_begun = Event()

        def work() -> None:
            while not failures:
                text = f"said {len(acknowledged) + 1}"
                try:
                    store.write([more("a", len(acknowledged), len(acknowledged) + 1)])
                except StoreError as error:
                    failures.append(error)
                else:
                    acknowledged.append(text)
                    if len(acknowledged) == 20:
                        has_begun.set()

        thread = Thread(target=work)
        thread.start()
        assert has_begun.wait(20.0)
        server.kill()
        thread.join(20.0)
        server.start()

        found = said(store, "a")
        assert found[: len(acknowledged)] == acknowledged
        # One more may be there, if the server was lost while it committed.
        allowed = 1 if isinstance(failures[0], StoreOutcomeUnknown) else 0
        assert len(found) - len(acknowledged) <= allowed

    def test_a_connection_that_an_operator_ends_is_replaced(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        store.write([new("a", 1)])

        for each in backends_of(operator):
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))

        assert not store.write([more("a", 1, 2)])

    def test_a_server_that_takes_no_writes_is_read_and_written_again_when_it_does(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        store.write([new("a", 1)])
        reader = store.reader()

        operator.execute("ALTER ROLE callboard SET default_transaction_read_only = on")
        try:
            for each in backends_of(operator):
                operator.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))
            with pytest.raises(StoreError, match="25006"):
                store.write([more("a", 1, 2)])
            assert said(reader, "a") == ["said 1"]
        finally:
            operator.execute("SET default_transaction_read_only = off")
            operator.execute("ALTER ROLE callboard RESET default_transaction_read_only")

        assert not store.write([more("a", 1, 2)])
        reader.close()


FAIL_AT_COMMIT = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (new.body = '"lost 2"') EXECUTE FUNCTION fail();
"""
"""Whoever commits a message that says `lost` loses its connection in the middle of it."""


class TestAConnectionLostDuringCommit:
    def test_the_outcome_is_unknown_until_the_same_is_written_again(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        store.write([new("a", 1)])
        operator.execute(FAIL_AT_COMMIT)
        lost = [more("a", 1, 2, said="lost")]

        with pytest.raises(StoreOutcomeUnknown):
            store.write(lost)
        operator.execute("DROP TRIGGER fail ON message")

        assert not store.write(lost)
        assert said(store, "a") == ["said 1", "lost 2"]

    def test_a_refusal_does_not_say_that_nothing_was_kept_while_that_is_unknown(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        store.write([new("a", 1)])
        operator.execute(FAIL_AT_COMMIT)
        with pytest.raises(StoreOutcomeUnknown):
            store.write([more("a", 1, 2, said="lost")])

        operator.execute("ALTER TABLE message RENAME TO elsewhere")
        with pytest.raises(StoreOutcomeUnknown):
            store.write([more("a", 1, 2)])
        operator.execute("ALTER TABLE elsewhere RENAME TO message")
        store.write([more("a", 1, 2)])
        operator.execute("ALTER TABLE message RENAME TO elsewhere")
        with pytest.raises(StoreError) as caught:
            store.write([more("a", 2, 3)])

        assert type(caught.value) is StoreError

    def test_a_fence_that_is_found_then_does_not_say_that_nothing_was_kept(
        self, opening: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = opening(lease_s=1.0, renew_every_s=0.5)
        first.write([new("a", 1)])
        second = opening()
        commit = first._link.commit

        def lost() -> None:
            commit()
            second.open()  # waits until the lease has run out
            first._link.drop()
            msg = "lost on the way back"
            raise Lost(msg, is_stale=True)

        monkeypatch.setattr(first._link, "commit", lost)
        with pytest.raises(StoreOutcomeUnknown, match="taken") as caught:
            first.write([more("a", 1, 2)])

        assert not caught.value.is_outcome_known
        assert said(second, "a") == ["said 1", "said 2"]
        with pytest.raises(StoreFenced):  # of what comes later it is known
            first.write([more("a", 2, 3)])

    def test_what_was_committed_all_the_same_is_there_once(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        store.write([new("a")])
        acknowledged: list[str] = []
        is_over = Event()

        def work() -> None:
            while not is_over.is_set():
                text = f"said {len(acknowledged) + 1}"
                assert not store.write([more("a", len(acknowledged), len(acknowledged) + 1)])
                acknowledged.append(text)

        thread = Thread(target=work)
        waiting = (
            "SELECT pid FROM pg_stat_activity"
            " WHERE wait_event = 'SyncRep' AND application_name = 'callboard'"
        )
        # A standby that does not exist: a commit is on our disk, and then waits for that one's.
        operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        try:
            operator.execute("SELECT pg_reload_conf()")
            thread.start()
            pid = next(pid for _ in range(100_000) if (pid := _first(operator, waiting)))
            operator.execute("SELECT pg_terminate_backend(%s)", (pid,))
        finally:
            operator.execute("ALTER SYSTEM RESET synchronous_standby_names")
            operator.execute("SELECT pg_reload_conf()")
            is_over.set()
            thread.join(20.0)

        assert _first(operator, "SELECT epoch FROM lease") == 2, "a new connection did it again"
        assert acknowledged
        assert said(store, "a") == acknowledged


def _first(connection: psycopg.Connection[Any], sql: str) -> Any:
    row = connection.execute(sql.encode()).fetchone()
    return None if row is None else row[0]


class TestTheLease:
    def test_a_second_live_owner_is_refused_and_told_who_has_it(self, opening: Open) -> None:
        first, second = opening(), opening()
        first.open()

        with lease_kept(first), pytest.raises(StoreLocked) as caught:
            second.open()

        assert caught.value.pid == psutil.Process().pid
        assert caught.value.since == pytest.approx(psutil.Process().create_time(), abs=3_600)
        assert not first.write([new("a")])

    def test_a_lease_of_a_clock_that_was_put_back_says_how_long_it_lasts_and_who_ends_it(
        self, opening: Open, operator: psycopg.Connection[Any], schema: str
    ) -> None:
        opening().write([new("a", 1)])
        operator.execute("UPDATE lease SET until = clock_timestamp() + interval '1 hour'")

        with pytest.raises(StoreLocked) as caught:
            opening().open()

        remedy = caught.value.remedy
        assert "another 3600 s" in remedy
        release = remedy.partition("release the lease: ")[2]
        assert release.startswith(f'UPDATE "{schema}".lease SET')
        operator.execute(release.removesuffix(".").encode())
        assert list(by_id(opening())) == ["a"]

    def test_the_owner_after_one_that_was_closed_need_not_wait(self, opening: Open) -> None:
        first = opening(lease_s=60.0)
        first.write([new("a")])
        first.close()

        second = opening(lease_s=60.0)

        assert list(by_id(second)) == ["a"]

    def test_the_owner_after_one_that_was_killed_waits_for_its_lease_to_run_out(
        self, opening: Open, operator: psycopg.Connection[Any]
    ) -> None:
        killed = opening(lease_s=1.0, renew_every_s=0.3)
        killed.write([new("a", 1)])
        until = _first(operator, "SELECT until FROM lease")

        second = opening()
        second.write([more("a", 1, 2)])

        assert _first(operator, "SELECT since FROM lease") >= until
        assert said(second, "a") == ["said 1", "said 2"]

    def test_an_owner_whose_lease_was_taken_is_fenced_for_good(self, opening: Open) -> None:
        first = opening(lease_s=1.0, renew_every_s=0.3)
        first.write([new("a", 1)])
        reader = first.reader()
        second = opening()
        second.open()

        for _ in range(2):
            with pytest.raises(StoreFenced):
                first.write([more("a", 1, 2)])
        second.close()
        with pytest.raises(StoreFenced):
            first.renew()
        with pytest.raises(StoreFenced):
            first.purge(ended_before=1.0, limit=1)

        assert said(reader, "a") == ["said 1"]
        reader.close()

    def test_an_owner_that_finds_another_one_when_it_connects_again_is_fenced(
        self, opening: Open, operator: psycopg.Connection[Any]
    ) -> None:
        first = opening(lease_s=1.0, renew_every_s=0.3)
        first.open()
        opening().open()
        for each in backends_of(operator):
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))

        with pytest.raises(StoreFenced):
            first.write([new("a")])

    def test_a_newer_library_that_starts_beside_a_live_owner_changes_nothing(
        self, opening: Open, operator: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, newer = opening(), opening()
        first.write([new("a", 1)])

        with lease_kept(first), monkeypatch.context() as patched:
            patched.setattr(postgres, "upgrade", partial(upgrade, upgrades=NEWER))
            with pytest.raises(StoreLocked):
                newer.open()
        for each in backends_of(operator):
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))

        assert not first.write([more("a", 1, 2)])

    def test_an_owner_whose_tables_a_newer_library_has_changed_is_fenced(
        self, opening: Open, operator: psycopg.Connection[Any]
    ) -> None:
        first = opening()
        first.write([new("a", 1)])
        operator.execute("UPDATE meta SET value = %s", (str(VERSION + 1),))
        for each in backends_of(operator):
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))

        for _ in range(2):
            with pytest.raises(StoreFenced, match="schema has version") as caught:
                first.write([more("a", 1, 2)])
            assert not caught.value.is_retryable
            assert "newer" in caught.value.remedy

    def test_a_lease_that_ran_out_and_that_nobody_took_is_good(
        self, opening: Open, operator: psycopg.Connection[Any]
    ) -> None:
        store = opening()
        store.open()
        operator.execute("UPDATE lease SET until = clock_timestamp() - interval '1 day'")

        assert not store.write([new("a")])

        # And a write renews what is due.
        assert _first(operator, "SELECT until > clock_timestamp() FROM lease")

    def test_what_a_lost_connection_left_behind_is_refused(
        self, opening: Open, operator: psycopg.Connection[Any]
    ) -> None:
        store = opening()
        store.open()
        left_behind = store._lease.hold()

        for each in backends_of(operator):
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))
        store.write([new("a")])

        held = operator.execute(left_behind.sql.encode(), left_behind.values).fetchall()
        assert held == []

    def test_systems_that_share_a_database_do_not_meet(self, opening: Open, schema: str) -> None:
        one, other = opening(schema=f"{schema}_one"), opening(schema=f"{schema}_other")

        one.write([new("a", 1)])
        other.write([new("a", 2), new("b")])

        assert (said(one, "a"), list(by_id(one))) == (["said 1"], ["a"])


class TestWhatIsKept:
    def test_only_text_that_the_server_cannot_keep_is_refused(self, store: PostgresStore) -> None:
        bad = MessageRecord(1, "k\0", b"{}")
        writes = [
            Write(id="in a key", is_new=True, head=head(0), body=b"{}", messages=(bad,)),
            new("in an id\0"),
            Write(id="in a body", is_new=True, head=head(0), body=b"\0"),
            Write(id="in a state", is_new=True, head=Head("\0", 1, 1, 1, 1, 1.0), body=b"{}"),
        ]

        failed = store.write(writes)

        assert list(failed) == ["in a key", "in an id\0", "in a state"]
        assert list(by_id(store)) == ["in a body"]
        assert "k\0" not in str(failed["in a key"])

    def test_commits_are_durable_where_others_have_turned_that_off(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        operator.execute("ALTER ROLE callboard SET synchronous_commit = off")
        try:
            store.open()
        finally:
            operator.execute("ALTER ROLE callboard RESET synchronous_commit")

        assert store._link.rows("SELECT current_setting('synchronous_commit')") == [("on",)]


class Killed(BaseException):
    """What a kill raises in the thread that it ends."""


class TestAKillInTheMiddle:
    @pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
    def test_of_a_transaction_leaves_nothing_to_the_next_one(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch, *, is_after: bool
    ) -> None:
        store.write([new("a", 1), new("b", 1)])
        together = store._link.together

        def killed(statements: Sequence[Statement]) -> list[Rows]:
            monkeypatch.undo()
            if is_after:
                together(statements)
            raise Killed

        monkeypatch.setattr(store._link, "together", killed)
        with pytest.raises(Killed):
            store.write([more("a", 1, 2)])
        store.write([more("b", 1, 2)])

        assert said(store, "a") == ["said 1"]
        assert said(store, "b") == ["said 1", "said 2"]


class TestReading:
    def test_what_lives_is_found_among_whatever_has_ended(self, store: PostgresStore) -> None:
        store.open()

        rows = store._link.rows(f"EXPLAIN {postgres_rows.SESSIONS}", (0, 10))

        assert "Index Scan using session_lives" in "\n".join(row[0] for row in rows)

    def test_what_grows_is_found_by_an_index(self, store: PostgresStore) -> None:
        store.open()
        link = store._link

        for sql, values in (
            (postgres_rows.SESSIONS, (5, 10)),
            (postgres_rows.HISTORY, (5, 10)),
            (postgres_rows.MESSAGES, ("a", 1, 2)),
            (postgres_rows.KEYED, ("a", 1, 2)),
            (postgres_rows.ENDED, (1.0, 10)),
        ):
            plan = "\n".join(row[0] for row in link.rows(f"EXPLAIN {sql}", values))
            assert "Index Scan" in plan, plan
            assert "Seq Scan" not in plan, plan
        for statement in postgres_rows.changes([new("a", 1), more("b", 0, 1)]):
            explained = link.rows(f"EXPLAIN {statement.sql}", statement.values)
            plan = "\n".join(row[0] for row in explained)
            assert "Seq Scan" not in plan, plan


STATEMENT_S = 1.0
"""How long a statement may take: longer than one that waits for nobody, on a busy machine too."""


class TestBoundsOfTime:
    def test_a_statement_that_waits_for_a_lock_is_given_up(
        self, operator: psycopg.Connection[Any], opening: Open
    ) -> None:
        store = opening(statement_timeout_s=STATEMENT_S)
        store.write([new("a", 1)])

        with operator.transaction():
            operator.execute("LOCK TABLE message")
            with pytest.raises(StoreError, match="57014"):
                store.write([more("a", 1, 2)])

        assert not store.write([more("a", 1, 2)])

    def test_a_server_that_says_nothing_is_lost(
        self,
        operator: psycopg.Connection[Any],
        opening: Open,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(postgres_link, "ANSWER_SLACK_S", 0.2)
        store = opening(statement_timeout_s=STATEMENT_S)
        store.write([new("a", 1)])
        (frozen,) = [psutil.Process(each) for each in backends_of(operator)]

        frozen.suspend()
        try:
            assert not store.write([more("a", 1, 2)])  # over a new connection
        finally:
            frozen.resume()

        assert said(store, "a") == ["said 1", "said 2"]

    @pytest.mark.slow  # libpq takes no shorter time
    def test_a_connection_that_is_not_answered_is_given_up(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            store = PostgresStore(f"host=127.0.0.1 port={port}", connect_timeout_s=2)

            with pytest.raises(StoreError, match="timeout"):
                store.open()


NEWER = (*UPGRADES, ("ALTER TABLE session ADD mood text",))
"""What a newer library makes of the tables."""


class TestTheTables:
    @pytest.fixture
    def link(self, server: Server, schema: str) -> Iterator[PsycopgLink]:
        link = PsycopgLink(server.dsn, schema=schema, connect_timeout_s=5, statement_timeout_s=10.0)
        link.open()
        yield link
        link.drop()

    def test_older_ones_become_newer_ones_and_are_then_refused_by_the_older_library(
        self, link: PsycopgLink, opening: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = opening()
        old.write([new("a", 1)])
        old.close()

        with monkeypatch.context() as patched:
            patched.setattr(postgres, "upgrade", partial(upgrade, upgrades=NEWER))
            newer = opening()
            newer.open()
            newer.close()

        assert link.rows("SELECT id, mood FROM session") == [("a", None)]
        refused = opening()
        with pytest.raises(StoreTooNew) as caught:
            refused.open()
        assert (caught.value.version, caught.value.known) == (VERSION + 1, VERSION)

    def test_those_of_every_earlier_version_are_brought_up_to_date(
        self, link: PsycopgLink, schema: str, opening: Open
    ) -> None:
        for version in range(1, VERSION):
            make(link, schema, upgrades=UPGRADES[:version])
            link.rows(
                "INSERT INTO session (id, state, incarnation, version, last_seq, message_count,"
                " last_active_at, body) VALUES ('a', 'active', 1, 1, 0, 0, 0.0, '{}')"
            )

            store = opening()

            assert list(by_id(store)) == ["a"]
            assert link.rows("SELECT value FROM meta") == [(str(VERSION),)]
            store.close()
            link.rows(f"DROP SCHEMA {schema} CASCADE")

    def test_an_upgrade_may_take_longer_than_a_statement_and_a_lease(
        self, opening: Open, operator: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = opening()
        old.open()
        old.close()
        slow = (*UPGRADES, ("SELECT pg_sleep(1.2)",))

        with monkeypatch.context() as patched:
            patched.setattr(postgres, "upgrade", partial(upgrade, upgrades=slow))
            newer = opening(statement_timeout_s=0.5, lease_s=1.0, renew_every_s=0.5)
            newer.open()

        assert _first(operator, "SELECT until > clock_timestamp() FROM lease")
        assert not newer.write([new("a")])

    def test_that_are_somebody_elses_are_refused_and_left_alone(
        self, link: PsycopgLink, schema: str, opening: Open
    ) -> None:
        link.rows(f"CREATE SCHEMA {schema}")
        for columns, version in (
            ("name text, value text", "1.0.2"),
            ("name text, value text", "1"),
            ("id text, kind text", "1"),
        ):
            link.rows(f"CREATE TABLE meta ({columns})")
            link.rows("INSERT INTO meta VALUES ('version', %s)", (version,))

            with pytest.raises(StoreRefused, match=r"something else.*meta") as caught:
                opening().open()

            assert caught.value.path == schema
            assert link.rows("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (schema,)) == [
                (1,)
            ]
            link.rows("DROP TABLE meta")

    def test_of_our_names_that_are_somebody_elses_are_refused(
        self, link: PsycopgLink, schema: str, opening: Open
    ) -> None:
        link.rows(f"CREATE SCHEMA {schema}")
        for each in ("lease", "message", "session"):
            link.rows(f"CREATE TABLE {each} (id int)")
        with pytest.raises(StoreRefused, match="lease, message, session"):
            opening().open()

        link.rows("CREATE TABLE meta (name int, values int)")
        with pytest.raises(StoreRefused, match="something else"):
            opening().open()

    def test_beside_others_of_other_names_are_made(
        self, link: PsycopgLink, schema: str, opening: Open
    ) -> None:
        link.rows(f"CREATE SCHEMA {schema}")
        link.rows("CREATE TABLE invoices (id int)")

        assert not opening().write([new("a")])

    def test_an_upgrade_that_fails_changes_nothing(
        self, link: PsycopgLink, opening: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = opening()
        old.write([new("a", 1)])
        old.close()
        broken = ("ALTER TABLE session ADD mood text", "ALTER TABLE nowhere ADD mood text")

        with monkeypatch.context() as patched:
            patched.setattr(postgres, "upgrade", partial(upgrade, upgrades=(*UPGRADES, broken)))
            newer = opening()
            with pytest.raises(StoreError, match="nowhere"):
                newer.open()
            newer.close()

        with pytest.raises(Refused, match="42703"):
            link.rows("SELECT mood FROM session")
        assert list(by_id(opening())) == ["a"]

    def test_two_that_start_at_once_make_them_once(self, server: Server, schema: str) -> None:
        failures: list[BaseException] = []

        def begin() -> None:
            link = PsycopgLink(
                server.dsn, schema=schema, connect_timeout_s=5, statement_timeout_s=10.0
            )
            try:
                link.open()
                make(link, schema)
            except BaseException as error:  # noqa: BLE001 -- told to the test
                failures.append(error)
            finally:
                link.drop()

        threads = [Thread(target=begin) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(20.0)

        assert not failures


class TestSecrets:
    def test_a_password_is_nowhere_in_what_is_said(self, server: Server) -> None:
        dsn = f"postgresql://hush:hush@/postgres?host={server.folder}&password=hush"
        store = PostgresStore(dsn)

        with pytest.raises(StoreError) as caught:
            store.open()

        error = caught.value
        assert "hush" not in "".join(traceback.format_exception(error))
        assert "hush" not in repr((store, store._link, error, error.args, vars(error)))
        assert (error.__cause__, error.__context__) == (None, None)

    @pytest.mark.parametrize("dsn", ["postgres//user:hush@host", "host=h password='hush", "hush"])
    def test_a_dsn_that_is_wrong_is_not_shown(self, dsn: str) -> None:
        with pytest.raises(InvalidSpec) as caught:
            PostgresStore(dsn)

        assert "hush" not in "".join(traceback.format_exception(caught.value))
        assert "hush" not in repr(vars(caught.value))

    def test_values_are_not_in_errors(
        self, operator: psycopg.Connection[Any], store: PostgresStore
    ) -> None:
        store.write([new("a")])
        operator.execute("ALTER TABLE message ADD CHECK (body <> 'hush')")

        hush = MessageRecord(1, None, b"hush")
        write = Write(id="a", head=head(1), messages=(hush,))
        (error,) = store.write([write]).values()

        assert "hush" not in "".join(traceback.format_exception(error))
        assert b"hush".hex() not in "".join(traceback.format_exception(error))


class TestArguments:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("schema", ""),
            ("schema", 'a"b'),
            ("schema", "Capital"),
            ("schema", "x" * 64),
            ("lease_s", 0.5),
            ("lease_s", 61.0),
            ("renew_every_s", 3.5),
            ("connect_timeout_s", 1),
            ("statement_timeout_s", 0.0),
        ],
    )
    def test_what_cannot_be_is_refused(self, field: str, value: object) -> None:
        options: dict[str, Any] = {field: value}

        with pytest.raises(InvalidSpec) as caught:
            PostgresStore("dbname=postgres", **options)

        assert caught.value.field == field

    def test_without_the_package_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        monkeypatch.delitem(sys.modules, postgres_link.__name__)
        monkeypatch.delattr("callboard.actors.storage.postgres_link")

        with pytest.raises(PostgresExtraMissing) as caught:
            PostgresStore("dbname=postgres")

        assert "callboard[postgres]" in caught.value.remedy

    def test_a_store_that_was_closed_keeps_nothing(self, store: PostgresStore) -> None:
        store.write([new("a")])
        store.close()

        with pytest.raises(StoreError, match="closed"):
            store.write([new("b")])


class TestThePage:
    def test_prints_what_it_says(self, server: Server) -> None:
        example = ROOT / "docs" / "examples" / "postgres" / "keep.py"
        page = (ROOT / "docs" / "how-to" / "keep-sessions-in-postgresql.md").read_text()

        printed = subprocess.run(
            [sys.executable, "-W", "error", str(example), server.dsn],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )

        assert f"```text\n{printed.stdout}```" in page
        assert not printed.stderr

    def test_names_the_defaults(self) -> None:
        page = (ROOT / "docs" / "how-to" / "keep-sessions-in-postgresql.md").read_text()
        parameters = inspect.signature(PostgresStore).parameters.values()
        bounds = {each.name: each.default for each in parameters if each.name.endswith("_s")}

        rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| seconds \|", page, re.MULTILINE)

        assert {name: float(default) for name, default in rows} == bounds
