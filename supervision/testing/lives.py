"""Does every actor of a simulation live and end as the laws say? Asked at each birth and end.

Whatever happens is looked at as it happens, and nothing else is: what is wrong only until the
next step is found as well. A law that is broken is reported when the step is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from callboard.supervision.model.reasons import Normal, Shutdown
from callboard.supervision.testing.errors import LawBroken
from callboard.supervision.tree.supervisor import Supervisor

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.testing.fibres import Fibre

ONE_AT_A_TIME = "one thread at a time inside an actor"
ONE_LIFE = "a new incarnation begins when the old one has ended"
ONE_END = "an incarnation ends once"
CHILDREN_FIRST = "a supervisor ends after its children"


class Lives:
    """Follows all actors of a simulation from birth to end."""

    def __init__(self) -> None:
        self._living: dict[EndingCell[Any], None] = {}
        self._at: dict[object, EndingCell[Any]] = {}
        """Who was born last in each place: at an address, as a supervisor's child."""
        self._children: dict[EndingCell[Any], dict[EndingCell[Any], None]] = {}
        self._inside: dict[EndingCell[Any], Fibre] = {}
        self._suspended_in: dict[Fibre, EndingCell[Any]] = {}
        self._broken: LawBroken | None = None

    @property
    def broken(self) -> LawBroken | None:
        """The first law that was broken, if one was."""
        return self._broken

    # -- births and ends ---------------------------------------------------

    def enter(self, cell: EndingCell[Any]) -> None:
        """Look at a birth."""
        self._living[cell] = None
        if cell.parent is not None:
            self._children.setdefault(cell.parent, {})[cell] = None
        for place in _places_of(cell):
            before = self._at.get(place)
            if before is not None and before is not cell and not before.is_dead:
                self._break(ONE_LIFE, f"{_life(cell)} begins while {_life(before)} lives")
            self._at[place] = cell

    def leave(self, cell: EndingCell[Any]) -> None:
        """Look at an end."""
        if cell not in self._living:
            self._break(ONE_END, f"{_life(cell)} has ended again, as {_kind(cell.reason)}")
            return
        del self._living[cell]
        for place in _places_of(cell):
            if self._at.get(place) is cell:
                del self._at[place]
        if cell.parent in self._children:
            self._children[cell.parent].pop(cell, None)
        left = [each for each in self._children.pop(cell, ()) if not each.is_dead]
        if left and isinstance(cell.reason, (Normal, Shutdown)) and _is_supervisor(cell):
            self._break(CHILDREN_FIRST, f"{_life(cell)} has ended, and {_life(left[0])} lives")

    # -- activations -------------------------------------------------------

    def stays(self, fibre: Fibre, cell: EndingCell[Any] | None) -> None:
        """Look at an activation that is suspended, in an actor's code or in nobody's."""
        before = self._suspended_in.get(fibre)
        if before is cell:
            return
        if before is not None:
            self.left(fibre)
        if cell is None:
            return
        other = self._inside.get(cell)
        if other is not None and not cell.is_dead:
            self._break(ONE_AT_A_TIME, f"{other.name} and {fibre.name} are both in {_life(cell)}")
        self._inside[cell] = fibre
        self._suspended_in[fibre] = cell

    def left(self, fibre: Fibre) -> None:
        """Look away: the activation is over, or goes on elsewhere."""
        cell = self._suspended_in.pop(fibre, None)
        if cell is not None and self._inside.get(cell) is fibre:
            del self._inside[cell]

    def _break(self, law: str, wrong: str) -> None:
        if self._broken is None:
            self._broken = LawBroken(f"{law}: {wrong}", law=law)


def _places_of(cell: EndingCell[Any]) -> Iterator[object]:
    if cell.address is not None:
        yield cell.address
    if cell.parent is not None and cell.tag is not None:
        yield (cell.parent, cell.tag)


def _is_supervisor(cell: EndingCell[Any]) -> bool:
    made_by: object = cell.actor_class  # a function, or a class
    return isinstance(made_by, type) and issubclass(made_by, Supervisor)


def _life(cell: EndingCell[Any]) -> str:
    return f"{cell.name} (incarnation {cell.incarnation})"


def _kind(reason: object) -> str:
    return type(reason).__name__
