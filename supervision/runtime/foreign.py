"""pykka's own thread actors under our supervisors, unchanged.

Such an actor keeps its thread, its inbox and pykka's meaning of failures: an
exception under ask goes to the caller and the actor lives on; one under tell
ends it, and its supervisor hears of it. It cannot be interrupted: its thread is
not ours, so a kill only stops counting on it and asks it to stop.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from callboard.supervision.model.reasons import ExitReason, Normal, Shutdown
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import Timeout, Unsupported
from callboard.supervision.runtime.seam import (
    Actor,
    ActorRef,
    ActorRegistry,
    ActorStop,
    PykkaActorDeadError,
    PykkaTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.current import Runner

A = TypeVar("A", bound=Actor)
T = TypeVar("T")

_CLASSES_MAX = 1_024
"""Actor classes of which the watched twin is remembered."""


class _Watched(Actor):
    """Mixed into a pykka class: tells its cell when it has started and how it ended."""

    callboard_cell: ForeignCell[Any]
    callboard_reason: ExitReason | None = None

    def _actor_loop(self) -> None:
        try:
            super()._actor_loop()
        except BaseException as error:
            self.callboard_reason = crashed(error)
            raise
        finally:
            self.callboard_cell.has_ended(self.callboard_reason)

    def _actor_loop_setup(self) -> None:
        super()._actor_loop_setup()
        if self.callboard_reason is None:
            self.callboard_cell.has_started()

    def _handle_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        if exception_value is not None:
            self.callboard_reason = crashed(exception_value)
        super()._handle_failure(exception_type, exception_value, traceback)


@functools.lru_cache(maxsize=_CLASSES_MAX)
def _watched(actor_class: type[Actor]) -> Callable[..., _Watched]:
    """Return the class with its watch built in, under the same name."""
    made = type(
        actor_class.__name__, (_Watched, actor_class), {"__module__": actor_class.__module__}
    )
    return cast("Callable[..., _Watched]", made)


class ForeignCell(Cell[A]):
    """The ref of a pykka actor that is supervised on its own thread."""

    __slots__ = ("asked_to_end", "inner")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inner: ActorRef[Any] | None = None
        self.asked_to_end: ExitReason | None = None

    # -- its life ----------------------------------------------------------

    def _be_born(self, runner: Runner) -> None:
        birth, self.birth = self.birth, None
        if birth is None:
            return
        try:
            actor: Any = birth.context.run(
                _watched(cast("type[Actor]", birth.factory)), *birth.args, **birth.kwargs
            )
            actor.callboard_cell = self
            self.inner = actor.actor_ref
            ActorRegistry.register(actor.actor_ref)
            actor._start_actor_loop()
        except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
            runner.disarm()
            self.has_ended(crashed(error))
            return
        if self.asked_to_end is not None or self.is_dead:
            self._ask_to_stop()

    def has_started(self) -> None:
        """Take note that `on_start` has returned; on the actor's own thread."""
        self._born(None, None)

    def has_ended(self, reason: ExitReason | None) -> None:
        """Take note that the actor's loop is over; on the actor's own thread."""
        if reason is None:
            reason = self.asked_to_end or Normal()
        with self.system.rare:
            self.reason = self.reason or reason
        self._die(reason)

    def exit(self, reason: ExitReason | None = None) -> None:
        """Ask it to stop, as pykka does: behind the messages that wait already."""
        self.asked_to_end = self.asked_to_end or reason or Shutdown()
        self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        if self.inner is not None:
            with contextlib.suppress(PykkaActorDeadError):
                self.inner.tell(ActorStop())

    def kill(self) -> None:
        """Stop counting on it. Its thread is its own: it ends when it comes to its stop."""
        self.exit()
        super().kill()

    # -- sending: as pykka does, but never for ever ------------------------

    def tell(self, message: Any) -> None:
        """Send without expecting an answer."""
        self._started_ref().tell(message)

    def notify(self, message: Any) -> bool:
        """Put a notice in its inbox; False when it has ended."""
        if self.is_dead or self.inner is None:
            return False
        try:
            self.inner.tell(message)
        except PykkaActorDeadError:
            return False
        return True

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer.

        Raises:
            ActorDeadError: it has ended.
            Timeout: no answer in time; `timeout=None` is the system's `ask_timeout_s`.
        """
        deadline_s = self.system.deadline_after(timeout, local.runner)
        left_s = (
            None if deadline_s is None else max(0.0, deadline_s - self.system.dispatcher.now_s())
        )
        answer = self._started_ref().ask(message, block=False)
        if not block:
            return answer
        try:
            return answer.get(timeout=left_s)
        except PykkaTimeout as late:
            msg = f"{self.name} did not answer in time"
            raise Timeout(msg, address=self.name) from late
        except PykkaActorDeadError:
            raise self.dead_error() from None

    def suspend(self) -> None:
        """Refuse: its loop is pykka's.

        Raises:
            Unsupported: always.
        """
        raise self._unsupported("suspend")

    def resume(self) -> None:
        """Refuse, as `suspend` does."""
        raise self._unsupported("resume")

    def _look(self, look: Callable[[], T], timeout: float | None) -> T:
        del look, timeout
        raise self._unsupported("look into")

    def _unsupported(self, what: str) -> Unsupported:
        kind = self.actor_class.__name__
        return Unsupported(f"callboard cannot {what} {self.name}: {kind} has a thread of its own")

    def proxy(self) -> Any:
        """Return pykka's own proxy."""
        return self._started_ref().proxy()

    @property
    def mailbox_size(self) -> int:
        """How many messages wait in its inbox."""
        inbox: Any = None if self.inner is None else self.inner.actor_inbox
        return 0 if inbox is None else inbox.qsize()

    def _started_ref(self) -> ActorRef[Any]:
        if self.is_dead:
            raise self.dead_error()
        if self.inner is None:
            self.wait_started()
        assert self.inner is not None
        return self.inner


def is_foreign(factory: object) -> bool:
    """Say whether this is a class of pykka's that knows nothing of cells."""
    return (
        isinstance(factory, type)
        and issubclass(factory, Actor)
        and not hasattr(factory, "cell_class")
    )
