"""A disk in memory is one as a store needs it, and fails and dies as a test says."""

from __future__ import annotations

import gc
import subprocess
import sys
from random import Random

import apsw
import pytest

from callboard.actors import StoreLocked
from callboard.actors.storage.database import (
    SQLITE_BUSY,
    SQLITE_CANTOPEN,
    SQLITE_CONSTRAINT,
    SQLITE_FULL,
    SQLITE_IOERR,
    SQLITE_MISMATCH,
    SQLITE_MISUSE,
    SQLITE_READONLY,
    Database,
    DatabaseError,
)
from callboard.actors.testing import (
    ByChance,
    Callboard,
    DiskErrs,
    DiskIsFull,
    Loss,
    MemoryDisk,
    SyncFails,
    SyncLies,
)
from callboard.supervision import CallboardError
from callboard.supervision.testing import Fault, FaultPlan, MissingExtra

NAME = "a.db"
COUNT = "SELECT count(*) FROM t"
INSERT = "INSERT INTO t VALUES (?)"
MODES = pytest.mark.parametrize("has_wal", [True, False], ids=["WAL", "rollback journal"])


def opened(disk: MemoryDisk, *, name: str = NAME) -> Database:
    """Return a database with a table, of rows that were committed safely."""
    database = disk.open(disk.prepare(name))
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = EXTRA")
    database.execute("CREATE TABLE IF NOT EXISTS t (a)")
    return database


def insert(disk: MemoryDisk, rows: int) -> None:
    """Commit so many rows, one by one."""
    database = opened(disk)
    for _ in range(rows):
        database.execute(INSERT, (1,))


def struck(*faults: Fault, has_wal: bool = True) -> tuple[MemoryDisk, ByChance]:
    """Return a disk where faults strike, once `opened` is done."""
    chance = ByChance(FaultPlan(faults), Random(1))
    return MemoryDisk(chance, has_wal=has_wal), chance


def rows_in(disk: MemoryDisk) -> int:
    database = disk.open(NAME)
    assert database.rows("PRAGMA integrity_check") == [("ok",)]
    return int(database.rows(COUNT)[0][0])


def code_of(error: pytest.ExceptionInfo[DatabaseError]) -> int:
    return error.value.primary


class TestADatabase:
    @MODES
    def test_is_sqlite_with_the_journal_that_the_disk_can_have(self, *, has_wal: bool) -> None:
        disk = MemoryDisk(has_wal=has_wal)

        database = opened(disk)

        assert database.rows("PRAGMA journal_mode") == [("wal" if has_wal else "delete",)]
        assert sorted(disk.files) == ([NAME, f"{NAME}-wal"] if has_wal else [NAME])

    def test_takes_many_rows_and_says_how_many_changed(self) -> None:
        database = opened(MemoryDisk())

        assert database.many(INSERT, [(1,), (2,)]) == 2
        assert database.rows("SELECT a FROM t") == [(1,), (2,)]

    def test_knows_whether_it_is_in_a_transaction(self) -> None:
        database = opened(MemoryDisk())
        before = database.is_in_transaction
        database.execute("BEGIN")

        assert (before, database.is_in_transaction) == (False, True)

    @pytest.mark.parametrize(
        ("sql", "value", "code"),
        [
            ("INSERT INTO one VALUES (?)", 1, SQLITE_CONSTRAINT),
            (INSERT, 1 << 64, SQLITE_MISMATCH),
            (INSERT, "\ud800", SQLITE_MISMATCH),
        ],
    )
    def test_says_in_the_words_of_the_port_what_was_wrong(
        self, sql: str, value: str | int, code: int
    ) -> None:
        database = opened(MemoryDisk())
        database.execute("CREATE TABLE one (a PRIMARY KEY)")
        database.execute("INSERT INTO one VALUES (1)")

        with pytest.raises(DatabaseError) as wrong:
            database.execute(sql, (value,))

        assert code_of(wrong) == code

    def test_that_is_closed_answers_nothing(self) -> None:
        database = opened(MemoryDisk())
        database.close()
        database.close()

        with pytest.raises(DatabaseError) as closed:
            database.rows(COUNT)

        assert code_of(closed) == SQLITE_MISUSE

    def test_is_not_made_where_there_is_none(self) -> None:
        disk = MemoryDisk()

        with pytest.raises(DatabaseError) as absent:
            disk.open(NAME)

        assert code_of(absent) == SQLITE_CANTOPEN
        assert disk.files == {}

    def test_has_one_writer(self) -> None:
        disk = MemoryDisk()
        writer = opened(disk)

        with pytest.raises(DatabaseError) as busy:
            disk.open(NAME)
        writer.close()

        assert code_of(busy) == SQLITE_BUSY
        assert disk.open(NAME).rows(COUNT) == [(0,)]

    def test_undoes_what_a_writer_has_not_committed_who_closes_it(self) -> None:
        disk = MemoryDisk()
        writer, reader = opened(disk), disk.open(NAME, is_readonly=True)
        writer.execute("BEGIN")
        writer.execute(INSERT, (1,))

        writer.close()

        assert reader.rows(COUNT) == [(0,)]
        assert opened(disk).rows(COUNT) == [(0,)]


