"""What a start does to the rest of the process while it makes rows of what a store has."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from callboard.actors import CreateSession, SessionSystem
from callboard.actors.opening import YOUNG_MAX
from callboard.actors.storage.records import Stored
from callboard.actors.testing.stores import StoreInMemory


class Looked(StoreInMemory):
    """A store that notes how often the garbage collector looks while its sessions are read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int, int]] = []

    def sessions(self) -> Iterator[Stored]:
        for each in super().sessions():
            self.seen.append(gc.get_threshold())
            yield each


class Cycle:
    """What somebody else in the process has thrown away."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def store() -> Looked:
    store = Looked()
    with SessionSystem(store=store) as sessions:
        sessions.ask(CreateSession())
    store.seen.clear()
    return store


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [(700, YOUNG_MAX), (0, 0), (2 * YOUNG_MAX, 2 * YOUNG_MAX)],
    ids=["often", "never", "seldom"],
)
def test_the_collector_looks_seldom_while_sessions_are_made_and_then_as_before(
    store: Looked, before: int, meanwhile: int
) -> None:
    was = gc.get_threshold()
    gc.set_threshold(before, 11, 12)
    try:
        with SessionSystem(store=store) as sessions:
            assert sessions.health().sessions == 1
            assert gc.get_threshold() == (before, 11, 12)
    finally:
        gc.set_threshold(*was)

    assert store.seen == [(meanwhile, 11, 12)]


def test_what_the_host_says_of_the_collector_meanwhile_is_left_so() -> None:
    class Saying(Looked):
        def sessions(self) -> Iterator[Stored]:
            gc.set_threshold(1_234, 5, 6)
            return super().sessions()

    was = gc.get_threshold()
    try:
        with SessionSystem(store=Saying()):
            assert gc.get_threshold() == (1_234, 5, 6)
    finally:
        gc.set_threshold(*was)


def test_garbage_of_others_goes_while_sessions_are_made() -> None:
    class Slow(Looked):
        def sessions(self) -> Iterator[Stored]:
            thrown_away = weakref.ref(Cycle())
            made = [[number] for number in range(2 * YOUNG_MAX)]
            self.has_gone = thrown_away() is None and len(made) > 0
            return super().sessions()

    store = Slow()
    with SessionSystem(store=store):
        assert store.has_gone
