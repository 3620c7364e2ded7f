"""Beats while the tree is healthy, for a watchdog outside that restarts the process otherwise."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from callboard.actors.sessions.internal import AreYouThere
from callboard.actors.sessions.services import Services
from callboard.supervision import DeliveryError, handles
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.notices import Notice


class Watchdog(Protocol):
    """Who restarts the process when nothing is heard of it for too long. A port."""

    interval_s: float
    """How often it wants to hear something, in seconds."""

    def beat(self) -> None:
        """Take a sign of life. It is given on a thread of the system: it must not wait."""
        ...


class _Time(msgspec.Struct, frozen=True):
    """To the heart itself: it is time."""


class _Answered(Notice, frozen=True):
    """To the heart itself: the manager has taken its question."""


class Heart(SystemActor):
    """Gives the watchdog its sign: each time the manager has answered and every part serves.

    A sign so proves what a look from outside cannot: timers fire, workers take
    messages, and the manager comes to what it is asked.

    Args:
        services: what the system lends.
        watchdog: gets the signs.
    """

    def __init__(self, services: Services, watchdog: Watchdog) -> None:
        super().__init__()
        self._services = services
        self._watchdog = watchdog
        self._is_asking = False

    def on_start(self) -> None:
        """Ask for the first time, at once."""
        self._ask()

    @handles(_Time)
    def on_time(self, message: _Time) -> None:
        """Ask the manager, unless it has not answered yet."""
        del message
        self._ask()

    def _ask(self) -> None:
        self.send_after(self._watchdog.interval_s, _Time()).is_recurring = True
        if self._is_asking:
            return
        tell = self.actor_ref.notify
        try:
            answer = self._services.manager.ask_at_once(AreYouThere(), timeout=math.inf)
        except DeliveryError:  # its mailbox is full: no sign of health
            return
        self._is_asking = True
        answer.when_done(lambda: tell(_Answered()))

    @handles(_Answered)
    def on_answered(self, message: _Answered) -> None:
        """Give the sign, if every part runs and none hangs."""
        del message
        self._is_asking = False
        if self._services.failing_parts():
            return
        try:
            self._watchdog.beat()
        except Exception:  # noqa: BLE001 -- the host's code: it must not cost the tree its budget
            self.system.count("watchdog_beats_failed")
