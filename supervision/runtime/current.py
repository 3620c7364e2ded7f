"""Who runs here now? One record per thread (per greenlet in a simulation)."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.runtime.replies import Replies


class Handler(Protocol):
    """An async handler, as what it awaits sees it."""

    def awaits(self, future: Future[Any] | None, /) -> None:
        """Note for what it waits now, or that it waits no more."""
        ...

    def ends_by(self, deadline_s: float, /) -> bool:
        """Say whether it will be cancelled by then at the latest."""
        ...


class Runner:
    """What runs actors on one thread: which one now, how deep, until when.

    `cell` is the actor whose code runs at this moment; with hand-offs it is the
    innermost one and `depth` says how many are stacked on this thread.
    `target` is the cell whose own code may be interrupted just now.
    """

    __slots__ = (
        "cell",
        "deadline_s",
        "depth",
        "enqueue_system",
        "is_struck",
        "may_run_user_code",
        "target",
    )

    def __init__(self, enqueue_system: Callable[[Any], object] | None = None) -> None:
        self.cell: EndingCell[Any] | None = None
        self.target: EndingCell[Any] | None = None
        self.is_struck = False
        self.depth = 0
        self.deadline_s: float | None = None
        """The deadline of the ask being answered: a nested ask gets what is left."""
        self.enqueue_system = enqueue_system
        """Where this thread puts a system cell that has work; None: where everybody does."""
        self.may_run_user_code = True
        """False on the reserved worker: supervisors must never wait behind a handler."""

    def block(self, future: Future[Any], until_s: float | None) -> None:
        """Wait on this thread until `future` is done or the time has come."""
        raise NotImplementedError

    def serves(self, dispatcher: object) -> bool:
        """Say whether this is one of the dispatcher's own threads, whatever runs on it now."""
        del dispatcher
        return False

    def begins_to_await(self, future: Future[Any], /) -> Handler | None:
        """Return the async handler that goes on when `future` is done, if it is one.

        Raises:
            AskCycle: it would never go on.
        """
        del future
        return None

    def disarm(self) -> None:
        """From now on no interrupt may land here; one that is on its way is taken back."""
        self.target = None


class _Local(threading.local):
    runner: Runner | None = None
    replies: Replies | None = None


local = _Local()
"""`local.runner` is the record of this thread, or None where no actor ever ran;
`local.replies` what the event loop of this thread waits for, or None."""


class Activation(NamedTuple):
    """The handler that a coroutine on the event loop belongs to."""

    cell: EndingCell[Any]
    deadline_s: float | None


active: ContextVar[Activation | None] = ContextVar("callboard_activation", default=None)
"""Set in the context of every async handler, where a thread says nothing."""
