"""The check of histories against its judge, a search through every order: they agree."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest

from callboard.actors import CreateSession, DuplicateSession
from callboard.actors.testing.history import check
from callboard.actors.testing.operations import Operation
from tests.history.making import PLANTS, SESSION, history, mutated
from tests.history.score import made, score
from tests.history.searching import is_right

SEEDS = range(200)
IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"
MANY_SEEDS = range(200, 1_000 if IS_SHORT else 10_000)
"""Those that are tried when they are asked for."""

SHOWN_MIN = 10
"""In how many histories of each cheat it must show: what shows in none proves nothing."""

UNCLEAR_MAX = 0.02
"""The part of all histories of which the check may not be able to say anything."""


def histories(seeds: Iterable[int]) -> Iterator[tuple[int, list[Operation]]]:
    """Yield right histories, each also with one thing changed."""
    for seed in seeds:
        operations, _ = history(seed)
        yield seed, operations
        yield seed, mutated(seed, operations)


def is_certain(operations: list[Operation]) -> bool:
    """Say whether each creator was told that there is a session.

    Else there may have been one for a moment, which was taken back: then less is certain.
    """
    creates = [each for each in operations if isinstance(each.message, CreateSession)]
    return all(each.is_answered or each.is_refused_as(DuplicateSession) for each in creates)


def compare(seeds: range) -> None:
    """See that both say the same of all histories."""
    unclear = refused = 0
    for seed, operations in histories(seeds):
        finding, judged = check(SESSION, operations), is_right(operations)
        assert judged is not None, seed
        unclear += finding.unclear is not None
        refused += not judged
        if judged or finding.unclear is not None or not is_certain(operations):
            assert not judged or finding.told is None, (seed, finding)
        else:
            assert finding.told is not None, seed
    assert refused >= len(seeds) / 5
    assert unclear <= 2 * len(seeds) * UNCLEAR_MAX


@pytest.mark.slow
def test_they_agree_on_right_and_on_changed_histories() -> None:
    compare(SEEDS)


@pytest.mark.stress
@pytest.mark.timeout(1_800)
def test_they_agree_on_very_many() -> None:
    compare(MANY_SEEDS)


def test_a_right_history_is_right() -> None:
    for seed in SEEDS:
        operations, _ = history(seed)

        assert check(SESSION, operations).told is None, seed


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
def test_each_cheat_is_found_whenever_it_shows(plant: str) -> None:
    of = score(plant, range(100))
    if of.shown < SHOWN_MIN:
        of = score(plant, range(300))

    assert of.shown >= SHOWN_MIN
    assert of.found >= 0.95 * of.shown  # of the others it says that it is not clear
    assert of.false == 0


@pytest.mark.parametrize("size", [300, 2_000])
def test_a_long_history_is_no_harder_than_a_short_one(size: int) -> None:
    """The judge gives up on these."""
    for seed in range(3):
        finding = check(SESSION, made(seed, size))

        assert (finding.told, finding.unclear) == (None, None)


def test_nobody_who_commits_alone_is_suspected() -> None:
    """Less is certain of such a session: what is right is right all the more."""
    for seed in range(200):
        operations, _ = history(seed, operations=8)

        assert check(SESSION, operations, commits_alone=True).told is None, seed
