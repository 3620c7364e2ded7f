"""What the tests of the registry get: one registry of each kind, on threads and in simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision import ActorSystem, Keys, Registry
from tests.both import World, settings, settle, system, world
from tests.runtime.kit import Box

__all__ = ["box", "rooms", "settings", "settle", "system", "topics", "world"]


@pytest.fixture
def box(system: ActorSystem) -> Box:
    return Box(system)


@pytest.fixture
def rooms(system: ActorSystem) -> Registry[Any, Any]:
    """Return a registry with unique keys that runs."""
    registry: Registry[Any, Any] = Registry(system, "rooms")
    registry.start()
    return registry


@pytest.fixture
def topics(system: ActorSystem) -> Registry[Any, Any]:
    """Return a registry with duplicate keys that runs."""
    registry: Registry[Any, Any] = Registry(system, "topics", keys=Keys.DUPLICATE)
    registry.start()
    return registry


@pytest.fixture
def end(world: World) -> Callable[..., None]:
    """Return what ends an actor somehow and waits until all is quiet."""

    def end(act: Callable[..., object], *args: Any) -> None:
        act(*args)
        world.settle()

    return end
