"""The threads that run cells: few when all goes well, more when handlers block.

One worker is reserved: it runs system cells (supervisors, the manager, the
janitor) and never a user's code, so they keep their times however many handlers
are stuck. Any other worker takes system cells first. A system cell made ready
on a worker stays with that worker (`near`): a restart then needs no thread
switch; should that worker get stuck, the watcher hands it to the reserved one.
"""

from __future__ import annotations

import threading
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from callboard.supervision.runtime.clock import waitable
from callboard.supervision.runtime.current import Runner, local
from callboard.supervision.runtime.errors import TooManyWaiting
from callboard.supervision.runtime.futures import THREADS, Future, wait_on_thread
from callboard.supervision.runtime.interrupts import start_thread, strike, take_back
from callboard.supervision.runtime.waiting import wait_as_actor
from callboard.supervision.runtime.watcher import Watcher

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.settings import Settings


class HostRunner(Runner):
    """A thread of the host, while it runs actors by hand-off."""

    __slots__ = ()

    def block(self, future: Future[Any], until_s: float | None) -> None:
        wait_as_actor(self, future, until_s, partial(wait_on_thread, asker=self.cell))


class Worker(Runner):
    """A thread of the pool."""

    __slots__ = (
        "_guard",
        "_pool",
        "cpu_clock",
        "is_abandoned",
        "is_idle",
        "is_waiting",
        "thread",
        "turns",
    )

    def __init__(self, pool: Pool, name: str, take: Callable[[Worker], Cell[Any] | None]) -> None:
        super().__init__(pool.near.append)
        self._pool = pool
        self._guard = allocate_lock()
        self.is_idle = False
        self.is_waiting = False
        self.is_abandoned = False
        self.turns = 0
        self.cpu_clock: int | None = None
        self.thread = threading.Thread(target=self._run, args=(take,), name=name, daemon=True)

    def _run(self, take: Callable[[Worker], Cell[Any] | None]) -> None:
        local.runner = self
        self.cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        try:
            while not self.is_abandoned and (cell := take(self)) is not None:
                self.turns += 1
                cell.activate(self)
        finally:
            self.cpu_clock = None
            self._pool.has_left(self)

    # -- waiting -----------------------------------------------------------

    def block(self, future: Future[Any], until_s: float | None) -> None:
        """Wait for a reply; another worker takes over what this one would have run."""
        wait_as_actor(self, future, until_s, self.wait)

    def wait(self, future: Future[Any], until_s: float | None) -> None:
        """Wait while another worker takes over, in whoever's name."""
        self.is_waiting = True
        try:
            self._pool.make_room()
            wait_on_thread(future, until_s, asker=self.cell)
        finally:
            self.is_waiting = False

    def serves(self, dispatcher: object) -> bool:
        return self._pool is dispatcher

    # -- being interrupted -------------------------------------------------

    def disarm(self) -> None:
        """Leave the reach of interrupts. The pair of `strike` must keep its order.

        killer: under the guard (1) `is_struck = True` (2) still the target? send
        worker: (1) `target = None` (2) struck? under the guard take it back

        A killer who does not send leaves what another one has sent: `is_struck` as it was.
        """
        self.target = None
        if self.is_struck:
            with self._guard:
                take_back()
                self.is_struck = False

    def strike(self, cell: Cell[Any]) -> bool:
        """Raise `KillSignal` in the cell's own handler, if that is what runs now."""
        with self._guard:
            was_struck, self.is_struck = self.is_struck, True
            if self.target is cell and strike(self.thread):
                return True
            self.is_struck = was_struck
            return False


