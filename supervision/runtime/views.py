"""What pykka's users look at on a ref: its inbox and its stop event, as views that cost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.supervision.model.reasons import Normal
from callboard.supervision.runtime.errors import Timeout
from callboard.supervision.runtime.futures import Future

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.mailbox import MailboxCell


class MailboxView:
    """What pykka calls an actor's inbox, to look at."""

    __slots__ = ("_cell",)

    def __init__(self, cell: MailboxCell[Any]) -> None:
        self._cell = cell

    def qsize(self) -> int:
        """How many messages wait."""
        return self._cell.mailbox_size

    def empty(self) -> bool:
        """Whether none does."""
        return not self._cell.mailbox_size


class StopFlag:
    """What pykka calls `actor_stopped`: an event of which nobody waits unless asked to."""

    __slots__ = ("_cell",)

    def __init__(self, cell: EndingCell[Any]) -> None:
        self._cell = cell

    def is_set(self) -> bool:
        """Whether the actor is ending or has ended."""
        return self._cell.reason is not None

    def set(self) -> None:
        """Have the actor end. Unlike pykka's, this leaves no thread behind."""
        self._cell.exit(Normal())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; say whether it did within `timeout` seconds."""
        cell = self._cell
        future: Future[bool] = Future(cell, None, cell.system.dispatcher)
        if not cell.when_dead(future, lambda _reason: future.offer(value=True)):
            return True
        try:
            return future.get(timeout=timeout)
        except Timeout:
            return False
        finally:
            cell.forget_bond(future)
