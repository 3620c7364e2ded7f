"""The pytest plugin, which pytest finds by itself where callboard is installed.

An entry point and no line in a `conftest.py`: only so an option can be taken wherever pytest is
called from. `-p no:callboard` leaves it out.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import partial

import pytest

from callboard.actors.testing.kit import Callboard
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.testing.asked import (
    SCHEDULE_VARIABLE,
    SEED_VARIABLE,
    Asked,
    asked_for,
)
from callboard.supervision.testing.failure import is_failure
from callboard.supervision.testing.schedule import Replay
from callboard.supervision.testing.story import story

_OPTIONS = {"callboard_seed": SEED_VARIABLE, "callboard_schedule": SCHEDULE_VARIABLE}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the options."""
    group = parser.getgroup("callboard")
    group.addoption(
        "--callboard-seed",
        type=int,
        metavar="SEED",
        help=f"simulate under this seed alone; the same as {SEED_VARIABLE}=SEED",
    )
    group.addoption(
        "--callboard-schedule",
        metavar="FILE",
        help=f"replay the schedule that a failure has left; the same as {SCHEDULE_VARIABLE}=FILE",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say in the environment what the options say: there `simulate` and child processes look."""
    for option, variable in _OPTIONS.items():
        asked: object = config.getoption(option)
        if asked is not None:
            before = os.environ.get(variable)
            os.environ[variable] = str(asked)
            config.add_cleanup(partial(_restore, variable, before))
    try:
        asked_for()
    except InvalidSpec as error:  # once, and not for every test
        raise pytest.UsageError(str(error)) from None


def _restore(variable: str, before: str | None) -> None:
    if before is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = before


@pytest.fixture
def callboard() -> Generator[Callboard]:
    """A simulation for sessions, of one schedule: `@simulate` runs the same test under many.

    `--callboard-seed` names another schedule. When the test fails, the story of what has
    happened is told. A test that leaks actors fails when it is over.
    """
    asked = asked_for()
    if asked is None:
        kit = Callboard(hears_events=True)
    else:
        explore = None if asked.schedule is None else Replay(asked.schedule)
        kit = Callboard(asked.seed, explore=explore, hears_events=True)
    with kit:
        yield kit


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a failure of a test end its simulation, and tell its story."""
    kit: object = getattr(item, "funcargs", {}).get("callboard")
    error = None if call.excinfo is None else call.excinfo.value
    if not isinstance(kit, Callboard) or error is None or not is_failure(error):
        return (yield)
    if not kit.is_over:
        kit.fails(error)
    report = yield
    if call.when != "teardown":
        report.sections.append(("callboard", _told(kit, item.nodeid)))
    return report


def _told(kit: Callboard, test: str) -> str:
    at = kit.failed_at
    lines = story(kit.trace.entries[: None if at is None else at.entry])
    command = (asked_for() or Asked(kit.seed)).command(test)
    return "\n".join(["story:", *(f"  {line}" for line in lines), f"replay: {command}"])
