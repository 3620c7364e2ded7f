"""What a measurement needs: a gate to wait at, the process's size, one core to stay on."""

from __future__ import annotations

import os
import statistics
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable
from itertools import count
from pathlib import Path

Figures = dict[str, float]
"""What one measurement found: figure -> value, in the figure's unit."""

now_s = time.perf_counter
cpu_s = time.process_time

WAIT_S = 120.0
"""No measurement waits longer for anything: it fails instead."""


class Gate:
    """Opens at the n-th hit. Hits may come from any thread and cost 0.1 us.

    Args:
        hits: how many open it.
    """

    def __init__(self, hits: int) -> None:
        self._hits = hits
        self._numbers = count(1)
        self._bell = allocate_lock()
        self._bell.acquire()

    def hit(self) -> None:
        """Count one; the last one rings the bell."""
        if next(self._numbers) == self._hits:
            self._bell.release()

    def wait(self) -> None:
        """Wait for the last hit.

        Raises:
            TimeoutError: it did not come.
        """
        if not self._bell.acquire(timeout=WAIT_S):
            msg = f"{self._hits} hits did not come within {WAIT_S:g} s"
            raise TimeoutError(msg)


def median_of(repeats: int, once: Callable[[], float]) -> float:
    """Return the median of several runs."""
    return statistics.median(once() for _ in range(repeats))


def per_op_us(ops: int, act: Callable[[], object]) -> float:
    """Return the microseconds of each of `ops` operations that `act` does."""
    began_s = now_s()
    act()
    return (now_s() - began_s) / ops * 1e6


def resident_bytes() -> int:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def threads() -> int:
    """Return how many threads this process has, whoever started them."""
    return len(list(Path("/proc/self/task").iterdir()))


def stay_on_one_core() -> None:
    """Keep this process on the last core it may use, where the kernel lets us choose."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def watch_threads(until: threading.Event, found: list[int]) -> None:
    """Note the number of threads again and again, until told to end."""
    while not until.wait(0.02):
        found.append(threads())
