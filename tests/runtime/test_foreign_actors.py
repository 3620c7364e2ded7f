"""A plain pykka.ThreadingActor under a supervisor, unchanged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorKilled,
    ActorRef,
    ActorSystem,
    ChildSpec,
    Crashed,
    FencedError,
    Killed,
    RestartType,
    Shutdown,
    StartFailed,
    SupervisedActor,
    Supervisor,
    Timeout,
)

WITHIN_S = 10.0


class Counter(pykka.ThreadingActor):
    use_daemon_thread = True
    stopped = threading.Event()
    starts = threading.Semaphore(0)

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    def on_start(self) -> None:
        self.starts.release()

    def on_receive(self, message: object) -> object:
        if message == "boom":
            msg = "boom"
            raise ValueError(msg)
        self.count += 1
        return self.count

    def on_stop(self) -> None:
        self.stopped.set()


class Unwilling(Counter):
    def on_start(self) -> None:
        msg = "not today"
        raise RuntimeError(msg)


class Stubborn(Counter):
    release = threading.Event()

    def on_receive(self, message: object) -> object:
        del message
        return self.release.wait(WITHIN_S)


@pytest.fixture
def system() -> Iterator[ActorSystem]:
    with ActorSystem("foreign") as made:
        yield made


def wait_for_the_end(ref: ActorRef[Any]) -> None:
    assert ref.actor_stopped.wait(WITHIN_S)


class TestAPlainPykkaActor:
    def test_answers_through_its_ref_and_its_name(self, system: ActorSystem) -> None:
        spec = ChildSpec(id="c", start=Counter, args=(5,), name="counter")
        system.spawn(Supervisor, [spec]).wait_started()

        address = system.lookup("counter")

        assert address is not None
        assert address.ask("one more") == 6
        assert address.ref is not None
        assert address.ref.proxy().count.get() == 6

    def test_is_restarted_when_it_dies_of_an_exception(self, system: ActorSystem) -> None:
        spec = ChildSpec(id="c", start=Counter, args=(5,), name="counter")
        system.spawn(Supervisor, [spec], intensity=3).wait_started()
        address = system.lookup("counter")
        assert address is not None
        first = address.ref
        assert first is not None
        address.ask("one more")
        while Counter.starts.acquire(blocking=False):
            pass

        address.tell("boom")
        wait_for_the_end(first)

        reason = first.reason
        assert isinstance(reason, Crashed)
        assert reason.error == "ValueError"
        assert Counter.starts.acquire(timeout=WITHIN_S)
        assert address.ask("one more") == 6

    def test_lives_on_after_an_exception_under_ask_as_in_pykka(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter).wait_started()

        with pytest.raises(ValueError, match="boom"):
            ref.ask("boom")

        assert ref.ask("one more") == 1

    def test_that_cannot_start_fails_the_start(self, system: ActorSystem) -> None:
        ref = system.spawn(Unwilling)

        with pytest.raises(StartFailed) as failed:
            ref.wait_started()

        assert isinstance(failed.value.reason, Crashed)

    def test_is_stopped_in_order_with_its_supervisor(self, system: ActorSystem) -> None:
        Counter.stopped.clear()
        spec = ChildSpec(id="c", start=Counter, name="counter", restart=RestartType.TRANSIENT)
        supervisor = system.spawn(Supervisor, [spec]).wait_started()
        address = system.lookup("counter")
        assert address is not None
        child = address.ref
        assert child is not None

        supervisor.stop()

        assert Counter.stopped.is_set()
        assert child.reason == Shutdown()
        with pytest.raises(ActorDeadError):
            child.tell("too late")

    def test_that_does_not_stop_is_given_up_in_time(self, system: ActorSystem) -> None:
        Stubborn.release.clear()
        spec = ChildSpec(id="c", start=Stubborn, name="stubborn", shutdown_s=0.05)
        supervisor = system.spawn(Supervisor, [spec]).wait_started()
        address = system.lookup("stubborn")
        assert address is not None
        child = address.ref
        assert child is not None
        child.tell("hold on")

        supervisor.stop(timeout=WITHIN_S)

        assert child.reason == Killed()
        Stubborn.release.set()


class Held(Counter):
    """Says that it has begun, then waits to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.handled: list[object] = []
        HELD.append(self)

    def on_receive(self, message: object) -> object:
        self.handled.append(message)
        self.began.release()
        self.let_go.wait(WITHIN_S)
        return message


