"""How are sessions kept in one SQLite file, so that what was acknowledged survives a power cut?

One connection writes and makes the checkpoints: the defect by which SQLite 3.7.0 to 3.51.2 may
damage a file when its log begins anew needs two that do. Readers have connections of their own that
cannot write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, TypeVar

from callboard.actors.errors import StoreError, StoreRefused
from callboard.actors.storage.changes import (
    NotTogether,
    delete_messages,
    delete_session,
    write_each,
    write_together,
)
from callboard.actors.storage.database import Database, DatabaseError, Disk
from callboard.actors.storage.disk import LocalDisk
from callboard.actors.storage.faults import failure, goes_on, gone, is_undone, unknown
from callboard.actors.storage.purging import Purged, plan_purge
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.records import Write
from callboard.actors.storage.salvaging import SqliteSalvage
from callboard.actors.storage.schema import STEPS, Step, bring_up_to_date, refuse_foreign

T = TypeVar("T")

JournalMode: TypeAlias = Literal["wal", "delete"]

CHECKPOINT_PAGES: Final = 4_000
"""Pages (of 4 KiB) in the write-ahead log after which a commit brings them into the file."""

LOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""How large the write-ahead log's file may stay once all of it is in the database, in bytes."""

SYNCHRONOUS: Final[Mapping[JournalMode, str]] = MappingProxyType({"wal": "FULL", "delete": "EXTRA"})
"""What makes a commit last through a power cut. EXTRA: a journal that was deleted stays deleted."""


