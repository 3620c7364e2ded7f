"""What the runtime promises, under hundreds of schedules each."""

from __future__ import annotations

import asyncio
import math
from functools import partial

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    AskCycle,
    Crashed,
    DeliveryError,
    IdleTimeout,
    Killed,
    NoActor,
    Normal,
    Shutdown,
    StartFailed,
    Timeout,
    handles,
)
from callboard.supervision.testing import Probe, Simulation, simulate
from tests.simulation.cast import (
    Add,
    AsyncCounter,
    Boom,
    Counter,
    Crash,
    Do,
    Ender,
    No,
    Parent,
    Pass,
    PinnedCounter,
    QuickCounter,
    Refuse,
    StartChild,
    StopChild,
)

SCHEDULES = 200


class TestAsking:
    @pytest.mark.parametrize("kind", [Counter, QuickCounter, PinnedCounter, AsyncCounter])
    @simulate(schedules=SCHEDULES)
    def test_every_client_gets_every_answer(self, sim: Simulation, kind: type[Counter]) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(kind)
            answers = [
                sim.spawn(f"client-{n}", lambda: [counter.ask(Add(1)) for _ in range(5)])
                for n in range(3)
            ]

            sim.run()

            got = [number for each in answers for number in each.result()]
            assert sorted(got) == list(range(1, 16))
            assert all(each.result() == sorted(each.result()) for each in answers)

    @pytest.mark.parametrize("kind", [Counter, QuickCounter, AsyncCounter])
    @simulate(schedules=SCHEDULES)
    def test_an_actor_may_wait_for_another(self, sim: Simulation, kind: type[Counter]) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(QuickCounter)
            between = [system.spawn(Counter if kind is QuickCounter else kind) for _ in range(2)]

            answers = [each.ask(Pass(counter, 1), block=False) for each in between * 3]

            assert sorted(each.get() for each in answers) == [1, 2, 3, 4, 5, 6]

    @simulate(schedules=SCHEDULES)
    def test_a_cycle_is_refused_and_nobody_hangs(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            one, two = system.spawn(Counter), system.spawn(Counter)

            first = one.ask(Pass(two, 1), block=False)
            second = two.ask(Pass(one, 1), block=False)
            ends: list[str] = []
            for each in (first, second):
                try:
                    each.get()
                    ends.append("answer")
                except DeliveryError as error:
                    ends.append(type(error).__name__)

            sim.note(*ends)
            assert "Timeout" not in ends
            assert sim.now_s < 1.0

    @simulate(schedules=20)
    def test_two_that_ask_each_other_at_once_are_a_cycle(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            one, two = system.spawn(Counter), system.spawn(Counter)

            with pytest.raises(AskCycle):
                one.ask(Do(lambda _: two.ask(Pass(one, 1))))

    @simulate(schedules=SCHEDULES)
    def test_an_asker_gives_up_when_its_time_has_come(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            slow = system.spawn(Counter)
            slow.tell(Do(lambda _: sim.sleep(10)))

            with pytest.raises(Timeout):
                slow.ask(Add(1), timeout=3)

            assert sim.now_s == pytest.approx(3, abs=0.06)
            sim.advance(10)
            assert slow.ask(Do(lambda actor: actor.sum)) == 0
            assert system.counts["expired_messages"] == 1

    @simulate(schedules=SCHEDULES)
    def test_a_refusal_is_an_answer(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(QuickCounter)

            with pytest.raises(No):
                counter.ask(Refuse())

            assert counter.ask(Add(1)) == 1


class TestTelling:
    @pytest.mark.parametrize("kind", [Counter, PinnedCounter])
    @simulate(schedules=SCHEDULES)
    def test_one_senders_messages_keep_their_order(
        self, sim: Simulation, kind: type[Counter]
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(kind)

            def send(first: int) -> None:
                for number in range(first, first + 10):
                    counter.tell(Add(number))

            for first in (0, 100, 200):
                sim.spawn(f"sender-{first}", partial(send, first))
            sim.run()

            seen = counter.ask(Do(lambda actor: actor.seen))
            for first in (0, 100, 200):
                mine = [number for number in seen if first <= number < first + 10]
                assert mine == list(range(first, first + 10))

    @simulate(schedules=SCHEDULES)
    def test_nothing_told_vanishes_when_the_actor_ends(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            handled: list[int] = []
            refused: list[int] = []

            def note(number: int, _actor: object) -> None:
                handled.append(number)

            def send(first: int) -> None:
                for number in range(first, first + 5):
                    try:
                        counter.tell(Do(partial(note, number)))
                    except ActorDeadError:
                        refused.append(number)

            for first in (0, 100):
                sim.spawn(f"sender-{first}", partial(send, first))
            sim.spawn("ender", counter.exit)
            sim.run()

            assert len(handled) + len(refused) + system.dead_letters.count == 10


class TestCrashing:
    @pytest.mark.parametrize("kind", [Counter, QuickCounter, PinnedCounter])
    @simulate(schedules=SCHEDULES)
    def test_the_asker_gets_the_exception_and_the_monitor_a_down(
        self, sim: Simulation, kind: type[Counter]
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            probe = Probe(system)
            counter = system.spawn(kind)
            probe.monitor(counter)

            with pytest.raises(Boom):
                counter.ask(Crash())

            down = probe.expect_down(counter, reason=Crashed)
            assert isinstance(down.reason, Crashed)
            assert down.reason.error == "Boom"
            with pytest.raises(ActorDeadError):
                counter.ask(Add(1))

    @simulate(schedules=SCHEDULES)
    def test_every_ask_ends_while_the_actor_crashes(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(QuickCounter)
            ends: list[str] = []

            def ask() -> None:
                for _ in range(4):
                    try:
                        counter.ask(Add(1), timeout=math.inf)
                        ends.append("answer")
                    except ActorDeadError:
                        ends.append("dead")

            for n in range(2):
                sim.spawn(f"client-{n}", ask)
            counter.tell(Crash())
            sim.run()

            assert len(ends) == 8

    @simulate(schedules=SCHEDULES)
    def test_a_start_that_fails_is_told_to_whoever_waits_for_it(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:

            class Stillborn(Counter):
                def on_start(self) -> None:
                    raise Boom("in on_start")

            with pytest.raises(StartFailed):
                system.spawn(Stillborn).wait_started()


class TestMonitors:
    @simulate(schedules=SCHEDULES)
    def test_every_monitor_gives_exactly_one_down(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            probe = Probe(system)
            counter = system.spawn(Counter)
            numbers = [probe.monitor(counter) for _ in range(2)]

            sim.spawn("ender", counter.kill)
            numbers += [probe.monitor(counter) for _ in range(2)]
            sim.run()

            downs = {down.monitor: down.reason for down in probe.received}
            assert len(probe.received) == 4
            assert sorted(downs) == sorted(numbers)
            assert all(downs[number] == Killed() for number in numbers[:2])
            assert all(downs[number] in {Killed(), NoActor()} for number in numbers[2:])

    @simulate(schedules=SCHEDULES)
    def test_a_linked_actor_goes_along(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            probe = Probe(system)
            one, two = system.spawn(Counter), system.spawn(Counter)
            one.ask(Do(lambda actor: actor.link(two)))
            probe.link(one)
            probe.monitor(two)

            two.tell(Crash())

            probe.expect_exit(one, reason=Crashed)
            probe.expect_down(two, reason=Crashed)


class TestKilling:
    @pytest.mark.parametrize("kind", [Counter, PinnedCounter, AsyncCounter])
    @simulate(schedules=SCHEDULES)
    def test_a_handler_that_waits_is_woken_and_ends(
        self, sim: Simulation, kind: type[Counter]
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            probe = Probe(system)
            busy, waiting = system.spawn(Counter), system.spawn(kind)
            probe.monitor(waiting)
            busy.tell(Do(lambda _: sim.sleep(100)))
            answer = waiting.ask(Pass(busy, 1, timeout=50), block=False, timeout=50)
            sim.settle()

            waiting.kill()

            with pytest.raises(ActorDeadError):
                answer.get()
            probe.expect_down(waiting, reason=Killed)
            assert sim.now_s < 1
            # Its handler has left: nothing of it is under way any more.
            sim.settle()
            assert waiting.actor is None

    @simulate(schedules=SCHEDULES)
    def test_its_finally_runs_and_what_it_sends_is_fenced(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            other = system.spawn(Counter)
            ends: list[str] = []

            def wait(_actor: object) -> None:
                try:
                    sim.sleep(100)
                finally:
                    ends.append("finally")
                    other.tell(Add(1))

            victim = system.spawn(Counter)
            victim.tell(Do(wait))
            sim.settle()

            victim.kill()
            sim.settle()

            assert ends == ["finally"]
            assert other.ask(Do(lambda actor: actor.sum)) == 0
            assert system.counts["fenced_sends"] == 1

    @simulate(schedules=SCHEDULES)
    def test_a_kill_at_any_time_leaves_no_ask_without_an_end(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            target = system.spawn(QuickCounter)
            between = system.spawn(Counter)
            ends: list[str] = []

            def ask() -> None:
                for _ in range(3):
                    try:
                        between.ask(Pass(target, 1, timeout=math.inf), timeout=math.inf)
                        ends.append("answer")
                    except DeliveryError as error:
                        ends.append(type(error).__name__)

            for n in range(2):
                sim.spawn(f"client-{n}", ask)
            sim.spawn("killer", target.kill if sim.seed % 2 else between.kill)
            sim.run()

            sim.note(*ends)
            assert len(ends) == 6


class TestTime:
    @simulate(schedules=SCHEDULES)
    def test_a_timer_goes_off_when_time_has_come_and_dies_with_its_actor(
        self, sim: Simulation
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            counter.ask(Do(lambda actor: actor.send_after(10, Add(1)) and None))
            late = system.spawn(Counter)
            late.ask(Do(lambda actor: actor.send_after(10, Add(1)) and None))
            late.kill()

            sim.advance(9)
            assert counter.ask(Do(lambda actor: actor.sum)) == 0
            sim.advance(1)

            assert counter.ask(Do(lambda actor: actor.sum)) == 1
            assert system.dead_letters.count <= 1

    @simulate(schedules=SCHEDULES)
    def test_an_idle_actor_is_told_so(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            probe = Probe(system)

            class Sleepy(Counter):
                def on_start(self) -> None:
                    self.set_idle_timeout(60)

                def on_receive(self, message: object) -> None:
                    probe.take(message)

            sleepy = system.spawn(Sleepy)
            sim.advance(50)
            sleepy.ask(Add(1))
            sim.advance(50)
            assert not probe.received

            sim.advance(11)

            assert probe.received == (IdleTimeout(),)


class TestAsyncHandlers:
    @simulate(schedules=SCHEDULES)
    def test_they_wait_in_simulated_time_one_message_at_a_time(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            running: list[int] = []

            class Sleeper(Counter):
                @handles(Do)
                async def do(self, message: Do) -> int:
                    running.append(1)
                    assert sum(running) == 1
                    await asyncio.sleep(10)
                    running.append(-1)
                    return int(message.act(self))

            sleepers = [system.spawn(Sleeper)]

            answers = [each.ask(Do(lambda _: 7), block=False, timeout=60) for each in sleepers * 3]

            assert [each.get() for each in answers] == [7, 7, 7]
            assert sim.now_s == pytest.approx(30, abs=0.2)

    @simulate(schedules=SCHEDULES)
    def test_a_timeout_inside_of_one_uses_the_simulated_clock(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:

            async def hasty(_actor: object) -> str:
                try:
                    async with asyncio.timeout(2):
                        await asyncio.sleep(1000)
                except TimeoutError:
                    return "too slow"
                return "slept"

            class Runner(Counter):
                @handles(Do)
                async def do(self, message: Do) -> str:
                    return str(await message.act(self))

            assert system.spawn(Runner).ask(Do(hasty)) == "too slow"
            assert sim.now_s < 3


class TestOperationsOfASystemActor:
    @simulate(schedules=SCHEDULES)
    def test_a_child_is_started_and_stopped_without_blocking(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            heard: list[object] = []
            parent = system.spawn(Parent, Counter, heard.append)

            assert parent.ask(StartChild())
            assert parent.ask(StopChild())
            sim.settle()

            assert [type(each).__name__ for each in heard] == ["ChildStarted", "ChildExited"]

    @simulate(schedules=SCHEDULES)
    def test_a_condition_that_never_holds_times_out(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:

            class Slow(Counter):
                def on_start(self) -> None:
                    sim.sleep(100)

            parent = system.spawn(Parent, Slow, print)

            assert not parent.ask(StartChild(within_s=3))
            assert sim.now_s == pytest.approx(3, abs=0.06)

    @simulate(schedules=SCHEDULES)
    def test_messages_wait_in_order_while_an_operation_is_under_way(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            notes: list[str] = []

            def end_slowly(_reason: object) -> None:
                sim.sleep(1)
                notes.append("child ended")

            def hear(message: object) -> None:
                notes.append(type(message).__name__)

            parent = system.spawn(Parent, partial(Ender, end_slowly), hear)
            parent.ask(StartChild())

            stopped = parent.ask(StopChild(), block=False)
            started = parent.ask(StartChild(), block=False)

            assert stopped.get()
            assert started.get()
            sim.settle()
            assert notes[:3] == ["ChildStarted", "child ended", "ChildExited"]


class TestAddresses:
    @simulate(schedules=SCHEDULES)
    def test_a_mailbox_that_is_kept_serves_the_next_incarnation_in_order(
        self, sim: Simulation
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            address = system.reserve("counter", keeps_mailbox=True)
            first = system.start_child(None, Counter, address=address)
            ends: dict[int, str] = {}

            def ask(number: int) -> None:
                try:
                    address.ask(Add(number), timeout=60)
                    ends[number] = "answer"
                except ActorDeadError:
                    ends[number] = "dead"

            for number in range(5):
                sim.spawn(f"client-{number}", partial(ask, number))
            sim.spawn("killer", first.kill)
            sim.run(until=lambda: first.is_dead)
            second = system.start_child(None, Counter, address=address)
            sim.run()

            assert len(ends) == 5
            # Only the one in hand may be lost; whoever waited was served by the next.
            assert list(ends.values()).count("dead") <= 1
            assert second.incarnation == 2
            assert address.ask(Add(1)) >= 1

    @simulate(schedules=SCHEDULES)
    def test_without_a_mailbox_of_its_own_it_says_at_once_that_nobody_is_there(
        self, sim: Simulation
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn_named("counter", Counter)
            address = system.lookup("counter")
            assert address is not None
            assert address.ask(Add(1)) == 1

            counter.exit(Normal())
            sim.run(until=lambda: counter.is_dead)

            with pytest.raises(ActorDeadError):
                address.ask(Add(1))


class TestStopping:
    @simulate(schedules=SCHEDULES)
    def test_everybody_ends_in_order_and_terminates_once(self, sim: Simulation) -> None:
        reasons: list[object] = []
        system = ActorSystem(runtime=sim.runtime)

        def end_slowly(reason: object) -> None:
            sim.sleep(0.5)
            reasons.append(reason)

        for _ in range(3):
            system.spawn(Ender, end_slowly)
        sim.settle()

        report = system.stop()

        assert report.is_clean
        assert reasons == [Shutdown()] * 3

    @simulate(schedules=SCHEDULES)
    def test_what_does_not_end_in_time_is_reported(self, sim: Simulation) -> None:
        system = ActorSystem(runtime=sim.runtime)
        stubborn = system.spawn(Counter)
        stubborn.tell(Do(lambda _: sim.sleep(1000)))
        sim.settle()

        report = system.stop(timeout_s=5)

        assert report.unstopped == ("Counter",)
        assert report.abandoned == ()
        assert sim.now_s < 6
