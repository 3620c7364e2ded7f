"""Sessions as a store sees them: bytes under an id."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from callboard.actors.storage.database import Database, DatabaseError, StandardDatabase, Value
from callboard.actors.storage.disk import LocalDisk
from callboard.actors.storage.records import (
    CreateRecord,
    Head,
    MessageRecord,
    Stored,
    StoreReader,
    Write,
)

BODY = b'{"kind":"session"}'
CREATED = CreateRecord("acme", "ada", "first", b"\x00digest\xff", 12.5)


def head(
    last_seq: int = 0, *, version: int | None = None, state: str = "active", incarnation: int = 1
) -> Head:
    version = last_seq if version is None else version
    return Head(state, incarnation, version, last_seq, last_seq, 1_700_000_000.25 + version)


def messages(after: int, up_to: int, *, keys: Iterable[int] = (), said: str = "said") -> Any:
    keyed = set(keys)
    return tuple(
        MessageRecord(n, f"key-{n}" if n in keyed else None, f'"{said} {n}"'.encode())
        for n in range(after + 1, up_to + 1)
    )


def new(session_id: str, up_to: int = 0, **more: Any) -> Write:
    """The first write of a session, with so many messages."""
    return Write(
        id=session_id,
        is_new=True,
        head=more.pop("head", None) or head(up_to),
        body=more.pop("body", BODY),
        messages=more.pop("messages", None) or messages(0, up_to),
        **more,
    )


def more(session_id: str, after: int, up_to: int, *, said: str = "said", **other: Any) -> Write:
    """A later write of a session that has `after` messages: it appends up to number `up_to`."""
    return Write(
        id=session_id,
        head=other.pop("head", None) or head(up_to),
        after_seq=after,
        messages=messages(after, up_to, said=said),
        **other,
    )


def ended(session_id: str, at: float, after: int = 0) -> Write:
    return more(session_id, after, after, head=head(after, state="cleaned"), ended_at=at)


def by_id(store: StoreReader) -> dict[str, Stored]:
    return {each.id: each for each in store.sessions()}


def said(store: StoreReader, session_id: str) -> list[str]:
    """What the messages of a session say."""
    kept = store.messages(session_id, after_seq=0, up_to_seq=1_000_000)
    return [each.body.decode().strip('"') for each in kept]


def dump(path: str | Path) -> list[str]:
    """Everything that a file says, as SQL, read by a connection of our own."""
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


class Strike(NamedTuple):
    """What goes wrong with the next statement that begins so."""

    at: str
    code: int
    is_done: bool = False
    """Whether it is done nevertheless, and only its answer is lost."""


class Struck:
    """A connection that fails when its disk says so."""

    def __init__(self, disk: StruckDisk, database: Database) -> None:
        self._disk = disk
        self._database = database

    @property
    def is_in_transaction(self) -> bool:
        return self._database.is_in_transaction

    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        with self._disk.struck(sql) as is_done:
            if is_done:
                self._database.execute(sql, values)

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        with self._disk.struck(sql) as is_done:
            return self._database.many(sql, rows) if is_done else 0

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        return self._database.rows(sql, values)

    def close(self) -> None:
        self._database.close()


class StruckDisk(LocalDisk):
    """A disk of this machine whose connections fail when they are told to."""

    def __init__(self) -> None:
        super().__init__(busy_s=0.01)
        self.opened = 0
        self._strike: Strike | None = None

    def fail_once(self, at: str, code: int, *, is_done: bool = False) -> None:
        """Let the next statement that begins so fail with this result code of SQLite."""
        self._strike = Strike(at, code, is_done)

    @contextmanager
    def struck(self, sql: str) -> Generator[bool]:
        """Say whether the statement is to be done, and fail behind it if it is to fail."""
        strike = self._strike
        if strike is None or not sql.startswith(strike.at):
            yield True
            return
        self._strike = None
        yield strike.is_done
        raise DatabaseError(strike.code, "struck")

    def open(self, path: str, *, is_readonly: bool = False, is_immutable: bool = False) -> Database:
        database = super().open(path, is_readonly=is_readonly, is_immutable=is_immutable)
        if is_readonly:
            return database
        self.opened += 1
        return Struck(self, database)


class Careless(LocalDisk):
    """A disk that waits for no sync: for tests of what is kept, not of whether it lasts."""

    def open(self, path: str, *, is_readonly: bool = False, is_immutable: bool = False) -> Database:
        return _Unsynced(path, busy_s=1.0, is_readonly=is_readonly, is_immutable=is_immutable)


class _Unsynced(StandardDatabase):
    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        is_about_syncs = sql.startswith("PRAGMA synchronous")
        super().execute("PRAGMA synchronous = OFF" if is_about_syncs else sql, values)
