"""A look at what another thread runs: at a moment that does not pass while it is looked at."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, cast

import pytest

from callboard.supervision.runtime import interrupts
from callboard.supervision.runtime.pool import Worker
from callboard.supervision.runtime.settings import Settings
from callboard.supervision.runtime.watcher import Watcher

FRAMES = 50


@pytest.fixture
def deep() -> Iterator[threading.Thread]:
    """Return a thread that waits, many calls deep: each has a frame to be looked at."""
    is_there, may_go = threading.Event(), threading.Event()

    def go_down(frames: int) -> None:
        if frames:
            go_down(frames - 1)
        else:
            is_there.set()
            may_go.wait()

    thread = threading.Thread(target=go_down, args=(FRAMES,))
    thread.start()
    is_there.wait()
    yield thread
    may_go.set()
    thread.join()


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """Collect garbage whenever it can be; return inside of which functions that was."""
    found: list[str] = []

    def note(_phase: str, _info: Any) -> None:
        frame = sys._getframe(1)
        while frame is not None:
            found.append(frame.f_code.co_name)
            frame = cast("Any", frame.f_back)

    usual = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(1, 1, 1)
    yield found
    gc.set_threshold(*usual)
    gc.callbacks.remove(note)


def test_nothing_is_collected_during_a_look(deep: threading.Thread, collections: list[str]) -> None:
    assert not interrupts.strike(deep)  # it runs no handler

    kept = [[number] for number in range(FRAMES)]
    assert kept
    assert collections, "it collects all the time"
    assert interrupts._look_and_strike.__name__ not in collections


@pytest.mark.parametrize("collects", [True, False])
def test_a_look_leaves_the_collector_as_it_was(deep: threading.Thread, *, collects: bool) -> None:
    was = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        interrupts.strike(deep)
        assert gc.isenabled() is collects
    finally:
        (gc.enable if was else gc.disable)()


@interrupts.arms
def handle(work: Callable[[], None]) -> None:
    """Call what a kill may strike."""
    work()


class Condemned:
    """Does something when it is collected."""

    def __init__(self, last_will: Callable[[], None]) -> None:
        self._last_will = last_will

    def __del__(self) -> None:
        self._last_will()


class TestAKillWaitsForTheCollector:
    """What is raised in code that the collector calls is lost, and told on stderr."""

    def is_struck(self, work: Callable[[], None]) -> bool:
        ends: list[type[BaseException] | None] = []

        def run() -> None:
            try:
                handle(work)
                ends.append(None)
            except interrupts.KillSignal as signal:
                ends.append(type(signal))

        thread = threading.Thread(target=run)
        thread.start()
        self.is_at_work.wait()
        is_struck = interrupts.strike(thread)
        self.may_go.set()
        thread.join()
        assert ends == [interrupts.KillSignal if is_struck else None]
        return is_struck

    def setup_method(self) -> None:
        self.is_at_work, self.may_go = threading.Event(), threading.Event()

    def wait(self, *_: object) -> None:
        self.is_at_work.set()
        self.may_go.wait()

    def test_it_strikes_a_handler(self) -> None:
        assert self.is_struck(self.wait)

    def test_it_leaves_a_callback_of_the_collector(self) -> None:
        def callback(phase: str, _info: object) -> None:
            if phase == "stop":
                self.wait()

        def work() -> None:
            gc.callbacks.append(callback)
            gc.collect()
            gc.callbacks.remove(callback)

        assert not self.is_struck(work)

    def test_it_leaves_a_finalizer(self) -> None:
        def work() -> None:
            Condemned(self.wait)

        assert not self.is_struck(work)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_what_is_taken_back_is_tried_again_when_a_finalizer_has_swallowed_it(
    monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    right, tries = interrupts.set_async_exception, list[int]()

    def set_and_lose(ident: int, kind: type[BaseException] | None) -> int:
        tries.append(ident)
        return right(ident, kind) if len(tries) > lost else 1

    monkeypatch.setattr(interrupts, "set_async_exception", set_and_lose)

    interrupts.take_back()

    assert len(tries) == lost + 1


def test_two_looks_at_once_leave_the_collector_on(deep: threading.Thread) -> None:
    """Of the watchers of two systems: the second begins while the first has it off."""
    right, begun = interrupts._runs_user_code, list[threading.Thread]()

    def look(frame: FrameType | None) -> bool:
        if not begun:
            begun.append(threading.Thread(target=interrupts.strike, args=(deep,)))
            begun[0].start()
        return right(frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupts, "_runs_user_code", look)
        for _ in range(200):
            interrupts.strike(deep)
            begun.pop().join()

    assert gc.isenabled()


class Leaving:
    """A worker whose thread ends while it is looked at."""

    turns = 1
    is_idle = False

    def __init__(self) -> None:
        self._clocks = [time.CLOCK_MONOTONIC]

    @property
    def cpu_clock(self) -> int | None:
        return self._clocks.pop() if self._clocks else None


def test_a_worker_that_leaves_while_the_watcher_looks_does_no_harm() -> None:
    pool: Any = None
    watcher = Watcher(pool, Settings(), "watcher", lambda _event: None)

    assert not watcher._is_stuck(cast("Worker", Leaving()))
