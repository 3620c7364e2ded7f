"""Handlers that await: on the system's loop, still one message at a time."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    AskCycle,
    Crashed,
    Killed,
    Normal,
    Shutdown,
    Timeout,
)
from callboard.supervision.runtime.current import Activation, local
from callboard.supervision.testing import Simulation, simulate
from callboard.supervision.testing.loop import SimulatedLoopPort
from tests.runtime.kit import (
    AsyncPuppet,
    Await,
    Boom,
    Box,
    Do,
    Gate,
    No,
    Puppet,
    Short,
    idle,
    reason_of,
    refuse,
    threads_only,
)


async def aboom(_actor: object) -> None:
    raise Boom("as it was told to")


class TestAnAsyncHandler:
    def test_gives_its_answer_when_it_is_over(self, system: ActorSystem) -> None:
        async def act(_actor: Any) -> int:
            await asyncio.sleep(0)
            return 42

        assert system.spawn(AsyncPuppet).ask(Await(act)) == 42

    def test_holds_the_mailbox_until_it_is_over(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(AsyncPuppet, hears=box.put)

        async def act(_actor: Any) -> None:
            box.put("begins")
            await gate.passed()
            box.put("ends")

        ref.tell(Await(act))
        assert box.take() == "begins"
        ref.tell("next")
        gate.open()

        assert box.take_many(2) == ["ends", "next"]

    @threads_only
    def test_needs_no_thread_while_it_waits(self, system: ActorSystem, gate: Gate) -> None:
        async def act(_actor: Any) -> int:
            await gate.passed()
            return 1

        answers = [system.spawn(AsyncPuppet).ask(Await(act), block=False) for _ in range(200)]
        idle(system.spawn(Puppet))

        mine = [each for each in threading.enumerate() if each.name.startswith("under-test")]
        assert len(mine) < 20
        gate.open()
        assert [each.get() for each in answers] == [1] * 200

    def test_that_raises_ends_the_actor(self, system: ActorSystem) -> None:
        ref = system.spawn(AsyncPuppet)

        with pytest.raises(Boom):
            ref.ask(Await(aboom))

        reason = reason_of(ref)
        assert isinstance(reason, Crashed)
        assert reason.error == "Boom"

    def test_may_refuse(self, system: ActorSystem) -> None:
        ref = system.spawn(AsyncPuppet)

        async def act(actor: Any) -> None:
            refuse(actor)

        with pytest.raises(No):
            ref.ask(Await(act))

        assert ref.is_alive()

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_that_raises_a_base_exception_ends_itself_and_not_the_loop(
        self, system: ActorSystem, kind: type[BaseException]
    ) -> None:
        async def act(_actor: Any) -> None:
            await asyncio.sleep(0)
            raise kind

        async def fine(_actor: Any) -> str:
            await asyncio.sleep(0)
            return "fine"

        ref, other = system.spawn(AsyncPuppet), system.spawn(AsyncPuppet)

        with pytest.raises(kind):
            ref.ask(Await(act))

        assert isinstance(reason_of(ref), Crashed)
        assert other.ask(Await(fine)) == "fine"

    def test_may_await_another_actor(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)

        async def act(_actor: Any) -> int:
            return await other.ask_async(Do(lambda _: 7)) + 1

        assert system.spawn(AsyncPuppet).ask(Await(act)) == 8

    def test_gives_a_nested_ask_what_is_left_of_its_time(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)

        async def act(_actor: Any) -> float | None:
            future = other.ask(Do(lambda _: None), block=False, timeout=1000)
            await future
            return future.deadline_s

        future = system.spawn(AsyncPuppet).ask(Await(act), block=False, timeout=30)

        assert future.get() == future.deadline_s

    def test_may_not_block_the_loop_by_an_ask(self, system: ActorSystem, box: Box) -> None:
        other = system.spawn(Puppet)

        async def act(_actor: Any) -> None:
            other.ask(Do(lambda _: box.put("handled all the same")))

        with pytest.raises(Exception, match="blocking"):
            system.spawn(AsyncPuppet).ask(Await(act))

        idle(other)
        assert box.waiting == []

    def test_is_finished_before_an_exit(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        async def act(_actor: Any) -> str:
            box.put("in hand")
            await gate.passed()
            return "finished"

        ref = system.spawn(AsyncPuppet)
        answer = ref.ask(Await(act), block=False)
        box.take()

        ref.exit()
        assert ref.is_alive()
        gate.open()

        assert answer.get() == "finished"
        assert reason_of(ref) == Shutdown()

    def test_may_stop_its_actor(self, system: ActorSystem) -> None:
        async def act(actor: Any) -> str:
            actor.stop()
            await asyncio.sleep(0)
            return "answer"

        ref = system.spawn(AsyncPuppet)

        assert ref.ask(Await(act)) == "answer"
        assert reason_of(ref) == Normal()

    @threads_only
    def test_that_is_killed_before_it_began_never_begins(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        hogging = system.spawn(AsyncPuppet)
        hogging.tell(Await(hog_in_thread(gate, box)))
        assert box.take() == "hogging"
        ref = system.spawn(AsyncPuppet)

        async def act(_actor: Any) -> None:
            box.put("began")

        answer = ref.ask(Await(act), block=False)
        until_it_is_in_hand(system, ref)
        ref.kill()
        gate.open()

        with pytest.raises(ActorDeadError):
            answer.get()
        idle_async(hogging)
        assert box.waiting == []

    def test_runs_in_the_context_of_its_sender(self, system: ActorSystem) -> None:
        from contextvars import ContextVar  # noqa: PLC0415

        trace: ContextVar[str] = ContextVar("trace", default="none")

        async def act(_actor: Any) -> str:
            await asyncio.sleep(0)
            return trace.get()

        ref = system.spawn(AsyncPuppet)
        trace.set("trace-1")

        assert ref.ask(Await(act)) == "trace-1"

    @threads_only
    def test_may_ask_a_short_actor_without_running_it_on_the_loop(
        self, system: ActorSystem
    ) -> None:
        short = system.spawn(Short).wait_started()
        idle(short)

        async def act(_actor: Any) -> tuple[str, str]:
            mine = threading.current_thread().name
            return mine, await short.ask_async(Do(lambda _: threading.current_thread().name))

        mine, theirs = system.spawn(AsyncPuppet).ask(Await(act))

        assert mine != theirs

    def test_under_way_when_the_system_stops_is_cancelled(self) -> None:
        with ActorSystem("stopped") as system:
            gate, inner = Gate(system), Box(system)

            async def act(_actor: Any) -> None:
                inner.put("in hand")
                try:
                    await gate.passed()
                finally:
                    inner.put("finally")

            ref = system.spawn_named("waiting", AsyncPuppet)
            answer = ref.ask(Await(act), block=False)
            inner.take()

            report = system.stop(timeout_s=0.05)

        assert report.unstopped == ("waiting",)
        assert ref.reason == Killed()
        with pytest.raises(ActorDeadError):
            answer.get()
        assert inner.waiting == ["finally"]


class TestAnAskerWhoGaveUp:
    def test_has_the_handler_cancelled_and_its_actor_lives_on(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        async def act(_actor: Any) -> None:
            try:
                await gate.passed()
            except asyncio.CancelledError:
                box.put("cancelled")
                raise

        ref = system.spawn(AsyncPuppet)
        with pytest.raises(Timeout):
            ref.ask(Await(act), timeout=0.05)

        assert box.take() == "cancelled"
        idle(ref)
        assert ref.is_alive()
        assert system.counts["cancelled_handlers"] == 1

    def test_need_not_be_waiting(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(AsyncPuppet)
        answer = ref.ask(Await(gate.passed), block=False, timeout=0.05)

        idle(ref)  # it waits for its turn, which comes when the one before is cancelled

        assert isinstance(answer.error, Timeout)
        assert not gate.is_open

    def test_leaves_the_handler_all_its_time_to_clean_up(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        async def act(_actor: Any) -> str:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                box.put("cancelled")
                await gate.passed()
            box.put("cleaned up")
            return "too late"

        ref = system.spawn(AsyncPuppet, hears=box.put)
        with pytest.raises(Timeout):
            ref.ask(Await(act), timeout=0.05)
        ref.tell("next")
        first = box.take()
        gate.open()

        assert [first, *box.take_many(2)] == ["cancelled", "cleaned up", "next"]

    def test_ends_the_actor_if_the_handler_raises_something_else(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        async def act(actor: Any) -> None:
            try:
                await gate.passed()
            finally:
                await aboom(actor)

        ref = system.spawn(AsyncPuppet)
        with pytest.raises(Timeout):
            ref.ask(Await(act), timeout=0.05)

        reason = reason_of(ref)
        assert isinstance(reason, Crashed)
        assert reason.error == "Boom"

    def test_has_what_the_handler_asked_for_dropped_too(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        other = system.spawn(Puppet, hears=box.put)
        other.tell(Do(gate.wait))

        async def act(_actor: Any) -> None:
            await other.ask("asked on", block=False, timeout=math.inf)

        ref = system.spawn(AsyncPuppet)
        with pytest.raises(Timeout):
            ref.ask(Await(act), timeout=0.05)
        idle(ref)  # not crashed: it is cancelled before what it asked can time out
        gate.open()
        idle(other)

        assert box.waiting == []
        assert system.counts["expired_messages"] == 1

    def test_is_no_concern_of_one_that_was_told(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        async def act(_actor: Any) -> None:
            await gate.passed()
            box.put("done")

        asked, told = system.spawn(AsyncPuppet), system.spawn(AsyncPuppet)
        told.tell(Await(act))
        with pytest.raises(Timeout):
            asked.ask(Await(gate.passed), timeout=0.05)
        gate.open()

        assert box.take() == "done"

    def test_is_no_concern_of_one_that_has_answered(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            ref = system.spawn(AsyncPuppet)

            async def act(_actor: Any) -> int:
                await asyncio.sleep(1)
                return 1

            first = ref.ask(Await(act), block=False, timeout=1.5)
            then = ref.ask(Await(act), block=False, timeout=3)
            sim.advance(2.5)
            left = watched()
            sim.advance(10)

            assert [first.get(), then.get()] == [1, 1]
            assert left == []
            assert "cancelled_handlers" not in system.counts

    def test_keeps_nobody_in_memory_who_has_ended_before(self) -> None:
        with Simulation() as sim, ActorSystem(runtime=sim.runtime) as system:
            other, ref = system.spawn(Puppet), system.spawn(AsyncPuppet)

            async def act(_actor: Any) -> None:
                await other.ask_async(Do(lambda _: None), timeout=60)

            ref.tell(Await(act))
            sim.settle()
            ref.stop()
            sim.settle()
            loop = system.loop
            assert isinstance(loop, SimulatedLoopPort)
            assert loop._loop is not None
            loop._loop._made.clear()
            gc.collect()

            assert [each for each in gc.get_referrers(ref) if isinstance(each, Activation)] == []

    @simulate(schedules=50, replayed=1)
    def test_never_crashes_one_that_awaits_somebody_else(self, sim: Simulation) -> None:
        """What it awaits has the same deadline: of the two, the cancellation must come first."""
        with ActorSystem(runtime=sim.runtime) as system:
            gate = Gate(system)
            other, ref = system.spawn(Puppet), system.spawn(AsyncPuppet)
            other.tell(Do(gate.wait))

            async def act(_actor: Any) -> None:
                await asyncio.sleep(sim.seed / 97)
                await other.ask_async(Do(lambda _: None), timeout=60)

            answer = ref.ask(Await(act), block=False, timeout=1.0)
            sim.advance(0.9)
            under_way = watched()
            sim.advance(1.0)

            assert isinstance(answer.error, Timeout)
            assert len(under_way) == 1
            assert ref.is_alive()
            gate.open()


class TestACycleOfAwaits:
    def test_of_one_with_itself_is_refused(self, system: ActorSystem) -> None:
        async def act(actor: Any) -> None:
            await actor.actor_ref.ask_async(Do(lambda _: "never"), timeout=math.inf)

        ref = system.spawn_named("narcissus", AsyncPuppet)

        with pytest.raises(AskCycle, match="narcissus -> narcissus"):
            ref.ask(Await(act))

    def test_of_two_is_refused(self, system: ActorSystem) -> None:
        ada, bob = (system.spawn_named(name, AsyncPuppet) for name in ("ada", "bob"))

        async def back(_actor: Any) -> None:
            await ada.ask_async(Do(lambda _: "never"))

        async def there(_actor: Any) -> None:
            await bob.ask_async(Await(back))

        with pytest.raises(AskCycle, match="bob -> ada -> bob"):
            ada.ask(Await(there))

    def test_is_seen_through_one_that_blocks(self, system: ActorSystem) -> None:
        ada, bob = system.spawn_named("ada", Puppet), system.spawn_named("bob", AsyncPuppet)

        async def back(_actor: Any) -> None:
            await ada.ask_async(Do(lambda _: "never"))

        with pytest.raises(AskCycle, match="bob -> ada -> bob"):
            ada.ask(Do(lambda _: bob.ask(Await(back))))

    def test_that_is_caught_leaves_nothing_in_the_mailbox(
        self, system: ActorSystem, box: Box
    ) -> None:
        async def act(actor: Any) -> str:
            try:
                await actor.actor_ref.ask_async("to myself")
            except AskCycle:
                return "refused"
            return "answered"

        ref = system.spawn(AsyncPuppet, hears=box.put)

        assert ref.ask(Await(act)) == "refused"
        idle(ref)
        assert box.waiting == []

    def test_is_over_when_the_wait_is(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)

        async def act(actor: Any) -> str:
            await other.ask_async(Do(lambda _: None))
            mine = actor.actor_ref
            await asyncio.sleep(0)
            return await other.ask_async(Do(lambda _: str(mine.waiting is None)))

        async def come_back(actor: Any) -> None:
            first.append(actor.actor_ref.waiting)

        first: list[Any] = []
        ref = system.spawn(AsyncPuppet)
        assert ref.ask(Await(act)) == "False"  # it waits for this very answer
        ref.ask(Await(come_back))
        assert first == [None]

    def test_is_not_seen_where_the_handler_may_not_be_waiting(
        self, system: ActorSystem, box: Box
    ) -> None:
        """A task that the handler made may outlive it: then the ask is answered after all."""
        tasks: list[asyncio.Task[None]] = []

        async def later(actor: Any) -> None:
            box.put(await actor.actor_ref.ask_async(Do(lambda _: "answered")))

        async def act(actor: Any) -> None:
            tasks.append(asyncio.create_task(later(actor)))
            await asyncio.sleep(0)

        system.spawn(AsyncPuppet).ask(Await(act))

        assert box.take() == "answered"


class TestATaskThatAHandlerMade:
    """It may outlive its handler, and then it answers nobody."""

    def test_has_no_deadline_when_the_handler_is_over(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        other = system.spawn(Puppet)
        tasks: list[asyncio.Task[None]] = []

        async def later() -> None:
            await gate.passed()
            box.put(other.ask(Do(lambda _: None), block=False, timeout=3600.0).deadline_s)

        async def act(_actor: Any) -> str:
            tasks.append(asyncio.create_task(later()))
            return "begun"

        future = system.spawn(AsyncPuppet).ask(Await(act), block=False, timeout=60.0)
        assert future.get() == "begun"
        gate.open()

        assert future.deadline_s is not None
        assert box.take() > future.deadline_s + 1800

    def test_has_the_handlers_deadline_until_then(self, system: ActorSystem) -> None:
        other = system.spawn(Puppet)

        async def ask() -> float | None:
            return other.ask(Do(lambda _: None), block=False).deadline_s

        async def act(_actor: Any) -> list[float | None]:
            return list(await asyncio.gather(ask(), ask()))

        future = system.spawn(AsyncPuppet).ask(Await(act), block=False, timeout=1.0)

        assert future.get() == [future.deadline_s] * 2


class TestAnAsyncStart:
    def test_is_complete_when_the_coroutine_is(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, starts=gate.passed)
        answer = ref.ask(Do(lambda _: "handled"), block=False)

        assert not ref.is_started
        gate.open()

        ref.wait_started()
        assert answer.get() == "handled"

    def test_that_raises_fails(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet, starts=aboom)

        assert isinstance(reason_of(ref), Crashed)
        assert not ref.is_started


def watched() -> list[object]:
    """Return whose deadlines the loop of a simulation watches."""
    replies = local.replies
    assert replies is not None
    return [each for group in replies._groups.values() for each in group.members]


def hog_in_thread(gate: Gate, box: Box) -> Any:
    """Return an async handler that keeps the loop from doing anything else."""

    async def hog(_actor: Any) -> None:
        box.put("hogging")
        over = threading.Event()
        gate._future.add_waiter(over.set)
        over.wait(10)

    return hog


def until_it_is_in_hand(system: ActorSystem, ref: Any) -> None:
    while ref.operation is None:
        idle(system.spawn(Puppet))


def idle_async(ref: Any) -> None:
    async def nothing(_actor: Any) -> None:
        return

    ref.ask(Await(nothing))
