"""Sees that work makes progress: grows the pool, and pursues killed handlers.

A tick of 1 ms while there is something to watch; asleep otherwise. "Did anything
progress?" is the wrong question (one long handler that computes is progress, a
hundred that sleep are not), so it is asked of each worker: the same turn for a
whole tick, and no CPU time used. But what waits must not wait for a handler that
computes for ever: when no turn ends for ten ticks, one more worker shares the
processor with it.
"""

from __future__ import annotations

import threading
import time
from _thread import allocate_lock
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from callboard.supervision.runtime.interrupts import start_thread

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.pool import Pool, Worker
    from callboard.supervision.runtime.settings import Settings

_TICK_S = 0.001
_QUIET_TICKS = 50
"""Ticks without work after which the watcher sleeps."""

_STARVED_TICKS = 10
"""Ticks without an end of any turn, after which handlers that compute count as stuck ones."""

_NAP_S = 0.25
"""The longest sleep: what a wake lost to an interrupt can cost."""

_PURSUED_TICK_S = 0.01


class HandlerAbandoned(msgspec.Struct, frozen=True):
    """A killed handler did not give up its thread within the grace."""

    name: str
    worker: str
    is_replaced: bool


class _Pursuit(msgspec.Struct):
    cell: Any
    worker: Any
    turn: int
    until_s: float
    next_s: float


class Watcher:
    """One thread beside the pool.

    Args:
        pool: whose workers are watched.
        settings: the bounds.
        name: the thread's name.
        emit: gets `HandlerAbandoned`.
    """

    def __init__(
        self, pool: Pool, settings: Settings, name: str, emit: Callable[[object], None]
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._emit = emit
        self._bell = allocate_lock()
        self._bell.acquire()
        self._killed: SimpleQueue[_Pursuit] = SimpleQueue()
        self._pursuits: list[_Pursuit] = []
        self._seen: dict[Worker, tuple[int, float]] = {}
        self._saw_near = False
        self._turns = self._starved_ticks = 0
        self._is_stopped = False
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch; harmless when it has begun."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            start_thread(thread)
            self._thread = thread

    def stop(self) -> None:
        """End, soon, and wait for that."""
        self._is_stopped = True
        self.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def wake(self) -> None:
        """End a nap. From any thread, never blocks."""
        self._pool.is_asleep = False
        try:
            self._bell.release()
        except RuntimeError:  # it is awake already
            return

    def pursue(self, cell: EndingCell[Any], worker: Worker) -> None:
        """Interrupt the handler of a killed cell, and look again after the grace."""
        now_s = time.monotonic()
        self._killed.put(
            _Pursuit(cell, worker, worker.turns, now_s + self._settings.kill_grace_s, now_s)
        )
        self.wake()

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        quiet = 0
        while not self._is_stopped:
            is_busy = self._has_work()
            while self._killed.qsize():
                self._pursuits.append(self._killed.get())
            if is_busy or self._pursuits:
                quiet = 0
                if is_busy:
                    self._grow()
                self._chase()
            else:
                quiet += 1
                self._seen.clear()
            if quiet < _QUIET_TICKS:
                time.sleep(_TICK_S)
                continue
            # A pair that must keep its order. Here: (1) asleep (2) work? then no nap.
            # Who sends: (1) put the work (2) is it asleep? then `wake`.
            self._pool.is_asleep = True
            if not self._has_work():
                self._bell.acquire(timeout=_NAP_S)
            self._pool.is_asleep = False
            quiet = 0 if self._has_work() or self._killed.qsize() else _QUIET_TICKS - 1

    def _has_work(self) -> bool:
        pool = self._pool
        return bool(pool.users.qsize() or pool.near or pool.systems.qsize())

    def _grow(self) -> None:
        """Add as many workers as are stuck, within the bound."""
        pool = self._pool
        workers = list(pool.workers)
        if not workers:  # the last one was abandoned, and no thread could be had in its place
            pool.add_worker()
            return
        stuck = running = 0
        for worker in workers:
            if worker.is_waiting:
                continue
            running += 1
            if self._is_stuck(worker):
                stuck += 1
        if pool.near and self._saw_near:
            # For a whole tick nobody came for them: their worker is busy, stuck or gone.
            pool.hand_over_near()
        self._saw_near = bool(pool.near)
        if not running:  # all wait for answers: somebody must be there to give them
            pool.add_worker()
            return
        if self._is_starved(workers):
            stuck = max(stuck, 1)
        if not stuck or any(each.is_idle for each in workers):
            return
        room = self._settings.workers_max - running
        for _ in range(min(stuck, room, pool.users.qsize())):
            if not pool.add_worker():
                return

    def _is_starved(self, workers: list[Worker]) -> bool:
        """Say whether what waits has waited for long while no worker came to the end of a turn."""
        turns = sum(each.turns for each in workers)
        is_moving = turns != self._turns or not self._pool.users.qsize()
        self._turns = turns
        self._starved_ticks = 0 if is_moving else self._starved_ticks + 1
        if self._starved_ticks < _STARVED_TICKS:
            return False
        self._starved_ticks = 0
        return True

    def _is_stuck(self, worker: Worker) -> bool:
        # One that has run nothing yet is on its way; one without a cell may be in an event hook.
        clock = worker.cpu_clock  # once: it goes with its thread
        if worker.is_idle or not worker.turns or clock is None:
            self._seen.pop(worker, None)
            return False
        try:
            used_s = time.clock_gettime(clock)
        except OSError:  # its thread has just ended
            return False
        now = (worker.turns, used_s)
        before = self._seen.get(worker)
        self._seen[worker] = now
        return before == now

    def _chase(self) -> None:
        now_s = time.monotonic()
        left: list[_Pursuit] = []
        for each in self._pursuits:
            if each.worker.turns != each.turn or each.cell.runner is not each.worker:
                continue  # the handler has let go
            if now_s >= each.until_s:
                is_replaced = self._pool.abandon(each.worker)
                self._emit(HandlerAbandoned(each.cell.name, each.worker.thread.name, is_replaced))
                continue
            if now_s >= each.next_s:
                each.next_s = now_s + _PURSUED_TICK_S
                if getattr(each.cell.actor_class, "interruptible", True):
                    each.worker.strike(each.cell)
            left.append(each)
        self._pursuits = left
