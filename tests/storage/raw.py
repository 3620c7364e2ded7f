"""A keeper of plain SQL, to see what a disk and SQLite do before there is a store."""

from __future__ import annotations

from contextlib import suppress

from callboard.actors.storage.database import Database, DatabaseError, Disk
from tests.storage.ledger import body, number_in, parts

PATH = "raw.db"


class RawKeeper:
    """Keeps transactions by plain SQL.

    Args:
        disk: where.
        synchronous: SQLite's word for how much it syncs.
    """

    def __init__(self, disk: Disk, synchronous: str) -> None:
        self.database: Database = disk.open(disk.prepare(PATH))
        run = self.database.execute
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA synchronous = {synchronous}")
        run("BEGIN IMMEDIATE")
        run("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, last INTEGER) STRICT")
        run(
            "CREATE TABLE IF NOT EXISTS messages"
            " (id TEXT, seq INTEGER, body BLOB, PRIMARY KEY (id, seq)) STRICT, WITHOUT ROWID"
        )
        run("COMMIT")

    def write(self, number: int) -> None:
        """Keep transaction `number`."""
        database = self.database
        try:
            database.execute("BEGIN IMMEDIATE")
            for session, (count, size) in parts(number).items():
                last = self._last(session)
                database.many(
                    "INSERT INTO messages VALUES (?, ?, ?)",
                    [(session, last + place, body(number, size)) for place in range(1, count + 1)],
                )
                database.execute(
                    "INSERT INTO sessions VALUES (?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET last = excluded.last",
                    (session, last + count),
                )
            database.execute("COMMIT")
        except BaseException:
            with suppress(DatabaseError):
                if database.is_in_transaction:
                    database.execute("ROLLBACK")
            raise

    def _last(self, session: str) -> int:
        rows = self.database.rows("SELECT last FROM sessions WHERE id = ?", (session,))
        return int(rows[0][0]) if rows else 0

    def found(self) -> dict[str, list[int]]:
        """Return for each session the transaction of each message, in order."""
        assert self.database.rows("PRAGMA integrity_check") == [("ok",)], "not sound"
        found: dict[str, list[int]] = {}
        for session, seq, text in self.database.rows("SELECT * FROM messages ORDER BY id, seq"):
            inside = found.setdefault(session, [])
            inside.append(number_in(text))
            assert len(inside) == seq, f"{session} has a gap before {seq}"
        lasts = dict(self.database.rows("SELECT id, last FROM sessions"))
        assert lasts == {session: len(inside) for session, inside in found.items()}, "half"
        return found
