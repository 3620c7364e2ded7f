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

    __slots__ = ("_after_s", "_busy_s", "_cell", "_is_cancelled", "_timer")

    def __init__(self, cell: Cell[Any], after_s: float) -> None:
        self._cell = cell
        self._after_s = after_s
        self._busy_s = cell.system.clock.now_s()
        self._timer: Timer | None = None
        self._is_cancelled = False
        self._arm()

    def touch(self) -> None:
        """Note that the actor has just done something."""
        self._busy_s = self._cell.system.clock.now_s()
        if self._timer is None and not self._is_cancelled:
            self._arm()

    def cancel(self) -> None:
        """Tell nobody."""
        self._is_cancelled = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        due_s = self._busy_s + self._after_s
        self._timer = self._cell.system.timers.call_at(due_s, self._look)

    def _look(self) -> None:
        cell = self._cell
        if cell.is_dead or self._is_cancelled:
            return
        # A pair that must keep its order. Here: (1) no timer (2) busy? then `touch` sets the next.
        # At the end of a turn: (1) not busy (2) no timer? set one.
        self._timer = None
        if cell.is_at_work or cell.operation is not None:
            return
        if cell.system.clock.now_s() < self._busy_s + self._after_s:
            self._arm()
            return
        self._is_cancelled = True  # `touch` may have set a second one just now
        cell.idle = None
        cell.notify(IdleTimeout())
