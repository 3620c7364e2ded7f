"""What callers hear when the disk fails, and that writes go on when it is back."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.actors import StoreDamaged, StoreError, StoreOutcomeUnknown
from callboard.actors.storage.database import (
    SQLITE_CORRUPT,
    SQLITE_FULL,
    SQLITE_IOERR,
    SQLITE_NOTADB,
    SQLITE_READONLY,
)
from callboard.actors.storage.disk import LocalDisk
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.conftest import Opens
from tests.storage.kit import StruckDisk, by_id, head, more, new, said

SYNC_FAILED = SQLITE_IOERR | 4 << 8

LIMITED = """
import resource, signal, sys
from callboard.actors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.kit import more, new, said

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(sys.argv[1], journal_mode=sys.argv[2])
store.write([new("ada")])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
seq = 0
try:
    while True:
        store.write([more("ada", seq, seq + 50, body=b"x" * 20_000)])
        seq += 50
except StoreError as error:
    print(type(error).__name__, error.remedy)
print(len(said(store, "ada")) == seq)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(dict(store.write([more("ada", seq, seq + 50)])), len(said(store, "ada")) == seq + 50)
store.close()
"""


class TestADiskThatIsFull:
    @pytest.mark.parametrize("mode", ["wal", "delete"])
    def test_is_told_reads_go_on_and_so_do_writes_when_there_is_room(
        self, path: Path, mode: str
    ) -> None:
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, path, mode],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )

        told, *rest = done.stdout.splitlines()
        assert told.startswith("StoreError See whether a quota, a limit on the size")
        assert rest == ["True", "{} True"]

    def test_has_no_more_pages(self, store: SqliteStore) -> None:
        store.write([new("ada")])
        database = store._database
        assert database
        ((pages,),) = database.rows("PRAGMA page_count")
        database.execute(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(StoreError, match="the disk is full") as refused:
            store.write([more("ada", 0, 1_000)])
        assert refused.value.is_outcome_known
        assert said(store, "ada") == []
        assert list(store.sessions()) == list(store.reader().sessions())

        database.execute("PRAGMA max_page_count = 100000")
        assert store.write([more("ada", 0, 1_000)]) == {}
        assert len(said(store, "ada")) == 1_000


class TestACommitThatFails:
    @pytest.mark.parametrize("is_done", [True, False], ids=["kept", "lost"])
    def test_may_be_kept_and_is_written_again(self, opens: Opens, *, is_done: bool) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        store.write([new("ada", 1)])
        disk.fail_once("COMMIT", SYNC_FAILED, is_done=is_done)

        with pytest.raises(StoreOutcomeUnknown, match="the disk failed") as unknown:
            store.write([more("ada", 1, 2), new("bob")])

        assert not unknown.value.is_outcome_known
        assert store.write([more("ada", 1, 2), new("bob")]) == {}
        assert said(store, "ada") == ["said 1", "said 2"]
        assert list(by_id(store)) == ["ada", "bob"]
        assert disk.opened == 1  # a new connection would build upon what is not synced

    @pytest.mark.parametrize("is_done", [True, False], ids=["kept", "lost"])
    def test_does_not_show_through_what_is_written_instead(
        self, opens: Opens, *, is_done: bool
    ) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        store.write([new("ada", 1), new("bob")])
        disk.fail_once("COMMIT", SYNC_FAILED, is_done=is_done)
        with pytest.raises(StoreOutcomeUnknown):
            store.write([more("ada", 1, 4, said="lost")])

        store.write([more("ada", 1, 2), more("bob", 0, 1)])

        assert said(store, "ada") == ["said 1", "said 2"]
        assert by_id(store)["ada"].head == head(2)

    @pytest.mark.parametrize("code", [SQLITE_FULL, SQLITE_READONLY, SQLITE_IOERR | 3 << 8])
    def test_before_its_last_page_is_written_has_kept_nothing(
        self, opens: Opens, code: int
    ) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        store.write([new("ada", 1)])
        disk.fail_once("COMMIT", code)

        with pytest.raises(StoreError) as failed:
            store.write([more("ada", 1, 2)])

        assert failed.value.is_outcome_known
        assert said(store, "ada") == ["said 1"]
        assert store.write([more("ada", 1, 2)]) == {}


class TestAFileThatIsDamaged:
    @pytest.mark.parametrize("code", [SQLITE_CORRUPT, SQLITE_CORRUPT | 1 << 8, SQLITE_NOTADB])
    def test_stays_so_whatever_is_tried_again(self, opens: Opens, code: int) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        disk.fail_once("INSERT", code)

        with pytest.raises(StoreDamaged) as failed:
            store.write([new("ada", 1)])

        assert not failed.value.is_retryable
        assert failed.value.is_outcome_known
        assert "put a" in failed.value.remedy

    @pytest.mark.parametrize("code", [SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY])
    def test_is_not_one_whose_disk_fails(self, opens: Opens, code: int) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        disk.fail_once("INSERT", code)

        with pytest.raises(StoreError) as failed:
            store.write([new("ada", 1)])

        assert type(failed.value) is StoreError
        assert failed.value.is_retryable


class TestAWriteThatFails:
    @pytest.mark.parametrize(
        ("at", "code", "says"),
        [
            ("BEGIN", SQLITE_READONLY, "cannot be written"),
            ("UPDATE", SQLITE_IOERR, "the disk failed"),
            ("INSERT", SQLITE_CORRUPT, "damaged"),
            ("INSERT", 23, "SQLite refused"),
        ],
    )
    def test_has_kept_nothing_and_may_be_repeated(
        self, opens: Opens, at: str, code: int, says: str
    ) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        store.write([new("ada", 1)])
        disk.fail_once(at, code)

        with pytest.raises(StoreError, match=says) as failed:
            store.write([more("ada", 1, 2)])

        assert failed.value.is_outcome_known
        assert failed.value.remedy.endswith(".")
        assert said(store, "ada") == ["said 1"]
        assert store.write([more("ada", 1, 2)]) == {}

    def test_because_the_file_is_read_only_is_told_and_tried_anew(self, opens: Opens) -> None:
        store = opens()
        store.write([new("ada", 1)])
        database = store._database
        assert database
        database.execute("PRAGMA query_only = ON")

        with pytest.raises(StoreError, match="the file cannot be written"):
            store.write([more("ada", 1, 2)])

        assert said(store, "ada") == ["said 1"]
        assert store.write([more("ada", 1, 2)]) == {}  # by a connection of its own

    def test_of_an_interrupted_writer_is_undone(
        self, opens: Opens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = opens()
        store.write([new("ada", 1)])
        with monkeypatch.context() as struck:
            struck.setattr(store, "_be_in_place", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.write([more("ada", 1, 2)])

        assert store.write([more("ada", 1, 3)]) == {}
        assert len(said(store, "ada")) == 3


class TestAFileThatAnotherProgramHasLocked:
    def test_is_told_and_written_when_it_is_free(self, opens: Opens, path: Path) -> None:
        store = opens(disk=LocalDisk(busy_s=0.05))
        store.write([new("ada")])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match="another program has locked the file"):
            store.write([more("ada", 0, 1)])
        assert list(by_id(store)) == ["ada"]

        other.execute("ROLLBACK")
        other.close()
        assert store.write([more("ada", 0, 1)]) == {}


class TestAFileThatIsGone:
    @pytest.mark.parametrize("which", ["", "-wal"])
    def test_is_noticed_and_written_when_it_is_put_back(
        self, opens: Opens, path: Path, which: str
    ) -> None:
        store = opens()
        store.write([new("ada")])
        file = Path(f"{path}{which}")
        aside = path.with_name("aside")
        file.rename(aside)

        with pytest.raises(StoreError, match="moved, removed or replaced") as gone:
            store.write([more("ada", 0, 1)])
        assert gone.value.is_outcome_known
        assert not file.exists()

        aside.rename(file)
        assert store.write([more("ada", 0, 1)]) == {}
        assert said(store, "ada") == ["said 1"]

    def test_is_not_mistaken_for_another_in_its_place(self, opens: Opens, path: Path) -> None:
        disk = StruckDisk()
        store = opens(disk=disk)
        store.write([new("ada")])
        copy = path.with_name("copy")
        shutil.copy(path, copy)
        before = copy.read_bytes()
        copy.replace(path)

        for code in (None, SQLITE_IOERR):
            if code is not None:
                disk.fail_once("BEGIN", code)
            with pytest.raises(StoreError):
                store.write([more("ada", 0, 1)])
        with pytest.raises(StoreError, match="moved, removed or replaced"):
            store.write([more("ada", 0, 1)])

        assert path.read_bytes() == before
        assert disk.opened == 1


@pytest.mark.parametrize("code", [SQLITE_READONLY, SQLITE_IOERR | 3 << 8])
def test_what_nobody_may_change_is_among_what_may_be_in_the_way(opens: Opens, code: int) -> None:
    disk = StruckDisk()
    store = opens(disk=disk)
    disk.fail_once("COMMIT", code)

    with pytest.raises(StoreError) as failed:
        store.write([new("ada")])

    assert "`lsattr`: i or a" in failed.value.remedy  # as of `chattr +i`, which binds root too


FULL = """
import resource, signal, sys
from pathlib import Path
from callboard.actors import StoreError
from callboard.actors.storage.sqlite import SqliteStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(sys.argv[1])
store.probe()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
size = Path(sys.argv[1] + "-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
try:
    store.probe()
except StoreError as error:
    print("refuses", error.is_outcome_known)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.probe()
print("takes", list(store.sessions()))
"""
"""A process whose files may not grow, and then may."""


def test_a_file_that_may_not_grow_is_seen_though_nobody_has_anything_to_keep(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "sessions.db"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines() == ["refuses True", "takes []"], done.stderr
