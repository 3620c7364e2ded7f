"""What does an operator see of sessions in PostgreSQL? All there is, as it is at one moment.

It needs no lease, and holds up no owner: PostgreSQL shows each transaction a moment of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from callboard.actors.storage.postgres import PostgresReader, told_of
from callboard.actors.storage.postgres_port import Link, Lost, Refused, Rows
from callboard.actors.storage.postgres_tables import refuse_other

FLAWS_MAX: Final = 100
"""Flaws that are told."""

LOGS_AT_ONCE: Final = 1_000
"""Logs that one statement looks at, whether they are a session's."""

_STRANGE_LOGS: Final = """
    WITH RECURSIVE log (session) AS (
        (SELECT session FROM message WHERE session > %s ORDER BY session LIMIT 1)
        UNION ALL
        SELECT (SELECT message.session FROM message WHERE message.session > log.session
            ORDER BY message.session LIMIT 1)
        FROM log WHERE log.session IS NOT NULL
    )
    SELECT log.session, EXISTS (SELECT FROM session WHERE session.id = log.session)
    FROM log WHERE log.session IS NOT NULL LIMIT %s
"""
"""Of some logs, whether there is their session: from one to the next by the index."""


class PostgresArchive(PostgresReader):
    """Reads all that is kept, over a connection of its own. One thread at a time.

    Args:
        new_link: makes a connection that is not open yet, for an operator's long statements.
        schema: where the tables are.
    """

    def __init__(self, new_link: Callable[[], Link], schema: str) -> None:
        super().__init__(new_link)
        self._schema = schema
        self._is_unchanging = False

    @contextmanager
    def unchanging(self) -> Generator[None]:
        """Let all reads within see one moment, whatever is written meanwhile.

        Raises:
            StoreRefused: these are not the tables of this version.
            StoreError: they cannot be read; or the connection was lost, and the moment with it.
        """
        self._read("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())
        self._is_unchanging = True
        try:
            self._read("SELECT value FROM meta", ())  # the moment is that of the first read
            yield
        finally:
            self._is_unchanging = False
            if self._link.is_open:
                self._read("ROLLBACK", ())

    def flaws(self) -> Iterator[str]:
        """Say which messages belong to no session. PostgreSQL looks after its files itself."""
        place, told = "", 0
        while rows := self._read(_STRANGE_LOGS, (place, LOGS_AT_ONCE)):
            for session, is_there in rows:
                if not is_there and told < FLAWS_MAX:
                    told += 1
                    yield f"there are messages of a session {session!r} that is not there"
            place = rows[-1][0]

    def _ready(self) -> Link:
        was_open = self._link.is_open
        link = super()._ready()
        if not was_open:
            refuse_other(link, self._schema)
        return link

    def _read(self, sql: str, values: tuple[Any, ...]) -> Rows:
        if not self._is_unchanging:
            return super()._read(sql, values)
        try:
            return self._link.rows(sql, values)  # another connection would see another moment
        except (Lost, Refused) as failure:
            said = told_of(failure)
        raise said
