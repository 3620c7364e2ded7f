"""What the drop-in adds to pykka's own suite: where pykka would hang or lose a thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from callboard.supervision import ActorSystem, Crashed, PooledActor
from callboard.supervision.runtime.pooled import process_system
from callboard.supervision.runtime.process import FreeThreadingRefused
from tests.runtime.kit import WITHIN_S, Boom


class Plain(PooledActor):
    """Calls what it was given in its hooks, and what it is sent."""

    def __init__(self, **hooks: Callable[[], Any]) -> None:
        super().__init__()
        self.hooks = hooks

    def on_stop(self) -> None:
        self.hooks.get("on_stop", int)()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        del exception_type, exception_value, traceback
        self.hooks.get("on_failure", int)()

    def on_receive(self, message: Any) -> Any:
        return message()

    def fail(self) -> str:
        """Have a name that the runtime might want for itself."""
        return "my own"

    stop_everybody = log_failure = claim = release = fail


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    yield
    pykka.ActorRegistry.stop_all(timeout=WITHIN_S)
    assert process_system().roots == {}


def exits() -> None:
    raise SystemExit


def fails() -> None:
    raise Boom


def ended(ref: Any) -> Any:
    assert ref.actor_stopped.wait(WITHIN_S)
    return ref.reason


class TestAStop:
    @pytest.mark.parametrize("hook", [exits, fails])
    def test_returns_whatever_on_stop_raises(self, hook: Callable[[], None]) -> None:
        ref = Plain.start(on_stop=hook)

        assert ref.stop(timeout=WITHIN_S) is True

    def test_of_an_actor_that_has_ended_says_so(self) -> None:
        ref = Plain.start()
        ref.stop(timeout=WITHIN_S)

        assert ref.stop(timeout=WITHIN_S) is False

    def test_by_itself_waits_for_what_was_sent_before(self) -> None:
        seen: list[int] = []
        over = threading.Event()
        ref = Plain.start()
        ref.tell(lambda: over.wait(WITHIN_S))
        for number in range(10):
            ref.tell(lambda number=number: seen.append(number))

        stopping = ref.stop(block=False)
        over.set()

        assert stopping.get(timeout=WITHIN_S)
        assert seen == list(range(10))


class TestAFailure:
    @pytest.mark.parametrize("hook", [exits, fails])
    def test_ends_the_actor_whatever_on_failure_raises(self, hook: Callable[[], None]) -> None:
        ref = Plain.start(on_failure=hook)

        ref.tell(fails)

        assert isinstance(ended(ref), Crashed)

    def test_leaves_the_workers_to_the_others(self) -> None:
        for _ in range(20):
            ref = Plain.start(on_stop=exits, on_failure=exits)
            ref.tell(fails)
            ended(ref)

        assert Plain.start().ask(lambda: "works", timeout=WITHIN_S) == "works"


class TestAUsersOwnNames:
    def test_do_not_collide_with_the_runtimes(self) -> None:
        ref = Plain.start()
        assert ref.proxy().fail().get(timeout=WITHIN_S) == "my own"

        ref.tell(fails)

        reason = ended(ref)
        assert isinstance(reason, Crashed)
        assert reason.error == "Boom"


class TestTheProcesssSystem:
    def test_is_made_anew_after_it_was_stopped(self) -> None:
        process_system().stop()

        assert Plain.start().ask(lambda: "works", timeout=WITHIN_S) == "works"

    def test_takes_no_supervised_actors_in(self) -> None:
        with ActorSystem("mine") as system:
            assert system is not process_system()


def test_a_build_without_the_gil_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)

    with pytest.raises(FreeThreadingRefused) as caught:
        ActorSystem("without the GIL")

    assert caught.value.remedy
