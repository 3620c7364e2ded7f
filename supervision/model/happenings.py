"""What makes a supervisor decide: an end, or a wait that is over."""

from __future__ import annotations

from typing import Generic, TypeAlias

import msgspec

from callboard.supervision.model.child import RefT
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.specs import ChildId


class Exited(msgspec.Struct, Generic[RefT], frozen=True):
    """An incarnation has ended, by itself or by a stranger.

    Args:
        key: whose it was.
        ref: the incarnation.
        reason: why it ended.

    Source: OTP supervisor.erl, `handle_info({'EXIT', Pid, Reason}, _)`.
    """

    key: ChildId
    ref: RefT
    reason: ExitReason


class RetryDue(msgspec.Struct, frozen=True):
    """A restart failed a moment ago; it is time for the next attempt.

    Args:
        key: the child that waits.
        incarnation: the number of the start that failed, so that a wait that was
            cancelled since is not taken for the present one.
        reason: why it failed.

    Source: OTP supervisor.erl, `try_again_restart/1`.
    """

    key: ChildId
    incarnation: int
    reason: ExitReason


class DelayOver(msgspec.Struct, frozen=True):
    """A restart was put off; its delay has passed.

    Args:
        key: the child that waits.
        incarnation: the number of its latest start when the restart was put off.

    Source: beyond OTP; see `Backoff`.
    """

    key: ChildId
    incarnation: int


Happening: TypeAlias = Exited[RefT] | RetryDue | DelayOver
"""What makes a supervisor decide."""
