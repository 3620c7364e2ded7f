"""A store that keeps what it is given until it is told otherwise, and a system with it."""

from __future__ import annotations

import pytest

from callboard.actors import SessionSystem
from callboard.actors.testing import FakeStore
from tests.sessions.stage import Stage


@pytest.fixture
def store() -> FakeStore:
    """Return a store that keeps what it is given until it is told otherwise."""
    return FakeStore()


@pytest.fixture
def opened(stage: Stage, store: FakeStore) -> SessionSystem:
    """Return a system with that store."""
    return stage.open(store=store)
