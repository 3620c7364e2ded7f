"""A registry's own actor: who goes with it, who does not, what is there after it. S93."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ChildSpec,
    Crashed,
    Exit,
    ExitReason,
    Killed,
    NameTaken,
    Normal,
    Registry,
    RegistryNotRunning,
    Shutdown,
    Strategy,
    Supervisor,
)
from tests.both import World
from tests.registry.kit import actor, entries, join, ways_to_end
from tests.runtime.kit import Box, Do, Puppet, Trapping

each_reason = pytest.mark.parametrize(
    ("reason", "seen"),
    [
        (Normal(), Shutdown()),
        (Shutdown(), Shutdown()),
        (Crashed("Boom"), Crashed("Boom")),
        (Killed(), Killed()),
    ],
    ids=["normal", "shutdown", "crashed", "killed"],
)


def end_with(ref: ActorRef[Any], reason: ExitReason) -> None:
    if reason == Killed():
        ref.kill()
    else:
        ref.exit(reason)


class TestWhenItEnds:
    @each_reason
    def test_its_owners_end_with_its_reason(
        self, world: World, reason: ExitReason, seen: ExitReason
    ) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        keeper = rooms.start()
        ada, bystander = actor(world.system), actor(world.system)
        join(ada, rooms, "lobby")

        end_with(keeper, reason)
        world.settle()

        assert ada.reason == seen
        assert bystander.is_alive()
        assert rooms.count() == 0

    @each_reason
    def test_owners_that_trap_exits_get_a_message_and_keep_their_entries(
        self, world: World, box: Box, reason: ExitReason, seen: ExitReason
    ) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        keeper = rooms.start()
        ada = actor(world.system, Trapping, hears=box.put)
        join(ada, rooms, "lobby", 1)
        join(ada, rooms, "cellar", 2)

        end_with(keeper, reason)
        world.settle()

        assert box.waiting == [Exit(keeper, seen)]
        assert ada.is_alive()
        assert entries(rooms.lookup("lobby")) == [(ada, 1)]

    def test_who_has_unregistered_lives_on(self, world: World) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        keeper = rooms.start()
        ada = actor(world.system)
        join(ada, rooms, "lobby")
        ada.ask(Do(lambda _: rooms.unregister("lobby")))

        keeper.kill()
        world.settle()

        assert ada.is_alive()

    def test_who_was_refused_lives_on(self, world: World) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        keeper = rooms.start()
        ada, bob = actor(world.system), actor(world.system)
        join(ada, rooms, "lobby")
        with pytest.raises(Exception, match="taken"):
            join(bob, rooms, "lobby")

        keeper.kill()
        world.settle()

        assert not ada.is_alive()
        assert bob.is_alive()

    def test_nobody_can_register_any_more(self, world: World) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        ada = actor(world.system)
        with pytest.raises(RegistryNotRunning):
            join(ada, rooms, "lobby")
        rooms.start().kill()
        world.settle()

        with pytest.raises(RegistryNotRunning) as caught:
            join(ada, rooms, "lobby")

        assert caught.value.is_retryable
        assert rooms.lookup("lobby") == ()


class TestAnOwner:
    @pytest.mark.parametrize("end", ways_to_end.values(), ids=ways_to_end)
    def test_that_ends_does_not_hurt_it(
        self, world: World, end: Callable[[ActorRef[Any]], None]
    ) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        keeper = rooms.start()
        ada, bob = actor(world.system), actor(world.system)
        join(ada, rooms, "lobby")
        join(bob, rooms, "cellar")

        end(ada)
        world.settle()

        assert keeper.is_alive()
        assert bob.is_alive()
        assert rooms.count() == 1

    def test_that_ends_while_it_gives_a_key_up_leaves_nothing(self, world: World) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        rooms.start()
        ada = actor(world.system)
        join(ada, rooms, "lobby", 1)

        def killing(_value: int) -> bool:
            ada.kill()
            return True

        rooms.unregister_match("lobby", killing, owner=ada)
        world.settle()

        assert rooms.count() == 0
        assert not rooms._table.knows(ada)

    def test_cannot_end_it_by_a_signal(self, world: World) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        keeper = rooms.start()
        ada = actor(world.system)

        keeper.exit_from(ada, Crashed("Boom"))
        keeper.tell("anything")
        world.settle()

        assert keeper.is_alive()


class TestUnderASupervisor:
    def grow(self, world: World, *children: ChildSpec) -> Registry[Any, Any]:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        world.system.spawn(
            Supervisor, [rooms.child_spec(), *children], strategy=Strategy.REST_FOR_ONE
        ).wait_started()
        return rooms

    def keeper(self, system: ActorSystem) -> ActorRef[Any]:
        address = system.lookup("rooms")
        assert address is not None
        assert address.ref is not None
        return address.ref

    def test_it_comes_back_and_is_linked_to_those_who_are_left(self, world: World) -> None:
        rooms = self.grow(world)
        ada, bob = actor(world.system, Trapping, hears=lambda _: None), actor(world.system)
        join(ada, rooms, "lobby", 1)
        join(bob, rooms, "cellar", 2)

        first = self.keeper(world.system)
        first.kill()
        world.settle()

        assert self.keeper(world.system) is not first
        assert not bob.is_alive()
        assert entries(rooms.entries()) == [(ada, 1)]
        join(ada, rooms, "attic", 3)
        ada.kill()
        world.settle()
        assert rooms.count() == 0

    def test_its_owner_under_the_same_supervisor_comes_back_after_it(self, world: World) -> None:
        rooms: Registry[Any, Any] = Registry(world.system, "rooms")
        lobby = ChildSpec(id="lobby", start=rooms.via("lobby", 1).as_start(Puppet))
        world.system.spawn(
            Supervisor, [rooms.child_spec(), lobby], strategy=Strategy.REST_FOR_ONE
        ).wait_started()
        first = rooms.whereis("lobby")

        self.keeper(world.system).kill()
        world.settle()

        second = rooms.whereis("lobby")
        assert second is not None
        assert second is not first
        assert rooms.count() == 1

    def test_it_is_found_by_its_name(self, world: World) -> None:
        rooms = self.grow(world)

        assert Registry.of(world.system, "rooms") is rooms
        for name in ("nothing", "ada"):
            world.system.spawn_named("ada", Puppet) if name == "ada" else None
            with pytest.raises(RegistryNotRunning):
                Registry.of(world.system, name)

    def test_it_runs_once(self, world: World) -> None:
        rooms = self.grow(world)

        with pytest.raises(NameTaken):
            rooms.start()
