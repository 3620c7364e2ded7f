"""Bugs of durable sessions, planted in the real library: each must be found.

    python -m tests.simulation.store_plants

prints in how many of 300 schedules each of them is found, and by what.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from callboard.actors.sessions import recovering
from callboard.actors.sessions.committing import CommittingActor
from callboard.actors.storage import sqlite
from callboard.actors.storage.chain import DurableLedger, Opening
from callboard.actors.storage.journal import Journal
from callboard.supervision.testing import FaultPlan, LawBroken, Simulation
from tests.simulation.durable import DURABLE_PLAN, StoreThrows, durable
from tests.simulation.dying import DYING, dying

SCHEDULES = 300

THROWING = FaultPlan((StoreThrows(rate=0.2), StoreThrows(rate=0.2, is_late=True)))


class Plant(NamedTuple):
    """A bug, and where it shows."""

    plant: Callable[[pytest.MonkeyPatch], None]
    play: Callable[[Simulation], object]
    faults: FaultPlan


def acknowledge_what_is_handed_in(patch: pytest.MonkeyPatch) -> None:
    """A reply does not wait for the store."""

    def replied(self: Any, value: Any, error: Any = None) -> bool:
        del self, value, error
        return False

    patch.setattr(CommittingActor, "_replied_when_kept", replied)


def sync_nothing(patch: pytest.MonkeyPatch) -> None:
    """The store leaves it to the operating system when something is durable."""
    modes: Mapping[str, str] = {"wal": "OFF", "delete": "OFF"}
    patch.setattr(sqlite, "SYNCHRONOUS", modes)


def begin_from_what_is_published(patch: pytest.MonkeyPatch) -> None:
    """An incarnation does not go on upon what its predecessor has handed in."""

    def begin(self: Any, incarnation: int) -> Any:
        while True:
            tip, published = self.tip(), self.latest()
            if tip.incarnation >= incarnation:
                return None
            session = self.opening(published.session)
            first: Any = Opening(incarnation, session, published.log, published.active_s, {})
            if self.claim(tip, first) is None:
                if self.waiting():
                    self.mark()
                return first

    patch.setattr(DurableLedger, "begin", begin)


def publish_what_is_given_up(patch: pytest.MonkeyPatch) -> None:
    """What the store has refused is told to nobody but those who read."""
    ledger: Any = DurableLedger
    right = ledger.give_up

    def give_up(self: Any) -> Any:
        waiting = self.waiting()
        if waiting:
            self.advance(waiting[-1])
            return waiting
        return right(self)

    patch.setattr(DurableLedger, "give_up", give_up)


def forget_the_keys_of_creates(patch: pytest.MonkeyPatch) -> None:
    """A create that is repeated to the next process makes a second session."""

    def recall(*args: Any, **more: Any) -> None:
        del args, more

    patch.setattr(recovering, "_recall", recall)


def take_over_nothing(patch: pytest.MonkeyPatch) -> None:
    """A writer does not go on with what the one before was at."""

    def resume(self: Any) -> None:
        self._in_flight = []

    patch.setattr(Journal, "resume", resume)


PLANTS = {
    "acknowledged at hand-in": Plant(acknowledge_what_is_handed_in, dying, DYING),
    "synchronous=OFF": Plant(sync_nothing, dying, DYING),
    "begun without the predecessor": Plant(begin_from_what_is_published, durable, DURABLE_PLAN),
    "given up and published": Plant(publish_what_is_given_up, durable, DURABLE_PLAN),
    "keys forgotten in recovery": Plant(forget_the_keys_of_creates, dying, DYING),
    "a writer that does not resume": Plant(take_over_nothing, durable, THROWING),
}


def failures_of(name: str, seeds: range) -> Iterator[str]:
    """Yield what breaks, of every schedule in which something does."""
    plant = PLANTS[name]
    for seed in seeds:
        try:
            with Simulation(seed, faults=plant.faults) as sim:
                plant.play(sim)
        except LawBroken as error:
            yield str(error).partition(": ")[2].partition(":")[0]
        except Exception as error:  # noqa: BLE001 -- whatever a bug leads to
            yield type(error).__name__


def main() -> None:
    """Print how often each is found."""
    logging.disable(logging.CRITICAL)
    for name, plant in PLANTS.items():
        with pytest.MonkeyPatch.context() as patch:
            plant.plant(patch)
            found = Counter(failures_of(name, range(SCHEDULES)))
        what = ", ".join(f"{each}: {times}" for each, times in found.most_common())
        sys.stdout.write(f"{name}\t{found.total()}\t{what}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
