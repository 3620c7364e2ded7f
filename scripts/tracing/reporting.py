"""What OTP's supervisors log as an error, out of what ours report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callboard.supervision import (
    ChildCrashed,
    ChildFailedToStart,
    ChildFailedToStop,
    ChildrenFailedToStop,
    SupervisorGaveUp,
)
from scripts.tracing.vocabulary import term_of


def report_of(event: object, who: Callable[[object], str | None]) -> dict[str, Any] | None:
    """Return the report for an event, without the supervisor; None where OTP is silent.

    Args:
        event: what a supervisor reported.
        who: from a ref to the process that recordings know.
    """
    match event:
        case ChildCrashed():
            context, reason = "child_terminated", term_of(event.reason)
        case ChildFailedToStart():
            context, reason = "start_error", term_of(event.reason)
        case ChildFailedToStop():
            context, reason = "shutdown_error", term_of(event.reason)
        case SupervisorGaveUp():
            context, reason = "shutdown", "reached_max_restart_intensity"
        case ChildrenFailedToStop():  # one report for all of them
            return {
                "context": "shutdown_error",
                "child": None,
                "id": event.child_id,
                "reason": term_of(event.reason),
            }
        case _:
            return None
    child: Any = who(event.ref)
    if isinstance(event, (ChildFailedToStart, SupervisorGaveUp)) and event.is_restarting:
        child = {"restarting": child}
    return {"context": context, "child": child, "id": event.child_id, "reason": reason}
