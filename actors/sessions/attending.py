"""Since when is a part of the tree at the message it is at? It notes that, for whoever looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeAlias

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

    callboard_direct: ClassVar[dict[type[Any], Handler]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls._handle_receive is AttendingActor._handle_receive:
            # As its base does for who overrides nothing: who handles these is looked up once.
            handlers = cls._callboard_handlers.items()
            cls.callboard_direct = {kind: _attended(handler) for kind, handler in handlers}

    def _handle_receive(self, message: Any) -> Any:
        self.begun_s = self.system.clock.now_s()
        try:
            return super()._handle_receive(message)
        finally:
            self.begun_s = None


def _attended(handler: Handler) -> Handler:
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
