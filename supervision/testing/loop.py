"""An asyncio loop with neither a selector nor a clock of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple

from callboard.supervision.runtime.current import active, local
from callboard.supervision.runtime.interrupts import Unwound
from callboard.supervision.runtime.loop import LoopRunner
from callboard.supervision.testing.errors import OutsideOfSimulation

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.timers import Timer
    from callboard.supervision.testing.hub import Hub

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CANCEL_WITHIN_S = 2.0
"""How long, in simulated seconds, cancelled tasks may take to let go when the loop stops."""


class _TimerHandle(asyncio.TimerHandle):
    """A handle that knows its timer, to take it back."""

    timer: Timer | None = None


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one callback a step, when the seed says so; its own callbacks in asyncio's order.

    What waits for a socket, a process or a thread has no place here: that stands
    behind a port at the edge.

    Args:
        hub: gives the time, and the turns.
        name: who it is in the trace.
    """

    def __init__(self, hub: Hub, name: str) -> None:
        self._is_shut = True  # asyncio's own __init__ asks, and would call us
        super().__init__()
        self._is_shut = False
        self.name = name
        self.runner: Runner = LoopRunner()
        self._hub = hub
        self._line: deque[asyncio.Handle] = deque()
        self._is_hinted = False
        self._running: asyncio.Handle | None = None
        self._made: list[asyncio.Task[Any]] = []
        self._prune_at = _PRUNE_AT
        self.set_task_factory(self._make_task)

    # -- what asyncio calls ------------------------------------------------

    def time(self) -> float:
        """Return the simulated time."""
        return self._hub.time_s

    def is_running(self) -> bool:
        """Return True until it is closed: whoever drives the simulation runs it."""
        return not self.is_closed()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Put a callback in line."""
        self._check_open()
        handle = asyncio.Handle(callback, args, self, context)
        self._line.append(handle)
        self._hint()
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Put a callback in line; there is one thread only."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Put a callback in line `delay` simulated seconds from now."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Put a callback in line when the simulated time has come."""
        self._check_open()
        handle = _TimerHandle(when, callback, args, self, context)
        handle.timer = self._hub.call_at(when, self._due, handle, is_of_the_hub=True)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, _TimerHandle) and handle.timer is not None:
            handle.timer.cancel()

    def _due(self, handle: _TimerHandle) -> None:
        handle.timer = None
        if not self.is_closed():
            self._line.append(handle)
            self._hint()

    def run_forever(self) -> NoReturn:
        """Refuse: the simulation drives it."""
        self._refuse("run_forever")

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> NoReturn:
        """Refuse: the simulation drives it."""
        if asyncio.iscoroutine(future):
            future.close()
        self._refuse("run_until_complete")

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> NoReturn:
        """Refuse: a thread is outside of the simulation."""
        del executor, func, args
        self._refuse("run_in_executor (to_thread, or a future with a get hook)")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what a callback has raised, but not that it was unwound: its world has ended."""
        if not isinstance(context.get("exception"), Unwound):
            super().call_exception_handler(context)

    def _refuse(self, what: str) -> NoReturn:
        msg = f"{what} does not exist on the event loop of a simulation"
        raise OutsideOfSimulation(msg)

    def _check_open(self) -> None:
        if self.is_closed():
            msg = "Event loop is closed"
            raise RuntimeError(msg)

    def _make_task(
        self,
        _loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        context: Context | None = None,
        **more: object,
    ) -> asyncio.Task[T]:
        # Later versions of Python hand over more: the name, and that it is to begin at once.
        assert asyncio.iscoroutine(coroutine)
        task = asyncio.Task(coroutine, loop=self, context=context, name=self._name_of(more))
        if len(self._made) >= self._prune_at:
            self._made = self.tasks()
            self._prune_at = max(_PRUNE_AT, 2 * len(self._made))
        self._made.append(task)
        return task

    @staticmethod
    def _name_of(more: dict[str, object]) -> str | None:
        name = more.get("name")
        return None if name is None else str(name)

    # -- what the hub calls ------------------------------------------------

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that have not ended, in the order in which they were made."""
        return [each for each in self._made if not each.done()]

    def run_one(self, _runner: Runner) -> None:
        """Run the first callback in line."""
        handle = self._running = self._line.popleft()
        try:
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 -- what a loop does with a handle
        except (KeyboardInterrupt, SystemExit):
            # asyncio lets these two through; the task that raised them has them as its exception.
            return
        finally:
            self._running = None
            # Not before: while a callback is suspended at a point, the loop's thread is taken.
            self._is_hinted = False
            self._hint()

    @property
    def acting(self) -> EndingCell[Any] | None:
        """The actor whose coroutine runs in this step. From any thread."""
        handle = self._running
        context: Context | None = getattr(handle, "_context", None)
        activation = None if context is None else context.get(active)
        return None if activation is None else activation.cell

    def _hint(self) -> None:
        if self._line and not self._is_hinted:
            self._is_hinted = True
            self._hub.enqueue_loop(self)

    def shut(self, timeout_s: float) -> bool:
        """Cancel what runs and end; say whether all of it ended in time."""
        if self.is_closed():
            return True
        hub = self._hub
        if hub.is_broken or hub.is_closed:
            self.unwind()  # nobody drives it any more
            return not self.tasks()
        for task in self.tasks():
            task.cancel()
        until_s = hub.time_s + min(timeout_s, _CANCEL_WITHIN_S)
        hub.drive(lambda: not (self.tasks() or self._line), until_s)
        left = self.tasks()
        self._line.clear()
        self.close()
        return not left

    def unwind(self) -> None:
        """Cancel what runs and let it end at once, in a simulation that is closed."""
        if self.is_closed():
            return
        outer_runner, local.runner = local.runner, self.runner
        _set_running_loop(self)
        try:
            for _ in range(_UNWIND_ROUNDS_MAX):
                for task in self.tasks():
                    task.cancel()
                for _ in range(len(self._line)):
                    handle = self._line.popleft()
                    if not handle.cancelled():
                        handle._run()  # noqa: SLF001 -- what a loop does with a handle
        finally:
            _set_running_loop(None)
            local.runner = outer_runner
        self.close()

    def close(self) -> None:
        """End for good."""
        self._line.clear()
        self._is_shut = True
        super().close()

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_shut


_set_running_loop = asyncio._set_running_loop  # noqa: SLF001 -- what asyncio offers to loops

_UNWIND_ROUNDS_MAX = 10
"""How often a task may wait again after it was cancelled, when the simulation is closed."""

_PRUNE_AT = 64
"""Tasks that are remembered before those that have ended are forgotten."""


class SimulatedLoopPort:
    """The loop port of one system.

    Args:
        hub: where it runs.
        name: who it is in the trace.
    """

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self._name = name
        self._loop: SimulatedLoop | None = None
        self._is_stopped = False

    def call(self, act: Callable[[], object]) -> None:
        """Call `act()` on the loop, soon."""
        if self._is_stopped or self._hub.is_closed:
            return
        if self._loop is None:
            self._loop = SimulatedLoop(self._hub, self._hub.name_for(self._name))
            self._hub.when_closed(self._loop.unwind)
        self._loop.call_soon(act)

    def create_task(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine on the loop."""
        self.call(lambda: asyncio.get_running_loop().create_task(coroutine))

    def stop(self, timeout_s: float) -> bool:
        """Cancel what runs and end; say whether it ended in time."""
        self._is_stopped = True
        return self._loop is None or self._loop.shut(timeout_s)
