"""What stands in for locks, queues, threads and time where the runtime runs on fibres.

All else is the runtime's own code. `ported` puts them in its modules' place for as long as it is
entered; which world they belong to is said by `enter`, once for each run.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest

from callboard.supervision.runtime import futures, pool, system, timers, watcher
from tests.interleaving.fibres import Fibre, World

_worlds: list[World] = []


def enter(world: World) -> None:
    """Have all that is made from now on belong to this world."""
    _worlds[:] = [world]


def _world() -> World:
    return _worlds[-1]


class Lock:
    """A `threading.Lock`."""

    __slots__ = ("_is_held",)

    def __init__(self) -> None:
        self._is_held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 -- as the lock has it
        if not self._is_held:
            self._is_held = True
            return True
        if not blocking:
            return False
        world = _world()
        due_s = None if timeout < 0 else world.now_s + timeout
        if not world.wait(self._is_free, due_s):
            return False
        self._is_held = True
        return True

    def _is_free(self) -> bool:
        return not self._is_held

    def release(self) -> None:
        if not self._is_held and not _world().is_over:
            msg = "release unlocked lock"
            raise RuntimeError(msg)
        self._is_held = False

    def locked(self) -> bool:
        return self._is_held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_exc: object) -> None:
        self.release()


class RLock:
    """A `threading.RLock`."""

    __slots__ = ("_depth", "_owner")

    def __init__(self) -> None:
        self._owner: Fibre | None = None
        self._depth = 0

    def __enter__(self) -> bool:
        world = _world()
        me = world.current
        if self._depth and self._owner is not me:
            world.wait(lambda: not self._depth)
        self._owner = me
        self._depth += 1
        return True

    def __exit__(self, *_exc: object) -> None:
        self._depth -= 1


class Condition:
    """A `threading.Condition`."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._waiting: deque[list[bool]] = deque()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_exc: object) -> None:
        self._lock.release()

    def notify(self) -> None:
        if self._waiting:
            self._waiting.popleft()[0] = True

    def wait(self, timeout: float | None = None) -> bool:
        world = _world()
        told = [False]
        self._waiting.append(told)
        self._lock.release()
        due_s = None if timeout is None else world.now_s + timeout
        if not world.wait(lambda: told[0], due_s):
            self._waiting.remove(told)
        self._lock.acquire()
        return told[0]


class SimpleQueue:
    """A `queue.SimpleQueue`."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get_nowait(self) -> Any:
        if not self._items:
            raise Empty
        return self._items.popleft()

    def get(self, timeout: float | None = None) -> Any:
        world = _world()
        due_s = None if timeout is None else world.now_s + timeout
        if not world.wait(self._has_some, due_s) or not self._items:
            raise Empty
        return self._items.popleft()

    def _has_some(self) -> bool:
        return bool(self._items)

    def qsize(self) -> int:
        return len(self._items)


class Thread:
    """A `threading.Thread`, started by `start_thread` alone."""

    def __init__(
        self, *, target: Callable[..., object], name: str, args: tuple[Any, ...] = (), daemon: bool
    ) -> None:
        assert daemon
        self.name = name
        self.act = lambda: target(*args)
        self.fibre: Fibre | None = None

    def join(self, timeout: float | None = None) -> None:
        del timeout
        fibre = self.fibre
        if fibre is not None:
            _world().wait(lambda: fibre.is_over)

    def is_alive(self) -> bool:
        return self.fibre is not None and not self.fibre.is_over


def start_thread(thread: Thread) -> None:
    """Start it, as a server: it ends with the world."""
    thread.fibre = _world().spawn(thread.name, thread.act, is_server=True)


def no_thread(thread: Thread) -> None:
    """Leave out the watcher: whatever needs its help is a wake-up that was lost."""
    del thread


def _sleep(seconds: float) -> None:
    world = _world()
    world.wait(lambda: False, world.now_s + seconds)


def now_s() -> float:
    """Return the world's time."""
    return _world().now_s


class FibreClock:
    """The clock port."""

    now_s = staticmethod(now_s)
    wall_s = staticmethod(now_s)


THREADING: Any = SimpleNamespace(
    Lock=Lock,
    RLock=RLock,
    Condition=Condition,
    Thread=Thread,
    current_thread=lambda: None,
    get_ident=threading.get_ident,
)
TIME: Any = SimpleNamespace(
    monotonic=now_s, sleep=_sleep, pthread_getcpuclockid=int, clock_gettime=float
)


@contextmanager
def ported() -> Generator[None]:
    """Have the runtime run on fibres."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (pool, watcher, timers, system):
            patch.setattr(module, "threading", THREADING)
        for module in (pool, watcher, futures):
            patch.setattr(module, "time", TIME)
            patch.setattr(module, "allocate_lock", Lock)
        patch.setattr(futures.THREADS, "now_s", now_s)
        patch.setattr(pool, "SimpleQueue", SimpleQueue)
        for module in (pool, timers):
            patch.setattr(module, "start_thread", start_thread)
        patch.setattr(watcher, "start_thread", no_thread)
        yield
