"""What the tests of the trees get."""

from __future__ import annotations

import pytest

from tests.both import World, settings, system, world
from tests.tree.kit import Tree

__all__ = ["settings", "system", "tree", "world"]


@pytest.fixture
def tree(world: World) -> Tree:
    """Return a tree, to be grown."""
    return Tree(world)
