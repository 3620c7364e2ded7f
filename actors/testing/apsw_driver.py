"""How does a store talk to SQLite in memory? By a driver on apsw, as narrow as the real one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple
from weakref import ref

import apsw

from callboard.actors.storage.database import (
    SQLITE_CORRUPT,
    SQLITE_IOERR,
    SQLITE_MISMATCH,
    SQLITE_MISUSE,
    DatabaseError,
    Value,
)
from callboard.actors.testing.device import Device
from callboard.actors.testing.vfs import Vfs

CHECKPOINT_PAGES: Final = 1_000
"""How long a WAL grows before it is written back, in pages, if nobody says: as with SQLite."""


class How(NamedTuple):
    """In which way a connection is opened.

    Args:
        is_immutable: there is no journal to look for.
        is_exclusive: it is the only one, and SQLite need not share memory with others.
        checkpoint_pages: how long a WAL grows before it is written back, in pages; None: as long
            as a pragma says.
    """

    is_immutable: bool
    is_exclusive: bool
    checkpoint_pages: int | None


class Connection:
    """SQLite's connection to one database; all that have it open share it.

    Args:
        device: where the database is.
        file: its name, and the number of the file that has it.
        how: in which way it is opened.
        is_readonly: whether nobody writes yet.
    """

    def __init__(
        self, device: Device, file: tuple[str, int], how: How, *, is_readonly: bool
    ) -> None:
        self.device = device
        self.file = file
        self.users = 0
        self.has_writer = not is_readonly
        self.how = how
        self._write_back = WriteBack(how.checkpoint_pages or CHECKPOINT_PAGES)
        # SQLite finds a VFS by its name, in the whole process: nobody else alive has this one's.
        self._vfs = Vfs(f"memory-{id(self)}", device, ref(self))
        # Any: its types name one that Python 3.11 does not have.
        self.sqlite: Any = self._opened()

    def take_writer(self) -> None:
        """Let somebody write who comes after the first readers.

        Raises:
            apsw.BusyError: somebody does already.
        """
        if self.has_writer:
            busy: Any = apsw.BusyError("the database has a writer already")
            busy.extendedresult = apsw.SQLITE_BUSY
            raise busy
        self.has_writer = True
        self.sqlite.close()
        self.sqlite = self._opened()

    def drop_writer(self) -> None:
        """Undo what is not committed by the one who wrote."""
        self.has_writer = False
        with suppress(apsw.Error):
            if self.sqlite.in_transaction:
                self.run("ROLLBACK")

    def _opened(self) -> Any:
        flags = apsw.SQLITE_OPEN_READWRITE if self.has_writer else apsw.SQLITE_OPEN_READONLY
        path = self.file[0]
        if self.how.is_immutable:
            path, flags = f"file:{path}?immutable=1", flags | apsw.SQLITE_OPEN_URI
        sqlite: Any = apsw.Connection(path, flags=flags, vfs=self._vfs.name)
        if self.how.is_exclusive:
            sqlite.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        sqlite.set_wal_hook(self._write_back)
        return sqlite

    def run(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement to its end."""
        rows: list[tuple[Any, ...]] = self.sqlite.execute(sql, tuple(values)).fetchall()
        if "wal_autocheckpoint" in sql:
            # SQLite has put its own hook in place of ours.
            if self.how.checkpoint_pages is None:
                self._write_back.pages = self.sqlite.pragma("wal_autocheckpoint")
            self.sqlite.set_wal_hook(self._write_back)
        return rows

    def close(self) -> None:
        """Let go of the files. What fails meanwhile is left to the next who opens them."""
        with suppress(apsw.Error):
            self.sqlite.close(force=True)
        self._vfs.unregister()


class WriteBack:
    """Writes back a long WAL after a commit, as SQLite does: a failure of that fails no commit.

    SQLite's own hook would: apsw raises what its VFS has raised, also where SQLite goes on.

    Args:
        pages: how long a WAL grows before that; 0: never.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def __call__(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """Be called by SQLite, with the length of the WAL."""
        if 0 < self.pages <= pages:
            with suppress(apsw.Error):
                connection.wal_checkpoint(name)
        return apsw.SQLITE_OK


class MemoryDatabase:
    """A `Database` on a connection that others may use, too; one thread at a time.

    Args:
        connection: SQLite's.
        is_readonly: nothing can be written through it.
    """

    def __init__(self, connection: Connection, *, is_readonly: bool) -> None:
        self._connection = connection
        self._is_readonly = is_readonly
        self._is_open = True
        connection.users += 1

    @property
    def is_in_transaction(self) -> bool:
        """Whether a BEGIN waits for its end."""
        with self._used() as connection:
            return bool(connection.sqlite.in_transaction)

    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        """Run one statement to its end."""
        with self._used() as connection:
            connection.run(sql, values)

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each of these rows; return how many rows changed."""
        with self._used() as connection:
            before: int = connection.sqlite.total_changes()
            connection.sqlite.executemany(sql, map(tuple, rows)).fetchall()
            after: int = connection.sqlite.total_changes()
            return after - before

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        with self._used() as connection:
            return connection.run(sql, values)

    def image(self) -> bytes:
        """Return the database as one file, without a journal."""
        with self._used() as connection:
            return bytes(connection.sqlite.serialize("main"))

    def close(self) -> None:
        """Let go of the files, if nobody else uses them."""
        if self._is_open:
            self._is_open = False
            self._connection.users -= 1
            if not self._is_readonly:
                self._connection.drop_writer()
            if not self._connection.users:
                self._connection.close()

    @contextmanager
    def _used(self) -> Generator[Connection]:
        """Have the connection, and raise in the port's words what it raises."""
        connection = self._connection
        if not self._is_open:
            raise DatabaseError(SQLITE_MISUSE, "the database is closed")
        if connection.device.is_sealed:
            raise DatabaseError(SQLITE_IOERR, "the process is dead")
        with translated():
            if not self._is_readonly:
                yield connection
                return
            # The writer's connection, which must not write meanwhile.
            connection.run("PRAGMA query_only = ON")
            try:
                yield connection
            finally:
                connection.run("PRAGMA query_only = OFF")


@contextmanager
def translated() -> Generator[None]:
    """Raise a `DatabaseError` for what apsw raises."""
    try:
        yield
    except apsw.Error as error:
        # apsw's own refusals, as that of wrong bindings, have no code.
        code = getattr(error, "extendedresult", SQLITE_MISUSE)
        raise DatabaseError(code, str(error)) from error
    except UnicodeDecodeError as error:
        raise DatabaseError(SQLITE_CORRUPT, "a text is not UTF-8") from error
    except (OverflowError, UnicodeError) as error:
        raise DatabaseError(SQLITE_MISMATCH, str(error)) from error
