"""Sessions whose behaviour follows a stage: on real threads, and in simulations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from callboard.actors import SessionSystem
from callboard.actors.sessions import partition
from callboard.supervision.testing import Simulation
from tests.manager.kit import Stage, player
from tests.schedules import everywhere, seed_of


@pytest.fixture(params=everywhere())
def runtime(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return None for real threads, or a simulation's runtime."""
    seed = seed_of(request.param)
    if seed is None:
        yield None
        return
    with Simulation(seed) as simulation:
        yield simulation.runtime


@pytest.fixture
def stage() -> Stage:
    """Return what the sessions of this test do."""
    return Stage()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a partition that stops wait only briefly for a session that does not."""
    monkeypatch.setattr(partition, "SHUTDOWN_S", 0.05)


@pytest.fixture
def staged(stage: Stage, runtime: Any) -> Iterator[SessionSystem]:
    """Return a system of one partition whose sessions follow the stage."""
    with SessionSystem(player(stage), partitions=1, runtime=runtime) as sessions:
        yield sessions
