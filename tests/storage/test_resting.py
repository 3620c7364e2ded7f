"""A file that nobody uses is looked at without a change of it, also where none can be made."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.actors import StoreError, StoreLocked, StoreRefused, StoreTooNew
from callboard.actors.storage.compacting import compacting
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.resting import resting
from callboard.actors.storage.schema import STEPS
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.kit import new, said
from tests.storage.powerless import run_powerless
from tests.storage.test_operating import to_end

LOOK = """
import sys
from callboard.actors import StoreRefused
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.resting import resting
try:
    with resting(sys.argv[1], SqliteReader) as reader:
        print(*(each.id for each in reader.history()))
except StoreRefused as error:
    print(error, error.remedy)
"""

OPEN = """
import sys
from callboard.actors import StoreRefused
from callboard.actors.storage.sqlite import SqliteStore
try:
    SqliteStore(sys.argv[1]).close()
except StoreRefused as error:
    print(error, error.remedy)
"""


@pytest.fixture
def closed(path: Path) -> Path:
    """A file with two sessions that was closed."""
    store = SqliteStore(path)
    store.write([new("ada", 3), new("bob", 1)])
    store.close()
    return path


@pytest.fixture
def killed(path: Path, tmp_path: Path) -> Path:
    """A file as a killed process leaves it: what it has written is in the log beside it."""
    store = SqliteStore(path)
    store.write([new("ada", 3), new("bob", 1)])
    left = tmp_path / "left"
    left.mkdir(0o700)
    for name in ("sessions.db", "sessions.db-wal"):
        shutil.copy(path.with_name(name), left / name)
    store.close()
    return left / path.name


@pytest.fixture
def unwritable() -> Iterator[list[Path]]:
    """Folders that are given here can be written again when the test is over."""
    folders: list[Path] = []
    yield folders
    for each in folders:
        each.chmod(0o700)


def content(path: Path) -> dict[str, bytes]:
    """All files beside this one, but for SQLite's index of the log, which says nothing."""
    return {
        each.name: each.read_bytes()
        for each in path.parent.iterdir()
        if not each.name.endswith("-shm")
    }


def ids(path: Path) -> list[str]:
    with resting(path, SqliteReader) as reader:
        return [each.id for each in reader.history()]


def was_closed(path: Path) -> bool:
    store = SqliteStore(path)
    store.close()
    return store.was_closed


