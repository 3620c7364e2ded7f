"""Many threads at once: the table holds together, and a kill reaches into a user's function."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    AlreadyRegistered,
    Keys,
    Registry,
    RegistryNotRunning,
)
from tests.registry.kit import actor, join
from tests.runtime.kit import Box, Do, Gate

THREADS = 8
ROUNDS = 200
WITHIN_S = 20.0


@pytest.fixture
def system() -> Iterator[ActorSystem]:
    with ActorSystem("under-test") as system:
        yield system


def at_once(act: Callable[[int], None]) -> None:
    """Call `act(number)` on as many threads, and wait for them; what one raises fails the test."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            barrier.wait(WITHIN_S)
            act(number)
        except BaseException as error:  # noqa: BLE001 -- the test fails with it
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)


class TestManyThreads:
    def test_give_a_unique_key_to_one_owner(self, system: ActorSystem) -> None:
        rooms: Registry[int, int] = Registry(system, "rooms")
        rooms.start()
        owners = [actor(system) for _ in range(THREADS)]
        won: list[tuple[int, int]] = []

        def take_all(number: int) -> None:
            for key in range(ROUNDS):
                try:
                    rooms.register(key, number, owner=owners[number])
                except AlreadyRegistered:
                    continue
                won.append((key, number))

        at_once(take_all)

        assert sorted(key for key, _ in won) == [*range(ROUNDS)]
        assert sorted((each.key, each.value) for each in rooms.entries()) == sorted(won)
        assert sum(len(rooms.keys(owner)) for owner in owners) == ROUNDS

    def test_leave_nothing_behind_whoever_dies_meanwhile(self, system: ActorSystem) -> None:
        topics: Registry[int, int] = Registry(system, "topics", keys=Keys.DUPLICATE)
        topics.start()
        owners = [actor(system) for _ in range(ROUNDS)]

        def come_and_go(number: int) -> None:
            for round_, owner in enumerate(owners):
                if (round_ + number) % THREADS == 0:
                    owner.kill()
                try:
                    topics.register(round_ % 7, number, owner=owner)
                except ActorDeadError:
                    continue
                if number % 2:
                    topics.unregister(round_ % 7, owner=owner)
                topics.lookup(round_ % 7)
                topics.entries()

        at_once(come_and_go)
        for owner in owners:
            owner.kill()

        assert topics.count() == 0
        assert topics.entries() == ()
        assert [topics.keys(owner) for owner in owners if topics.keys(owner)] == []

    def test_end_with_the_registry_or_are_refused(self, system: ActorSystem) -> None:
        rooms: Registry[Any, int] = Registry(system, "rooms")
        keeper = rooms.start()
        owners = [[actor(system) for _ in range(20)] for _ in range(THREADS)]
        refused: set[Any] = set()

        def register(number: int) -> None:
            for place, owner in enumerate(owners[number]):
                if (number, place) == (0, 10):
                    keeper.kill()
                try:
                    rooms.register((number, place), 0, owner=owner)
                except (RegistryNotRunning, ActorDeadError):
                    refused.add((number, place))

        at_once(register)

        for number, group in enumerate(owners):
            for place, owner in enumerate(group):
                if (number, place) not in refused:
                    assert owner.actor_stopped.wait(WITHIN_S)
                else:
                    assert rooms.whereis((number, place)) is None


class TestAKill:
    def test_interrupts_a_users_function_that_the_registry_calls(self, system: ActorSystem) -> None:
        rooms: Registry[str, int] = Registry(system, "rooms")
        rooms.start()
        ada, bob = actor(system), actor(system)
        join(ada, rooms, "lobby", 1)
        began, box = Gate(system), Box(system)

        def spin(_value: int) -> bool:
            began.open()
            while True:
                pass

        def look(_actor: Any) -> None:
            try:
                rooms.match("lobby", spin)
            finally:
                box.put("interrupted")

        bob.tell(Do(look))
        began.wait()
        bob.kill()

        assert box.take() == "interrupted"
        assert rooms.whereis("lobby") is ada
