"""What is said of SQLite alone, beyond what every store keeps (test_contract.py)."""

from __future__ import annotations

import sqlite3
import tracemalloc

import pytest

from callboard.actors import StoreError
from callboard.actors.storage import reading
from callboard.actors.storage.database import Database, StandardDatabase
from callboard.actors.storage.disk import LocalDisk
from callboard.actors.storage.exporting import exported
from callboard.actors.storage.records import MessageRecord, Stored, Write
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.conftest import Opens
from tests.storage.kit import BODY, Careless, by_id, head, messages, more, new, said


class TestALog:
    def test_is_found_by_its_index_at_any_length(self, store: SqliteStore) -> None:
        for sql in (reading._MESSAGES, reading._KEYED):
            values = ("ada", 1, 2)
            plan = store.look(lambda db, s=sql, v=values: db.rows(f"EXPLAIN QUERY PLAN {s}", v))  # type: ignore[misc]  # defaults of a lambda
            steps = [row[-1] for row in plan]

            assert not [step for step in steps if "SCAN" in step or "B-TREE" in step], steps


class Small(LocalDisk):
    """Connections that take no value of more than a thousand bytes."""

    def open(self, path: str, *, is_readonly: bool = False, is_immutable: bool = False) -> Database:
        database = super().open(path, is_readonly=is_readonly, is_immutable=is_immutable)
        assert isinstance(database, StandardDatabase)
        database._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000)
        return database


class TestAWriteThatCannotBeKept:
    BAD = (
        pytest.param(
            more("bad", 1, 1, body=b"x" * 2_000), "string or blob too big", id="too large"
        ),
        pytest.param(
            Write(
                id="bad", head=head(2), after_seq=1, messages=(MessageRecord(2, "\ud800", b"1"),)
            ),
            "surrogates not allowed",
            id="no Unicode",
        ),
        pytest.param(
            Write(id="bad", head=head(2), after_seq=1, messages=messages(1, 2) * 2),
            "UNIQUE",
            id="a number twice",
        ),
        pytest.param(
            more("bad", 1, 1, head=head(version=1 << 70)), "too large", id="a number too large"
        ),
        pytest.param(Write(id="bad", is_new=True), "no head", id="a first one without a snapshot"),
        pytest.param(more("bad?", 0, 1), "no session 'bad?'", id="of nobody"),
    )

    @pytest.mark.parametrize(("bad", "cause"), BAD)
    def test_takes_no_other_along(self, opens: Opens, bad: Write, cause: str) -> None:
        store = opens(disk=Small())
        store.write([new("ada", 1), new("bad", 1), new("bob", 1)])

        refused = store.write([more("ada", 1, 2), bad, more("bob", 1, 2)])

        assert list(refused) == [bad.id]
        assert cause in str(refused[bad.id])
        assert refused[bad.id].remedy.endswith(".")
        assert said(store, "ada") == said(store, "bob") == ["said 1", "said 2"]
        assert said(store, "bad") == ["said 1"]
        assert by_id(store)["bad"] == Stored("bad", head(1), BODY)


class TestAReader:
    def test_cannot_write(self, store: SqliteStore) -> None:
        reader = store.reader()

        with pytest.raises(StoreError, match="cannot be written"):
            reader.look(lambda database: database.execute("DELETE FROM session"))

        reader.close()


@pytest.fixture
def long_log(opens: Opens) -> SqliteStore:
    """A log of ten megabytes."""
    store = opens(disk=Careless())
    store.write([new("ada")])
    for after in range(0, 20_000, 5_000):
        store.write([more("ada", after, after + 5_000, said="x" * 500)])
    return store


def test_a_long_log_is_read_in_bounded_memory(long_log: SqliteStore) -> None:
    tracemalloc.start()
    try:
        for after in range(0, 20_000, 200):
            page = long_log.messages("ada", after_seq=after, up_to_seq=after + 200)
            assert [each.seq for each in page] == list(range(after + 1, after + 201))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000


def test_a_long_log_is_exported_in_bounded_memory(long_log: SqliteStore) -> None:
    reader = long_log.reader()
    tracemalloc.start()
    try:
        lines = sum(1 for _ in exported(reader))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        reader.close()

    assert lines == 20_003
    assert peak < 2_000_000
