"""The event hub: it numbers what happens, and gives it to everybody who listens."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from callboard.actors.sessions.feed import Feed
from callboard.actors.sessions.internal import LookAgain
from callboard.actors.sessions.outlasting import outlast
from callboard.supervision import ExitReason, handles
from callboard.supervision.model.reasons import is_abnormal
from callboard.supervision.runtime.actors import SystemActor

EVENTS_PER_TURN: Final = 256
"""Events that are passed on before others have their turn: some 0.5 ms."""


class EventHub(SystemActor):
    """Passes on what the feed holds. It has no state: its crash loses nothing.

    Args:
        feed: what the system owns.
    """

    interruptible: ClassVar[bool] = False
    """A kill waits for the few events of a turn, so that no event is passed on half."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    def on_start(self) -> Any:
        """Go on where the hub before this one has stopped."""
        yield from outlast(self, self._feed.keeper)
        self._feed.keeper = self.actor_ref
        self._pass_on()

    @handles(LookAgain)
    def on_look_again(self, message: LookAgain) -> None:
        """Pass on what waits."""
        del message
        self._pass_on()

    def _pass_on(self) -> None:
        if self._feed.pass_on(EVENTS_PER_TURN):
            self.actor_ref.notify(LookAgain())

    def terminate(self, reason: ExitReason) -> None:
        """Pass on the rest: nothing happens any more when the hub is stopped."""
        while not is_abnormal(reason) and self._feed.pass_on(EVENTS_PER_TURN):
            pass
