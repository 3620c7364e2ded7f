"""Beyond OTP: a delay before a restart, and a limit of restarts for one child alone."""

from __future__ import annotations

from typing import Any

from callboard.supervision import (
    Backoff,
    DeleteChild,
    RestartWindow,
    Shutdown,
    StartChild,
    Strategy,
    TerminateChild,
)
from callboard.supervision.model.events import (
    ChildGivenUp,
    ChildRestartWasPostponed,
    SupervisorGaveUp,
)
from tests.runtime.kit import reason_of
from tests.tree.kit import Times, Tree, fail_to_start

GROWING = Backoff(delays_s=(0.0, 1.0, 10.0))
TWICE = RestartWindow(intensity=2, period_s=60.0)


class TestABackoff:
    def test_restarts_at_once_when_the_first_delay_is_zero(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a", backoff=GROWING), intensity=10)

        tree.crash("a")

        assert tree.running() == "a"

    def test_waits_the_second_delay_before_the_second_restart(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a", backoff=GROWING), intensity=10)
        tree.crash("a")

        tree.crash("a")
        before = tree.running()
        tree.world.advance(0.5)
        still = tree.running()
        tree.world.advance(0.6)

        assert (before, still) == ("", "")
        assert tree.running() == "a"

    def test_repeats_the_last_delay(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a", backoff=GROWING), intensity=None)

        for _ in range(5):
            tree.crash("a")
            tree.world.advance(10.1)

        assert tree.running() == "a"
        delays = [each.delay_s for each in tree.seen(ChildRestartWasPostponed)]
        assert delays == [1.0, 10.0, 10.0, 10.0]

    def test_begins_again_after_a_calm_life(self, tree: Tree) -> None:
        tree.grow(
            *tree.specs("a", backoff=Backoff(delays_s=(0.0, 5.0), reset_after_s=30.0)),
            intensity=None,
        )
        tree.crash("a")
        tree.world.advance(31)

        tree.crash("a")

        assert tree.running() == "a"

    def test_counts_against_the_intensity_when_it_is_decided(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab", backoff=Backoff(delays_s=(1.0,))), intensity=1)

        tree.crash("a")
        tree.crash("b")

        assert reason_of(top) == Shutdown()
        assert len(tree.seen(SupervisorGaveUp)) == 1

    def test_delays_the_tries_after_a_failed_restart_as_well(self, tree: Tree) -> None:
        tree.grow(*tree.specs("a", backoff=GROWING), intensity=None)
        tree.behaviour("a").on_start = Times(2, fail_to_start)
        tree.forget_diary()

        tree.crash("a")
        at_once = tree.diary.count("start a")
        tree.world.advance(1.1)
        after_a_second = tree.diary.count("start a")
        tree.world.advance(10.1)

        assert (at_once, after_a_second) == (1, 2)
        assert tree.running() == "a"

    def test_leaves_the_siblings_and_the_supervisor_at_work(self, tree: Tree) -> None:
        tree.grow(*tree.specs("ab", backoff=Backoff(delays_s=(100.0,))), intensity=10)

        tree.crash("a")

        assert tree.running() == "b"
        assert tree.ref("b").is_alive()

    def test_brings_the_whole_group_back_when_its_time_has_come(self, tree: Tree) -> None:
        tree.grow(
            *tree.specs("ab", backoff=Backoff(delays_s=(1.0,))),
            strategy=Strategy.ONE_FOR_ALL,
            intensity=10,
        )
        tree.forget_diary()

        tree.crash("a")
        before = list(tree.diary)
        tree.world.advance(1.1)

        assert before == ["end a"]
        assert tree.diary == ["end a", "end b", "start a", "start b"]

    def test_that_waits_does_not_hold_up_the_stop(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("ab", backoff=Backoff(delays_s=(100.0,))))
        tree.crash("a")

        top.exit(Shutdown())

        assert reason_of(top) == Shutdown()
        assert tree.diary[-1] == "end b"

    def test_that_waits_when_its_supervisor_ends_starts_nothing_later(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a", backoff=Backoff(delays_s=(1.0,))))
        tree.crash("a")
        top.kill()
        tree.forget_diary()

        tree.world.advance(2)

        assert tree.diary == []

    def test_of_a_child_that_is_gone_does_not_end_that_of_the_next_one_of_its_id(
        self, tree: Tree
    ) -> None:
        top = tree.grow(*tree.specs("a", backoff=Backoff(delays_s=(10.0,))), intensity=None)
        tree.crash("a")
        tree.world.advance(5.0)
        top.ask(TerminateChild("a"))
        top.ask(DeleteChild("a"))
        top.ask(StartChild(tree.spec("a", backoff=Backoff(delays_s=(10.0,)))))
        tree.crash("a")

        tree.world.advance(9.0)
        before = tree.running()
        tree.world.advance(1.1)

        assert (before, tree.running()) == ("", "a")


class TestAChildsOwnBudget:
    def grow(self, tree: Tree, **flags: Any) -> None:
        tree.grow(tree.spec("a", budget=TWICE), tree.spec("b"), **{"intensity": 50, **flags})

    def test_lets_it_come_back_as_often_as_it_says(self, tree: Tree) -> None:
        self.grow(tree)

        for _ in range(2):
            tree.crash("a")

        assert tree.running() == "ab"

    def test_that_is_spent_gives_up_that_child_alone(self, tree: Tree) -> None:
        self.grow(tree)

        for _ in range(3):
            tree.crash("a")

        assert tree.running() == "b"
        assert tree.children()["a"].ref is None
        (report,) = tree.seen(ChildGivenUp)
        assert (report.child_id, report.restarts, report.intensity) == ("a", 3, 2)

    def test_counts_starts_that_fail(self, tree: Tree) -> None:
        self.grow(tree)
        tree.behaviour("a").on_start = fail_to_start
        tree.forget_diary()

        tree.crash("a")

        assert tree.running() == "b"
        assert tree.diary.count("start a") == 2
        assert len(tree.seen(ChildGivenUp)) == 1

    def test_forgets_with_time(self, tree: Tree) -> None:
        self.grow(tree)

        for _ in range(5):
            tree.crash("a")
            tree.world.advance(31)

        assert tree.running() == "ab"

    def test_that_is_spent_ends_the_supervisor_where_others_depend_on_the_child(
        self, tree: Tree
    ) -> None:
        self.grow(tree, strategy=Strategy.ONE_FOR_ALL)

        for _ in range(3):
            tree.crash("a")

        assert reason_of(tree.top) == Shutdown()

    def test_comes_before_the_supervisors_and_spares_it(self, tree: Tree) -> None:
        self.grow(tree, intensity=2)

        for _ in range(3):
            tree.crash("a")

        assert tree.top.is_alive()
        assert tree.running() == "b"
