"""What an actor holds, looked at from outside between two of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from callboard.supervision.model.errors import InvalidSpec

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell

_OURS = frozenset(
    {"_actor_ref", "_callboard_routes", "_monitored", "_timers", "on_start", "terminate"}
)
"""Attributes that are the runtime's, and no state of the user's; or a test kit's, in place of a
class's own."""


class ActorStatus(msgspec.Struct, frozen=True):
    """One actor between two messages.

    Args:
        path: where it stands in the tree.
        kind: the name of its class.
        incarnation: which life it is, from 1.
        is_suspended: whether its mailbox is held.
        mailbox_size: how many messages wait.
        state: its attributes, by name; what `format_status` makes of them.

    Source: OTP, sys:get_status/1.
    """

    path: str
    kind: str
    incarnation: int
    is_suspended: bool
    mailbox_size: int
    state: Mapping[str, Any]


def state_of(actor: Any) -> dict[str, Any]:
    """Return a shallow copy of an actor's own attributes. By a holder of its cell."""
    own: dict[str, Any] = actor.__dict__
    return {name: value for name, value in own.items() if name not in _OURS}


def replace_state(actor: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Make these attributes the actor's only ones; return them. By a holder of its cell.

    Raises:
        InvalidSpec: it is no dict of names; nothing has been replaced.
    """
    if type(state) is not dict or any(type(name) is not str or name in _OURS for name in state):
        raise InvalidSpec("state", state, "Return a dict of attribute names and values.")
    own: dict[str, Any] = actor.__dict__
    kept = {name: value for name, value in own.items() if name in _OURS}
    own.clear()
    own.update(state, **kept)
    return state_of(actor)


def status_of(cell: Cell[Any]) -> ActorStatus:
    """Return an actor's status as its class wants it shown. By a holder of the cell."""
    actor = cell.actor
    raw = ActorStatus(
        path=cell.path,
        kind=type(actor).__name__,
        incarnation=cell.incarnation,
        is_suspended=cell.is_suspended,
        mailbox_size=cell.mailbox_size,
        state=state_of(actor),
    )
    try:
        shown = actor.format_status(raw)
    except Exception:  # noqa: BLE001 -- named edge: a hook for display must not hide the actor
        return raw
    return shown if isinstance(shown, ActorStatus) else raw
