"""How do sessions leave PostgreSQL that ended long ago? The room is its own to use again."""

from __future__ import annotations

from collections.abc import Generator

from callboard.actors.storage.compacting import PURGED_AT_ONCE, Compacted
from callboard.actors.storage.postgres import PostgresStore


def compacting_there(
    store: PostgresStore, *, ended_before: float
) -> Generator[None, None, Compacted]:
    """Delete what ended before a time, a part at each step.

    Each step is one short transaction, on the thread that writes. PostgreSQL uses the room
    again for what is written next (autovacuum); it gives it back to the disk when it is told
    `VACUUM FULL`, which stops everybody meanwhile and so is not done here.

    Args:
        store: which store.
        ended_before: UTC, in seconds since the epoch.

    Raises:
        StoreError: the store cannot be changed; what was done so far stays done.
    """
    before, purged = store.size_bytes(), 0
    while store.has_ended(ended_before):
        purged += store.purge(ended_before=ended_before, limit=PURGED_AT_ONCE).sessions
        yield
    return Compacted(purged, before, store.size_bytes())
