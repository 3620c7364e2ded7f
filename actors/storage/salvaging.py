"""What can still be read of a damaged store? Every session that is whole, and which are not.

A page that is torn takes along what stands on it, and the way to what is behind it. So a table is
gone through from both ends, each session is read alone, and what an index has lost is looked for
in the table itself. No id comes out twice: of two sessions that say they have the same one, the
index of ids knows whose it is; where that is lost, too, it is the first that is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from callboard.actors.errors import StoreError
from callboard.actors.storage.checking import Readable, findings_of
from callboard.actors.storage.database import Database
from callboard.actors.storage.exporting import lines_of
from callboard.actors.storage.faults import damaged
from callboard.actors.storage.lines import line_of_end, line_of_loss, line_of_store
from callboard.actors.storage.reading import COLUMNS, SESSIONS_AT_ONCE, SqliteReader
from callboard.actors.storage.records import MessageRecord, Stored

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 63) - 1

_TABLES: Final = (("session", "number"), ("snapshot", "session"))
"""What has a row for each session, by its number; that of a session is the row of the first."""

_ONE: Final = (
    f"SELECT {COLUMNS} FROM session LEFT JOIN snapshot ON snapshot.session = session.number"  # noqa: S608 -- constants
    " WHERE number = ?"
)
_IDS: Final = (
    "SELECT id FROM session WHERE number = ?",
    "SELECT id FROM session INDEXED BY sqlite_autoindex_session_1 WHERE number = ?",
)
_OWNER: Final = "SELECT number FROM session INDEXED BY sqlite_autoindex_session_1 WHERE id = ?"
_MESSAGES: Final = tuple(
    f"SELECT seq, key, body FROM message{index} WHERE session = ? AND seq > ? AND seq <= ?"  # noqa: S608 -- constants
    " ORDER BY seq"
    for index in ("", " NOT INDEXED")
)


class Lost(msgspec.Struct, frozen=True):
    """A session that cannot be read whole; or several, of which nothing is known.

    Args:
        why: what is in the way.
        id: which, if that can be read.
        number: under which number its row is, if that is known.
    """

    why: str
    id: str | None = None
    number: int | None = None


class SqliteSalvage(SqliteReader):
    """A reader of a file that is damaged. One thread at a time.

    Memory: it holds the numbers of all sessions, and whoever writes them down their ids.
    """

    _last: tuple[str, int] | None = None
    """Id and number of the session that was read last: its messages are found by the number."""

    def remains(self) -> Iterator[Stored | Lost]:
        """Yield every session, in the order of their creation, then what nothing is known of."""
        numbers, gaps = self._numbers()
        for number in numbers:
            found = self._one(number)
            if found is not None:
                yield found
        yield from gaps

    def messages(
        self, session_id: str, *, after_seq: int, up_to_seq: int
    ) -> tuple[MessageRecord, ...]:
        """Return messages; of the session that was yielded last, without the index of ids."""
        if self._last is None or self._last[0] != session_id:
            return super().messages(session_id, after_seq=after_seq, up_to_seq=up_to_seq)
        values = (self._last[1], after_seq, up_to_seq)
        by_index, by_table = _MESSAGES
        try:
            rows = self._rows(by_index, values)
        except StoreError:
            rows = self._rows(by_table, values)
        return tuple(self._message(session_id, row) for row in rows)

    def _one(self, number: int) -> Stored | Lost | None:
        """Return a session; None: this is no session's number."""
        try:
            rows = self._rows(_ONE, (number,))
            stored = self._stored(rows[0]) if rows else None
        except StoreError as error:
            return Lost(str(error), self._id(number), number)
        self._last = None if stored is None else (stored.id, number)
        if stored is None:
            return None
        owner = self._owner(stored.id, number)
        if owner == number:
            return stored
        return Lost(f"by the index of ids, the id is that of number {owner}", stored.id, number)

    def _owner(self, session_id: str, number: int) -> int:
        """Return whose an id is by the index: the number, if that says nothing else."""
        try:
            owners = [row[0] for row in self._rows(_OWNER, (session_id,))]
        except StoreError:
            return number
        return number if number in owners or not owners else int(owners[0])

    def _id(self, number: int) -> str | None:
        for sql in _IDS:
            try:
                rows = self._rows(sql, (number,))
            except StoreError:
                continue
            if rows and isinstance(rows[0][0], str):
                return rows[0][0]
        return None

    def _numbers(self) -> tuple[list[int], list[Lost]]:
        """Return the numbers of sessions that can be found, and where there may be others."""
        (table, column), *others = _TABLES
        numbers, gap = self._column(table, column)
        if gap is None:
            return numbers, []
        found = set(numbers)
        for table, column in others:
            found.update(self._column(table, column)[0])
        # If not, those of an import that has not ended are told of as lost.
        with suppress(StoreError):
            found.difference_update(row[0] for row in self._rows("SELECT number FROM arriving", ()))
        return sorted(found), [gap]

    def _column(self, table: str, column: str) -> tuple[list[int], Lost | None]:
        """Return the values of a column of numbers, as far as they can be read from both ends."""
        first, error = self._scan(table, column, _LOWEST, ">", "ASC")
        if error is None:
            return first, None
        last, _ = self._scan(table, column, _HIGHEST, "<", "DESC")
        behind = min(last, default=None)
        place = f"after number {max(first, default=0)}"
        if behind is not None:
            place += f" and before number {behind}"
        why = f"there may be sessions {place} of which nothing can be read: {error}"
        return sorted({*first, *last}), Lost(why)

    def _scan(
        self, table: str, column: str, start: int, side: str, order: str
    ) -> tuple[list[int], StoreError | None]:
        sql = (
            f"SELECT {column} FROM {table} NOT INDEXED WHERE {column} {side} ?"  # noqa: S608 -- constants
            f" ORDER BY {column} {order} LIMIT ?"
        )
        found: list[int] = []
        at_once = SESSIONS_AT_ONCE
        while True:
            try:
                rows = self._rows(sql, (start, at_once))
            except StoreError as error:
                if at_once == 1:
                    return found, error
                at_once = max(1, at_once // 10)
                continue
            numbers = [row[0] for row in rows]
            if numbers != sorted({*numbers, start}, reverse=order == "DESC")[1:]:
                return found, damaged(self._path, f"table {table}", "it is out of order")
            found += numbers
            if len(rows) < at_once:
                return found, None
            start = found[-1]

    def _opened(self) -> Database:
        database = super()._opened()
        # So SQLite reads what there is of a file that is cut short, and lives with a wrong schema.
        database.execute("PRAGMA writable_schema = ON")
        return database


def salvaged(ruin: SqliteSalvage, readable: Readable) -> Iterator[bytes]:
    """Yield the lines of every session that can be read whole, and a line for each that cannot.

    A session is read twice: first it is seen whether all of it is whole.

    Args:
        ruin: a reader of its own: nobody else reads by it until this has ended.
        readable: says whether what is kept is a session.

    Raises:
        StoreError: the file cannot be read at all.
    """
    sessions = messages = skipped = 0
    there: set[str] = set()
    with ruin.unchanging():
        yield line_of_store()
        for each in ruin.remains():
            lost = each if isinstance(each, Lost) else _flaw_of(ruin, each, readable)
            if isinstance(each, Stored) and each.id in there:
                lost = Lost("there is another one of this id, which stands above", each.id)
            if lost is not None:
                skipped += 1
                yield line_of_loss(lost.why, session_id=lost.id, number=lost.number)
            elif isinstance(each, Stored):
                there.add(each.id)
                sessions += 1
                messages += each.head.last_seq
                yield from lines_of(ruin, each)
        yield line_of_end(sessions=sessions, messages=messages, skipped=skipped)


def _flaw_of(ruin: SqliteSalvage, stored: Stored, readable: Readable) -> Lost | None:
    found: Any = next(findings_of(ruin, stored, readable), None)
    if found is None:
        return None
    place = "" if found.seq is None else f"message {found.seq}: "
    return Lost(f"{place}{found.what}", stored.id)
