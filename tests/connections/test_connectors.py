"""What a system may be given that opens connections."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import Connectors
from callboard.actors.testing import MemoryAgents, MemoryMcp
from callboard.supervision import InvalidSpec


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"mcp": "x"}, "mcp"),
        ({"mcp": MemoryMcp}, "mcp"),
        ({"mcp": MemoryAgents()}, "mcp"),
        ({"agents": [1]}, "agents"),
        ({"agents": {"acp": MemoryMcp()}}, "agents['acp']"),
        ({"agents": {"acp": None}}, "agents['acp']"),
        ({"agents": {5: MemoryAgents()}}, "agents[5]"),
    ],
)
def test_what_is_no_connector_is_refused_and_named(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Connectors(**given)

    assert refused.value.field == field


def test_connectors_of_every_kind_are_taken() -> None:
    mcp, agents = MemoryMcp(), MemoryAgents()

    connectors = Connectors(mcp=mcp, agents={"acp": agents})

    assert connectors.for_mcp() is mcp
    assert connectors.for_agent("acp") is agents
