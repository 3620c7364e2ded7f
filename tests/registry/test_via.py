"""A key as a name: actors are reached and started under it. S92 of OTP's rules."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
from functools import partial
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    AlreadyRegistered,
    ChildKind,
    ChildSpec,
    ChildStartFailed,
    Crashed,
    DynamicSupervisor,
    PinnedActor,
    Registry,
    RegistryNotRunning,
    RestartType,
    StartChild,
    StartFailed,
    Supervisor,
    handles,
)
from tests.both import World
from tests.registry.kit import actor, entries, join
from tests.runtime.kit import Box, Do, Puppet, Trapping, boom, give, put


class TestAName:
    def test_reaches_whoever_has_the_key(
        self, system: ActorSystem, rooms: Registry[Any, Any], box: Box
    ) -> None:
        lobby = rooms.via("lobby", None)
        join(actor(system, hears=box.put), rooms, "lobby")

        lobby.tell("hello")

        assert box.take() == "hello"
        assert lobby.ask(Do(give(42))) == 42
        assert lobby.ask(Do(give(42)), block=False).get() == 42
        assert lobby.is_alive()

    def test_that_nobody_has_reaches_nobody(self, rooms: Registry[Any, Any]) -> None:
        lobby = rooms.via("lobby", None)

        assert lobby.ref is None
        assert not lobby.is_alive()
        for use in (lambda: lobby.tell("hello"), lambda: lobby.ask(Do(give(1)))):
            with pytest.raises(ActorDeadError, match="nobody is at rooms/lobby"):
                use()

    def test_is_looked_up_at_every_call(self, world: World, rooms: Registry[Any, Any]) -> None:
        lobby = rooms.via("lobby", None)
        for number in (1, 2):
            ref = actor(world.system, starts=lambda _: rooms.register("lobby", None))
            assert lobby.ref is ref
            assert lobby.ask(Do(lambda one: one.actor_ref)) is ref, number
            ref.kill()
            world.settle()

    def test_can_be_awaited(self, system: ActorSystem, rooms: Registry[Any, Any]) -> None:
        lobby = rooms.via("lobby", None)
        join(actor(system), rooms, "lobby")

        async def ask() -> int:
            return await lobby.ask_async(Do(give(42)))

        class Asking(Puppet):
            @handles(str)
            async def on_text(self, _message: str) -> int:
                return await ask()

        assert actor(system, Asking).ask("now") == 42


class TestToStartUnderAName:
    def test_registers_with_the_value(self, rooms: Registry[Any, Any]) -> None:
        ref = rooms.via("lobby", "big").spawn(Puppet).wait_started()

        assert entries(rooms.lookup("lobby")) == [(ref, "big")]

    def test_comes_before_the_actors_own_code(self, rooms: Registry[Any, Any], box: Box) -> None:
        class Early(Puppet):
            def __init__(self) -> None:
                super().__init__()
                box.put(rooms.whereis("lobby"))

        ref = rooms.via("lobby", None).spawn(Early).wait_started()

        assert box.take() is ref

    def test_is_refused_while_somebody_has_it(self, rooms: Registry[Any, Any]) -> None:
        lobby = rooms.via("lobby", None)
        first = lobby.spawn(Puppet).wait_started()

        with pytest.raises(AlreadyRegistered) as caught:
            lobby.spawn(Puppet)

        assert caught.value.holder is first

    def test_fails_the_start_of_whoever_comes_second(
        self, system: ActorSystem, rooms: Registry[Any, Any], box: Box
    ) -> None:
        lobby = rooms.via("lobby", None)
        first = lobby.spawn(Puppet).wait_started()

        second = system.spawn(lobby.as_start(Puppet), starts=put(box, "started"))

        with pytest.raises(StartFailed, match="AlreadyRegistered"):
            second.wait_started()
        assert lobby.ref is first
        assert box.waiting == []

    def test_fails_without_the_registry(self, system: ActorSystem) -> None:
        rooms: Registry[str, None] = Registry(system, "rooms")

        ref = rooms.via("lobby").spawn(Puppet)

        with pytest.raises(StartFailed, match=RegistryNotRunning.__name__):
            ref.wait_started()

    def test_frees_the_name_when_the_start_fails(
        self, world: World, rooms: Registry[Any, Any]
    ) -> None:
        lobby = rooms.via("lobby", None)

        with pytest.raises(StartFailed):
            lobby.spawn(Puppet, starts=boom).wait_started()
        world.settle()

        assert lobby.ref is None
        lobby.spawn(Puppet).wait_started()

    def test_keeps_what_the_class_of_a_partial_declares(self, rooms: Registry[Any, Any]) -> None:
        class Alone(Trapping, PinnedActor):
            pass

        ref = rooms.via("lobby", None).spawn(partial(Alone)).wait_started()

        assert ref.ask(Do(lambda one: one.is_pinned))

    def test_keeps_what_the_class_declares(self, rooms: Registry[Any, Any]) -> None:
        class Alone(Trapping, PinnedActor):
            mailbox_max = 7

        lobby = rooms.via("lobby", None)

        ref = lobby.spawn(Alone).wait_started()

        assert ref.mailbox_max == 7
        assert ref.ask(Do(lambda one: (one.is_pinned, one.trap_exit))) == (True, True)
        assert ChildSpec(id="a", start=lobby.as_start(Supervisor)).kind is ChildKind.SUPERVISOR
        inner = partial(Supervisor, ())
        assert ChildSpec(id="a", start=lobby.as_start(inner)).kind is ChildKind.SUPERVISOR
        assert lobby.as_start(Puppet).__name__ == "Puppet"


class TestUnderASupervisor:
    def test_the_name_is_taken_by_every_incarnation(
        self, world: World, rooms: Registry[Any, Any]
    ) -> None:
        lobby = rooms.via("lobby", 12)
        spec = ChildSpec(id="lobby", start=lobby.as_start(Puppet))
        world.system.spawn(Supervisor, [spec]).wait_started()
        first = lobby.ref
        assert first is not None

        first.kill()
        world.settle()

        second = lobby.ref
        assert second is not None
        assert second is not first
        assert entries(rooms.lookup("lobby")) == [(second, 12)]

    def test_a_second_child_of_the_name_does_not_start(
        self, system: ActorSystem, rooms: Registry[Any, Any]
    ) -> None:
        lobby = rooms.via("lobby", None)
        dynamic = system.spawn(DynamicSupervisor).wait_started()
        spec = ChildSpec(id="lobby", start=lobby.as_start(Puppet), restart=RestartType.TEMPORARY)
        first = dynamic.ask(StartChild(spec))

        with pytest.raises(ChildStartFailed) as caught:
            dynamic.ask(StartChild(spec))

        assert isinstance(caught.value.reason, Crashed)
        assert caught.value.reason.error.endswith("AlreadyRegistered")
        assert lobby.ref is first
