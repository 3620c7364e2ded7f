"""Part 2: registries, monitors, links, dynamic and partition supervisors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.tracing.vocabulary import UnknownWord
from scripts.tracing.worlds import World


def run(scenario: Mapping[str, Any], world: World | None = None) -> dict[str, Any]:
    """Run one scenario and return `{"steps": [{"action", "result", "starts"?}, ...]}`.

    Args:
        scenario: the file without its `expect`.
        world: where; a simulation of its own unless given. It is closed in the end.

    Raises:
        UnknownWord: the scenario says something that is not understood.
    """
    del world
    msg = f"{scenario['name']}: part 2 is not run yet"
    raise UnknownWord(msg)
