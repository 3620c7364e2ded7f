"""Is the work in hand done? Those that were busy are looked at until they are not."""

from __future__ import annotations

from callboard.actors.sessions.busy import is_busy
from callboard.actors.sessions.table import Row
from callboard.supervision import Future

DRAIN_CHECK_S = 0.05
"""How often a shutdown looks whether those that were busy still are."""


class Drain:
    """One shutdown's wait for the work in hand.

    A look at all rows finds who is busy; only these are looked at again and again.
    When none of them is, another look at all finds whom they gave work to.

    Args:
        until_s: when it ends in any case, on the monotonic clock.
        reply: gets the ids that are still busy then.
    """

    def __init__(self, until_s: float, reply: Future[tuple[str, ...]]) -> None:
        self.until_s = until_s
        self.reply = reply
        self.busy: list[Row] = []

    def look_at(self, row: Row) -> None:
        """Note a row if its session is busy."""
        if is_busy(row):
            self.busy.append(row)

    def is_working(self, now_s: float) -> bool:
        """Say whether one of those is busy still, and there is time for it."""
        self.busy = [row for row in self.busy if is_busy(row)]
        return bool(self.busy) and now_s < self.until_s

    def answer(self) -> None:
        """Tell who is busy in the end."""
        self.reply.offer(tuple(row.id for row in self.busy))
