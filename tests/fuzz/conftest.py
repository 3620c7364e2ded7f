"""What the fuzz tests get: their mark, and a count of what they have run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon.conftest import private
from tests.fuzz.campaign import SECONDS, examples_run

__all__ = ["private"]

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder as such; the long form has its own bound of time."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.fuzz)
            item.add_marker(pytest.mark.hypothesis)
            if SECONDS:
                item.add_marker(pytest.mark.timeout(60 + 3 * SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many examples ran, where this process ran them."""
    if SECONDS:
        for name, number in sorted(examples_run.items()):
            terminalreporter.write_line(f"{number:9,d}  {name}")
        terminalreporter.write_line(f"{sum(examples_run.values()):9,d}  examples")
