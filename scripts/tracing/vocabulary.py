"""The words of the recordings and ours: exit reasons, both ways."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from callboard.supervision import Crashed, ExitReason, Killed, NoActor, Normal, Shutdown

REFUSED = "refused"
"""The error's name in the exit reason of a start that was refused; its message is OTP's term."""


class UnknownWord(Exception):
    """A scenario says something that is not understood: it cannot be run, and is skipped."""


class ScriptedError(Exception):
    """What a scenario wants raised; its text is the name that the recording knows it by."""


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Say whether a value out of a file is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Say whether a value out of a file is a list."""
    return isinstance(value, list)


_PLAIN: dict[str, ExitReason] = {
    "normal": Normal(),
    "shutdown": Shutdown(),
    "killed": Killed(),
    "noproc": NoActor(),
}


def reason_of(term: Any) -> ExitReason:
    """Return the exit reason for a recorded one.

    Raises:
        UnknownWord: there is none.
    """
    if isinstance(term, str) and term in _PLAIN:
        return _PLAIN[term]
    if is_object(term):
        if "shutdown" in term:
            return Shutdown(detail=str(term["shutdown"]))
        if "error" in term:
            return Crashed(error=str(term["error"]))
    msg = f"there is no exit reason {term!r}"
    raise UnknownWord(msg)


def term_of(reason: ExitReason) -> Any:
    """Return how a recording writes an exit reason."""
    match reason:
        case Normal():
            return "normal"
        case Killed():
            return "killed"
        case NoActor():
            return "noproc"
        case Shutdown(detail=None, cause=None):
            return "shutdown"
        case Shutdown(detail=detail, cause=None):
            return {"shutdown": detail}
        case Shutdown(cause=cause):
            assert cause is not None
            failed = {"id": cause.child_id, "reason": term_of(cause.reason)}
            return {"shutdown": {"failed_to_start_child": failed}}
        case Crashed(error=error, message=message) if error == REFUSED:
            return json.loads(message)
        case Crashed(error=error, message=message):
            # An exception's class is ours; its text is what the scenario called it.
            return {"error": message or error}
