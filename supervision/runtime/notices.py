"""What the runtime itself puts into a mailbox, in order with everything else."""

from __future__ import annotations

from typing import Any

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """Base of the runtime's own messages: never refused, never a dead letter."""


class ForOneLife(Notice, frozen=True):
    """Something for one incarnation alone, in a mailbox that outlives it."""

    cell: Any
    message: Any


class ToOneself(ForOneLife, frozen=True):
    """What an incarnation told itself; a dead letter when its life is over."""


class ForOneMonitor(ForOneLife, frozen=True):
    """A `Down` on its way: handled only if nobody has taken its monitor back meanwhile."""


class ChildStarted(Notice, frozen=True):
    """To the parent: the start of this child is complete."""

    child: Any


class ChildExited(Notice, frozen=True):
    """To the parent: this child has ended, its cleanup included."""

    child: Any
    reason: Any


class IdleTimeout(Notice, frozen=True):
    """To oneself: no message came for the time given to `set_idle_timeout`.

    Source: OTP, the `timeout` that gen_server:handle_info/2 gets.
    """


def name_of(message: Any) -> str:
    """Return the name of a message's type; what was wrapped for one life is meant by itself."""
    inner: Any = message.message if isinstance(message, ForOneLife) else message
    return type(inner).__name__