class Pool:
    """The dispatcher of real threads.

    Args:
        name: begins the names of all threads.
        settings: the bounds.
        emit: gets events of what went wrong.
    """

    def __init__(self, name: str, settings: Settings, emit: Callable[[object], None]) -> None:
        self._name = name
        self._settings = settings
        self._idle_s = waitable(settings.worker_idle_s)
        self.now_s = time.monotonic
        self.batch_max = settings.batch_max
        self.hand_off_depth = settings.handoff_depth_max
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._starting = threading.Lock()
        self._is_started = False
        self._refused: RuntimeError | None = None
        self._is_stopped = False
        self._leaving: dict[Worker, None] = {}
        self.users: SimpleQueue[Cell[Any] | None] = SimpleQueue()
        """User cells that have work."""
        self._put_user = self.users.put  # one bound method for all: 72 bytes a cell less
        self.systems: SimpleQueue[Cell[Any] | None] = SimpleQueue()
        """System cells that have work; the reserved worker waits here."""
        self._put_system = self.systems.put
        self.near: deque[Cell[Any]] = deque()
        """System cells made ready on a worker, which will look here next."""
        self.workers: dict[Worker, None] = {}
        self.pinned: dict[EndingCell[Any], tuple[Worker, SimpleQueue[Cell[Any] | None]]] = {}
        self.abandoned: dict[Worker, None] = {}
        self.reserved: Worker | None = None
        self._asides: list[threading.Thread] = []
        self.watcher = Watcher(self, settings, f"{name}-watcher", emit)
        self.is_asleep = True

    # -- the port ----------------------------------------------------------

    def enqueue_for(self, cell: EndingCell[Any]) -> Callable[[Any], object]:
        if cell.is_system:
            return self._put_system
        if getattr(cell.actor_class, "is_pinned", False):
            return self._pin(cell)
        return self._put_user

    def wake(self) -> None:
        """Start the threads, or wake the watcher; called when something was enqueued."""
        if not self._is_started:
            self._start()
        self.watcher.wake()

    @staticmethod
    def block(future: Future[Any], until_s: float | None) -> None:
        """Wait where no actor runs: on a worker, in an event hook, somebody must take over."""
        runner = local.runner
        if isinstance(runner, Worker) and runner.cell is None:
            runner.wait(future, until_s)
        else:
            wait_on_thread(future, until_s)

    def aside(self, act: Callable[[], None], name: str) -> Callable[[float], object]:
        thread = threading.Thread(target=act, name=f"{self._name}-{name}", daemon=True)
        self._asides = [*(each for each in self._asides if each.is_alive()), thread]
        start_thread(thread)
        return thread.join

    awaited_in = staticmethod(THREADS.awaited_in)

    def runner_for_hand_off(self, cell: EndingCell[Any], runner: Runner | None) -> Runner | None:
        if runner is None:
            runner = local.runner = HostRunner()
        if runner.depth >= self._settings.handoff_depth_max:
            return None
        if not runner.may_run_user_code and not cell.is_system:
            return None
        return runner

    def interrupt(self, cell: EndingCell[Any], runner: Runner) -> None:
        if isinstance(runner, Worker):
            self.watcher.pursue(cell, runner)

    def has_ended(self, cell: EndingCell[Any]) -> None:
        pinned = self.pinned.pop(cell, None)
        if pinned is not None:
            worker, line = pinned
            with self._lock:
                self._leaving[worker] = None
            line.put(None)

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        # Every actor has ended or been killed: a handler that still runs has the grace of a kill.
        until_s = self.now_s() + min(timeout_s, self._settings.kill_grace_s)
        with self._lock:
            self._is_stopped = True
            threads = [each.thread for each in (*self.workers, *self.abandoned, *self._leaving)]
            threads += [worker.thread for worker, _ in self.pinned.values()]
            if self.reserved is not None:
                threads.append(self.reserved.thread)
            threads += self._asides
        self.users.put(None)
        self.systems.put(None)
        for _, line in list(self.pinned.values()):
            line.put(None)
        me = threading.current_thread()
        for thread in threads:
            if thread is not me:
                thread.join(waitable(max(0.0, until_s - self.now_s())))
        self.watcher.stop()  # it pursues to the last
        return tuple(each.name for each in threads if each is not me and each.is_alive())

    # -- workers -----------------------------------------------------------

    def _start(self) -> None:
        # On a thread of the host a signal may strike between any two steps: each can be repeated.
        with self._starting:
            if self._is_stopped:
                return
            if self.reserved is None:
                reserved = Worker(self, f"{self._name}-reserved", self._take_reserved)
                reserved.may_run_user_code = False
                reserved.enqueue_system = None
                start_thread(reserved.thread)
                self.reserved = reserved
            while len(self.workers) < self._settings.workers_min and self.add_worker():
                pass
            if self._is_stopped:  # meanwhile
                return
            if not self.workers:
                msg = "can't start new thread"
                raise RuntimeError(msg) from self._refused
            self.watcher.start()
            self._is_started = True

    def add_worker(self) -> bool:
        """Start one more worker; say whether that was possible."""
        with self._lock:
            if self._is_stopped or len(self.workers) >= self._settings.workers_ceiling:
                return False
            worker = Worker(self, f"{self._name}-{next(self._numbers)}", self._take)
            try:
                start_thread(worker.thread)
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                self._refused = error
                return False
            self.workers[worker] = None
        return True

    def _pin(self, cell: EndingCell[Any]) -> Callable[[Any], object]:
        line: SimpleQueue[Cell[Any] | None] = SimpleQueue()
        name = f"{self._name}-{cell.actor_class.__name__}-{next(self._numbers)}"
        worker = Worker(self, name, lambda _worker: line.get())
        self.pinned[cell] = (worker, line)
        try:
            start_thread(worker.thread)
        except RuntimeError:
            del self.pinned[cell]
            raise
        return line.put

    def has_left(self, worker: Worker) -> None:
        """Forget a worker whose thread ends."""
        with self._lock:
            self.workers.pop(worker, None)
            self.abandoned.pop(worker, None)
            self._leaving.pop(worker, None)

    def abandon(self, worker: Worker) -> bool:
        """Stop counting on a worker that does not come back; say whether it was replaced."""
        with self._lock:
            worker.is_abandoned = True
            was_pooled = self.workers.pop(worker, worker) is None
            self.abandoned[worker] = None
            is_replaced = was_pooled and len(self.abandoned) <= self._settings.abandoned_max
        return is_replaced and self.add_worker()

    def make_room(self) -> None:
        """See that somebody else can run what waits, before this worker blocks.

        Raises:
            TooManyWaiting: no worker is free and no more may be made.
        """
        self.hand_over_near()
        if not any(each.is_idle for each in list(self.workers)) and not self.add_worker():
            free = any(not each.is_waiting for each in list(self.workers))
            if not free:
                msg = f"{len(self.workers)} workers wait for answers already"
                raise TooManyWaiting(msg)

    def hand_over_near(self) -> None:
        """Give the system cells that wait on a stuck worker to the reserved one."""
        near = self.near
        while near:
            try:
                cell = near.popleft()
            except IndexError:
                return
            self.systems.put(cell)

    # -- what to run next --------------------------------------------------

    def _take(self, worker: Worker) -> Cell[Any] | None:
        near, systems, users = self.near, self.systems, self.users
        while True:
            if near:
                try:
                    return near.popleft()
                except IndexError:
                    pass
            if systems.qsize():
                try:
                    cell = systems.get_nowait()
                except Empty:
                    continue
                if cell is not None:
                    return cell
                systems.put(None)  # the reserved worker's sign to end
            if users.qsize():
                try:
                    cell = users.get_nowait()
                except Empty:
                    continue
                if cell is not None:
                    return cell
                users.put(None)
                return None
            worker.is_idle = True
            try:
                cell = users.get(timeout=self._idle_s)
            except Empty:
                worker.is_idle = False
                if self._may_go(worker):
                    return None
                continue
            worker.is_idle = False
            if cell is None:
                users.put(None)  # for the next worker
            return cell

    def _may_go(self, worker: Worker) -> bool:
        with self._lock:
            # One that waits for an answer runs nothing: it does not count as staying.
            staying = sum(not each.is_waiting for each in self.workers)
            if staying <= self._settings.workers_min:
                return False
            self.workers.pop(worker, None)
            return True

    def _take_reserved(self, worker: Worker) -> Cell[Any] | None:
        worker.is_idle = True
        cell = self.systems.get()
        worker.is_idle = False
        if cell is None:
            self.systems.put(None)  # for one whose start was interrupted, if there is
        return cell
