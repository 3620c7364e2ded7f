"""What is reported of a child: which event, of what, and to whom it is not told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from callboard.supervision.model import reporting
from callboard.supervision.model.child import Child
from callboard.supervision.model.events import (
    ChildCrashed,
    ChildFailedToStart,
    ChildFailedToStop,
    ChildFinished,
    ChildGivenUp,
    ChildRestartWasPostponed,
    ChildWasAbandoned,
    ChildWasIgnored,
    ChildWasStarted,
    ChildWasStopped,
    SupervisorFinished,
    SupervisorGaveUp,
    TreeEvent,
)
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.plan import Report
from callboard.supervision.model.reasons import Crashed
from callboard.supervision.model.specs import ChildSpec, SupervisorFlags
from callboard.supervision.model.state import SupervisorState

BOOM = Crashed("Boom")
WINDOW = RestartWindow(intensity=3, period_s=5.0, restarts=(1.0, 2.0))
CHILD: Child[str] = Child(
    key="a",
    spec=ChildSpec(id="a", start=dict),
    ref="a#7",
    incarnation=7,
    is_restarting=True,
)
STATE: SupervisorState[str] = SupervisorState(
    name="root/line", flags=SupervisorFlags(), children={"a": CHILD}
)

ROUTINE: dict[TreeEvent, Callable[[SupervisorState[str]], reporting.Reports]] = {
    ChildFinished(
        supervisor="root/line", child_id="a", incarnation=7, ref="a#7", reason=BOOM
    ): lambda state: reporting.finished(state, CHILD, BOOM),
    ChildRestartWasPostponed(
        supervisor="root/line", child_id="a", incarnation=7, ref="a#7", delay_s=0.5
    ): lambda state: reporting.postponed(state, CHILD, 0.5),
    SupervisorFinished(
        supervisor="root/line", child_id="a", incarnation=7, ref="a#7"
    ): lambda state: reporting.supervisor_finished(state, CHILD),
    ChildWasStarted(supervisor="root/line", child_id="a", incarnation=7, ref="a#8"): lambda state: (
        reporting.was_started(state, CHILD, "a#8")
    ),
    ChildWasIgnored(supervisor="root/line", child_id="a", incarnation=7): lambda state: (
        reporting.was_ignored(state, CHILD)
    ),
    ChildWasStopped(
        supervisor="root/line", child_id="a", incarnation=7, ref="a#7", reason=BOOM
    ): lambda state: reporting.was_stopped(state, CHILD, BOOM),
}
"""What goes as it should."""

FAILURES: dict[TreeEvent, Callable[[SupervisorState[str]], reporting.Reports]] = {
    ChildCrashed(
        supervisor="root/line",
        child_id="a",
        incarnation=7,
        ref="a#7",
        reason=BOOM,
        restarts=2,
        intensity=3,
    ): lambda state: reporting.crashed(state, CHILD, BOOM, WINDOW),
    ChildCrashed(
        supervisor="root/line",
        child_id="a",
        incarnation=7,
        ref="a#7",
        reason=BOOM,
        restarts=0,
        intensity=None,
    ): lambda state: reporting.crashed(state, CHILD, BOOM, None),
    SupervisorGaveUp(
        supervisor="root/line",
        child_id="a",
        incarnation=7,
        ref="a#7",
        reason=BOOM,
        restarts=2,
        intensity=3,
        is_restarting=True,
    ): lambda state: reporting.supervisor_gave_up(state, CHILD, BOOM, WINDOW),
    ChildFailedToStart(
        supervisor="root/line",
        child_id="a",
        incarnation=7,
        ref="a#7",
        reason=BOOM,
        is_restarting=True,
    ): lambda state: reporting.failed_to_start(state, CHILD, BOOM),
    ChildFailedToStop(
        supervisor="root/line", child_id="a", incarnation=7, ref="a#7", reason=BOOM
    ): lambda state: reporting.failed_to_stop(state, CHILD, BOOM),
    ChildWasAbandoned(
        supervisor="root/line", child_id="a", incarnation=7, ref="a#7", waited_s=1.5
    ): lambda state: reporting.was_abandoned(state, CHILD, 1.5),
}
"""What does not."""

GIVEN_UP = ChildGivenUp(
    supervisor="root/line",
    child_id="a",
    incarnation=7,
    ref="a#7",
    reason=BOOM,
    restarts=2,
    intensity=3,
)


def watched(*, is_watched: bool, hears_routine: bool) -> SupervisorState[str]:
    return msgspec.structs.replace(STATE, is_watched=is_watched, hears_routine=hears_routine)


@pytest.mark.parametrize("event", [*ROUTINE, *FAILURES], ids=lambda each: type(each).__name__)
class TestAnEvent:
    def test_says_of_whom_it_is_and_what_happened(self, event: TreeEvent) -> None:
        make = (ROUTINE | FAILURES)[event]

        assert make(STATE) == (Report(event),)

    @pytest.mark.parametrize("hears_routine", [False, True])
    def test_is_not_made_for_nobody(self, event: TreeEvent, *, hears_routine: bool) -> None:
        make = (ROUTINE | FAILURES)[event]

        assert make(watched(is_watched=False, hears_routine=hears_routine)) == ()

    def test_is_made_for_who_hears_of_failures_alone_if_it_is_one(self, event: TreeEvent) -> None:
        make = (ROUTINE | FAILURES)[event]

        reports = make(watched(is_watched=True, hears_routine=False))

        assert reports == (() if event in ROUTINE else (Report(event),))


@pytest.mark.parametrize("is_watched", [False, True])
def test_that_a_child_is_given_up_is_always_told_for_its_supervisor_may_act(
    *, is_watched: bool
) -> None:
    state = watched(is_watched=is_watched, hears_routine=False)

    assert reporting.given_up(state, CHILD, BOOM, WINDOW) == (Report(GIVEN_UP),)
