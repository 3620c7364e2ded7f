"""What a supervisor does when it is asked for one child: request x state of the child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision.model.child import Child
from callboard.supervision.model.child_api import (
    plan_delete_child,
    plan_restart_child,
    plan_start_child,
    plan_terminate_child,
)
from callboard.supervision.model.errors import InvalidSpec, Refusal
from callboard.supervision.model.plan import Forget, IfFails, Plan, Put, Refuse, Start, Stop
from callboard.supervision.model.refusals import (
    AlreadyPresent,
    AlreadyStarted,
    ChildIsRestarting,
    ChildIsRunning,
    ChildNotFound,
    ChildRefusal,
    SpecRefused,
)
from callboard.supervision.model.specs import ChildSpec, RestartType, SupervisorFlags
from callboard.supervision.model.state import SupervisorState

SPEC = ChildSpec(id="a", start=dict)
RUNNING: Child[str] = Child(key="a", spec=SPEC, ref="a#1", incarnation=1)
START_AGAIN: Plan[str] = (Start(("a",), IfFails.LEAVE),)
STATES = {
    "running": RUNNING,
    "stopped": RUNNING.stopped(),
    "restarting": RUNNING.waiting("a#1"),
    "restarting in a group": RUNNING.waiting(None),
    "starting": RUNNING.starting(None),
}


def supervisor(*children: Child[str], **fields: Any) -> SupervisorState[str]:
    table = {each.key: each for each in children}
    return SupervisorState(name="root", flags=SupervisorFlags(), children=table, **fields)


def by_spec(state: SupervisorState[str], _key: str) -> Plan[str]:
    return plan_start_child(state, SPEC)


@pytest.mark.parametrize(
    ("request_for", "child", "expected"),
    [
        pytest.param(by_spec, "running", AlreadyStarted, id="start_child: running"),
        pytest.param(by_spec, "stopped", AlreadyPresent, id="start_child: stopped"),
        pytest.param(by_spec, "restarting", AlreadyPresent, id="start_child: restarting"),
        pytest.param(by_spec, "restarting in a group", AlreadyPresent, id="start_child: group"),
        pytest.param(plan_restart_child, "running", ChildIsRunning, id="restart_child: running"),
        pytest.param(plan_restart_child, "starting", ChildIsRunning, id="restart_child: starting"),
        pytest.param(
            plan_restart_child, "restarting", ChildIsRestarting, id="restart_child: restarting"
        ),
        pytest.param(
            plan_restart_child,
            "restarting in a group",
            ChildIsRestarting,
            id="restart_child: group",
        ),
        pytest.param(plan_restart_child, None, ChildNotFound, id="restart_child: unknown"),
        pytest.param(plan_delete_child, "running", ChildIsRunning, id="delete_child: running"),
        pytest.param(plan_delete_child, "starting", ChildIsRunning, id="delete_child: starting"),
        pytest.param(
            plan_delete_child, "restarting", ChildIsRestarting, id="delete_child: restarting"
        ),
        pytest.param(plan_delete_child, None, ChildNotFound, id="delete_child: unknown"),
        pytest.param(plan_terminate_child, None, ChildNotFound, id="terminate_child: unknown"),
    ],
)
def test_refused(
    request_for: Callable[[SupervisorState[str], str], Plan[str]],
    child: str | None,
    expected: type[ChildRefusal],
) -> None:
    state = supervisor(*([STATES[child]] if child else []))

    (refuse,) = request_for(state, "a")

    assert isinstance(refuse, Refuse)
    assert type(refuse.error) is expected
    assert isinstance(refuse.error, ChildRefusal)
    assert refuse.error.child_id == "a"
    assert refuse.error.remedy in str(refuse.error)
    assert "'a'" in str(refuse.error)


@pytest.mark.parametrize(
    ("request_for", "child", "expected"),
    [
        pytest.param(
            plan_restart_child,
            "stopped",
            START_AGAIN,
            id="restart_child: a stopped one starts in its place",
        ),
        pytest.param(plan_delete_child, "stopped", (Forget(("a",)),), id="delete_child: stopped"),
        pytest.param(plan_terminate_child, "running", (Stop(("a",)),), id="terminate_child: runs"),
        pytest.param(plan_terminate_child, "stopped", (), id="terminate_child: again"),
        pytest.param(
            plan_terminate_child,
            "restarting",
            (Stop(("a",)),),
            id="terminate_child: cancels the restart",
        ),
    ],
)
def test_done(
    request_for: Callable[[SupervisorState[str], str], Plan[str]], child: str, expected: Plan[str]
) -> None:
    assert request_for(supervisor(STATES[child]), "a") == expected


def test_a_new_child_comes_last_and_leaves_nothing_if_it_does_not_start() -> None:
    other = Child(key="b", spec=ChildSpec(id="b", start=dict), ref="b#1")

    plan = plan_start_child(supervisor(other), SPEC)

    added: Child[str] = Child(key="a", spec=SPEC)
    assert plan == (Put(added), Start(("a",), IfFails.FORGET))


@pytest.mark.parametrize(
    ("restart", "is_dynamic"),
    [
        pytest.param(RestartType.TEMPORARY, False, id="a temporary child"),
        pytest.param(RestartType.PERMANENT, True, id="a dynamic child"),
    ],
)
def test_terminating_it_forgets(restart: RestartType, *, is_dynamic: bool) -> None:
    spec = ChildSpec(id="a", start=dict, restart=restart)
    child: Child[str] = Child(key="a", spec=spec, ref="a#1")

    plan = plan_terminate_child(supervisor(child, is_dynamic=is_dynamic), "a")

    assert plan == (Stop(("a",)), Forget(("a",)))


def test_a_spec_that_does_not_fit_is_refused_and_is_no_crash() -> None:
    spec = ChildSpec(id="x", start=dict, restart=RestartType.TRANSIENT, significant=True)

    (refuse,) = plan_start_child(supervisor(), spec)

    assert isinstance(refuse, Refuse)
    assert isinstance(refuse.error, SpecRefused)
    assert isinstance(refuse.error, InvalidSpec)
    assert isinstance(refuse.error, Refusal)
    assert (refuse.error.field, refuse.error.value) == ("significant", True)
    assert "auto_shutdown" in refuse.error.remedy


def test_who_starts_one_that_runs_is_told_which() -> None:
    (refuse,) = plan_start_child(supervisor(RUNNING), SPEC)

    assert isinstance(refuse, Refuse)
    assert isinstance(refuse.error, AlreadyStarted)
    assert refuse.error.ref == "a#1"
