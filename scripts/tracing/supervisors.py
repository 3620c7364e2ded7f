"""Part 1: trees of supervisors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.tracing.vocabulary import UnknownWord
from scripts.tracing.worlds import World


def run(scenario: Mapping[str, Any], world: World | None = None) -> dict[str, Any]:
    """Run one scenario and return `start`, `steps`, `final` and `teardown`, as recorded.

    Args:
        scenario: the file without its `expect`.
        world: where; a simulation of its own unless given. It is closed in the end.

    Raises:
        UnknownWord: the scenario says something that is not understood.
    """
    del world
    msg = f"{scenario['name']}: part 1 is not run yet"
    raise UnknownWord(msg)
