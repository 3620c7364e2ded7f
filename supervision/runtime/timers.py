"""Things to do later: one heap, one thread, and nothing that blocks on it."""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from callboard.supervision.model.reasons import Crashed
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.interrupts import start_thread

if TYPE_CHECKING:
    from callboard.supervision.runtime.clock import Clock


class Timer:
    """One thing to do at one time. Cancel it from any thread.

    It goes off or is cancelled, whichever takes it first: what is to be done is taken in one
    statement without a call, in which no other thread comes in.
    """

    __slots__ = ("_act", "_args", "due_s", "is_recurring")

    def __init__(self, due_s: float, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.due_s = due_s
        self.is_recurring = False
        """Set by who arms it again and again; a simulation is quiet with only such ones left."""
        self._act: Callable[..., object] | None = act
        self._args = args

    @property
    def is_pending(self) -> bool:
        """Whether it has neither gone off nor been cancelled."""
        return self._act is not None

    def cancel(self) -> bool:
        """Take it back; say whether it was still pending."""
        act, self._act = self._act, None
        if act is None:  # it may be going off just now, and needs them
            return False
        self._args = ()
        return True

    def fire(self) -> None:
        """Go off, once."""
        act, self._act = self._act, None
        if act is not None:
            # Who has set many keeps this one for some time yet, and not what was sent with it.
            args, self._args = self._args, ()
            act(*args)


class TimersOfOne:
    """The timers that one actor has set, to be cancelled together."""

    __slots__ = ("_swept_at", "_timers")

    def __init__(self) -> None:
        self._timers: list[Timer] = []
        self._swept_at = _KEPT_FROM

    def add(self, timer: Timer) -> None:
        """Keep a timer; those that have gone off are forgotten from time to time."""
        if len(self._timers) >= self._swept_at:
            self._timers = [each for each in self._timers if each.is_pending]
            self._swept_at = max(_KEPT_FROM, 2 * len(self._timers))
        self._timers.append(timer)

    def cancel(self) -> None:
        """Cancel all of them."""
        for timer in self._timers:
            timer.cancel()


_KEPT_FROM = 16
"""Timers of one actor from which on those that are over are forgotten, at each doubling."""


class Timers(Protocol):
    """The timer port. What is called must be short and must not block."""

    def call_at(self, due_s: float, act: Callable[..., object], *args: Any) -> Timer:
        """Call `act(*args)` when the clock passes `due_s`; see `never_comes`."""
        ...

    def stop(self) -> None:
        """Drop what is pending and end."""
        ...


def never_comes(due_s: float) -> bool:
    """Say whether this is no time that a clock passes: a timer for it is not armed."""
    return not due_s < math.inf  # not-a-number included: in a heap it would upset the order


class TimerFailed(msgspec.Struct, frozen=True):
    """What a timer called raised an exception."""

    reason: Crashed


_SWEPT_FROM = 256
"""Timers in the heap from which on cancelled ones are swept out, at each doubling."""

_LONGEST_WAIT_S = 3600.0
"""One wait for the next timer; longer ones are waited in turns (the C API has a bound)."""


class ThreadTimers:
    """Timers on one thread, which starts with the first of them.

    Args:
        clock: whose monotonic seconds the due times are in.
        name: the thread's name.
        emit: gets `TimerFailed`.
    """

    def __init__(self, clock: Clock, name: str, emit: Callable[[object], None]) -> None:
        self._clock = clock
        self._name = name
        self._emit = emit
        self._swept_at = _SWEPT_FROM
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def call_at(self, due_s: float, act: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(due_s, act, args)
        if never_comes(due_s):
            return timer
        with self._changed:
            if self._is_stopped:
                timer.cancel()
                return timer
            if len(self._heap) >= self._swept_at:
                self._sweep()
            heapq.heappush(self._heap, (due_s, next(self._order), timer))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                start_thread(thread)
                self._thread = thread
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
            try:
                self._fire(timer)
            except BaseException:  # noqa: BLE001, S112 -- not even a hook may end all other timers
                continue

    def _fire(self, timer: Timer) -> None:
        try:
            timer.fire()
        except BaseException as error:  # noqa: BLE001 -- named edge: the others must go off too
            self._emit(TimerFailed(crashed(error)))

    def _sweep(self) -> None:
        """Drop what was cancelled, so that it does not stay until its time comes."""
        self._heap = [each for each in self._heap if each[2].is_pending]
        heapq.heapify(self._heap)
        self._swept_at = max(_SWEPT_FROM, 2 * len(self._heap))

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
                    self._changed.wait(min(left_s, _LONGEST_WAIT_S))
        return None
