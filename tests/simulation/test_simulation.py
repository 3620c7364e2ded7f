"""What a simulation does for a test, and what it finds by itself."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import importlib
import math
import threading
import weakref
from typing import Any

import pytest

from callboard.supervision import (
    LATER,
    ActorSystem,
    AskCycle,
    Crashed,
    DeliveryError,
    Future,
    IdleTimeout,
    Request,
    Settings,
    StartFailed,
    SupervisedActor,
    Timeout,
    handles,
)
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.loop import BlockingOnLoop
from callboard.supervision.testing import (
    BlockedInHandOff,
    Client,
    Deadlock,
    Livelock,
    MissingExtra,
    OutsideOfSimulation,
    Simulation,
    SimulationClosed,
    SimulationError,
    Walk,
    simulate,
)
from tests.simulation.cast import Add, AsyncCounter, Boom, Counter, Do, Pass, QuickCounter


class HandOn(Request[None], frozen=True):
    """Let a helper answer, who has something to ask first."""

    helper: Any
    whom: Any
    is_kept: bool


class Keep(Request[None], frozen=True):
    """Keep a reply for later."""

    reply: Any


class Job(Request[None], frozen=True):
    """Ask somebody; then there may be an answer."""

    whom: Any
    reply: Any = None


class Clerk(SupervisedActor):
    """Answers nothing by itself."""

    @handles(HandOn)
    def hand_on(self, message: HandOn) -> Any:
        reply = self.reply_later()
        if message.is_kept:
            message.helper.tell(Keep(reply))
            message.helper.tell(Job(message.whom))
        else:
            message.helper.tell(Job(message.whom, reply))
        return LATER


class Helper(SupervisedActor):
    """Owes answers."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    @handles(Keep)
    def keep(self, message: Keep) -> None:
        self.kept.append(message.reply)

    @handles(Job)
    def work(self, message: Job) -> None:
        message.whom.ask(Add(1), timeout=math.inf)


