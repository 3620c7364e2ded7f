"""What time is it? Asked of the system, so that a simulation can answer."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time for all decisions, wall time for people and storage."""

    def now_s(self) -> float:
        """Return monotonic seconds; only differences mean anything."""
        ...

    def wall_s(self) -> float:
        """Return seconds since 1970 UTC; it may jump."""
        ...


class SystemClock:
    """The operating system's clocks."""

    now_s = staticmethod(time.monotonic)
    wall_s = staticmethod(time.time)


def waitable(seconds: float) -> float:
    """Return how long of it the interpreter can wait: its bound is centuries, not `math.inf`."""
    return min(seconds, threading.TIMEOUT_MAX)
