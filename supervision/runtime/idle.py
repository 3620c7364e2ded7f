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

    __slots__ = ("_after_s", "_busy_s", "_is_cancelled", "_timer", "cell")

    def __init__(self, cell: Cell[Any], after_s: float) -> None:
        self.cell = cell
        self._after_s = after_s
        self._busy_s = cell.system.clock.now_s()
        self._timer: Timer | None = None
        self._is_cancelled = False
        self._arm()

    def touch(self) -> None:
        """Note that the actor has just done something."""
        self._busy_s = self.cell.system.clock.now_s()
        if self._timer is None and not self._is_cancelled:
            self._arm()

    def cancel(self) -> None:
        """Tell nobody."""
        self._is_cancelled = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        due_s = self._busy_s + self._after_s
        self._timer = self.cell.system.timers.call_at(due_s, self._look)

    def _look(self) -> None:
        """On the timers' thread: if nothing came, have the cell say whether that is still so."""
        cell = self.cell
        if cell.is_dead or self._is_cancelled:
            return
        if cell.system.clock.now_s() < self._busy_s + self._after_s:
            self._arm()
        else:
            cell.signal(self._decide)

    def _decide(self) -> None:
        """Between two messages, by a holder of the cell: nobody sets another watch meanwhile.

        If it is not idle, `touch` sets the next timer at the end of this turn.
        """
        self._timer = None
        cell = self.cell
        is_idle = (
            cell.handling is None  # nor was anything handled in this turn before
            and cell.operation is None
            and cell.next_message is None
            and not cell.mailbox_size
            and not cell.is_suspended
        )
        if is_idle and cell.reason is None and not self._is_cancelled:
            self._is_cancelled = True  # a slow `touch` may still set a timer
            cell.idle = None
            # Not through the mailbox, where a message may come in ahead of it.
            cell.next_message = IdleTimeout()
