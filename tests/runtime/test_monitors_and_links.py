"""Who hears of a death: monitors one way, links both ways."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownMemberType=false
from itertools import pairwise
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    Crashed,
    Down,
    Exit,
    InvalidSpec,
    Killed,
    NoActor,
    Normal,
    Shutdown,
)
from tests.runtime.kit import (
    AsyncPuppet,
    Await,
    Box,
    Do,
    Gate,
    Puppet,
    Trapping,
    boom,
    crash,
    idle,
    reason_of,
)


def monitor(watcher: ActorRef[Any], target: object) -> int:
    number: int = watcher.ask(Do(lambda actor: actor.monitor(target)))
    return number


def link(actor: ActorRef[Any], other: object) -> None:
    actor.ask(Do(lambda actor: actor.link(other)))


class TestAMonitor:
    def test_gives_one_down_with_the_reason(self, system: ActorSystem, box: Box) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        number = monitor(watcher, ref)

        reason = crash(ref)

        assert box.take() == Down(number, ref, reason)
        idle(watcher)
        assert box.waiting == []

    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            (lambda ref: ref.stop(), Normal()),
            (lambda ref: ref.exit(), Shutdown()),
            (lambda ref: ref.exit(Shutdown("detail")), Shutdown("detail")),
            (lambda ref: ref.kill(), Killed()),
        ],
        ids=["stop", "exit", "exit with a detail", "kill"],
    )
    def test_tells_how_it_ended(
        self, system: ActorSystem, box: Box, end: Any, reason: object
    ) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        monitor(watcher, ref)

        end(ref)

        assert box.take().reason == reason

    def test_of_a_dead_actor_gives_its_down_at_once(self, system: ActorSystem, box: Box) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        ref.stop()

        number = monitor(watcher, ref)

        assert box.take() == Down(number, ref, NoActor())

    def test_of_a_name_nobody_holds_gives_its_down_at_once(
        self, system: ActorSystem, box: Box
    ) -> None:
        watcher = system.spawn(Puppet, hears=box.put)

        number = monitor(watcher, "nobody")

        assert box.take() == Down(number, "nobody", NoActor())

    def test_by_name_carries_the_name(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn_named("ada", Puppet)
        watcher = system.spawn(Puppet, hears=box.put)
        by_name = monitor(watcher, "ada")
        by_address = monitor(watcher, system.lookup("ada"))

        ref.kill()

        assert sorted(box.take_many(2), key=lambda down: down.monitor) == [
            Down(by_name, "ada", Killed()),
            Down(by_address, "ada", Killed()),
        ]

    def test_twice_gives_two_downs(self, system: ActorSystem, box: Box) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        numbers = [monitor(watcher, ref), monitor(watcher, ref)]

        ref.kill()

        assert sorted(down.monitor for down in box.take_many(2)) == numbers

    def test_arrives_after_what_the_dead_actor_had_sent(
        self, system: ActorSystem, box: Box
    ) -> None:
        watcher = system.spawn(Puppet, hears=box.put)
        ref = system.spawn(Puppet)
        monitor(watcher, ref)

        def speak(actor: Any) -> None:
            watcher.tell("last words")
            actor.stop()

        ref.tell(Do(speak))

        assert box.take() == "last words"
        assert isinstance(box.take(), Down)

    def test_arrives_after_the_cleanup(self, system: ActorSystem, box: Box) -> None:
        watcher = system.spawn(Puppet, hears=box.put)
        ref = system.spawn(Puppet, ends=lambda _: box.put("cleaned")).wait_started()
        monitor(watcher, ref)

        ref.exit()

        assert box.take() == "cleaned"
        assert isinstance(box.take(), Down)

    def test_that_was_taken_back_gives_no_down(self, system: ActorSystem, box: Box) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        number = monitor(watcher, ref)

        was_pending = watcher.ask(Do(lambda actor: actor.demonitor(number)))
        ref.kill()
        idle(watcher)

        assert was_pending is True
        assert box.waiting == []

    def test_can_be_taken_back_once(self, system: ActorSystem) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet)
        number = monitor(watcher, ref)

        answers = [watcher.ask(Do(lambda actor: actor.demonitor(number))) for _ in range(2)]

        assert answers == [True, False]

    def test_that_was_taken_back_too_late_gives_its_down_unless_flushed(
        self, system: ActorSystem, box: Box
    ) -> None:
        """Source: S99 of OTP's rules."""
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        kept, flushed = monitor(watcher, ref), monitor(watcher, ref)

        def look_away(actor: Any) -> list[bool]:
            ref.kill()  # both notices are in the mailbox now, behind this message
            return [actor.demonitor(kept), actor.demonitor(flushed, flush=True)]

        answers = watcher.ask(Do(look_away))
        idle(watcher)

        assert answers == [False, False]
        assert box.waiting == [Down(kept, ref, Killed())]

    def test_that_was_flushed_in_time_says_so(self, system: ActorSystem, box: Box) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet, hears=box.put)
        number = monitor(watcher, ref)

        answers = [
            watcher.ask(Do(lambda actor: actor.demonitor(number, flush=True))) for _ in range(2)
        ]
        ref.kill()
        idle(watcher)

        assert answers == [True, False]
        assert box.waiting == []

    def test_of_many_watchers_tells_each_of_them(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)
        watchers = [system.spawn(Puppet, hears=box.put) for _ in range(20)]
        for watcher in watchers:
            monitor(watcher, ref)

        ref.kill()

        assert len(box.take_many(20)) == 20

    def test_does_not_tie_the_watchers_end_to_the_target(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet)
        monitor(watcher, ref)

        crash(watcher)

        assert ref.ask(Do(lambda _: "alive")) == "alive"
        assert box.waiting == []

    def test_is_forgotten_when_the_watcher_ends(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        for _ in range(10):
            watcher = system.spawn(Puppet)
            monitor(watcher, ref)
            watcher.stop()

        assert not ref.bonds

    def test_is_forgotten_by_the_watcher_when_it_has_given_its_down(
        self, system: ActorSystem, box: Box
    ) -> None:
        watcher = system.spawn(Puppet, hears=box.put)
        for _ in range(10):
            ref = system.spawn(Puppet)
            monitor(watcher, ref)
            ref.kill()
        box.take_many(10)

        assert not watcher.ask(Do(lambda actor: actor._monitored))

    def test_without_a_handler_is_no_crash(self, system: ActorSystem) -> None:
        ref, watcher = system.spawn(Puppet), system.spawn(Puppet)
        monitor(watcher, ref)

        ref.kill()
        idle(watcher)

        assert watcher.is_alive()
        assert system.dead_letters.count == 0

    def test_is_not_held_up_by_a_full_mailbox(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        class Tiny(Puppet):
            mailbox_max = 1

        ref, watcher = system.spawn(Puppet), system.spawn(Tiny, hears=box.put)
        monitor(watcher, ref)
        watcher.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        assert box.take() == "in hand"
        watcher.tell("fills it")

        ref.kill()
        gate.open()

        assert box.take() == "fills it"
        assert isinstance(box.take(), Down)


class TestALink:
    def test_takes_the_other_along_when_one_crashes(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        link(one, two)

        reason = crash(one)

        assert reason_of(two) == reason

    def test_works_in_both_directions(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        link(one, two)

        reason = crash(two)

        assert reason_of(one) == reason

    def test_carries_killed_on(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        link(one, two)

        one.kill()

        assert reason_of(two) == Killed()

    def test_carries_shutdown_on(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        link(one, two)

        one.exit()

        assert reason_of(two) == Shutdown()

    def test_lets_a_normal_end_pass(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        link(one, two)

        one.stop()

        assert two.ask(Do(lambda _: "alive")) == "alive"

    def test_travels_along_a_chain(self, system: ActorSystem) -> None:
        refs = [system.spawn(Puppet) for _ in range(10)]
        for one, two in pairwise(refs):
            link(one, two)

        crash(refs[0])

        assert all(isinstance(reason_of(each), Crashed) for each in refs)

    def test_runs_terminate_of_whom_it_takes_along(self, system: ActorSystem, box: Box) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet, ends=box.put).wait_started()
        link(one, two)

        reason = crash(one)

        assert box.take() == reason

    def test_twice_is_a_link_once(self, system: ActorSystem, box: Box) -> None:
        one, two = system.spawn(Puppet), system.spawn(Trapping, hears=box.put)
        link(two, one)
        link(two, one)

        one.exit()

        assert box.take() == Exit(one, Shutdown())
        idle(two)
        assert box.waiting == []

    def test_can_be_undone_from_either_side(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        link(one, two)

        two.ask(Do(lambda actor: actor.unlink(one)))
        crash(one)

        assert two.ask(Do(lambda _: "alive")) == "alive"

    def test_that_is_not_there_can_be_undone_harmlessly(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)

        one.ask(Do(lambda actor: actor.unlink(two)))

        assert one.is_alive()

    def test_to_oneself_does_nothing(self, system: ActorSystem) -> None:
        one = system.spawn(Puppet)

        link(one, one)
        one.stop()

        assert one.reason == Normal()

    def test_to_a_dead_actor_raises(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)
        two.stop()

        with pytest.raises(ActorDeadError):
            link(one, two)

        assert isinstance(reason_of(one), Crashed)

    def test_to_a_dead_actor_is_a_message_where_exits_are_trapped(
        self, system: ActorSystem, box: Box
    ) -> None:
        one, two = system.spawn(Trapping, hears=box.put), system.spawn(Puppet)
        two.stop()

        link(one, two)

        assert box.take() == Exit(two, NoActor())

    def test_may_be_made_by_name(self, system: ActorSystem) -> None:
        one, two = system.spawn_named("one", Puppet), system.spawn(Puppet)
        link(two, "one")

        one.kill()

        assert reason_of(two) == Killed()

    def test_is_forgotten_when_the_other_has_ended(self, system: ActorSystem, box: Box) -> None:
        hub = system.spawn(Trapping, hears=box.put)
        for _ in range(10):
            one = system.spawn(Puppet)
            link(hub, one)
            one.exit()
            box.take()

        assert not hub.bonds


class TestAnUnlink:
    def test_holds_though_the_other_has_just_ended(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            actor.link(other)
            other.kill()
            actor.unlink(other)

        ref.ask(Do(act))

        assert ref.ask(Do(lambda _: "alive")) == "alive"

    def test_by_an_async_handler_holds_too(self, system: ActorSystem, box: Box) -> None:
        other = system.spawn(Puppet)
        ref = system.spawn(AsyncPuppet)
        gate = Gate(system)

        async def act(actor: Any) -> None:
            actor.link(other)
            box.put("linked")
            await gate.passed()
            actor.unlink(other)

        answer = ref.ask(Await(act), block=False)
        assert box.take() == "linked"
        other.kill()
        gate.open()
        answer.get()

        assert ref.ask(Do(lambda _: "alive")) == "alive"

    def test_does_not_undo_a_stop_that_came_after_the_others_end(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            actor.link(other)
            other.kill()
            actor.stop()
            actor.unlink(other)

        ref.tell(Do(act))

        assert reason_of(ref) == Normal()

    def test_leaves_an_end_that_somebody_else_asked_for(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            actor.link(other)
            actor.stop()
            other.kill()
            actor.unlink(other)

        ref.tell(Do(act))

        assert reason_of(ref) == Normal()


class TestAnActorThatTrapsExits:
    def test_gets_a_message_in_place_of_its_own_end(self, system: ActorSystem, box: Box) -> None:
        one, two = system.spawn(Puppet), system.spawn(Trapping, hears=box.put)
        link(two, one)

        reason = crash(one)

        assert box.take() == Exit(one, reason)
        assert two.is_alive()

    def test_hears_of_normal_ends_too(self, system: ActorSystem, box: Box) -> None:
        one, two = system.spawn(Puppet), system.spawn(Trapping, hears=box.put)
        link(two, one)

        one.stop()

        assert box.take() == Exit(one, Normal())

    def test_gets_it_in_mailbox_order(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        one, two = system.spawn(Puppet), system.spawn(Trapping, hears=box.put)
        link(two, one)
        two.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()
        two.tell("before")

        one.kill()
        two.tell("after")
        gate.open()

        assert box.take_many(3) == ["before", Exit(one, Killed()), "after"]

    def test_obeys_its_own_exit(self, system: ActorSystem) -> None:
        ref = system.spawn(Trapping)

        ref.exit()

        assert reason_of(ref) == Shutdown()

    def test_is_killed_like_any_other(self, system: ActorSystem) -> None:
        ref = system.spawn(Trapping)

        ref.kill()

        assert ref.reason == Killed()

    def test_gets_an_exit_signal_of_a_stranger_as_a_message(
        self, system: ActorSystem, box: Box
    ) -> None:
        one, two = system.spawn(Puppet), system.spawn(Trapping, hears=box.put)

        two.exit_from(one, Shutdown("please"))

        assert box.take() == Exit(one, Shutdown("please"))


class TestAnExitSignal:
    def test_is_trapped_by_an_actor_that_a_factory_made(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(lambda: Trapping(hears=box.put))

        ref.wait_started()
        ref.exit_from(None, Shutdown())

        assert box.take() == Exit(None, Shutdown())

    def test_of_a_stranger_ends_an_actor_that_does_not_trap(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)

        two.exit_from(one, Shutdown("please"))

        assert reason_of(two) == Shutdown("please")

    def test_that_says_normal_is_ignored(self, system: ActorSystem) -> None:
        one, two = system.spawn(Puppet), system.spawn(Puppet)

        two.exit_from(one, Normal())

        assert two.ask(Do(lambda _: "alive")) == "alive"

    def test_of_the_parent_is_obeyed_even_where_exits_are_trapped(
        self, system: ActorSystem
    ) -> None:
        parent = system.spawn(Puppet)
        child = system.start_child(parent, Trapping).wait_started()

        child.exit_from(parent, Shutdown())

        assert reason_of(child) == Shutdown()


class TestADeathInTheMiddleOf:
    def test_a_start_ends_the_linked_starter(self, system: ActorSystem, gate: Gate) -> None:
        one = system.spawn(Puppet)

        two = system.spawn(Puppet, starts=lambda actor: (actor.link(one), gate.wait(), boom()))
        gate.open()

        assert isinstance(reason_of(two), Crashed)
        assert isinstance(reason_of(one), Crashed)


class TestATargetThatIsNobody:
    @pytest.mark.parametrize("target", [None, 3, Puppet])
    def test_is_refused_as_no_target_at_all(self, system: ActorSystem, target: Any) -> None:
        def bind(actor: Any) -> list[InvalidSpec]:
            refused: list[InvalidSpec] = []
            for act in (actor.link, actor.monitor, actor.unlink):
                with pytest.raises(InvalidSpec, match="Give a ref, an address or a name") as error:
                    act(target)
                refused.append(error.value)
            return refused

        refused = system.spawn(Trapping).ask(Do(bind))

        assert [(each.field, each.value) for each in refused] == [("target", target)] * 3

    def test_is_named_in_the_exit_of_who_traps(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Trapping, hears=box.put)

        ref.ask(Do(lambda actor: actor.link("nobody")))

        assert box.take() == Exit("nobody", NoActor())

    def test_is_named_in_the_error_of_who_does_not(self, system: ActorSystem) -> None:
        with pytest.raises(ActorDeadError, match="nobody is at nobody"):
            system.spawn(Puppet).ask(Do(lambda actor: actor.link("nobody")))
