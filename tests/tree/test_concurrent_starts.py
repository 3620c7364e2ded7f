"""A dynamic supervisor with concurrent starts goes on while a child starts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ChildCounts,
    ChildNotFound,
    ChildSpec,
    ChildStartFailed,
    CountChildren,
    Crashed,
    DeliveryError,
    DynamicSupervisor,
    Future,
    InvalidSpec,
    MaxChildrenReached,
    Shutdown,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from callboard.supervision.model.events import ChildFailedToStart, ChildWasStarted
from callboard.supervision.model.starting import START_TIMED_OUT
from callboard.supervision.testing import Simulation
from tests.runtime.kit import Boom, Do, Gate, Puppet, Short, boom, give, reason_of
from tests.tree.kit import WITHIN_S, Times, Tree, choose_not_to_run, fail_to_start


def grow(tree: Tree, **options: Any) -> ActorRef[DynamicSupervisor]:
    return tree.plant(tree.system.spawn(DynamicSupervisor, concurrent_starts=True, **options))


def begin(tree: Tree, child_id: str, **options: Any) -> Future[Any]:
    """Ask for a child and do not wait; return the future of the answer."""
    request = StartChild(tree.spec(child_id, **options))
    answer: Future[Any] = tree.top.ask(request, block=False, timeout=600.0)
    tree.world.settle()
    return answer


def start(tree: Tree, child_id: str, **options: Any) -> ActorRef[Any]:
    ref = begin(tree, child_id, **options).get(timeout=WITHIN_S)
    assert isinstance(ref, ActorRef)
    return cast("ActorRef[Any]", ref)  # type: ignore[redundant-cast]  # pyright needs it


def slow(tree: Tree, child_id: str) -> Gate:
    """Have the starts of a child wait at a gate."""
    gate = Gate(tree.system)
    tree.behaviour(child_id).on_start = gate.wait
    return gate


def starting(tree: Tree) -> ActorRef[Any]:
    """Return the ref of the newest child."""
    newest: Any = tree.top.ask(WhichChildren(), timeout=WITHIN_S)[0].ref
    return cast("ActorRef[Any]", newest)


class TestWhileAChildStarts:
    def test_others_are_started(self, tree: Tree) -> None:
        grow(tree)
        gate = slow(tree, "a")
        answer = begin(tree, "a")

        other = start(tree, "b")

        assert not answer.is_done
        assert other.ask(Do(give("hello"))) == "hello"
        gate.open()
        assert answer.get(timeout=WITHIN_S).ask(Do(give("and I"))) == "and I"

    def test_others_are_restarted(self, tree: Tree) -> None:
        grow(tree)
        other = start(tree, "b")
        gate = slow(tree, "a")
        assert not begin(tree, "a").is_done

        other.tell(Do(boom))
        tree.world.settle()

        assert tree.diary == ["start b", "start a", "end b", "start b"]
        gate.open()

    def test_others_are_terminated(self, tree: Tree) -> None:
        grow(tree)
        other = start(tree, "b")
        gate = slow(tree, "a")
        assert not begin(tree, "a").is_done

        tree.top.ask(TerminateChild(other), timeout=WITHIN_S)

        assert not other.is_alive()
        gate.open()

    def test_it_is_listed_and_has_a_place_but_is_not_active(self, tree: Tree) -> None:
        grow(tree, max_children=2)
        start(tree, "b")
        gate = slow(tree, "a")
        answer = begin(tree, "a")

        ref = starting(tree)
        counts = tree.top.ask(CountChildren())
        with pytest.raises(MaxChildrenReached):
            start(tree, "c")
        gate.open()

        assert counts == ChildCounts(specs=2, active=1, supervisors=0, workers=2)
        assert answer.get(timeout=WITHIN_S) is ref
        assert tree.top.ask(CountChildren()).active == 2

    def test_an_async_start_is_as_good(self, tree: Tree) -> None:
        grow(tree)
        gate = Gate(tree.system)
        tree.behaviour("a").on_start = gate.passed
        answer = begin(tree, "a")

        start(tree, "b")

        assert not answer.is_done
        gate.open()
        assert answer.get(timeout=WITHIN_S).is_alive()

    def test_a_supervisor_without_the_option_does_nothing_else(self, tree: Tree) -> None:
        tree.plant(tree.system.spawn(DynamicSupervisor))
        gate = slow(tree, "a")
        assert not begin(tree, "a").is_done

        other = begin(tree, "b")

        assert not other.is_done
        assert tree.diary == ["start a"]
        gate.open()
        assert other.get(timeout=WITHIN_S).is_alive()


class TestAStart:
    def test_that_is_short_is_answered_at_once(self, tree: Tree) -> None:
        top = grow(tree)

        answer: Future[Any] = top.ask_at_once(StartChild(ChildSpec(id="a", start=Short)))
        ref = answer.get(timeout=WITHIN_S)

        assert ref.is_started

    def test_that_fails_is_told_and_leaves_nothing(self, tree: Tree) -> None:
        grow(tree)
        tree.behaviour("a").on_start = fail_to_start

        with pytest.raises(ChildStartFailed) as failed:
            start(tree, "a")

        assert isinstance(failed.value.reason, Crashed)
        assert failed.value.reason.error.endswith("Boom")
        assert tree.top.ask(WhichChildren()) == ()

    def test_that_is_ignored_is_answered_with_none(self, tree: Tree) -> None:
        grow(tree)
        tree.behaviour("a").on_start = choose_not_to_run

        answer = begin(tree, "a")

        assert answer.get(timeout=WITHIN_S) is None
        assert tree.top.ask(WhichChildren()) == ()

    def test_that_takes_too_long_is_told_and_killed(self, tree: Tree) -> None:
        grow(tree)
        slow(tree, "a")
        answer = begin(tree, "a", start_s=2.0)
        ref = starting(tree)

        tree.world.advance(1.9)
        before = answer.is_done
        tree.world.advance(0.2)

        with pytest.raises(ChildStartFailed, match=START_TIMED_OUT):
            answer.get(timeout=WITHIN_S)
        assert not before
        assert not ref.is_alive()
        assert tree.top.ask(WhichChildren()) == ()

    def test_that_ends_in_time_is_not_killed_later(self, tree: Tree) -> None:
        grow(tree)
        gate = slow(tree, "a")
        answer = begin(tree, "a", start_s=2.0)

        gate.open()
        tree.world.advance(60.0)

        assert answer.get(timeout=WITHIN_S).is_alive()

    def test_after_which_it_dies_at_once_is_a_start_and_a_crash(self, tree: Tree) -> None:
        grow(tree)
        tree.behaviour("a").on_start = Times(1, lambda actor: actor.continue_with(Do(boom)))

        answer = begin(tree, "a")

        assert not answer.get(timeout=WITHIN_S).is_alive()
        assert tree.diary == ["start a", "end a", "start a"]
        assert tree.top.ask(CountChildren()).active == 1


class TestARestart:
    def crash(self, tree: Tree) -> tuple[ActorRef[Any], Gate]:
        """Crash a child whose next start is slow; return the ref that died, and the gate."""
        ref = start(tree, "a", start_s=2.0)
        gate = Gate(tree.system)
        tree.behaviour("a").on_start = Times(1, gate.wait)
        ref.tell(Do(boom))
        tree.world.settle()
        return ref, gate

    def test_that_is_slow_holds_up_nobody(self, tree: Tree) -> None:
        grow(tree)
        old, gate = self.crash(tree)

        start(tree, "b")

        (new,) = [each.ref for each in tree.top.ask(WhichChildren()) if each.id == "a"]
        assert new is not old
        assert not new.is_started
        gate.open()
        tree.world.settle()
        assert new.is_started

    def test_that_takes_too_long_is_counted_and_tried_again(self, tree: Tree) -> None:
        grow(tree, intensity=2, period_s=60.0)
        self.crash(tree)

        tree.world.advance(2.1)

        (again,) = tree.top.ask(WhichChildren())
        (failed,) = tree.seen(ChildFailedToStart)
        assert again.ref.is_started
        assert again.incarnation == 3
        assert failed.reason.error == START_TIMED_OUT

    def test_that_is_slow_may_be_cut_short_under_the_old_name_of_the_child(
        self, tree: Tree
    ) -> None:
        grow(tree)
        old, gate = self.crash(tree)
        new = starting(tree)

        done: Future[None] = tree.top.ask(TerminateChild(old), block=False, timeout=600.0)
        tree.world.settle()
        gate.open()

        done.get(timeout=WITHIN_S)
        assert not new.is_alive()
        assert tree.top.ask(WhichChildren()) == ()

    def test_that_is_over_has_left_the_old_ref_behind(self, tree: Tree) -> None:
        grow(tree)
        old, gate = self.crash(tree)
        gate.open()
        tree.world.settle()

        with pytest.raises(ChildNotFound):
            tree.top.ask(TerminateChild(old), timeout=WITHIN_S)

    def test_that_fails_too_often_ends_the_supervisor(self, tree: Tree) -> None:
        top = grow(tree, intensity=2, period_s=60.0)
        ref = start(tree, "a")
        tree.behaviour("a").on_start = fail_to_start

        ref.tell(Do(boom))

        assert reason_of(top) == Shutdown()


class TestAChildThatIsStoppedWhileItStarts:
    def test_ends_when_its_start_does_and_its_asker_hears_so(self, tree: Tree) -> None:
        grow(tree)
        gate = slow(tree, "a")
        answer = begin(tree, "a")
        ref = starting(tree)

        done: Future[None] = tree.top.ask(TerminateChild(ref), block=False, timeout=600.0)
        tree.world.settle()
        gate.open()

        done.get(timeout=WITHIN_S)
        with pytest.raises(ChildStartFailed) as failed:
            answer.get(timeout=WITHIN_S)
        assert failed.value.reason == Shutdown()
        assert not ref.is_alive()
        assert tree.top.ask(WhichChildren()) == ()

    def test_is_killed_when_its_shutdown_time_has_passed(self, tree: Tree) -> None:
        grow(tree)
        slow(tree, "a")
        answer = begin(tree, "a", shutdown_s=3.0)
        done: Future[None] = tree.top.ask(TerminateChild(starting(tree)), block=False, timeout=600)

        tree.world.advance(3.1)

        done.get(timeout=WITHIN_S)
        with pytest.raises(ChildStartFailed, match="killed"):
            answer.get(timeout=WITHIN_S)

    def test_by_a_stranger_has_failed_to_start(self, tree: Tree) -> None:
        grow(tree)
        slow(tree, "a")
        answer = begin(tree, "a")

        starting(tree).kill()

        with pytest.raises(ChildStartFailed, match="killed"):
            answer.get(timeout=WITHIN_S)
        assert tree.top.ask(WhichChildren()) == ()


class TestASupervisorThatIsEndedWhileChildrenStart:
    @pytest.mark.parametrize("is_opened", [True, False], ids=["they start", "they hang"])
    def test_in_order_ends_them_within_their_times(self, tree: Tree, *, is_opened: bool) -> None:
        top = grow(tree)
        gate = slow(tree, "a")
        answers = [begin(tree, "a", shutdown_s=3.0) for _ in range(3)]
        refs: list[Any] = [each.ref for each in top.ask(WhichChildren())]

        top.exit(Shutdown())
        tree.world.settle()
        if is_opened:
            gate.open()
        tree.world.advance(3.1)

        assert reason_of(top) == Shutdown()
        assert [each.is_alive() for each in refs] == [False] * 3
        for answer in answers:
            with pytest.raises(ChildStartFailed):
                answer.get(timeout=WITHIN_S)

    def test_by_a_kill_takes_them_along_and_answers_who_waits(self, tree: Tree) -> None:
        top = grow(tree)
        slow(tree, "a")
        answer = begin(tree, "a", shutdown_s=3.0)
        ref = starting(tree)

        top.kill()
        tree.world.settle()
        is_alive_still = ref.is_alive()
        tree.world.advance(3.1)

        with pytest.raises(DeliveryError):
            answer.get(timeout=WITHIN_S)
        assert is_alive_still
        assert not ref.is_alive()


class TestANameThatAnOrphanHolds:
    def orphaned(self, tree: Tree) -> Gate:
        """Have a child of a killed supervisor clean up until the gate is open."""
        grow(tree)
        gate = Gate(tree.system)
        tree.behaviour("a").on_end = Times(1, gate.wait)
        start(tree, "a", name="ada", shutdown_s=60.0)
        tree.top.kill()
        tree.world.settle()
        grow(tree)
        return gate

    def test_is_waited_for_and_nobody_else_waits(self, tree: Tree) -> None:
        gate = self.orphaned(tree)
        answer = begin(tree, "a", name="ada")

        start(tree, "b")
        before = (answer.is_done, list(tree.diary))
        gate.open()

        assert before == (False, ["start a", "end a", "start b"])
        heir = answer.get(timeout=WITHIN_S)
        address = tree.system.lookup("ada")
        assert address is not None
        assert address.ref is heir

    def test_is_not_waited_for_by_a_child_that_is_stopped(self, tree: Tree) -> None:
        gate = self.orphaned(tree)
        answer = begin(tree, "a", name="ada")

        top = tree.top
        top.exit(Shutdown())

        assert reason_of(top) == Shutdown()
        with pytest.raises(ChildStartFailed):
            answer.get(timeout=WITHIN_S)
        gate.open()
        tree.world.settle()
        assert tree.diary == ["start a", "end a"]


def test_many_starts_at_once_are_all_answered_and_reported(tree: Tree) -> None:
    grow(tree)
    gate = slow(tree, "a")
    answers = [begin(tree, "a") for _ in range(20)]

    gate.open()
    refs = [answer.get(timeout=WITHIN_S) for answer in answers]
    tree.world.settle()

    assert len(set(refs)) == 20
    assert {each.ref for each in tree.seen(ChildWasStarted)} == set(refs)
    assert tree.top.ask(CountChildren()).active == 20


@pytest.mark.parametrize("seed", range(60))
def test_whatever_ends_a_start_its_asker_is_answered(seed: int) -> None:
    """A crash, a kill, a stop or a time limit meets a start somewhere: the seed says where."""
    simulation = Simulation(seed)
    with simulation, ActorSystem(runtime=simulation.runtime) as system:
        refs: list[Any] = []
        options = {"concurrent_starts": True, "intensity": None}
        top = system.spawn(DynamicSupervisor, **options).wait_started()

        def begins(actor: Any) -> None:
            refs.append(actor.actor_ref)
            if seed % 3 == 0:
                actor.continue_with(Do(boom))
            if seed % 5 == 0 and len(refs) == 1:
                raise Boom

        spec = ChildSpec(id="a", start=Puppet, args=(begins,), start_s=0.01, shutdown_s=0.01)
        answer: Future[Any] = top.ask(StartChild(spec), block=False, timeout=600.0)

        def strike() -> None:
            match seed % 4:
                case 0:
                    top.kill()
                case 1:
                    top.exit(Shutdown())
                case _:
                    for ref in refs:
                        ref.kill()

        simulation.spawn("foe", strike)
        try:
            answered: Any = answer.get(timeout=WITHIN_S)
        except (ChildStartFailed, DeliveryError) as error:
            answered = error

        assert isinstance(answered, (ActorRef, ChildStartFailed, DeliveryError))
        top.kill()
        simulation.advance(1.0)
        assert [each.is_alive() for each in refs] == [False] * len(refs)


def test_the_option_is_true_or_false() -> None:
    with ActorSystem() as system:
        top = system.spawn(DynamicSupervisor, concurrent_starts="yes")

        reason = reason_of(top)

    assert isinstance(reason, Crashed)
    assert reason.error == InvalidSpec.__name__
