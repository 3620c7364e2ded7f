"""How does PostgreSQL keep sessions out of sight until all of an import has come in?

One transaction sees to that, on a connection of its own. Their heads wait in a table of that
connection, so that nobody who creates a session meanwhile waits for them; the last step moves them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

from callboard.actors.errors import DuplicateSession, StoreError, StoreFenced, StoreOutcomeUnknown
from callboard.actors.storage.postgres import PostgresStore, told_of
from callboard.actors.storage.postgres_port import BadValue, Lost, Refused, Statement, Texts
from callboard.actors.storage.postgres_rows import appending, creating
from callboard.actors.storage.records import MessageRecord, Stored, Write

_COLUMNS: Final = (
    "id, state, incarnation, version, last_seq, message_count, last_active_at, body, standing,"
    " created, ended_at"
)

_BEGIN: Final = (
    Statement("BEGIN"),
    Statement(
        """
        CREATE TEMPORARY TABLE arriving (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id text COLLATE "C" NOT NULL UNIQUE,
            state text NOT NULL,
            incarnation bigint NOT NULL,
            version bigint NOT NULL,
            last_seq bigint NOT NULL,
            message_count bigint NOT NULL,
            last_active_at double precision NOT NULL,
            body bytea NOT NULL,
            standing bytea,
            created bytea,
            ended_at double precision
        ) ON COMMIT DROP
        """
    ),
)

_TAKEN: Final = """
    SELECT id FROM session WHERE id = ANY(%s) UNION ALL SELECT id FROM arriving WHERE id = ANY(%s)
    LIMIT 1
"""

_TWICE: Final = "SELECT arriving.id FROM arriving JOIN session USING (id) LIMIT 1"

_MOVE: Final = f"""
    INSERT INTO session ({_COLUMNS}) SELECT {_COLUMNS} FROM arriving ORDER BY number
"""  # noqa: S608 -- constants


class PostgresArrivals:
    """The `Arrivals` of a store in PostgreSQL. They come in under the lease of its owner.

    Args:
        store: where they go.
    """

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._link = store.patient_link()
        self._is_begun = False

    def clear(self) -> bool:
        """Give up what has not been published: the server undoes it."""
        self._link.drop()
        self._is_begun = False
        return True

    def take(
        self, sessions: Sequence[Stored], messages: Sequence[tuple[str, MessageRecord]]
    ) -> None:
        """Take in some sessions, and messages of these or earlier ones.

        Raises:
            DuplicateSession: there is one of this id; nothing of this call was taken.
            StoreError: nothing of this call was taken.
        """
        self._store.renew()  # an import may last for longer than a lease
        with _told():
            self._begin()
            ids = Texts(each.id for each in sessions)
            taken = self._link.rows(_TAKEN, (ids, ids))
            if taken:
                raise DuplicateSession(taken[0][0])
            new = [_write_of(each) for each in sessions]
            statements = [creating(new, table="arriving")] if new else []
            if messages:
                statements.append(appending(messages))
            self._link.together(statements)

    def publish(self) -> None:
        """Let all that was taken be there.

        Raises:
            DuplicateSession: there is one of this id meanwhile; all is as before.
            StoreFenced: somebody else has the lease; all is as before.
            StoreError: all is as before, if its outcome is known.
        """
        self._store.renew()
        with _told():
            self._begin()
            twice = self._link.rows(_TWICE)
            if twice:
                raise DuplicateSession(twice[0][0])
            self._link.rows(_MOVE)
            held = self._link.together([self._store.hold()])[0]
            if not held:
                raise StoreFenced(self._store.schema)
            try:
                self._link.commit()
            except Lost as lost:
                raise StoreOutcomeUnknown(str(lost)) from None

    def close(self) -> None:
        """Close the connection: what was not published is undone."""
        self.clear()

    def _begin(self) -> None:
        if self._link.is_open:
            return
        if self._is_begun:
            msg = "the connection was lost in the middle of an import"
            raise StoreError(msg)
        self._link.open()
        self._link.together(_BEGIN)
        self._is_begun = True


@contextmanager
def _told() -> Generator[None]:
    """Say in the errors of a store what went wrong."""
    try:
        yield
    except BadValue as bad:
        said = StoreError(f"a session cannot be kept: {bad}")
        said.remedy = "Leave out what holds text that is no valid Unicode, or has NUL."
    except (Lost, Refused) as failure:
        said = told_of(failure)
    else:
        return
    raise said  # out here: the chain would carry what nobody is to read


def _write_of(stored: Stored) -> Write:
    return Write(
        id=stored.id,
        is_new=True,
        head=stored.head,
        body=stored.body,
        standing=stored.standing,
        created=stored.created,
        ended_at=stored.ended_at,
    )
