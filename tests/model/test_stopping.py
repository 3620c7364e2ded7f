"""Stops: in which order, and which ends are reported."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision.model.child import Child
from callboard.supervision.model.events import (
    ChildFailedToStop,
    ChildrenFailedToStop,
    ChildWasStopped,
)
from callboard.supervision.model.plan import Forget, Put, Report, Stop
from callboard.supervision.model.reasons import (
    Crashed,
    ExitReason,
    FailedToStart,
    Killed,
    Normal,
    Shutdown,
)
from callboard.supervision.model.specs import (
    BRUTAL_KILL,
    ChildSpec,
    RestartType,
    ShutdownTime,
    SupervisorFlags,
)
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.stopping import (
    after_parallel_stop,
    after_stop,
    is_as_asked,
    plan_stop,
)

BOOM = Crashed("Boom")
REASONS: dict[str, ExitReason] = {
    "shutdown": Shutdown(),
    "with a detail": Shutdown(detail="bye"),
    "with a cause": Shutdown(cause=FailedToStart("x", Normal())),
    "normal": Normal(),
    "killed": Killed(),
    "crashed": BOOM,
}
AS_ASKED = {
    (RestartType.PERMANENT, "timed"): {"shutdown"},
    (RestartType.TRANSIENT, "timed"): {"shutdown", "with a detail", "with a cause", "normal"},
    (RestartType.TEMPORARY, "timed"): {"shutdown", "with a detail", "with a cause", "normal"},
    (RestartType.PERMANENT, "brutal"): {"killed"},
    (RestartType.TRANSIENT, "brutal"): set(REASONS) - {"crashed"},
    (RestartType.TEMPORARY, "brutal"): set(REASONS) - {"crashed"},
}
TIMES: dict[str, ShutdownTime] = {"timed": 5.0, "brutal": BRUTAL_KILL}


def running(child_id: str = "a", key: str | int | None = None, **fields: Any) -> Child[str]:
    spec = ChildSpec(id=child_id, start=dict, **fields)
    return Child(key=child_id if key is None else key, spec=spec, ref=f"{child_id}#1")


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


class TestOrder:
    def test_children_are_stopped_in_reverse_start_order(self) -> None:
        assert plan_stop(supervisor(*map(running, "abc"))) == (Stop(("c", "b", "a")),)

    def test_those_that_do_not_run_are_left_out(self) -> None:
        state = supervisor(running("a"), running("b").stopped(), running("c").waiting("c#1"))

        assert plan_stop(state) == (Stop(("c", "a")),)
        assert plan_stop(supervisor()) == ()

    def test_dynamic_ones_are_asked_all_at_once(self) -> None:
        state = supervisor(*map(running, "ab"), is_dynamic=True)

        assert plan_stop(state) == (Stop(("b", "a"), is_parallel=True),)


class TestReports:
    @pytest.mark.parametrize("how", REASONS)
    @pytest.mark.parametrize("time", TIMES)
    @pytest.mark.parametrize("restart", RestartType, ids=lambda each: each.value)
    def test_which_ends_are_as_asked(self, restart: RestartType, time: str, how: str) -> None:
        spec = ChildSpec(id="a", start=dict, restart=restart, shutdown_s=TIMES[time])

        assert is_as_asked(spec, REASONS[how]) is (how in AS_ASKED[restart, time])

    def test_a_child_that_stopped_as_asked(self) -> None:
        plan = after_stop(supervisor(), running(), Shutdown())

        event = ChildWasStopped(
            supervisor="root", child_id="a", incarnation=0, ref="a#1", reason=Shutdown()
        )
        assert plan == (Report(event), Put(running().stopped()))

    def test_a_child_that_did_not(self) -> None:
        plan = after_stop(supervisor(), running(), BOOM)

        event = ChildFailedToStop(
            supervisor="root", child_id="a", incarnation=0, ref="a#1", reason=BOOM
        )
        assert plan == (Report(event), Put(running().stopped()))

    def test_many_that_did_not_are_one_report_for_each_reason(self) -> None:
        children = [running("s", key=number) for number in range(5)]
        reasons: list[ExitReason] = [BOOM, Shutdown(), BOOM, Killed(), BOOM]

        plan = after_parallel_stop(
            supervisor(*children, is_dynamic=True), zip(children, reasons, strict=True)
        )

        assert plan == (
            Report(ChildrenFailedToStop(supervisor="root", child_id="s", reason=BOOM, children=3)),
            Report(
                ChildrenFailedToStop(supervisor="root", child_id="s", reason=Killed(), children=1)
            ),
            Forget((0, 1, 2, 3, 4)),
        )

    def test_are_not_made_for_nobody(self) -> None:
        state = supervisor(running(), is_watched=False)

        assert after_stop(state, running(), Killed()) == (Put(running().stopped()),)
        assert after_parallel_stop(state, [(running(), Killed())]) == (Forget(("a",)),)
