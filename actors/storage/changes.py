"""How does a write of a session become SQL? Together with others, or alone.

Together all rows of a kind go through one statement. That is right as long as each session is where
its write begins, and is seen by the number of rows that change; otherwise each is done alone.

What comes with every append, messages and heads, goes through statements of many rows: Python gives
up its lock around every run of a statement, and waits for it among all threads of the host. By one
row at a time an append took 45 us beside others at work, and 10 us alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Final

from msgspec.structs import astuple

from callboard.actors.errors import StoreError
from callboard.actors.storage.database import SQLITE_CONSTRAINT, Database, DatabaseError, Value
from callboard.actors.storage.faults import OF_A_ROW, of_session, unknown_session
from callboard.actors.storage.records import Write

_Row = tuple[Value, ...]

_INSERT_SESSION: Final = (
    "INSERT INTO session (state, incarnation, version, last_seq, message_count, last_active_at,"
    " id, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_SNAPSHOT: Final = (
    "INSERT INTO snapshot (session, body, standing, created_org_id, created_user_id, created_key,"
    " created_digest, created_used_at)"
    " SELECT number, ?, ?, ?, ?, ?, ?, ? FROM session WHERE id = ?"
)
_INSERT_MESSAGE: Final = (
    "INSERT INTO message (session, seq, key, body) SELECT number, ?, ?, ? FROM session WHERE id = ?"
)
_INSERT_MESSAGES: Final = (
    "INSERT INTO message (session, seq, key, body)"
    " SELECT number, column1, column2, column3 FROM ({rows}) CROSS JOIN session ON id = column4"
)
_MESSAGE_COLUMNS: Final = 4
_MOVE_HEADS: Final = (
    "UPDATE session SET state = column1, incarnation = column2, version = column3,"
    " last_seq = column4, message_count = column5, last_active_at = column6"
    " FROM ({rows}) WHERE id = column7 AND last_seq = column8 AND ended_at IS NULL"
)
_HEAD_COLUMNS: Final = 8
_SET_HEAD: Final = (
    "UPDATE session SET state = ?, incarnation = ?, version = ?, last_seq = ?, message_count = ?,"
    " last_active_at = ?"
)
# Where nothing follows the message that the write goes on from, nothing is to be replaced.
_MOVE_HEAD: Final = f"{_SET_HEAD} WHERE id = ? AND last_seq = ? AND ended_at IS NULL"
_PUT_HEAD: Final = f"{_SET_HEAD}, ended_at = ? WHERE id = ?"
_SET_BODY: Final = (
    "UPDATE snapshot SET body = ? WHERE session = (SELECT number FROM session WHERE id = ?)"
)
_SET_STANDING: Final = (
    "UPDATE snapshot SET standing = ? WHERE session = (SELECT number FROM session WHERE id = ?)"
)
_SET_CREATED: Final = (
    "UPDATE snapshot SET created_org_id = ?, created_user_id = ?, created_key = ?,"
    " created_digest = ?, created_used_at = ?"
    " WHERE session = (SELECT number FROM session WHERE id = ?)"
)
_SET_ENDED: Final = "UPDATE session SET ended_at = ? WHERE id = ?"
_NUMBER: Final = "SELECT number FROM session WHERE id = ?"
_DELETE_MESSAGES: Final = "DELETE FROM message WHERE session = ? AND seq > ?"
_DELETE_SNAPSHOT: Final = "DELETE FROM snapshot WHERE session = ?"
_DELETE_SESSION: Final = "DELETE FROM session WHERE number = ?"

_OF_MANY: Final = MappingProxyType(
    {
        _INSERT_MESSAGE: (_INSERT_MESSAGES, _MESSAGE_COLUMNS),
        _MOVE_HEAD: (_MOVE_HEADS, _HEAD_COLUMNS),
    }
)
"""A statement of one row -> the same of many, and how many columns a row has."""

ROWS_AT_ONCE_MAX: Final = 256
"""Rows in one statement; SQLite takes 32,766 values."""

_NO_CREATE: Final[_Row] = (None,) * 5


class NotTogether(Exception):
    """One of these writes has to be done alone. Nothing may be kept of what was done."""


def write_together(database: Database, writes: Sequence[Write]) -> None:
    """Do these writes, at most one for each session, all rows of a kind at once.

    Raises:
        NotTogether: one session is not where its write begins, or has a row that cannot be kept.
        DatabaseError: the store failed.
    """
    try:
        for sql, rows in _rows_by_kind(writes):
            if rows and _changed(database, sql, rows) != len(rows):
                raise NotTogether
    except DatabaseError as error:
        if error.primary not in OF_A_ROW:
            raise
        raise NotTogether from error


def _changed(database: Database, sql: str, rows: list[_Row]) -> int:
    """Run a statement for all these rows; return how many it changed."""
    of_many = _OF_MANY.get(sql)
    if of_many is None or len(rows) == 1:
        return database.many(sql, rows)
    changed = first = 0
    while first < len(rows):
        # Powers of two: so few statements are kept ready by the driver, whatever the batch.
        count = min(1 << (len(rows) - first).bit_length() - 1, ROWS_AT_ONCE_MAX)
        part = rows[first : first + count]
        changed += database.many(_sql_of(*of_many, count), [tuple(chain.from_iterable(part))])
        first += count
    return changed


@lru_cache(maxsize=64)
def _sql_of(sql: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return sql.format(rows=f"VALUES {', '.join([row] * rows)}")


def _rows_by_kind(writes: Sequence[Write]) -> tuple[tuple[str, list[_Row]], ...]:
    """Return the statements in the order in which they are to run, each with its rows."""
    sessions: list[_Row] = []
    snapshots: list[_Row] = []
    heads: list[_Row] = []
    bodies: list[_Row] = []
    standings: list[_Row] = []
    created: list[_Row] = []
    ended: list[_Row] = []
    messages: list[_Row] = []
    for write in writes:
        if write.is_new:
            sessions.append(_session_row(write))
            snapshots.append(_snapshot_row(write))
        else:
            if write.head is not None:
                heads.append((*astuple(write.head), write.id, write.after_seq))
            if write.body is not None:
                bodies.append((write.body, write.id))
            if write.standing is not None:
                standings.append((write.standing, write.id))
            if write.created is not None or write.leaves_key:
                created.append((*_created_of(write), write.id))
            if write.ended_at is not None:
                ended.append((write.ended_at, write.id))
        for message in write.messages:
            row = (message.seq, message.key, message.body, write.id)
            messages.append(row)
    return (
        (_INSERT_SESSION, sessions),
        (_INSERT_SNAPSHOT, snapshots),
        (_MOVE_HEAD, heads),
        (_SET_BODY, bodies),
        (_SET_STANDING, standings),
        (_SET_CREATED, created),
        (_SET_ENDED, ended),
        (_INSERT_MESSAGE, messages),
    )


def write_each(database: Database, writes: Sequence[Write]) -> dict[str, StoreError]:
    """Do these writes one after the other; return those that cannot be kept, with the cause.

    Raises:
        DatabaseError: the store failed.
    """
    refused: dict[str, StoreError] = {}
    for write in writes:
        database.execute("SAVEPOINT one")
        try:
            _write_alone(database, write)
        except _Unknown:
            refused[write.id] = unknown_session(write.id)
        except DatabaseError as error:
            if error.primary not in OF_A_ROW:
                raise
            refused[write.id] = of_session(write.id, error)
        if write.id in refused:
            database.execute("ROLLBACK TO one")
        database.execute("RELEASE one")
    return refused


def _write_alone(database: Database, write: Write) -> None:
    """Do one write, whatever is kept of its session: all that it says is absolute."""
    numbers = database.rows(_NUMBER, (write.id,))
    if write.is_new:
        for (number,) in numbers:
            delete_messages(database, number)
            delete_session(database, number)
        database.execute(_INSERT_SESSION, _session_row(write))
        database.execute(_INSERT_SNAPSHOT, _snapshot_row(write))
    else:
        if not numbers:
            raise _Unknown
        if write.head is not None:
            database.execute(_PUT_HEAD, (*astuple(write.head), write.ended_at, write.id))
            delete_messages(database, numbers[0][0], after_seq=write.after_seq)
        if write.body is not None:
            database.execute(_SET_BODY, (write.body, write.id))
        if write.standing is not None:
            database.execute(_SET_STANDING, (write.standing, write.id))
        if write.created is not None or write.leaves_key:
            database.execute(_SET_CREATED, (*_created_of(write), write.id))
    rows = ((each.seq, each.key, each.body, write.id) for each in write.messages)
    database.many(_INSERT_MESSAGE, rows)


def delete_messages(database: Database, number: int, *, after_seq: int = 0) -> None:
    """Delete the messages of a session that follow one of them."""
    database.execute(_DELETE_MESSAGES, (number, after_seq))


def delete_session(database: Database, number: int) -> None:
    """Delete a session that has no messages any more."""
    database.execute(_DELETE_SNAPSHOT, (number,))
    database.execute(_DELETE_SESSION, (number,))


class _Unknown(Exception):
    """The store has no such session."""


def _session_row(write: Write) -> _Row:
    if write.head is None:
        raise DatabaseError(SQLITE_CONSTRAINT, "its first write has no head")
    return (*astuple(write.head), write.id, write.ended_at)


def _snapshot_row(write: Write) -> _Row:
    return (write.body, write.standing, *_created_of(write), write.id)


def _created_of(write: Write) -> _Row:
    return _NO_CREATE if write.created is None else astuple(write.created)
