"""Is a law kept in every order in which threads can take turns? Depth first, up to a bound."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from tests.interleaving.fibres import Decision, World
from tests.interleaving.ports import enter, ported
from tests.interleaving.watching import Watch, Watched

PREEMPTIONS_MAX = 2
"""How often a thread makes way that could have gone on. Nearly every race needs one or two."""

Scenario = Callable[[World], Callable[[], object]]
"""Spawns fibres; returns what asserts the law when all is over."""


class Broken(AssertionError):
    """A law was broken; says in which order, and at which try."""

    def __init__(self, tries: int, story: list[str], error: BaseException) -> None:
        said = "\n  ".join((f"in interleaving {tries}:", *story))
        super().__init__(f"{type(error).__name__}: {error}\n{said}")
        self.tries = tries
        self.story = story


def explore(
    scenario: Scenario,
    watched: Iterable[Watched],
    *,
    preemptions_max: int = PREEMPTIONS_MAX,
    after_calls: bool = False,
    time_flies: bool = False,
) -> int:
    """Run a scenario in every order there is, up to a number of pre-emptions.

    Args:
        scenario: makes everything anew, each time.
        watched: the code in which threads may make way; all else is one step.
        preemptions_max: how often a thread makes way that could have gone on.
        after_calls: whether also within lines, after each call.
        time_flies: whether a wait may time out while others could go on.

    Returns:
        How many orders there are.

    Raises:
        Broken: a law was broken, or somebody waits for ever.
    """
    watch = Watch(watched, after_calls=after_calls)
    world = World(watch, preemptions_max=preemptions_max, time_flies=time_flies)
    prefix: list[Decision] | None = []
    tries = 0
    with _traced(world), ported():
        enter(world)
        while prefix is not None:
            world.begin(prefix)
            try:
                law = scenario(world)
                world.run()
                law()
            except BaseException as error:
                raise Broken(tries + 1, world.story, error) from error
            if not world.has_missed:
                tries += 1
                prefix = _following(world)
    return tries


def _following(world: World) -> list[Decision] | None:
    """Return the next decisions to be tried; None when all have been."""
    decisions = world.decisions
    while decisions and decisions[-1].chosen + 1 == decisions[-1].among:
        decisions.pop()
    if not decisions:
        return None
    last = decisions.pop()
    return [*decisions, Decision(last.chosen + 1, last.among)]


@contextmanager
def _traced(world: World) -> Generator[None]:
    """Have the interpreter tell a world of each line; afterwards whoever it told before."""
    before = sys.gettrace()
    sys.settrace(world.trace)
    try:
        yield
    finally:
        sys.settrace(before)
        world.unwind()
