"""What the tests of connections get: a system on threads and in simulation, with fakes."""

from __future__ import annotations

import pytest

from callboard.actors import SessionSystem
from callboard.actors.testing import MemoryAgents, MemoryMcp
from tests.connections.kit import open_with
from tests.sessions.stage import Stage, stage

__all__ = ["agents", "mcp", "sessions", "stage"]


@pytest.fixture
def mcp() -> MemoryMcp:
    """Return what opens MCP clients."""
    return MemoryMcp()


@pytest.fixture
def agents() -> MemoryAgents:
    """Return what starts agents."""
    return MemoryAgents()


@pytest.fixture
def sessions(stage: Stage, mcp: MemoryMcp, agents: MemoryAgents) -> SessionSystem:
    """Return a system that runs, with both."""
    return open_with(stage, mcp, agents)
