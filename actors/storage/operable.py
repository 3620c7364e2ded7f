"""How is a store looked after, of whichever kind it is? Each kind has its own way."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

from callboard.actors.errors import StoreNotOperable
from callboard.actors.storage.arriving import SqliteArrivals
from callboard.actors.storage.compacting import Compacted, compacting
from callboard.actors.storage.postgres import DAMAGED_THERE, PostgresStore
from callboard.actors.storage.postgres_archive import PostgresArchive
from callboard.actors.storage.postgres_arriving import PostgresArrivals
from callboard.actors.storage.postgres_compacting import compacting_there
from callboard.actors.storage.records import Archive, Arrivals
from callboard.actors.storage.salvaging import SqliteSalvage
from callboard.actors.storage.sqlite import SqliteStore

Operable: TypeAlias = SqliteStore | PostgresStore
"""A store that callboard looks after."""


def archive_of(store: Operable) -> Archive:
    """Return what sees all that is kept, for another thread; close it."""
    if isinstance(store, SqliteStore):
        return store.reader()
    return PostgresArchive(store.patient_link, store.schema)


def salvage_of(store: Operable) -> SqliteSalvage:
    """Return what reads all that can be read of a file that is damaged; close it.

    Raises:
        StoreNotOperable: it is no file: PostgreSQL mends what is damaged of its own.
    """
    if isinstance(store, SqliteStore):
        return store.salvage()
    msg = "what is damaged on a server is not for callboard to mend"
    error = StoreNotOperable(msg)
    error.remedy = DAMAGED_THERE
    raise error


def arrivals_of(store: Operable) -> Arrivals:
    """Return where an import goes, on the thread that writes."""
    return SqliteArrivals(store) if isinstance(store, SqliteStore) else PostgresArrivals(store)


def compaction_of(store: Operable, *, ended_before: float) -> Generator[None, None, Compacted]:
    """Return the steps that delete what ended before a time, and give back what room they can."""
    if isinstance(store, SqliteStore):
        return compacting(store, ended_before=ended_before)
    return compacting_there(store, ended_before=ended_before)
