"""Lives of a store on one disk: each ends by a death or a power cut, the next one recovers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from callboard.actors.storage.database import DatabaseError
from callboard.actors.testing import MemoryDisk
from callboard.supervision import CallboardError
from tests.storage.ledger import Keeper, Ledger

TRANSACTIONS = 6
"""Those of one life."""

LIVES = 3
"""Those of one disk. The second dies too: in its recovery, or later."""

STRIDE = 1_009
"""A prime: a few numbers die all over a life, and as many as it has steps at each of them."""

FAILURES = (DatabaseError, CallboardError)
"""What a keeper may raise."""


class World(NamedTuple):
    """What dies, and on what.

    Args:
        disk: makes a new one.
        keeper: opens a store on a disk.
    """

    disk: Callable[[], MemoryDisk]
    keeper: Callable[[MemoryDisk], Keeper]


def steps_of_a_life(world: World) -> int:
    """Return how many changes to the disk a life makes that nothing ends."""
    disk = world.disk()
    Ledger().write(world.keeper(disk), TRANSACTIONS)
    return disk.steps


def found_wrong(world: World, number: int, steps: int) -> str | None:
    """Let a store die at one of `steps`, then again; return what is wrong in any of its lives.

    Args:
        world: what dies.
        number: decides at which step, and what the power cuts leave.
        steps: how many a life has.
    """
    chance = Random(number)
    disk, ledger = world.disk(), Ledger()
    disk.dies_at(number * STRIDE % steps + 1)
    for _ in range(LIVES):
        try:
            keeper = world.keeper(disk)
            wrong = ledger.broken(keeper)
            if wrong is not None:
                return wrong
            ledger.write(keeper, TRANSACTIONS)
        except FAILURES as error:
            if not disk.is_sealed:
                return f"it failed by itself: {error}"
        disk = disk.power_cut(chance) if chance.random() < 0.9 else disk.process_death()
        disk.dies_at(1 + int(chance.random() * steps))
    return None


def tell(world: World, numbers: Iterable[int]) -> Counter[str]:
    """Return how many disks were right, and how many not: in short what was wrong."""
    steps = steps_of_a_life(world)
    return in_short(found_wrong(world, number, steps) for number in numbers)


def in_short(wrong: Iterable[str | None]) -> Counter[str]:
    """Return how often what was wrong; None is right."""
    return Counter("right" if each is None else each.partition(":")[0] for each in wrong)
