"""Messages to oneself, later; and being told that nothing came."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import gc
import math
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from callboard.supervision import ActorSystem, IdleTimeout, InvalidSpec
from callboard.supervision.runtime.timers import ThreadTimers, Timer
from tests.runtime.kit import (
    AsyncPuppet,
    Await,
    Box,
    Do,
    Gate,
    Puppet,
    Short,
    boom,
    crash,
    idle,
    threads_only,
)


class Note:
    """A message that can be looked for."""


def after(system: ActorSystem, delay_s: float) -> None:
    """Return when timers that were due before have gone off."""
    gate = Gate(system)
    system.timers.call_at(system.clock.now_s() + delay_s, gate.open)
    gate.wait()


def heap_of(system: ActorSystem) -> list[Timer]:
    """Return the timers that wait."""
    assert isinstance(system.timers, ThreadTimers)
    return [timer for _, _, timer in system.timers._heap]


class TestATimer:
    def test_sends_its_message(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        ref.tell(Do(lambda actor: actor.send_after(0.001, "tick")))

        assert box.take() == "tick"

    def test_goes_off_in_order_of_due_time(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        def act(actor: Any) -> None:
            actor.send_after(0.2, "third")
            actor.send_after(0.001, "first")
            actor.send_after(0.1, "second")

        ref.tell(Do(act))

        assert box.take_many(3) == ["first", "second", "third"]

    def test_of_equal_due_time_goes_off_in_the_order_of_setting(
        self, system: ActorSystem, box: Box
    ) -> None:
        due_s = system.clock.now_s() + 0.01
        for number in range(50):
            system.timers.call_at(due_s, box.put, number)

        assert box.take_many(50) == list(range(50))

    def test_can_be_cancelled(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)
        timer = ref.ask(Do(lambda actor: actor.send_after(5.0, "tick")))

        assert timer.is_pending
        assert timer.cancel() is True
        assert timer.cancel() is False

        if not isinstance(system.timers, ThreadTimers):  # there it would be six real seconds
            after(system, 6.0)
        idle(ref)
        assert box.waiting == []

    def test_that_went_off_is_not_pending(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)
        timer = ref.ask(Do(lambda actor: actor.send_after(0.0, "tick")))

        box.take()

        assert not timer.is_pending
        assert timer.cancel() is False

    def test_that_went_off_keeps_nothing_of_what_it_sent(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, hears=lambda _: box.put("heard"))
        sent: list[weakref.ref[Note]] = []

        def act(actor: Any) -> None:
            for _ in range(10):
                note = Note()
                sent.append(weakref.ref(note))
                actor.send_after(0.001, note)

        ref.ask(Do(act))
        box.take_many(10)
        idle(ref)
        after(system, 0.0)
        gc.collect()

        assert [each() for each in sent] == [None] * 10

    def test_dies_with_its_incarnation(self, system: ActorSystem, box: Box) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        first = system.start_child(None, Puppet, address=address)
        first.ask(Do(lambda actor: actor.send_after(0.01, "of the first")))
        crash(first)
        second = system.start_child(None, Puppet, (None, None, box.put), address=address)

        after(system, 0.02)
        idle(second)

        assert box.waiting == []

    @threads_only
    def test_of_a_dead_actor_does_not_keep_it_in_the_heap(self, system: ActorSystem) -> None:
        for _ in range(10):
            ref = system.spawn(Puppet)
            ref.ask(Do(lambda actor: actor.send_after(3600.0, "in an hour")))
            ref.ask(Do(lambda actor: actor.set_idle_timeout(3600.0)))
            crash(ref)
        after(system, 0.0)

        pending = [timer for timer in heap_of(system) if timer.is_pending]
        assert pending == []

    @threads_only
    def test_a_cancelled_one_does_not_stay_until_its_time(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        for _ in range(1000):
            ref.ask(Do(lambda actor: actor.send_after(3600.0, "in an hour").cancel()))
        after(system, 0.0)

        assert len(heap_of(system)) <= 300

    def test_carries_the_context_in_which_it_was_set(self, system: ActorSystem, box: Box) -> None:
        trace: ContextVar[str] = ContextVar("trace", default="none")
        ref = system.spawn(Puppet, hears=lambda _: box.put(trace.get()))
        trace.set("trace-1")

        ref.tell(Do(lambda actor: actor.send_after(0.0, "tick")))

        assert box.take() == "trace-1"

    def test_is_not_refused_by_a_full_mailbox(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        class Tiny(Puppet):
            mailbox_max = 1

        ref = system.spawn(Tiny, hears=box.put)
        ref.tell(Do(lambda actor: (actor.send_after(0.01, "tick"), box.put(0), gate.wait())))
        box.take()
        ref.tell("fills it")

        after(system, 0.02)
        gate.open()

        assert box.take_many(2) == ["fills it", "tick"]

    @threads_only
    def test_whose_action_raises_does_not_stop_the_others(
        self, system: ActorSystem, box: Box
    ) -> None:
        def fail() -> None:
            raise ValueError("in a timer")

        now_s = system.clock.now_s()
        system.timers.call_at(now_s, fail)
        system.timers.call_at(now_s + 0.001, box.put, "next")

        assert box.take() == "next"

    def test_whose_action_raises_is_an_event(self) -> None:
        events: list[object] = []
        with ActorSystem("watched", on_event=events.append) as system:
            system.timers.call_at(system.clock.now_s(), boom)
            after(system, 0.001)

        assert [type(each).__name__ for each in events] == ["TimerFailed"]

    @pytest.mark.parametrize("delay_s", [1e10, math.inf])
    def test_that_is_years_away_or_never_due_stops_no_other(
        self, system: ActorSystem, box: Box, delay_s: float
    ) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        timer = ref.ask(Do(lambda actor: actor.send_after(delay_s, "in 300 years")))
        ref.ask(Do(lambda actor: actor.set_idle_timeout(delay_s)))
        after(system, 0.01)
        after(system, 0.01)

        assert box.waiting == []
        assert timer.cancel()

    @pytest.mark.parametrize("delay_s", [-1, -0.001, math.nan])
    def test_before_now_or_at_no_time_is_refused(
        self, system: ActorSystem, box: Box, delay_s: float
    ) -> None:
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            with pytest.raises(InvalidSpec, match="delay_s="):
                actor.send_after(delay_s, "tick")
            box.put("refused")

        ref.tell(Do(act))

        assert box.take() == "refused"

    @pytest.mark.parametrize("due_s", [math.inf, math.nan])
    def test_for_no_time_at_all_upsets_no_other(
        self, system: ActorSystem, box: Box, due_s: float
    ) -> None:
        soon_s = system.clock.now_s() + 0.25  # all three are set by then, on a busy machine too
        system.timers.call_at(due_s, box.put, "never")
        for number in (3, 1, 2):
            system.timers.call_at(soon_s + number / 100, box.put, number)

        assert box.take_many(3) == [1, 2, 3]

    def test_whose_action_raises_what_is_no_exception_stops_no_other(
        self, system: ActorSystem, box: Box
    ) -> None:
        def leave() -> None:
            raise SystemExit(1)

        now_s = system.clock.now_s()
        system.timers.call_at(now_s, leave)
        system.timers.call_at(now_s + 0.001, box.put, "next")

        assert box.take() == "next"

    def test_survives_a_hook_that_is_interrupted(self) -> None:
        def hook(_event: object) -> None:
            raise KeyboardInterrupt

        with ActorSystem("watched", on_event=hook) as system:
            system.timers.call_at(system.clock.now_s(), boom)
            after(system, 0.001)


class TestAnIdleTimeout:
    def test_comes_once_when_no_message_does(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        ref.tell(Do(lambda actor: actor.set_idle_timeout(0.005)))

        assert box.take() == IdleTimeout()
        after(system, 0.02)
        idle(ref)
        assert box.waiting == []

    def test_may_be_set_again(self, system: ActorSystem, box: Box) -> None:
        def hears(message: object) -> None:
            box.put(message)
            ref.tell(Do(lambda actor: actor.set_idle_timeout(0.005)))

        ref = system.spawn(Puppet, hears=hears)
        ref.tell(Do(lambda actor: actor.set_idle_timeout(0.005)))

        assert box.take_many(3) == [IdleTimeout()] * 3

    def test_is_put_off_by_messages(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=lambda _: box.put(system.clock.now_s()))
        set_s = ref.ask(Do(lambda actor: (actor.set_idle_timeout(0.05), system.clock.now_s())[1]))
        after(system, 0.03)
        spoken_s = ref.ask(Do(lambda _: system.clock.now_s()))

        came_s = box.take()

        assert came_s >= spoken_s + 0.05
        assert came_s >= set_s + 0.05

    def test_can_be_switched_off(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        ref.ask(Do(lambda actor: (actor.set_idle_timeout(0.005), actor.set_idle_timeout(None))))

        after(system, 0.02)
        idle(ref)
        assert box.waiting == []

    def test_does_not_come_while_a_handler_runs(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet, hears=box.put)
        ref.tell(Do(lambda actor: (actor.set_idle_timeout(0.005), gate.wait())))

        after(system, 0.03)

        assert ref.mailbox_size == 0
        gate.open()
        assert box.take() == IdleTimeout()

    def test_does_not_come_while_an_async_handler_runs(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        ref = system.spawn(AsyncPuppet, hears=box.put)

        async def act(actor: Any) -> None:
            actor.set_idle_timeout(0.005)
            await gate.passed()

        ref.tell(Await(act))
        after(system, 0.03)

        assert ref.mailbox_size == 0
        gate.open()
        assert box.take() == IdleTimeout()

    def test_of_no_time_is_not_looked_at_again_and_again_while_a_handler_runs(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        def be_slow(actor: Any) -> None:
            actor.set_idle_timeout(0)
            system.timers.call_at(system.clock.now_s() + 0.01, gate.open)
            gate.wait()  # in a simulation time does not pass while a timer is due again and again

        ref = system.spawn(Puppet, hears=box.put)
        ref.tell(Do(be_slow))

        assert box.take() == IdleTimeout()
        after(system, 0.01)
        idle(ref)
        assert box.waiting == []

    @threads_only
    def test_does_not_come_while_a_handler_runs_by_hand_off(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        ref = system.spawn(Short, hears=box.put).wait_started()

        def be_slow(actor: Any) -> int:
            actor.set_idle_timeout(0)
            system.timers.call_at(system.clock.now_s() + 0.01, gate.open)
            while not gate.is_open:
                pass
            return ref.mailbox_size

        assert ref.ask(Do(be_slow)) == 0
        assert box.take() == IdleTimeout()

    @pytest.mark.parametrize("after_s", [-1, float("nan")])
    def test_of_less_than_no_time_is_refused(self, system: ActorSystem, after_s: float) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(InvalidSpec, match="after_s"):
            ref.ask(Do(lambda actor: actor.set_idle_timeout(after_s)))

    def test_without_a_handler_is_no_crash(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.ask(Do(lambda actor: actor.set_idle_timeout(0.001)))

        after(system, 0.02)
        idle(ref)

        assert ref.is_alive()
