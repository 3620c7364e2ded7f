"""What may be asked of a supervisor: messages, as everything else."""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from callboard.supervision.model.requests import Request
from callboard.supervision.model.specs import ChildId, ChildKind, ChildSpec


class Restarting(enum.Enum):
    """The type of `RESTARTING`."""

    RESTARTING = "restarting"


RESTARTING: Final = Restarting.RESTARTING
"""In place of a ref: the child waits to be restarted."""


class ChildInfo(msgspec.Struct, frozen=True):
    """One child, as `WhichChildren` lists it.

    Args:
        id: its id; a dynamic child's is its spec's, which need not be its own.
        ref: its ref, None when it is stopped, or `RESTARTING`. With concurrent starts it may be
            starting still; None while its predecessor cleans up.
        kind: worker or supervisor.
        incarnation: number of its latest start.

    Source: OTP, supervisor:which_children/1.
    """

    id: ChildId
    ref: Any
    kind: ChildKind | None
    incarnation: int


class ChildCounts(msgspec.Struct, frozen=True):
    """How many children there are.

    Args:
        specs: all of them, running or not.
        active: those whose incarnation has started and lives.
        supervisors: by spec, running or not.
        workers: by spec, running or not.

    Source: OTP, supervisor:count_children/1.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class StartChild(Request[Any], frozen=True):
    """Add a child and start it; the reply is its ref, or None when it chose not to run.

    Refused with `SpecRefused`, `AlreadyStarted`, `AlreadyPresent`, `MaxChildrenReached`
    or `ChildStartFailed`; then nothing is left of it.

    Source: OTP, supervisor:start_child/2; Elixir, DynamicSupervisor.start_child/2.
    """

    spec: ChildSpec


class StartAnother(Request[Any], frozen=True):
    """Start one more child of a supervisor's template; the reply is its ref, or None.

    Refused with `SpecRefused`, `MaxChildrenReached` or `ChildStartFailed`; then nothing is left of
    it.

    Args:
        args: positional arguments that come after the template's own, in restarts too.

    Source: OTP, supervisor:start_child/2 with a list of arguments.
    """

    args: tuple[object, ...] = ()


class TerminateChild(Request[None], frozen=True):
    """Stop one child; its spec stays, unless it is temporary or dynamic.

    Args:
        child: the ref, or the id; a dynamic supervisor's children have no ids.

    Source: OTP, supervisor:terminate_child/2.
    """

    child: Any


class RestartChild(Request[Any], frozen=True):
    """Start a stopped child again; the reply is its ref, or None.

    A dynamic supervisor has none that could be: a child that is stopped is forgotten.

    Source: OTP, supervisor:restart_child/2.
    """

    id: ChildId


class DeleteChild(Request[None], frozen=True):
    """Remove the spec of a stopped child. Source: OTP, supervisor:delete_child/2."""

    id: ChildId


class WhichChildren(Request[tuple[ChildInfo, ...]], frozen=True):
    """List the children, newest first. Source: OTP, supervisor:which_children/1."""


class CountChildren(Request[ChildCounts], frozen=True):
    """Count the children. Source: OTP, supervisor:count_children/1."""


class GetChildSpec(Request[ChildSpec], frozen=True):
    """Get a child's spec, defaults filled in. Source: OTP, supervisor:get_childspec/2."""

    child: Any
