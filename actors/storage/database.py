"""How does a store reach SQLite? A narrow port, and the driver of the standard library behind it.

Above this nothing imports a driver: a simulator gives another `Disk`, and the real SQL runs on a
disk whose power it may cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

Value: TypeAlias = str | bytes | int | float | None

SQLITE_ERROR: Final = 1
SQLITE_BUSY: Final = 5
SQLITE_LOCKED: Final = 6
SQLITE_READONLY: Final = 8
SQLITE_IOERR: Final = 10
SQLITE_CORRUPT: Final = 11
SQLITE_FULL: Final = 13
SQLITE_CANTOPEN: Final = 14
SQLITE_TOOBIG: Final = 18
SQLITE_CONSTRAINT: Final = 19
SQLITE_MISMATCH: Final = 20
SQLITE_MISUSE: Final = 21
SQLITE_NOTADB: Final = 26

_PRIMARY: Final = 0xFF


class DatabaseError(Exception):
    """What a driver ran into. Every driver raises this, and nothing else, for what SQLite said.

    It stays below the store, which says it in its own errors.

    Args:
        code: SQLite's result code, extended or not. `SQLITE_MISMATCH` also for a value that the
            driver itself could not hand over: half a surrogate pair, a number of 65 bits.
        detail: what the driver said.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{detail} (SQLite {code})")
        self.code = code
        self.detail = detail

    @property
    def primary(self) -> int:
        """The result code without what extends it: one of the constants of this module."""
        return self.code & _PRIMARY


class Database(Protocol):
    """One connection: plain SQL, explicit BEGIN and COMMIT, no converters.

    One thread at a time, whichever it is. A BLOB comes back as bytes, TEXT as str. All that it
    raises is a DatabaseError.
    """

    @property
    def is_in_transaction(self) -> bool:
        """Whether a BEGIN waits for its end: some errors end a transaction by themselves."""
        ...

    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        """Run one statement to its end; rows that it yields are dropped."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one INSERT, UPDATE or DELETE for each of these rows; return how many rows changed."""
        ...

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        ...

    def close(self) -> None:
        """Let go of the files; what is not committed is undone. Harmless when repeated."""
        ...


class Lock(Protocol):
    """One process has this database, until it ends or lets go."""

    def release(self) -> None:
        """Let go. Harmless when repeated."""
        ...


class Disk(Protocol):
    """Where databases are: the port that a simulator replaces. One thread at a time."""

    def prepare(self, path: str) -> str:
        """See that a database can be at this place, and return its name for the other methods.

        What is not there is made, empty and for its owner alone.

        Raises:
            StoreRefused: nothing can be there, or others could get at it.
        """
        ...

    def lock(self, path: str) -> Lock:
        """Have this database alone, against every other process and whoever else is in this one.

        Raises:
            StoreLocked: somebody has it.
            StoreRefused: it cannot be locked.
        """
        ...

    def open(self, path: str, *, is_readonly: bool = False, is_immutable: bool = False) -> Database:
        """Open a database that is there; never make one.

        Args:
            path: as `prepare` returned it.
            is_readonly: nothing can be written through it.
            is_immutable: nothing is touched, nor looked for beside the file, nor locked: what is
                in its journal is not seen. With `is_readonly` alone.

        Raises:
            DatabaseError: it is not there, or cannot be opened.
        """
        ...

    def identity(self, path: str) -> object:
        """Return what tells the file at this path from every other; None: there is none."""
        ...

    def copy(self, database: Database, path: str) -> None:
        """Write what is committed in a database to a new file: whole and for good, or not at all.

        A copy of that name is replaced.

        Raises:
            DatabaseError: it could not be written.
        """
        ...


class StandardDatabase:
    """A connection through the standard library's sqlite3.

    Args:
        path: the file; it must be there.
        busy_s: how long to wait for a lock that somebody else has, in seconds.
        is_readonly: as in `Disk.open`.
        is_immutable: as in `Disk.open`.

    Raises:
        DatabaseError: it cannot be opened.
    """

    def __init__(
        self,
        path: str,
        *,
        busy_s: float,
        is_readonly: bool = False,
        is_immutable: bool = False,
    ) -> None:
        mode = "ro" if is_readonly else "rw"
        uri = f"{Path(path).as_uri()}?mode={mode}{'&immutable=1' if is_immutable else ''}"
        try:
            # One thread at a time is what the port says; which one it is may change.
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
        except _ERRORS as error:
            raise _translated(error) from error

    @property
    def is_in_transaction(self) -> bool:
        """Whether a BEGIN waits for its end."""
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        """Run one statement to its end."""
        try:
            self._connection.execute(sql, values).fetchall()
        except _ERRORS as error:
            raise _translated(error) from error

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each of these rows; return how many rows changed."""
        try:
            return self._connection.executemany(sql, rows).rowcount
        except _ERRORS as error:
            raise _translated(error) from error

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except _ERRORS as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Let go of the files."""
        try:
            self._connection.close()
        except _ERRORS as error:
            raise _translated(error) from error


_ERRORS: Final = (sqlite3.Error, OverflowError, UnicodeError)
"""What sqlite3 raises for what SQLite said, and for values that it cannot hand over."""


_NO_TEXT: Final = "Could not decode to UTF-8"
"""What sqlite3 says of a text that a damaged file has."""


def _translated(error: Exception) -> DatabaseError:
    if not isinstance(error, sqlite3.Error):
        return DatabaseError(SQLITE_MISMATCH, str(error))
    # The driver's own refusals, as that of a closed connection, have no code.
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and str(error).startswith(_NO_TEXT):
        return DatabaseError(SQLITE_CORRUPT, "a text is not UTF-8")  # it would be shown
    return DatabaseError(SQLITE_MISUSE if code is None else code, str(error))
