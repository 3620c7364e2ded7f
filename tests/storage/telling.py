# ruff: noqa: T201 -- a program talks by printing
"""A program that tells what power cuts leave, in words: the same in every process."""

from __future__ import annotations

from random import Random

from callboard.actors.testing import MemoryDisk
from tests.storage.dying import FAILURES
from tests.storage.ledger import Ledger
from tests.storage.raw import RawKeeper

if __name__ == "__main__":
    for number in range(1, 90, 7):
        disk = MemoryDisk(checkpoint_pages=8)
        disk.dies_at(number)
        try:
            Ledger().write(RawKeeper(disk, "NORMAL"), 6)
        except FAILURES as error:
            print(number, disk.steps, type(error).__name__)
        left = disk.power_cut(Random(number))
        print({name: len(content) for name, content in left.files.items()})
        print(RawKeeper(left, "FULL").found())
