"""What every test gets, and which tests run only when asked for."""

from __future__ import annotations

import os

import hypothesis
import pytest

ON_REQUEST = ("stress", "soak")
"""Marks whose tests run only when `-m` names them."""

# How long an example may take is pytest-timeout's business: a busy machine is no failure.
hypothesis.settings.register_profile("callboard", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("callboard"), derandomize=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "callboard")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out stress and soak tests unless `-m` names their mark."""
    asked_for = str(config.option.markexpr)
    held_back = [mark for mark in ON_REQUEST if mark not in asked_for]
    left_out = [item for item in items if any(item.get_closest_marker(m) for m in held_back)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
