"""What the tests of the trees get."""

from __future__ import annotations

import pytest
from tests.both import World
from tests.both import settings as settings
from tests.both import system as system
from tests.both import world as world
from tests.tree.kit import Tree


@pytest.fixture
def tree(world: World) -> Tree:
    """Return a tree, to be grown."""
    return Tree(world)
