"""One incarnation of an actor: its ref, its mailbox and its life, in one object.

The class is put together from what stands below it, one concept a module:

    cell -> handoff -> turns -> birth -> ending -> mailbox -> incarnation

Each says at its top which pairs of its steps must keep their order.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from callboard.supervision.model.errors import DeliveryError
from callboard.supervision.model.reasons import ExitReason, Normal
from callboard.supervision.runtime.birth import NO_HANDLERS, Birth
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import MailboxFull, StartFailed, Timeout
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.handoff import NOT_DONE, HandOffCell
from callboard.supervision.runtime.mailbox import copy_context
from callboard.supervision.runtime.proxy import Proxy
from callboard.supervision.runtime.seam import Actor
from callboard.supervision.runtime.status import ActorStatus, replace_state, state_of, status_of
from callboard.supervision.runtime.views import StopFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.model.requests import Request
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.names import Address
    from callboard.supervision.runtime.system import ActorSystem

A = TypeVar("A", bound=Actor)
R = TypeVar("R")
T = TypeVar("T")


class Cell(HandOffCell[A], Generic[A]):
    """The ref of one incarnation. Made by the system; safe from any thread.

    It is a `pykka.ActorRef`. After the actor has ended it says dead for ever;
    to reach whoever comes next, use an address.
    """

    __slots__ = ()

    def __init__(
        self,
        system: ActorSystem,
        actor_class: type[A],
        birth: Birth | None,
        *,
        parent: Cell[Any] | None = None,
        address: Address[Any] | None = None,
        tag: Any = None,
        incarnation: int = 1,
    ) -> None:
        # All state in one place: seven calls would be a tenth of a start, and
        # pykka's __init__ would make a weak reference and a urn that few ever need.
        self.system = system
        self.actor_class = actor_class
        self.birth = birth
        self.actor = None
        self.parent = parent
        self.address = address
        self.tag = tag
        self.incarnation = incarnation
        self.items = None
        self.signals = None
        self.baton = [None]
        self.is_scheduled = False
        self.is_started = False
        self.is_suspended = False
        self.is_dead = False
        self.has_told = False
        self.is_ignored = False
        self.reason = None
        self.bonds = None
        self.operation = None
        self.asked_exit = None
        self.failed_on = None
        self.handling = None
        self.idle = None
        self.in_hand = None
        self.next_message = None
        self.runner = None
        self.waiting = None
        self.urn = None
        self.is_system = getattr(actor_class, "is_system", False)
        self.handlers = getattr(actor_class, "callboard_direct", NO_HANDLERS)
        self.hands_off = self.is_lent(actor_class)
        self.mailbox_max = getattr(actor_class, "mailbox_max", None) or system.settings.mailbox_max
        self.enqueue = system.dispatcher.enqueue_for(self)

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # made on use: an Event costs 2.4 us
        """A flag like pykka's event: set when the actor has ended."""
        return StopFlag(self)

    @property
    def ref(self) -> Cell[A]:
        """This ref itself, as an address has the one of its current incarnation."""
        return self

    def tell(self, message: Any) -> None:
        """Send without expecting an answer.

        Raises:
            ActorDeadError: the actor has ended.
            MailboxFull: the mailbox holds `mailbox_max` messages already.
            FencedError: the sender has been killed.
        """
        runner = local.runner
        if runner is not None:
            sender = runner.cell
            if sender is not None:
                if sender.is_dead:
                    self.system.refuse_fenced(sender, self.name)
                if sender is self:
                    message = self.for_this_life(message)
        q = self.items
        if q is None:
            q = self._open_mailbox()
        if q.qsize() >= self.mailbox_max:
            raise MailboxFull(self.mailbox_max, unsent=message, address=self.name)
        # `_put` and `schedule`, written out: half of what a send costs are frames.
        point = self.system.point
        if point is not None:
            point("put", self, message)
        q.put((message, None, copy_context()))
        if self.items is not q:
            self._take_back(q)
        elif not self.is_scheduled:
            self.schedule()

    @overload  # type: ignore[override]  # ours knows the reply type of a Request
    def ask(
        self, message: Request[R], *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> R: ...
    @overload
    def ask(
        self, message: Request[R], *, block: Literal[False], timeout: float | None = ...
    ) -> Future[R]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = ...
    ) -> Future[Any]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Any: ...
    @overload
    def ask(self, message: Any, *, block: bool = ..., timeout: float | None = ...) -> Any: ...
    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send and wait for the answer.

        Args:
            message: a `Request[R]` is answered with an `R`; any other object with anything.
            block: False returns a future at once.
            timeout: seconds until the asker gives up; None is the system's
                `ask_timeout_s`, `math.inf` waits for ever. A message whose asker
                gave up is dropped before it is handled.

        Raises:
            DeliveryError: no answer: `ActorDeadError`, `Timeout`, `MailboxFull`, `AskCycle`...
            Exception: whatever the handler raised.
        """
        runner = local.runner
        if runner is not None and runner.cell is not None and runner.cell.is_dead:
            self.system.refuse_fenced(runner.cell, self.name)
        if block and self.hands_off and not self.is_scheduled:
            result = self.hand_off(message, runner, timeout)
            if result is not NOT_DONE:
                return result
        future = self._ask_later(message, runner, timeout)
        return future.answer() if block else future

    def ask_at_once(self, message: Any, *, timeout: float | None = None) -> Future[Any]:
        """Ask without waiting: an idle actor whose handlers are short has answered on return.

        For actors that must not wait, but gain when there is nothing to wait for.
        """
        runner = local.runner
        if self.hands_off and not self.is_scheduled:
            try:
                future: Future[Any] = self.hand_off(message, runner, timeout, waits=False)
            except Exception as error:  # noqa: BLE001 -- it is the answer, and waits in a future
                future = Future(self, None, self.system.dispatcher)
                future.offer_exception(error)
            if future is not NOT_DONE:
                return future
        return self._ask_later(message, runner, timeout)

    async def ask_async(self, message: Request[R], *, timeout: float | None = None) -> R:
        """Send and await the answer; the running loop is not blocked. Otherwise like `ask`.

        Cancelling abandons the reply, not the effect.
        """
        return await self.ask(message, block=False, timeout=timeout)

    def _ask_later(self, message: Any, runner: Runner | None, timeout: float | None) -> Future[Any]:
        system = self.system
        future: Future[Any] = Future(
            self, system.deadline_after(timeout, runner), system.dispatcher
        )
        q = self.items
        if q is None:
            try:
                q = self._open_mailbox()
            except DeliveryError as dead:
                future.offer_exception(dead)
                return future
        if q.qsize() >= self.mailbox_max:
            future.offer_exception(MailboxFull(self.mailbox_max, unsent=message, address=self.name))
            return future
        if runner is not None and runner.cell is self:
            self._answer_in_this_life(future)
        self._put(q, (message, future, copy_context()))
        return future

    def _answer_in_this_life(self, future: Future[Any]) -> None:
        """See that no later life handles what was asked of oneself."""
        if self._is_outlived:
            self.when_dead(future, lambda _reason: future.offer_exception(self.dead_error()))
            future.when_done(lambda: self.forget_bond(future))

    @overload
    def stop(
        self,
        *,
        block: Literal[True] = ...,
        timeout: float | None = ...,
        reason: ExitReason | None = ...,
    ) -> bool: ...
    @overload
    def stop(
        self,
        *,
        block: Literal[False],
        timeout: float | None = ...,
        reason: ExitReason | None = ...,
    ) -> Future[bool]: ...
    @overload
    def stop(
        self, *, block: bool = ..., timeout: float | None = ..., reason: ExitReason | None = ...
    ) -> bool | Future[bool]: ...
    def stop(
        self,
        *,
        block: bool = True,
        timeout: float | None = None,
        reason: ExitReason | None = None,
    ) -> bool | Future[bool]:
        """End the actor in order and wait until it has, `terminate` included.

        It overtakes what waits in the mailbox; what waits is answered "dead".

        Args:
            block: False returns a future at once.
            timeout: as in `ask`.
            reason: why it ends; None is `Normal()`.

        Returns:
            False when it had ended before.

        Source: OTP, gen_server:stop/3.
        """
        future: Future[bool] = Future(
            self, self.system.deadline_after(timeout, local.runner), self.system.dispatcher
        )
        if self.when_dead(future, lambda _reason: future.offer(value=True)):
            self.exit(Normal() if reason is None else reason)
        else:
            future.offer(value=False)
        return future.get() if block else future

    def wait(self, timeout_s: float | None = None) -> ExitReason | None:
        """Wait until the actor has ended, `terminate` included; return why it did.

        For a host that must know that its tree has ended by itself, as a supervisor does that
        gives up. An actor monitors instead.

        Args:
            timeout_s: seconds; None waits as long as it takes.

        Returns:
            None when `timeout_s` seconds passed before.
        """
        return self.reason if self.actor_stopped.wait(timeout_s) else None

    def proxy(self) -> Any:
        """Return a proxy to the actor's methods and attributes; it costs a microsecond.

        Waits until the start is complete: there is no actor to look at before.

        Raises:
            ActorDeadError: the actor has ended.
            StartFailed: it ended before its start was complete.
        """
        runner = local.runner
        if not self.is_started and not self.is_dead and (runner is None or runner.cell is not self):
            self.wait_started()
        return Proxy(actor_ref=self)

    # -- being looked at between two messages ------------------------------

    def suspend(self) -> None:
        """Stop serving the mailbox; signals are still obeyed. Source: OTP, sys:suspend/1."""
        self.signal(self._hold)

    def resume(self) -> None:
        """Serve the mailbox again. Source: OTP, sys:resume/1."""
        self.signal(self._let_go_on)

    def get_state(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Return a shallow copy of the actor's attributes, taken between two messages.

        For debugging and operators, suspended actors included. It overtakes what
        waits in the mailbox, and waits for a handler that is at work.

        Args:
            timeout: as in `ask`.

        Raises:
            ActorDeadError: the actor has ended.
            StartFailed: it ended before its start was complete.

        Source: OTP, sys:get_state/2.
        """
        return self._look(lambda: state_of(self.actor), timeout)

    def replace_state(
        self, change: Callable[[dict[str, Any]], dict[str, Any]], *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Set the actor's attributes to what `change` makes of them; return that.

        Called on the actor's thread between two messages. If it raises, whoever
        called this gets the exception and the actor is as it was.

        Raises:
            InvalidSpec: it returned no dict of attribute names and values.
            ActorDeadError: the actor has ended.

        Source: OTP, sys:replace_state/3.
        """
        return self._look(lambda: replace_state(self.actor, change(state_of(self.actor))), timeout)

    def get_status(self, *, timeout: float | None = None) -> ActorStatus:
        """Return what the actor is and holds, as its `format_status` wants it shown.

        Raises:
            ActorDeadError: the actor has ended.

        Source: OTP, sys:get_status/2.
        """
        return self._look(lambda: status_of(self), timeout)

    def _look(self, look: Callable[[], T], timeout: float | None) -> T:
        runner = local.runner
        if runner is not None and runner.cell is self:
            return look()
        if not self.is_started:
            self.wait_started(timeout)  # there is no actor to look at before
        future: Future[T] = Future(
            self, self.system.deadline_after(timeout, runner), self.system.dispatcher
        )
        if not self.when_dead(future, lambda _reason: future.offer_exception(self.dead_error())):
            raise self.dead_error()
        self.signal(self._obey_look, look, future)
        try:
            return future.answer()
        finally:
            self.forget_bond(future)

    def _obey_look(self, look: Callable[[], Any], future: Future[Any]) -> None:
        operation = self.operation
        if operation is not None:
            operation.look_later(partial(self._obey_look, look, future))
        elif not future.is_done and self.actor is not None:
            try:
                future.offer(look())
            except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
                future.offer_exception(error)

    def wait_started(self, timeout: float | None = None, *, or_kill: bool = False) -> Cell[A]:
        """Return this ref when the start is complete.

        Args:
            timeout: seconds, as in `ask`.
            or_kill: whether what has not started by then is killed.

        Raises:
            StartFailed: it ended before, with the reason.
            Timeout: it is not complete yet.

        Source: OTP, gen_server:start/3 with the option `timeout`, which kills.
        """
        future: Future[None] = Future(
            self, self.system.deadline_after(timeout, local.runner), self.system.dispatcher
        )
        if self.when_dead(future, lambda _reason: future.offer(None), or_started=True):
            try:
                future.get()
            except Timeout:
                if or_kill:
                    self.kill()
                raise
        if not self.is_started:
            raise StartFailed(self.reason, address=self.name)
        return self