HELD: list[Held] = []


class Awaiting(SupervisedActor):
    """Awaits an answer of somebody, no longer than a hundredth of a second."""

    async def on_receive(self, message: ActorRef[Held]) -> object:
        try:
            return await message.ask("question", block=False, timeout=0.01)
        except Timeout as late:
            return late


@pytest.fixture
def held(system: ActorSystem) -> Iterator[ActorRef[Held]]:
    HELD.clear()
    yield system.spawn(Held).wait_started()
    HELD[0].let_go.set()


class TestAnAskOfAPlainPykkaActor:
    def test_is_awaited_without_blocking_the_loop_and_ends_in_time(
        self, system: ActorSystem, held: ActorRef[Held]
    ) -> None:
        answer = system.spawn(Awaiting).ask(held, timeout=WITHIN_S)

        assert isinstance(answer, Timeout)
        assert not HELD[0].let_go.is_set()

    def test_that_came_too_late_does_no_harm(self, held: ActorRef[Held]) -> None:
        with pytest.raises(Timeout):
            held.ask("slow", timeout=0.01)
        HELD[0].let_go.set()

        assert held.ask("next") == "next"

    def test_is_answered_at_once_when_it_is_killed(
        self, system: ActorSystem, held: ActorRef[Held]
    ) -> None:
        in_hand = held.ask("in hand", block=False, timeout=WITHIN_S)
        HELD[0].began.acquire()
        waiting = held.ask("waiting", block=False, timeout=WITHIN_S)
        held.tell("told")

        held.kill()

        with pytest.raises(ActorKilled):
            in_hand.get()
        with pytest.raises(ActorDeadError):
            waiting.get()
        assert [each.message for each in system.dead_letters.latest] == ["told"]

        thread = HELD[0]
        HELD[0].let_go.set()
        assert thread.actor_stopped.wait(WITHIN_S)
        assert thread.handled == ["in hand"]
        assert system.counts["fenced_replies"] == 1

    def test_is_answered_when_it_stops_before_its_turn(
        self, system: ActorSystem, held: ActorRef[Held]
    ) -> None:
        held.tell("in hand")
        HELD[0].began.acquire()
        held.exit()
        waiting = held.ask("behind the stop", block=False, timeout=WITHIN_S)
        held.tell("told behind the stop")
        HELD[0].let_go.set()

        with pytest.raises(ActorDeadError):
            waiting.get()
        wait_for_the_end(held)
        assert [each.message for each in system.dead_letters.latest] == ["told behind the stop"]

    def test_of_one_that_has_ended_fails_in_its_future(self, held: ActorRef[Held]) -> None:
        held.kill()

        assert isinstance(held.ask("late", block=False).error, ActorDeadError)

    def test_is_made_at_once_too(self, held: ActorRef[Held]) -> None:
        HELD[0].let_go.set()

        assert held.ask_at_once("now").get() == "now"

    def test_by_one_that_has_been_killed_is_refused(
        self, system: ActorSystem, held: ActorRef[Held]
    ) -> None:
        seen: list[type[BaseException]] = []
        over = threading.Event()

        class Killing(SupervisedActor):
            interruptible = False

            def on_receive(self, message: object) -> None:
                self.actor_ref.kill()
                for send in (held.tell, held.ask):
                    try:
                        send(message)
                    except FencedError as refused:
                        seen.append(type(refused))
                over.set()

        system.spawn(Killing).tell("die")

        assert over.wait(WITHIN_S)
        assert seen == [FencedError, FencedError]
