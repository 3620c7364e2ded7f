"""Probes, on threads and in simulations alike; and the fixtures that give both."""

from __future__ import annotations

import pytest

from callboard.supervision import ActorSystem, Crashed, Killed, Normal
from callboard.supervision.testing import Probe
from tests.both import World, settings, system, world
from tests.simulation.cast import Add, AsyncCounter, Boom, Counter, Crash, Do, Pass, PinnedCounter

__all__ = ["settings", "system", "world"]


@pytest.fixture
def probe(system: ActorSystem) -> Probe:
    return Probe(system)


class TestExpecting:
    def test_a_message_by_its_class(self, system: ActorSystem, probe: Probe) -> None:
        system.spawn(Counter).tell(Do(lambda _: probe.ref.tell(Add(7))))

        assert probe.expect(Add) == Add(7)

    def test_a_message_by_its_value_past_others(self, probe: Probe) -> None:
        for number in range(3):
            probe.ref.tell(Add(number))

        assert probe.expect(Add(2)) == Add(2)
        assert probe.expect(Add) == Add(0)
        assert probe.received == (Add(0), Add(1), Add(2))

    def test_a_message_by_what_is_true_of_it(self, probe: Probe) -> None:
        probe.ref.tell("a")
        probe.ref.tell("bb")

        assert probe.expect("bb".__eq__) == "bb"

    def test_what_does_not_come_is_told_with_what_did(self, probe: Probe) -> None:
        probe.ref.tell("something else")
        probe.expect("something else")

        with pytest.raises(AssertionError, match=r"Add did not come[^!]*something else"):
            probe.expect(Add, within_s=0.01)

    def test_one_with_a_name_is_found_by_it(self, system: ActorSystem) -> None:
        probe = Probe(system, "watch")
        address = system.lookup("watch")
        assert address is not None

        address.tell("hello")

        assert probe.expect(str) == "hello"


class TestWatching:
    @pytest.mark.parametrize("kind", [Counter, PinnedCounter, AsyncCounter])
    def test_a_down_with_its_reason(
        self, system: ActorSystem, probe: Probe, kind: type[Counter]
    ) -> None:
        ref = system.spawn(kind)
        number = probe.monitor(ref)

        ref.tell(Crash())

        down = probe.expect_down(ref, reason=Crashed)
        assert down.monitor == number

    def test_a_down_with_another_reason_is_told(self, system: ActorSystem, probe: Probe) -> None:
        ref = system.spawn(Counter)
        probe.monitor(ref)

        ref.kill()

        with pytest.raises(AssertionError, match="ended otherwise: killed"):
            probe.expect_down(ref, reason=Crashed)

    def test_no_down_after_demonitor(self, system: ActorSystem, probe: Probe, world: World) -> None:
        ref = system.spawn(Counter)
        assert probe.demonitor(probe.monitor(ref))

        ref.kill()
        world.settle()

        assert probe.received == ()

    def test_an_exit_of_a_linked_actor(self, system: ActorSystem, probe: Probe) -> None:
        ref = system.spawn(Counter)
        probe.link(ref)

        ref.exit(Normal())

        assert probe.expect_exit(ref, reason=Normal()).who is ref

    def test_by_name(self, system: ActorSystem, probe: Probe) -> None:
        ref = system.spawn_named("victim", Counter)
        probe.monitor("victim")

        ref.kill()

        probe.expect_down("victim", reason=Killed)


class TestSettling:
    def test_it_returns_when_all_that_was_told_is_done(
        self, system: ActorSystem, world: World
    ) -> None:
        counter = system.spawn(Counter)
        between = [system.spawn(Counter) for _ in range(10)]
        for each in between * 10:
            each.tell(Pass(counter, 1))

        world.settle()

        assert counter.actor is not None
        assert counter.actor.sum == 100

    def test_it_sees_async_handlers_out(self, system: ActorSystem, world: World) -> None:
        counter = system.spawn(Counter)
        between = [system.spawn(AsyncCounter) for _ in range(10)]
        for each in between:
            each.tell(Pass(counter, 1))

        world.settle()

        assert counter.actor is not None
        assert counter.actor.sum == 10

    def test_it_leaves_those_alone_who_wait(self, system: ActorSystem, world: World) -> None:
        held, waiting = system.spawn(Counter), system.spawn(Counter)
        held.suspend()
        answer = waiting.ask(Pass(held, 1), block=False)

        world.settle()

        assert not answer.is_done
        held.resume()
        assert answer.get() == 1

    def test_a_crash_is_over(self, system: ActorSystem, world: World) -> None:
        ref = system.spawn(Counter)
        with pytest.raises(Boom):
            ref.ask(Crash())

        world.settle()

        assert ref.is_dead


class TestAdvancing:
    def test_timers_go_off_each_at_its_time(self, system: ActorSystem, world: World) -> None:
        times: list[float] = []

        def tick(actor: Counter) -> None:
            times.append(round(system.clock.now_s()))
            actor.send_after(10, Do(tick))

        began_s = round(system.clock.now_s())
        system.spawn(Counter).tell(Do(tick))
        world.advance(35)

        assert [time - began_s for time in times] == [0, 10, 20, 30]
