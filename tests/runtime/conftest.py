"""What the runtime's tests get."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.runtime.kit import Box, Gate

from callboard.supervision import ActorSystem


@pytest.fixture
def system() -> Iterator[ActorSystem]:
    """Return a system that is stopped after the test, and leaves no thread behind."""
    with ActorSystem("under-test") as system:
        yield system
    left = [each.name for each in threading.enumerate() if each.name.startswith("under-test")]
    assert left == []


@pytest.fixture
def box(system: ActorSystem) -> Box:
    return Box(system)


@pytest.fixture
def gate(system: ActorSystem) -> Gate:
    return Gate(system)


@pytest.fixture
def new_gate(system: ActorSystem) -> Callable[[], Gate]:
    return lambda: Gate(system)
