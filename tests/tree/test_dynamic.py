"""A dynamic supervisor starts children on demand and forgets them when they end."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callboard.supervision import (
    ActorRef,
    Backoff,
    ChildCounts,
    ChildNotFound,
    ChildSpec,
    ChildStartFailed,
    CountChildren,
    DeleteChild,
    DynamicSupervisor,
    GetChildSpec,
    InvalidSpec,
    Killed,
    MaxChildrenReached,
    Normal,
    RestartChild,
    RestartType,
    RestartWindow,
    Shutdown,
    SpecRefused,
    StartChild,
    StartFailed,
    TerminateChild,
    WhichChildren,
)
from callboard.supervision.model.events import (
    ChildGivenUp,
    ChildrenFailedToStop,
    SupervisorGaveUp,
)
from tests.runtime.kit import Do, Gate, boom, reason_of
from tests.tree.kit import (
    WITHIN_S,
    Member,
    Times,
    Tree,
    choose_not_to_run,
    fail_to_start,
)

PERMANENT, TRANSIENT, TEMPORARY = RestartType


def grow(tree: Tree, **options: Any) -> ActorRef[DynamicSupervisor]:
    return tree.plant(tree.system.spawn(DynamicSupervisor, **options))


def add(tree: Tree, child_id: str, **options: Any) -> ActorRef[Any]:
    ref = tree.top.ask(StartChild(tree.spec(child_id, **options)), timeout=WITHIN_S)
    assert isinstance(ref, ActorRef)
    return cast("ActorRef[Any]", ref)  # type: ignore[redundant-cast]  # pyright needs it


def crash(tree: Tree, ref: ActorRef[Any]) -> None:
    ref.tell(Do(boom))
    tree.world.settle()


def living(tree: Tree) -> list[ActorRef[Any]]:
    """Return the refs of the children that run, oldest first."""
    listed = reversed(tree.top.ask(WhichChildren()))
    refs: list[Any] = [each.ref for each in listed]
    return [cast("ActorRef[Any]", ref) for ref in refs if isinstance(ref, ActorRef)]  # type: ignore[redundant-cast]  # pyright needs it


class TestADynamicSupervisor:
    def test_starts_empty_and_takes_any_number_of_children(self, tree: Tree) -> None:
        grow(tree)

        refs = [add(tree, "a") for _ in range(20)]

        assert living(tree) == refs
        assert tree.top.ask(CountChildren()) == ChildCounts(20, 20, 0, 20)

    def test_restarts_a_child_with_its_own_arguments(self, tree: Tree) -> None:
        grow(tree)
        add(tree, "a")

        crash(tree, add(tree, "b"))

        names = [each.ask(Do(lambda actor: actor.name)) for each in living(tree)]
        assert names == ["a", "b"]

    @pytest.mark.parametrize("restart", [TRANSIENT, TEMPORARY])
    def test_forgets_a_child_that_ends_and_is_not_restarted(
        self, tree: Tree, restart: RestartType
    ) -> None:
        grow(tree)
        ref = add(tree, "a", restart=restart)

        ref.tell(Do(lambda actor: actor.stop(Normal())))
        tree.world.settle()

        assert tree.top.ask(WhichChildren()) == ()

    def test_forgets_a_child_that_is_terminated(self, tree: Tree) -> None:
        grow(tree)
        ref = add(tree, "a")

        tree.top.ask(TerminateChild(ref))

        assert tree.top.ask(WhichChildren()) == ()
        assert not ref.is_alive()

    def test_does_not_know_a_child_that_has_ended(self, tree: Tree) -> None:
        grow(tree)
        ref = add(tree, "a", restart=TEMPORARY)
        crash(tree, ref)

        with pytest.raises(ChildNotFound):
            tree.top.ask(TerminateChild(ref))

    def test_does_not_know_a_stranger(self, tree: Tree) -> None:
        grow(tree)
        stranger = tree.system.spawn(Member, tree, "stranger")

        with pytest.raises(ChildNotFound):
            tree.top.ask(TerminateChild(stranger))

        assert stranger.is_alive()

    @pytest.mark.parametrize("request_", [TerminateChild, GetChildSpec, RestartChild, DeleteChild])
    def test_knows_no_child_by_a_number(self, tree: Tree, request_: Any) -> None:
        grow(tree)
        refs = [add(tree, str(n)) for n in range(3)]

        for child in (0, 1, "1"):
            with pytest.raises(ChildNotFound):
                tree.top.ask(request_(child))

        assert all(ref.is_alive() for ref in refs)

    def test_does_not_know_a_child_of_another_supervisor_with_the_same_number(
        self, tree: Tree
    ) -> None:
        grow(tree)
        other = add(tree, "a")
        grow(tree)
        mine = add(tree, "b")

        with pytest.raises(ChildNotFound):
            tree.top.ask(TerminateChild(other))

        assert mine.is_alive()

    def test_gives_the_spec_of_a_child_by_its_ref(self, tree: Tree) -> None:
        grow(tree)
        ref = add(tree, "a", shutdown_s=3.0)

        assert tree.top.ask(GetChildSpec(ref)).shutdown_s == 3.0

    def test_gives_up_when_its_children_fail_too_often_together(self, tree: Tree) -> None:
        top = grow(tree, intensity=2)

        for each in [add(tree, name) for name in "abc"]:
            crash(tree, each)

        assert reason_of(top) == Shutdown()
        assert len(tree.seen(SupervisorGaveUp)) == 1

    def test_restarts_three_times_in_five_seconds_unless_told_otherwise(self, tree: Tree) -> None:
        top = grow(tree)
        add(tree, "a")

        for _ in range(3):
            crash(tree, living(tree)[0])
        alive = top.is_alive()
        crash(tree, living(tree)[0])

        assert alive
        assert reason_of(top) == Shutdown()

    def test_tries_a_failed_restart_again(self, tree: Tree) -> None:
        grow(tree, intensity=5)
        ref = add(tree, "a")
        tree.behaviour("a").on_start = Times(2, fail_to_start)

        crash(tree, ref)

        assert len(living(tree)) == 1

    def test_forgets_a_child_that_chooses_not_to_run_again(self, tree: Tree) -> None:
        grow(tree)
        ref = add(tree, "a")
        tree.behaviour("a").on_start = choose_not_to_run

        crash(tree, ref)

        assert tree.top.ask(WhichChildren()) == ()

    def test_forgets_a_child_whose_own_budget_is_spent(self, tree: Tree) -> None:
        grow(tree, intensity=None)
        budget = RestartWindow(intensity=1, period_s=60)
        add(tree, "a", budget=budget, name="ada")
        other = add(tree, "b", budget=budget)

        crash(tree, living(tree)[0])
        crash(tree, living(tree)[0])

        assert living(tree) == [other]
        assert len(tree.seen(ChildGivenUp)) == 1
        assert tree.system.lookup("ada") is None


class TestAStart:
    def test_that_fails_leaves_nothing_behind(self, tree: Tree) -> None:
        grow(tree)
        tree.behaviour("a").on_start = fail_to_start

        with pytest.raises(ChildStartFailed):
            add(tree, "a")

        assert tree.top.ask(WhichChildren()) == ()

    def test_that_is_declined_answers_none_and_leaves_nothing_behind(self, tree: Tree) -> None:
        grow(tree)
        tree.behaviour("a").on_start = choose_not_to_run

        answer = tree.top.ask(StartChild(tree.spec("a")))

        assert answer is None
        assert tree.top.ask(WhichChildren()) == ()

    def test_of_what_is_no_spec_is_refused(self, tree: Tree) -> None:
        grow(tree)
        nonsense: Any = {"id": "a"}

        with pytest.raises(SpecRefused):
            tree.top.ask(StartChild(nonsense))

        assert tree.top.is_alive()


class TestMaxChildren:
    def test_refuses_one_more_before_anything_of_it_runs(self, tree: Tree) -> None:
        grow(tree, max_children=2)
        add(tree, "a")
        add(tree, "b")

        with pytest.raises(MaxChildrenReached) as refused:
            add(tree, "c")

        assert refused.value.max_children == 2
        assert "start c" not in tree.diary

    def test_frees_a_place_when_a_child_ends(self, tree: Tree) -> None:
        grow(tree, max_children=1)
        crash(tree, add(tree, "a", restart=TEMPORARY))

        assert add(tree, "b").is_alive()

    def test_gives_no_place_to_a_start_that_failed(self, tree: Tree) -> None:
        grow(tree, max_children=1)
        tree.behaviour("a").on_start = fail_to_start
        with pytest.raises(ChildStartFailed):
            add(tree, "a")

        assert add(tree, "b").is_alive()

    def test_counts_a_child_that_waits_for_its_restart(self, tree: Tree) -> None:
        grow(tree, max_children=1)
        crash(tree, add(tree, "a", backoff=Backoff(delays_s=(10.0,))))

        with pytest.raises(MaxChildrenReached):
            add(tree, "b")

    def test_may_be_zero(self, tree: Tree) -> None:
        grow(tree, max_children=0)

        with pytest.raises(MaxChildrenReached):
            add(tree, "a")


class TestExtraArguments:
    def test_come_before_each_childs_own_in_restarts_too(self, tree: Tree) -> None:
        grow(tree, extra_args=(tree,))
        spec = ChildSpec(id="a", start=Member, args=("mine",))
        ref = tree.top.ask(StartChild(spec))

        crash(tree, ref)

        (ref,) = living(tree)
        assert ref.ask(Do(lambda actor: actor.name)) == "mine"


class TestItsStop:
    def test_asks_all_children_at_once(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        top = grow(tree)
        for each in "abc":
            tree.behaviour(each).on_end = gate.wait
            add(tree, each)
        tree.forget_diary()

        top.exit(Shutdown())
        tree.world.settle()
        before = sorted(tree.diary)
        gate.open()

        assert reason_of(top) == Shutdown()
        assert before == ["end a", "end b", "end c"]

    def test_gives_each_child_its_own_time_from_the_same_moment(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        top = grow(tree)
        tree.behaviour("a").on_end = gate.wait
        tree.behaviour("b").on_end = gate.wait
        quick, slow = add(tree, "a", shutdown_s=1.0), add(tree, "b", shutdown_s=3.0)

        top.exit(Shutdown())
        tree.world.settle()
        tree.world.advance(1.5)
        after_a_second = (quick.is_alive(), slow.is_alive())
        tree.world.advance(2)

        assert after_a_second == (False, True)
        assert reason_of(slow) == Killed()
        assert reason_of(top) == Shutdown()

    def test_reports_those_that_did_not_stop_once_for_all(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        top = grow(tree)
        tree.behaviour("a").on_end = gate.wait
        for _ in range(3):
            add(tree, "a", shutdown_s=1.0)

        top.exit(Shutdown())
        tree.world.settle()
        tree.world.advance(1.5)

        assert reason_of(top) == Shutdown()
        (report,) = tree.seen(ChildrenFailedToStop)
        assert (report.children, report.reason) == (3, Killed())

    def test_of_many_children_leaves_none(self, tree: Tree) -> None:
        top = grow(tree)
        refs = [add(tree, "a") for _ in range(50)]

        top.exit(Shutdown())

        assert reason_of(top) == Shutdown()
        assert not any(each.is_alive() for each in refs)

    def test_while_children_wait_for_their_restarts_forgets_them(self, tree: Tree) -> None:
        top = grow(tree)
        crash(tree, add(tree, "a", backoff=Backoff(delays_s=(10.0,))))
        add(tree, "b")

        top.exit(Shutdown())

        assert reason_of(top) == Shutdown()


class TestAKill:
    def test_takes_the_children_along(self, tree: Tree) -> None:
        top = grow(tree)
        refs = [add(tree, "a") for _ in range(5)]

        top.kill()
        tree.world.settle()

        assert not any(each.is_alive() for each in refs)
        assert sorted(tree.diary[-5:]) == ["end a"] * 5

    def test_while_a_child_starts_leaves_no_orphan(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        started: list[ActorRef[Any]] = []

        def start(actor: Any) -> None:
            started.append(actor.actor_ref)
            gate.wait()

        tree.behaviour("a").on_start = start
        top = grow(tree)
        asked = top.ask(StartChild(tree.spec("a")), block=False)
        tree.world.settle()

        top.kill()
        gate.open()
        tree.world.settle()

        assert [each.is_alive() for each in started] == [False]
        assert asked.is_done


class TestBadOptions:
    @pytest.mark.parametrize(
        "options",
        [{"max_children": -1}, {"extra_args": ["a"]}, {"intensity": -1}, {"period_s": 0}],
        ids=str,
    )
    def test_refuse_the_start(self, tree: Tree, options: dict[str, Any]) -> None:
        with pytest.raises(StartFailed) as failed:
            grow(tree, **options)

        assert InvalidSpec.__name__ in str(failed.value.reason)
