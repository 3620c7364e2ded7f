"""What tables are there in PostgreSQL, and how do they become those of a newer version?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callboard.actors.errors import StoreRefused, StoreTooNew
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
)
"""Statements that lead from each version to the next one; from version 0, which is nothing."""

_HAS_META: Final = """
    SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relname = 'meta'
"""

VERSION: Final = len(UPGRADES)
"""The version that this library writes."""


def upgrade(link: Link, schema: str, *, upgrades: Sequence[Sequence[str]] = UPGRADES) -> None:
    """Make the tables what this library needs, in one transaction; nothing when they are.

    Raises:
        StoreTooNew: a newer library has made them what this one does not know.
        Lost, Refused: by the server; nothing was changed.
    """
    if _version(link, schema, known=len(upgrades)) == len(upgrades):
        return
    # Two that start at once: one makes the tables, the other finds them made.
    turn = Statement("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (schema,))
    link.together([Statement("BEGIN"), turn])
    version = _version(link, schema, known=len(upgrades))
    if not version:
        if not link.rows("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)):
            link.rows(f'CREATE SCHEMA "{schema}"')
        link.rows("CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL)")
    for each in upgrades[version:]:
        for sql in each:
            link.rows(sql)
    link.rows(
        "INSERT INTO meta VALUES ('version', %s)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (str(len(upgrades)),),
    )
    link.commit()


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
    # Not `to_regclass`: its answer is from a cache, and may be as old as the transaction.
    if not link.rows(_HAS_META, (schema,)):
        return 0
    rows = link.rows("SELECT value FROM meta WHERE name = 'version'")
    version = int(rows[0][0]) if rows else 0
    if version > known:
        link.drop()
        raise StoreTooNew(schema, version=version, known=known)
    return version