class TestDriving:
    def test_a_call_that_waits_runs_the_others(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            assert system.spawn(Counter).ask(Add(1)) == 1

    def test_nothing_runs_before_somebody_drives(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            assert not counter.is_started
            sim.settle()
            assert counter.is_started

    def test_settle_leaves_time_alone(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            counter.tell(Do(lambda actor: actor.send_after(1, Add(1)) and None))

            sim.settle()

            assert sim.now_s == 0
            assert not sim.quiescent()

    def test_advance_lets_exactly_so_much_time_pass(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            counter.tell(Do(lambda actor: actor.send_after(1, Add(1)) and None))

            sim.advance(1.5)

            assert sim.now_s == 1.5
            assert counter.ask(Do(lambda actor: actor.sum)) == 1
            assert system.clock.now_s() == 1.5
            assert system.clock.wall_s() == 1_700_000_001.5

    def test_run_stops_as_soon_as_it_holds(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            sim.run(until=lambda: counter.is_started)

            assert counter.is_started

    def test_recurring_timers_do_not_keep_it_from_being_quiescent(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:

            class Ticking(SupervisedActor):
                ticks = 0

                def on_start(self) -> None:
                    self.on_receive("tick")

                def on_receive(self, message: Any) -> None:
                    self.ticks += 1
                    self.send_after(60, message).is_recurring = True

            system.spawn(Ticking)

            sim.run()

            assert sim.now_s == 0

    def test_two_systems_may_share_one(self) -> None:
        with (
            Simulation(explore=Walk(points=0)) as sim,
            ActorSystem("one", runtime=sim.runtime) as one,
            ActorSystem("two", runtime=sim.runtime) as two,
        ):
            counter = one.spawn(Counter)
            between = two.spawn(Counter)

            assert between.ask(Pass(counter, 1)) == 1
            assert one.ids.new_id() != two.ids.new_id()


class TestClients:
    def test_what_one_returns_can_be_had(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            assert sim.spawn("ada", lambda: counter.ask(Add(1))).result() == 1

    def test_what_one_raises_fails_the_run(self) -> None:
        def fail() -> None:
            raise Boom("in the client")

        with Simulation(seed=7) as sim:
            sim.spawn("ada", fail)

            with pytest.raises(Boom, match="in the client") as failure:
                sim.run()

        assert any("seed 7" in note for note in failure.value.__notes__)

    def test_one_may_be_a_coroutine_function(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            async def ada() -> int:
                await asyncio.sleep(10)
                return await counter.ask_async(Add(1))

            assert sim.spawn("ada", ada).result() == 1
            assert sim.now_s == 10

    def test_what_a_coroutine_raises_fails_the_run(self) -> None:
        async def fail() -> None:
            await asyncio.sleep(1)
            raise Boom("in the coroutine")

        with Simulation() as sim:
            sim.spawn("ada", fail)

            with pytest.raises(Boom, match="in the coroutine"):
                sim.run()

    def test_one_may_sleep_in_simulated_time(self) -> None:
        with Simulation() as sim:
            sim.spawn("ada", lambda: sim.sleep(3600))

            sim.run()

            assert sim.now_s == 3600


class TestFinding:
    def test_a_deadlock_names_who_waits_for_whom(self) -> None:
        with Simulation(seed=7) as sim, ActorSystem(runtime=sim.runtime) as system:
            stuck: Future[None] = Future(blocker=system.dispatcher)
            asked = system.spawn_named("asked", Counter)
            asker = system.spawn_named("asker", Counter)
            asked.tell(Do(lambda _: stuck.get()))
            sim.settle()

            with pytest.raises(Deadlock) as failure:
                asker.ask(Pass(asked, 1, timeout=math.inf), timeout=math.inf)

            assert failure.value.waiting == ("asked", "asker")
            assert "asker waits for asked" in str(failure.value)
            assert "the test waits for asker" in str(failure.value)
            assert "seed 7" in failure.value.__notes__[0]

    @pytest.mark.parametrize("is_kept", [False, True], ids=["in hand", "in an attribute"])
    def test_a_deadlock_through_who_holds_a_later_reply_is_told_as_a_cycle(
        self, *, is_kept: bool
    ) -> None:
        with Simulation(seed=7) as sim, ActorSystem(runtime=sim.runtime) as system:
            clerk = system.spawn_named("clerk", Clerk)
            asker = system.spawn_named("asker", Counter)
            helper = system.spawn_named("helper", Helper)
            wanted = HandOn(helper, asker, is_kept)
            asker.tell(Do(lambda _: clerk.ask(wanted, timeout=math.inf)))

            with pytest.raises(Deadlock) as failure:
                sim.run(lambda: False)

            assert failure.value.waiting == ("asker", "helper")
            assert failure.value.cycle == ("asker", "helper", "asker")
            assert "asker waits for an answer that helper holds" in str(failure.value)
            assert "each waits for the next: asker -> helper -> asker" in str(failure.value)

    def test_who_waits_for_nobody_in_particular_is_in_no_cycle(self) -> None:
        with Simulation(seed=7) as sim, ActorSystem(runtime=sim.runtime) as system:
            stuck: Future[None] = Future(blocker=system.dispatcher)
            system.spawn(Counter).tell(Do(lambda _: stuck.get()))

            with pytest.raises(Deadlock) as failure:
                sim.run(lambda: False)

            assert failure.value.cycle == ()
            assert "each waits for the next" not in str(failure.value)

    @simulate(schedules=20)
    def test_a_cycle_through_a_client_is_found_as_soon_as_it_closes(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn_named("counter", Counter)
            cycles: list[AskCycle] = []
            clients: list[Client[None]] = []

            def ask() -> None:
                try:
                    counter.ask(Add(1), timeout=50)
                except AskCycle as error:
                    cycles.append(error)

            def wait_for_the_client(_actor: object) -> None:
                try:
                    clients[0].result(timeout=50)
                except AskCycle as error:
                    cycles.append(error)

            counter.tell(Do(wait_for_the_client))
            clients.append(sim.spawn("ada", ask))
            sim.run()

            (cycle,) = cycles
            assert str(cycle).partition(":")[0] in {
                "ada -> counter -> ada",
                "counter -> ada -> counter",
            }
            assert sim.now_s < 1

    def test_a_livelock_names_who_runs(self) -> None:
        with (
            Simulation(steps_max=1000) as sim,
            ActorSystem(runtime=sim.runtime) as system,
        ):

            class Endless(SupervisedActor):
                def on_receive(self, message: Any) -> None:
                    self.actor_ref.tell(message)

            system.spawn_named("endless", Endless).tell("again")

            with pytest.raises(Livelock, match="endless"):
                sim.settle()

    @simulate(schedules=50)
    def test_a_wait_inside_of_a_hand_off_names_the_actor(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            hasty = system.spawn_named("hasty", QuickCounter)
            sim.settle()

            try:
                actor = None if hasty.ask(Pass(counter, 1)) == 1 else "nobody"
            except BlockedInHandOff as error:
                actor = error.actor

            was_handed_off = ("hand-off", "hasty") in sim.trace.entries
            assert actor == ("hasty" if was_handed_off else None)

    def test_a_blocking_ask_on_the_event_loop_is_refused(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            class Blocking(AsyncCounter):
                async def pass_on(self, message: Pass) -> int:  # type: ignore[override]  # as its base
                    return int(message.to.ask(Add(1)))

            with pytest.raises(BlockingOnLoop):
                system.spawn(Blocking).ask(Pass(counter, 1))

    def test_a_thread_is_outside(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            errors: list[Exception] = []

            def ask() -> None:
                try:
                    counter.ask(Add(1))
                except OutsideOfSimulation as error:
                    errors.append(error)

            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()

            assert len(errors) == 1

    def test_an_executor_is_outside(self) -> None:
        async def ada() -> None:
            await asyncio.to_thread(len, "")

        with Simulation() as sim:
            sim.spawn("ada", ada)

            with pytest.raises(OutsideOfSimulation):
                sim.run()

    def test_a_timers_function_may_not_wait(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            system.timers.call_at(1, sim.sleep, 1)

            with pytest.raises(SimulationError, match="timer"):
                sim.run()

    def test_without_greenlet_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = importlib.import_module

        def without_greenlet(name: str, package: str | None = None) -> Any:
            if name == "greenlet":
                raise ImportError(name)
            return original(name, package)

        monkeypatch.setattr(importlib, "import_module", without_greenlet)

        with pytest.raises(MissingExtra, match=r"pip install callboard\[testing\]"):
            [Simulation(seed) for seed in range(100)]


class TestDecisions:
    @pytest.mark.parametrize(("hand_offs", "expected"), [(0.0, 0), (1.0, 5)])
    def test_a_hand_off_is_one(self, hand_offs: float, expected: int) -> None:
        walk = Walk(points=0, hand_offs=hand_offs)
        with Simulation(explore=walk) as sim, ActorSystem(runtime=sim.runtime) as system:
            quick = system.spawn(QuickCounter)
            sim.settle()

            for _ in range(5):
                quick.ask(Add(1))

            kinds = [entry[0] for entry in sim.trace.entries]
            assert kinds.count("hand-off") == expected

    def test_others_may_come_in_before_a_message_a_notice_and_a_signal_are_there(self) -> None:
        with (
            Simulation(explore=Walk(points=1.0, hand_offs=0)) as sim,
            ActorSystem(runtime=sim.runtime) as system,
        ):
            counter = system.spawn_named("counter", Counter)
            place = system.reserve("place", keeps_mailbox=True)
            sim.settle()

            counter.tell(Add(1))
            counter.suspend()
            place.notify(IdleTimeout())

            met = [entry for entry in sim.trace.entries if entry[0] in {"put", "signal"}]
            assert met == [
                ("put", "the test", "counter", "Add"),
                ("signal", "the test", "counter", "_hold"),
                ("put", "the test", "place", "IdleTimeout"),
            ]
            assert sim.seen("point") >= len(met)

    def test_without_early_timers_time_waits_for_all_who_are_ready(self) -> None:
        for seed in range(100):
            walk = Walk(early_timers=0)
            with Simulation(seed, explore=walk) as sim, ActorSystem(runtime=sim.runtime) as system:
                counter = system.spawn(Counter)
                counter.tell(Do(lambda actor: actor.send_after(0.001, Add(1)) and None))
                for _ in range(10):
                    counter.tell(Do(lambda actor: sim.note(actor.sum)))
                sim.run()
                assert [entry[1] for entry in sim.trace.entries if entry[0] == "note"] == [0] * 10


class TestEnding:
    def test_whoever_is_suspended_is_ended_its_finally_included(self) -> None:
        ends: list[str] = []
        threads = threading.active_count()
        sim = Simulation()
        system = ActorSystem(runtime=sim.runtime)

        def sleep(_actor: object) -> None:
            try:
                sim.sleep(100)
            finally:
                ends.append("sleeper")

        async def wait(_actor: object) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ends.append("coroutine")

        class Runner(Counter):
            async def do(self, message: Do) -> None:
                await message.act(self)

        def client() -> None:
            try:
                sim.sleep(100)
            finally:
                ends.append("client")

        system.spawn(Counter).tell(Do(sleep))
        system.spawn(Runner).tell(Do(wait))
        sim.spawn("ada", client)
        sim.settle()

        sim.close()

        assert sorted(ends) == ["client", "coroutine", "sleeper"]
        assert threading.active_count() == threads
        system.stop()

    def test_a_callback_of_the_loop_that_is_ended_is_reported_to_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        steps: list[str] = []
        sim = Simulation(explore=Walk(points=1.0))  # others come in before each message is there
        system = ActorSystem(runtime=sim.runtime)
        counter = system.spawn(Counter)

        def tell(_task: asyncio.Task[Any]) -> None:
            steps.append("begun")
            counter.tell(Add(1))
            steps.append("over")

        async def work(_actor: object) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.add_done_callback(tell)

        class Runner(Counter):
            async def do(self, message: Do) -> None:
                await message.act(self)

        system.spawn(Runner).tell(Do(work))
        sim.run(until=lambda: bool(steps))

        sim.close()

        assert steps == ["begun"]
        assert [each for each in caplog.records if each.name == "asyncio"] == []
        system.stop()

    def test_one_that_swallows_its_end_does_not_hold_up_the_others(self) -> None:
        sim = Simulation()
        system = ActorSystem(runtime=sim.runtime)

        def stubborn(_actor: object) -> None:
            while True:
                with contextlib.suppress(BaseException):  # what nobody should write
                    sim.sleep(100)

        system.spawn(Counter).tell(Do(stubborn))
        sim.settle()

        sim.close()

        system.stop()

    def test_nothing_runs_in_a_closed_one(self) -> None:
        sim = Simulation()
        sim.close()

        with pytest.raises(SimulationClosed):
            sim.run()
        with pytest.raises(SimulationClosed):
            ActorSystem(runtime=sim.runtime)

    def test_a_failure_does_not_hang_the_stop_that_follows_it(self) -> None:
        def fail() -> None:
            raise Boom("in the client")

        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            system.spawn(Counter).tell(Do(lambda _: sim.sleep(1000)))
            sim.settle()
            sim.spawn("ada", fail)

            with pytest.raises(Boom):
                sim.run()

        assert sim.now_s == 0

    def test_the_thread_is_given_back_as_it_was(self) -> None:
        before = local.runner
        walk = Walk(hand_offs=1)

        with Simulation(explore=walk) as sim, ActorSystem(runtime=sim.runtime) as system:
            quick = system.spawn(QuickCounter)
            sim.settle()
            quick.ask(Add(1))
            assert local.runner is not before

        assert local.runner is before

    @pytest.mark.parametrize("clients", [3, 200])
    def test_nothing_of_it_stays_in_memory(self, clients: int) -> None:
        def use_it() -> weakref.ref[object]:
            with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
                asked = [system.spawn(AsyncCounter) for _ in range(3)]
                for n in range(clients):
                    sim.spawn(f"client-{n}", lambda: sim.sleep(1))
                sim.run()
                assert [each.ask(Add(1)) for each in asked] == [1, 1, 1]
                return weakref.ref(sim._hub)

        hub = use_it()
        gc.collect()

        assert hub() is None


class TestContexts:
    def test_an_activation_does_not_get_the_context_of_the_last_one(self) -> None:
        mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nobody's")
        seen: list[str] = []

        class Marking(SupervisedActor):
            def terminate(self, reason: object) -> None:
                del reason
                seen.append(mine.get())
                mine.set("the last one's")

        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            for _ in range(5):
                ref = system.spawn(Marking)
                sim.settle()
                ref.exit()
                sim.settle()

        assert seen == ["nobody's"] * 5

    def test_the_senders_context_comes_with_the_message(self) -> None:
        mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nobody's")

        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            def client(name: str) -> str:
                mine.set(name)
                sim.sleep(1)
                return str(counter.ask(Do(lambda _: mine.get())))

            ada = sim.spawn("ada", lambda: client("ada"))
            bob = sim.spawn("bob", lambda: client("bob"))
            sim.run()

            assert (ada.result(), bob.result(), mine.get()) == ("ada", "bob", "nobody's")


class TestPlainFutures:
    def test_an_actor_waits_for_one_in_simulated_time(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            plain: Future[None] = Future()

            with pytest.raises(Timeout):
                system.spawn(Counter).ask(Do(lambda _: plain.get(timeout=3)))

            assert sim.now_s == pytest.approx(3, abs=0.06)

    def test_two_may_wait_for_the_same_one_and_one_of_them_is_killed(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            shared: Future[int] = Future()
            one, two = system.spawn(Counter), system.spawn(Counter)
            answers = [each.ask(Do(lambda _: shared.get()), block=False) for each in (one, two)]
            sim.settle()

            one.kill()
            sim.settle()
            shared.offer(7)

            with pytest.raises(DeliveryError):
                answers[0].get()
            assert answers[1].get() == 7


class TestBounds:
    def test_a_full_mailbox_refuses(self) -> None:
        with (
            Simulation(explore=Walk(points=0)) as sim,
            ActorSystem(runtime=sim.runtime, settings=Settings(mailbox_max=2)) as system,
        ):
            counter = system.spawn(Counter)
            sim.settle()
            asked = [counter.ask(Add(1), block=False) for _ in range(2)]

            with pytest.raises(DeliveryError, match="full"):
                counter.tell(Add(1))

            assert [each.get() for each in asked] == [1, 2]

    def test_a_crash_in_init_is_the_childs_own(self) -> None:
        class Stillborn(SupervisedActor):
            def __init__(self) -> None:
                raise Boom("in __init__")

        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            ref = system.spawn(Stillborn)

            with pytest.raises(StartFailed):
                ref.wait_started()

            assert isinstance(ref.reason, Crashed)


class TestTheTestsOwnEventLoop:
    def test_may_await_an_answer(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)

            async def test() -> list[int]:
                return await asyncio.gather(*(counter.ask_async(Add(1)) for _ in range(5)))

            assert sorted(asyncio.run(test())) == [1, 2, 3, 4, 5]

    def test_may_wait_in_simulated_time(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            counter.tell(Do(lambda _: sim.sleep(1000)))

            async def test() -> None:
                with pytest.raises(Timeout):
                    await counter.ask_async(Add(1), timeout=100)

            asyncio.run(test())

            assert 100 <= sim.now_s < 101

    def test_gets_the_deadlock_it_is_in(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            never: Future[None] = Future(blocker=system.dispatcher)
            counter.tell(Do(lambda _: never.get()))

            async def test() -> int:
                return await counter.ask_async(Add(1), timeout=math.inf)

            with pytest.raises(Deadlock):
                asyncio.run(test())
