"""Things to do later: one heap, one thread, and nothing that blocks on it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from callboard.supervision.runtime.clock import Clock


class Timer:
    """One thing to do at one time. Cancel it from any thread."""

    __slots__ = ("_act", "_args", "due_s")

    def __init__(self, due_s: float, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.due_s = due_s
        self._act: Callable[..., object] | None = act
        self._args = args

    @property
    def is_pending(self) -> bool:
        """Whether it has neither gone off nor been cancelled."""
        return self._act is not None

    def cancel(self) -> bool:
        """Take it back; say whether it was still pending."""
        was_pending = self._act is not None
        self._act = None
        self._args = ()
        return was_pending

    def fire(self) -> None:
        """Go off, once."""
        act, self._act = self._act, None
        if act is not None:
            act(*self._args)


class Timers(Protocol):
    """The timer port. What is called must be short and must not block."""

    def call_at(self, due_s: float, act: Callable[..., object], *args: Any) -> Timer:
        """Call `act(*args)` when the clock passes `due_s`."""
        ...

    def stop(self) -> None:
        """Drop what is pending and end."""
        ...


class ThreadTimers:
    """Timers on one thread, which starts with the first of them.

    Args:
        clock: whose monotonic seconds the due times are in.
        name: the thread's name.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._name = name
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def call_at(self, due_s: float, act: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(due_s, act, args)
        with self._changed:
            if self._is_stopped:
                timer.cancel()
                return timer
            heapq.heappush(self._heap, (due_s, next(self._order), timer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._heap.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            timer.fire()

    def _next(self) -> Timer | None:
        with self._changed:
            while not self._is_stopped:
                if not self._heap:
                    self._changed.wait()
                    continue
                due_s, _, timer = self._heap[0]
                left_s = due_s - self._clock.now_s()
                if not timer.is_pending or left_s <= 0:
                    heapq.heappop(self._heap)
                    if timer.is_pending:
                        return timer
                else:
                    self._changed.wait(left_s)
        return None
