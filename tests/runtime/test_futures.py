"""Replies that are there now or later."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import asyncio
import queue
import threading
from typing import Any

import pykka
import pytest

from callboard.supervision import ActorSystem, Future, Timeout, get_all
from callboard.supervision.runtime.futures import CallbackFailed, completed
from callboard.supervision.runtime.interrupts import KillSignal
from tests.runtime.kit import WITHIN_S, Boom, Do, Gate, Puppet, boom, give, threads_only


class TestAFuture:
    def test_is_a_pykka_future(self) -> None:
        assert isinstance(Future[int](), pykka.Future)

    def test_gives_its_value_as_often_as_it_is_asked(self) -> None:
        future: Future[int] = Future()
        future.set(1)

        assert [future.get(), future.get()] == [1, 1]

    def test_is_set_once_the_first_wins(self) -> None:
        future: Future[int] = Future()

        taken = [future.offer(1), future.offer(2), future.offer_exception(Boom())]

        assert taken == [True, False, False]
        assert future.get() == 1

    def test_set_a_second_time_raises_as_in_pykka(self) -> None:
        future: Future[int] = Future()
        future.set(1)

        with pytest.raises(queue.Full):
            future.set(2)
        with pytest.raises(queue.Full):
            future.set_exception((Boom, Boom(), None))

    def test_raises_the_exception_that_was_set(self) -> None:
        future: Future[int] = Future()
        error = Boom("once")
        future.offer_exception(error)

        for _ in range(2):
            with pytest.raises(Boom) as caught:
                future.get()
            assert caught.value is error

    def test_read_often_does_not_let_the_traceback_grow(self) -> None:
        future: Future[int] = Future()
        future.offer_exception(Boom())
        depths: list[int] = []

        for _ in range(5):
            with pytest.raises(Boom) as caught:
                future.get()
            depths.append(len(caught.traceback))

        assert len(set(depths)) == 1

    def test_takes_the_exception_being_handled(self) -> None:
        future: Future[int] = Future()
        try:
            boom()
        except Boom:
            future.set_exception()

        with pytest.raises(Boom):
            future.get()

    def test_that_timed_out_may_be_read_later(self) -> None:
        future: Future[int] = Future()

        with pytest.raises(Timeout):
            future.get(timeout=0.001)
        future.set(1)

        assert future.get() == 1

    def test_wakes_every_thread_that_waits(self) -> None:
        future: Future[int] = Future()
        got: queue.SimpleQueue[int] = queue.SimpleQueue()
        threads = [threading.Thread(target=lambda: got.put(future.get())) for _ in range(5)]
        for each in threads:
            each.start()

        future.set(7)

        for each in threads:
            each.join(WITHIN_S)
        assert [got.get_nowait() for _ in range(5)] == [7] * 5

    def test_calls_a_waker_once_or_says_that_it_is_there_already(self) -> None:
        future: Future[int] = Future()
        woken: list[str] = []

        assert future.add_waiter(lambda: woken.append("woken"))
        future.set(1)

        assert woken == ["woken"]
        assert not future.add_waiter(lambda: woken.append("too late"))
        assert woken == ["woken"]

    def test_calls_who_listens_when_it_is_done_and_not_when_one_who_waits_is_killed(self) -> None:
        future: Future[int] = Future()
        heard: list[int] = []
        future.when_done(lambda: heard.append(future.get()))

        future.rouse()  # as the kill of one who waits does

        assert heard == []
        future.set(1)
        assert heard == [1]

    def test_calls_who_listens_at_once_when_it_is_done(self) -> None:
        heard: list[str] = []

        completed(1).when_done(lambda: heard.append("at once"))

        assert heard == ["at once"]


class TestACallbackThatRaises:
    def test_keeps_no_other_waiter_from_being_woken(self, caplog: pytest.LogCaptureFixture) -> None:
        future: Future[int] = Future()
        heard: list[int] = []
        future.when_done(boom)
        future.when_done(lambda: heard.append(future.get()))

        assert future.offer(1)

        assert heard == [1]
        assert "callback.failed reason=crashed: Boom" in caplog.text  # no system knows of it

    def test_hurts_nobody_who_replies_and_is_an_event_and_counted(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        events: list[object] = []
        system.on_event = events.append
        replier = system.spawn(Puppet)
        reply = replier.ask(Do(lambda _: (gate.wait(), 1)[1]), block=False)
        reply.when_done(boom)

        gate.open()

        assert reply.get(timeout=WITHIN_S) == 1
        assert replier.ask(Do(give("still there"))) == "still there"
        assert replier.is_alive()
        assert system.counts["failed_callbacks"] == 1
        [failed] = [each for each in events if isinstance(each, CallbackFailed)]
        assert failed.name == "Puppet"
        assert failed.reason.error == "Boom"

    def test_in_whoever_registers_late_is_theirs(self) -> None:
        with pytest.raises(Boom):
            completed(1).when_done(boom)

    def test_lets_a_kill_pass(self) -> None:
        future: Future[int] = Future()

        def is_killed() -> None:
            raise KillSignal

        future.when_done(is_killed)

        with pytest.raises(KillSignal):
            future.offer(1)


class TestTheUsersOwnTimeout:
    def test_does_not_give_up_the_ask(self, system: ActorSystem, gate: Gate) -> None:
        future = system.spawn(Puppet).ask(Do(lambda _: (gate.wait(), 1)[1]), block=False)

        with pytest.raises(Timeout):
            future.get(timeout=0.01)
        gate.open()

        assert future.get() == 1


class TestCombinedFutures:
    def test_map_applies_once(self, system: ActorSystem) -> None:
        calls: list[int] = []

        def double(value: int) -> int:
            calls.append(value)
            return value * 2

        mapped = system.spawn(Puppet).ask(Do(lambda _: 21), block=False).map(double)

        assert [mapped.get(), mapped.get()] == [42, 42]
        assert calls == [21]

    def test_join_gives_all_results_in_order(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        one, two, three = (ref.ask(Do(give(n)), block=False) for n in (1, 2, 3))

        assert list(one.join(two, three).get()) == [1, 2, 3]

    def test_get_all_gives_all_results_in_order(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        futures = [ref.ask(Do(give(n)), block=False) for n in range(5)]

        assert get_all(futures, timeout=WITHIN_S) == [0, 1, 2, 3, 4]

    def test_get_all_bounds_all_of_them_together(self) -> None:
        system = ActorSystem("clocked")
        clock = _Steps()
        futures = [_Ticking(clock) for _ in range(10)]

        with pytest.raises(Timeout):
            get_all(futures, timeout=3.5)

        assert clock.time_s == 4.0
        system.stop()

    def test_a_hook_that_raises_may_be_tried_again(self) -> None:
        answers: list[Any] = [1]
        future: Future[int] = Future()
        future.set_get_hook(lambda _timeout: answers.pop(0) if len(answers) < 2 else boom())
        answers.append(2)

        with pytest.raises(Boom):
            future.get()
        answers.pop()

        assert future.get() == 1

    def test_filter_and_reduce_work_as_in_pykka(self, system: ActorSystem) -> None:
        numbers: Any = system.spawn(Puppet).ask(Do(lambda _: [1, 2, 3, 4]), block=False)

        assert list(numbers.filter(lambda n: n % 2 == 0).get()) == [2, 4]
        assert numbers.reduce(lambda a, b: a + b).get() == 10


class _Steps:
    """A clock that goes on by a second with each wait."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_s(self) -> float:
        return self.time_s

    def block(self, future: Future[Any], until_s: float | None) -> None:
        self.time_s += 1.0
        if until_s is None or until_s >= self.time_s:
            future.offer(None)

    def awaited_in(self, loop: object, future: Future[Any]) -> None:
        """Take notice of a wait on an event loop; none is made here."""


