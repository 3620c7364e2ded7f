"""Where are databases in a simulation? On a disk in memory, with the real SQLite above it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from callboard.actors.errors import StoreLocked, StoreRefused
from callboard.actors.storage.database import (
    SQLITE_CANTOPEN,
    SQLITE_IOERR,
    Database,
    DatabaseError,
)
from callboard.actors.storage.sqlite import SqliteStore
from callboard.actors.testing.device import Device
from callboard.actors.testing.disk_faults import Striking
from callboard.actors.testing.drive import Drive, Loss
from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.errors import MissingExtra
from callboard.supervision.testing.simulation import Simulation

if TYPE_CHECKING:
    from callboard.actors.testing.apsw_driver import Connection, MemoryDatabase


class MemoryDisk:
    """A disk in memory that may lose its power: a `Disk` for tests of what a store keeps.

        disk = MemoryDisk()
        ...                                         # a store works on it, and acknowledges
        left = disk.power_cut(Random(7))            # what a new store starts from

    SQLite runs on it as it is, through apsw: its own journals, syncs and recovery. What was not
    synced is lost in a power cut, cut short, or there in parts. Which bytes SQLite writes is
    the same in every run but for the salts of its journals; what is read never differs.

    A database has one connection here, which its readers share: a reader sees what the writer
    has not committed, if it comes in the middle. That is so since apsw offers SQLite no shared
    memory, without which only a connection that is alone may have a WAL.

    Args:
        faults: what may go wrong, a `Simulation` with a plan or `ByChance`; None: nothing. With a
            simulation it dies when the process does, and the process with it (`dies_with`).
        has_wal: whether SQLite can have a WAL here. If not, as on a network's file system, it
            keeps a rollback journal.
        checkpoint_pages: how long a WAL grows before it is written back, in pages, whatever a
            pragma says: few, so that a short test has many. None: as SQLite does.
        files: what is on it already: name -> content.

    Raises:
        MissingExtra: apsw is not installed.
    """

    def __init__(
        self,
        faults: Striking | None = None,
        *,
        has_wal: bool = True,
        checkpoint_pages: int | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        _need_apsw()
        self._device = Device(Drive(files), faults)
        self._has_wal = has_wal
        self._checkpoint_pages = checkpoint_pages
        self._connections: list[Connection] = []
        self._locks: dict[str, MemoryLock] = {}
        self._is_used = False

    # -- what a store does: the port -------------------------------------------

    def prepare(self, path: str) -> str:
        """Make an empty file if there is none; the name is as good as any.

        Raises:
            StoreRefused: the disk does not do it.
        """
        faults = self._device.faults
        if isinstance(faults, Simulation) and not self._is_used:
            self._is_used = True
            faults.dies_with(self)
        if not self._device.has(path):
            try:
                self._device.close(self._device.open(path))
            except OSError as error:
                raise StoreRefused(path, str(error), "Look at the faults of the disk.") from error
        return path

    def lock(self, path: str) -> MemoryLock:
        """Have a database alone.

        Raises:
            StoreLocked: somebody has it.
        """
        if path in self._locks:
            raise StoreLocked(path, pid=None, since=0.0)
        lock = self._locks[path] = MemoryLock(self._locks, path)
        return lock

    def open(self, path: str, *, is_readonly: bool = False, is_immutable: bool = False) -> Database:
        """Open a database that is there; readers share the connection of the writer.

        Raises:
            DatabaseError: it is not there, cannot be opened, or has a writer already.
        """
        from callboard.actors.testing import apsw_driver as driver  # noqa: PLC0415 -- an extra

        file = self._device.drive.number(path)
        if file is None or self._device.is_sealed:
            raise DatabaseError(SQLITE_CANTOPEN, f"there is no {path}")
        self._connections = [each for each in self._connections if each.users]
        found = [
            each
            for each in self._connections
            if each.file == (path, file) and not each.how.is_immutable and not is_immutable
        ]
        with driver.translated():
            if found:
                connection = found[0]
                if not is_readonly:
                    connection.take_writer()
            else:
                how = driver.How(is_immutable, self._has_wal, self._checkpoint_pages)
                connection = driver.Connection(
                    self._device, (path, file), how, is_readonly=is_readonly
                )
                self._connections.append(connection)
        return driver.MemoryDatabase(connection, is_readonly=is_readonly)

    def identity(self, path: str) -> object:
        """Return a number that no other file here has had; None: there is none of this name."""
        return self._device.drive.number(path)

    def copy(self, database: Database, path: str) -> None:
        """Write what is committed in a database to a file of its own, for good.

        Raises:
            DatabaseError: it could not be written.
        """
        image = cast("MemoryDatabase", database).image()
        try:
            self._device.put(path, image)
        except OSError as error:
            raise DatabaseError(SQLITE_IOERR, str(error)) from error

    # -- what a test does ------------------------------------------------------

    def store(self, path: str = "sessions.db") -> SqliteStore:
        """Open the store of sessions that this disk has, for `SessionSystem(store=...)`.

        Raises:
            StoreError: as `SqliteStore`.
        """
        return SqliteStore(path, disk=self, journal_mode="wal" if self._has_wal else "delete")

    @property
    def steps(self) -> int:
        """How many changes there were so far: writes, resizes, syncs, files made and deleted."""
        return self._device.steps

    @property
    def is_sealed(self) -> bool:
        """Whether the process has died: nothing is changed any more."""
        return self._device.is_sealed

    @property
    def files(self) -> dict[str, bytes]:
        """What is on it, as a process sees it: name -> content. A copy."""
        return self._device.drive.files()

    def remove(self, path: str) -> None:
        """Delete a file from under whoever has it open, as an operator may."""
        self._device.unlink(path, is_synced=True)

    def seal(self) -> None:
        """Let the process be dead: from now on nothing is changed, and all that is tried fails."""
        self._device.is_sealed = True

    def dies_at(self, step: int) -> None:
        """Let the process die in the middle of a change, counted as `steps` are, from 1."""
        self._device.dies_at = step

    def power_cut(self, stream: Stream, loss: Loss | None = None) -> MemoryDisk:
        """Cut the power, and return the disk with what is left; this one is sealed.

        Args:
            stream: decides what is left of the changes that were not synced.
            loss: what kind of loss; None: the stream decides that, too.
        """
        self._let_go()
        return self._next(self._device.drive.left_by_cut(stream, loss))

    def process_death(self) -> MemoryDisk:
        """Let the process die and the machine live, as after kill -9; all that was written is left.

        Returns:
            The disk as the next process finds it; this one is sealed.
        """
        self._let_go()
        return self._next(self.files)

    def _let_go(self) -> None:
        self.seal()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _next(self, files: dict[str, bytes]) -> MemoryDisk:
        return MemoryDisk(
            self._device.faults,
            has_wal=self._has_wal,
            checkpoint_pages=self._checkpoint_pages,
            files=files,
        )


class MemoryLock:
    """One has a database of a `MemoryDisk`, until he lets go or dies.

    Args:
        locks: of the disk.
        path: which database.
    """

    def __init__(self, locks: dict[str, MemoryLock], path: str) -> None:
        self._locks = locks
        self._path = path

    def release(self) -> None:
        """Let go; harmless when repeated."""
        if self._locks.get(self._path) is self:
            del self._locks[self._path]


def _need_apsw() -> None:
    try:
        importlib.import_module("apsw")
    except ImportError as error:
        msg = "a disk in memory needs apsw: pip install callboard[testing]"
        raise MissingExtra(msg) from error
