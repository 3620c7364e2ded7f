"""A plain pykka.ThreadingActor under a supervisor, unchanged."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pykka
import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    ChildSpec,
    Crashed,
    Killed,
    RestartType,
    Shutdown,
    StartFailed,
    Supervisor,
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


def wait_for_the_end(ref: ActorRef[Counter]) -> None:
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
