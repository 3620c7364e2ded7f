"""In which ways schedules are explored, and that none of them lets anybody starve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from callboard.supervision.testing import Exploration, Lag, Pct, Portfolio, Ready, Simulation, Walk
from callboard.supervision.testing.chance import Seeded
from tests.simulation.test_storm import storm

WAYS: dict[str, Exploration] = {
    "walk": Walk(),
    "lag": Lag(),
    "pct": Pct(),
    "lag with many points": Lag(points=0.3),
}

NAMES = ("a", "b", "c", "d", "e")


def picks(explore: Exploration, seed: int, count: int) -> list[str]:
    """Return who is picked when five are ready all the time."""
    explorer = explore.begin(seed, Seeded(seed).stream)
    line = [Ready(name, "run", None) for name in NAMES]
    picked: list[str] = []
    for _ in range(count):
        taken = line.pop(explorer.pick(line, 0))
        picked.append(taken.name)
        line.append(taken)
    return picked


def longest_wait(picked: Sequence[str]) -> int:
    """Return for how many steps somebody was not picked."""
    longest = 0
    for name in NAMES:
        places = [-1, *(n for n, each in enumerate(picked) if each == name), len(picked)]
        waits = (after - before for before, after in pairwise(places))
        longest = max(longest, *waits)
    return longest


class TestAPortfolio:
    def test_is_what_a_simulation_explores_in(self) -> None:
        digests: list[str] = []
        for explore in (None, Portfolio()):
            with Simulation(3, explore=explore) as sim:
                storm(sim)
            digests.append(sim.trace.digest)

        assert digests[0] == digests[1]

    def test_takes_its_ways_in_turns(self) -> None:
        portfolio = Portfolio()

        kinds = [type(portfolio.of(seed)).__name__ for seed in range(5)]

        assert kinds == ["Walk", "Lag", "Pct", "Lag", "Walk"]
        assert portfolio.of(3) == Lag(points=0.3)


class TestNobodyStarves:
    @pytest.mark.parametrize("way", WAYS)
    def test_who_is_ready_runs_within_so_many_steps(self, way: str) -> None:
        # The longest of 100 schedules; a walk alone lets somebody wait for 50.
        bound = {"walk": 60, "lag": 150, "pct": Pct().head + 60, "lag with many points": 150}

        longest = max(longest_wait(picks(WAYS[way], seed, 1_500)) for seed in range(100))

        assert longest <= bound[way]

    def test_with_priorities_alone_somebody_would(self) -> None:
        endless = Pct(head=1_000_000, changes=0)

        assert longest_wait(picks(endless, 0, 1_500)) > 1_000


class TestLag:
    def test_holds_somebody_back_for_longer_than_a_walk_does(self) -> None:
        def median_longest(explore: Exploration) -> int:
            return sorted(longest_wait(picks(explore, seed, 200)) for seed in range(101))[50]

        assert median_longest(Lag()) > 1.5 * median_longest(Walk())

    def test_holds_nobody_back_who_is_alone(self) -> None:
        explorer = Lag(share=1.0).begin(0, Seeded(0).stream)

        assert {explorer.pick([Ready("a", "run", None)], 0) for _ in range(100)} == {0}

    def test_leaves_those_alone_who_are_not_slow(self) -> None:
        assert picks(Lag(share=0.0), 7, 100) == picks(Walk(), 7, 100)


class TestPct:
    def test_runs_one_again_and_again_until_the_priorities_change(self) -> None:
        for seed in range(20):
            picked = picks(Pct(changes=3), seed, 300)
            turns = sum(one != two for one, two in pairwise(picked))
            assert turns <= 3

    def test_lets_others_run_after_a_point(self) -> None:
        explorer = Pct(points=1.0, changes=0).begin(0, Seeded(0).stream)
        ready = [Ready(name, "run", None) for name in NAMES]
        first = ready[explorer.pick(ready, 0)].name

        assert explorer.preempts("put", first)

        assert ready[explorer.pick(ready, 0)].name != first


class TestEveryWay:
    @pytest.mark.parametrize("way", WAYS)
    def test_gives_the_same_run_for_the_same_seed(self, way: str) -> None:
        def digest(seed: int) -> str:
            with Simulation(seed, explore=WAYS[way]) as sim:
                storm(sim)
            return sim.trace.digest

        assert [digest(seed) for seed in range(10)] == [digest(seed) for seed in range(10)]

    @pytest.mark.parametrize("way", WAYS)
    def test_lets_faults_happen_as_often_as_the_test_says(self, way: str) -> None:
        explorer = WAYS[way].begin(1, Seeded(1).stream)

        struck = sum(explorer.happens("crash", "a", 0.2) for _ in range(1_000))

        assert 150 <= struck <= 250
