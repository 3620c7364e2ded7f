"""The event loop on which async handlers run: one thread, started by the first of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from callboard.supervision.model.errors import CallboardError
from callboard.supervision.runtime.clock import waitable
from callboard.supervision.runtime.current import Runner, active, local
from callboard.supervision.runtime.cycles import refuse_cycle
from callboard.supervision.runtime.interrupts import start_thread
from callboard.supervision.runtime.operations import Task

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.futures import Future


class BlockingOnLoop(CallboardError):
    """A blocking ask inside an async handler would stop every other one."""

    code = "blocking_on_loop"
    remedy = "Await it: `await ref.ask_async(message)`, or make the handler a plain method."


class LoopRunner(Runner):
    """The record of the loop's thread: which actor runs is known to the context alone."""

    __slots__ = ()

    @property  # derived from the context
    def cell(self) -> EndingCell[Any] | None:
        """The actor whose coroutine runs now."""
        activation = active.get()
        return None if activation is None else activation.cell

    @cell.setter
    def cell(self, _cell: EndingCell[Any] | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # nothing to set
        return

    @property  # derived from the context
    def deadline_s(self) -> float | None:
        """The deadline of the ask that the handler running now answers.

        A task that the handler made has it too, but not when the ask is answered: it may go on.
        """
        activation = active.get()
        if activation is None or activation.deadline_s is None:
            return None
        operation = activation.cell.operation
        if not isinstance(operation, Task):
            return None
        answers = operation.future
        is_open = (
            answers is not None
            and answers.deadline_s == activation.deadline_s  # another handler may be under way
            and not answers.is_done
        )
        return activation.deadline_s if is_open or operation.is_running() else None

    @deadline_s.setter
    def deadline_s(self, _deadline_s: float | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # nothing to set
        return

    def block(self, future: Future[Any], until_s: float | None) -> None:
        del future, until_s
        msg = "a blocking ask was made on the event loop"
        raise BlockingOnLoop(msg)

    def begins_to_await(self, future: Future[Any], /) -> Task | None:
        """Return the handler that runs now, unless one of several tasks that it made does.

        Of those nobody knows whether the handler waits for them: what they
        await ends at its deadline, cycle or not.
        """
        cell = self.cell
        operation = None if cell is None else cell.operation
        if cell is None or not isinstance(operation, Task) or not operation.is_running():
            return None
        operation.awaits(future)
        try:
            refuse_cycle(cell, future)
        except BaseException:  # a host's signal too: it goes on
            operation.awaits(None)
            raise
        return operation


class Loop(Protocol):
    """The loop port."""

    def call(self, act: Callable[[], object]) -> None:
        """Call `act()` on the loop's thread, soon; from any thread."""
        ...

    def stop(self, timeout_s: float) -> bool:
        """Cancel what runs and end; say whether it ended in time."""
        ...


class ThreadLoop:
    """An asyncio loop on a thread of its own.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def call(self, act: Callable[[], object]) -> None:
        loop = self._loop
        if loop is None:
            loop = self._start()
        if loop is not None:
            try:
                loop.call_soon_threadsafe(act)
            except RuntimeError:  # closed meanwhile: what it would have run is cancelled
                return

    def _start(self) -> asyncio.AbstractEventLoop | None:
        with self._lock:
            if self._loop is None and not self._is_stopped:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._run, args=(loop,), name=self._name, daemon=True
                )
                start_thread(self._thread)
                self._loop = loop
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        local.runner = LoopRunner()
        asyncio.set_event_loop(loop)
        try:
            while True:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit):
                    # asyncio lets these two through; they are the end of one handler, not of all.
                    if not self._is_stopped:
                        continue
                break
            _cancel_all(loop)
        finally:
            loop.close()

    def stop(self, timeout_s: float) -> bool:
        with self._lock:
            self._is_stopped = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return True
        try:
            loop.call_soon_threadsafe(loop.stop)
        except RuntimeError:
            return True
        if thread is threading.current_thread():
            return False
        thread.join(waitable(timeout_s))
        return not thread.is_alive()


_CANCEL_WITHIN_S = 2.0
"""How long cancelled handlers may take to let go when the loop stops."""


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_WITHIN_S))
    loop.run_until_complete(loop.shutdown_asyncgens())
