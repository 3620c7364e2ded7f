"""Does one step of a simulation not end? Looked at from another thread: its own is busy."""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, ClassVar, Protocol, cast

from callboard.supervision.runtime.handoff import HandOffCell
from callboard.supervision.runtime.interrupts import is_users_code, set_async_exception
from callboard.supervision.testing.errors import EndlessStep

_TICK_S = 0.1
"""How often the watchdog looks, in real seconds; so much later than the bound it may bite."""

_IDLE_TICKS_MAX = 10
"""Ticks without a simulation after which the watchdog goes."""

_ANYWHERE_AFTER = 2
"""After so many times the bound it strikes wherever the thread is, not in a user's code alone."""


class Watched(Protocol):
    """A simulation, as the watchdog sees it."""

    thread: int
    """The ident of the thread that runs it."""
    step_max_s: float

    def cpu_s(self) -> float:
        """Return the seconds of the processor that the thread has used."""
        ...

    def at_work(self) -> object:
        """Return a value that is another one for each step; None while nothing is under way."""
        ...

    def found(self, endless: Callable[[], EndlessStep], /) -> None:
        """Learn how to make the error for a step that does not end."""
        ...

    def who_runs(self) -> tuple[str, object, bool]:
        """Return a name, the message in hand or None, and whether it runs by hand-off."""
        ...


class _Watch:
    """What is known of one simulation."""

    def __init__(self, watched: Watched) -> None:
        self.watched = weakref.ref(watched)
        self._step: object = None
        self._began_s = 0.0
        self._found: type[_Found] | None = None

    def look(self) -> None:
        watched = self.watched()
        step = None if watched is None else watched.at_work()
        if watched is None or step is None:
            self._step = None
            return
        if step != self._step:
            self._step, self._began_s = step, watched.cpu_s()
            return
        used_s = watched.cpu_s() - self._began_s
        if used_s >= watched.step_max_s:
            self._strike(watched, is_overdue=used_s >= _ANYWHERE_AFTER * watched.step_max_s)

    def _strike(self, watched: Watched, *, is_overdue: bool) -> None:
        frame = sys._current_frames().get(watched.thread)  # noqa: SLF001 -- the interpreter's own way
        if frame is None or not (is_overdue or is_users_code(frame)):
            return  # the runtime at work for it: look again at the next tick
        if self._found is None:
            self._found = _finding(watched, frame)
            watched.found(self._found)
        # Again at every tick until the step is over: the handler may catch what ends it.
        set_async_exception(watched.thread, self._found)


class _Found(EndlessStep):
    """It is made without arguments: such an exception alone can be raised in a thread."""

    finding: ClassVar[tuple[str, str | None, str, float]]

    def __init__(self) -> None:
        actor, message_type, place, step_max_s = self.finding
        super().__init__(actor, message_type=message_type, place=place, step_max_s=step_max_s)


def _finding(watched: Watched, frame: FrameType) -> type[_Found]:
    actor, message, is_handed_off = watched.who_runs()
    if is_handed_off:
        message = _handed_off_in(frame)
    message_type = None if message is None else type(message).__qualname__
    place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"

    class Found(_Found):
        finding = (actor, message_type, place, watched.step_max_s)

    Found.__name__, Found.__qualname__ = EndlessStep.__name__, EndlessStep.__qualname__
    Found.__module__ = EndlessStep.__module__
    return Found


_HAND_OFF: CodeType = cast("Any", HandOffCell).hand_off.__code__


def _handed_off_in(frame: FrameType | None) -> object:
    while frame is not None:
        if frame.f_code is _HAND_OFF:
            return frame.f_locals["message"]
        frame = frame.f_back
    return None


class Watchdog:
    """Looks at the simulations of this process while there are any, on a thread of its own.

    A thread for each simulation would cost ten times what a simulation does, so
    it stays for a moment after the last one. It is no `threading.Thread`: it
    holds up nobody's end, and is in nobody's count of threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: list[_Watch] = []
        self._process: int | None = None
        """The id of the process in which its thread runs; a fork has none."""

    def watch(self, watched: Watched) -> None:
        """Look at a simulation until it is closed, or nobody has it any more."""
        with self._lock:
            self._watches.append(_Watch(watched))
            if self._process != os.getpid():
                self._process = os.getpid()
                _thread.start_new_thread(self._run, ())

    def forget(self, watched: Watched) -> None:
        """Look at it no more."""
        with self._lock:
            self._watches = [each for each in self._watches if each.watched() is not watched]

    @property
    def is_running(self) -> bool:
        """Whether it has a thread now."""
        return self._process == os.getpid()

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                self._watches = [each for each in self._watches if each.watched() is not None]
                watches = list(self._watches)
                idle = 0 if watches else idle + 1
                if idle > _IDLE_TICKS_MAX:
                    self._process = None
                    return
            for each in watches:
                each.look()
            del watches  # hold on to no simulation while it sleeps


WATCHDOG = Watchdog()
"""The one of this process."""


def cpu_clock() -> int | None:
    """Return the clock of this thread's processor time, where the system has such clocks."""
    get = getattr(time, "pthread_getcpuclockid", None)
    clock: int | None = None if get is None else get(threading.get_ident())
    return clock


def read(clock: int | None) -> float:
    """Return the seconds on a clock; without one real seconds, which a debugger spends too."""
    return time.monotonic() if clock is None else time.clock_gettime(clock)
