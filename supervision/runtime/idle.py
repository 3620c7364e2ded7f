"""Has nothing come for so long? One timer an actor, re-armed only when it goes off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.supervision.runtime.notices import IdleTimeout

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.timers import Timer


class IdleWatch:
    """Sends its actor one `IdleTimeout` when no message came for `after_s` seconds.

    Not periodic: set it again to be told again. Dies with the incarnation.

    Source: Erlang, the timeout that a `gen_server` callback returns.
    """

    __slots__ = ("_after_s", "_busy_s", "_cell", "_timer")

    def __init__(self, cell: Cell[Any], after_s: float) -> None:
        self._cell = cell
        self._after_s = after_s
        self._busy_s = cell.system.clock.now_s()
        self._timer: Timer | None = None
        self._arm()

    def touch(self) -> None:
        """Note that the actor has just done something."""
        self._busy_s = self._cell.system.clock.now_s()

    def cancel(self) -> None:
        """Tell nobody."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        due_s = self._busy_s + self._after_s
        self._timer = self._cell.system.timers.call_at(due_s, self._look)

    def _look(self) -> None:
        cell = self._cell
        if cell.is_dead:
            return
        system = cell.system
        if cell.runner is None and system.clock.now_s() >= self._busy_s + self._after_s:
            cell.idle = None
            cell.notify(IdleTimeout())
            return
        if cell.runner is not None:
            self._busy_s = system.clock.now_s()
        self._arm()
