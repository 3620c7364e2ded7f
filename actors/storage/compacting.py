"""How does a store's file become smaller? What is no longer wanted goes, and its room with it."""

from __future__ import annotations

import math
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
        why: why the disk has got nothing back, and what can be done about it; None: it has.
    """

    purged: int
    bytes_before: int
    bytes_after: int
    why: str | None = None


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a compaction has come upon and left: by it is told why the disk has got nothing back.

    Args:
        purged: sessions that were deleted.
        is_smaller: whether pages of the file were given back.
        keeps_ended: whether sessions are kept that have ended, but later.
        is_read: whether somebody reads a moment from before.
        keeps_pages: whether the file is of the kind that keeps its free pages.
    """

    purged: int
    is_smaller: bool
    keeps_ended: bool
    is_read: bool = False
    keeps_pages: bool = False


def why_nothing(left: Left, *, used_again: str) -> str | None:
    """Say why the disk has got nothing back; None: it has. Pure.

    Args:
        left: what was come upon.
        used_again: what becomes of the room of what was deleted, where the disk gets none of it.
    """
    if left.is_read:
        return _IS_READ
    if left.is_smaller:
        return None
    if left.keeps_pages:
        return _KEEPS_PAGES
    if left.purged:
        return used_again
    return f"nothing has ended so long ago{_AND_LATER if left.keeps_ended else ''}"


_IS_READ: Final = (
    "somebody reads the store as it was (an export, a backup): until that is over the disk gets"
    " nothing back; compact again then"
)
_KEEPS_PAGES: Final = (
    "the file keeps its free pages and uses them again, since something else than callboard has"
    " vacuumed it: have SQLite's own shell run PRAGMA auto_vacuum = INCREMENTAL; VACUUM; while"
    " nobody uses it"
)
_USED_AGAIN: Final = "what was deleted has left no page empty; its room is used again"
_AND_LATER: Final = "; of what ended later, a lower ended_longer_than_s deletes more"

_INCREMENTAL: Final = 2
"""What SQLite calls a file that gives its free pages back when it is told to."""


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
    is_smaller, keeps_pages = False, store.look(_keeps_pages)
    while not keeps_pages and store.look(_free_pages):
        # To the end, by reading its rows: else some drivers give back one page alone.
        store.change(lambda database: database.rows(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))
        is_smaller = True
        yield
    left = Left(
        purged=purged,
        is_smaller=is_smaller,
        keeps_ended=store.look(lambda database: _has_ended(database, math.inf)),
        is_read=store.look(_is_read),
        keeps_pages=keeps_pages and store.look(_free_pages) > 0,
    )
    return Compacted(purged, before, store.look(_size), why_nothing(left, used_again=_USED_AGAIN))


def _size(database: Database) -> int:
    ((pages,),) = database.rows("PRAGMA page_count")
    ((page_bytes,),) = database.rows("PRAGMA page_size")
    return int(pages * page_bytes)


def _free_pages(database: Database) -> int:
    ((pages,),) = database.rows("PRAGMA freelist_count")
    return int(pages)


def _keeps_pages(database: Database) -> bool:
    ((mode,),) = database.rows("PRAGMA auto_vacuum")
    return bool(mode != _INCREMENTAL)


def _is_read(database: Database) -> bool:
    """Bring all into the file; say whether it could not be, since somebody reads what was."""
    ((is_busy, *_),) = database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return bool(is_busy)


def _has_ended(database: Database, before: float) -> bool:
    return bool(database.rows("SELECT 1 FROM session WHERE ended_at < ? LIMIT 1", (before,)))
