"""pykka's actors on our engine: a drop-in whose failures mean what they mean in pykka."""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from callboard.supervision.model.errors import DeliveryError
from callboard.supervision.model.reasons import ExitReason, Normal
from callboard.supervision.runtime.birth import Birth
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import Runner, local
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import KillSignal, arms
from callboard.supervision.runtime.mailbox import copy_context
from callboard.supervision.runtime.seam import (
    Actor,
    ActorProxy,
    ActorRegistry,
    ActorStop,
    pykka_logger,
)
from callboard.supervision.runtime.status import ActorStatus
from callboard.supervision.runtime.system import ActorSystem

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable
    from queue import SimpleQueue

A = TypeVar("A", bound=Actor)

_lock = allocate_lock()
_systems: list[ActorSystem] = []


def process_system() -> ActorSystem:
    """Return the one system in which `PooledActor.start` runs actors.

    A drop-in for an API that is global needs something global; supervised
    actors have no part in it.
    """
    with _lock:
        if not _systems or not _systems[-1].is_open:
            _systems[:] = [ActorSystem("pykka")]
        return _systems[-1]


def _after_fork() -> None:
    # The child has the parent's registry, but none of its threads; a lock may be held for ever.
    global _lock  # noqa: PLW0603 -- a fork's child has to make it anew
    _lock = allocate_lock()
    ActorRegistry._actor_refs_lock = threading.RLock()
    ActorRegistry._actor_refs = [
        ref for ref in ActorRegistry._actor_refs if not isinstance(ref, PooledCell)
    ]


os.register_at_fork(after_in_child=_after_fork)


