"""What every test gets, and which tests run only when asked for."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from callboard.supervision.runtime.interrupts import KillSignal, TakenBack
from tests import examples
from tests.choosing import keep_only
from tests.seeds.covering import WRITE, Covering, note_rows
from tests.watch import Watch

ON_REQUEST = ("slow", "chaos", "stress", "soak")
"""Marks whose tests run only when `-m` names them."""

SLOW_S = 300
"""How long a slow test may take that does not say so itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option of scripts/docs."""
    parser.addoption(WRITE, action="store_true", help="write docs/reference/seed-parity.md")


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """Have nobody after a test hear more or less of the log: `serve` says what is logged."""
    logger = logging.getLogger("callboard")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples are made; gather covered rows where all reports come together."""
    examples.choose(str(config.option.markexpr))
    _leave_kills_to_the_runtime(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Covering(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on request unless `-m` names its mark; note which rows are covered."""
    note_rows(items)
    asked_for = str(config.option.markexpr)
    held_back = [mark for mark in ON_REQUEST if mark not in asked_for]
    keep_only(items, lambda item: not any(map(item.get_closest_marker, held_back)), config)
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))


def pytest_collection() -> None:
    """Have the garbage collector wait: what is made now stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Have the garbage collector never look at the tests themselves, which are there to the end.

    Else each of its full looks, and of those that a test asks for, takes half a second.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def _leave_kills_to_the_runtime(config: pytest.Config) -> None:
    """Have no test fail by a kill that was lost in a callback of the collector.

    It was on its way when the collector began, or being taken back. The runtime does so again, and
    a kill that is never felt fails what waits for it.
    """
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        if unraisable.exc_type not in {KillSignal, TakenBack}:
            report(unraisable)

    sys.unraisablehook = report_others
    config.add_cleanup(lambda: setattr(sys, "unraisablehook", report))


_watch = Watch()


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Have one thread look at all tests, instead of one for each."""
    plugin: Any = item.config.pluginmanager.get_plugin("timeout")
    _watch.begin(partial(plugin.timeout_timer, item, settings), within_s=settings.timeout)
    return True


def pytest_timeout_cancel_timer() -> bool:
    """Say that the test has ended."""
    _watch.end()
    return True