class SqliteStore(SqliteReader):
    """A `Store` in one file, which this process has alone until `close`.

    The file, and the folder that it lies in, are made if they are not there, and are for their
    owner alone. A write that fails is repaired by itself as soon as what was in its way has gone.

    Args:
        path: the file.
        disk: where it is; None: on this machine.
        journal_mode: "wal", or for tests "delete": SQLite's rollback journal. Both keep what was
            committed through a power cut.
        steps: the schema, for tests.

    Raises:
        StoreLocked: another process, or another store in this one, has it.
        StoreTooNew: a newer callboard has written it.
        StoreRefused: it is no file of ours, or others could read or write it.
        StoreError: it cannot be read or written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        disk: Disk | None = None,
        journal_mode: JournalMode = "wal",
        steps: Sequence[Step] = STEPS,
    ) -> None:
        disk = LocalDisk() if disk is None else disk
        super().__init__(disk, disk.prepare(os.fspath(path)), self._be_in_place)
        self._journal_mode: JournalMode = journal_mode
        self._version: Final = len(steps)
        self._place: tuple[object, object] | None = None
        self._lock = disk.lock(self._path)
        # Its journal goes when it is closed: so it says whether that was so.
        self.was_closed: Final = all(
            disk.identity(f"{self._path}-{journal}") is None for journal in ("wal", "journal")
        )
        """Whether whoever had it before closed it."""
        try:
            refuse_foreign(disk, self._path, steps)
            self._database = self._open(steps)
        except DatabaseError as error:
            self.close()
            raise failure(self._path, error) from error
        except BaseException:  # whatever it is: nothing is left open
            self.close()
            raise

    # -- writing -----------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep these changes in one transaction, durably when it returns.

        Returns:
            Ids of sessions of which nothing was kept, with the cause.

        Raises:
            StoreOutcomeUnknown: the disk failed while it committed.
            StoreError: nothing was kept.
        """
        try:
            self.change(lambda database: write_together(database, writes))
        except NotTogether:
            return self.change(lambda database: write_each(database, writes))
        return {}

    def purge(self, *, ended_before: float, limit: int) -> Purged:
        """Delete up to `limit` sessions that ended before that time.

        At most `PURGE_MESSAGES_MAX` messages go at once: of a session with more only its last ones,
        and it is counted by the call that deletes the rest.

        Raises:
            StoreError: none was deleted.
        """
        return self.change(lambda database: _purge(database, ended_before, limit))

    def probe(self) -> None:
        """Write a page of the file durably, as it was.

        Raises:
            StoreError: it takes nothing.
        """
        self.change(lambda database: database.execute(f"PRAGMA user_version = {self._version}"))

    def change(self, do: Callable[[Database], T]) -> T:
        """Do something in one transaction, which is durable when this returns.

        Raises:
            StoreOutcomeUnknown: the disk failed while it committed.
            StoreError: nothing was kept.
        """
        try:
            database = self._connected()
            if database.is_in_transaction:  # of a writer that was ended while it undid it
                database.execute("ROLLBACK")
            database.execute("BEGIN IMMEDIATE")
            done = do(database)
            # Before it is committed: then nothing is kept where nobody finds it.
            self._be_in_place()
        except BaseException as error:  # a kill too: half a transaction is none
            self._undo(error)
            if isinstance(error, DatabaseError):
                raise failure(self._path, error) from error
            raise
        try:
            database.execute("COMMIT")
        except BaseException as error:  # a kill too: half a transaction is none
            self._undo(error)
            if not isinstance(error, DatabaseError):
                raise
            said = failure if is_undone(error) else unknown
            raise said(self._path, error) from error
        return done

    def _undo(self, error: BaseException) -> None:
        """Roll back; where the connection may be what has failed, do without it from now on."""
        is_passing = isinstance(error, (NotTogether, StoreError))
        if isinstance(error, DatabaseError):
            is_passing = goes_on(error)
        database = self._database
        if database is None:
            return
        try:
            if database.is_in_transaction:
                database.execute("ROLLBACK")
        except DatabaseError:
            is_passing = False
        if not is_passing:
            self._disconnect()

    def salvage(self) -> SqliteSalvage:
        """Return what reads as much as can be read of it, for another thread."""
        return SqliteSalvage(self._disk, self._path, self._be_in_place)

    # -- the connection ----------------------------------------------------

    def close(self) -> None:
        """Bring all into the file, and let go of it. Harmless when repeated."""
        if self._database is not None:
            with suppress(DatabaseError):
                self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        super().close()
        self._lock.release()

    def leave(self) -> None:
        """Close it, and let the next one see how the last owner left it.

        For who works at a file in between, and is not its owner: `was_closed` stays what it was.
        """
        if self.was_closed:
            self.close()
            return
        # A journal goes with its last connection; that of one who cannot write leaves it there.
        with closing(self.reader()) as last:
            with suppress(StoreError):
                last.look(lambda database: database.rows("SELECT count(*) FROM sqlite_master"))
            self.close()

    def _connected(self) -> Database:
        if self._database is None:
            if self._disk.identity(self._path) != self._place_of_file():
                raise gone(self._path)
            try:
                self._database = self._open(())
            except (
                StoreRefused
            ) as refused:  # it could be used before: this is a failure of the disk
                error = StoreError(str(refused))
                error.remedy = refused.remedy
                raise error from refused
        return self._database

    def _place_of_file(self) -> object:
        return None if self._place is None else self._place[0]

    def _open(self, steps: Sequence[Step]) -> Database:
        """Open the file for writing, and bring it up to date if there are steps to take."""
        database = self._disk.open(self._path)
        try:
            database.execute(f"PRAGMA synchronous = {SYNCHRONOUS['delete']}")
            database.execute("PRAGMA fullfsync = ON")  # where fsync does not reach the disk: macOS
            if steps:
                bring_up_to_date(self._disk, self._path, database, steps)
            # Only now: what the file is, is told by its first page, not by a log beside it.
            self._have_journal(database)
            database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            database.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_MAX}")
            database.rows("SELECT count(*) FROM sqlite_master")  # the log is there from now on
            self._place = self._found()
        except BaseException:  # whatever it is: nothing is left open
            with suppress(DatabaseError):
                database.close()
            raise
        return database

    def _have_journal(self, database: Database) -> None:
        mode = self._journal_mode
        ((found,),) = database.rows(f"PRAGMA journal_mode = {mode}")
        if found != mode:
            remedy = "Give a file on a disk of this machine: SQLite's log needs shared memory."
            raise StoreRefused(self._path, f"it cannot have a journal of the kind {mode}", remedy)
        database.execute(f"PRAGMA synchronous = {SYNCHRONOUS[mode]}")

    def _found(self) -> tuple[object, object]:
        """Return which file is in our place, and which log beside it."""
        identity = self._disk.identity
        return identity(self._path), identity(f"{self._path}-wal")

    def _be_in_place(self) -> None:
        if self._found() != self._place:
            raise gone(self._path)


def _purge(database: Database, ended_before: float, limit: int) -> Purged:
    """Delete sessions, those that ended first, until it is enough for once."""
    found = database.rows(
        "SELECT number, last_seq FROM session WHERE ended_at < ? ORDER BY ended_at LIMIT ?",
        (ended_before, limit),
    )
    plan = plan_purge([(number, last_seq) for number, last_seq in found], limit=limit)
    for number in plan.gone:
        delete_messages(database, number)
        delete_session(database, number)
    if plan.shortened is not None:
        number, left = plan.shortened.key, plan.shortened.left
        delete_messages(database, number, after_seq=left)
        database.execute(
            "UPDATE session SET last_seq = ?, message_count = ? WHERE number = ?",
            (left, left, number),
        )
    return plan.purged
