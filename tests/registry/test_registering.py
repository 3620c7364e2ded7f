"""Who is written down under which key, and for how long. S84 to S91 of OTP's rules."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
import enum
from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    AlreadyRegistered,
    FencedError,
    InvalidSpec,
    Keys,
    KeysNotUnique,
    NoOwner,
    NotRegistered,
    Registry,
    RegistryEntry,
)
from callboard.supervision.testing import Simulation
from tests.both import World
from tests.registry.kit import actor, entries, join, ways_to_end
from tests.runtime.kit import Box, Do, Gate

End = Callable[[ActorRef[Any]], None]
each_end = pytest.mark.parametrize("end", ways_to_end.values(), ids=ways_to_end)


class TestUniqueKeys:
    def test_have_one_owner_each(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada = actor(system)

        join(ada, rooms, "lobby", 12)

        assert rooms.lookup("lobby") == (RegistryEntry("lobby", ada, 12),)
        assert rooms.whereis("lobby") is ada
        assert rooms.lookup("cellar") == ()
        assert rooms.whereis("cellar") is None

    def test_are_refused_to_a_second_actor(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)
        join(ada, rooms, "lobby", 1)

        with pytest.raises(AlreadyRegistered) as caught:
            join(bob, rooms, "lobby", 2)

        assert caught.value.holder is ada
        assert caught.value.key == "lobby"
        assert caught.value.code == "already_registered"
        assert rooms.keys(bob) == ()
        assert entries(rooms.lookup("lobby")) == [(ada, 1)]

    def test_are_refused_to_their_own_holder(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada = actor(system)
        join(ada, rooms, "lobby", 1)

        with pytest.raises(AlreadyRegistered) as caught:
            join(ada, rooms, "lobby", 2)

        assert caught.value.holder is ada
        assert entries(rooms.lookup("lobby")) == [(ada, 1)]

    def test_may_be_many_of_one_actor(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada = actor(system)

        join(ada, rooms, "a", 1)
        join(ada, rooms, "b", 2)

        assert rooms.keys(ada) == ("a", "b")
        assert rooms.values("b", ada) == (2,)
        assert rooms.count() == 2

    @each_end
    def test_are_free_when_their_owner_has_ended(
        self, world: World, rooms: Registry[Any, Any], end: End
    ) -> None:
        ada, bob = actor(world.system), actor(world.system)
        join(ada, rooms, "a", 1)
        join(ada, rooms, "b", 1)

        end(ada)
        world.settle()

        assert rooms.lookup("a") == ()
        assert rooms.count() == 0
        assert rooms.keys(ada) == ()
        join(bob, rooms, "a", 2)
        assert entries(rooms.lookup("a")) == [(bob, 2)]

    def test_can_be_taken_before_the_dead_owner_was_cleaned_away(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)
        join(ada, rooms, "lobby", 1)
        seen: list[object] = []

        def while_it_dies(_reason: object) -> None:
            seen.append(rooms.whereis("lobby"))
            rooms.register("lobby", 2, owner=bob)

        # This bond is paid first, so the registry's own has not been paid yet.
        with system.rare:
            assert ada.bonds is not None
            late = dict(ada.bonds)
            ada.bonds.clear()
        ada.when_dead("first", while_it_dies)
        with system.rare:
            ada.bonds.update(late)
        ada.kill()

        assert seen == [None]
        assert entries(rooms.lookup("lobby")) == [(bob, 2)]
        assert rooms.count() == 1


class TestDuplicateKeys:
    def test_have_any_number_of_entries(
        self, system: ActorSystem, topics: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)

        join(ada, topics, "news", 1)
        join(bob, topics, "news", 2)
        join(ada, topics, "news", 1)

        assert sorted(entries(topics.lookup("news")), key=str) == sorted(
            [(ada, 1), (ada, 1), (bob, 2)], key=str
        )
        assert topics.keys(ada) == ("news", "news")
        assert topics.values("news", ada) == (1, 1)
        assert topics.count() == 3
        assert len(topics.entries()) == 3

    @each_end
    def test_lose_all_entries_of_an_owner_that_ended(
        self, world: World, topics: Registry[Any, Any], end: End
    ) -> None:
        ada, bob = actor(world.system), actor(world.system)
        join(ada, topics, "news", 1)
        join(bob, topics, "news", 2)
        join(ada, topics, "news", 3)
        join(ada, topics, "weather", 4)

        end(ada)
        world.settle()

        assert entries(topics.lookup("news")) == [(bob, 2)]
        assert topics.lookup("weather") == ()
        assert topics.count() == 1

    def test_have_no_value_to_update_and_make_no_name(
        self, system: ActorSystem, topics: Registry[Any, Any]
    ) -> None:
        ada = actor(system)
        join(ada, topics, "news", 1)

        for use in (
            lambda: ada.ask(Do(lambda _: topics.update_value("news", int))),
            lambda: topics.via("news", 1),
            lambda: topics.whereis("news"),
        ):
            with pytest.raises(KeysNotUnique, match="not unique"):
                use()


class TestToUnregister:
    def test_frees_ones_own_key(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada, bob = actor(system), actor(system)
        join(ada, rooms, "lobby", 1)

        ada.ask(Do(lambda _: rooms.unregister("lobby")))

        assert rooms.lookup("lobby") == ()
        join(bob, rooms, "lobby", 2)
        assert rooms.whereis("lobby") is bob

    def test_leaves_the_key_of_somebody_else(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)
        join(ada, rooms, "lobby", 1)

        bob.ask(Do(lambda _: rooms.unregister("lobby")))
        bob.ask(Do(lambda _: rooms.unregister("cellar")))

        assert rooms.whereis("lobby") is ada

    def test_drops_all_ones_entries_under_a_duplicate_key(
        self, system: ActorSystem, topics: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)
        for who, value in ((ada, 1), (bob, 2), (ada, 3)):
            join(who, topics, "news", value)

        ada.ask(Do(lambda _: topics.unregister("news")))

        assert entries(topics.lookup("news")) == [(bob, 2)]
        assert topics.keys(ada) == ()

    def test_by_pattern_drops_those_that_fit(
        self, system: ActorSystem, topics: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)
        for who, value in ((ada, 1), (ada, 2), (ada, 1), (bob, 1)):
            join(who, topics, "news", value)

        ada.ask(Do(lambda _: topics.unregister_match("news", 1)))

        assert topics.values("news", ada) == (2,)
        assert topics.values("news", bob) == (1,)


class TestAValue:
    def test_is_changed_by_its_owner(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada = actor(system)
        join(ada, rooms, "lobby", 10)

        answer = ada.ask(Do(lambda _: rooms.update_value("lobby", lambda value: value + 5)))

        assert answer == (15, 10)
        assert entries(rooms.lookup("lobby")) == [(ada, 15)]
        assert rooms.keys(ada) == ("lobby",)

    def test_is_nobody_elses_to_change(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada, bob = actor(system), actor(system)
        join(ada, rooms, "lobby", 10)

        with pytest.raises(NotRegistered) as caught:
            bob.ask(Do(lambda _: rooms.update_value("lobby", lambda value: value + 5)))

        assert caught.value.key == "lobby"
        assert entries(rooms.lookup("lobby")) == [(ada, 10)]


class Colour(enum.StrEnum):
    RED = "red"


class TestKeys:
    @pytest.mark.parametrize(
        "different",
        [
            (1, 1.0, True, "1"),
            ("red", Colour.RED),
            ((1, "a"), (1.0, "a"), (True, "a")),
            (((1,),), ((1.0,),)),
            (None, 0, "", ()),
        ],
        ids=["numbers", "text and enum", "tuples", "nested", "empty"],
    )
    def test_are_the_same_only_with_the_same_type(
        self, system: ActorSystem, rooms: Registry[Any, Any], different: tuple[Any, ...]
    ) -> None:
        ada = actor(system)

        for number, key in enumerate(different):
            join(ada, rooms, key, number)

        assert [rooms.lookup(key)[0].value for key in different] == [*range(len(different))]
        assert [type(key) for key in rooms.keys(ada)] == [type(key) for key in different]

    def test_must_be_hashable(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada = actor(system)

        with pytest.raises(TypeError, match="unhashable"):
            join(ada, rooms, ["lobby"])

        assert rooms.count() == 0


class TestTheOwner:
    def test_is_the_actor_that_is_running(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada = actor(system, starts=lambda _: rooms.register("lobby", 1))

        assert rooms.whereis("lobby") is ada

    def test_can_be_named_from_outside(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        ada = actor(system)
        address = system.register("ada", ada)

        rooms.register("by ref", 1, owner=ada)
        rooms.register("by address", 2, owner=address)

        assert rooms.keys(ada) == rooms.keys(address) == ("by ref", "by address")
        rooms.unregister("by ref", owner=ada)
        assert rooms.keys(ada) == ("by address",)

    def test_must_be_somebody(self, rooms: Registry[Any, Any]) -> None:
        for use in (lambda: rooms.register("lobby", 1), rooms.keys):
            with pytest.raises(NoOwner, match="no actor is running here"):
                use()

    def test_must_be_alive(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        ada = actor(system)
        address = system.register("ada", ada)
        ada.kill()

        for owner in (ada, address):
            with pytest.raises(ActorDeadError):
                rooms.register("lobby", 1, owner=owner)

        assert rooms.count() == 0

    def test_that_dies_in_the_middle_leaves_nothing(
        self, system: ActorSystem, rooms: Registry[Any, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = actor(system)
        join(ada, rooms, "lobby", 1)

        def and_dies(owner: ActorRef[Any]) -> bool:
            owner.kill()
            return True

        monkeypatch.setattr(rooms._table, "knows", and_dies)

        with pytest.raises(ActorDeadError):
            rooms.register("cellar", 1, owner=ada)

        assert rooms.count() == 0

    def test_lives_in_the_same_system(self, rooms: Registry[Any, Any]) -> None:
        simulation = Simulation()
        with simulation, ActorSystem("other", runtime=simulation.runtime) as other:
            stranger = actor(other)

            with pytest.raises(InvalidSpec, match="owner"):
                rooms.register("lobby", 1, owner=stranger)

        assert rooms.count() == 0

    def test_that_was_killed_may_not_go_on(self, system: ActorSystem, box: Box) -> None:
        rooms: Registry[Any, Any] = Registry(system, "rooms")
        rooms.start()
        inside, outside = Gate(system), Gate(system)
        bob = actor(system)

        def go_on(_actor: Any) -> None:
            inside.open()
            try:
                outside.wait()
            except BaseException:  # noqa: BLE001 -- the kill itself, which it does not heed
                acts: list[Callable[[], None]] = [
                    lambda: rooms.register("lobby", 1),
                    lambda: rooms.register("lobby", 1, owner=bob),
                    lambda: rooms.put_meta("a", 1),
                ]
                for act in acts:
                    try:
                        act()
                    except FencedError as error:
                        box.put(error.code)

        ada = actor(system)
        ada.tell(Do(go_on))
        inside.wait()
        ada.kill()

        assert box.take_many(3) == ["fenced"] * 3
        assert rooms.count() == 0


class TestWhatCannotBe:
    def test_is_refused_when_it_is_made(self, system: ActorSystem) -> None:
        wrong: Any
        for wrong in (
            *({"name": ""}, {"keys": "unique"}),
            *({"listeners": "log"}, {"listeners": None}, {"listeners": [5]}),
            *({"meta": None}, {"meta": [1]}),
        ):
            with pytest.raises(InvalidSpec, match=next(iter(wrong))):
                Registry(system, **({"name": "rooms"} | wrong))

    def test_shows_in_no_other_system(self, rooms: Registry[Any, Any]) -> None:
        simulation = Simulation()
        with simulation, ActorSystem("other", runtime=simulation.runtime) as other:
            mine: Registry[Any, Any] = Registry(other, "rooms", keys=Keys.UNIQUE)
            mine.start()
            join(actor(other), mine, "lobby")

            assert rooms.count() == 0
            assert mine.count() == 1


def test_a_registry_needs_a_system() -> None:
    nowhere: Any = None

    with pytest.raises(InvalidSpec, match="system=None"):
        Registry(nowhere, "rooms")
