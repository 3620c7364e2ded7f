"""What an actor learns of another one's death: ordinary messages, in mailbox order."""

from __future__ import annotations

import msgspec

from callboard.supervision.model.reasons import ExitReason


class Down(msgspec.Struct, frozen=True):
    """To whoever monitored: that actor has ended. Exactly one for every monitor.

    Arrives at once, with `NoActor`, when the actor was dead already.

    Args:
        monitor: the number that `monitor` returned.
        who: the ref that was monitored, or the name when it was monitored by name.
        reason: why it ended.

    Source: OTP, `{'DOWN', MonitorRef, process, Pid, Reason}`.
    """

    monitor: int
    who: object
    reason: ExitReason


class Exit(msgspec.Struct, frozen=True):
    """To an actor that traps exits: a linked actor has ended, or an exit signal came.

    An actor that does not trap exits gets no message: it ends for the same
    reason, unless that is `Normal`.

    Args:
        who: the ref of the actor that ended, or that sent the signal; the name by which nobody was
            found to link with.
        reason: why it ended, or what the signal said.

    Source: OTP, `{'EXIT', Pid, Reason}`.
    """

    who: object
    reason: ExitReason
