"""A child was to be started: it runs, it chose not to, or it failed. What follows."""

from __future__ import annotations

from typing import Final, Generic, TypeAlias

import msgspec

from callboard.supervision.model import reporting
from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.happenings import RetryDue
from callboard.supervision.model.plan import (
    End,
    Forget,
    IfFails,
    Plan,
    Put,
    Refuse,
    Retry,
    Start,
)
from callboard.supervision.model.reasons import Crashed, ExitReason, FailedToStart, Shutdown
from callboard.supervision.model.refusals import StartFailed
from callboard.supervision.model.specs import ChildSpec
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.strategy import settled


class Started(msgspec.Struct, Generic[RefT], frozen=True):
    """The child's own initialisation is complete.

    Args:
        ref: the new incarnation.
        now_s: monotonic seconds.
    """

    ref: RefT
    now_s: float


class Ignored(msgspec.Struct, frozen=True):
    """The child chose not to run.

    Source: OTP supervisor.erl, a start function that returns `ignore`.
    """


class Failed(msgspec.Struct, frozen=True):
    """The start failed; nothing runs.

    Args:
        reason: why; an orderly reason fails a start like any other.
    """

    reason: ExitReason


StartResult: TypeAlias = Started[RefT] | Ignored | Failed
"""How a start ended."""

START_TIMED_OUT: Final = "StartTimedOut"
"""The `Crashed.error` of a start that took longer than its spec allows."""


def timed_out(spec: ChildSpec) -> Failed:
    """Return how a start ended whose time has passed; what was half started has been killed.

    Source: OTP proc_lib.erl, `start_link/5`: `{error, timeout}`, and the process is killed.
    """
    assert spec.start_limit_s is not None, "a start without a limit has no time that could pass"
    return Failed(Crashed(START_TIMED_OUT, f"its start took longer than {spec.start_limit_s:g} s"))


def plan_first_start(state: SupervisorState[RefT]) -> Plan[RefT]:
    """Start all children, in order; the first that fails ends the supervisor.

    No restart is tried, and nothing is counted.

    Source: OTP supervisor.erl, `init_children/2`.
    """
    keys = tuple(state.children)
    return (Start(keys, IfFails.GIVE_UP),) if keys else ()


def after_start(
    state: SupervisorState[RefT],
    child: Child[RefT],
    start: Start[RefT],
    result: StartResult[RefT],
) -> Plan[RefT]:
    """Say what follows when a start has ended.

    After a `Failed` these steps are the last ones of the plan that asked for
    the start: siblings that were to come after the child stay stopped. What
    then happens to those before it, the next decision says: `ONE_FOR_ALL` stops
    and starts them all again, `REST_FOR_ONE` leaves them up.

    Args:
        state: the supervisor as it is.
        child: as it was before, numbered for this start (`Child.attempted`).
        start: the step that asked for it.
        result: how it ended.

    Source: OTP supervisor.erl, `start_children/2`, `restart/3`, `handle_start_child/2`.
    """
    match result:
        case Started(ref=ref, now_s=now_s):
            reports = reporting.was_started(state, child, ref)
            return (Put(child.started(ref, now_s=now_s)), *reports)
        case Ignored():
            # Counts as done: also a restart that ends so is not tried again.
            return (settled(state, child), *reporting.was_ignored(state, child))
        case Failed(reason=reason):
            return _after_failure(state, child, start, reason)


def _after_failure(
    state: SupervisorState[RefT], child: Child[RefT], start: Start[RefT], reason: ExitReason
) -> Plan[RefT]:
    match start.if_fails:
        case IfFails.GIVE_UP:
            cause = FailedToStart(child.id, reason)
            reports = reporting.failed_to_start(state, child, reason)
            return (Put(child.stopped()), *reports, End(Shutdown(cause=cause)))
        case IfFails.RETRY:
            reports = reporting.failed_to_start(state, child, reason)
            waiting = child.waiting(_replaced_by(child, start))
            return (*reports, Put(waiting), Retry(RetryDue(waiting, reason)))
        case IfFails.FORGET:
            return (Forget((child.key,)), Refuse(StartFailed(child.id, reason)))
        case IfFails.LEAVE:
            return (Put(child.stopped(), is_final=True), Refuse(StartFailed(child.id, reason)))


def _replaced_by(child: Child[RefT], start: Start[RefT]) -> RefT | None:
    # A sibling that fails in a group restart replaces nobody: its last life was stopped.
    is_cause = start.cause is not None and start.cause.key == child.key
    return start.cause.ref if start.cause is not None and is_cause else None
