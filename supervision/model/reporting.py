"""The event for what befell a child: its values taken from the supervisor and the child."""

from __future__ import annotations

from callboard.supervision.model.child import Child, RefT
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
)
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.state import SupervisorState


def crashed(
    state: SupervisorState[RefT],
    child: Child[RefT],
    reason: ExitReason,
    window: RestartWindow | None,
) -> ChildCrashed:
    """Return the event for an end that should not have been; `window` has counted it, if any."""
    return ChildCrashed(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        restarts=len(window.restarts) if window else 0,
        intensity=window.intensity if window else None,
    )


def finished(state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason) -> ChildFinished:
    """Return the event for an orderly end that calls for no restart."""
    return ChildFinished(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
    )


def postponed(
    state: SupervisorState[RefT], child: Child[RefT], delay_s: float
) -> ChildRestartWasPostponed:
    """Return the event for a restart that waits."""
    return ChildRestartWasPostponed(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        delay_s=delay_s,
    )


def given_up(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason, window: RestartWindow
) -> ChildGivenUp:
    """Return the event for a child that has spent its own budget, `window`."""
    return ChildGivenUp(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        restarts=len(window.restarts),
        intensity=window.intensity,
    )


def supervisor_gave_up(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason, window: RestartWindow
) -> SupervisorGaveUp:
    """Return the event for a supervisor that had one restart too many to make."""
    return SupervisorGaveUp(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        restarts=len(window.restarts),
        intensity=window.intensity,
        is_restarting=child.is_restarting,
    )


def supervisor_finished(state: SupervisorState[RefT], child: Child[RefT]) -> SupervisorFinished:
    """Return the event for a supervisor that ends with its significant child."""
    return SupervisorFinished(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
    )


def was_started(state: SupervisorState[RefT], child: Child[RefT], ref: RefT) -> ChildWasStarted:
    """Return the event for a start that is complete."""
    return ChildWasStarted(
        supervisor=state.name, child_id=child.spec.id, incarnation=child.incarnation, ref=ref
    )


def was_ignored(state: SupervisorState[RefT], child: Child[RefT]) -> ChildWasIgnored:
    """Return the event for a child that chose not to run."""
    return ChildWasIgnored(
        supervisor=state.name, child_id=child.spec.id, incarnation=child.incarnation
    )


def failed_to_start(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason
) -> ChildFailedToStart:
    """Return the event for a start that failed; `child` is as it was before, but numbered."""
    return ChildFailedToStart(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        is_restarting=child.is_restarting,
    )


def was_stopped(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason
) -> ChildWasStopped:
    """Return the event for a stop that went as it should."""
    return ChildWasStopped(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
    )


def failed_to_stop(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason
) -> ChildFailedToStop:
    """Return the event for a stop that went in another way than it should."""
    return ChildFailedToStop(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
    )


def was_abandoned(
    state: SupervisorState[RefT], child: Child[RefT], waited_s: float
) -> ChildWasAbandoned:
    """Return the event for a child that even a kill did not end in time."""
    return ChildWasAbandoned(
        supervisor=state.name,
        child_id=child.spec.id,
        incarnation=child.incarnation,
        ref=child.ref,
        waited_s=waited_s,
    )
