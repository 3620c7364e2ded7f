"""How do sessions leave PostgreSQL that ended long ago? The room is its own to use again."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Final

from callboard.actors.storage.compacting import PURGED_AT_ONCE, Compacted, Left, why_nothing
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
    after = store.size_bytes()
    left = Left(purged=purged, is_smaller=after < before, keeps_ended=store.has_ended(math.inf))
    return Compacted(purged, before, after, why_nothing(left, used_again=_USED_AGAIN))


_USED_AGAIN: Final = (
    "PostgreSQL uses the room of what was deleted for what is written next; VACUUM FULL gives it"
    " back to the disk, and stops everybody meanwhile"
)
