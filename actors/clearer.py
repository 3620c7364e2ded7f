"""Deletes what was in the workspaces of sessions that are no more, while nobody waits for it."""

from __future__ import annotations

from typing import Final

from callboard.actors.sessions.clearing import Clearing
from callboard.actors.sessions.internal import ClearUp, FailNow
from callboard.supervision import Backoff, SupervisedActor, handles
from callboard.supervision.runtime.timers import Timer

CLEAR_AGAIN: Final = Backoff(delays_s=(1.0, 10.0, 60.0, 600.0, 3_600.0))
"""How long to wait before it is tried again to delete what could not be deleted; for ever, but
never more often. When something else is removed, it is tried at once."""


class Clearer(SupervisedActor):
    """Deletes a part, then lets others have their turn. It may wait: the pool makes room.

    Args:
        clearing: what is to be deleted; the system owns it, and so a crash loses nothing.
    """

    def __init__(self, clearing: Clearing) -> None:
        super().__init__()
        self._clearing = clearing
        self._failures = 0
        self._again: Timer | None = None

    def on_start(self) -> None:
        """Go on with what is there, perhaps since the last system."""
        self.actor_ref.notify(ClearUp())

    @handles(ClearUp)
    def on_clear_up(self, message: ClearUp) -> None:
        """Delete some; go on with the rest, or try again later."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        remains = self._clearing.step()
        if remains.error is not None:
            self._again = self.send_after(CLEAR_AGAIN.delay_s(self._failures), message)
            self._failures += 1
            return
        self._failures = 0
        if remains.folders:
            self.actor_ref.notify(message)

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)
