"""What Python itself takes on this machine: nothing that switches threads can be faster."""

from __future__ import annotations

import threading
from _thread import allocate_lock
from queue import SimpleQueue

from scripts.benchmarks.measure import Figures, median_of, per_op_us


def round_trip(*, is_quick: bool) -> Figures:
    """Two threads, one queue there, one lock back."""
    trips = 2_000 if is_quick else 10_000
    queue: SimpleQueue[bool] = SimpleQueue()
    answered = allocate_lock()
    answered.acquire()

    def echo() -> None:
        while queue.get():
            answered.release()

    def ask() -> None:
        for _ in range(trips):
            queue.put(item=True)
            answered.acquire()

    other = threading.Thread(target=echo, daemon=True)
    other.start()
    ask()
    found = median_of(3, lambda: per_op_us(trips, ask))
    queue.put(item=False)
    other.join()
    return {"us": found}


def call(*, is_quick: bool) -> Figures:
    """A Python function that does nothing, called in a loop: how fast the machine is today."""
    del is_quick

    def nothing() -> None:
        return

    def many() -> None:
        for _ in range(200_000):
            nothing()

    return {"us": min(per_op_us(200_000, many) for _ in range(7))}
