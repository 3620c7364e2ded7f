"""Sweeps what no owner is left to sweep: sessions that have been idle for too long."""

from __future__ import annotations

import msgspec

from callboard.actors.messages import CleanupInactive
from callboard.actors.sessions.internal import FailNow
from callboard.actors.sessions.services import Services
from callboard.supervision import handles
from callboard.supervision.runtime.actors import SystemActor


class Sweep(msgspec.Struct, frozen=True):
    """To the janitor itself: it is time."""


class Janitor(SystemActor):
    """Asks the manager for a cleanup, again and again.

    Args:
        services: what the system lends.
        interval_s: how often, in seconds; 0 never.
    """

    def __init__(self, services: Services, interval_s: float) -> None:
        super().__init__()
        self._services = services
        self._interval_s = interval_s

    def on_start(self) -> None:
        """Begin to wait for the first sweep."""
        self._wait()

    def _wait(self) -> None:
        if self._interval_s:
            self.send_after(self._interval_s, Sweep())
            self._services.sweep_due_s = self.system.clock.now_s() + self._interval_s

    @handles(Sweep)
    def on_sweep(self, message: Sweep) -> None:
        """Have the idle sessions ended; the session itself has the last word."""
        del message
        self._services.announce(CleanupInactive())
        self._wait()

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)
