"""Too many restarts: the supervisor gives up, and whoever is above it decides."""

from __future__ import annotations

import pytest

from callboard.supervision import (
    AutoShutdown,
    ChildNotFound,
    ChildStartFailed,
    InvalidSpec,
    Normal,
    RestartChild,
    RestartType,
    Shutdown,
    SpecRefused,
    StartChild,
    StartFailed,
    Strategy,
    TerminateChild,
)
from callboard.supervision.model.events import (
    ChildCrashed,
    SupervisorFinished,
    SupervisorGaveUp,
)
from tests.runtime.kit import Do, boom, reason_of
from tests.tree.kit import Times, Tree, fail_to_start


class TestASupervisor:
    def test_survives_as_many_restarts_as_its_intensity(self, tree: Tree) -> None:
        tree.grow(*tree.specs("ab"), intensity=3)

        for _ in range(3):
            tree.crash("a")

        assert tree.running() == "ab"

    def test_gives_up_with_one_more(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"), intensity=3)
        for _ in range(3):
            tree.crash("b")
        tree.forget_diary()

        tree.crash("b")

        assert reason_of(top) == Shutdown()
        assert tree.diary == ["end b", "end c", "end a"]

    def test_reports_that_it_gave_up_and_over_whom(self, tree: Tree) -> None:
        tree.grow(*tree.specs("ab"), intensity=1, period_s=5)

        tree.crash("a")
        tree.crash("b")

        (report,) = tree.seen(SupervisorGaveUp)
        assert (report.child_id, report.restarts, report.intensity) == ("b", 2, 1)
        assert [each.child_id for each in tree.seen(ChildCrashed)] == ["a", "b"]

    def test_with_intensity_zero_gives_up_at_the_first_failure(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"), intensity=0)

        tree.kill("a")

        assert reason_of(top) == Shutdown()

    def test_without_a_limit_never_gives_up(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"), intensity=None)

        for _ in range(20):
            tree.crash("a")

        assert tree.running() == "a"

    def test_forgets_restarts_that_are_older_than_its_period(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a"), intensity=1, period_s=5)

        for _ in range(4):
            tree.crash("a")
            tree.world.advance(5.5)

        assert tree.running() == "a"

    def test_still_counts_restarts_within_its_period(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"), intensity=1, period_s=5)

        tree.crash("a")
        tree.world.advance(4)
        tree.crash("a")

        assert reason_of(top) == Shutdown()

    def test_counts_the_restarts_of_all_its_children_together(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"), intensity=2)

        for each in "abc":
            tree.crash(each)

        assert reason_of(top) == Shutdown()

    def test_counts_a_group_restart_once(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abcd"), intensity=2, strategy=Strategy.ONE_FOR_ALL)

        tree.crash("a")
        tree.crash("d")

        assert tree.running() == "abcd"

    def test_counts_restarts_that_fail(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab"), intensity=3)
        tree.behaviour("a").on_start = fail_to_start
        tree.forget_diary()

        tree.crash("a")

        assert reason_of(top) == Shutdown()
        assert tree.diary.count("start a") == 3
        assert tree.diary[-1] == "end b"
        (report,) = tree.seen(SupervisorGaveUp)
        assert report.is_restarting

    def test_does_not_count_what_it_was_asked_for(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"), intensity=0)

        for _ in range(3):
            top.ask(TerminateChild("a"))
            top.ask(RestartChild("a"))
        tree.behaviour("b").on_start = fail_to_start
        with pytest.raises(ChildStartFailed):
            top.ask(StartChild(tree.spec("b")))

        assert tree.running() == "a"

    def test_does_not_count_ends_that_call_for_no_restart(self, tree: Tree) -> None:
        tree.grow(
            tree.spec("a", restart=RestartType.TEMPORARY),
            tree.spec("b", restart=RestartType.TRANSIENT),
            tree.spec("c"),
            intensity=0,
        )

        tree.crash("a")
        tree.exit("b", Normal())

        assert tree.running() == "c"

    def test_that_gives_up_ends_what_waits_for_its_answer(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"), intensity=0)
        ref = tree.ref("a")
        top.suspend()
        tree.world.settle()

        ref.kill()
        asked = top.ask(TerminateChild("x"), block=False)
        top.resume()
        tree.world.settle()

        assert asked.is_done
        assert not isinstance(asked.error, ChildNotFound)
        assert asked.error is not None


class TestGivingUpBelow:
    def test_is_an_end_that_the_outer_supervisor_repairs(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("b"), intensity=0))
        inner = tree.ref("inner")

        tree.crash("inner/b")

        assert tree.ref("inner") is not inner
        assert tree.ref("inner/b").is_alive()

    def test_begins_again_with_an_empty_history(self, tree: Tree) -> None:
        tree.grow(tree.sub("inner", *tree.specs("b"), intensity=1), intensity=5)
        for _ in range(2):
            tree.crash("inner/b")
        inner = tree.ref("inner")

        tree.crash("inner/b")

        assert tree.ref("inner") is inner

    def test_makes_a_transient_branch_go_silently(self, tree: Tree) -> None:
        tree.grow(
            tree.spec("a"),
            tree.sub("inner", *tree.specs("b"), intensity=0, restart=RestartType.TRANSIENT),
        )

        tree.crash("inner/b")

        assert tree.running() == "a"

    def test_goes_up_level_by_level(self, tree: Tree) -> None:
        inner = tree.sub("inner", *tree.specs("c"), intensity=0)
        middle = tree.sub("middle", inner, intensity=0)
        top = tree.grow(tree.spec("a"), middle, intensity=0)

        tree.crash("middle/inner/c")

        assert reason_of(top) == Shutdown()
        assert tree.diary[-2:] == ["end c", "end a"]
        assert len(tree.seen(SupervisorGaveUp)) == 3

    def test_does_not_outlive_a_failing_restart_of_the_branch(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc"), intensity=0), intensity=5)
        tree.behaviour("c").on_start = Times(2, fail_to_start)

        tree.crash("inner/b")

        assert tree.ref("inner/b").is_alive()
        assert tree.ref("inner/c").is_alive()


class TestASignificantChild:
    def test_takes_its_supervisor_along_when_any_will_do(self, tree: Tree) -> None:
        top = tree.grow(
            tree.spec("a", restart=RestartType.TRANSIENT, significant=True),
            tree.spec("b"),
            auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        )

        tree.exit("a", Normal())

        assert reason_of(top) == Shutdown()
        assert tree.diary[-1] == "end b"
        assert len(tree.seen(SupervisorFinished)) == 1

    def test_does_so_only_as_the_last_one_when_all_must(self, tree: Tree) -> None:
        top = tree.grow(
            *tree.specs("ab", restart=RestartType.TEMPORARY, significant=True),
            tree.spec("c"),
            auto_shutdown=AutoShutdown.ALL_SIGNIFICANT,
        )

        tree.exit("a", Normal())
        still_there = top.is_alive()
        tree.crash("b")

        assert still_there
        assert reason_of(top) == Shutdown()

    def test_that_is_restarted_takes_nobody_along(self, tree: Tree) -> None:
        top = tree.grow(
            tree.spec("a", restart=RestartType.TRANSIENT, significant=True),
            auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        )

        tree.crash("a")

        assert top.is_alive()
        assert tree.running() == "a"

    def test_that_is_terminated_takes_nobody_along(self, tree: Tree) -> None:
        top = tree.grow(
            tree.spec("a", restart=RestartType.TRANSIENT, significant=True),
            auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        )

        top.ask(TerminateChild("a"))
        tree.world.settle()

        assert top.is_alive()

    def test_is_refused_where_it_could_have_no_effect(self, tree: Tree) -> None:
        spec = tree.spec("a", restart=RestartType.TRANSIENT, significant=True)

        with pytest.raises(StartFailed):
            tree.grow(spec)
        top = tree.grow()
        with pytest.raises(SpecRefused) as refused:
            top.ask(StartChild(spec))

        assert isinstance(refused.value, InvalidSpec)
        assert refused.value.field == "significant"


class TestADeathThatComesInTheMiddle:
    def test_of_giving_up_changes_nothing(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("abc"), intensity=0)
        refs = [tree.ref(each) for each in "abc"]
        top.suspend()
        tree.world.settle()

        for each in refs:
            each.tell(Do(boom))
        tree.world.settle()
        top.resume()

        assert reason_of(top) == Shutdown()
        assert len(tree.seen(SupervisorGaveUp)) == 1
        assert not any(each.is_alive() for each in refs)
