"""What a supervision tree reports: things that have happened, for logs, metrics and tests.

An active verb says what a child did by itself, a passive one what was done to it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.specs import ChildId

LOGGER: Final = "callboard.events"
"""The name of the logger that is told of events."""


class SupervisorEvent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of all: which supervisor reports.

    Args:
        supervisor: its path through the tree.
    """

    supervisor: str


class ChildEvent(SupervisorEvent, frozen=True, kw_only=True):
    """The base of those about one child.

    Args:
        supervisor: the supervisor's path through the tree.
        child_id: the id in the child's spec.
        incarnation: number of the start this is about, from 1.
        ref: the incarnation itself, as monitors name it; None when there is none.
    """

    child_id: ChildId
    incarnation: int
    ref: object | None = None


class ChildWasStarted(ChildEvent, frozen=True, kw_only=True):
    """A child's start is complete, its own initialisation included.

    Source: OTP supervisor.erl, progress report.
    """


class ChildWasIgnored(ChildEvent, frozen=True, kw_only=True):
    """A child chose not to run; its spec stays, stopped, unless it is temporary or dynamic.

    Source: OTP supervisor.erl, a start function that returns `ignore`.
    """


class ChildFailedToStart(ChildEvent, frozen=True, kw_only=True):
    """A start failed, in the supervisor's own start or in a restart.

    Not for `start_child` and `restart_child`: there the asker learns it.

    Args:
        reason: why.
        is_restarting: whether an attempt had failed, or was put off, before this one.
        ref: the incarnation it was to replace; None when that one was stopped in between.

    Source: OTP supervisor.erl, report `start_error`.
    """

    reason: ExitReason
    is_restarting: bool = False


class ChildCrashed(ChildEvent, frozen=True, kw_only=True):
    """A child ended that should not have: abnormally, or a permanent one in any way.

    Args:
        reason: why it ended.
        restarts: restarts in the window, the one this calls for included; 0 when nothing is
            counted.
        intensity: how many there may be; None without a limit.

    Source: OTP supervisor.erl, report `child_terminated`.
    """

    reason: ExitReason
    restarts: int = 0
    intensity: int | None = None


class ChildFinished(ChildEvent, frozen=True, kw_only=True):
    """A transient or temporary child ended in an orderly way, by itself.

    Args:
        reason: `Normal`, or `Shutdown` in any form.

    Source: OTP supervisor.erl, `do_restart/3`; OTP reports nothing.
    """

    reason: ExitReason


class ChildWasStopped(ChildEvent, frozen=True, kw_only=True):
    """A child ended because its supervisor asked it to, in the way it should.

    Args:
        reason: how it ended.

    Source: OTP supervisor.erl, `shutdown/1`; OTP reports nothing.
    """

    reason: ExitReason


class ChildFailedToStop(ChildEvent, frozen=True, kw_only=True):
    """A child that was being stopped ended in another way than it should.

    Its cleanup raised, it was killed because its time was up, or it had died already.

    Args:
        reason: how it ended.

    Source: OTP supervisor.erl, report `shutdown_error`.
    """

    reason: ExitReason


class ChildrenFailedToStop(SupervisorEvent, frozen=True, kw_only=True):
    """Children of a dynamic supervisor that were being stopped ended in another way than asked.

    One report for all that have the id and the reason in common: there may be many.

    Args:
        child_id: the id in their specs.
        reason: how they ended.
        children: how many.

    Source: OTP supervisor.erl, `terminate_dynamic_children/1`.
    """

    child_id: ChildId
    reason: ExitReason
    children: int


class ChildWasAbandoned(ChildEvent, frozen=True, kw_only=True):
    """A child did not end even when it was killed: it is stuck outside Python code.

    It is dead for everyone else, and the supervisor goes on without it.

    Args:
        waited_s: how long the supervisor waited in all.

    Source: beyond OTP, where a kill always succeeds.
    """

    waited_s: float


class ChildRestartWasPostponed(ChildEvent, frozen=True, kw_only=True):
    """A restart was decided and waits for its delay to pass.

    Args:
        delay_s: how long, in seconds.

    Source: beyond OTP; see `Backoff`.
    """

    delay_s: float


class ChildGivenUp(ChildEvent, frozen=True, kw_only=True):
    """A child has spent the budget of its own and is not restarted; its siblings go on.

    Args:
        reason: why it ended the last time, or why its last start failed.
        restarts: restarts within the budget's period, the refused one included.
        intensity: how many there might have been.

    Source: beyond OTP; see `ChildSpec.budget`.
    """

    reason: ExitReason
    restarts: int
    intensity: int


class SupervisorGaveUp(ChildEvent, frozen=True, kw_only=True):
    """More restarts were needed than may be: the supervisor stops its children and ends.

    Named is the last child that should have been restarted.

    Args:
        reason: why that child ended, or why its last start failed.
        restarts: restarts in the window, the refused one included.
        intensity: how many there might have been.
        is_restarting: whether the last thing the child did was to fail to start.

    Source: OTP supervisor.erl, report `shutdown` with `reached_max_restart_intensity`.
    """

    reason: ExitReason
    restarts: int
    intensity: int
    is_restarting: bool = False


class SupervisorFinished(ChildEvent, frozen=True, kw_only=True):
    """A significant child has ended, and its supervisor ends with it.

    Source: OTP supervisor.erl, `do_auto_shutdown/2`; OTP reports nothing.
    """


TreeEvent: TypeAlias = (
    ChildWasStarted
    | ChildWasIgnored
    | ChildFailedToStart
    | ChildCrashed
    | ChildFinished
    | ChildWasStopped
    | ChildFailedToStop
    | ChildrenFailedToStop
    | ChildWasAbandoned
    | ChildRestartWasPostponed
    | ChildGivenUp
    | SupervisorGaveUp
    | SupervisorFinished
)
"""Everything a supervision tree reports."""
