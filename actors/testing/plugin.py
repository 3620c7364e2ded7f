"""The pytest plugin: `pytest_plugins = ["callboard.actors.testing.plugin"]` in a conftest.py."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from callboard.actors.testing.kit import Callboard
from callboard.supervision.testing.simulate import SEED_VARIABLE


@pytest.fixture
def callboard() -> Generator[Callboard]:
    """A stage for session systems; `CALLBOARD_SEED` in the environment names another schedule."""
    with Callboard(int(os.environ.get(SEED_VARIABLE, "0"))) as kit:
        yield kit
