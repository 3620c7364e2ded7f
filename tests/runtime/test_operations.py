"""Generators of system actors: waiting without a thread, with the mailbox held."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

import pytest

from callboard.supervision import ActorDeadError, ActorSystem, Crashed, Killed, Shutdown
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.operations import Until
from tests.runtime.kit import Boom, Box, Do, Gate, Puppet, boom, idle, reason_of, threads_only

R = TypeVar("R")


class Keeper(Puppet, SystemActor):
    """A puppet of the system's own kind."""


def through(steps: Callable[[Any], Generator[Until, bool, R]]) -> Callable[[Any], R]:
    """Return the handler as what it is for its asker: something that answers with an `R`."""
    return cast("Callable[[Any], R]", steps)


def until(gate: Gate, timeout_s: float | None = None) -> Any:
    """Return a handler that waits for a gate and answers whether it opened."""

    def act(_actor: Any) -> Generator[Until, bool, bool]:
        return (yield Until(lambda: gate.is_open, timeout_s))

    return act


def open_and_poke(gate: Gate, ref: Any) -> None:
    gate.open()
    ref.poke()


class TestAnOperation:
    def test_that_waits_for_nothing_goes_straight_through(self, system: ActorSystem) -> None:
        def act(_actor: Any) -> Generator[Until, bool, list[bool]]:
            first = yield Until(lambda: True)
            second = yield Until(lambda: True)
            return [first, second]

        assert system.spawn(Keeper).ask(Do(through(act))) == [True, True]

    def test_goes_on_when_its_condition_holds(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper)
        answer = ref.ask(Do(until(gate)), block=False)

        open_and_poke(gate, ref)

        assert answer.get() is True

    def test_looks_again_whenever_something_reaches_the_cell(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Keeper)
        answer = ref.ask(Do(until(gate)), block=False)

        gate.open()
        ref.tell("anything")

        assert answer.get() is True

    def test_is_told_when_its_time_is_over(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper)

        assert ref.ask(Do(until(gate, timeout_s=0.005))) is False

    def test_that_breaks_down_answers_its_asker(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper)
        answer = ref.ask(Do(until(gate)), block=False)

        ref.signal(boom)

        with pytest.raises(ActorDeadError):
            answer.get()
        assert isinstance(reason_of(ref), Crashed)

    def test_holds_the_mailbox_in_order(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Keeper, hears=box.put)

        def act(_actor: Any) -> Generator[Until, bool, None]:
            box.put("begins")
            yield Until(lambda: gate.is_open)
            box.put("ends")

        ref.tell(Do(through(act)))
        assert box.take() == "begins"
        for number in range(5):
            ref.tell(number)
        open_and_poke(gate, ref)

        assert box.take_many(6) == ["ends", 0, 1, 2, 3, 4]

    @threads_only
    def test_keeps_no_thread_while_it_waits(self, system: ActorSystem, gate: Gate) -> None:
        refs = [system.spawn(Keeper) for _ in range(100)]
        answers = [ref.ask(Do(until(gate)), block=False) for ref in refs]
        idle(system.spawn(Puppet))

        mine = [each for each in threading.enumerate() if each.name.startswith("under-test")]
        assert len(mine) < 10
        gate.open()
        for ref in refs:
            ref.poke()
        assert all(each.get() for each in answers)

    def test_that_raises_ends_the_actor_and_answers_the_asker(self, system: ActorSystem) -> None:
        ref = system.spawn(Keeper)

        def act(_actor: Any) -> Generator[Until, bool, None]:
            yield Until(lambda: True)
            boom()

        with pytest.raises(Boom):
            ref.ask(Do(through(act)))

        assert isinstance(reason_of(ref), Crashed)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, BaseException])
    def test_that_raises_a_base_exception_ends_the_actor_too(
        self, system: ActorSystem, kind: type[BaseException]
    ) -> None:
        ref = system.spawn(Keeper)

        def act(_actor: Any) -> Generator[Until, bool, None]:
            yield Until(lambda: True)
            raise kind

        with pytest.raises(kind):
            ref.ask(Do(through(act)))

        assert isinstance(reason_of(ref), Crashed)

    def test_whose_condition_raises_ends_the_actor(self, system: ActorSystem) -> None:
        ref = system.spawn(Keeper)

        def act(_actor: Any) -> Generator[Until, bool, None]:
            yield Until(boom)

        with pytest.raises(Boom):
            ref.ask(Do(through(act)))

        assert isinstance(reason_of(ref), Crashed)

    def test_whose_condition_raises_later_ends_the_actor(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Keeper)

        def act(_actor: Any) -> Generator[Until, bool, None]:
            yield Until(lambda: boom() if gate.is_open else False)

        answer = ref.ask(Do(through(act)), block=False)
        open_and_poke(gate, ref)

        with pytest.raises(Boom):
            answer.get()
        assert isinstance(reason_of(ref), Crashed)

    def test_is_finished_before_an_exit(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Keeper, ends=box.put)

        def act(_actor: Any) -> Generator[Until, bool, str]:
            box.put("begins")
            yield Until(lambda: gate.is_open)
            return "finished"

        answer = ref.ask(Do(through(act)), block=False)
        assert box.take() == "begins"

        ref.exit()
        assert ref.is_alive()
        open_and_poke(gate, ref)

        assert answer.get() == "finished"
        assert reason_of(ref) == Shutdown()
        assert box.waiting == [Shutdown()]

    def test_is_ended_by_a_kill(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper)
        answer = ref.ask(Do(until(gate)), block=False)
        idle(system.spawn(Puppet))

        ref.kill()

        assert ref.reason == Killed()
        with pytest.raises(ActorDeadError):
            answer.get()

    def test_that_was_killed_runs_its_finally(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Keeper)

        def act(_actor: Any) -> Generator[Until, bool, None]:
            box.put("waiting")
            try:
                yield Until(lambda: gate.is_open)
            finally:
                box.put("finally")

        ref.tell(Do(through(act)))
        assert box.take() == "waiting"

        ref.kill()

        assert box.take() == "finally"

    def test_may_wait_for_a_child_it_starts(self, system: ActorSystem) -> None:
        def act(actor: Any) -> Generator[Until, bool, str]:
            child = system.start_child(actor.actor_ref, Puppet)
            yield Until(lambda: child.is_started or child.is_dead)
            child.exit()
            yield Until(lambda: child.is_dead, 5.0)
            return str(child.reason)

        assert system.spawn(Keeper, hears=lambda _: None).ask(Do(through(act))) == "shutdown"


