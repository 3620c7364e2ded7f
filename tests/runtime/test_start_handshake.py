"""How an actor comes to life: acknowledged, ignored, refused or failed."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from callboard.supervision import (
    LATER,
    ActorRef,
    ActorSystem,
    ChildSpec,
    CountChildren,
    Crashed,
    Future,
    IgnoreStart,
    InvalidSpec,
    Killed,
    Normal,
    NoSystem,
    PooledActor,
    Shutdown,
    StartFailed,
    StopStart,
    SupervisedActor,
    Supervisor,
    SystemStopped,
    TerminateChild,
    Timeout,
    WhichChildren,
    handles,
)
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.notices import ChildExited, ChildStarted
from callboard.supervision.runtime.operations import Until
from tests.runtime.kit import (
    WITHIN_S,
    Box,
    Do,
    Gate,
    Pinned,
    Puppet,
    Small,
    boom,
    give,
    idle,
    reason_of,
    threads_only,
)


def ignore(_actor: object = None) -> None:
    raise IgnoreStart


def stop_start(_actor: object = None) -> None:
    raise StopStart(Shutdown("not today"))


class Born(SupervisedActor):
    """Does something in `__init__`."""

    def __init__(self, act: Any) -> None:
        act()


class Parent(Puppet):
    """Puts what it hears of its children into a box."""

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box = box

    @handles(ChildStarted)
    def started(self, message: ChildStarted) -> None:
        self.box.put(("started", message.child))

    @handles(ChildExited)
    def exited(self, message: ChildExited) -> None:
        self.box.put(("exited", message.child, message.reason))


class Waiting(SystemActor):
    """Starts a child and waits until it has started; puts the messages it gets into a box."""

    def __init__(self, box: Box, starts: Any) -> None:
        super().__init__()
        self.box = box
        self.starts = starts

    @handles(Do)
    def begin(self, message: Do[Any]) -> Generator[Until, bool, Any]:
        del message
        child: Any = self.system.start_child(self.actor_ref, Puppet, (self.starts,))
        yield Until(lambda: child.is_started)
        return child

    def on_receive(self, message: Any) -> None:
        self.box.put(message)


def test_a_parent_that_waits_is_woken_and_one_that_asks_for_no_message_gets_none(
    system: ActorSystem, box: Box, gate: Gate
) -> None:
    def starts(_actor: Any) -> None:
        box.put("it starts")
        gate.wait()

    parent = system.spawn(Waiting, box, starts)
    answer: Future[Any] = parent.ask(Do(give(None)), block=False, timeout=60.0)
    parent.tell("the next message")

    first = box.take()
    before = answer.is_done
    gate.open()

    assert (first, before) == ("it starts", False)
    assert answer.get(timeout=10.0).is_started
    assert box.take() == "the next message"


class TestSpawn:
    def test_returns_at_once(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, starts=gate.wait)

        assert ref.is_alive()
        assert not ref.is_started
        gate.open()

    @threads_only
    def test_runs_init_on_a_worker(self, system: ActorSystem, box: Box) -> None:
        system.spawn(Born, lambda: box.put(threading.current_thread().name))

        assert box.take() != threading.current_thread().name

    def test_takes_a_factory(self, system: ActorSystem) -> None:
        ref = system.spawn(lambda: Puppet(hears=lambda message: message))

        assert ref.ask("echo") == "echo"

    def test_of_a_factory_makes_the_ref_what_the_actor_is(self, system: ActorSystem) -> None:
        ref = system.spawn(lambda: Small(None)).wait_started()

        assert ref.actor_class is Small
        assert ref.mailbox_max == Small.mailbox_max

    def test_of_a_factory_may_make_a_supervisor(self, system: ActorSystem) -> None:
        child = ChildSpec(id="echo", start=Puppet, name="echo")

        ref: Any = system.spawn(lambda: Supervisor([child])).wait_started()

        assert [each.id for each in ref.ask(WhichChildren())] == ["echo"]
        ref.ask(TerminateChild("echo"))
        assert ref.ask(CountChildren()).active == 0

    def test_of_a_partial_is_that_of_its_class(self, system: ActorSystem) -> None:
        ref = system.spawn(partial(partial(Puppet, None), None, hears=lambda _: "heard"))

        assert ref.ask("echo") == "heard"

    @threads_only
    def test_of_a_partial_of_a_class_with_a_thread_of_its_own_has_it(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(partial(Pinned, None))
        name = ref.ask(Do(lambda _: threading.current_thread().name))

        assert "Pinned" in name

    @pytest.mark.parametrize("kind", [Pinned, PooledActor])
    def test_of_a_factory_of_a_class_that_must_be_known_before_is_refused(
        self, system: ActorSystem, kind: type[Any]
    ) -> None:
        reason = reason_of(system.spawn(lambda: kind(None)))

        assert isinstance(reason, Crashed)
        assert reason.error == InvalidSpec.__name__
        assert "partial" in reason.message

    def test_of_a_factory_that_starts_an_actor_itself_fails_and_leaves_none_behind(
        self, system: ActorSystem
    ) -> None:
        started: list[ActorRef[Any]] = []

        def factory() -> Any:
            started.append(Puppet.start())
            return started[0]

        reason = reason_of(system.spawn(factory))

        assert isinstance(reason, Crashed)
        assert f"It returned {started[0]!r}" in reason.message
        assert "Give the class" in reason.message
        assert reason_of(started[0]) == Normal()

    def test_of_a_factory_that_makes_no_actor_fails_the_start(self, system: ActorSystem) -> None:
        def factory() -> Any:
            return object()

        reason = reason_of(system.spawn(factory))

        assert isinstance(reason, Crashed)
        assert reason.error == InvalidSpec.__name__

    def test_of_a_factory_that_returns_somebody_elses_actor_fails_the_start(
        self, system: ActorSystem
    ) -> None:
        other = system.spawn(Puppet).ask(Do(lambda actor: actor))

        ref = system.spawn(lambda: other)

        assert isinstance(reason_of(ref), Crashed)
        assert other.actor_ref.is_alive()

    def test_in_a_stopped_system_is_refused(self) -> None:
        system = ActorSystem("stopped")
        system.stop()

        with pytest.raises(SystemStopped):
            system.spawn(Puppet)

    def test_passes_its_arguments(self, system: ActorSystem) -> None:
        class Sum(SupervisedActor):
            def __init__(self, *numbers: int, start: int = 0) -> None:
                self.sum = sum(numbers, start)

            @handles(str)
            def tell_sum(self, _message: str) -> int:
                return self.sum

        assert system.spawn(Sum, 1, 2, start=3).ask("sum") == 6

    def test_from_inside_an_actor_uses_its_system(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        child = ref.ask(Do(lambda _: Puppet.start()))

        assert child.system is system
        assert child.ask(Do(lambda _: 1)) == 1

    def test_start_outside_of_every_actor_says_what_to_do(self) -> None:
        with pytest.raises(NoSystem) as caught:
            Puppet.start()

        assert "spawn" in caught.value.remedy

    def test_leaves_no_ghost_when_no_thread_can_be_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with ActorSystem("no-threads") as system:
            monkeypatch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                system.spawn(Puppet)
            assert system.roots == {}
            monkeypatch.undo()

            assert system.spawn(Puppet).ask(Do(lambda _: "works")) == "works"


class TestWaitStarted:
    def test_returns_the_ref_when_the_start_is_complete(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, starts=lambda _: box.put("started"))

        assert ref.wait_started() is ref
        assert box.waiting == ["started"]

    def test_goes_by_no_value_of_a_hook_nor_does_the_end(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet, starts=lambda _: LATER, ends=lambda _: LATER)

        ref.wait_started(WITHIN_S)

        assert ref.stop(timeout=WITHIN_S)

    def test_a_second_time_returns_at_once(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet).wait_started()

        assert ref.wait_started() is ref

    def test_ends_in_timeout_when_the_start_takes_longer(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet, starts=gate.wait)

        with pytest.raises(Timeout):
            ref.wait_started(timeout=0.01)
        gate.open()
        assert ref.wait_started() is ref

    def test_may_kill_what_has_not_started_by_then(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, starts=gate.wait)

        with pytest.raises(Timeout):
            ref.wait_started(timeout=0.01, or_kill=True)

        assert reason_of(ref) == Killed()
        gate.open()

    @pytest.mark.parametrize("hook", ["__init__", "on_start"])
    @pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, BaseException])
    def test_says_why_a_start_failed(
        self, system: ActorSystem, hook: str, kind: type[BaseException]
    ) -> None:
        def act(_actor: object = None) -> None:
            raise kind("cannot")

        ref: ActorRef[Any] = (
            system.spawn(Born, act) if hook == "__init__" else system.spawn(Puppet, starts=act)
        )

        with pytest.raises(StartFailed) as caught:
            ref.wait_started()

        assert isinstance(caught.value.reason, Crashed)
        assert caught.value.reason.error == kind.__name__
        assert not ref.is_started

    def test_raises_when_the_actor_is_killed_before(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, starts=gate.wait)

        ref.kill()

        with pytest.raises(StartFailed):
            ref.wait_started()
        gate.open()


class TestAnIgnoredStart:
    @pytest.mark.parametrize("hook", ["__init__", "on_start"])
    def test_is_no_failure(self, system: ActorSystem, hook: str) -> None:
        ref: ActorRef[Any] = (
            system.spawn(Born, ignore)
            if hook == "__init__"
            else system.spawn(Puppet, starts=ignore)
        )

        assert reason_of(ref) == Normal()
        assert ref.is_ignored
        assert not ref.is_started

    def test_runs_no_terminate(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, starts=ignore, ends=box.put)

        reason_of(ref)

        assert box.waiting == []

    def test_by_an_async_on_start_is_the_same(self, system: ActorSystem) -> None:
        async def starts(_actor: Any) -> None:
            raise IgnoreStart

        ref = system.spawn(Puppet, starts=starts)

        assert reason_of(ref) == Normal()
        assert ref.is_ignored


class TestARefusedStart:
    @pytest.mark.parametrize("hook", ["__init__", "on_start"])
    def test_ends_with_the_reason_given(self, system: ActorSystem, hook: str) -> None:
        ref: ActorRef[Any] = (
            system.spawn(Born, stop_start)
            if hook == "__init__"
            else system.spawn(Puppet, starts=stop_start)
        )

        assert reason_of(ref) == Shutdown("not today")
        assert not ref.is_ignored

    def test_runs_no_terminate(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, starts=stop_start, ends=box.put)

        reason_of(ref)

        assert box.waiting == []

    def test_gives_an_exit_reason_and_nothing_else(self) -> None:
        text: Any = "not today"

        with pytest.raises(InvalidSpec, match=r"Give an exit reason of callboard\.supervision"):
            StopStart(text)

    def test_stopping_oneself_in_on_start_is_an_orderly_end_after_the_start(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, starts=lambda actor: actor.stop(), ends=box.put)

        assert reason_of(ref) == Normal()
        assert box.waiting == [Normal()]


class TestAParent:
    def test_hears_that_a_child_has_started(self, system: ActorSystem, box: Box) -> None:
        parent = system.spawn(Parent, box)

        child = system.start_child(parent, Puppet)

        assert box.take() == ("started", child)

    def test_hears_that_a_child_has_ended(self, system: ActorSystem, box: Box) -> None:
        parent = system.spawn(Parent, box)
        child = system.start_child(parent, Puppet).wait_started()

        child.exit()

        assert box.take_many(2) == [("started", child), ("exited", child, Shutdown())]

    def test_hears_of_a_failed_start_that_it_ended_and_nothing_else(
        self, system: ActorSystem, box: Box
    ) -> None:
        parent = system.spawn(Parent, box)

        child = system.start_child(parent, Puppet, (boom,))

        assert box.take() == ("exited", child, reason_of(child))
        idle(parent)
        assert box.waiting == []

    def test_hears_of_an_ignored_start(self, system: ActorSystem, box: Box) -> None:
        parent = system.spawn(Parent, box)

        child = system.start_child(parent, Puppet, (ignore,))

        assert box.take() == ("exited", child, Normal())
        assert child.is_ignored

    def test_gives_a_child_its_tag_and_incarnation(self, system: ActorSystem, box: Box) -> None:
        parent = system.spawn(Parent, box)

        child = system.start_child(parent, Puppet, tag="worker", incarnation=4)

        assert child.ask(Do(lambda actor: actor.incarnation)) == 4
        assert child.tag == "worker"
        assert "worker" in str(child)
        assert "incarnation 4" in str(child)

    def test_is_not_a_root_of_the_system_and_neither_is_its_child(
        self, system: ActorSystem, box: Box
    ) -> None:
        parent = system.spawn(Parent, box)

        child = system.start_child(parent, Puppet)

        assert list(system.roots) == [parent]
        child.stop()
