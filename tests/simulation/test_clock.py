"""A clock moved by hand, under real threads."""

from __future__ import annotations

import math

import pytest

from callboard.supervision import ActorSystem, IdleTimeout
from callboard.supervision.runtime.chance import time_of
from callboard.supervision.testing import ManualClock, Probe
from tests.simulation.cast import Add, Counter, Do


class TestAManualClock:
    def test_stands_still_until_it_is_moved(self) -> None:
        clock = ManualClock(now_s=5, wall_s=1000)

        clock.advance(2)

        assert clock.now_s() == 7
        assert clock.wall_s() == 1002

    def test_never_goes_back(self) -> None:
        clock = ManualClock(now_s=5)

        clock.advance_to(3)

        assert clock.now_s() == 5

    def test_lets_timers_go_off_in_order_each_at_its_own_time(self) -> None:
        clock = ManualClock()
        seen: list[tuple[str, float]] = []

        def note(name: str) -> None:
            seen.append((name, clock.now_s()))

        for due_s, name in [(3, "c"), (1, "a"), (2, "b"), (2, "b2"), (9, "late")]:
            clock.call_at(due_s, note, name)

        clock.advance(5)

        assert seen == [("a", 1), ("b", 2), ("b2", 2), ("c", 3)]
        assert clock.now_s() == 5
        assert clock.next_due_s == 9

    def test_forgets_a_timer_that_was_cancelled(self) -> None:
        clock = ManualClock()
        timer = clock.call_at(1, pytest.fail)

        assert timer.cancel()
        clock.advance(2)

        assert clock.next_due_s is None

    def test_never_comes_to_a_timer_for_no_time(self) -> None:
        clock = ManualClock()

        clock.call_at(math.nan, pytest.fail)
        clock.call_at(math.inf, pytest.fail)
        clock.advance(1e12)

        assert clock.next_due_s is None


class TestASystemUnderIt:
    def test_its_timers_wait_for_the_clock(self) -> None:
        clock = ManualClock()
        with ActorSystem(runtime=clock.runtime) as system:
            probe = Probe(system)
            counter = system.spawn(Counter)
            counter.ask(Do(lambda actor: actor.send_after(3600, Do(lambda _: probe.take("now")))))
            counter.ask(Add(1))
            assert probe.received == ()

            clock.advance(3600)

            assert probe.expect("now") == "now"

    def test_its_idle_timeouts_do(self) -> None:
        clock = ManualClock()
        with ActorSystem(runtime=clock.runtime) as system:
            probe = Probe(system)

            class Sleepy(Counter):
                def on_start(self) -> None:
                    self.set_idle_timeout(60)

                def on_receive(self, message: object) -> None:
                    probe.take(message)

            system.spawn(Sleepy).wait_started()

            clock.advance(61)

            probe.expect(IdleTimeout)

    def test_its_ids_show_the_clocks_time(self) -> None:
        clock = ManualClock(wall_s=2_000_000_000)
        with ActorSystem(runtime=clock.runtime) as system:
            assert time_of(system.ids.new_id()) == 2_000_000_000_000

    def test_nothing_goes_off_after_its_stop(self) -> None:
        clock = ManualClock()
        with ActorSystem(runtime=clock.runtime) as system:
            system.timers.call_at(10, pytest.fail)

        clock.advance(20)

    def test_an_ask_waits_in_real_time(self) -> None:
        clock = ManualClock()
        with ActorSystem(runtime=clock.runtime) as system:
            counter = system.spawn(Counter)
            clock.advance(100_000)

            assert counter.ask(Add(1), timeout=5) == 1
