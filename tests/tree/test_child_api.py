"""What a supervisor is asked about its children, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision import (
    RESTARTING,
    ActorDeadError,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    ChildCounts,
    ChildIsRestarting,
    ChildIsRunning,
    ChildKind,
    ChildNotFound,
    ChildStartFailed,
    CountChildren,
    Crashed,
    DeleteChild,
    GetChildSpec,
    Refusal,
    RestartChild,
    RestartType,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from tests.runtime.kit import Do, Gate, boom
from tests.tree.kit import Tree, choose_not_to_run, fail_to_start


class TestStartChild:
    def test_adds_a_child_behind_the_others_and_answers_its_ref(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))

        ref = top.ask(StartChild(tree.spec("c")))

        assert ref is tree.ref("c")
        assert tree.running() == "abc"

    def test_of_an_id_that_runs_is_refused_with_its_ref(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))

        with pytest.raises(AlreadyStarted) as refused:
            top.ask(StartChild(tree.spec("a")))

        assert refused.value.ref is tree.ref("a")

    def test_of_an_id_that_is_stopped_is_refused(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        top.ask(TerminateChild("a"))

        with pytest.raises(AlreadyPresent):
            top.ask(StartChild(tree.spec("a")))

    def test_that_fails_leaves_nothing_behind(self, tree: Tree) -> None:
        tree.behaviour("b").on_start = fail_to_start
        top = tree.grow(*tree.specs("a"))

        with pytest.raises(ChildStartFailed) as refused:
            top.ask(StartChild(tree.spec("b")))

        assert isinstance(refused.value.reason, Crashed)
        assert list(tree.children()) == ["a"]
        assert top.is_alive()

    def test_of_one_that_chooses_not_to_run_answers_none_and_keeps_the_spec(
        self, tree: Tree
    ) -> None:
        tree.behaviour("b").on_start = choose_not_to_run
        top = tree.grow(*tree.specs("a"))

        ref = top.ask(StartChild(tree.spec("b")))

        assert ref is None
        assert list(tree.children()) == ["a", "b"]

    def test_of_a_whole_branch_works_as_well(self, tree: Tree) -> None:
        top = tree.grow()

        top.ask(StartChild(tree.sub("inner", *tree.specs("ab"))))

        assert tree.ref("inner/b").is_alive()


class TestTerminateChild:
    def test_stops_the_child_alone_and_keeps_its_place(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"))
        tree.forget_diary()

        top.ask(TerminateChild("b"))

        assert tree.diary == ["end b"]
        assert list(tree.children()) == ["a", "b", "c"]
        assert tree.running() == "ac"

    def test_is_harmless_when_repeated(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))

        top.ask(TerminateChild("a"))
        top.ask(TerminateChild("a"))

        assert tree.running() == ""

    def test_forgets_a_temporary_child(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a", restart=RestartType.TEMPORARY))

        top.ask(TerminateChild("a"))

        assert list(tree.children()) == []

    def test_cancels_a_restart_that_waits(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a", backoff=Backoff(delays_s=(10.0,))))
        tree.crash("a")

        top.ask(TerminateChild("a"))
        tree.world.advance(11)

        assert tree.running() == ""
        assert tree.children()["a"].ref is None

    def test_takes_the_ref_as_well(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))

        top.ask(TerminateChild(tree.ref("a")))

        assert tree.running() == "b"

    def test_of_a_ref_that_is_no_longer_the_childs_is_refused(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        old = tree.crash("a")

        with pytest.raises(ChildNotFound):
            top.ask(TerminateChild(old))

        assert tree.running() == "a"


class TestRestartChild:
    def test_starts_a_stopped_child_in_its_old_place(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))
        top.ask(TerminateChild("a"))

        ref = top.ask(RestartChild("a"))

        assert ref is tree.ref("a")
        assert tree.running() == "ab"

    def test_of_one_that_runs_is_refused(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))

        with pytest.raises(ChildIsRunning):
            top.ask(RestartChild("a"))

    def test_that_fails_leaves_it_stopped_and_is_not_tried_again(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        top.ask(TerminateChild("a"))
        tree.behaviour("a").on_start = fail_to_start
        tree.forget_diary()

        with pytest.raises(ChildStartFailed):
            top.ask(RestartChild("a"))
        tree.world.settle()

        assert tree.diary.count("start a") == 1
        assert list(tree.children()) == ["a"]
        assert tree.running() == ""


class TestDeleteChild:
    def test_removes_the_spec_of_a_stopped_child(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))
        top.ask(TerminateChild("a"))

        top.ask(DeleteChild("a"))

        assert list(tree.children()) == ["b"]

    def test_of_one_that_runs_is_refused(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))

        with pytest.raises(ChildIsRunning):
            top.ask(DeleteChild("a"))

        assert tree.running() == "a"

    def test_lets_the_id_be_used_again_at_the_end(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))
        top.ask(TerminateChild("a"))
        top.ask(DeleteChild("a"))

        top.ask(StartChild(tree.spec("a")))

        assert tree.running() == "ba"


class TestAChildThatWaitsToBeRestarted:
    @pytest.fixture
    def waiting(self, tree: Tree) -> Tree:
        tree.grow(*tree.specs("ab", backoff=Backoff(delays_s=(10.0,))))
        tree.crash("a")
        return tree

    def test_shows_as_restarting(self, waiting: Tree) -> None:
        assert waiting.children()["a"].ref is RESTARTING
        assert waiting.top.ask(CountChildren()).active == 1

    @pytest.mark.parametrize("message", [RestartChild("a"), DeleteChild("a")], ids=repr)
    def test_is_neither_restarted_nor_deleted_on_demand(self, waiting: Tree, message: Any) -> None:
        with pytest.raises(ChildIsRestarting):
            waiting.top.ask(message)

    def test_keeps_its_id_taken(self, waiting: Tree) -> None:
        with pytest.raises(AlreadyPresent):
            waiting.top.ask(StartChild(waiting.spec("a")))


class TestAnUnknownId:
    @pytest.mark.parametrize(
        "message",
        [TerminateChild("x"), RestartChild("x"), DeleteChild("x"), GetChildSpec("x")],
        ids=lambda each: type(each).__name__,
    )
    def test_is_refused_and_the_supervisor_lives(self, tree: Tree, message: Any) -> None:
        top = tree.grow(*tree.specs("a"))

        with pytest.raises(ChildNotFound) as refused:
            top.ask(message)

        assert isinstance(refused.value, Refusal)
        assert refused.value.child_id == "x"
        assert tree.running() == "a"

    def test_may_be_any_object_at_all(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))

        for nonsense in (None, 3.5, ("a",), ["a"], {"a": 1}):
            with pytest.raises(Refusal):
                top.ask(TerminateChild(nonsense))

        assert tree.running() == "a"


class TestASpecThatIsNone:
    def test_is_refused_and_the_supervisor_lives(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        nonsense: Any = "no spec"

        with pytest.raises(Refusal):
            top.ask(StartChild(nonsense))

        assert tree.running() == "a"


class TestLooking:
    def test_lists_the_children_newest_first(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("b")))

        listed = top.ask(WhichChildren())

        assert [each.id for each in listed] == ["inner", "a"]
        assert [each.kind for each in listed] == [ChildKind.SUPERVISOR, ChildKind.WORKER]

    def test_counts_specs_living_ones_supervisors_and_workers(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"), tree.sub("inner"))
        top.ask(TerminateChild("a"))

        counts = top.ask(CountChildren())

        assert counts == ChildCounts(specs=4, active=3, supervisors=1, workers=3)

    def test_gives_the_completed_spec_of_a_stopped_child_too(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        top.ask(TerminateChild("a"))

        spec = top.ask(GetChildSpec("a"))

        assert (spec.restart, spec.shutdown_s) == (RestartType.PERMANENT, 5.0)


class TestASupervisorThatIsGone:
    def test_answers_nobody(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        top.stop()

        with pytest.raises(ActorDeadError):
            top.ask(WhichChildren())

    def test_answers_what_waited_when_it_was_killed(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        top.suspend()
        tree.world.settle()

        asked = top.ask(WhichChildren(), block=False)
        top.kill()

        with pytest.raises(ActorDeadError):
            asked.get()

    def test_answers_what_it_had_in_hand_when_it_was_killed(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("b").on_start = gate.wait
        top = tree.grow(*tree.specs("a"))

        asked = top.ask(StartChild(tree.spec("b")), block=False)
        tree.world.settle()
        top.kill()
        gate.open()
        tree.world.settle()

        with pytest.raises(ActorDeadError):
            asked.get()
        assert tree.diary.count("start b") == tree.diary.count("end b")


class TestACrashOfAChild:
    def test_while_it_is_being_terminated_is_no_failure_of_the_supervisor(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"), intensity=0)
        ref = tree.ref("a")
        ref.suspend()
        tree.world.settle()
        ref.tell(Do(boom))

        top.ask(TerminateChild("a"))
        tree.world.settle()

        assert top.is_alive()
        assert tree.running() == ""
