"""Which files a store opens: its own, older ones after an upgrade, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from callboard.actors import StoreError, StoreRefused, StoreTooNew
from callboard.actors.storage.schema import STEPS, backup_of
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.conftest import Opens
from tests.storage.kit import dump, more, new, said

NEXT = (*STEPS, ("ALTER TABLE session ADD COLUMN mood TEXT", "UPDATE session SET mood = 'calm'"))
"""The schema of a callboard to come."""


def an_old_file(opens: Opens) -> None:
    store = opens()
    store.write([new("ada", 2)])
    store.close()


def version_of(path: Path | str) -> int:
    connection = sqlite3.connect(path)
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    connection.close()
    return int(version)


class TestAnOlderFile:
    def test_is_brought_up_to_date_and_goes_on(self, opens: Opens, path: Path) -> None:
        an_old_file(opens)

        store = opens(steps=NEXT)
        store.write([more("ada", 2, 3)])

        assert said(store, "ada") == ["said 1", "said 2", "said 3"]
        store.close()
        assert version_of(path) == len(NEXT)

    def test_is_kept_beside_as_it_was(self, opens: Opens, path: Path) -> None:
        an_old_file(opens)
        before = dump(path)

        opens(steps=NEXT).close()

        copy = Path(backup_of(str(path), len(STEPS)))
        assert copy.name == "sessions.db.v1-backup"
        assert dump(copy) == before
        assert version_of(copy) == len(STEPS)
        assert copy.stat().st_mode & 0o777 == 0o600
        assert not list(path.parent.glob("*.part"))

    def test_is_refused_by_the_old_callboard_from_then_on(self, opens: Opens, path: Path) -> None:
        an_old_file(opens)
        opens(steps=NEXT).close()
        before = path.read_bytes()

        with pytest.raises(StoreTooNew, match="version 2, and 1 is the last") as refused:
            opens()

        assert (refused.value.version, refused.value.known) == (2, 1)
        assert "v1-backup" in refused.value.remedy
        assert path.read_bytes() == before
        assert sorted(each.name for each in path.parent.iterdir()) == [
            "sessions.db",
            "sessions.db.v1-backup",
        ]

    def test_can_be_used_by_the_old_callboard_through_its_copy(
        self, opens: Opens, path: Path
    ) -> None:
        an_old_file(opens)
        opens(steps=NEXT).close()

        Path(backup_of(str(path), 1)).rename(path)

        assert said(opens(), "ada") == ["said 1", "said 2"]

    def test_stays_as_it_was_when_a_step_fails(self, opens: Opens, path: Path) -> None:
        an_old_file(opens)
        before = dump(path)
        failing = (*STEPS, ("ALTER TABLE session ADD COLUMN mood TEXT", "no SQL"))

        with pytest.raises(StoreError, match="syntax error"):
            opens(steps=failing)

        assert dump(path) == before
        assert version_of(path) == 1
        assert said(opens(), "ada") == ["said 1", "said 2"]

    def test_stays_as_it_was_when_there_is_no_room_for_the_copy(
        self, opens: Opens, path: Path
    ) -> None:
        an_old_file(opens)
        before = dump(path)
        Path(f"{backup_of(str(path), 1)}").mkdir()

        with pytest.raises(StoreError):
            opens(steps=NEXT)

        assert dump(path) == before


class TestAFileOfSomethingElse:
    def refused(self, path: Path, why: str) -> None:
        before, beside = path.read_bytes(), sorted(path.parent.iterdir())

        with pytest.raises(StoreRefused, match=why) as refused:
            SqliteStore(path)

        assert refused.value.remedy.endswith(".")
        assert path.read_bytes() == before
        assert sorted(path.parent.iterdir()) == beside

    @pytest.fixture
    def foreign(self, tmp_path: Path) -> Path:
        path = tmp_path / "theirs.db"
        path.touch(mode=0o600)
        return path

    def test_that_is_no_database_is_refused_untouched(self, foreign: Path) -> None:
        foreign.write_bytes(b"To be, or not to be" * 100)

        self.refused(foreign, "no SQLite database")

    @pytest.mark.parametrize("mode", ["wal", "delete"])
    @pytest.mark.parametrize(
        "sql", ["CREATE TABLE t (a)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"]
    )
    def test_that_is_a_database_is_refused_untouched(
        self, foreign: Path, sql: str, mode: str
    ) -> None:
        connection = sqlite3.connect(foreign, isolation_level=None)
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute(sql)
        connection.close()

        self.refused(foreign, "of something else")

    def test_that_is_empty_becomes_a_store(self, foreign: Path) -> None:
        store = SqliteStore(foreign)
        store.write([new("ada")])

        assert [each.id for each in store.sessions()] == ["ada"]
        store.close()