class _Ticking(Future[Any]):
    def __init__(self, clock: _Steps) -> None:
        super().__init__(blocker=clock)


@threads_only
class TestAwaiting:
    def test_gives_the_answer(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        async def main() -> int:
            return await ref.ask_async(Do(lambda _: 42))

        assert asyncio.run(main()) == 42

    def test_raises_what_the_handler_raised(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        async def main() -> None:
            await ref.ask_async(Do(boom))

        with pytest.raises(Boom):
            asyncio.run(main())

    def test_leaves_the_loop_free(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet)

        async def main() -> str:
            answer = asyncio.ensure_future(ref.ask_async(Do(lambda _: (gate.wait(), "answer")[1])))
            await asyncio.sleep(0)
            gate.open()  # reached only because the loop is not blocked
            return await answer

        assert asyncio.run(main()) == "answer"

    def test_ends_at_the_asks_own_deadline(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet)

        async def main() -> None:
            await ref.ask_async(Do(gate.wait), timeout=0.01)

        with pytest.raises(Timeout):
            asyncio.run(main())
        gate.open()

    def test_may_be_cut_short_by_the_loops_own_timeout(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet)

        async def main() -> None:
            async with asyncio.timeout(0.01):
                await ref.ask_async(Do(gate.wait))

        with pytest.raises(TimeoutError):
            asyncio.run(main())
        gate.open()

    @pytest.mark.seed("2.33")
    def test_that_is_cancelled_abandons_the_reply_not_the_effect(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet)
        done = Gate(system)

        async def main() -> None:
            task = asyncio.ensure_future(ref.ask_async(Do(lambda _: (gate.wait(), done.open()))))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gate.open()

        asyncio.run(main())
        done.wait()

    def test_many_at_once_gathers_all(self, system: ActorSystem) -> None:
        refs = [system.spawn(Puppet) for _ in range(100)]

        async def main() -> list[int]:
            return await asyncio.gather(*(ref.ask_async(Do(give(n))) for n, ref in enumerate(refs)))

        assert asyncio.run(main()) == list(range(100))

    def test_outlives_a_loop_that_was_closed_meanwhile(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet)
        future = ref.ask(Do(lambda _: (gate.wait(), 1)[1]), block=False)

        async def main() -> None:
            waiting = asyncio.ensure_future(_await(future))
            await asyncio.sleep(0)
            waiting.cancel()

        asyncio.run(main())
        gate.open()

        assert future.get() == 1

    def test_a_future_with_a_hook_does_not_block_the_loop(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        mapped = system.spawn(Puppet).ask(Do(lambda _: (gate.wait(), 1)[1]), block=False).map(str)

        async def main() -> Any:
            answer = asyncio.ensure_future(_await(mapped))
            await asyncio.sleep(0)
            gate.open()
            return await answer

        assert asyncio.run(main()) == "1"

    def test_one_future_from_two_tasks_gives_both_the_answer(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        future = system.spawn(Puppet).ask(Do(lambda _: (gate.wait(), 1)[1]), block=False)

        async def main() -> list[Any]:
            both = asyncio.gather(_await(future), _await(future))
            await asyncio.sleep(0)
            gate.open()
            return list(await both)

        assert asyncio.run(main()) == [1, 1]


async def _await(future: Any) -> Any:
    return await future
