"""A child has ended: is it restarted, who with it, and in which order?"""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ChildSpec,
    CountChildren,
    Crashed,
    ExitReason,
    Killed,
    Normal,
    RestartChild,
    RestartType,
    Shutdown,
    Strategy,
    Supervisor,
    TerminateChild,
)
from callboard.supervision.model.events import ChildCrashed, ChildFailedToStart, ChildFinished
from callboard.supervision.testing import Simulation, simulate
from tests.runtime.kit import Boom, Do, Puppet, boom
from tests.tree.kit import Times, Tree, answer_of, choose_not_to_run, fail_to_start

PERMANENT, TRANSIENT, TEMPORARY = RestartType
ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE = Strategy

ENDS: dict[str, ExitReason | None] = {
    "a crash": None,
    "a kill": Killed(),
    "a normal end": Normal(),
    "a shutdown": Shutdown(),
    "a shutdown with a detail": Shutdown(detail="enough"),
}


def end(tree: Tree, path: str, how: str) -> ActorRef[Any]:
    reason = ENDS[how]
    if reason is None:
        return tree.crash(path)
    return tree.kill(path) if reason == Killed() else tree.exit(path, reason)


class TestAChild:
    @pytest.mark.parametrize("how", ENDS)
    def test_that_is_permanent_is_restarted_after(self, tree: Tree, how: str) -> None:
        tree.grow(*tree.specs("ab"))

        old = end(tree, "a", how)

        assert not old.is_alive()
        assert tree.ref("a").is_alive()
        assert tree.children()["a"].incarnation == 2

    @pytest.mark.parametrize("how", ["a crash", "a kill"])
    def test_that_is_transient_is_restarted_after(self, tree: Tree, how: str) -> None:
        tree.grow(*tree.specs("ab", restart=TRANSIENT))

        end(tree, "a", how)

        assert tree.ref("a").is_alive()

    @pytest.mark.parametrize("how", ["a normal end", "a shutdown", "a shutdown with a detail"])
    def test_that_is_transient_stays_stopped_in_its_place_after(self, tree: Tree, how: str) -> None:
        tree.grow(*tree.specs("ab", restart=TRANSIENT))

        end(tree, "a", how)

        assert list(tree.children()) == ["a", "b"]
        assert tree.running() == "b"
        assert len(tree.seen(ChildFinished)) == 1

    @pytest.mark.parametrize("how", ENDS)
    def test_that_is_temporary_is_gone_after(self, tree: Tree, how: str) -> None:
        tree.grow(*tree.specs("ab", restart=TEMPORARY))

        end(tree, "a", how)

        assert list(tree.children()) == ["b"]

    def test_gets_a_new_ref_and_the_old_one_says_dead(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"))

        old = tree.crash("a")

        assert tree.ref("a") is not old
        assert not old.is_alive()
        assert tree.ref("a").ask(Do(lambda actor: actor.incarnation)) == 2

    def test_is_restarted_only_after_its_cleanup(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"))

        tree.crash("a")

        assert tree.diary == ["start a", "end a", "start a"]

    def test_that_crashes_under_an_ask_gives_the_asker_the_exception(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"))

        with pytest.raises(Boom):
            tree.ref("a").ask(Do(boom))
        tree.world.settle()

        assert tree.ref("a").is_alive()

    def test_that_crashed_is_reported_with_its_reason_and_the_count(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"), intensity=3)

        old = tree.crash("a")

        (report,) = tree.seen(ChildCrashed)
        assert isinstance(report.reason, Crashed)
        assert report.reason.error.endswith("Boom")
        assert report.ref is old
        assert (report.child_id, report.incarnation) == ("a", 1)
        assert (report.restarts, report.intensity) == (1, 3)


class TestLinkedChildren:
    @simulate(schedules=50)
    def test_die_after_the_one_they_are_linked_to_for_their_supervisor_too(
        self, sim: Simulation
    ) -> None:
        """So it does not restart them one by one. Source: S26 and S102 of OTP's rules."""
        with ActorSystem(runtime=sim.runtime) as system:
            specs = [ChildSpec(id=each, start=Puppet, name=each) for each in "abc"]
            top = system.spawn(Supervisor, specs, strategy=REST_FOR_ONE, intensity=1)
            top.wait_started()
            a, b, c = (system.lookup(each) for each in "abc")
            assert a is not None
            for each in (b, c):
                assert each is not None
                each.ask(Do(lambda actor: actor.link("a")))

            assert a.ref is not None
            a.ref.kill()
            sim.settle()

            assert top.is_alive()
            assert top.ask(CountChildren()).active == 3


class TestOneForOne:
    def test_leaves_the_others_alone(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"))
        others = [tree.ref("a"), tree.ref("c")]
        tree.forget_diary()

        tree.crash("b")

        assert tree.diary == ["end b", "start b"]
        assert [tree.ref("a"), tree.ref("c")] == others


class TestOneForAll:
    def test_stops_the_others_in_reverse_and_starts_all_in_order(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abcd"), strategy=ONE_FOR_ALL)
        tree.forget_diary()

        tree.crash("b")

        assert tree.diary == [
            *("end b", "end d", "end c", "end a"),
            *("start a", "start b", "start c", "start d"),
        ]

    @pytest.mark.parametrize("restart", [TRANSIENT, TEMPORARY])
    def test_touches_nobody_when_the_child_is_not_restarted(
        self, tree: Tree, restart: RestartType
    ) -> None:
        tree.grow(
            tree.spec("a"), tree.spec("b", restart=restart), tree.spec("c"), strategy=ONE_FOR_ALL
        )
        tree.forget_diary()

        tree.exit("b", Normal())

        assert tree.diary == ["end b"]

    def test_touches_nobody_when_a_temporary_child_crashes(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.spec("b", restart=TEMPORARY), strategy=ONE_FOR_ALL)
        tree.forget_diary()

        tree.crash("b")

        assert tree.diary == ["end b"]

    def test_starts_what_was_stopped_as_well_but_no_temporary_sibling(self, tree: Tree) -> None:
        top = tree.grow(
            tree.spec("a", restart=TRANSIENT),
            tree.spec("b"),
            tree.spec("c", restart=TEMPORARY),
            tree.spec("d"),
            strategy=ONE_FOR_ALL,
        )
        tree.exit("a", Normal())
        top.ask(TerminateChild("b"))
        before = tree.running()

        tree.crash("d")

        assert before == "cd"
        assert tree.running() == "abd"
        assert list(tree.children()) == ["a", "b", "d"]

    def test_counts_two_deaths_at_once_as_one_restart(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"), strategy=ONE_FOR_ALL, intensity=1)
        one, other = tree.ref("a"), tree.ref("c")
        tree.top.suspend()
        tree.world.settle()

        one.tell(Do(boom))
        other.tell(Do(boom))
        tree.world.settle()
        tree.top.resume()
        tree.world.settle()

        assert tree.running() == "abc"
        assert len(tree.seen(ChildCrashed)) == 1

    def test_tries_the_whole_group_again_when_one_does_not_come_back(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"), strategy=ONE_FOR_ALL, intensity=5)
        tree.behaviour("b").on_start = Times(1, fail_to_start)
        tree.forget_diary()

        tree.crash("c")

        assert tree.running() == "abc"
        assert tree.diary == [
            *("end c", "end b", "end a"),
            *("start a", "start b", "end b"),
            "end a",
            *("start a", "start b", "start c"),
        ]
        assert len(tree.seen(ChildFailedToStart)) == 1


class TestRestForOne:
    def test_stops_the_later_ones_in_reverse_and_leaves_the_earlier_ones(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abcd"), strategy=REST_FOR_ONE)
        first = tree.ref("a")
        tree.forget_diary()

        tree.crash("b")

        assert tree.diary == [
            *("end b", "end d", "end c"),
            *("start b", "start c", "start d"),
        ]
        assert tree.ref("a") is first

    def test_of_the_last_child_is_its_affair_alone(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"), strategy=REST_FOR_ONE)
        tree.forget_diary()

        tree.kill("c")

        assert tree.diary == ["start c"]

    def test_goes_on_from_the_one_that_did_not_come_back(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"), strategy=REST_FOR_ONE, intensity=5)
        tree.behaviour("c").on_start = Times(1, fail_to_start)
        tree.forget_diary()

        tree.crash("b")

        assert tree.running() == "abc"
        assert tree.diary == ["end b", "end c", "start b", "start c", "end c", "start c"]

    def test_goes_by_the_order_in_which_children_were_added(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"), strategy=REST_FOR_ONE)
        top.ask(TerminateChild("a"))
        top.ask(RestartChild("a"))
        tree.forget_diary()

        tree.crash("a")

        assert tree.diary == ["end a", "end b", "start a", "start b"]


class TestAChildThatChoosesNotToRunAgain:
    @pytest.mark.parametrize("restart", [PERMANENT, TRANSIENT])
    def test_stays_stopped_and_is_not_tried_again(self, tree: Tree, restart: RestartType) -> None:
        tree.grow(*tree.specs("ab", restart=restart))
        tree.behaviour("a").on_start = choose_not_to_run

        tree.crash("a")

        assert tree.running() == "b"
        assert list(tree.children()) == ["a", "b"]


class TestARestartThatFails:
    def test_is_tried_again_until_it_succeeds(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"), intensity=5)
        tree.behaviour("a").on_start = Times(3, fail_to_start)

        tree.crash("a")

        assert tree.running() == "a"
        assert len(tree.seen(ChildFailedToStart)) == 3
        assert tree.children()["a"].incarnation == 5

    def test_leaves_the_supervisor_answering_in_between(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"), intensity=50)
        tree.behaviour("a").on_start = Times(20, fail_to_start)
        ref = tree.ref("a")

        ref.tell(Do(boom))
        counts = top.ask(CountChildren())
        tree.world.settle()

        assert counts.specs == 2
        assert tree.running() == "ab"


class TestAStranger:
    def test_may_send_exit_signals_in_vain(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"))
        stranger = tree.system.spawn(Puppet)
        children = [tree.ref("a"), tree.ref("b")]

        top.exit_from(stranger, Crashed("stranger"))
        top.exit_from(None, Shutdown())
        tree.world.settle()

        assert top.is_alive()
        assert [tree.ref("a"), tree.ref("b")] == children

    def test_that_was_linked_may_die_without_harm(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        stranger = tree.system.spawn(Puppet)
        stranger.ask(Do(lambda actor: actor.link(top)))

        stranger.tell(Do(boom))
        tree.world.settle()

        assert top.is_alive()
        assert tree.running() == "a"


class TestWhatReachesTheSupervisorInOrder:
    def test_a_question_asked_before_the_death_is_answered_as_before_it(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        ref = tree.ref("a")
        top.suspend()
        tree.world.settle()

        before = top.ask(CountChildren(), block=False)
        ref.kill()
        after = top.ask(CountChildren(), block=False)
        top.resume()

        # The first sees a dead child whose exit it has not handled; the second the next one.
        assert (before.get().active, after.get().active) == (0, 1)

    def test_a_death_of_a_child_that_was_terminated_meanwhile_is_old_news(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"))
        ref = tree.ref("a")
        top.suspend()
        tree.world.settle()

        terminated = top.ask(TerminateChild("a"), block=False)
        ref.kill()
        top.resume()
        terminated.get()
        tree.world.settle()

        assert tree.running() == ""
        assert list(tree.children()) == ["a"]


class TestARestartedChild:
    def test_has_an_empty_mailbox_and_answers(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"))

        tree.crash("a")

        assert answer_of(tree.ref("a")).get() == "a"


class TestAnInnerSupervisor:
    def test_restarts_its_children_without_the_outer_one(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc")))
        inner = tree.ref("inner")

        tree.crash("inner/b")

        assert tree.ref("inner") is inner
        assert tree.ref("inner/b").is_alive()

    def test_that_is_killed_comes_back_with_all_of_its_own_specs(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc")))
        tree.ref("inner").ask(TerminateChild("b"))

        tree.kill("inner")

        assert tree.ref("inner/b").is_alive()
        assert tree.ref("inner/c").is_alive()
