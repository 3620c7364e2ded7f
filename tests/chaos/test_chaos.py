"""Every part is struck while clients work: nothing acknowledged is lost, and nobody hangs.

In a simulation a run is one seed: it deals every kind of strike once, checks the laws after
each, and at times ends all sessions and counts what is left. On threads a run deals them
many at a time, for some seconds. When a run fails it says how to see it again.
That a broken law is found is always shown; `pytest -m slow` makes a few short runs, and
`pytest -m chaos` hundreds, and minutes on threads.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from typing import Any

import pytest

from tests.chaos.play import SESSION_KINDS
from tests.chaos.run import CLIENTS_ON_THREADS, STRIKES_A_WAVE, Broken, Run, play, play_for
from tests.chaos.strikes import KINDS, SPARED
from tests.chaos.worlds import SimulatedWorld, ThreadedWorld
from tests.laws import lines_of

SEEDS = range(2)
"""Runs in a simulation that are made with `-m slow`; each deals the whole deck."""

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"

MANY_SEEDS = range(2, 12 if IS_SHORT else 300)
"""Those that are made when they are asked for."""

TELLING_SEEDS = range(8)
"""As many as it takes to see whatever can happen."""

SECONDS = 1.0
"""How long a run on threads goes on striking; starting, coming to rest and ending come on top."""

MANY_SECONDS = 10.0 if IS_SHORT else 120.0

ALWAYS = {
    *(f"a session that is {each}" for each in SESSION_KINDS),
    "SessionCrashed",
    "SessionQuarantined",
    "the handler's own Boom",
    "the handler's own SystemExit",
    "a start that failed",
    "a cleanup that raised",
    "a create that failed",
    "a create that was repeated",
    "a create that was answered again",
    "an append that was repeated",
    "an update that came too late",
    "a prompt that was answered",
    "a blow at a step: step",
    "a blow at a step: errand",
    "a blow at a step: session",
    "an undertaker was killed",
    "a connection was struck",
    "a session that came back",
    "a session that was revived",
    "a session that is awake",
    "a session that is asleep",
    "a session that was terminated",
    "memory that is over",
    "memory that is within",
}
"""What the runs must have seen, all of them together: chaos that strikes nothing proves nothing."""


def seeds() -> list[Any]:
    """Return which runs are made: `CALLBOARD_SEED=17` asks for that one alone."""
    asked_for = os.environ.get("CALLBOARD_SEED")
    if asked_for is not None:
        return [int(asked_for)]
    return [
        *(pytest.param(each, marks=pytest.mark.slow) for each in SEEDS),
        *(pytest.param(each, marks=pytest.mark.chaos) for each in MANY_SEEDS),
    ]


@cache
def played(seed: int) -> Run:
    """Return a run that was played; a failing one is played again by whoever asks again."""
    world = SimulatedWorld(seed)
    run = Run(world, seed)
    try:
        with world.simulation:
            play(run)
    except BaseException as error:
        error.add_note(
            f"replay: CALLBOARD_SEED={seed} python -m pytest"
            " tests/chaos/test_chaos.py::TestInASimulation::test_every_law_is_kept"
        )
        raise
    return run


class TestInASimulation:
    @pytest.mark.parametrize("seed", seeds())
    def test_every_law_is_kept(self, seed: int) -> None:
        run = played(seed)

        assert set(KINDS) <= set(run.seen)
        assert SPARED not in run.seen
        assert run.notes.told.read > 0

    @pytest.mark.chaos
    @pytest.mark.timeout(300)
    def test_every_line_is_struck_and_every_way_back_is_seen(self) -> None:
        seen = sum((played(seed).seen for seed in TELLING_SEEDS), Counter[str]())

        assert ALWAYS - set(seen) == set()
        assert any("fenced_commits" in played(seed).system.counts for seed in TELLING_SEEDS)
        assert played(0).lines - {each.removesuffix(" was struck") for each in seen} == set()

    @pytest.mark.slow
    def test_a_run_replays_from_its_seed(self) -> None:
        world = SimulatedWorld(0)
        with world.simulation:
            play(Run(world, 0))
        first = played(0).world
        assert isinstance(first, SimulatedWorld)

        assert world.simulation.trace.digest == first.simulation.trace.digest

    def test_a_message_that_is_lost_fails_it(self) -> None:
        world = SimulatedWorld(0)

        with world.simulation, pytest.raises(Broken, match="lost 'nobody 1'"):
            play(Run(world, 0, sabotage="message"))

    def test_a_read_of_what_was_fails_it(self) -> None:
        world = SimulatedWorld(0)

        with world.simulation, pytest.raises(Broken, match="the saboteur's GetSession"):
            play(Run(world, 0, sabotage="read"))


class TestOnThreads:
    @pytest.mark.slow
    def test_every_law_is_kept(self) -> None:
        run = Run(ThreadedWorld(), seed=1, clients=CLIENTS_ON_THREADS, pause_s=0.2)

        play_for(run, SECONDS)

        assert run.crashes >= STRIKES_A_WAVE

    @pytest.mark.chaos
    @pytest.mark.timeout(900)
    def test_every_law_is_kept_for_minutes(self) -> None:
        run = Run(ThreadedWorld(), seed=2, clients=CLIENTS_ON_THREADS, pause_s=0.2)

        play_for(run, MANY_SECONDS)

        assert run.crashes >= STRIKES_A_WAVE  # how many there are time for, the machine decides


class TestTheDeck:
    def test_has_a_card_for_every_line_of_the_tree(self) -> None:
        world = SimulatedWorld(0)
        with world.simulation, Run(world, 0).sessions as sessions:
            lines = lines_of(sessions)
            cards = [each for each in KINDS if each.startswith("line ")]

            assert len(lines) <= len(cards)
            assert {"sessions", "connections", "services/events", "front/heart"} <= set(lines)
