"""What a child is at one moment, as its supervisor sees it: one row for each moment."""

from __future__ import annotations

import pytest

from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.child import Child
from callboard.supervision.model.child_api import plan_terminate_child
from callboard.supervision.model.happenings import DelayOver, Exited, Happening, RetryDue
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.plan import Forget, Postpone, Put, Stop
from callboard.supervision.model.reasons import Crashed
from callboard.supervision.model.specs import ChildSpec, SupervisorFlags
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.stopping import plan_stop
from callboard.supervision.model.strategy import decide

NEW: Child[str] = Child(key="a", spec=ChildSpec(id="a", start=dict))
WAITING = NEW.waiting("a#1")
BOOM = Crashed("Boom")


def supervisor(child: Child[str]) -> SupervisorState[str]:
    return SupervisorState(
        name="root", flags=SupervisorFlags(), children={child.key: child}, is_dynamic=True
    )


@pytest.mark.parametrize(
    ("child", "is_running", "is_stopped"),
    [
        pytest.param(NEW, False, True, id="a spec alone"),
        pytest.param(NEW.starting("a#1"), True, False, id="it starts"),
        pytest.param(NEW.starting(None), False, False, id="its start waits for a predecessor"),
        pytest.param(NEW.started("a#1", now_s=0.0), True, False, id="it runs"),
        pytest.param(NEW.waiting("a#1"), False, False, id="it waits to be restarted"),
        pytest.param(NEW.starting("a#1").stopped(), False, True, id="stopped while it started"),
        pytest.param(NEW.waiting(None).stopped(), False, True, id="stopped while it waited"),
    ],
)
def test_what_a_child_is(child: Child[str], *, is_running: bool, is_stopped: bool) -> None:
    assert (child.is_running, child.is_stopped) == (is_running, is_stopped)


def test_a_start_that_is_complete_is_not_under_way() -> None:
    attempt = NEW.waiting("a#1").attempted()

    assert attempt.starting("a#2").is_starting
    assert not attempt.starting("a#2").is_restarting
    assert not attempt.started("a#2", now_s=0.0).is_starting


def test_each_step_of_its_life_says_all_of_what_it_is() -> None:
    def state(child: Child[str]) -> tuple[str | None, bool, bool]:
        return child.ref, child.is_restarting, child.is_starting

    starting = NEW.waiting("a#1").starting("a#2")

    assert state(NEW.waiting("a#1")) == ("a#1", True, False)
    assert state(starting) == ("a#2", False, True)
    assert state(starting.stopped()) == (None, False, False)


class TestAChildThatIsStarting:
    @pytest.mark.parametrize(
        "happened",
        [Exited("a", "a#1", BOOM), RetryDue(WAITING, BOOM), DelayOver(WAITING)],
        ids=lambda each: type(each).__name__,
    )
    def test_is_decided_about_when_its_start_is_over(self, happened: Happening[str]) -> None:
        state = supervisor(NEW.attempted().starting("a#1"))

        assert decide(state, happened, now_s=0.0) == ()

    @pytest.mark.parametrize("ref", ["a#1", None])
    def test_is_stopped_like_one_that_runs(self, ref: str | None) -> None:
        state = supervisor(NEW.starting(ref))

        assert plan_stop(state) == (Stop(("a",), is_parallel=True),)
        assert plan_terminate_child(state, "a") == (Stop(("a",)), Forget(("a",)))


def test_restarts_that_a_child_had_elsewhere_count_and_delay_the_next() -> None:
    budget = RestartWindow(intensity=2, period_s=60.0)
    backoff = Backoff(delays_s=(0.0, 0.1, 1.0))
    spec = ChildSpec(id="a", start=dict, budget=budget, backoff=backoff)
    before = RestartWindow(intensity=2, period_s=60.0, restarts=(0.0, 50.0))

    child = Child[str](key="a", spec=spec).having_spent(before, now_s=100.0)
    once = decide(
        supervisor(child.started("a#1", now_s=100.0)), Exited("a", "a#1", BOOM), now_s=101.0
    )
    [waiting] = [step.child for step in once if isinstance(step, Put)]
    twice = decide(
        supervisor(waiting.started("a#2", now_s=102.0)), Exited("a", "a#2", BOOM), now_s=103.0
    )

    assert [step.delay_s for step in once if isinstance(step, Postpone)] == [0.1]
    assert any(isinstance(step, Forget) for step in twice), "its budget is spent"
