"""What a start does to the rest of the process while it makes rows of what a store has."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from callboard.actors import CreateSession, SessionSystem
from callboard.actors.storage.records import Stored
from callboard.actors.testing.stores import StoreInMemory


class Looked(StoreInMemory):
    """A store that notes whether the garbage collector is on while its sessions are read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []

    def sessions(self) -> Iterator[Stored]:
        for each in super().sessions():
            self.seen.append(gc.isenabled())
            yield each


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_rests_while_sessions_are_made_and_is_then_as_it_was(
    *, is_enabled: bool
) -> None:
    store = Looked()
    with SessionSystem(store=store) as sessions:
        sessions.ask(CreateSession())
    was_enabled = gc.isenabled()
    (gc.enable if is_enabled else gc.disable)()
    try:
        with SessionSystem(store=store) as sessions:
            assert sessions.health().sessions == 1
            assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()

    assert store.seen == [False]