class TestAReader:
    @MODES
    def test_sees_what_was_committed_and_writes_nothing(self, *, has_wal: bool) -> None:
        disk = MemoryDisk(has_wal=has_wal)
        writer, reader = opened(disk), disk.open(NAME, is_readonly=True)
        writer.execute(INSERT, (1,))

        with pytest.raises(DatabaseError) as refused:
            reader.execute("DELETE FROM t")

        assert code_of(refused) == SQLITE_READONLY
        assert reader.rows(COUNT) == [(1,)]
        writer.execute(INSERT, (2,))

    @MODES
    def test_may_be_there_before_a_writer_and_after_it(self, *, has_wal: bool) -> None:
        disk = MemoryDisk(has_wal=has_wal)
        opened(disk).execute(INSERT, (1,))
        disk = disk.process_death()

        reader = disk.open(NAME, is_readonly=True)
        first = reader.rows(COUNT)
        writer = disk.open(NAME)
        writer.execute(INSERT, (2,))
        writer.close()

        assert first == [(1,)]
        assert reader.rows(COUNT) == [(2,)]

    def test_that_looks_at_nothing_beside_the_file_does_not_see_its_journal(self) -> None:
        disk = MemoryDisk()
        writer = opened(disk)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.execute(INSERT, (1,))

        reader = disk.open(NAME, is_readonly=True, is_immutable=True)

        assert reader.rows(COUNT) == [(0,)]


class TestAWriteAheadLog:
    @pytest.mark.parametrize(("pages", "writes"), [(None, True), (1_000, False)])
    def test_is_written_back_after_as_many_pages_as_a_pragma_or_the_test_says(
        self, pages: int | None, *, writes: bool
    ) -> None:
        disk = MemoryDisk(checkpoint_pages=pages)
        database = opened(disk)
        database.execute("PRAGMA wal_autocheckpoint = 1")
        before = disk.files[NAME]

        database.execute(INSERT, (1,))

        assert (disk.files[NAME] != before) is writes

    def test_that_cannot_be_written_back_fails_no_commit(self) -> None:
        disk, chance = struck(DiskErrs(of=NAME, rate=1.0, most=99))
        rules, chance.rules = chance.rules, []
        database = opened(disk)
        database.execute("PRAGMA wal_autocheckpoint = 1")
        chance.rules = rules

        database.execute(INSERT, (1,))

        assert chance.rules[0].struck
        assert rows_in(disk.power_cut(Random(1), Loss.WHOLE)) == 1


class TestTheDisk:
    def test_knows_files_of_one_name_apart(self) -> None:
        disk = MemoryDisk()
        opened(disk).execute(INSERT, (1,))
        first = disk.identity(NAME)

        disk.remove(NAME)
        removed = disk.identity(NAME)

        assert removed is None
        assert opened(disk).rows(COUNT) == [(0,)]
        assert disk.identity(NAME) not in {None, first}

    def test_is_locked_until_the_lock_is_released(self) -> None:
        disk = MemoryDisk()
        lock = disk.lock(NAME)

        with pytest.raises(StoreLocked, match=NAME):
            disk.lock(NAME)
        lock.release()
        again = disk.lock(NAME)
        lock.release()

        with pytest.raises(StoreLocked):
            disk.lock(NAME)
        again.release()

    def test_is_locked_by_no_dead_process(self) -> None:
        disk = MemoryDisk()
        disk.lock(NAME)

        disk.process_death().lock(NAME).release()

    def test_keeps_a_copy_for_good(self) -> None:
        disk = MemoryDisk()
        database = opened(disk)
        database.execute(INSERT, (1,))

        disk.copy(database, "copy")

        left = disk.power_cut(Random(1), Loss.WHOLE)
        assert left.open("copy", is_readonly=True).rows(COUNT) == [(1,)]

    @pytest.mark.parametrize("step", range(1, 20))
    def test_counts_its_changes_and_dies_in_the_one_that_it_is_told(self, step: int) -> None:
        disk = MemoryDisk()
        disk.dies_at(step)

        with pytest.raises((DatabaseError, CallboardError)):
            insert(disk, 20)

        assert (disk.is_sealed, disk.steps) == (True, step)

    def test_is_changed_by_nobody_once_it_is_sealed(self) -> None:
        disk = MemoryDisk()
        database = opened(disk)
        database.execute("BEGIN")
        database.execute(INSERT, (1,))
        disk.seal()
        before, steps = disk.files, disk.steps

        for act in (lambda: database.execute("COMMIT"), lambda: database.rows(COUNT)):
            with pytest.raises(DatabaseError) as dead:
                act()
            assert code_of(dead) == SQLITE_IOERR
        database.close()
        with pytest.raises(DatabaseError):
            disk.open(NAME)

        assert (disk.files, disk.steps) == (before, steps)

    def test_is_not_changed_by_a_connection_that_was_forgotten(self) -> None:
        disk = MemoryDisk()
        database = opened(disk)
        database.execute("BEGIN")
        database.many(INSERT, [(b"x" * 10_000,)] * 100)
        before = disk.files
        device = disk._device

        del disk, database
        gc.collect()

        assert device.drive.files() == before

    def test_leaves_nothing_in_the_process(self) -> None:
        gc.collect()
        names = apsw.vfs_names()
        for number in range(300):
            database = opened(MemoryDisk())
            if number % 2:
                database.close()
            del database
        gc.collect()

        assert apsw.vfs_names() == names

    def test_shows_nothing_of_another(self) -> None:
        one, other = MemoryDisk(), MemoryDisk()
        first, second = opened(one), opened(other)

        first.execute(INSERT, (1,))

        assert second.rows(COUNT) == [(0,)]

    def test_says_what_is_missing_where_apsw_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "apsw", None)

        with pytest.raises(MissingExtra, match=r"pip install callboard\[testing\]"):
            MemoryDisk()


