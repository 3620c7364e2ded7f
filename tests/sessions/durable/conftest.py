"""A durable store in memory."""

from __future__ import annotations

import pytest

from callboard.actors.testing.stores import StoreInMemory


@pytest.fixture
def store() -> StoreInMemory:
    return StoreInMemory()
