"""What every test gets, and which tests run only when asked for."""

from __future__ import annotations

import os

import hypothesis
import pytest

from tests.seeds.covering import WRITE, Covering, note_rows

ON_REQUEST = ("chaos", "stress", "soak")
"""Marks whose tests run only when `-m` names them."""

# How long an example may take is pytest-timeout's business: a busy machine is no failure.
hypothesis.settings.register_profile("callboard", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("callboard"), derandomize=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "callboard")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option of scripts/docs."""
    parser.addoption(WRITE, action="store_true", help="write docs/reference/seed-parity.md")


def pytest_configure(config: pytest.Config) -> None:
    """Have the covered rows gathered where all reports come together."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Covering(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on request unless `-m` names its mark; note which rows are covered."""
    note_rows(items)
    asked_for = str(config.option.markexpr)
    held_back = [mark for mark in ON_REQUEST if mark not in asked_for]
    left_out = [item for item in items if any(item.get_closest_marker(m) for m in held_back)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
