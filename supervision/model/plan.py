"""What a supervisor is to do, as a row of steps that one interpreter carries out in order.

A decision returns a `Plan`; `tree/interpreter.py` carries it out and has no opinions. While
it does, the supervisor handles nothing else, as in OTP, so nobody sees a plan half done; with
concurrent starts, beyond OTP, the plan is done when the start has begun.
"""

from __future__ import annotations

import enum
from typing import Generic, TypeAlias

import msgspec

from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.events import TreeEvent
from callboard.supervision.model.happenings import DelayOver, RetryDue
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.specs import ChildId


class IfFails(enum.Enum):
    """What follows when a child does not start."""

    GIVE_UP = "give_up"
    """The supervisor's own start: stop what runs, end with the reason."""

    RETRY = "retry"
    """A restart: the child waits, and another restart is tried through the mailbox."""

    FORGET = "forget"
    """`start_child`: the asker is told, nothing is left of the child."""

    LEAVE = "leave"
    """`restart_child`: the asker is told, the child stays stopped."""


class Report(msgspec.Struct, frozen=True):
    """Tell the event hook.

    Args:
        event: what happened.
    """

    event: TreeEvent


class Remember(msgspec.Struct, frozen=True):
    """Keep the supervisor's new restart history.

    Args:
        window: the history.
    """

    window: RestartWindow


class Put(msgspec.Struct, Generic[RefT], frozen=True):
    """Keep a child's new value in its place; a child with a new key comes last.

    Args:
        child: the value.
        is_final: whether nothing is to bring the child back by itself: its address takes no more
            messages.
    """

    child: Child[RefT]
    is_final: bool = False


class Forget(msgspec.Struct, frozen=True):
    """Remove children from the table, spec and all.

    Args:
        keys: which.
    """

    keys: tuple[ChildId, ...]


class Stop(msgspec.Struct, frozen=True):
    """Stop children, each within its shutdown time, then do what `stopping.after_stop` says.

    A child that only waits to be restarted ceases to; one that is dead already is not asked.

    Args:
        keys: which, in the order they are to be stopped.
        is_for_restart: whether they come back with this plan; otherwise nothing brings them back by
            itself, and their addresses take no more messages.
        is_parallel: ask all at once, each with its time; otherwise one is waited for before
            the next is asked.
    """

    keys: tuple[ChildId, ...]
    is_for_restart: bool = False
    is_parallel: bool = False


class Start(msgspec.Struct, Generic[RefT], frozen=True):
    """Start children one after the other, and after each do what `starting.after_start` says.

    The last step of every plan that has one: the first child that does not start ends it.

    Args:
        keys: which, in start order.
        if_fails: what then follows.
        cause: the child for whose sake it is a restart, as it was before.
    """

    keys: tuple[ChildId, ...]
    if_fails: IfFails
    cause: Child[RefT] | None = None


class Retry(msgspec.Struct, Generic[RefT], frozen=True):
    """Send this to oneself, behind all that waits in the mailbox already.

    A failed restart goes back through the mailbox: a stop request must be able to overtake it.

    Args:
        due: the message.
    """

    due: RetryDue[RefT]


class Postpone(msgspec.Struct, Generic[RefT], frozen=True):
    """Send this to oneself when the delay has passed.

    Args:
        due: the message.
        delay_s: how long, in seconds.
    """

    due: DelayOver[RefT]
    delay_s: float


class Refuse(msgspec.Struct, frozen=True):
    """Answer the asker with a refusal.

    Args:
        error: the refusal.
    """

    error: CallboardError


class End(msgspec.Struct, frozen=True):
    """End the supervisor itself; ending it stops the children that are left, in its order.

    Args:
        reason: the reason it ends with.
    """

    reason: ExitReason


Step: TypeAlias = (
    Report
    | Remember
    | Put[RefT]
    | Forget
    | Stop
    | Start[RefT]
    | Retry[RefT]
    | Postpone[RefT]
    | Refuse
    | End
)
"""One step of a plan."""

Plan: TypeAlias = tuple[Step[RefT], ...]
"""Steps in the order they are to be carried out; an empty plan does nothing."""
