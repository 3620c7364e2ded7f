"""What is kept of which session? The reads of a store in SQLite, a page at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from callboard.actors.errors import StoreError
from callboard.actors.storage.database import Database, DatabaseError, Disk, Value
from callboard.actors.storage.faults import PASSING, damaged, failure, odd_value
from callboard.actors.storage.records import CreateRecord, Head, MessageRecord, Stored
from callboard.supervision.model.showing import shown

T = TypeVar("T")

SESSIONS_AT_ONCE: Final = 1_000
"""Sessions that are read together, and held in memory by whoever goes through all."""

COLUMNS: Final = (
    "number, id, state, incarnation, version, last_seq, message_count, last_active_at, ended_at,"
    " body, standing, created_org_id, created_user_id, created_key, created_digest,"
    " created_used_at"
)
_OF_HEAD: Final = (
    ("state", str),
    ("incarnation", int),
    ("version", int),
    ("last_seq", int),
    ("message_count", int),
    ("last_active_at", float),
)
_MAY_BE_MISSING: Final = (
    ("ended_at", float),
    ("body", bytes),
    ("standing", bytes),
    ("created_org_id", str),
    ("created_user_id", str),
    ("created_key", str),
    ("created_digest", bytes),
    ("created_used_at", float),
)
"""Of what type each column is; a session without a snapshot has none of the last ones."""

# The join is an outer one in this order, so that SQLite goes through the sessions by their numbers.
_SESSIONS: Final = (
    f"SELECT {COLUMNS} FROM session LEFT JOIN snapshot ON snapshot.session = session.number"  # noqa: S608 -- constants
    " WHERE number > ? AND (ended_at IS NULL OR ?) ORDER BY number LIMIT ?"
)
_ENDED_WITH_KEY: Final = (
    f"SELECT {COLUMNS} FROM session JOIN snapshot ON snapshot.session = session.number"  # noqa: S608 -- constants
    " WHERE ended_at > ? AND (ended_at, number) < (?, ?) AND created_key IS NOT NULL"
    " ORDER BY ended_at DESC, number DESC LIMIT ?"
)
_MESSAGES: Final = (
    "SELECT seq, key, body FROM message"
    " WHERE session = (SELECT number FROM session WHERE id = ?) AND seq > ? AND seq <= ?"
    " ORDER BY seq"
)
_KEYED: Final = (
    "SELECT seq, key, body FROM message"
    " WHERE session = (SELECT number FROM session WHERE id = ?) AND key IS NOT NULL AND seq <= ?"
    " ORDER BY seq DESC LIMIT ?"
)

FLAWS_MAX: Final = 100
"""Flaws of one sort that are told."""

_FLAWS: Final = (
    ("SELECT * FROM pragma_integrity_check(?)", "{}"),
    (
        (
            "SELECT number FROM (SELECT DISTINCT session AS number FROM message"
            " EXCEPT SELECT number FROM session EXCEPT SELECT number FROM arriving) LIMIT ?"
        ),
        "there are messages of a session number {} that is not there",
    ),
    (
        (
            "SELECT session FROM snapshot WHERE session NOT IN (SELECT number FROM session)"
            " AND session NOT IN (SELECT number FROM arriving) LIMIT ?"
        ),
        "there is the snapshot of a session number {} that is not there",
    ),
    (
        "SELECT count(*) FROM arriving HAVING count(*) > 0 LIMIT ?",
        "an import of {} sessions has not ended; the next import, or compact, clears it away",
    ),
)
"""What finds a flaw, and how it is told."""


class SqliteReader:
    """Reads a store over a connection of its own, which cannot write. One thread at a time.

    After a failure the next read opens the file again.

    Args:
        disk: where the file is.
        path: its name there.
        be_in_place: raises a StoreError when another file lies there than the one that is meant;
            called before it is opened. None: whatever lies there is meant.
        is_immutable: as in `Disk.open`: nobody writes to it meanwhile, and it has no journal.
    """

    def __init__(
        self,
        disk: Disk,
        path: str,
        be_in_place: Callable[[], object] | None = None,
        *,
        is_immutable: bool = False,
    ) -> None:
        self._disk = disk
        self._path = path
        self._look_whether_in_place = be_in_place
        self._is_immutable = is_immutable
        self._database: Database | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r})"

    @property
    def place(self) -> str:
        """The absolute path of the file."""
        return self._path

    def sessions(self) -> Iterator[Stored]:
        """Yield every session that has not ended, in the order of their creation."""
        return self._each(with_ended=False)

    def history(self) -> Iterator[Stored]:
        """Yield every session that is kept, ended ones too, in the order of their creation."""
        return self._each(with_ended=True)

    def _each(self, *, with_ended: bool) -> Iterator[Stored]:
        after = 0
        while True:
            rows = self._rows(_SESSIONS, (after, with_ended, SESSIONS_AT_ONCE))
            yield from map(self._stored, rows)
            if len(rows) < SESSIONS_AT_ONCE:
                return
            if rows[-1][0] <= after:  # for ever, by what is left of a tree of pages
                what = f"what follows session number {after}"
                raise damaged(self._path, what, "the table leads back to what was read")
            after = rows[-1][0]

    def ended_with_key(self, *, ended_after: float) -> Iterator[Stored]:
        """Yield every session with an idempotency key that ended after a time, the last first."""
        place: tuple[float, int] = (math.inf, 0)
        while True:
            rows = self._rows(_ENDED_WITH_KEY, (ended_after, *place, SESSIONS_AT_ONCE))
            found = [self._stored(row) for row in rows]
            yield from found
            if len(rows) < SESSIONS_AT_ONCE:
                return
            before, place = place, (found[-1].ended_at or 0.0, rows[-1][0])
            if place >= before:
                what = f"what ended before session number {place[1]}"
                raise damaged(self._path, what, "the index leads back to what was read")

    @contextmanager
    def unchanging(self) -> Generator[None]:
        """Let all reads within see one moment, whatever is written meanwhile.

        Until it ends the write-ahead log cannot begin anew, and grows with what is written.
        """
        self.look(lambda database: database.execute("BEGIN"))
        self._rows("SELECT count(*) FROM sqlite_master", ())  # the moment is that of the first read
        try:
            yield
        finally:
            database = self._database
            if database is not None and database.is_in_transaction:
                self.look(lambda database: database.execute("ROLLBACK"))

    def flaws(self) -> Iterator[str]:
        """Say what SQLite finds wrong in the file, and which rows belong to no session.

        It reads the whole file. The tables are not looked at where SQLite cannot read them.
        """
        for sql, said in _FLAWS:
            try:
                rows = self._rows(sql, (FLAWS_MAX,))
            except StoreError as error:
                yield str(error)
            else:
                yield from (said.format(*row) for row in rows if row != ("ok",))

    def messages(
        self, session_id: str, *, after_seq: int, up_to_seq: int
    ) -> tuple[MessageRecord, ...]:
        """Return the messages with `after_seq < seq <= up_to_seq`, in order."""
        rows = self._rows(_MESSAGES, (session_id, after_seq, up_to_seq))
        return tuple(self._message(session_id, row) for row in rows)

    def keyed(self, session_id: str, *, up_to_seq: int, limit: int) -> tuple[MessageRecord, ...]:
        """Return the last `limit` messages that have a key, up to a number, in order."""
        rows = self._rows(_KEYED, (session_id, up_to_seq, limit))
        return tuple(self._message(session_id, row) for row in reversed(rows))

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        """Return the session that a row says: SQLite itself lets a column hold anything.

        Raises:
            StoreError: the file is damaged so that it says none.
        """
        number, session_id = row[0], row[1]
        if type(session_id) is not str:
            raise damaged(self._path, f"session number {number}", odd_value("id", session_id))
        what = f"session {shown(session_id)}"
        for place, (name, kind) in enumerate(_OF_HEAD, 2):
            if type(row[place]) is not kind:
                raise damaged(self._path, what, odd_value(name, row[place]))
        for place, (name, kind) in enumerate(_MAY_BE_MISSING, 8):
            if row[place] is not None and type(row[place]) is not kind:
                raise damaged(self._path, what, odd_value(name, row[place]))
        key = row[13]
        created = None if key is None else CreateRecord(row[11], row[12], key, row[14], row[15])
        for name, place in (("created_digest", 14), ("created_used_at", 15)):
            if created is not None and row[place] is None:
                raise damaged(self._path, what, odd_value(name, None))
        return Stored(session_id, Head(*row[2:8]), row[9], row[10], created, row[8])

    def _message(self, session_id: str, row: tuple[Any, ...]) -> MessageRecord:
        """Return the message that a row says.

        Raises:
            StoreError: the file is damaged so that it says none.
        """
        seq, key, body = row
        if type(body) is bytes and type(seq) is int and (key is None or type(key) is str):
            return MessageRecord(seq, key, body)
        what = f"message {shown(seq)} of session {shown(session_id)}"
        name = "body" if type(body) is not bytes else "key" if type(seq) is int else "seq"
        value = {"body": body, "key": key, "seq": seq}[name]
        raise damaged(self._path, what, odd_value(name, value))

    def _rows(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        return self.look(lambda database: database.rows(sql, values))

    def look(self, see: Callable[[Database], T]) -> T:
        """Return what somebody sees in the database.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            return see(self._connected())
        except DatabaseError as error:
            if error.primary not in PASSING:
                self._disconnect()
            raise failure(self._path, error) from error

    def reader(self) -> SqliteReader:
        """Return another that reads the same, for another thread."""
        return SqliteReader(
            self._disk,
            self._path,
            self._look_whether_in_place,
            is_immutable=self._is_immutable,
        )

    def close(self) -> None:
        """Let go of the connection. Harmless when repeated."""
        self._disconnect()

    def _connected(self) -> Database:
        if self._database is None:
            if self._look_whether_in_place is not None:
                self._look_whether_in_place()
            self._database = self._opened()
        return self._database

    def _opened(self) -> Database:
        return self._disk.open(self._path, is_readonly=True, is_immutable=self._is_immutable)

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(DatabaseError):
                database.close()
