"""What anybody may ask of a registry: by key, by pattern, all at once. S89, S90, S94."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
from typing import Any

import pytest

from callboard.supervision import (
    ANY,
    ActorSystem,
    Keys,
    Registered,
    Registry,
    RegistryEntry,
    Unregistered,
)
from tests.both import World
from tests.registry.kit import actor, entries, join
from tests.runtime.kit import Box, Do, Puppet, Small


class TestMatch:
    def test_gives_the_entries_whose_values_fit(
        self, system: ActorSystem, topics: Registry[Any, Any]
    ) -> None:
        ada = actor(system)
        for value in ((1, "a"), (2, "a"), (1, "b")):
            join(ada, topics, "news", value)

        assert entries(topics.match("news", (1, ANY))) == [(ada, (1, "a")), (ada, (1, "b"))]
        assert entries(topics.match("news", lambda value: value[0] > 1)) == [(ada, (2, "a"))]
        assert len(topics.match("news", ANY)) == 3
        assert topics.match("news", "nothing") == ()
        assert topics.match("weather", ANY) == ()

    def test_counts_them(self, system: ActorSystem, topics: Registry[Any, Any]) -> None:
        ada = actor(system)
        for value in (1, 2, 1.0):
            join(ada, topics, "news", value)

        assert topics.count_match("news", 1) == 1
        assert topics.count_match("news", int) == 2
        assert topics.count_match("news", ANY) == 3


class TestDispatch:
    def test_calls_once_with_all_entries(
        self, system: ActorSystem, topics: Registry[Any, Any], box: Box
    ) -> None:
        readers = [actor(system, hears=box.put) for _ in range(3)]
        for reader in readers:
            join(reader, topics, "news")

        def send(found: tuple[RegistryEntry[Any], ...]) -> None:
            for each in found:
                each.owner.tell("extra")

        topics.dispatch("news", send)

        assert box.take_many(3) == ["extra"] * 3

    def test_calls_nobody_for_nothing(self, topics: Registry[Any, Any]) -> None:
        topics.dispatch("news", lambda _: pytest.fail("called"))

    def test_works_with_unique_keys(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada = actor(system)
        join(ada, rooms, "lobby", 1)
        found: list[RegistryEntry[Any]] = []

        rooms.dispatch("lobby", found.extend)

        assert entries(found) == [(ada, 1)]


class TestMetadata:
    def test_is_apart_from_the_keys(self, system: ActorSystem) -> None:
        registry: Registry[str, None] = Registry(system, "rooms", meta={"colour": "red"})

        registry.put_meta("size", 3)
        registry.put_meta(1, "one")

        assert registry.meta("colour") == "red"
        assert registry.meta("size") == 3
        assert registry.meta(1.0) is None
        assert registry.meta("none", "default") == "default"
        assert registry.lookup("size") == ()
        registry.delete_meta("size")
        registry.delete_meta("size")
        assert registry.meta("size") is None


class TestListeners:
    @pytest.fixture
    def topics(self, system: ActorSystem, box: Box) -> Registry[Any, Any]:
        system.spawn_named("log", Puppet, hears=box.put).wait_started()
        registry: Registry[Any, Any] = Registry(
            system, "topics", keys=Keys.DUPLICATE, listeners=["log"]
        )
        registry.start()
        return registry

    def test_hear_who_registers_and_who_unregisters(
        self, system: ActorSystem, topics: Registry[Any, Any], box: Box
    ) -> None:
        ada = actor(system)

        join(ada, topics, "news", 7)
        ada.ask(Do(lambda _: topics.unregister("news")))

        assert box.take_many(2) == [
            Registered("topics", "news", ada, 7),
            Unregistered("topics", "news", ada),
        ]

    def test_hear_once_of_a_key_that_is_given_up(
        self, world: World, topics: Registry[Any, Any], box: Box
    ) -> None:
        ada = actor(world.system)
        for value in (1, 2):
            join(ada, topics, "news", value)
        box.take_many(2)

        ada.ask(Do(lambda _: topics.unregister_match("news", 1)))
        world.settle()
        assert box.waiting == []
        ada.ask(Do(lambda _: topics.unregister_match("news", 2)))

        assert box.take() == Unregistered("topics", "news", ada)

    def test_hear_also_of_a_key_that_was_never_taken(
        self, system: ActorSystem, topics: Registry[Any, Any], box: Box
    ) -> None:
        ada = actor(system)

        ada.ask(Do(lambda _: topics.unregister("weather")))

        assert box.take() == Unregistered("topics", "weather", ada)

    def test_hear_nothing_of_what_the_dead_give_up(
        self, world: World, topics: Registry[Any, Any], box: Box
    ) -> None:
        ada = actor(world.system)
        ada.kill()

        topics.unregister("weather", owner=ada)
        world.settle()

        assert box.waiting == []

    def test_hear_nothing_of_a_death(
        self, world: World, topics: Registry[Any, Any], box: Box
    ) -> None:
        ada = actor(world.system)
        join(ada, topics, "news", 7)

        ada.kill()
        world.settle()

        assert [type(each) for each in box.waiting] == [Registered]

    def test_that_are_gone_leave_dead_letters(
        self, world: World, topics: Registry[Any, Any]
    ) -> None:
        system = world.system
        log = system.lookup("log")
        assert log is not None
        assert log.ref is not None
        log.ref.kill()
        world.settle()

        join(actor(system), topics, "news", 7)

        (letter,) = system.dead_letters.latest
        assert isinstance(letter.message, Registered)
        assert letter.address == "log"

    def test_that_are_full_do_not_hurt_who_registers(self, world: World, box: Box) -> None:
        system = world.system
        log = system.spawn_named("slow", Small, hears=box.put).wait_started()
        log.suspend()
        world.settle()
        registry: Registry[Any, Any] = Registry(system, "rooms", listeners=("slow",))
        registry.start()
        ada = actor(system)

        for key in range(3):
            join(ada, registry, key)

        assert registry.count() == 3
        assert [each.why for each in system.dead_letters.latest] == ["mailbox_full"]
