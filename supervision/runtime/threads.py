"""The ports on real threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.supervision.runtime.chance import Ids, new_bits, system_stream
from callboard.supervision.runtime.clock import SystemClock
from callboard.supervision.runtime.loop import ThreadLoop
from callboard.supervision.runtime.pool import Pool
from callboard.supervision.runtime.ports import Ports
from callboard.supervision.runtime.timers import ThreadTimers

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.clock import Clock
    from callboard.supervision.runtime.settings import Settings


class Threads:
    """Makes the ports of a system that runs on real threads.

    Args:
        clock: what time it is; timers go by it. How long a thread waits for an answer stays
            the operating system's time.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock

    def ports(self, name: str, settings: Settings, emit: Callable[[object], None]) -> Ports:
        """Return the ports; nothing is started before it is needed."""
        clock = self._clock
        return Ports(
            clock=clock,
            dispatcher=Pool(name, settings, emit),
            timers=ThreadTimers(clock, f"{name}-timers", emit),
            loop=ThreadLoop(f"{name}-loop"),
            ids=Ids(clock, new_bits()),
            stream=system_stream,
            point=None,
        )
