"""The actor behind a registry: what its owners are linked to, and what a supervisor restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callboard.supervision.model.notices import Exit
from callboard.supervision.model.requests import handles
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.cell import Cell


class Keeper(SystemActor):
    """Lives as long as its registry is open. It holds nothing: the table is nobody's to lose.

    Args:
        registry: the registry; for whoever finds it by its name.
        begin: called with this actor's ref when it starts.

    Source: Elixir, Registry.Partition, which owners are linked to.
    """

    def __init__(self, registry: object, begin: Callable[[Cell[Any]], None]) -> None:
        super().__init__()
        self.registry = registry
        self._begin = begin

    def on_start(self) -> None:
        """Take over who is registered already."""
        self._begin(self.actor_ref)

    @handles(Exit)
    def on_exit(self, message: Exit) -> None:
        """Ignore it: only its supervisor ends it, as with Elixir's Registry.Partition."""
