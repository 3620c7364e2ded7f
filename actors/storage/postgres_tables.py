"""What tables are there in PostgreSQL, and how do they become those of a newer version?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from callboard.actors.errors import StoreRefused, StoreTooNew
from callboard.actors.storage.postgres_lease import Lease
from callboard.actors.storage.postgres_port import Link, Statement

UPGRADES: Final[tuple[tuple[str, ...], ...]] = (
    (
        # `place` is the order of creation. Room in each page, and no index on what an append
        # changes: then PostgreSQL writes the new row beside the old one and touches no index.
        """
        CREATE TABLE session (
            id text COLLATE "C" PRIMARY KEY,
            place bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
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
        ) WITH (fillfactor = 70)
        """,
        "CREATE INDEX session_ended ON session (ended_at) WHERE ended_at IS NOT NULL",
        """
        CREATE TABLE message (
            session text COLLATE "C" NOT NULL,
            seq bigint NOT NULL,
            key text,
            body bytea NOT NULL,
            PRIMARY KEY (session, seq)
        )
        """,
        "CREATE INDEX message_keyed ON message (session, seq) WHERE key IS NOT NULL",
        # One row: the one owner there is or was. `epoch` counts owners and their connections.
        """
        CREATE TABLE lease (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            owner uuid NOT NULL,
            pid bigint NOT NULL,
            host text NOT NULL,
            epoch bigint NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz NOT NULL
        )
        """,
    ),
    # What a start reads, however many have ended.
    ("CREATE INDEX session_lives ON session (place) WHERE ended_at IS NULL",),
)
"""Statements that lead from each version to the next one; from version 0, which is nothing."""

_TABLES: Final = ("lease", "message", "meta", "session")

_NAMES: Final = """
    SELECT relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relname IN ('lease', 'message', 'meta', 'session') ORDER BY relname
"""

# As JSON: that can be asked for columns which a table of somebody else's has not.
_VERSION: Final = """
    SELECT to_jsonb(meta) ->> 'value' FROM meta WHERE to_jsonb(meta) ->> 'name' = 'version'
"""

_IS_VERSION: Final = re.compile("[1-9][0-9]{0,8}")

VERSION: Final = len(UPGRADES)
"""The version that this library writes."""


def make(link: Link, schema: str, *, upgrades: Sequence[Sequence[str]] = UPGRADES) -> None:
    """Make the tables where there are none, in one transaction; those that are there stay so.

    Raises:
        StoreTooNew: a newer library has made them what this one does not know.
        StoreRefused: they are somebody else's.
        Lost, Refused: by the server; nothing was changed.
    """
    if _version(link, schema, known=len(upgrades)):
        return
    # Two that start at once: one makes the tables, the other finds them made.
    turn = Statement("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (schema,))
    link.together([Statement("BEGIN"), turn])
    if not _version(link, schema, known=len(upgrades)):
        if not link.rows("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)):
            link.rows(f'CREATE SCHEMA "{schema}"')
        link.rows("CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL)")
        _step(link, upgrades, to=len(upgrades))
    link.commit()


def upgrade(
    link: Link,
    schema: str,
    *,
    lease: Lease,
    new_link: Callable[[], Link],
    upgrades: Sequence[Sequence[str]] = UPGRADES,
) -> None:
    """Bring tables of an older version up to date, in one transaction; nothing when they are.

    Only by who has the lease, and the transaction holds it: an owner who lives goes on with the
    tables that he knows.

    Args:
        link: sees which version they have.
        schema: where they are.
        lease: the right to change them, which is claimed.
        new_link: makes a connection, not open yet, whose statements may take their time: an
            index over all that is kept does.
        upgrades: the versions, for tests.

    Raises:
        StoreFenced: somebody else has taken the lease; nothing was changed.
        StoreTooNew: a newer library has made them what this one does not know.
        StoreRefused: they are somebody else's.
        Lost, Refused: by the server; nothing was changed.
    """
    version = _version(link, schema, known=len(upgrades))
    if version == len(upgrades):
        return
    patient = new_link()
    try:
        patient.open()
        _, held = patient.together([Statement("BEGIN"), lease.hold()])
        lease.is_due(held)
        _step(patient, upgrades[version:], to=len(upgrades))
        patient.together([lease.renewal()])  # it may have run out meanwhile
        patient.commit()
    finally:
        patient.drop()


def _step(link: Link, upgrades: Sequence[Sequence[str]], *, to: int) -> None:
    """Do these steps, and note the version that they lead to."""
    for each in upgrades:
        for sql in each:
            link.rows(sql)
    link.rows(
        "INSERT INTO meta VALUES ('version', %s)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (str(to),),
    )


def refuse_other(link: Link, schema: str) -> None:
    """Refuse tables that are not those that this library needs; nothing is changed.

    Raises:
        StoreTooNew: a newer library has made them what this one does not know.
        StoreRefused: there are none, or an older library has made them.
        Lost, Refused: by the server.
    """
    version = _version(link, schema, known=VERSION)
    if version == VERSION:
        return
    link.drop()
    if version:
        remedy = "Start a daemon with it: that brings it up to date."
        raise StoreRefused(schema, f"an older callboard has made it (version {version})", remedy)
    remedy = "Name the database that a daemon keeps its sessions in."
    raise StoreRefused(schema, "there is no such schema with sessions in this database", remedy)


def _version(link: Link, schema: str, *, known: int) -> int:
    """Return the version of our tables, 0 where there are none; refuse those of somebody else."""
    # Not `to_regclass`: its answer is from a cache, and may be as old as the transaction.
    names = [row[0] for row in link.rows(_NAMES, (schema,))]
    if not names:
        return 0
    rows = link.rows(_VERSION) if tuple(names) == _TABLES else []
    found = str(rows[0][0]) if rows else ""
    if not _IS_VERSION.fullmatch(found):
        link.drop()
        why = f"there are tables of something else in it ({', '.join(names)})"
        remedy = "Name a schema that callboard has made, or one that is not there yet."
        raise StoreRefused(schema, why, remedy)
    version = int(found)
    if version > known:
        link.drop()
        raise StoreTooNew(schema, version=version, known=known)
    return version
