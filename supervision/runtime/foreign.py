"""pykka's own thread actors under our supervisors, unchanged.

Such an actor keeps its thread, its inbox and pykka's meaning of failures: an
exception under ask goes to the caller and the actor lives on; one under tell
ends it, and its supervisor hears of it. It cannot be interrupted: its thread is
not ours, so a kill stops counting on it, takes away what waits, and asks it to
stop. What it has in hand it finishes; the reply is refused. As its loop is
pykka's, it also handles a message whose asker has given up.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeVar, cast

from callboard.supervision.model.errors import DeliveryError
from callboard.supervision.model.reasons import ExitReason, Killed, Normal, Shutdown
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import Unsupported
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.seam import (
    Actor,
    ActorRef,
    ActorRegistry,
    ActorStop,
    Envelope,
    PykkaActorDeadError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from queue import SimpleQueue

    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.futures import ExcInfo

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
        except BaseException as error:  # noted why it ends; it goes on
            self.callboard_reason = crashed(error)
            raise
        finally:
            self.callboard_cell.has_ended(self.callboard_reason)

    def _actor_loop_teardown(self) -> None:
        self.callboard_cell.answer_what_waits()  # pykka would drop what nobody asked
        super()._actor_loop_teardown()

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


class _Reply(Future[Any]):
    """A reply that pykka's loop gives: one that comes too late must not raise there."""

    __slots__ = ("_cell",)

    def __init__(self, cell: ForeignCell[Any], deadline_s: float | None) -> None:
        super().__init__(cell, deadline_s, cell.system.dispatcher)
        self._cell = cell

    def set(self, value: Any = None) -> None:
        """Take the answer, unless who gives it is dead."""
        self._cell.forget_bond(self)
        if self._cell.is_dead or not self.offer(value):
            self._cell._refuse_reply(self)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Take the exception being handled; one that is given says that nobody will answer."""
        self._cell.forget_bond(self)
        error = sys.exc_info()[1] if exc_info is None else None
        if error is None:
            self._cell.undeliverable(None, self)
        elif self._cell.is_dead or not self.offer_exception(error):
            self._cell._refuse_reply(self)

    def will_not_come(self, reason: ExitReason) -> None:
        """Fail, for the actor has ended with this in hand."""
        is_killed = isinstance(reason, Killed)
        self.offer_exception(self._cell.killed_error() if is_killed else self._cell.dead_error())


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

    def end_at_once(self, reason: ExitReason) -> None:
        """Stop counting on it: whoever waits for an answer is told at once.

        Its thread is its own: it ends when it has done what it has in hand.
        """
        self.exit()
        super().end_at_once(reason)

    def _give_up(self, q: SimpleQueue[Any] | None) -> None:
        super()._give_up(q)
        self.answer_what_waits()

    def answer_what_waits(self) -> None:
        """Answer what waits in its inbox, its stop left aside: nobody will come to it."""
        if self.inner is None:
            return
        inbox: Any = self.inner.actor_inbox
        stops: list[Any] = []
        while True:
            try:
                envelope = inbox.get_nowait()
            except Empty:
                break
            if type(envelope.message) is ActorStop:
                stops.append(envelope)
            elif envelope.reply_to is None:
                self.undeliverable(envelope.message, None)
            else:
                dead = self.dead_error()
                envelope.reply_to.set_exception((type(dead), dead, None))
        for each in stops:
            inbox.put(each)

    # -- sending: as pykka does, but never for ever ------------------------

    def tell(self, message: Any) -> None:
        """Send without expecting an answer."""
        runner = local.runner
        if runner is not None and runner.cell is not None and runner.cell.is_dead:
            self.system.refuse_fenced(runner.cell, self.name)
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

    def _ask_later(self, message: Any, runner: Runner | None, timeout: float | None) -> Future[Any]:
        reply = _Reply(self, self.system.deadline_after(timeout, runner))
        try:
            inner = self._started_ref()
        except DeliveryError as dead:
            reply.offer_exception(dead)
            return reply
        # The bond first: whatever becomes of the message, its asker hears of the end.
        if self.when_dead(reply, reply.will_not_come):
            inner.actor_inbox.put(Envelope(message, reply_to=reply))
        else:
            reply.offer_exception(self.dead_error())
        return reply

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