class PooledCell(Cell[A]):
    """A cell with pykka's manners: a failure under ask is an answer, a stop waits in line."""

    __slots__ = ("unstarted",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unstarted: weakref.ref[A] | None = None
        """The actor before its start: one that was collected must not look alive."""

    def _actor_weakref(self) -> Any:  # type: ignore[override]  # called like one, never None-checked
        return self.actor if self.unstarted is None else self.unstarted()

    # -- what pykka says otherwise ----------------------------------------

    def is_alive(self) -> bool:
        """Return False as soon as the actor has begun to end, as in pykka."""
        return self.reason is None and (self.unstarted is None or self.unstarted() is not None)

    def _open_mailbox(self) -> SimpleQueue[Any]:
        if not self.is_alive():
            raise self.dead_error()
        return super()._open_mailbox()

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer; without a timeout for ever, as in pykka."""
        future = self._ask_later(message, local.runner, math.inf)
        future.deadline_s = None
        return future.answer(timeout=timeout) if block else future

    def notify(self, message: Any) -> bool:
        """Put a notice in order with the messages, as it is: pykka's code knows no wrapping."""
        try:
            q = self._open_mailbox()
        except DeliveryError:
            return False
        self._put(q, (message, None, copy_context()))
        return True

    def for_this_life(self, message: Any) -> Any:
        """Return it as it is, as for `notify`."""
        return message

    def stop(
        self,
        *,
        block: bool = True,
        timeout: float | None = None,
        reason: ExitReason | None = None,
    ) -> Any:
        """Stop after the messages that wait already, as in pykka; with a reason ahead of them."""
        if reason is not None:
            return super().stop(block=block, timeout=timeout, reason=reason)
        future: Future[bool] = Future(self, None, self.system.dispatcher)
        was_alive = self.is_alive() and self.when_dead(future, lambda _: future.offer(value=True))
        if not was_alive:
            future.offer(value=False)
        else:
            self.notify(ActorStop())
        return future.get(timeout=timeout) if block else future

    def proxy(self) -> Any:
        """Return pykka's own proxy: its suite counts the warnings that introspection logs."""
        return ActorProxy(actor_ref=self)

    def undeliverable(self, message: Any, future: Future[Any] | None) -> None:
        """Answer a message that will not be handled; stop requests are fulfilled anyway."""
        if type(message) is not ActorStop:
            super().undeliverable(message, future)

    # -- how it lives and ends --------------------------------------------

    @arms
    def _be_born(self, runner: Runner) -> None:
        birth: Any = self.birth
        if birth is None:
            return
        actor: Any
        try:
            if self.actor is None:
                runner.target = self
                made = birth.context.run(birth.factory, *birth.args, **birth.kwargs)
                runner.disarm()
                self._adopt(made)
            actor = self.actor
            self.birth = None
            runner.target = self
            birth.context.run(actor.on_start)
            runner.target = None
        except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
            runner.disarm()
            self.birth = None
            self._not_born(error)
            return
        runner.disarm()
        self._born(None, None)

    def _not_born(self, error: BaseException, *, cleans_up: bool = True) -> None:
        del cleans_up
        if isinstance(error, KillSignal):
            raise error
        self.claim(crashed(error))
        if self.actor is not None:
            self.actor._fail(error)

    def _turn(self, runner: Runner) -> None:
        super()._turn(runner)
        if self.reason is not None:
            self._die(self.reason)

    def claim(self, reason: ExitReason) -> bool:
        """Begin to end; say whether this was the first to do so."""
        with self.system.rare:
            if self.reason is not None:
                return False
            self.reason = reason
            return True

    def _end(self, reason: ExitReason, *, cleans_up: bool = True) -> None:
        if self.claim(reason) and cleans_up and self.actor is not None:
            self.actor._stop()

    def _suspended(
        self, result: Any, future: Future[Any] | None, context: contextvars.Context
    ) -> None:
        del context
        if future is not None:  # to pykka a coroutine is a value like any other
            future.offer(result)

    def _failed(self, error: BaseException, message: Any, future: Future[Any] | None) -> None:
        del message
        if isinstance(error, KillSignal):
            self._refuse_in_hand(error, future)
            raise error
        self.in_hand = None
        actor: Any = self.actor
        if not isinstance(error, Exception):
            actor._stop_everybody(error)
        elif future is not None:
            actor._log_returned(error)
        else:
            self.claim(crashed(error))
            actor._fail(error)
        if future is not None:
            future.offer_exception(error)


class PooledActor(Actor):
    """A drop-in for `pykka.ThreadingActor` that shares a pool of threads.

    Same hooks, refs, proxies, futures and meaning of failures; pykka's own test
    suite passes. `__init__` runs in the thread that calls `start`. For an actor
    that ends when its handler raises, use `SupervisedActor`.

    `PooledActor.start(...)` runs in one system for the whole process, as pykka's
    registry does; that system stops by itself when the interpreter exits.
    """

    cell_class: type[Cell[Any]] = PooledCell
    is_system: ClassVar[bool] = False
    is_pinned: ClassVar[bool] = False
    hand_off: ClassVar[bool] = False
    trap_exit: ClassVar[bool] = False
    interruptible: ClassVar[bool] = True
    mailbox_max: ClassVar[int | None] = sys.maxsize

    @staticmethod
    def _create_actor_inbox() -> Any:
        """Return nothing: the mailbox belongs to the ref."""
        return None

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Any:
        """Take over the cell that is being born on this thread, if there is one."""
        self = super().__new__(cls)
        runner = local.runner
        cell = None if runner is None else runner.cell
        if cell is not None and cell.birth is not None and cell.actor is None:
            self._actor_ref = cell
            cell.actor = self
        return self

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Create the actor; `start` does it for you."""
        if getattr(self, "_actor_ref", None) is None:
            cell: PooledCell[Any] = PooledCell(process_system(), type(self), None)
            cell.unstarted = weakref.ref(self)
            self._actor_ref = cell

    def _start_actor_loop(self) -> None:
        cell = cast("PooledCell[Any]", self._actor_ref)
        cell.actor = self
        cell.unstarted = None
        cell.birth = Birth(cast("Callable[..., Any]", type(self)), (), {}, copy_context())
        cell.system.roots[cell] = None
        try:
            cell.start()
        except RuntimeError:  # no thread can be made: leave no ghost behind (pykka's D08)
            ActorRegistry.unregister(cell)
            cell.kill()
            raise

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # the ref makes it
        """A unique URN."""
        return self._actor_ref.actor_urn

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # a view
        """What waits, to look at."""
        return self._actor_ref.actor_inbox

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # like an Event
        """Whether it has ended."""
        return self._actor_ref.actor_stopped

    def format_status(self, status: ActorStatus) -> ActorStatus:
        """Return what may be shown of this actor: leave out what is secret or too long.

        One that raises, or returns anything else, is passed over.

        Source: OTP, gen_server:format_status/1.
        """
        return status

    def linked_children(self) -> list[Cell[Any]]:
        """Return the refs of those below this actor; supervisors have some."""
        return []

    def let_go(self, reason: ExitReason) -> None:
        """Undo what ties others to this actor, now that it has ended. Called once, by its cell."""

    # -- pykka's meaning of failures, called by the cell -------------------

    def _stop(self) -> None:
        cast("PooledCell[Any]", self._actor_ref).claim(Normal())
        try:
            super()._stop()
        except (KillSignal, Exception):  # what is no business of the next line
            raise
        except BaseException as error:  # noqa: BLE001 -- pykka's thread would be gone, and a stop hang
            self._log_failure(error)

    def _log_failure(self, error: BaseException) -> None:
        """Log an unhandled failure and leave pykka's registry, as pykka does."""
        self._handle_failure(type(error), error, error.__traceback__)

    def _log_returned(self, error: BaseException) -> None:
        """Log that the asker got an exception, as pykka does."""
        if pykka_logger.isEnabledFor(20):
            pykka_logger.info(
                "Exception returned from %s to caller:",
                self,
                exc_info=(type(error), error, error.__traceback__),
            )

    def _fail(self, error: BaseException) -> None:
        """End after an exception that nobody waits for, as pykka does."""
        self._log_failure(error)
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except KillSignal:
            raise
        except BaseException as worse:  # noqa: BLE001 -- as in pykka: a failing hook is logged
            self._log_failure(worse)

    def _stop_everybody(self, error: BaseException) -> None:
        """Stop this actor and all others, as pykka does after a BaseException."""
        pykka_logger.debug("%r in %s. Stopping all actors.", error, self)
        self._stop()
        # Not waiting: a worker that waited for its own end would deadlock, as pykka's does.
        ActorRegistry.stop_all(block=False)


__all__ = ["PooledActor", "PooledCell", "process_system"]
