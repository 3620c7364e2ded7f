"""A store on a disk that fails: nothing acknowledged is lost, nothing refused is there."""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from callboard.actors.errors import StoreError
from callboard.actors.storage.sqlite import JournalMode
from callboard.actors.testing import (
    ByChance,
    DiskErrs,
    DiskIsFull,
    Loss,
    MemoryDisk,
    SyncFails,
)
from callboard.supervision.testing import FaultPlan
from tests.storage.dying import in_short
from tests.storage.ledger import Ledger
from tests.storage.storing import StoreKeeper

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"
DISKS = range(40)
MANY_DISKS = range(40, 200 if IS_SHORT else 1_040)
TRANSACTIONS = 12
JOURNALS: tuple[JournalMode, ...] = ("wal", "delete")

PLAN = FaultPlan(
    (
        DiskIsFull(rate=(0.0, 0.01, 0.1)),
        DiskErrs(on="*", rate=(0.0, 0.01, 0.1)),
        SyncFails(rate=(0.0, 0.05, 0.3)),
        SyncFails(rate=(0.0, 0.05, 0.3), is_kept=True),
    )
)


def found_wrong(number: int, journal_mode: JournalMode, seen: Counter[str]) -> str | None:
    """Write on a disk that fails; look when it works again, and after a power cut."""
    chance = Random(number)
    faults = ByChance(PLAN, chance)
    disk = MemoryDisk(faults, has_wal=journal_mode == "wal", checkpoint_pages=8)
    rules, faults.rules = faults.rules, []
    keeper, ledger = StoreKeeper(disk, journal_mode), Ledger()
    faults.rules = list(rules)
    for _ in range(TRANSACTIONS):
        transaction = ledger.next_number()
        try:
            keeper.write(transaction)
        except StoreError as error:
            if not error.is_outcome_known:
                break  # a journal would hand it in for ever
            ledger.refused.add(transaction)
        else:
            ledger.acknowledged.add(transaction)
    faults.end_faults()
    seen.update({each.label: each.struck for each in rules})
    seen.update(refused=len(ledger.refused), acknowledged=len(ledger.acknowledged))
    wrong = ledger.broken(keeper)
    if wrong is not None:
        return wrong
    return ledger.broken(StoreKeeper(disk.power_cut(chance), journal_mode))


def tell(numbers: range, journal_mode: JournalMode) -> tuple[Counter[str], Counter[str]]:
    """Return how many disks were right, and what was seen on them."""
    seen: Counter[str] = Counter()
    return in_short(found_wrong(each, journal_mode, seen) for each in numbers), seen


@pytest.mark.parametrize("journal_mode", JOURNALS)
def test_nothing_is_built_upon_what_a_sync_that_failed_has_left(journal_mode: JournalMode) -> None:
    faults = ByChance(FaultPlan((SyncFails(nth=1),)), Random(1))
    disk = MemoryDisk(faults, has_wal=journal_mode == "wal")
    rules, faults.rules = faults.rules, []
    keeper, ledger = StoreKeeper(disk, journal_mode), Ledger()
    ledger.write(keeper, 2)

    faults.rules = rules
    ledger.write(keeper, 2)  # the first of these fails, and is handed in again

    assert rules[0].struck
    assert ledger.broken(StoreKeeper(disk.power_cut(Random(1), Loss.WHOLE), journal_mode)) is None


@pytest.mark.slow
@pytest.mark.parametrize("journal_mode", JOURNALS)
def test_what_is_told_is_true_while_a_disk_fails(journal_mode: JournalMode) -> None:
    told, seen = tell(DISKS, journal_mode)

    assert told == {"right": len(DISKS)}
    assert min(seen.values()) > 10, seen


@pytest.mark.stress
@pytest.mark.parametrize("journal_mode", JOURNALS)
def test_what_is_told_is_true_on_a_thousand_disks_that_fail(journal_mode: JournalMode) -> None:
    told, seen = tell(MANY_DISKS, journal_mode)

    print(f"\n{journal_mode}: {dict(told)}, {dict(seen)}")  # noqa: T201 -- figures
    assert told == {"right": len(MANY_DISKS)}
