"""Every race, in every order that threads can take at two pre-emptions."""

from __future__ import annotations

import os

import pytest

from tests.interleaving import commits
from tests.interleaving.exploring import PREEMPTIONS_MAX
from tests.interleaving.scenes import RACES, Race

assert commits.__name__, "it adds its races to the others"

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"

MANY_ORDERS = 750
"""A race that has more takes a third of a second and more."""

races = pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
quick_races_first = pytest.mark.parametrize(
    "race",
    [
        pytest.param(race, id=name, marks=[pytest.mark.slow] if race.at_least > MANY_ORDERS else [])
        for name, race in RACES.items()
    ],
)
long_races = pytest.mark.parametrize(
    "race",
    [race for race in RACES.values() if race.is_long],
    ids=[name for name, race in RACES.items() if race.is_long],
)


def report(count: int) -> None:
    print(f"\n{count} orders")  # noqa: T201 -- the counts are the result


@quick_races_first
def test_the_law_holds_in_every_order(race: Race) -> None:
    count = race.explore(1 if race.is_long else PREEMPTIONS_MAX)

    report(count)
    assert count >= race.at_least


@pytest.mark.stress
@long_races
def test_the_law_holds_in_every_order_of_a_long_race(race: Race) -> None:
    count = race.explore()

    report(count)
    assert count > 5 * race.at_least


@pytest.mark.stress
@races
def test_the_law_holds_in_every_order_within_lines_too(race: Race) -> None:
    is_deep = not (IS_SHORT or race.is_long)
    count = race.explore_wider(PREEMPTIONS_MAX if is_deep else 1)

    report(count)
    assert count > (race.at_least if is_deep or race.is_long else 10)
