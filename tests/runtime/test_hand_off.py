"""Running an idle actor on the asker's own thread."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false
import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from callboard.supervision import LATER, ActorDeadError, ActorSystem, Crashed, Normal, Settings
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
    boom,
    give,
    idle,
    put,
    reason_of,
    refuse,
    threads_only,
)


def thread_of(_actor: Any) -> str:
    return threading.current_thread().name


def here() -> str:
    return threading.current_thread().name


class ShortAsync(AsyncPuppet):
    hand_off = True


class TestAnAskOfAShortActor:
    def test_that_is_idle_runs_on_the_askers_thread(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        assert ref.ask(Do(thread_of)) == here()

    @threads_only
    def test_is_run_by_a_worker_where_the_class_does_not_declare_it(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(Puppet).wait_started()

        assert ref.ask(Do(thread_of)) != here()

    @threads_only
    def test_that_has_not_started_waits_for_its_start(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Short, starts=gate.wait)
        answer = ref.ask(Do(thread_of), block=False)

        gate.open()

        assert answer.get() != here()

    def test_keeps_its_place_behind_the_senders_own_tells(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Short, hears=box.put).wait_started()

        for number in range(200):
            ref.tell(number)
            ref.ask(Do(put(box, -number)))

        assert box.waiting == [each for n in range(200) for each in (n, -n)]

    @threads_only
    def test_on_an_event_loop_goes_through_the_pool(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()

        async def main() -> str:
            return await ref.ask_async(Do(thread_of))

        assert asyncio.run(main()) != here()

    @threads_only
    def test_made_blocking_on_an_event_loop_goes_through_the_pool(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(Short).wait_started()

        async def main() -> str:
            return ref.ask(Do(thread_of))

        assert asyncio.run(main()) != here()

    @threads_only
    def test_that_wants_a_future_goes_through_the_pool(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()

        assert ref.ask(Do(thread_of), block=False).get() != here()

    @threads_only
    def test_goes_at_most_eight_deep(self, system: ActorSystem) -> None:
        refs = [system.spawn(Short).wait_started() for _ in range(20)]
        for ref in refs:
            idle(ref)

        def act(depth: int) -> Any:
            def go(_actor: Any) -> list[str]:
                deeper = refs[depth + 1].ask(Do(act(depth + 1))) if depth < 19 else []
                return [here(), *deeper]

            return go

        threads = refs[0].ask(Do(act(0)))

        assert len(threads) == 20
        assert threads[:8] == [here()] * 8
        assert threads[8] != here()

    def test_with_an_async_handler_waits_for_its_end(self, system: ActorSystem) -> None:
        ref = system.spawn(ShortAsync).wait_started()

        async def act(_actor: Any) -> str:
            await asyncio.sleep(0)
            return "awaited"

        assert ref.ask(Await(act)) == "awaited"

    def test_that_took_long_is_counted(self) -> None:
        with ActorSystem("strict", settings=Settings(handoff_max_s=1e-9)) as system:
            ref = system.spawn(Short).wait_started()
            idle(ref)

            ref.ask(Do(lambda _: None))

            assert system.counts["slow_hand_offs"] >= 1

    def test_leaves_the_actor_free_for_the_next(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()

        assert [ref.ask(Do(give(n))) for n in range(100)] == list(range(100))

    def test_gives_a_nested_ask_what_is_left_of_its_time(self, system: ActorSystem) -> None:
        inner, outer = system.spawn(Puppet), system.spawn(Short).wait_started()
        idle(outer)

        def act(_actor: Any) -> float | None:
            return inner.ask(Do(lambda _: None), block=False, timeout=1000).deadline_s

        before_s = system.clock.now_s()
        deadline_s = outer.ask(Do(act), timeout=7)

        assert deadline_s is not None
        assert deadline_s <= system.clock.now_s() + 7
        assert deadline_s >= before_s

    def test_does_not_let_the_handlers_context_leak_to_the_asker(self, system: ActorSystem) -> None:
        color = ContextVar("color", default="none")
        ref = system.spawn(Short).wait_started()
        idle(ref)
        color.set("mine")

        seen = ref.ask(Do(lambda _: (color.get(), color.set("theirs"))[0]))

        assert seen == "mine"
        assert color.get() == "mine"


class TestAHandOffThatFails:
    def test_by_a_refusal_leaves_the_actor_alive(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        with pytest.raises(No):
            ref.ask(Do(refuse))

        assert ref.ask(Do(lambda _: "alive")) == "alive"

    def test_by_a_crash_ends_the_actor_and_the_asker_gets_the_exception(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        with pytest.raises(Boom):
            ref.ask(Do(boom))

        assert isinstance(reason_of(ref), Crashed)

    @threads_only
    def test_cleans_up_on_a_worker_not_on_the_askers_stack(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Short, ends=lambda _: box.put(here())).wait_started()
        idle(ref)

        with pytest.raises(Boom):
            ref.ask(Do(boom))

        assert box.take() != here()

    def test_takes_no_message_between_the_crash_and_the_end(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Short, ends=lambda _: None).wait_started()
        idle(ref)

        with pytest.raises(Boom):
            ref.ask(Do(boom))
        with pytest.raises(ActorDeadError):
            ref.ask(Do(lambda _: box.put("handled by a crashed actor")))

        assert box.waiting == []

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_by_an_interrupt_ends_the_actor_and_goes_on_in_the_asker(
        self, system: ActorSystem, kind: type[BaseException]
    ) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        def act(_actor: Any) -> None:
            raise kind

        with pytest.raises(kind):
            ref.ask(Do(act))

        assert isinstance(reason_of(ref), Crashed)

    def test_ends_the_inner_actor_and_the_one_that_let_it_pass(self, system: ActorSystem) -> None:
        inner, outer = system.spawn(Short).wait_started(), system.spawn(Short).wait_started()
        idle(inner)
        idle(outer)

        with pytest.raises(Boom):
            outer.ask(Do(lambda _: inner.ask(Do(boom))))

        assert isinstance(reason_of(inner), Crashed)
        assert isinstance(reason_of(outer), Crashed)

    def test_spares_an_outer_actor_that_catches_it(self, system: ActorSystem) -> None:
        inner, outer = system.spawn(Short).wait_started(), system.spawn(Short).wait_started()
        idle(inner)
        idle(outer)

        def act(_actor: Any) -> str:
            with pytest.raises(Boom):
                inner.ask(Do(boom))
            return "caught"

        assert outer.ask(Do(act)) == "caught"
        assert outer.is_alive()


class TestAHandedActorMay:
    def test_stop_itself(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        assert ref.ask(Do(lambda actor: (actor.stop(), "answer")[1])) == "answer"
        assert reason_of(ref) == Normal()

    def test_tell_itself(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Short, hears=box.put).wait_started()
        idle(ref)

        ref.ask(Do(lambda actor: actor.actor_ref.tell("to myself")))

        assert box.take() == "to myself"

    def test_continue_with_a_message(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Short, hears=box.put).wait_started()
        idle(ref)

        ref.ask(Do(lambda actor: actor.continue_with("next")))

        assert box.take() == "next"

    def test_answer_later(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        def act(actor: Any) -> Any:
            reply = actor.reply_later()
            actor.actor_ref.tell(Do(lambda _: reply.offer("later")))
            return LATER

        assert ref.ask(Do(act)) == "later"

    def test_be_killed_by_its_own_handler(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)

        with pytest.raises(ActorDeadError):
            ref.ask(Do(lambda actor: actor.actor_ref.kill()))

        assert ref.is_dead


class TestWhileAHandOffIsUnderWay:
    def test_others_wait_for_their_turn(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Short, hears=box.put).wait_started()
        idle(ref)

        def act(actor: Any) -> None:
            for number in range(10):
                actor.actor_ref.tell(number)
            assert box.waiting == []

        ref.ask(Do(act))

        assert box.take_many(10) == list(range(10))
