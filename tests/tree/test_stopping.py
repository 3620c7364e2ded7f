"""A supervisor stops its children in reverse order, each within its time, and says what did not."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from callboard.supervision import (
    BRUTAL_KILL,
    ActorRef,
    ActorSystem,
    ChildSpec,
    Crashed,
    DynamicSupervisor,
    ExitReason,
    Killed,
    Normal,
    RestartType,
    Shutdown,
    StartChild,
    Strategy,
    SupervisedActor,
    TerminateChild,
)
from callboard.supervision.model.child import Child
from callboard.supervision.model.events import ChildFailedToStop, ChildWasStopped
from callboard.supervision.model.happenings import RetryDue
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.testing import Simulation
from callboard.supervision.tree.interpreter import WaitOver
from tests.runtime.kit import Boom, Gate, boom, reason_of
from tests.tree.kit import Member, Tree


class TrappingMember(Member):
    trap_exit = True


def end(tree: Tree, ref: ActorRef[Any]) -> None:
    """Ask a supervisor to end, and let it do what it can do at once."""
    ref.exit(Shutdown())
    tree.world.settle()


class TestAStop:
    def test_takes_the_children_in_reverse_order(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"))
        tree.forget_diary()

        end(tree, top)

        assert tree.diary == ["end c", "end b", "end a"]
        assert reason_of(top) == Shutdown()

    def test_waits_for_each_child_before_it_asks_the_next(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("c").on_end = gate.wait
        top = tree.grow(*tree.specs("abc"))
        tree.forget_diary()

        end(tree, top)
        before = list(tree.diary)
        gate.open()
        tree.world.settle()

        assert before == ["end c"]
        assert tree.diary == ["end c", "end b", "end a"]

    def test_waits_for_an_async_cleanup_too(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("c").on_end = gate.passed
        top = tree.grow(*tree.specs("abc"))
        tree.forget_diary()

        end(tree, top)
        before = list(tree.diary)
        gate.open()
        tree.world.settle()

        assert before == ["end c"]
        assert tree.diary == ["end c", "end b", "end a"]

    def test_gives_the_children_shutdown_whatever_its_own_reason(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))

        top.exit(Normal())

        assert reason_of(top) == Normal()
        assert tree.reasons == [("b", Shutdown()), ("a", Shutdown())]

    def test_goes_through_the_whole_tree_below(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc")), tree.spec("d"))
        tree.forget_diary()

        end(tree, top)

        assert tree.diary == ["end d", "end c", "end b", "end a"]

    def test_reports_each_child_that_stopped_as_it_should(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))

        end(tree, top)

        assert [each.child_id for each in tree.seen(ChildWasStopped)] == ["b", "a"]
        assert tree.seen(ChildFailedToStop) == []

    def test_before_a_restart_is_tried_again_leaves_no_message_of_its_own(self, tree: Tree) -> None:
        """What a supervisor tells itself is nobody's loss."""
        child: Child[Cell[Any]] = Child(key="a", spec=tree.spec("a"))
        top = tree.grow(*tree.specs("a"))
        top.suspend()
        top.notify(WaitOver(RetryDue(child.waiting(None), Normal())))
        tree.world.settle()

        top.kill()
        tree.world.settle()

        assert tree.system.dead_letters.count == 0

    def test_leaves_what_is_stopped_already_alone(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab", restart=RestartType.TRANSIENT))
        tree.exit("b", Normal())
        tree.forget_diary()

        end(tree, top)

        assert tree.diary == ["end a"]


class TestAShutdownTime:
    def test_that_is_over_means_a_kill_and_the_stop_goes_on(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("b").on_end = gate.wait
        top = tree.grow(tree.spec("a"), tree.spec("b", shutdown_s=2.0))
        late = tree.ref("b")
        tree.forget_diary()

        end(tree, top)
        tree.world.advance(1.5)
        still_there = late.is_alive()
        tree.world.advance(1.0)

        assert still_there
        assert reason_of(late) == Killed()
        assert reason_of(top) == Shutdown()
        assert tree.diary == ["end b", "end a"]
        (report,) = tree.seen(ChildFailedToStop)
        assert (report.child_id, report.reason) == ("b", Killed())

    def test_of_five_seconds_is_what_a_worker_has_unless_its_spec_says_otherwise(
        self, tree: Tree
    ) -> None:
        gate = Gate(tree.system)
        tree.behaviour("a").on_end = gate.wait
        top = tree.grow(tree.spec("a"))
        late = tree.ref("a")

        end(tree, top)
        tree.world.advance(4.5)
        still_there = late.is_alive()
        tree.world.advance(1.0)

        assert still_there
        assert reason_of(late) == Killed()

    def test_without_end_waits_as_long_as_it_takes(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("a").on_end = gate.wait
        top = tree.grow(tree.spec("a", shutdown_s=math.inf))
        slow = tree.ref("a")

        end(tree, top)
        tree.world.advance(8)
        still_there = slow.is_alive()
        gate.open()
        tree.world.settle()

        assert still_there
        assert reason_of(slow) == Shutdown()
        assert reason_of(top) == Shutdown()

    @pytest.mark.parametrize("by_itself", [True, False])
    def test_of_zero_leaves_none_for_a_cleanup(self, tree: Tree, *, by_itself: bool) -> None:
        top = tree.grow(tree.spec("a", shutdown_s=0.0))
        brief = tree.ref("a")

        if by_itself:
            top.ask(TerminateChild("a"))
        end(tree, top)

        assert reason_of(brief) == Shutdown()
        assert reason_of(top) == Shutdown()
        assert tree.diary == ["start a"]
        assert tree.seen(ChildFailedToStop) == []

    def test_of_zero_kills_what_traps_exits(self, tree: Tree) -> None:
        trapping = ChildSpec(id="a", start=TrappingMember, args=(tree, "a"), shutdown_s=0.0)
        top = tree.grow(trapping)
        brief = tree.ref("a")

        end(tree, top)

        assert reason_of(brief) == Killed()
        (report,) = tree.seen(ChildFailedToStop)
        assert report.reason == Killed()

    def test_of_an_inner_supervisor_has_no_end_unless_it_is_given_one(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("b").on_end = gate.wait
        inner = tree.sub("inner", tree.spec("b", shutdown_s=8.0))
        top = tree.grow(tree.spec("a"), inner)
        tree.forget_diary()

        end(tree, top)
        tree.world.advance(7)
        before = list(tree.diary)
        gate.open()
        tree.world.settle()

        assert before == ["end b"]
        assert tree.diary == ["end b", "end a"]


class TestABrutalKill:
    def test_runs_no_cleanup_and_is_nothing_to_report(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a"), tree.spec("b", shutdown_s=BRUTAL_KILL))
        brutal = tree.ref("b")
        tree.forget_diary()

        end(tree, top)

        assert reason_of(brutal) == Killed()
        assert tree.diary == ["end a"]
        assert tree.seen(ChildFailedToStop) == []


class TestACleanupThatRaises:
    def test_is_reported_and_the_others_are_stopped_all_the_same(self, tree: Tree) -> None:
        tree.behaviour("b").on_end = boom
        top = tree.grow(*tree.specs("abc"))
        tree.forget_diary()

        end(tree, top)

        assert tree.diary == ["end c", "end b", "end a"]
        (report,) = tree.seen(ChildFailedToStop)
        assert report.child_id == "b"
        assert isinstance(report.reason, Crashed)
        assert report.reason.error.endswith(Boom.__name__)

    def test_does_not_fail_a_terminate_child(self, tree: Tree) -> None:
        tree.behaviour("a").on_end = boom
        top = tree.grow(*tree.specs("a"))

        answer: object = top.ask(TerminateChild("a"))

        assert answer is None
        assert tree.running() == ""


class TestAGroupRestart:
    def test_kills_a_sibling_that_does_not_stop_in_its_time(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("b").on_end = gate.wait
        tree.grow(tree.spec("a"), tree.spec("b", shutdown_s=1.0), strategy=Strategy.ONE_FOR_ALL)
        late = tree.ref("b")
        tree.forget_diary()

        tree.ref("a").kill()
        tree.world.settle()
        tree.behaviour("b").on_end = None
        tree.world.advance(1.5)

        assert reason_of(late) == Killed()
        assert tree.diary == ["end b", "start a", "start b"]
        assert tree.running() == "ab"


class TestAKilledSupervisor:
    def test_takes_its_children_along(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc")))
        refs = [tree.ref("a"), tree.ref("inner"), tree.ref("inner/b"), tree.ref("inner/c")]

        top.kill()
        tree.world.settle()

        assert [each.is_alive() for each in refs] == [False] * 4
        assert tree.system.roots == {}

    def test_lets_them_clean_up(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"))
        tree.forget_diary()

        top.kill()
        tree.world.settle()

        assert sorted(tree.diary) == ["end a", "end b", "end c"]

    def test_is_replaced_by_one_whose_children_are_new(self, tree: Tree) -> None:
        tree.grow(tree.sub("inner", *tree.specs("ab")))
        old = [tree.ref("inner/a"), tree.ref("inner/b")]

        tree.kill("inner")

        assert not any(each.is_alive() for each in old)
        assert tree.ref("inner/a").is_alive()

    def test_in_the_middle_of_its_stop_leaves_nobody(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("b").on_end = gate.wait
        top = tree.grow(*tree.specs("abc"))
        refs = [tree.ref(each) for each in "abc"]
        end(tree, top)

        top.kill()
        gate.open()
        tree.world.settle()

        assert not any(each.is_alive() for each in refs)


class TestTheStopOfTheSystem:
    def test_is_clean_when_everything_stopped_in_time(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc")))

        report = tree.stop()

        assert report.is_clean
        assert tree.diary[-3:] == ["end c", "end b", "end a"]

    def test_stops_the_tree_that_was_started_last_first(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"))
        tree.grow(*tree.specs("b"))

        tree.stop()

        assert tree.diary[-2:] == ["end b", "end a"]


class TestWhoeverWatches:
    def test_hears_of_a_child_before_its_supervisor_goes_on(self) -> None:
        for seed in range(40):
            heard = _ends_heard(seed)

            assert heard[-1] == "top", f"seed {seed}: {heard}"


def _ends_heard(seed: int) -> list[str]:
    """Stop a supervisor of two children; return the order in which a watcher hears of the ends."""
    heard: list[str] = []
    simulation = Simulation(seed)
    with simulation, ActorSystem(runtime=simulation.runtime) as system:
        top = system.spawn(DynamicSupervisor)
        for name in ("first", "second"):
            ref = top.ask(StartChild(ChildSpec(id=name, start=SupervisedActor)))
            ref.when_dead("watch", partial(_note, heard, name))
        top.when_dead("watch", partial(_note, heard, "top"))

        top.exit()
        simulation.settle()
    return heard


def _note(heard: list[str], name: str, _reason: ExitReason) -> None:
    heard.append(name)


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown(detail="x")], ids=str)
class TestTheReasonOfAStop:
    def test_is_the_supervisors_own(self, tree: Tree, reason: ExitReason) -> None:
        top = tree.grow(*tree.specs("a"))

        top.exit(reason)

        assert reason_of(top) == reason
