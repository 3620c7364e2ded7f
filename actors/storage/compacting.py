"""How does a store's file become smaller? What is no longer wanted goes, and its room with it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import msgspec

from callboard.actors.storage.arriving import SqliteArrivals
from callboard.actors.storage.database import Database
from callboard.actors.storage.sqlite import SqliteStore

PURGED_AT_ONCE: Final = 100
"""Ended sessions that one step deletes."""

PAGES_AT_ONCE: Final = 1_000
"""Free pages (of 4 KiB) that one step gives back to the disk."""


class Compacted(msgspec.Struct, frozen=True):
    """What has become of the file.

    Args:
        purged: sessions that were deleted.
        bytes_before: how large it was.
        bytes_after: how large it is.
    """

    purged: int
    bytes_before: int
    bytes_after: int


def compacting(store: SqliteStore, *, ended_before: float) -> Generator[None, None, Compacted]:
    """Delete what ended before a time, and give free room back, a part at each step.

    Each step is one short transaction, on the thread that writes; others may be written in
    between. What an import has left that did not end goes, too: no import may run meanwhile.

    Args:
        store: which store.
        ended_before: UTC, in seconds since the epoch.

    Raises:
        StoreError: the store cannot be changed; what was done so far stays done.
    """
    before, purged = store.look(_size), 0
    arrivals = SqliteArrivals(store)
    while not arrivals.clear():
        yield
    while store.look(lambda database: _has_ended(database, ended_before)):
        purged += store.purge(ended_before=ended_before, limit=PURGED_AT_ONCE).sessions
        yield
    while store.look(_free_pages):
        # To the end, by reading its rows: else some drivers give back one page alone.
        store.change(lambda database: database.rows(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))
        yield
    store.look(lambda database: database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    return Compacted(purged, before, store.look(_size))


def _size(database: Database) -> int:
    ((pages,),) = database.rows("PRAGMA page_count")
    ((page_bytes,),) = database.rows("PRAGMA page_size")
    return int(pages * page_bytes)


def _free_pages(database: Database) -> int:
    ((pages,),) = database.rows("PRAGMA freelist_count")
    return int(pages)


def _has_ended(database: Database, before: float) -> bool:
    return bool(database.rows("SELECT 1 FROM session WHERE ended_at < ? LIMIT 1", (before,)))
