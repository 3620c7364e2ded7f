"""Which tables has a store, in which version? The steps that lead from each version to the next.

A step is never changed once it is released: files that have taken it are out there. The version of
a file is the number of steps that it has taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

from callboard.actors.errors import StoreRefused, StoreTooNew
from callboard.actors.storage.database import (
    SQLITE_CORRUPT,
    SQLITE_NOTADB,
    Database,
    DatabaseError,
    Disk,
)

Step: TypeAlias = Sequence[str]
"""Statements that make of one version the next."""

APPLICATION_ID: Final = 0x6361_6C6C
"""What tells a store of ours from every other SQLite file: "call"."""

STEPS: Final[tuple[Step, ...]] = (
    (
        # What every commit changes is a small row of its own: an append does not write the
        # snapshot anew. `number` orders the sessions by their creation, and is what the others
        # refer to, since an id is long.
        """CREATE TABLE session (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL,
            incarnation INTEGER NOT NULL,
            version INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            message_count INTEGER NOT NULL,
            last_active_at REAL NOT NULL,
            ended_at REAL
        )""",
        """CREATE TABLE snapshot (
            session INTEGER PRIMARY KEY,
            body BLOB NOT NULL,
            standing BLOB,
            created_org_id TEXT,
            created_user_id TEXT,
            created_key TEXT,
            created_digest BLOB,
            created_used_at REAL
        )""",
        """CREATE TABLE message (
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            key TEXT,
            body BLOB NOT NULL,
            PRIMARY KEY (session, seq)
        )""",
        # Sessions of an import that has not ended: like `session`, and not there yet. What else
        # is theirs is in its place already, under numbers that no other session gets meanwhile.
        """CREATE TABLE arriving (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL,
            incarnation INTEGER NOT NULL,
            version INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            message_count INTEGER NOT NULL,
            last_active_at REAL NOT NULL,
            ended_at REAL
        )""",
        # For the keys that a session remembers; a message without one costs nothing here.
        "CREATE INDEX message_with_key ON message (session, seq) WHERE key IS NOT NULL",
        "CREATE INDEX session_ended ON session (ended_at) WHERE ended_at IS NOT NULL",
    ),
)


def bring_up_to_date(
    disk: Disk, path: str, database: Database, steps: Sequence[Step] = STEPS
) -> None:
    """Make the tables, or bring those of an older version up to date, in one transaction.

    Before an older file is changed, a copy of it is kept beside it.

    Raises:
        StoreTooNew: a newer callboard has written the file.
        StoreRefused: it is a database of something else.
        DatabaseError: it could not be read or written: it is as it was.
    """
    version = version_of(database, path, len(steps))
    if version == len(steps):
        return
    if version:
        disk.copy(database, backup_of(path, version))
    else:
        # So that a file can be made smaller in small steps; it must be said before the first table.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("BEGIN EXCLUSIVE")
    try:
        for step in steps[version:]:
            for statement in step:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(steps)}")
        database.execute("COMMIT")
    except BaseException:  # a kill too: half an upgrade is none
        if database.is_in_transaction:
            database.execute("ROLLBACK")
        raise


def backup_of(path: str, version: int) -> str:
    """Return where a file is kept as it was in this version."""
    return f"{path}.v{version}-backup"


def refuse_foreign(disk: Disk, path: str, steps: Sequence[Step] = STEPS) -> None:
    """Look at what is there without touching it, and refuse it unless it is ours, or empty.

    After a crash in the middle of a write the file alone may be torn, and its journal mends it:
    then it is judged by `bring_up_to_date`, once SQLite has done that.

    Raises:
        StoreTooNew: a newer callboard has written the file.
        StoreRefused: it is no database, or one of something else.
        DatabaseError: it could not be read.
    """
    database = disk.open(path, is_readonly=True, is_immutable=True)
    try:
        version_of(database, path, len(steps))
    except DatabaseError as error:
        is_unreadable = error.primary in {SQLITE_CORRUPT, SQLITE_NOTADB}
        if is_unreadable and _has_journal(disk, path):
            return
        if error.primary != SQLITE_NOTADB:
            raise
        remedy = (
            "Name a file that callboard has made, or one that is not there yet. If this was one,"
            " its beginning is damaged, and nothing of it can be read: put a backup in its place."
        )
        raise StoreRefused(path, "it is no SQLite database", remedy) from error
    finally:
        database.close()


def _has_journal(disk: Disk, path: str) -> bool:
    beside = (f"{path}-journal", f"{path}-wal")
    return any(disk.identity(each) is not None for each in beside)


def version_of(database: Database, path: str, known: int) -> int:
    """Return the version of a file of ours, 0 for an empty one; refuse every other.

    Raises:
        StoreTooNew: a newer callboard has written the file.
        StoreRefused: it is a database of something else.
        DatabaseError: it cannot be read.
    """
    ((application,),) = database.rows("PRAGMA application_id")
    ((version,),) = database.rows("PRAGMA user_version")
    if application != APPLICATION_ID:
        ((tables,),) = database.rows("SELECT count(*) FROM sqlite_master")
        if application or version or tables:
            _refuse(path, "it is a database of something else")
    if version > known:
        raise StoreTooNew(path, version=version, known=known, copy=backup_of(path, known))
    return int(version)


def _refuse(path: str, why: str) -> NoReturn:
    remedy = "Name a file that callboard has made, or one that is not there yet."
    raise StoreRefused(path, why, remedy)
