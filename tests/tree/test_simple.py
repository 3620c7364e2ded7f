"""A supervisor of many children of one template; the numbers are those of OTP's rules."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callboard.supervision import (
    ActorRef,
    AutoShutdown,
    ChildCounts,
    ChildNotFound,
    ChildrenHaveNoIds,
    ChildSpec,
    ChildStartFailed,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    InvalidSpec,
    MaxChildrenReached,
    Normal,
    Refusal,
    Request,
    RestartChild,
    RestartType,
    Shutdown,
    SimpleOneForOneSupervisor,
    SpecRefused,
    StartAnother,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from tests.runtime.kit import Boom, Do, boom, reason_of
from tests.tree.kit import (
    WITHIN_S,
    Member,
    Tree,
    choose_not_to_run,
    fail_to_start,
)


def template(tree: Tree, **options: Any) -> ChildSpec:
    return ChildSpec(id="template", start=Member, args=(tree,), **options)


def grow(
    tree: Tree, spec: ChildSpec | None = None, **options: Any
) -> ActorRef[SimpleOneForOneSupervisor]:
    spec = template(tree) if spec is None else spec
    return tree.plant(tree.system.spawn(SimpleOneForOneSupervisor, spec, **options))


def add(tree: Tree, name: str) -> ActorRef[Any]:
    ref = tree.top.ask(StartAnother((name,)), timeout=WITHIN_S)
    assert isinstance(ref, ActorRef)
    return cast("ActorRef[Any]", ref)  # type: ignore[redundant-cast]  # pyright needs it


def end(tree: Tree, ref: ActorRef[Any]) -> None:
    ref.tell(Do(lambda actor: actor.stop(Normal())))
    tree.world.settle()


class TestStarting:
    def test_s68_begins_empty_and_appends_the_arguments(self, tree: Tree) -> None:
        top = grow(tree)
        assert top.ask(WhichChildren()) == ()

        ref = add(tree, "ada")

        assert ref.ask(Do(lambda actor: actor.name)) == "ada"

    def test_s68_a_restart_uses_the_childs_own_arguments_again(self, tree: Tree) -> None:
        top = grow(tree)
        add(tree, "ada").tell(Do(boom))
        tree.world.settle()

        (child,) = top.ask(WhichChildren())

        assert child.ref.ask(Do(lambda actor: actor.name)) == "ada"
        assert child.incarnation == 2

    def test_s71_a_start_that_fails_leaves_nothing(self, tree: Tree) -> None:
        top = grow(tree)
        tree.behaviour("ada").on_start = fail_to_start

        with pytest.raises(ChildStartFailed):
            add(tree, "ada")

        assert top.ask(WhichChildren()) == ()

    def test_s71_a_child_that_chooses_not_to_run_leaves_nothing(self, tree: Tree) -> None:
        top = grow(tree)
        tree.behaviour("ada").on_start = choose_not_to_run

        assert top.ask(StartAnother(("ada",))) is None
        assert top.ask(WhichChildren()) == ()

    def test_is_refused_when_all_places_are_taken(self, tree: Tree) -> None:
        grow(tree, max_children=1)
        add(tree, "ada")

        with pytest.raises(MaxChildrenReached):
            add(tree, "bob")

    def test_of_another_spec_is_refused(self, tree: Tree) -> None:
        top = grow(tree)

        with pytest.raises(ChildrenHaveNoIds):
            top.ask(StartChild(tree.spec("a")))


class TestATemplate:
    def test_s6_there_is_exactly_one(self, tree: Tree) -> None:
        two: Any = (template(tree), template(tree))

        with pytest.raises(InvalidSpec, match="exactly one"):
            SimpleOneForOneSupervisor(two)

    def test_s4_is_significant_only_where_that_means_something(self, tree: Tree) -> None:
        spec = template(tree, restart=RestartType.TEMPORARY, significant=True)

        with pytest.raises(InvalidSpec, match="auto_shutdown"):
            SimpleOneForOneSupervisor(spec)

    def test_s7_is_the_spec_of_every_child_dead_or_alive(self, tree: Tree) -> None:
        spec = template(tree, restart=RestartType.TEMPORARY)
        top = grow(tree, spec)
        ada, bob = add(tree, "ada"), add(tree, "bob")
        end(tree, bob)

        for child in (ada, bob, "template"):
            assert top.ask(GetChildSpec(child)) == spec

    @pytest.mark.parametrize("child", ["other", 0])
    def test_s7_is_not_found_by_another_id(self, tree: Tree, child: object) -> None:
        top = grow(tree)
        add(tree, "ada")

        with pytest.raises(ChildNotFound):
            top.ask(GetChildSpec(child))


class TestARequestThatCannotBe:
    @pytest.mark.parametrize("args", [5, None, "ada", ["ada"]])
    def test_arguments_that_are_no_tuple_are_refused(self, tree: Tree, args: Any) -> None:
        top = grow(tree)
        ada = add(tree, "ada")

        with pytest.raises(SpecRefused, match="tuple"):
            top.ask(StartAnother(args))

        assert ada.is_alive()

    def test_a_spec_that_is_none_is_refused(self, tree: Tree) -> None:
        top = grow(tree)
        ada = add(tree, "ada")
        nonsense: Any = [1]

        with pytest.raises(SpecRefused, match="StartAnother"):
            top.ask(StartChild(nonsense))

        assert ada.is_alive()

    @pytest.mark.parametrize("request_", [GetChildSpec, TerminateChild, RestartChild, DeleteChild])
    def test_a_child_may_be_anything_at_all(self, tree: Tree, request_: Any) -> None:
        class Vague:  # it can be neither looked up nor compared
            def __eq__(self, other: object) -> bool:
                raise Boom

            def __hash__(self) -> int:
                raise Boom

        top = grow(tree)
        ada = add(tree, "ada")

        nonsense: tuple[object, ...] = (Vague(), [], None, object())
        for each in nonsense:
            with pytest.raises(Refusal):
                top.ask(request_(each))

        assert ada.is_alive()


class TestTerminating:
    def test_s69_a_child_is_named_by_its_ref(self, tree: Tree) -> None:
        top = grow(tree)
        ada = add(tree, "ada")

        top.ask(TerminateChild(ada))

        assert reason_of(ada) == Shutdown()
        assert top.ask(WhichChildren()) == ()

    def test_s69_one_that_has_ended_is_no_error(self, tree: Tree) -> None:
        top = grow(tree)
        ada = add(tree, "ada")
        top.ask(TerminateChild(ada))

        assert top.ask(TerminateChild(ada)) is None

    def test_s69_a_live_stranger_is_not_found(self, tree: Tree) -> None:
        top = grow(tree)

        with pytest.raises(ChildNotFound):
            top.ask(TerminateChild(tree.system.spawn(Member, tree, "stranger")))

    @pytest.mark.parametrize(
        "request_", [TerminateChild("template"), TerminateChild(0), RestartChild(0), DeleteChild(0)]
    )
    def test_s69_there_are_no_ids(self, tree: Tree, request_: Request[Any]) -> None:
        top = grow(tree)
        ada = add(tree, "ada")

        with pytest.raises(ChildrenHaveNoIds):
            top.ask(request_)

        assert ada.is_alive()


class TestCounting:
    def test_s70_says_one_spec_whatever_runs(self, tree: Tree) -> None:
        top = grow(tree)
        assert top.ask(CountChildren()) == ChildCounts(1, 0, 0, 0)

        add(tree, "ada")
        add(tree, "bob")

        assert top.ask(CountChildren()) == ChildCounts(1, 2, 0, 2)

    def test_s70_one_that_has_died_is_active_until_its_end_is_handled(self, tree: Tree) -> None:
        top = grow(tree)
        ada = add(tree, "ada")
        top.suspend()
        tree.world.settle()
        ada.kill()
        counts = top.ask(CountChildren(), block=False, timeout=WITHIN_S)

        top.resume()

        assert counts.get() == ChildCounts(1, 1, 0, 1)


class TestAutomaticShutdown:
    def test_s63_comes_with_the_last_child(self, tree: Tree) -> None:
        spec = template(tree, restart=RestartType.TEMPORARY, significant=True)
        top = grow(tree, spec, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
        ada, bob = add(tree, "ada"), add(tree, "bob")

        end(tree, ada)
        assert top.is_alive()
        end(tree, bob)

        assert reason_of(top) == Shutdown()
