"""A child was stopped: did it end as it should, and in which order are they stopped?"""

from __future__ import annotations

from collections.abc import Iterable

from callboard.supervision.model import reporting
from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.events import ChildrenFailedToStop
from callboard.supervision.model.plan import Forget, Plan, Put, Report, Stop
from callboard.supervision.model.reasons import ExitReason, Killed, Normal, Shutdown
from callboard.supervision.model.specs import BRUTAL_KILL, ChildId, ChildSpec, RestartType
from callboard.supervision.model.state import SupervisorState


def plan_stop(state: SupervisorState[RefT]) -> Plan[RefT]:
    """Stop all children that are left: in reverse start order, or all at once when dynamic.

    Source: OTP supervisor.erl, `terminate/2`.
    """
    keys = tuple(key for key, child in state.children.items() if not child.is_stopped)
    return (Stop(keys[::-1], is_parallel=state.is_dynamic),) if keys else ()


def is_as_asked(spec: ChildSpec, reason: ExitReason) -> bool:
    """Say whether a child that was being stopped ended as it should, so there is nothing to report.

    `Killed` is as it should be only where a brutal kill was asked for. A plain
    `Shutdown` is, unless a permanent child was to be killed; `Normal` and a
    `Shutdown` that says more are, unless the child is permanent.

    Source: OTP supervisor.erl, `shutdown/1`.
    """
    is_brutal = spec.shutdown_s is BRUTAL_KILL
    if isinstance(reason, Killed):
        return is_brutal
    if spec.restart is not RestartType.PERMANENT:
        return isinstance(reason, (Normal, Shutdown))
    return reason == Shutdown() and not is_brutal


def after_stop(state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason) -> Plan[RefT]:
    """Say what follows when a child that was being stopped has ended.

    Args:
        state: the supervisor as it is.
        child: the child as it ran.
        reason: how it ended; it may have been dead before it was asked.

    Source: OTP supervisor.erl, `do_terminate/2`.
    """
    if is_as_asked(child.spec, reason):
        reports = reporting.was_stopped(state, child, reason)
    else:
        reports = reporting.failed_to_stop(state, child, reason)
    return (*reports, Put(child.stopped()))


def after_parallel_stop(
    state: SupervisorState[RefT], ended: Iterable[tuple[Child[RefT], ExitReason]]
) -> Plan[RefT]:
    """Say what follows when children that were stopped at once have ended: one report for many.

    Args:
        state: the supervisor as it is.
        ended: the children as they ran, each with how it ended.

    Source: OTP supervisor.erl, `terminate_dynamic_children/1`.
    """
    failed: dict[tuple[ChildId, ExitReason], int] = {}
    keys: list[ChildId] = []
    for child, reason in ended:
        keys.append(child.key)
        if state.is_watched and not is_as_asked(child.spec, reason):
            kind = (child.id, reason)
            failed[kind] = failed.get(kind, 0) + 1
    reports = (
        Report(
            ChildrenFailedToStop(
                supervisor=state.name, child_id=child_id, reason=reason, children=children
            )
        )
        for (child_id, reason), children in failed.items()
    )
    return (*reports, Forget(tuple(keys)))
