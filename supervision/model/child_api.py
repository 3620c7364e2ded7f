"""What a supervisor does when it is asked to start, stop, restart or delete one child."""

from __future__ import annotations

from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.plan import Forget, IfFails, Plan, Put, Refuse, Start, Step, Stop
from callboard.supervision.model.refusals import (
    AlreadyPresent,
    AlreadyStarted,
    ChildIsRestarting,
    ChildIsRunning,
    ChildNotFound,
    SpecRefused,
)
from callboard.supervision.model.specs import ChildId, ChildSpec, check_spec
from callboard.supervision.model.state import SupervisorState


def plan_start_child(state: SupervisorState[RefT], spec: ChildSpec) -> Plan[RefT]:
    """Add a child behind those there are, and start it. Not counted as a restart.

    Refused with `SpecRefused`, `AlreadyStarted`, `AlreadyPresent`, or, when its
    start fails, `StartFailed`; then nothing is left of it.

    Source: OTP supervisor.erl, `handle_start_child/2`.
    """
    try:
        check_spec(spec, state.flags.auto_shutdown)
    except InvalidSpec as error:
        return (Refuse(SpecRefused(error.field, error.value, error.remedy)),)
    present = state.children.get(spec.id)
    if present is None:
        child: Child[RefT] = Child(key=spec.id, spec=spec)
        return (Put(child), Start((child.key,), IfFails.FORGET))
    # A dead one whose exit waits in the mailbox still runs, as far as the supervisor knows.
    if present.is_running:
        return (Refuse(AlreadyStarted(spec.id, present.ref)),)
    return (Refuse(AlreadyPresent(spec.id)),)


def plan_terminate_child(state: SupervisorState[RefT], key: ChildId) -> Plan[RefT]:
    """Stop one child and nobody else; its spec stays, unless it is temporary or dynamic.

    A child that is stopped already stays so; one that waits to be restarted
    ceases to. Not counted, no automatic shutdown. Refused with `ChildNotFound`.

    Source: OTP supervisor.erl, `handle_call({terminate_child, _}, ...)`.
    """
    child = state.children.get(key)
    if child is None:
        return (Refuse(ChildNotFound(key)),)
    stop: tuple[Step[RefT], ...] = () if child.is_stopped else (Stop((key,)),)
    return (*stop, Forget((key,))) if state.forgets(child) else stop


def plan_restart_child(state: SupervisorState[RefT], key: ChildId) -> Plan[RefT]:
    """Start a stopped child again, in its old place. Not counted; a failure is not tried again.

    Refused with `ChildNotFound`, `ChildIsRunning`, `ChildIsRestarting`, or
    `StartFailed`, after which it is stopped as before.

    Source: OTP supervisor.erl, `handle_call({restart_child, _}, ...)`.
    """
    return _refusal(state, key) or (Start((key,), IfFails.LEAVE),)


def plan_delete_child(state: SupervisorState[RefT], key: ChildId) -> Plan[RefT]:
    """Remove the spec of a stopped child.

    Refused with `ChildNotFound`, `ChildIsRunning` or `ChildIsRestarting`.

    Source: OTP supervisor.erl, `handle_call({delete_child, _}, ...)`.
    """
    return _refusal(state, key) or (Forget((key,)),)


def _refusal(state: SupervisorState[RefT], key: ChildId) -> Plan[RefT]:
    child = state.children.get(key)
    if child is None:
        return (Refuse(ChildNotFound(key)),)
    if child.is_restarting:
        return (Refuse(ChildIsRestarting(key)),)
    return (Refuse(ChildIsRunning(key)),) if child.is_running or child.is_starting else ()
