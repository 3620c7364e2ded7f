"""The explorer itself: it sees every order, and says which one broke a law."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import comb

import pytest

from tests.interleaving import ports
from tests.interleaving.exploring import Broken, explore
from tests.interleaving.fibres import World


class Counter:
    """Counts wrongly when two count at once."""

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        value = self.value
        self.value = value + 1


class Steps:
    """Takes three steps, each a place where another may come in."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def go(self, who: str) -> None:
        self.taken.append(who)
        self.taken.append(who)
        self.taken.append(who)


def orders_of(preemptions_max: int) -> tuple[int, set[tuple[str, ...]]]:
    seen: set[tuple[str, ...]] = set()

    def scenario(world: World) -> Callable[[], None]:
        steps = Steps()
        world.spawn("a", lambda: steps.go("a"))
        world.spawn("b", lambda: steps.go("b"))
        return lambda: seen.add(tuple(steps.taken))

    return explore(scenario, [Steps.go], preemptions_max=preemptions_max), seen


def switches_of(order: tuple[str, ...]) -> int:
    """How often somebody made way who could have gone on: at the last step of one nobody does."""
    return sum(
        here != there and here in order[number + 1 :]
        for number, (here, there) in enumerate(pairwise(order))
    )


def test_without_a_bound_that_matters_it_sees_every_order() -> None:
    _, seen = orders_of(preemptions_max=6)

    assert len(seen) == comb(6, 3)


@pytest.mark.parametrize("bound", range(5))
def test_it_sees_every_order_within_the_bound_and_no_other(bound: int) -> None:
    _, everything = orders_of(preemptions_max=6)
    count, seen = orders_of(preemptions_max=bound)

    assert seen == {order for order in everything if switches_of(order) <= bound}
    assert count >= len(seen)


def two_who_count(world: World) -> Callable[[], None]:
    counter = Counter()
    world.spawn("ada", counter.add)
    world.spawn("ben", counter.add)

    def law() -> None:
        assert counter.value == 2

    return law


def test_it_finds_an_update_that_is_lost_and_tells_how() -> None:
    with pytest.raises(Broken) as broken:
        explore(two_who_count, [Counter.add])

    assert "ada makes way for ben before Counter.add" in str(broken.value)


def test_one_after_the_other_loses_no_update() -> None:
    assert explore(two_who_count, [Counter.add], preemptions_max=0) == 2


def test_it_finds_a_deadlock() -> None:
    def scenario(world: World) -> Callable[[], object]:
        one, other = ports.Lock(), ports.Lock()

        def take(first: ports.Lock, second: ports.Lock) -> None:
            first.acquire()
            second.acquire()
            first.release()
            second.release()

        world.spawn("ada", lambda: take(one, other))
        world.spawn("ben", lambda: take(other, one))
        return list

    with pytest.raises(Broken, match=r"\[ada, ben\] wait for ever"):
        explore(scenario, [test_it_finds_a_deadlock])


def test_a_failure_of_a_thread_is_a_failure() -> None:
    def scenario(world: World) -> Callable[[], object]:
        world.spawn("ada", dict[str, str]().popitem)
        return list

    with pytest.raises(Broken, match="KeyError"):
        explore(scenario, [Counter.add])


def test_a_wait_may_time_out_first_only_if_time_flies() -> None:
    def scenario(world: World) -> Callable[[], None]:
        queue = ports.SimpleQueue()
        world.spawn("ada", lambda: got.append(queue.get(timeout=1.0)))
        world.spawn("ben", lambda: queue.put("there"))
        return lambda: None

    got: list[str] = []
    explore(scenario, [ports.SimpleQueue.put])

    assert set(got) == {"there"}
    with pytest.raises(Broken, match="Empty"):
        explore(scenario, [ports.SimpleQueue.put], time_flies=True)
