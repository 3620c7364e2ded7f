"""Which test takes too long? One thread looks, where pytest-timeout starts one for each test.

A thread is most of what a small test costs, and there are thousands of them. What becomes of a test
that is overdue is still pytest-timeout's to do: it prints all stacks, and ends the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic  # by name: a test may replace the module's

LOOKS_EVERY_S = 1.0
"""How late a test may be found out."""


class Watch:
    """Looks at one test at a time.

    Args:
        every_s: seconds between two looks.
    """

    def __init__(self, every_s: float = LOOKS_EVERY_S) -> None:
        self._every_s = every_s
        self._is_over = threading.Event()
        self._watched: tuple[float, Callable[[], object]] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, overdue: Callable[[], object], *, within_s: float) -> None:
        """Watch a test, and none but this; `overdue` is called on the thread that looks."""
        self._watched = monotonic() + within_s, overdue
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Watch no test."""
        self._watched = None

    def close(self) -> None:
        """Look no more; return when the thread is gone."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(self._every_s):
            watched = self._watched
            if watched is None:
                continue
            due_s, overdue = watched
            if due_s <= monotonic():
                self._watched = None
                overdue()