class TestAnOperationIn:
    def test_on_start_holds_the_start(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper, starts=until(gate))
        answer = ref.ask(Do(lambda _: "handled"), block=False)

        idle(system.spawn(Puppet))
        assert not ref.is_started
        open_and_poke(gate, ref)

        ref.wait_started()
        assert answer.get() == "handled"

    def test_on_start_that_raises_fails_the_start(self, system: ActorSystem) -> None:
        def starts(_actor: Any) -> Generator[Until, bool, None]:
            yield Until(lambda: True)
            boom()

        ref = system.spawn(Keeper, starts=starts)

        assert isinstance(reason_of(ref), Crashed)
        assert not ref.is_started

    def test_terminate_holds_the_end(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper, ends=until(gate)).wait_started()
        ref.exit()

        idle(system.spawn(Puppet))
        assert ref.is_alive()
        open_and_poke(gate, ref)

        assert reason_of(ref) == Shutdown()

    def test_terminate_can_be_killed(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Keeper, ends=until(gate)).wait_started()
        ref.exit()
        idle(system.spawn(Puppet))

        ref.kill()

        assert ref.reason == Killed()


class TestASystemActor:
    @threads_only
    def test_is_served_while_every_other_worker_is_stuck(self, system: ActorSystem) -> None:
        over = threading.Event()
        box = Box(system)
        stuck = [system.spawn(Puppet) for _ in range(20)]
        for ref in stuck:
            ref.tell(Do(lambda _: (box.put("stuck"), over.wait(10))))
        box.take()

        answer = system.spawn(Keeper).ask(Do(lambda _: "served"), timeout=5)

        assert answer == "served"
        over.set()

    @threads_only
    def test_never_runs_a_users_code_on_the_reserved_worker(self, system: ActorSystem) -> None:
        keeper = system.spawn(Keeper).wait_started()

        def act(_actor: Any) -> tuple[str, str]:
            short = system.spawn(ShortUser).wait_started()
            theirs = short.ask(Do(lambda _: threading.current_thread().name))
            return threading.current_thread().name, theirs

        for _ in range(20):
            _, theirs = keeper.ask(Do(act), block=False).get()
            assert not theirs.endswith("reserved")


class ShortUser(Puppet):
    hand_off = True
