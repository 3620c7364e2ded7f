"""Handlers that await: on the system's loop, still one message at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    Crashed,
    Killed,
    Normal,
    Shutdown,
    Timeout,
)
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

    def test_that_awaits_itself_ends_at_its_deadline(self, system: ActorSystem) -> None:
        """No cycle is seen where nothing blocks: what awaits may be one of several tasks."""

        async def act(actor: Any) -> None:
            await actor.actor_ref.ask_async(Await(act))

        with pytest.raises(Timeout):
            system.spawn(AsyncPuppet).ask(Await(act), timeout=0.05)

    def test_whose_asker_gave_up_goes_on(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        async def act(_actor: Any) -> None:
            await gate.passed()
            box.put("went on")

        with pytest.raises(Timeout):
            system.spawn(AsyncPuppet).ask(Await(act), timeout=0.01)
        gate.open()

        assert box.take() == "went on"

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
