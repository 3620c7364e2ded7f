"""Which sessions have been at work on one message for too long?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callboard.actors.sessions.table import Row

HUNG_AFTER_S: Final = 60.0
"""So long at work on one message, a session is called hung, unless the system says otherwise."""

HUNG_NAMED_MAX: Final = 20
"""How many of them are named, those that have hung longest."""


def hung(at_work: Mapping[Row, float], *, now_s: float, after_s: float) -> tuple[str, ...]:
    """Return the ids of sessions that hang, the longest first. Any thread, no message.

    Args:
        at_work: sessions with a message in hand, and since when.
        now_s: monotonic now.
        after_s: at work for longer than so many seconds.
    """
    since = sorted((begun_s, row.id) for row, begun_s in _copied(at_work) if _is_at_work(row))
    late = [session_id for begun_s, session_id in since if now_s - begun_s > after_s]
    return tuple(late[:HUNG_NAMED_MAX])


def _copied(at_work: Mapping[Row, float]) -> list[tuple[Row, float]]:
    # A copy is one C call: sessions come and go meanwhile. A list of the items is not: each is a
    # tuple, at which the collector may begin, whose finalizers let others go on.
    return list(dict(at_work).items())


def _is_at_work(row: Row) -> bool:
    """Whether it is so still: one that was killed as it began may not have left."""
    address: Any = row.address
    cell: Any = None if address is None else address.cell
    return cell is not None and (cell.is_at_work or cell.operation is not None)
