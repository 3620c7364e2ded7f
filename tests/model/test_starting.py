"""What follows a start: it runs, it is ignored, or it failed."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.child import Child
from callboard.supervision.model.events import (
    ChildFailedToStart,
    ChildWasIgnored,
    ChildWasStarted,
)
from callboard.supervision.model.happenings import RetryDue
from callboard.supervision.model.plan import (
    End,
    Forget,
    IfFails,
    Plan,
    Put,
    Refuse,
    Report,
    Retry,
    Start,
)
from callboard.supervision.model.reasons import Crashed, FailedToStart, Normal, Shutdown
from callboard.supervision.model.refusals import StartFailed
from callboard.supervision.model.specs import ChildSpec, RestartType, SupervisorFlags
from callboard.supervision.model.starting import (
    START_TIMED_OUT,
    Failed,
    Ignored,
    Started,
    StartResult,
    after_start,
    plan_first_start,
    timed_out,
)
from callboard.supervision.model.state import SupervisorState

BOOM = Crashed("Boom")


def child(child_id: str = "a", **fields: Any) -> Child[str]:
    return Child(key=child_id, spec=ChildSpec(id=child_id, start=dict, **fields))


def supervisor(
    *children: Child[str], is_dynamic: bool = False, is_watched: bool = True
) -> SupervisorState[str]:
    return SupervisorState(
        name="root",
        flags=SupervisorFlags(),
        children={each.key: each for each in children},
        is_dynamic=is_dynamic,
        is_watched=is_watched,
    )


def start(if_fails: IfFails, cause: Child[str] | None = None) -> Start[str]:
    return Start(("a",), if_fails, cause=cause)


def test_the_first_start_starts_all_in_order_and_gives_up_at_the_first_failure() -> None:
    state = supervisor(*map(child, "cab"))

    assert plan_first_start(state) == (Start(("c", "a", "b"), IfFails.GIVE_UP),)
    assert plan_first_start(supervisor()) == ()


class TestStarted:
    def test_it_runs_and_is_reported(self) -> None:
        attempt = child().waiting("a#1").attempted().attempted()

        kept, report = after_start(supervisor(), attempt, start(IfFails.RETRY), Started("a#2", 7.0))

        assert isinstance(kept, Put)
        assert kept.child.is_running
        assert (kept.child.ref, kept.child.incarnation) == ("a#2", 2)
        event = ChildWasStarted(supervisor="root", child_id="a", incarnation=2, ref="a#2")
        assert report == Report(event)

    def test_when_it_began_to_run_is_kept_for_its_backoff(self) -> None:
        attempt = child(backoff=Backoff(delays_s=(1.0,))).attempted()

        kept, _ = after_start(supervisor(), attempt, start(IfFails.RETRY), Started("a#1", 7.0))

        assert isinstance(kept, Put)
        assert kept.child.started_at_s == 7.0

    @pytest.mark.parametrize(("backoff", "at_s"), [(None, 0.0), (Backoff(delays_s=(1.0,)), 7.0)])
    def test_when_is_kept_only_where_a_backoff_asks(
        self, backoff: Backoff | None, at_s: float
    ) -> None:
        assert child(backoff=backoff).started("a#1", now_s=7.0).started_at_s == at_s


class TestIgnored:
    @pytest.mark.parametrize("if_fails", IfFails, ids=lambda each: each.value)
    @pytest.mark.parametrize(
        ("restart", "is_dynamic", "stays"),
        [
            pytest.param(RestartType.PERMANENT, False, True, id="permanent: the spec stays"),
            pytest.param(RestartType.TRANSIENT, False, True, id="transient: the spec stays"),
            pytest.param(RestartType.TEMPORARY, False, False, id="temporary: nothing is left"),
            pytest.param(RestartType.PERMANENT, True, False, id="dynamic: nothing is left"),
        ],
    )
    def test_what_is_left(
        self, restart: RestartType, if_fails: IfFails, *, is_dynamic: bool, stays: bool
    ) -> None:
        attempt = child(restart=restart).waiting("a#1").attempted()

        state = supervisor(attempt, is_dynamic=is_dynamic)
        left, report = after_start(state, attempt, start(if_fails), Ignored())

        assert left == (Put(attempt.stopped(), is_final=True) if stays else Forget(("a",)))
        assert report == Report(ChildWasIgnored(supervisor="root", child_id="a", incarnation=1))


class TestFailed:
    def failed(self, attempt: Child[str], step: Start[str]) -> Plan[str]:
        return after_start(supervisor(attempt), attempt, step, Failed(BOOM))

    def test_in_the_first_start_the_supervisor_ends_and_says_whose_fault_it_was(self) -> None:
        plan = self.failed(child().attempted(), start(IfFails.GIVE_UP))

        assert plan[-1] == End(Shutdown(cause=FailedToStart("a", BOOM)))
        event = ChildFailedToStart(supervisor="root", child_id="a", incarnation=1, reason=BOOM)
        assert Report(event) in plan

    def test_in_a_restart_it_waits_and_is_tried_again_through_the_mailbox(self) -> None:
        before = child().attempted().started("a#1", now_s=0)

        plan = self.failed(before.attempted(), start(IfFails.RETRY, cause=before))

        event = ChildFailedToStart(
            supervisor="root", child_id="a", incarnation=2, ref="a#1", reason=BOOM
        )
        waiting = before.attempted().waiting("a#1")
        assert plan == (Report(event), Put(waiting), Retry(RetryDue(waiting, BOOM)))

    def test_an_orderly_reason_is_tried_again_too(self) -> None:
        before = child(restart=RestartType.TRANSIENT).started("a#1", now_s=0)

        plan = after_start(
            supervisor(), before, start(IfFails.RETRY, cause=before), Failed(Normal())
        )

        assert plan[-1] == Retry(RetryDue(before.waiting("a#1"), Normal()))

    def test_a_sibling_that_fails_in_a_group_restart_replaces_nobody(self) -> None:
        cause = child("b").started("b#1", now_s=0)

        plan = self.failed(child().attempted(), start(IfFails.RETRY, cause=cause))

        assert Put(child().attempted().waiting(None)) in plan

    @pytest.mark.parametrize(
        ("if_fails", "left"),
        [
            pytest.param(IfFails.FORGET, Forget(("a",)), id="start_child: nothing"),
            pytest.param(
                IfFails.LEAVE,
                Put(child().attempted(), is_final=True),
                id="restart_child: stopped as before",
            ),
        ],
    )
    def test_when_somebody_asked_for_it_they_are_told_and_nobody_else(
        self, if_fails: IfFails, left: Put[str] | Forget
    ) -> None:
        first, refuse = self.failed(child().attempted(), start(if_fails))

        assert first == left
        assert isinstance(refuse, Refuse)
        assert isinstance(refuse.error, StartFailed)
        assert (refuse.error.child_id, refuse.error.reason) == ("a", BOOM)
        assert str(refuse.error) == "Child 'a' did not start: crashed: Boom."


class TestAStartThatTakesTooLong:
    def test_has_failed_and_says_so(self) -> None:
        reason = timed_out(ChildSpec(id="a", start=dict, start_s=1.5)).reason

        assert reason == Crashed(START_TIMED_OUT, "its start took longer than 1.5 s")
        assert START_TIMED_OUT == "StartTimedOut"

    def test_one_without_a_limit_has_none_that_could_pass(self) -> None:
        with pytest.raises(
            AssertionError, match=r"^a start without a limit has no time that could pass\b"
        ):
            timed_out(ChildSpec(id="a", start=dict))


class TestWhatNobodyListensTo:
    @pytest.mark.parametrize("if_fails", IfFails, ids=lambda each: each.value)
    @pytest.mark.parametrize(
        "result",
        [Started("a#2", 7.0), Ignored(), Failed(BOOM)],
        ids=lambda each: type(each).__name__,
    )
    def test_is_not_reported_and_all_else_is_done(
        self, result: StartResult[str], if_fails: IfFails
    ) -> None:
        attempt = child().waiting("a#1").attempted()

        watched = after_start(supervisor(attempt), attempt, start(if_fails), result)
        plan = after_start(supervisor(attempt, is_watched=False), attempt, start(if_fails), result)

        # As text: an error in a refusal is equal to no other.
        assert str(plan) == str(tuple(step for step in watched if not isinstance(step, Report)))
        assert not any(isinstance(step, Report) for step in plan)
