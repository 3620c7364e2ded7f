"""What a damaged file says becomes the store's own errors, which name the session and the row."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import StoreDamaged, StoreError
from callboard.actors.sessions.coding import Unreadable, message
from callboard.actors.storage.checking import checking
from callboard.actors.storage.exporting import exported
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.records import MessageRecord
from callboard.actors.storage.resting import resting
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.kit import CREATED, head, messages, new
from tests.storage.test_operating import READABLE, to_end


def damage(path: Path, *statements: str) -> None:
    """Change a file in ways that the store never does, as a torn page may."""
    with sqlite3.connect(path) as stranger:
        stranger.execute("PRAGMA ignore_check_constraints = ON")
        for each in statements:
            stranger.execute(each)
    stranger.close()


@pytest.fixture
def kept(path: Path) -> Path:
    """A file with ada, who has a key and three messages, and bob, who has one."""
    store = SqliteStore(path)
    log = messages(0, 3, keys=(2,))
    ada = new("ada", messages=log, head=head(3), created=CREATED, standing=b"{}")
    store.write([ada, new("bob", 1)])
    store.close()
    return path


class TestAValueThatNobodyWrote:
    @pytest.mark.parametrize(
        ("change", "row", "column"),
        [
            ("session SET id = x'616461'", "session number 1", "id is bytes"),
            ("session SET version = 'two'", "session 'ada'", "version is str"),
            ("session SET last_seq = x'00'", "session 'ada'", "last_seq is bytes"),
            ("session SET incarnation = 1.5", "session 'ada'", "incarnation is float"),
            ("session SET last_active_at = 'now'", "session 'ada'", "last_active_at is str"),
            ("session SET ended_at = x'00'", "session 'ada'", "ended_at is bytes"),
            ("snapshot SET body = '{}'", "session 'ada'", "body is str"),
            ("snapshot SET standing = 7", "session 'ada'", "standing is int"),
            ("snapshot SET created_key = 7.5, created_digest = 'x'", "session 'ada'", "digest is"),
            ("snapshot SET created_used_at = NULL", "session 'ada'", "used_at is missing"),
        ],
    )
    def test_in_the_row_of_a_session_names_it(
        self, kept: Path, change: str, row: str, column: str
    ) -> None:
        damage(kept, f"UPDATE {change} WHERE rowid = 1")
        store = SqliteStore(kept)

        with pytest.raises(StoreDamaged) as refused:
            list(store.history())
        store.close()

        assert f"{row} cannot be read" in str(refused.value)
        assert column in str(refused.value)
        assert str(kept) in str(refused.value)
        assert "--skip-damaged" in refused.value.remedy

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("body = '{}'", "message 2 of session 'ada' cannot be read: its body is str"),
            ("key = x'00'", "message 2 of session 'ada' cannot be read: its key is bytes"),
            ("seq = 2.5", "message 2.5 of session 'ada' cannot be read: its seq is float"),
            ("key = CAST(x'ff' AS TEXT)", "a text is not UTF-8"),
        ],
    )
    def test_in_the_row_of_a_message_names_it(self, kept: Path, change: str, said: str) -> None:
        damage(kept, f"UPDATE message SET {change} WHERE session = 1 AND seq = 2")  # noqa: S608 -- constants
        store = SqliteStore(kept)

        reads: list[Any] = [
            lambda: store.messages("ada", after_seq=0, up_to_seq=3),
            lambda: store.keyed("ada", up_to_seq=3, limit=3),
        ]
        for read in reads:
            with pytest.raises(StoreDamaged) as refused:
                read()
            assert said in str(refused.value)
            assert "the file is damaged" in str(refused.value)
        assert [each.seq for each in store.messages("bob", after_seq=0, up_to_seq=9)] == [1]
        store.close()

    @pytest.mark.parametrize(
        "body", [b'{"role":"user","content":"\xff","timestamp":1.0}', b'{"metadata":{"x":' * 5_000]
    )
    def test_in_a_message_is_unreadable_whatever_it_is(self, body: bytes) -> None:
        with pytest.raises(Unreadable, match="message 3"):
            message(MessageRecord(3, None, body))


def test_a_check_goes_as_far_as_it_can_and_its_remedy_is_another(kept: Path) -> None:
    damage(kept, "UPDATE session SET version = 'x' WHERE id = 'bob'")
    with resting(kept, SqliteReader) as reader:
        checked = to_end(checking(reader, READABLE))

    assert [each.what.partition(":")[0] for each in checked.findings] == [
        "the sessions from here on cannot be read"
    ]

    with kept.open("r+b") as file:
        file.truncate(9_000)
    with pytest.raises(StoreError) as refused, resting(kept, SqliteReader):
        pass

    assert "store check" not in refused.value.remedy
    assert "put a backup in its place" in refused.value.remedy
    assert "export --skip-damaged" in refused.value.remedy


def test_a_check_ends_whatever_a_damaged_number_says(kept: Path) -> None:
    damage(kept, "UPDATE session SET last_seq = 1 << 60, message_count = 1 << 60 WHERE number = 1")

    with resting(kept, SqliteReader) as reader:
        checked = to_end(checking(reader, READABLE))

    assert [(each.session_id, each.seq) for each in checked.findings] == [("ada", 4), ("ada", 501)]
    assert (checked.sessions, checked.messages) == (2, 4)


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("DELETE FROM message WHERE session = 1 AND seq = 2", 2),
        ("DELETE FROM message WHERE session = 1 AND seq = 3", 3),
        ("UPDATE session SET last_seq = 1 << 60, message_count = 1 << 60 WHERE number = 1", 4),
    ],
)
def test_an_export_of_a_log_with_a_hole_is_none(kept: Path, change: str, seq: int) -> None:
    damage(kept, change)

    with (
        resting(kept, SqliteReader) as reader,
        pytest.raises(StoreDamaged, match=f"message {seq} of session 'ada' is missing") as refused,
    ):
        list(exported(reader))

    assert "--skip-damaged" in refused.value.remedy
