"""Would this wait never end? Asked just before an actor blocks, and by whoever waits for its end.

asker: (1) `waiting = future`   (2) does a supervisor wait for its end, by however many steps?
supervisor: (1) wait for an end   (2) does that one wait for the supervisor?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from callboard.supervision.runtime.errors import AskCycle
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.notices import name_of

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell

_STEPS_MAX = 1_000
"""Waits that are followed; a longer chain is not called a cycle."""


class _Cycle(NamedTuple):
    """Those who wait for each other, and the first answer that one of them waits for."""

    names: list[str]
    cells: list[EndingCell[Any]]
    future: Future[Any] | None

    def error(self) -> AskCycle:
        """Return what the asker gets."""
        said = ["each waits for the next"]
        for cell in self.cells:
            message = getattr(cell, "handling", None)  # a client of a simulation handles none
            if message is not None:
                said.append(f"{cell.name} handles {name_of(message)}")
        msg = f"{' -> '.join(self.names)}: {', '.join(said)}"
        return AskCycle(msg, address=self.names[-1])


def refuse_cycle(asker: EndingCell[Any], future: Future[Any]) -> None:
    """Raise if whoever should reply waits, by however many steps, for the asker.

    The caller has set `asker.waiting` before: of two asks that close a cycle at
    the same moment, at least one sees the other.

    Raises:
        AskCycle: with the names of those who wait for each other.
    """
    cycle = _cycle_of(asker, future)
    if cycle is not None:
        raise cycle.error()


def break_cycle(ending: EndingCell[Any]) -> None:
    """Free an actor that is to end, if it waits for what comes after its end.

    As one does that asks at the address of a sibling which comes back only when the whole group
    has been stopped. Called by who waits for the end, as soon as that can be seen.
    """
    waiting = _awaited_by(ending)
    cycle = None if waiting is None else _cycle_of(ending, waiting)
    if cycle is not None and cycle.future is not None:
        cycle.future.offer_exception(cycle.error())


def _cycle_of(first: EndingCell[Any], waiting: Any) -> _Cycle | None:
    """Follow who waits for whom, from what the first one waits for; None: not back to it."""
    names = [first.name]
    cells = [first]
    future: Future[Any] | None = None
    for _ in range(_STEPS_MAX):
        if isinstance(waiting, Future):
            if waiting.is_done:
                return None
            answer: Future[Any] = waiting  # pyright: ignore[reportUnknownVariableType]  # of a message that may be anything
            future = future or answer
            waiting = answer.owner
        cell: Any = _who_is(waiting)
        if cell is None:
            return None
        if getattr(waiting, "ref", None) is not cell:  # the address, where nobody is
            names.append(waiting.name)
        names.append(cell.name)
        if cell is first:
            return _Cycle(names, cells, future)
        cells.append(cell)
        waiting = _awaited_by(cell)
        if waiting is None:
            return None
    return None


def _who_is(waited_for: Any) -> EndingCell[Any] | None:
    """Return on whom it depends: an actor, or who has yet to start one at an address."""
    cell: EndingCell[Any] | None = getattr(waited_for, "ref", None)
    if cell is not None and not cell.is_dead:
        return cell
    owner: Any = getattr(waited_for, "owner", None)
    return getattr(owner, "supervisor", None)


def _awaited_by(cell: EndingCell[Any]) -> Any:
    """Return what an actor waits for: an answer, or the end of another one."""
    waiting, operation = cell.waiting, cell.operation
    if waiting is None and operation is not None:
        return operation.awaited_end
    return waiting