class TestALook:
    def test_reads_what_is_kept(self, closed: Path) -> None:
        with resting(closed, SqliteReader) as reader:
            assert [each.id for each in reader.history()] == ["ada", "bob"]
            assert said(reader, "ada") == ["said 1", "said 2", "said 3"]

    def test_changes_nothing_of_a_file_that_was_closed(self, closed: Path) -> None:
        before = content(closed)

        assert ids(closed) == ["ada", "bob"]

        assert content(closed) == before
        assert was_closed(closed)

    def test_changes_nothing_of_what_a_killed_process_has_left(self, killed: Path) -> None:
        before = content(killed)

        assert ids(killed) == ["ada", "bob"]

        assert content(killed) == before
        assert not was_closed(killed)
        assert was_closed(killed)

    def test_is_refused_while_somebody_uses_the_file(self, path: Path) -> None:
        store = SqliteStore(path)

        with pytest.raises(StoreLocked):
            ids(path)
        store.close()

    def test_keeps_others_out(self, closed: Path) -> None:
        with resting(closed, SqliteReader), pytest.raises(StoreLocked):
            SqliteStore(closed)

    def test_makes_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(StoreRefused, match="No such file"):
            ids(tmp_path / "none.db")

        assert not list(tmp_path.iterdir())

    def test_is_refused_where_nothing_was_kept(self, path: Path) -> None:
        path.parent.mkdir(0o700)
        path.touch(0o600)

        with pytest.raises(StoreRefused, match="it is empty"):
            ids(path)

    def test_does_not_bring_an_older_file_up_to_date(self, closed: Path) -> None:
        steps = (*STEPS, ("CREATE TABLE later (x)",))
        before = content(closed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("callboard.actors.storage.resting.STEPS", steps)

            with pytest.raises(StoreRefused, match="an older callboard") as refused:
                ids(closed)

        assert "store compact" in refused.value.remedy
        assert content(closed) == before

    def test_is_refused_of_a_newer_file(self, path: Path) -> None:
        SqliteStore(path, steps=(*STEPS, ("CREATE TABLE later (x)",))).close()

        with pytest.raises(StoreTooNew):
            ids(path)

    def test_is_refused_where_a_write_is_to_be_undone(self, closed: Path) -> None:
        closed.with_name("sessions.db-journal").write_bytes(b"half")

        with pytest.raises(StoreRefused, match=r"sessions\.db-journal undoes that") as refused:
            ids(closed)

        assert "store compact" in refused.value.remedy


class TestWhoWorksAtAFileInBetween:
    def test_leaves_it_to_the_next_start_how_the_last_owner_ended(self, killed: Path) -> None:
        store = SqliteStore(killed)
        to_end(compacting(store, ended_before=0.0))
        store.leave()

        assert killed.with_name("sessions.db-wal").stat().st_size == 0
        assert not killed.with_name("sessions.db.lock").exists()
        assert not was_closed(killed)
        assert was_closed(killed)

    def test_leaves_a_file_closed_that_was(self, closed: Path) -> None:
        store = SqliteStore(closed)
        to_end(compacting(store, ended_before=0.0))
        store.leave()

        assert list(content(closed)) == ["sessions.db"]
        assert was_closed(closed)


class TestWhereNothingCanBeWritten:
    def test_a_file_that_was_closed_is_read(self, closed: Path, unwritable: list[Path]) -> None:
        unwritable.append(closed.parent)
        closed.chmod(0o400)
        closed.parent.chmod(0o500)

        assert run_powerless(LOOK, closed) == "ada bob\n"

    def test_a_log_that_cannot_be_read_is_named(self, killed: Path, unwritable: list[Path]) -> None:
        unwritable.append(killed.parent)
        killed.parent.chmod(0o500)

        told = run_powerless(LOOK, killed)

        assert "its last owner did not close it" in told
        assert f"Copy {killed} and {killed}-wal, both, into a folder of your own" in told

    def test_a_folder_that_cannot_be_written_is_named(
        self, closed: Path, unwritable: list[Path]
    ) -> None:
        unwritable.append(closed.parent)
        closed.parent.chmod(0o500)

        told = run_powerless(OPEN, closed)

        assert f"{closed}.lock: Permission denied" in told
        assert f"Let the owner of {closed.parent} write to it" in told

    def test_a_file_that_cannot_be_written_is_refused_before_the_first_write(
        self, closed: Path
    ) -> None:
        closed.chmod(0o400)

        told = run_powerless(OPEN, closed)

        assert "it cannot be written: Permission denied" in told
        assert f"Let the owner of {closed} write to it" in told

    @pytest.mark.parametrize(
        ("code", "remedy"),
        [
            (errno.EROFS, "Mount the file system writable. What is kept on one that is not"),
            (errno.EPERM, "`chattr -ia` helps"),
            (errno.ENOSPC, "Make room on the disk"),
        ],
    )
    def test_the_remedy_is_that_of_what_is_in_the_way(
        self, closed: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
    ) -> None:
        _nothing_can_be_made(monkeypatch, code)

        for path in (closed, closed.with_name("new.db")):
            with pytest.raises(StoreRefused) as refused:
                SqliteStore(path)
            assert remedy in refused.value.remedy
            assert os.strerror(code) in str(refused.value)

    @pytest.mark.parametrize("code", [errno.EROFS, errno.EPERM, errno.EACCES])
    def test_it_is_read_without_a_lock(
        self, closed: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        before = content(closed)
        _nothing_can_be_made(monkeypatch, code)

        assert ids(closed) == ["ada", "bob"]

        assert content(closed) == before

    def test_it_is_not_read_while_somebody_has_the_lock(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = SqliteStore(path)
        _nothing_can_be_made(monkeypatch, errno.EROFS)

        with pytest.raises(StoreLocked):
            ids(path)
        store.close()

    def test_a_full_disk_is_no_such_place(
        self, closed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _nothing_can_be_made(monkeypatch, errno.ENOSPC)

        with pytest.raises(StoreRefused, match="No space left"):
            ids(closed)


def _nothing_can_be_made(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    right = os.open

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return right(path, flags, mode)

    monkeypatch.setattr("callboard.actors.storage.disk.os.open", opened)


def test_a_damaged_page_is_the_stores_own_error(closed: Path) -> None:
    with closed.open("r+b") as file:
        file.truncate(4096)

    with pytest.raises(StoreError, match="damaged"):
        ids(closed)
