"""What can be read of a damaged file comes out whole, and what cannot is named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from callboard.actors import StoreError, StoreNotOperable, StoreRefused
from callboard.actors.storage.arriving import SqliteArrivals
from callboard.actors.storage.exporting import exported
from callboard.actors.storage.importing import Imported, importing
from callboard.actors.storage.operable import salvage_of
from callboard.actors.storage.postgres import PostgresStore
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.resting import resting
from callboard.actors.storage.salvaging import SqliteSalvage, salvaged
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.kit import new
from tests.storage.test_damaged import damage
from tests.storage.test_operating import READABLE, to_end

PAGE_BYTES = 4096
SESSIONS = 60


class Saved(NamedTuple):
    """What has come out of a file.

    Args:
        sessions: id -> its line, and those of its messages.
        lost: the lines of those that were left out.
        end: the last line.
    """

    sessions: dict[str, list[Any]]
    lost: list[Any]
    end: Any

    def has_told_of(self, session_id: str) -> bool:
        """Say whether a session is there, or is named, or may be among those that nobody knows."""
        names = {each.get("id") for each in self.lost}
        return session_id in self.sessions or session_id in names or None in names


def saved(lines: Iterable[bytes]) -> Saved:
    first, *middle, end = map(json.loads, lines)
    found = Saved({}, [], end)
    last: list[Any] = []
    for line in middle:
        match line["line"]:
            case "session":
                last = found.sessions[line["id"]] = [line]
            case "message":
                last.append(line)
            case kind:
                assert kind == "skipped"
                found.lost.append(line)
    assert (first["line"], end["line"]) == ("store", "end")
    return found


def lines_of(path: Path) -> list[bytes]:
    with resting(path, SqliteSalvage) as ruin:
        return list(salvaged(ruin, READABLE))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with sessions of all sizes."""
    path = tmp_path_factory.mktemp("kept") / "sessions.db"
    store = SqliteStore(path)
    store.write(
        [
            new(f"session {n:03}", 0 if n % 7 == 0 else n, body=b'{"kind":"%s"}' % (b"k" * 20 * n))
            for n in range(SESSIONS)
        ]
    )
    store.close()
    return path


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """Where a damaged copy may lie."""
    path = tmp_path / "sessions.db"
    path.touch(0o600)
    return path


def test_of_a_file_that_is_whole_is_what_an_export_says(whole: Path) -> None:
    with resting(whole, SqliteSalvage) as reader:
        all_of_it = list(exported(reader))

    assert lines_of(whole) == all_of_it


def test_whichever_page_is_lost_the_others_are_saved(whole: Path, torn: Path) -> None:
    before, content = saved(lines_of(whole)), whole.read_bytes()
    numbers: list[int] = []
    for place in range(PAGE_BYTES, len(content), PAGE_BYTES):
        after = place + PAGE_BYTES
        torn.write_bytes(content[:place] + bytes(PAGE_BYTES) + content[after:])

        found = saved(lines_of(torn))

        for session_id, lines in before.sessions.items():
            assert found.sessions.get(session_id, lines) == lines
            assert found.has_told_of(session_id), (place, session_id)
        assert found.end["sessions"] == len(found.sessions)
        assert found.end.get("skipped", 0) == len(found.lost)
        numbers.append(len(found.sessions))

    # All but the pages by which a whole table is found take a few along.
    assert sorted(numbers)[len(numbers) // 3] > SESSIONS * 0.8


def test_wherever_a_file_ends_what_there_is_can_be_saved(whole: Path, torn: Path) -> None:
    before, content = saved(lines_of(whole)), whole.read_bytes()
    for size in range(PAGE_BYTES, len(content), 1_500):
        torn.write_bytes(content[:size])
        with pytest.raises(StoreError), resting(torn, SqliteReader) as reader:
            list(exported(reader))

        found = saved(lines_of(torn))

        for session_id, lines in before.sessions.items():
            assert found.sessions.get(session_id, lines) == lines
            assert found.has_told_of(session_id), (size, session_id)
        assert found.lost


def test_what_is_saved_can_be_imported(whole: Path, torn: Path, tmp_path: Path) -> None:
    content = bytearray(whole.read_bytes())
    content[-5 * PAGE_BYTES : -4 * PAGE_BYTES] = bytes(PAGE_BYTES)
    torn.write_bytes(content)
    lines = lines_of(torn)
    found = saved(lines)
    store = SqliteStore(tmp_path / "new.db")

    imported = to_end(importing(SqliteArrivals(store), lines, READABLE))

    assert 0 < len(found.sessions) < SESSIONS
    assert imported == Imported(len(found.sessions), found.end["messages"])
    assert {each.id for each in store.sessions()} == set(found.sessions)
    store.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DELETE FROM message WHERE session = 3 AND seq = 2", "message 2: the message is missing"),
        ("UPDATE message SET body = 'x' WHERE session = 3", "message 1: the messages from here on"),
        ("UPDATE snapshot SET body = x'ff' WHERE session = 3", "its body is no JSON"),
        ("DELETE FROM snapshot WHERE session = 3", "it has no snapshot"),
        ("UPDATE session SET version = 'x' WHERE number = 3", "its version is str"),
        ("UPDATE session SET last_seq = 1 << 60 WHERE number = 3", "it counts 2 messages"),
    ],
)
def test_a_session_that_is_not_whole_is_left_out_and_named(
    path: Path, change: str, why: str
) -> None:
    store = SqliteStore(path)
    store.write([new("ada", 2), new("bob", 2), new("eve", 2), new("dan", 2)])
    store.close()
    damage(path, change)

    found = saved(lines_of(path))

    assert list(found.sessions) == ["ada", "bob", "dan"]
    assert [each["id"] for each in found.lost] == ["eve"]
    assert why in found.lost[0]["why"]
    assert found.end == {"line": "end", "sessions": 3, "messages": 6, "skipped": 1}


