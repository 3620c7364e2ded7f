"""What makes a supervisor decide: an end, or a wait that is over.

A wait is that of one value of a child. Whatever ends the wait puts another value in its place,
also where that is equal: a child that is gone and started anew has the same id, and counts its
incarnations from one again. So what is said of a wait names its child's value, and not its id.
"""

from __future__ import annotations

from typing import Generic, TypeAlias

import msgspec

from callboard.supervision.model.child import Child, RefT
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


class RetryDue(msgspec.Struct, Generic[RefT], frozen=True):
    """A restart failed a moment ago; it is time for the next attempt.

    Args:
        child: as it waits, this value and no other.
        reason: why the start failed.

    Source: OTP supervisor.erl, `try_again_restart/1`.
    """

    child: Child[RefT]
    reason: ExitReason

    @property
    def key(self) -> ChildId:
        """Whose wait it was."""
        return self.child.key


class DelayOver(msgspec.Struct, Generic[RefT], frozen=True):
    """A restart was put off; its delay has passed.

    Args:
        child: as it waits, this value and no other.

    Source: beyond OTP; see `Backoff`.
    """

    child: Child[RefT]

    @property
    def key(self) -> ChildId:
        """Whose wait it was."""
        return self.child.key


Happening: TypeAlias = Exited[RefT] | RetryDue[RefT] | DelayOver[RefT]
"""What makes a supervisor decide."""
