"""What is reported of a child: one event, its values taken from the supervisor and the child.

Each function returns the steps of a plan that report it: none when nobody listens, and none
of what goes as it should when nobody wants to hear that.
"""

from __future__ import annotations

from typing import TypeAlias

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
from callboard.supervision.model.plan import Report
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.state import SupervisorState

Reports: TypeAlias = tuple[Report, ...]
"""The steps that report one thing, or none."""


def crashed(
    state: SupervisorState[RefT],
    child: Child[RefT],
    reason: ExitReason,
    window: RestartWindow | None,
) -> Reports:
    """Report an end that should not have been; `window` has counted it, if any."""
    if not state.is_watched:
        return ()
    event = ChildCrashed(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        restarts=len(window.restarts) if window else 0,
        intensity=window.intensity if window else None,
    )
    return (Report(event),)


def finished(state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason) -> Reports:
    """Report an orderly end that calls for no restart."""
    if not (state.is_watched and state.hears_routine):
        return ()
    event = ChildFinished(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
    )
    return (Report(event),)


def postponed(state: SupervisorState[RefT], child: Child[RefT], delay_s: float) -> Reports:
    """Report a restart that waits."""
    if not (state.is_watched and state.hears_routine):
        return ()
    event = ChildRestartWasPostponed(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        delay_s=delay_s,
    )
    return (Report(event),)


def given_up(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason, window: RestartWindow
) -> Reports:
    """Report a child that has spent its own budget, `window`."""
    event = ChildGivenUp(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        restarts=len(window.restarts),
        intensity=window.intensity,
    )
    return (Report(event),)


def supervisor_gave_up(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason, window: RestartWindow
) -> Reports:
    """Report a supervisor that had one restart too many to make."""
    if not state.is_watched:
        return ()
    event = SupervisorGaveUp(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        restarts=len(window.restarts),
        intensity=window.intensity,
        is_restarting=child.is_restarting,
    )
    return (Report(event),)


def supervisor_finished(state: SupervisorState[RefT], child: Child[RefT]) -> Reports:
    """Report a supervisor that ends with its significant child."""
    if not (state.is_watched and state.hears_routine):
        return ()
    event = SupervisorFinished(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
    )
    return (Report(event),)


def was_started(state: SupervisorState[RefT], child: Child[RefT], ref: RefT) -> Reports:
    """Report a start that is complete."""
    if not (state.is_watched and state.hears_routine):
        return ()
    event = ChildWasStarted(
        supervisor=state.name, child_id=child.id, incarnation=child.incarnation, ref=ref
    )
    return (Report(event),)


def was_ignored(state: SupervisorState[RefT], child: Child[RefT]) -> Reports:
    """Report a child that chose not to run."""
    if not (state.is_watched and state.hears_routine):
        return ()
    event = ChildWasIgnored(supervisor=state.name, child_id=child.id, incarnation=child.incarnation)
    return (Report(event),)


def failed_to_start(
    state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason
) -> Reports:
    """Report a start that failed; `child` is as it was before, but numbered."""
    if not state.is_watched:
        return ()
    event = ChildFailedToStart(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
        is_restarting=child.is_restarting,
    )
    return (Report(event),)


def was_stopped(state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason) -> Reports:
    """Report a stop that went as it should."""
    if not (state.is_watched and state.hears_routine):
        return ()
    event = ChildWasStopped(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
    )
    return (Report(event),)


def failed_to_stop(state: SupervisorState[RefT], child: Child[RefT], reason: ExitReason) -> Reports:
    """Report a stop that went in another way than it should."""
    if not state.is_watched:
        return ()
    event = ChildFailedToStop(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        reason=reason,
    )
    return (Report(event),)


def was_abandoned(state: SupervisorState[RefT], child: Child[RefT], waited_s: float) -> Reports:
    """Report a child that even a kill did not end in time."""
    if not state.is_watched:
        return ()
    event = ChildWasAbandoned(
        supervisor=state.name,
        child_id=child.id,
        incarnation=child.incarnation,
        ref=child.ref,
        waited_s=waited_s,
    )
    return (Report(event),)