class TestAfterAPowerCut:
    @MODES
    @pytest.mark.parametrize("loss", Loss)
    def test_what_was_committed_is_there(self, *, has_wal: bool, loss: Loss) -> None:
        disk = MemoryDisk(has_wal=has_wal)
        database = opened(disk)
        database.execute(INSERT, (1,))
        database.execute("BEGIN")
        database.many(INSERT, [(b"x" * 10_000,)] * 100)

        assert rows_in(disk.power_cut(Random(1), loss)) == 1

    def test_the_next_disk_is_as_the_last_one_was_made(self) -> None:
        disk = MemoryDisk(has_wal=False).power_cut(Random(1)).process_death()

        assert opened(disk).rows("PRAGMA journal_mode") == [("delete",)]

    def test_a_process_that_dies_alone_loses_nothing_that_it_has_written(self) -> None:
        disk = MemoryDisk()
        database = opened(disk)
        database.execute("PRAGMA synchronous = OFF")
        database.execute(INSERT, (1,))

        assert rows_in(disk.process_death()) == 1


class TestFaults:
    @MODES
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (DiskIsFull(nth=2), SQLITE_FULL),
            (DiskErrs(nth=2), SQLITE_IOERR),
            (SyncFails(nth=1), SQLITE_IOERR),
            (SyncFails(nth=1, is_kept=True), SQLITE_IOERR),
        ],
        ids=["full", "errs", "sync fails", "sync fails late"],
    )
    def test_fail_a_commit_and_harm_no_other(
        self, fault: Fault, code: int, *, has_wal: bool
    ) -> None:
        disk, chance = struck(fault, has_wal=has_wal)
        rules, chance.rules = chance.rules, []
        database = opened(disk)
        database.execute(INSERT, (1,))
        chance.rules = rules

        with pytest.raises(DatabaseError) as failed:
            database.execute(INSERT, (2,))
        chance.end_faults()
        database.close()
        database = opened(disk)
        between = database.rows("SELECT a FROM t")
        database.execute(INSERT, (3,))

        assert code_of(failed) == code
        assert between in ([(1,)], [(1,), (2,)])
        left = disk.power_cut(Random(1), Loss.WHOLE).open(NAME).rows("SELECT a FROM t")
        assert left == [*between, (3,)]

    def test_a_sync_that_lies_keeps_nothing(self) -> None:
        disk, _ = struck(SyncLies(rate=1.0, most=1_000))
        opened(disk).execute(INSERT, (1,))

        assert disk.power_cut(Random(1), Loss.WHOLE).files == {}

    def test_may_be_those_of_a_simulation_and_stand_in_its_story(self) -> None:
        plan = FaultPlan((SyncFails(of="*-wal", nth=2), DiskErrs(on="read", rate=0.0)))
        with Callboard(faults=plan) as callboard:
            disk = MemoryDisk(callboard)

            with pytest.raises(DatabaseError):
                insert(disk, 9)

            assert callboard.seen("sync that fails") == 1
            assert f"a sync of {NAME}-wal fails" in str(callboard.trace.entries)


class TestARun:
    @pytest.mark.slow
    def test_is_the_same_in_every_process(self) -> None:
        said = [
            subprocess.run(
                [sys.executable, "-m", "tests.storage.telling"],
                env={"PYTHONHASHSEED": seed},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for seed in ("1", "2")
        ]

        assert said[0] == said[1] != ""
