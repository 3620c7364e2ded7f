"""What was acknowledged is there after every death and power cut; what is not safe is found out."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from callboard.actors.storage.sqlite import JournalMode
from callboard.actors.testing import ByChance, MemoryDisk, SyncLies
from callboard.supervision.testing import FaultPlan
from tests.storage.dying import World, steps_of_a_life, tell
from tests.storage.raw import RawKeeper
from tests.storage.storing import EarlyKeeper, StoreKeeper

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"
DISKS = range(40)
MANY_DISKS = range(40, 200 if IS_SHORT else 1_040)
"""Those that are tried when they are asked for; each dies twice at least."""

CHECKPOINT_PAGES = 8
"""So few that each life has several checkpoints."""

with_log = partial(MemoryDisk, checkpoint_pages=CHECKPOINT_PAGES)
without_log = partial(MemoryDisk, has_wal=False)


def lying(*, has_wal: bool) -> MemoryDisk:
    """Return a disk on which no sync does anything."""
    faults = FaultPlan((SyncLies(rate=1.0, most=1_000_000),))
    return MemoryDisk(ByChance(faults, Random(0)), has_wal=has_wal)


def raw(synchronous: str) -> Callable[[MemoryDisk], RawKeeper]:
    return partial(RawKeeper, synchronous=synchronous)


def store(journal_mode: JournalMode) -> Callable[[MemoryDisk], StoreKeeper]:
    return partial(StoreKeeper, journal_mode=journal_mode)


def loosened(disk: MemoryDisk) -> StoreKeeper:
    """Return a store whose commits are not synced any more."""
    keeper = StoreKeeper(disk, journal_mode="wal")
    keeper.writer().execute("PRAGMA synchronous = OFF")
    return keeper


KEEPERS = {
    "the store, WAL": World(with_log, store("wal")),
    "the store, rollback journal": World(without_log, store("delete")),
    "raw SQL, WAL": World(with_log, raw("FULL")),
    "raw SQL, rollback journal": World(without_log, raw("EXTRA")),
}

UNSAFE = {
    "the store, synchronous=OFF": (World(MemoryDisk, loosened), 0.7),
    "the store, acknowledged before it is committed": (World(MemoryDisk, EarlyKeeper), 0.7),
    "the store, a disk that lies": (World(partial(lying, has_wal=True), store("wal")), 0.7),
    "WAL, synchronous=NORMAL": (World(MemoryDisk, raw("NORMAL")), 0.7),
    "WAL, synchronous=OFF": (World(MemoryDisk, raw("OFF")), 0.7),
    "WAL, a disk that lies": (World(partial(lying, has_wal=True), raw("FULL")), 0.7),
    # Only the last commit is lost, when its journal comes back: FULL does not sync that it is gone.
    "rollback journal, synchronous=FULL": (World(without_log, raw("FULL")), 0.2),
    "rollback journal, synchronous=OFF": (World(without_log, raw("OFF")), 0.7),
    "rollback journal, a disk that lies": (World(partial(lying, has_wal=False), raw("EXTRA")), 0.7),
}
"""What must be found out, and on what part of the disks at least."""


@pytest.mark.parametrize("name", KEEPERS)
def test_what_was_acknowledged_is_there_after_every_death(name: str) -> None:
    assert tell(KEEPERS[name], DISKS) == {"right": len(DISKS)}


@pytest.mark.stress
@pytest.mark.parametrize("name", KEEPERS)
def test_what_was_acknowledged_is_there_after_a_thousand_deaths(name: str) -> None:
    told = tell(KEEPERS[name], MANY_DISKS)

    print(f"\n{name}: {len(MANY_DISKS)} disks, {dict(told)}")  # noqa: T201 -- a figure
    # Every one of the changes that a life makes to the disk was once its last.
    assert IS_SHORT or steps_of_a_life(KEEPERS[name]) < len(MANY_DISKS)
    assert told == {"right": len(MANY_DISKS)}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_is_not_safe_is_found_out(name: str) -> None:
    world, part = UNSAFE[name]

    told = tell(world, DISKS)

    assert len(DISKS) - told["right"] >= part * len(DISKS), told
