"""Who has spawned whom where nobody supervises, and who is left of them?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from callboard.supervision.model.reasons import Shutdown
from callboard.supervision.testing.errors import Leaked

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.system import ActorSystem

ENDED_WITHIN_S = 5.0
"""How long a maker, and then what it made, may take to end; in simulated seconds."""


class Spawned:
    """Remembers the living actors without a supervisor, with those that spawned them."""

    def __init__(self) -> None:
        self._maker_of: dict[EndingCell[Any], EndingCell[Any] | None] = {}

    def enter(self, cell: EndingCell[Any], maker: EndingCell[Any] | None) -> None:
        """Note a birth; the maker is None where the test's own code, or a client, spawned it."""
        if cell.parent is None:
            self._maker_of[cell] = maker

    def leave(self, cell: EndingCell[Any]) -> None:
        """Note an end."""
        self._maker_of.pop(cell, None)

    def refuse_orphans(self, drive: Callable[[Callable[[], bool], float], object]) -> None:
        """End the actors that spawned others; see that none of these is left.

        Args:
            drive: runs until something holds, for so many seconds at most.

        Raises:
            Leaked: some are left.
        """
        made = {
            cell: maker
            for cell, maker in self._maker_of.items()
            if maker is not None and not _is_ours(maker)
        }
        makers = dict.fromkeys(maker for maker in made.values() if not maker.is_dead)
        for maker in makers:
            maker.exit(Shutdown())
        if makers:
            drive(lambda: all(cell.is_dead for cell in (*makers, *made)), ENDED_WITHIN_S)
        left = [cell for cell, maker in made.items() if maker.is_dead and not cell.is_dead]
        if left:
            each = ", ".join(f"{cell.name}, which {made[cell].name} had spawned" for cell in left)
            msg = f"left without anybody who would end it: {each}"
            raise Leaked(msg, actors=tuple(cell.name for cell in left), remedy=_OF_ORPHANS)

    def refuse_systems(self) -> None:
        """See that nobody lives any more.

        Raises:
            Leaked: a system has not been stopped.
        """
        systems: dict[ActorSystem, list[str]] = {}
        for cell in self._maker_of:
            systems.setdefault(cell.system, []).append(cell.name)
        if systems:
            each = "; ".join(f"{system.name}: {', '.join(who)}" for system, who in systems.items())
            msg = f"nobody has stopped the system of these actors: {each}"
            names = tuple(name for who in systems.values() for name in who)
            raise Leaked(msg, actors=names, remedy=_OF_SYSTEMS)


def _is_ours(maker: EndingCell[Any]) -> bool:
    """Say whether it is a part of the library, which sees to what it spawns."""
    return str(maker.actor_class.__module__).startswith("callboard.")


_OF_ORPHANS = "Have a supervisor start it, link it to its maker, or end it in `terminate`."
_OF_SYSTEMS = "Use the system in a `with`, or let `callboard.start` start and stop it."
