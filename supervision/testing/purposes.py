"""Whose timer is it, and what is it to bring?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, NamedTuple

from callboard.supervision.runtime.idle import IdleWatch
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.notices import IdleTimeout, name_of
from callboard.supervision.testing.timeline import act_name
from callboard.supervision.testing.trace import name_in_line


class Purpose(NamedTuple):
    """What a timer is for. As text it is the same in every run."""

    what: str
    """The type of the message that it brings, or the name of what it calls."""

    cell: Incarnation[Any] | None
    """The actor that it is for; None: something else is called."""

    def __str__(self) -> str:
        return self.what if self.cell is None else f"{self.what} of {name_in_line(self.cell)}"


def purpose_of(act: Callable[..., object], args: Sequence[Any]) -> Purpose:
    """Return what a timer is for that calls `act(*args)`."""
    if isinstance(getattr(act, "__self__", None), Context) and args:  # as `send_after` does
        act, *args = args
    holder = getattr(act, "__self__", None)
    if isinstance(holder, IdleWatch):
        return Purpose(IdleTimeout.__name__, holder.cell)
    if not isinstance(holder, Incarnation):
        return Purpose(act_name(act), None)
    return Purpose(name_of(args[0]) if args else act_name(act), holder)
