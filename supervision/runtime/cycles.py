"""Would this wait never end? Asked just before an actor blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.supervision.runtime.errors import AskCycle
from callboard.supervision.runtime.futures import Future

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell

_STEPS_MAX = 1_000
"""Asks that are followed; a longer chain is not called a cycle."""


def refuse_cycle(asker: EndingCell[Any], future: Future[Any]) -> None:
    """Raise if whoever should reply waits, by however many steps, for the asker.

    The caller has set `asker.waiting` before: of two asks that close a cycle at
    the same moment, at least one sees the other.

    Raises:
        AskCycle: with the names of those who wait for each other.
    """
    names = [asker.name]
    waiting: Any = future
    for _ in range(_STEPS_MAX):
        if isinstance(waiting, Future):
            if waiting.is_done:
                return
            waiting = waiting.owner
        cell: EndingCell[Any] | None = getattr(waiting, "ref", None)
        if cell is None:
            return
        names.append(cell.name)
        if cell is asker:
            msg = f"{' -> '.join(names)}: each waits for the next"
            raise AskCycle(msg, address=cell.name)
        waiting = cell.waiting
        if waiting is None:
            return
