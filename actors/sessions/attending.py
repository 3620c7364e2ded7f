"""Since when is a part of the tree at the message it is at? It notes that, for whoever looks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeAlias

from callboard.supervision.runtime.actors import SystemActor

PART_HUNG_AFTER_S: Final = 5.0
"""So long at one message, a part of the tree fails, unless the system says otherwise: as long as an
ask waits, so whoever needs that part has no answer."""

Handler: TypeAlias = Callable[[Any, Any], Any]


class AttendingActor(SystemActor):
    """A part that serves all sessions, and so must never be long at one message.

    It calls code of the host's all the same: a store, a generator of ids. What hangs there hangs
    this part, and nobody can end a call on another's thread; but that it hangs can be seen.
    """

    begun_s: float | None = None
    """Since when it is at a message, on the monotonic clock; None: it is at none."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        handlers = cls._callboard_handlers.items()
        cls._callboard_handlers = {kind: _attended(handler) for kind, handler in handlers}
        cls._callboard_routes = dict(cls._callboard_handlers)
        if cls.callboard_direct:  # else it overrides `_handle_receive`, and that asks the routes
            cls.callboard_direct = cls._callboard_routes


def _attended(handler: Handler) -> Handler:
    @wraps(handler)
    def attend(actor: AttendingActor, message: Any) -> Any:
        actor.begun_s = actor.system.clock.now_s()
        try:
            return handler(actor, message)
        finally:
            actor.begun_s = None

    return attend


def has_hung(part: Any, *, now_s: float, after_s: float) -> bool:
    """Say whether a part has been at one message for longer than `after_s`. Any thread, no message.

    Args:
        part: its address.
        now_s: monotonic now.
        after_s: seconds.
    """
    cell: Any = part.ref
    actor: Any = None if cell is None else cell.actor
    begun_s: float | None = getattr(actor, "begun_s", None)
    return begun_s is not None and now_s - begun_s > after_s
