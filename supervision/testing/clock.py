"""A clock that a test moves by hand, for systems on real threads."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from callboard.supervision.runtime.chance import Ids, new_bits
from callboard.supervision.runtime.ports import Ports, Runtime
from callboard.supervision.runtime.threads import Threads
from callboard.supervision.runtime.timers import Timer, never_comes
from callboard.supervision.testing.dispatcher import call_safely
from callboard.supervision.testing.simulation import BEGAN_S

if TYPE_CHECKING:
    from callboard.supervision.runtime.settings import Settings


class ManualClock:
    """Time stands still until a test moves it; timers go off as it passes them.

        clock = ManualClock()
        with ActorSystem(runtime=clock.runtime) as system:
            ...
            clock.advance(60)

    It governs what reads the system's clock and what is timed by it: `send_after`,
    idle timeouts, restart periods, backoff, ids. How long a thread waits for an
    answer stays real time: a waiting thread cannot be made to believe otherwise.
    In a `Simulation` all time is simulated, and `advance` is there.

    Safe from any thread; timers go off on the thread that moves the time.

    Args:
        now_s: the monotonic time to begin with, in seconds.
        wall_s: the wall time to begin with, in seconds since 1970.
    """

    def __init__(self, now_s: float = 0.0, wall_s: float = BEGAN_S) -> None:
        self._now_s = now_s
        self._wall_offset_s = wall_s - now_s
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self.runtime: Runtime = _ManualRuntime(self)
        """For `ActorSystem(runtime=...)`: real threads under this clock."""

    def now_s(self) -> float:
        """Return the time, in seconds."""
        return self._now_s

    def wall_s(self) -> float:
        """Return seconds since 1970 UTC."""
        return self._wall_offset_s + self._now_s

    @property
    def next_due_s(self) -> float | None:
        """When the next timer is due, or None."""
        with self._lock:
            self._drop_cancelled()
            return self._heap[0][0] if self._heap else None

    def advance(self, seconds: float) -> None:
        """Let time pass; timers go off in order, each at its own time.

        What they set in motion on other threads takes real time: wait for it
        before you move on.
        """
        self.advance_to(self._now_s + seconds)

    def advance_to(self, now_s: float) -> None:
        """Let time pass until it is `now_s`; it never goes back."""
        while (timer := self._next(now_s)) is not None:
            timer.fire()

    def call_at(self, due_s: float, act: Callable[..., object], *args: object) -> Timer:
        """Call `act(*args)` when the time is moved to `due_s` or beyond.

        What is due already goes off with the next move, be it by 0 seconds.
        """
        timer = Timer(due_s, act, args)
        if never_comes(due_s):
            return timer
        with self._lock:
            heapq.heappush(self._heap, (due_s, next(self._order), timer))
        return timer

    def _next(self, until_s: float) -> Timer | None:
        with self._lock:
            self._drop_cancelled()
            if self._heap and self._heap[0][0] <= until_s:
                due_s, _, timer = heapq.heappop(self._heap)
                self._now_s = max(self._now_s, due_s)
                return timer
            self._now_s = max(self._now_s, until_s)
            return None

    def _drop_cancelled(self) -> None:
        while self._heap and not self._heap[0][2].is_pending:
            heapq.heappop(self._heap)


class _ManualTimers:
    """The timers of one system under a manual clock.

    Args:
        clock: what they wait for.
        emit: gets `TimerFailed`.
    """

    def __init__(self, clock: ManualClock, emit: Callable[[object], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._is_stopped = False

    def call_at(self, due_s: float, act: Callable[..., object], *args: object) -> Timer:
        """Call `act(*args)` when the clock is moved there, unless the system has stopped."""
        return self._clock.call_at(due_s, self._act, act, args)

    def _act(self, act: Callable[..., object], args: tuple[object, ...]) -> None:
        if not self._is_stopped:
            call_safely(self._emit, act, *args)

    def stop(self) -> None:
        """Let nothing go off any more."""
        self._is_stopped = True


class _ManualRuntime:
    """Makes the ports of systems on real threads under a manual clock.

    Args:
        clock: the clock.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def ports(self, name: str, settings: Settings, emit: Callable[[object], None]) -> Ports:
        """Return the ports for a system of this name."""
        clock = self._clock
        return (
            Threads()
            .ports(name, settings, emit)
            ._replace(clock=clock, timers=_ManualTimers(clock, emit), ids=Ids(clock, new_bits()))
        )
