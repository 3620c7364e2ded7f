"""Who waits for whom, in a world in which nothing goes on any more?

An answer is awaited from its owner, and from whoever holds it: a reply that was put off and
handed on (`reply_later`) is looked for in the messages that are in hand and in the attributes of
those who wait themselves. It is for a report alone: who holds a future may only want to read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from callboard.supervision.runtime.futures import Future

if TYPE_CHECKING:
    from callboard.supervision.testing.fibres import Fibre

_HELD_MAX = 1_000
"""Things in one list or dict that are looked through."""


class Waits:
    """What a deadlock is made of.

    Args:
        waiting: those who wait.
    """

    def __init__(self, waiting: Iterable[Fibre]) -> None:
        self._waiting = list(waiting)
        self._held = {each: list(_held_by(each)) for each in self._waiting}

    def lines(self) -> Iterator[str]:
        """Yield a line for each who waits: for whom, and who holds the answer."""
        for each in self._waiting:
            holders = " and ".join(other.name for other in self._holders(each))
            whom = f"an answer that {holders} holds" if holders else owner_of(each.waits_for)
            yield f"{each.name} waits for {whom}"

    def cycle(self) -> tuple[str, ...]:
        """Return the names of those who wait for each other, the first one twice; or nothing."""
        for first in self._waiting:
            path = self._way_back(first)
            if path:
                return tuple(each.name for each in (*path, first))
        return ()

    def _way_back(self, first: Fibre) -> list[Fibre]:
        """Return the shortest way along which the first one waits for himself."""
        ways = [[first]]
        seen: set[Fibre] = set()
        for way in ways:
            for following in self._awaited_by(way[-1]):
                if following is first:
                    return way
                if following not in seen:
                    seen.add(following)
                    ways.append([*way, following])
        return []

    def _awaited_by(self, one: Fibre) -> list[Fibre]:
        owner = None if one.waits_for is None else one.waits_for.owner
        owner = getattr(owner, "ref", owner)
        owners = [
            each
            for each in self._waiting
            if owner is not None and (owner is _cell_of(each) or owner is each.client)
        ]
        return owners + self._holders(one)

    def _holders(self, one: Fibre) -> list[Fibre]:
        """Return who else has in hand what one of them waits for, its owner left out."""
        awaited = one.waits_for
        return [
            each
            for each, held in self._held.items()
            if each is not one and any(future is awaited for future in held)
        ]


def owner_of(future: Future[Any] | None) -> str:
    """Return the name of whoever owes an answer."""
    owner = None if future is None else future.owner
    return getattr(owner, "name", "an answer that nobody in particular owes")


def _cell_of(fibre: Fibre) -> Any:
    return fibre.runner.cell


def _held_by(fibre: Fibre) -> Iterator[Future[Any]]:
    cell = _cell_of(fibre)
    if cell is not None:
        for thing in (cell.handling, cell.actor):
            for value in _parts_of(thing):
                yield from _futures_in(value)


def _futures_in(value: object) -> Iterator[Future[Any]]:
    """Yield the futures in a value, and those for which one of them stands."""
    things: Iterable[object] = (value,)
    if isinstance(value, Mapping):
        things = cast("Mapping[object, object]", value).values()
    elif isinstance(value, (list, tuple)):
        things = cast("Iterable[object]", value)
    for each in islice(things, _HELD_MAX):
        # A session's reply stands for the one that its asker waits for.
        for future in (each, getattr(each, "asked", None)):
            if isinstance(future, Future):
                yield future


def _parts_of(thing: object) -> list[object]:
    fields = getattr(thing, "__struct_fields__", None)
    if fields is not None:
        return [getattr(thing, name) for name in fields]
    if isinstance(thing, tuple):
        return [thing]
    return [*getattr(thing, "__dict__", {}).values()]