class TestAnIdThatIsThereTwice:
    @pytest.fixture
    def kept(self, path: Path) -> Path:
        store = SqliteStore(path)
        store.write([new("ada", 1), new("bob", 2), new("eve", 3), new("dan", 4)])
        store.close()
        return path

    def test_is_that_of_whom_the_index_says(self, kept: Path, tmp_path: Path) -> None:
        with sqlite3.connect(kept) as stranger:
            ((root,),) = stranger.execute("SELECT rootpage FROM sqlite_master WHERE name='session'")
        stranger.close()
        content = bytearray(kept.read_bytes())
        place = content.index(b"ada", (root - 1) * PAGE_BYTES)
        content[place : place + 3] = b"eve"  # her row alone: the index is as it was
        kept.write_bytes(content)

        lines = lines_of(kept)

        found = saved(lines)
        assert {name: len(each) - 1 for name, each in found.sessions.items()} == {
            "bob": 2,
            "eve": 3,
            "dan": 4,
        }
        assert found.lost == [
            {
                "line": "skipped",
                "why": "by the index of ids, the id is that of number 3",
                "id": "eve",
                "number": 1,
            }
        ]
        store = SqliteStore(tmp_path / "other" / "new.db")
        assert to_end(importing(SqliteArrivals(store), lines, READABLE)) == Imported(3, 9)
        store.close()

    def test_comes_out_once_where_the_index_is_lost(self, kept: Path) -> None:
        damage(
            kept,
            "ALTER TABLE session RENAME TO before",
            "CREATE TABLE session (number INTEGER PRIMARY KEY, id, state, incarnation, version,"
            " last_seq, message_count, last_active_at, ended_at)",
            "INSERT INTO session SELECT * FROM before",
            "UPDATE session SET id = 'eve' WHERE number IN (1, 4)",
            "DELETE FROM message WHERE session = 1",
        )

        found = saved(lines_of(kept))

        assert {name: len(each) - 1 for name, each in found.sessions.items()} == {
            "bob": 2,
            "eve": 3,
        }
        assert [(each["id"], each["why"]) for each in found.lost] == [
            ("eve", "message 1: the message is missing"),
            ("eve", "there is another one of this id, which stands above"),
        ]
        assert found.end == {"line": "end", "sessions": 2, "messages": 5, "skipped": 2}

    def test_is_no_other_than_that_of_a_message(self, kept: Path) -> None:
        damage(
            kept,
            "ALTER TABLE message RENAME TO before",
            "CREATE TABLE message (session, seq, key, body)",
            "INSERT INTO message SELECT * FROM before",
            "INSERT INTO message SELECT * FROM before WHERE session = 3 AND seq = 2",
        )

        found = saved(lines_of(kept))

        assert list(found.sessions) == ["ada", "bob", "dan"]
        assert [(each["id"], each["why"]) for each in found.lost] == [
            ("eve", "message 2: it is there twice")
        ]


def test_what_is_on_a_server_is_for_its_own_tools() -> None:
    with pytest.raises(StoreNotOperable, match="on a server") as refused:
        salvage_of(PostgresStore("postgresql://localhost/nowhere"))

    assert "backup" in refused.value.remedy


def test_of_what_is_no_database_nothing_can_be_saved(torn: Path) -> None:
    torn.write_bytes(b"x" * 10_000)

    with pytest.raises(StoreError, match="no database") as refused:
        lines_of(torn)
    assert refused.value.remedy == "Nothing of it can be read: put a backup in its place."

    torn.write_bytes(b"")

    with pytest.raises(StoreRefused, match="it is empty"):
        lines_of(torn)
