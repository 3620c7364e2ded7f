"""How does SQLite keep sessions out of sight until all of an import has come in?

Their heads stand in a table of their own, all else is in its place already: the last step moves the
heads. The numbers under which it is there lie far beyond those of sessions that are created
meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import astuple

from callboard.actors.errors import DuplicateSession, StoreError
from callboard.actors.storage.database import Database
from callboard.actors.storage.records import MessageRecord, Stored
from callboard.actors.storage.sqlite import SqliteStore

CLEARED_AT_ONCE: Final = 10_000
"""Messages that one step deletes of an import that did not end."""

_GAP: Final = 1 << 40  # sessions that may be created while an import runs

_COLUMNS: Final = (
    "number, id, state, incarnation, version, last_seq, message_count, last_active_at, ended_at"
)
_IS_THERE: Final = "SELECT 1 FROM session WHERE id = ? UNION SELECT 1 FROM arriving WHERE id = ?"


class SqliteArrivals:
    """The `Arrivals` of a store in SQLite.

    Args:
        store: where they go.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._taken = 0

    def clear(self) -> bool:
        """Delete a part of what an earlier import has left that did not end; say if all is gone."""
        self._taken = 0
        return self._store.change(_clear)

    def take(
        self, sessions: Sequence[Stored], messages: Sequence[tuple[str, MessageRecord]]
    ) -> None:
        """Take in some sessions, and messages of these or earlier ones.

        Raises:
            DuplicateSession: there is one of this id; nothing of this call was taken.
            StoreError: nothing of this call was taken.
        """
        self._store.change(lambda database: _take(database, sessions, messages))
        self._taken += len(sessions)

    def publish(self) -> None:
        """Let all that was taken be there.

        Raises:
            DuplicateSession: there is one of this id meanwhile; all is as before.
            StoreError: all is as before, if its outcome is known.
        """
        self._store.change(lambda database: _publish(database, self._taken))

    def close(self) -> None:
        """Do nothing: what was left is in the file, and the next import clears it away."""


def _clear(database: Database) -> bool:
    room = CLEARED_AT_ONCE
    while room > 0:
        found = database.rows("SELECT number, last_seq FROM arriving LIMIT 1")
        if not found:
            return True
        ((number, last_seq),) = found
        left = max(0, last_seq - room)
        database.execute("DELETE FROM message WHERE session = ? AND seq > ?", (number, left))
        room -= last_seq - left + 1
        if left:
            database.execute("UPDATE arriving SET last_seq = ? WHERE number = ?", (left, number))
        else:
            database.execute("DELETE FROM snapshot WHERE session = ?", (number,))
            database.execute("DELETE FROM arriving WHERE number = ?", (number,))
    return False


def _take(
    database: Database, sessions: Sequence[Stored], messages: Sequence[tuple[str, MessageRecord]]
) -> None:
    ((number,),) = database.rows(
        "SELECT coalesce((SELECT max(number) FROM arriving),"
        " coalesce((SELECT max(number) FROM session), 0) + ?)",
        (_GAP,),
    )
    for stored in sessions:
        if database.rows(_IS_THERE, (stored.id, stored.id)):
            raise DuplicateSession(stored.id)
        number += 1
        database.execute(
            f"INSERT INTO arriving ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- constants
            (number, stored.id, *astuple(stored.head), stored.ended_at),
        )
        created = (None,) * 5 if stored.created is None else astuple(stored.created)
        database.execute(
            "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, stored.body, stored.standing, *created),
        )
    if messages:
        database.many(
            "INSERT INTO message (session, seq, key, body)"
            " SELECT number, ?, ?, ? FROM arriving WHERE id = ?",
            ((each.seq, each.key, each.body, session_id) for session_id, each in messages),
        )


def _publish(database: Database, taken: int) -> None:
    ((found,),) = database.rows("SELECT count(*) FROM arriving")
    if found != taken:
        msg = f"{found} sessions have come in where this import has brought {taken}"
        error = StoreError(msg)
        error.remedy = "Look who else has changed the file; then import again, from the beginning."
        raise error
    twice = database.rows("SELECT id FROM arriving JOIN session USING (id) LIMIT 1")
    if twice:
        raise DuplicateSession(twice[0][0])
    database.execute(f"INSERT INTO session ({_COLUMNS}) SELECT {_COLUMNS} FROM arriving")  # noqa: S608 -- constants
    database.execute("DELETE FROM arriving")
