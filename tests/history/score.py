"""How good is the check? Which cheats it finds, and how long it takes.

    python -m tests.history.score

prints for each cheat in how many histories it showed, and in how many of these it was found; then
microseconds of the processor for a history of 20, 300 and 2,000 operations.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import NamedTuple

from callboard.actors import (
    AppendMessage,
    GetMessages,
    GetSession,
    Role,
    SessionPatch,
    UpdateSession,
)
from callboard.actors.testing.history import check
from callboard.actors.testing.operations import Operation
from callboard.supervision import Request
from tests.history.making import PLANTS, SESSION, history
from tests.history.searching import is_right

SIZES = (20, 300, 2_000)


class Score(NamedTuple):
    """What became of histories with one cheat.

    Args:
        planted: in how many there was a cheat.
        shown: in how many of these no order is right, as the judge says.
        found: in how many of those the check says so, too.
        false: in how many it says so where the judge does not.
    """

    planted: int
    shown: int
    found: int
    false: int


def score(plant: str, seeds: range) -> Score:
    """Plant one cheat in many histories."""
    planted = shown = found = false = 0
    for seed in seeds:
        operations, has_cheated = history(seed, plant=plant)
        if not has_cheated:
            continue
        planted += 1
        is_broken = check(SESSION, operations).told is not None
        if is_right(operations) is False:
            shown += 1
            found += is_broken
        else:
            false += is_broken
    return Score(planted, shown, found, false)


def usual(chance: random.Random) -> Request[object]:
    """Return what clients usually ask: texts of their own, and reads."""
    text, choice = f"text {chance.random()}", chance.random()
    if choice < 0.3:
        return AppendMessage(SESSION, Role.USER, text)
    if choice < 0.6:
        return AppendMessage(SESSION, Role.USER, text, text)
    if choice < 0.7:
        return UpdateSession(SESSION, patch=SessionPatch(metadata={"n": text}))
    return GetSession(SESSION) if choice < 0.9 else GetMessages(SESSION, limit=20)


def microseconds(size: int, histories: int) -> tuple[float, float]:
    """Return the median, and the most, that a check of a history of this size takes."""
    taken: list[float] = []
    for seed in range(histories):
        operations = made(seed, size)
        begun = time.process_time()
        finding = check(SESSION, operations)
        taken.append((time.process_time() - begun) * 1e6)
        assert finding.told is finding.unclear is None, finding
    return statistics.median(taken), max(taken)


def made(seed: int, size: int) -> list[Operation]:
    """Return a right history of so many operations, a few of which nobody knows the outcome of."""
    # A create, and two reads at the end.
    return history(seed, operations=size - 3, clients=4, usual=usual)[0]


def main() -> int:
    """Print it all; return how many histories were judged wrongly."""
    wrong = 0
    for plant in PLANTS:
        of = score(plant, range(300))
        wrong += of.shown - of.found + of.false
        print(f"{of.found:4} of {of.shown:4} found, of {of.planted:4} planted: {plant}")  # noqa: T201 -- a report
    for size, histories in zip(SIZES, (200, 40, 10), strict=True):
        middle, most = microseconds(size, histories)
        print(f"{size:5} operations: {middle:9.0f} us, at most {most:9.0f} us")  # noqa: T201 -- a report
    return wrong


if __name__ == "__main__":
    sys.exit(main())
