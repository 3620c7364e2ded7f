"""One incarnation of an actor: its ref, its mailbox and its life, in one object.

    NEW -> ALIVE -> ENDING -> DEAD         nothing goes back

The `baton` is the only right to run a cell; everything that leads a worker here
is a hint. It is a list of one: `del baton[0]` takes it or raises, `baton[:] = _BATON`
gives it back. Neither is a call, so no signal handler can raise between it and the
next step: a lock's `acquire` is one, and asks interrupted there kept it for ever.
These pairs of steps must keep their order, each store before its load:

    send      (1) put into the mailbox   (2) is it still the cell's? else take it all out again
    release   (1) give the baton back   (2) `is_scheduled = False`   (3) anything left? schedule
    in hand   worker: (1) `in_hand = future` (2) ended?      killer: (1) end (2) fail `in_hand`
    bond      (1) add under the lock, unless dead             ender: (1) dead, take all, under it

ENDING is claimed once, DEAD is claimed once, both under the system's one lock
for rare things (`rare`), which is never held while calling out. A kill claims
both at once, from any thread; the holder of the baton then finds its claim lost.
Between `is_scheduled = True` and the enqueue no Python function may be entered:
an asynchronous exception lands at calls and would leave the cell unscheduled.
"""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from queue import Empty, SimpleQueue
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

import msgspec

from callboard.supervision.model.errors import DeliveryError, InvalidSpec, Refusal
from callboard.supervision.model.notices import Down, Exit
from callboard.supervision.model.reasons import ExitReason, Killed, NoActor, Normal, Shutdown
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import (
    ActorDeadError,
    ActorKilled,
    MailboxFull,
    StartFailed,
    StartRefused,
    SystemStopped,
    Timeout,
)
from callboard.supervision.runtime.futures import Future, completed
from callboard.supervision.runtime.interrupts import KillSignal, Unwound, arms
from callboard.supervision.runtime.notices import ChildExited, ChildStarted, ForOneLife, Notice
from callboard.supervision.runtime.operations import LATER, Later, Operation, Steps, Task, Until
from callboard.supervision.runtime.proxy import Proxy
from callboard.supervision.runtime.seam import Actor, ActorRef

if TYPE_CHECKING:
    from callboard.supervision.runtime.idle import IdleWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from callboard.supervision.model.requests import Request
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.names import Address
    from callboard.supervision.runtime.system import ActorSystem

A = TypeVar("A", bound=Actor)
R = TypeVar("R")

copy_context = contextvars.copy_context
get_running_loop = asyncio._get_running_loop

_BATON = (None,)
"""What gives a cell's baton back: `baton[:] = _BATON`."""

_SUSPENDING: frozenset[type[Any]] = frozenset({CoroutineType, GeneratorType, Later})
"""Results of a handler that say: the answer is not there yet."""


class Birth(msgspec.Struct, frozen=True):
    """What a cell needs to make its actor."""

    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: contextvars.Context


class Bond(msgspec.Struct, frozen=True):
    """What is owed to somebody when this cell has died, or as soon as it has started."""

    pay: Callable[[ExitReason | None], object]
    is_due_at_start: bool = False


class Cell(ActorRef[A], Generic[A]):
    """The ref of one incarnation. Made by the system; safe from any thread.

    It is a `pykka.ActorRef`. After the actor has ended it says dead for ever;
    to reach whoever comes next, use an address.
    """

    __slots__ = (
        "actor",
        "actor_class",
        "address",
        "baton",
        "birth",
        "bonds",
        "deferred_exit",
        "enqueue",
        "failed_on",
        "handlers",
        "handling",
        "hands_off",
        "idle",
        "in_hand",
        "incarnation",
        "is_dead",
        "is_ignored",
        "is_scheduled",
        "is_started",
        "is_suspended",
        "is_system",
        "items",
        "mailbox_max",
        "next_message",
        "operation",
        "parent",
        "reason",
        "runner",
        "signals",
        "system",
        "tag",
        "urn",
        "waiting",
    )

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
        # pykka's __init__ would make a weak reference and a urn that few ever need.
        self.system = system
        self.actor_class = actor_class
        self.birth: Birth | None = birth
        self.actor: Any = None
        self.parent = parent
        self.address = address
        self.tag = tag
        self.incarnation = incarnation
        self.items: SimpleQueue[Any] | None = None if address is None else address.items
        self.signals: SimpleQueue[Any] | None = None
        self.baton: list[None] = [None]
        self.is_scheduled = False
        self.is_started = False
        self.is_suspended = False
        self.is_dead = False
        self.is_ignored = False
        self.reason: ExitReason | None = None
        self.bonds: dict[object, Bond] | None = None
        self.operation: Operation | None = None
        self.deferred_exit: ExitReason | None = None
        self.failed_on: str | None = None
        self.handling: Any = None
        self.idle: IdleWatch | None = None
        self.in_hand: Future[Any] | None = None
        self.next_message: Any = None
        self.runner: Runner | None = None
        self.waiting: Future[Any] | Cell[Any] | None = None
        self.urn: str | None = None
        self.is_system = getattr(actor_class, "is_system", False)
        self.handlers: dict[type[Any], Callable[[Any, Any], Any]] = getattr(
            actor_class, "callboard_direct", _NO_HANDLERS
        )
        self.hands_off = getattr(actor_class, "hand_off", False)
        self.mailbox_max = getattr(actor_class, "mailbox_max", None) or system.settings.mailbox_max
        self.enqueue = system.dispatcher.enqueue_for(self)

    # -- who am I ----------------------------------------------------------

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # a property: 3 us that few need
        """A uuid4 URN, as pykka's suite insists; made when first asked for."""
        if self.urn is None:
            made = self.system.new_urn()
            with self.system.rare:
                self.urn = self.urn or made
        return self.urn

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # a view: nobody may get() from it
        """What waits, to look at."""
        return MailboxView(self)

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # made on use: an Event costs 2.4 us
        """A flag like pykka's event: set when the actor has ended."""
        return StopFlag(self)

    def _actor_weakref(self) -> Any:  # type: ignore[override]  # called like one, never None-checked
        return self.actor

    @property
    def name(self) -> str:
        """The address's name, or class and incarnation."""
        if self.address is not None:
            return self.address.name
        tag = "" if self.tag is None else f" {self.tag}"
        # A factory need not be a class or a function: a `partial` has no name.
        made_by = getattr(self.actor_class, "__name__", type(self.actor_class).__name__)
        return f"{made_by}{tag}"

    @property
    def path(self) -> str:
        """Where it stands in the tree: `root/sessions/3`."""
        if self.parent is None or self.tag is None:
            return self.name
        return f"{self.parent.path}/{self.tag}"

    def __repr__(self) -> str:
        return f"<ActorRef for {self}>"

    def __str__(self) -> str:
        if self.parent is None and self.address is None:
            return f"{self.actor_class.__name__} ({self.actor_urn})"
        return f"{self.name} (incarnation {self.incarnation})"

    def is_alive(self) -> bool:
        """Return False once the actor has ended, its cleanup included."""
        return not self.is_dead

    @property
    def ref(self) -> Cell[A]:
        """This ref itself, as an address has the one of its current incarnation."""
        return self

    @property
    def mailbox_size(self) -> int:
        """How many messages wait."""
        q = self.items
        return 0 if q is None else q.qsize()

    # -- sending -----------------------------------------------------------

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
            if sender is not None and sender.is_dead:
                self.system.refuse_fenced(sender, self.name)
        q = self.items
        if q is None:
            q = self._open_mailbox()
        if q.qsize() >= self.mailbox_max:
            raise MailboxFull(self.mailbox_max, unsent=message, address=self.name)
        # `_put` and `schedule`, written out: half of what a send costs are frames.
        point = self.system.point
        if point is not None:
            point("put")
        q.put((message, None, copy_context()))
        if self.items is not q:
            self._take_back(q)
        elif not self.is_scheduled:
            self.schedule()

    def notify(self, message: Any) -> bool:
        """Put a notice in order with the messages; never refused for lack of room.

        Returns:
            False when the actor has ended.
        """
        q = self.items
        if q is None:
            if self.reason is not None:  # no error to be made for nobody
                return False
            try:
                q = self._open_mailbox()
            except DeliveryError:
                return False
        if self.address is not None and self.address.items is q:
            message = ForOneLife(self, message)
        self._put(q, (message, None, copy_context()))
        return True

    def learn(self, notice: ChildStarted | ChildExited) -> None:
        """Take news of a child; a parent that is ending waits for it with its mailbox closed."""
        if not self.notify(notice) and not self.is_dead:
            self.poke()

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
        self._put(q, (message, future, copy_context()))
        return future

    def timeout_error(self, future: Future[Any]) -> Exception:
        """Return what an asker gets whose time ran out."""
        del future
        return Timeout(f"{self.name} did not answer in time", address=self.name)

    def _put(
        self, q: SimpleQueue[Any], item: tuple[Any, Future[Any] | None, contextvars.Context]
    ) -> None:
        system = self.system
        if system.point is not None:
            system.point("put")
        q.put(item)
        if self.items is not q:
            self._take_back(q)
            return
        if not self.is_scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Hint to the dispatcher that there is something to run here; never an obligation."""
        enqueue = self.enqueue
        if self.is_system:
            runner = local.runner
            if runner is not None and runner.enqueue_system is not None:
                enqueue = runner.enqueue_system
        if not self.is_scheduled:
            self.is_scheduled = True
            enqueue(self)
            dispatcher = self.system.dispatcher
            if dispatcher.is_asleep:
                dispatcher.wake()

    def _open_mailbox(self) -> SimpleQueue[Any]:
        """Return the mailbox, made at the first message: most of an idle actor's bytes."""
        with self.system.rare:
            if self.reason is not None:
                q = None
            elif self.items is None:
                q = self.items = SimpleQueue()
            else:
                q = self.items
        if q is None:
            raise self.dead_error()
        return q

    def dead_error(self) -> DeliveryError:
        """Return what a sender to this ended incarnation gets."""
        if not self.system.is_open:
            return SystemStopped(f"{self.system} has been stopped", address=self.name)
        return ActorDeadError(f"{self} not found", address=self.name)

    def _take_back(self, q: SimpleQueue[Any]) -> None:
        """Answer what went into a mailbox that had just been closed."""
        if self.address is not None and self.address.items is q:
            # The mailbox outlives the incarnation: whoever comes next is served from it.
            self.address.poke()
            return
        self._drain(q)

    def _drain(self, q: SimpleQueue[Any]) -> None:
        while q.qsize():
            try:
                message, future, _ = q.get_nowait()
            except Empty:
                return
            self.undeliverable(message, future)

    def undeliverable(self, message: Any, future: Future[Any] | None) -> None:
        """Answer a message that will not be handled, or make it a dead letter."""
        if future is not None:
            future.offer_exception(
                ActorDeadError(f"{self} stopped before handling the message", address=self.name)
            )
        elif not isinstance(message, (Notice, Down, Exit)):
            self.system.dead_letters.record(message, address=self.name)

    # -- signals: the control lane ----------------------------------------

    def signal(self, act: Callable[..., None], *args: Any) -> None:
        """Have `act(*args)` run by the next holder of the cell, ahead of all messages."""
        lane = self.signals
        if lane is None:
            with self.system.rare:
                lane = self.signals = self.signals or SimpleQueue()
        lane.put((act, args))
        if not self.is_scheduled:
            self.schedule()

    def exit(self, reason: ExitReason | None = None) -> None:
        """Ask the actor to end after the message in hand, ahead of what waits. Returns at once."""
        self.signal(self._obey_exit, Shutdown() if reason is None else reason)

    def _obey_exit(self, reason: ExitReason) -> None:
        if self.reason is not None:
            return
        if self.operation is None:
            self._end(reason)
        elif self.deferred_exit is None:
            # As with a plain handler: what is under way is finished first.
            self.deferred_exit = reason

    def obey_deferred_exit(self) -> None:
        """End if that was asked for while an operation was under way. By a holder of the cell."""
        reason, self.deferred_exit = self.deferred_exit, None
        if reason is not None and self.reason is None:
            self._end(reason)

    def poke(self) -> None:
        """Have the cell look again at what it waits for."""
        lane = self.signals
        if lane is None or not lane.qsize():
            self.signal(_do_nothing)
        elif not self.is_scheduled:
            # Whoever obeys what waits there looks again after it.
            self.schedule()

    def suspend(self) -> None:
        """Stop serving the mailbox; signals are still obeyed. Source: OTP, sys:suspend/1."""
        self.signal(self._hold)

    def resume(self) -> None:
        """Serve the mailbox again. Source: OTP, sys:resume/1."""
        self.signal(self._let_go_on)

    def _hold(self) -> None:
        self.is_suspended = True

    def _let_go_on(self) -> None:
        self.is_suspended = False

    def end_operation(self, task: Task, result: Any, error: BaseException | None) -> None:
        """Take the end of a coroutine, from the event loop."""
        self.signal(self._obey_over, task, result, error)

    def _obey_over(self, task: Task, result: Any, error: BaseException | None) -> None:
        task.over(result, error)

    def exit_from(self, sender: Cell[Any] | None, reason: ExitReason) -> None:
        """Deliver an exit signal as a link or `exit(pid, reason)` does.

        Trapping actors get an `Exit` message in mailbox order. Others end with
        the reason, unless it is `Normal` and somebody else's. The parent's is
        always obeyed.

        Source: Erlang, exit/2 and link/1.
        """
        if sender is not None and sender is self.parent:
            self.exit(reason)
        elif getattr(self.actor_class, "trap_exit", False):
            self.notify(Exit(sender, reason))
        elif not isinstance(reason, Normal) or sender is self:
            self.exit(reason)

    def link_broke(self, other: Cell[Any], reason: ExitReason) -> None:
        """Take the end of a linked actor."""
        self.forget_bond(("link", other))
        self.exit_from(other, reason)

    @overload
    def stop(self, *, block: Literal[True] = ..., timeout: float | None = ...) -> bool: ...
    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = ...) -> Future[bool]: ...
    @overload
    def stop(self, *, block: bool = ..., timeout: float | None = ...) -> bool | Future[bool]: ...
    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | Future[bool]:
        """End the actor in order and wait until it has, `terminate` included.

        It overtakes what waits in the mailbox; what waits is answered "dead".

        Args:
            block: False returns a future at once.
            timeout: as in `ask`.

        Returns:
            False when it had ended before.
        """
        future: Future[bool] = Future(
            self, self.system.deadline_after(timeout, local.runner), self.system.dispatcher
        )
        if self.when_dead(future, lambda _reason: future.offer(value=True)):
            self.exit(Normal())
        else:
            future.offer(value=False)
        return future.get() if block else future

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

    # -- bonds: who hears of the end --------------------------------------

    def when_dead(
        self, key: object, pay: Callable[[Any], object], *, or_started: bool = False
    ) -> bool:
        """Have `pay(reason)` called once at the end; False if the end has been already.

        Args:
            key: names the bond, to take it back.
            pay: called by whoever ends the actor; it must be short and not block.
            or_started: call it with None as soon as the start is complete.
        """
        with self.system.rare:
            if self.is_dead or (or_started and self.is_started):
                return False
            if self.bonds is None:
                self.bonds = {}
            self.bonds[key] = Bond(pay, or_started)
            return True

    def forget_bond(self, key: object) -> bool:
        """Take a bond back; say whether it was still there."""
        with self.system.rare:
            return self.bonds is not None and self.bonds.pop(key, None) is not None

    def final_reason(self) -> ExitReason:
        """Return why it ended: for a monitor that came too late, that nobody is there."""
        return NoActor()

    # -- running -----------------------------------------------------------

    def start(self) -> None:
        """Begin the start: the first turn makes the actor."""
        self.schedule()

    def wait_started(self, timeout: float | None = None) -> Cell[A]:
        """Return this ref when the start is complete.

        Args:
            timeout: seconds, as in `ask`.

        Raises:
            StartFailed: it ended before, with the reason.
            Timeout: it is not complete yet.
        """
        future: Future[None] = Future(
            self, self.system.deadline_after(timeout, local.runner), self.system.dispatcher
        )
        if self.when_dead(future, lambda _reason: future.offer(None), or_started=True):
            future.get()
        if not self.is_started:
            raise StartFailed(self.reason, address=self.name)
        return self

    def activate(self, runner: Runner) -> None:
        """Run what waits, as far as one turn goes; do nothing where another one does."""
        try:
            del self.baton[0]
        except IndexError:
            return
        outer = runner.cell
        outer_deadline_s = runner.deadline_s
        outer_target = runner.target
        runner.cell = self
        self.runner = runner
        try:
            self._turn(runner)
        except Unwound:
            pass  # its world has ended: there is nobody left to tell
        except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
            # After a kill nothing is left to do: it answered the asker and told the watchers.
            if not self.is_dead:
                self._break_down(error)
        finally:
            runner.target = None
            if runner.is_struck:
                runner.disarm()
            runner.target = outer_target
            runner.cell = outer
            runner.deadline_s = outer_deadline_s
            self._release()

    def _break_down(self, error: BaseException) -> None:
        """End at once after what should not happen: an exception that got past all hooks."""
        with self.system.rare:
            if self.reason is None:
                self.reason = crashed(error)
            reason = self.reason
            q, self.items = self.items, None
        if self.in_hand is not None:
            self.in_hand.offer_exception(error)
        if q is not None and not self._outlives(q):
            self._drain(q)
        self._die(reason)

    @property
    def is_at_work(self) -> bool:
        """Whether a thread is inside it just now; after a kill for a moment still."""
        return not self.baton

    def _release(self) -> None:
        self.runner = None
        self.in_hand = None
        if self.operation is None:
            self.handling = None
        if self.is_dead:
            self.actor = None
        self.baton[:] = _BATON
        self.is_scheduled = False
        self._look_again()

    def _look_again(self) -> None:
        """See that what came meanwhile is served. After the baton was given back."""
        if self.idle is not None:
            self.idle.touch()
        lane = self.signals
        if lane is not None and lane.qsize():
            self.schedule()
            return
        q = self.items
        waiting = 0 if q is None else q.qsize()
        operation = self.operation
        if operation is not None:
            if not self.is_dead and operation.has_missed(waiting):
                self.schedule()
        elif (waiting and not self.is_suspended) or (
            self.next_message is not None and self.reason is None
        ):
            self.schedule()

    @arms
    def _turn(self, runner: Runner) -> None:
        for _ in range(self.system.dispatcher.batch_max):
            lane = self.signals
            if lane is not None and lane.qsize():
                self._obey(lane)
            if self.birth is not None and self.reason is None:
                self._be_born(runner)
            operation = self.operation
            if operation is not None and not operation.is_over():
                return
            if self.reason is not None:
                return
            future: Future[Any] | None
            if self.next_message is None:
                q = self.items
                if q is None or not q.qsize() or self.is_suspended:
                    return
                try:
                    message, future, context = q.get_nowait()
                except Empty:
                    return
            else:
                message, self.next_message = self.next_message, None
                future, context = None, copy_context()
            if future is None:
                runner.deadline_s = None
            elif not self._take_in_hand(runner, message, future):
                continue
            actor = self.actor
            if actor is None:  # killed since
                self.undeliverable(message, future)
                return
            # Written out here, not called: at this place a frame is a tenth of a tell.
            try:
                kind: type[Any] = type(message)  # pyright: ignore[reportUnknownVariableType]  # of a message that may be anything
                handler = self.handlers.get(kind)
                self.handling = message
                runner.target = self
                if handler is None:
                    result = context.run(actor._handle_receive, message)
                else:
                    result = context.run(handler, actor, message)
                runner.target = None
                if runner.is_struck:
                    runner.disarm()
            except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
                runner.disarm()
                self._failed(error, message, future)
            else:
                if result is not None and type(result) in _SUSPENDING:
                    self._suspended(result, future, context)
                elif future is not None:
                    point = self.system.point
                    if point is not None:
                        point("reply")
                    if not future.offer(result) and self.is_dead:
                        self.system.count("fenced_replies")
                self.in_hand = None

    def _obey(self, lane: SimpleQueue[Any]) -> None:
        while lane.qsize():
            try:
                act, args = lane.get_nowait()
            except Empty:
                return
            act(*args)

    def _take_in_hand(self, runner: Runner, message: Any, future: Future[Any]) -> bool:
        """Say whether an ask is to be answered still: nobody gave up, nothing ended."""
        self.in_hand = future
        if self.reason is not None:
            self.undeliverable(message, future)
            return False
        deadline_s = future.deadline_s
        if future.is_done or (
            deadline_s is not None and self.system.dispatcher.now_s() >= deadline_s
        ):
            future.give_up()
            self.system.count("expired_messages")
            return False
        runner.deadline_s = deadline_s
        return True

    def _failed(self, error: BaseException, message: Any, future: Future[Any] | None) -> None:
        """Let it crash: a refusal is an answer, everything else the end of this actor."""
        self.in_hand = None
        if isinstance(error, KillSignal):
            raise error
        if isinstance(error, Refusal):
            if future is None:
                self.system.dead_letters.record(message, address=self.name, why=error.code)
            else:
                future.offer_exception(error)
            return
        self.failed_on = _name_of(self.handling)
        if future is not None and not self.when_dead(
            future, lambda _reason: future.offer_exception(error)
        ):
            future.offer_exception(error)
        self._end(crashed(error))

    def _suspended(
        self, result: Any, future: Future[Any] | None, context: contextvars.Context
    ) -> None:
        """Go on with a handler that has not finished: wait for it with the mailbox held."""
        if result is LATER:
            if future is not None:
                future.owner = None  # whoever answers, it need not be this actor
            return
        if type(result) is GeneratorType and not self.is_system:
            if future is not None:  # an ordinary value of a user's handler
                future.offer(result)
            return
        self._begin_operation(result, context, partial(self._answered, future), future)

    def _answered(
        self, future: Future[Any] | None, result: Any, error: BaseException | None
    ) -> None:
        if error is not None:
            self._failed(error, None, future)
        elif future is not None:
            future.offer(result)

    def _begin_operation(
        self,
        steps: Any,
        context: contextvars.Context,
        then: Callable[[Any, BaseException | None], None],
        future: Future[Any] | None = None,
    ) -> None:
        operation: Operation = (
            Steps(self, cast("Generator[Until, bool, Any]", steps), then, future)
            if type(steps) is GeneratorType
            else Task(self, steps, then, future, context)
        )
        self.operation = operation
        operation.begin()

    # -- being born --------------------------------------------------------

    @arms
    def _be_born(self, runner: Runner) -> None:
        birth = self.birth
        if birth is None:  # killed since
            return
        try:
            runner.target = self
            if birth.args or birth.kwargs:
                actor = birth.context.run(birth.factory, *birth.args, **birth.kwargs)
            else:
                actor = birth.context.run(birth.factory)
            runner.target = None
            runner.disarm()
            actor = self._adopt(actor)
            self.birth = None
            runner.target = self
            result = birth.context.run(actor.on_start)
            runner.target = None
        except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
            runner.disarm()
            is_made, self.birth = self.birth is None, None
            self._not_born(error, cleans_up=is_made)
            return
        runner.disarm()
        if type(result) in _SUSPENDING:
            self._begin_operation(result, birth.context, self._born)
        else:
            self._born(result, None)

    def _adopt(self, made: Any) -> Any:
        """Take what the factory made as this incarnation's actor."""
        if not isinstance(made, Actor) or getattr(made, "_actor_ref", None) is not self:
            raise InvalidSpec(
                "start", made, "It must make and return one new actor of a callboard class."
            )
        if type(made) is not self.actor_class:
            self.handlers = getattr(type(made), "callboard_direct", _NO_HANDLERS)
        self.actor = made
        return made

    def _born(self, _result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._not_born(error)
            return
        paid: list[Bond] = []
        with self.system.rare:
            if self.is_dead:  # killed while it started: whoever started it must not take it for up
                return
            self.is_started = True
            bonds = self.bonds
            if bonds:
                due = [key for key, bond in bonds.items() if bond.is_due_at_start]
                paid = [bonds.pop(key) for key in due]
        parent = self.parent
        # A parent that lent its thread sees it as soon as this returns.
        if parent is not None and (parent.runner is None or parent.runner is not self.runner):
            parent.learn(ChildStarted(self))
        for bond in paid:
            bond.pay(None)

    def _not_born(self, error: BaseException, *, cleans_up: bool = True) -> None:
        if isinstance(error, KillSignal):
            raise error
        if isinstance(error, StartRefused):
            self.is_ignored = error.is_ignored
            self._end(error.reason, cleans_up=False)
        else:
            # What `__init__` left half made has nothing that `terminate` could rely on.
            self._end(crashed(error), cleans_up=cleans_up)

    # -- ending ------------------------------------------------------------

    @arms
    def _end(self, reason: ExitReason, *, cleans_up: bool = True) -> None:
        """Claim the end, close the mailbox, clean up, die. By the holder of the baton alone."""
        with self.system.rare:
            if self.reason is not None:
                return
            self.reason = reason
            q, self.items = self.items, None
        if self.operation is not None:
            self.operation.cancel()
            self.operation = None
        self.birth = None
        if q is not None and not self._outlives(q):
            self._drain(q)
        actor = self.actor
        if actor is None or not cleans_up:
            self._die(reason)
            return
        runner = self.runner
        assert runner is not None
        try:
            runner.target = self
            result = actor.terminate(reason)
            runner.target = None
        except BaseException as error:
            runner.disarm()
            if isinstance(error, KillSignal):
                raise
            reason = crashed(error)
            result = None
        runner.disarm()
        if type(result) in _SUSPENDING:
            self._begin_operation(result, copy_context(), partial(self._cleaned, reason))
        else:
            self._die(reason)

    def _cleaned(self, reason: ExitReason, _result: Any, error: BaseException | None) -> None:
        self._die(reason if error is None else crashed(error))

    def _outlives(self, q: SimpleQueue[Any]) -> bool:
        return self.address is not None and self.address.items is q

    def _die(self, reason: ExitReason) -> None:
        """Claim DEAD and tell everybody to whom the end was promised; once."""
        with self.system.rare:
            if self.is_dead:
                return
            self.reason = reason
            self.is_dead = True
            bonds, self.bonds = self.bonds, None
        self._tell_of_the_end(reason, bonds)

    def _tell_of_the_end(self, reason: ExitReason, bonds: dict[object, Bond] | None) -> None:
        actor, self.actor = self.actor, None
        system = self.system
        if system.point is not None:
            system.point("dead")
        if self.address is not None:
            self.address.leave(self)
        if self.idle is not None:
            self.idle.cancel()
        # What follows is said in nobody's name: the dead may not send, those they leave may.
        runner = local.runner
        outer = None if runner is None else runner.cell
        if runner is not None:
            runner.cell = None
        try:
            if actor is not None:
                actor.let_go(reason)
        finally:
            # Whatever becomes of it, those to whom the end was promised hear of it.
            system.has_ended(self, reason)
            if bonds is not None:
                for bond in bonds.values():
                    bond.pay(reason)
            if self.parent is not None:
                self.parent.learn(ChildExited(self, reason))
            if runner is not None:
                runner.cell = outer

    def kill(self) -> None:
        """End this incarnation now: dead for everyone at once, running Python code interrupted.

        `terminate` does not run. What the killed handler still does is refused
        and counted. Returns at once, from any thread.

        Source: Erlang, exit(Pid, kill).
        """
        reason: ExitReason = Killed()
        with self.system.rare:
            if self.is_dead:
                return
            q, self.items = self.items, None
            self.reason = reason
            self.is_dead = True
            bonds, self.bonds = self.bonds, None
        self.birth = None
        runner = self.runner
        handling = self.handling
        if handling is not None:
            self.failed_on = _name_of(handling)
        in_hand = self.in_hand
        if in_hand is not None:
            in_hand.offer_exception(self._killed_error())
        operation, self.operation = self.operation, None
        if operation is not None:
            operation.cancel()
        if q is not None and not self._outlives(q):
            self._drain(q)
        self._tell_of_the_end(reason, bonds)
        if runner is not None:
            self.system.dispatcher.interrupt(self, runner)

    def _killed_error(self) -> Exception:
        special = None if self.address is None else self.address.killed_error()
        if special is not None:
            return special
        return ActorKilled(f"{self} was killed while handling the message", address=self.name)

    # -- direct hand-off ---------------------------------------------------

    def hand_off(
        self, message: Any, runner: Runner | None, timeout: float | None, *, waits: bool = True
    ) -> Any:
        """Answer on the asker's own thread if the actor is idle; else return `NOT_DONE`."""
        system = self.system
        dispatcher = system.dispatcher
        if (
            runner is None
            or runner.depth >= dispatcher.hand_off_depth
            or not runner.may_run_user_code
        ):
            runner = dispatcher.runner_for_hand_off(self, runner)
            if runner is None:
                return NOT_DONE
        if get_running_loop() is not None:
            return NOT_DONE
        outer = runner.cell
        outer_deadline_s = runner.deadline_s
        depth = runner.depth
        now_s = dispatcher.now_s
        began_s = now_s()
        has_begun = False
        awaited: Future[Any] | None = None
        # This may be the host's main thread, where a signal handler may raise at any call. There is
        # none between taking the baton and `try`, and none in `finally` before it is given back.
        try:
            del self.baton[0]
        except IndexError:
            return NOT_DONE
        try:
            q = self.items
            lane = self.signals
            if (
                not self.is_started
                or self.reason is not None
                or self.operation is not None
                or self.is_suspended
                or self.next_message is not None
                or (q is not None and q.qsize())
                or (lane is not None and lane.qsize())
            ):
                return NOT_DONE
            if timeout is not None:
                runner.deadline_s = system.deadline_after(timeout, runner)
            if outer is not None:
                outer.waiting = self
            runner.cell = self
            runner.depth = depth + 1
            context = copy_context()  # what the handler sets stays with the handler
            actor = self.actor
            has_begun = True
            if actor is None:
                raise KillSignal  # noqa: TRY301 -- the same way out as when it strikes later
            kind: type[Any] = type(message)  # pyright: ignore[reportUnknownVariableType]  # of a message that may be anything
            handler = self.handlers.get(kind)
            if handler is None:
                result = context.run(actor._handle_receive, message)
            else:
                result = context.run(handler, actor, message)
            if result is not None and type(result) in _SUSPENDING:
                awaited = self._hand_on(result, runner, timeout, context)
        except Refusal:
            raise
        except BaseException as error:
            if self.is_dead and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                # Killed while it ran here: its asker is told, and is not killed with it.
                raise self._killed_error() from None
            if has_begun:
                # Its end runs on a worker: never on the stack of whoever asked.
                self.signal(self._obey_exit, crashed(error))
            raise
        finally:
            runner.depth = depth
            runner.cell = outer
            runner.deadline_s = outer_deadline_s
            if outer is not None:
                outer.waiting = None
            self.runner = None
            self.in_hand = None
            if self.operation is None:
                self.handling = None
            if self.is_dead:
                self.actor = None
            self.baton[:] = _BATON
            self.is_scheduled = False
            try:
                self._look_again()
            except BaseException:  # a signal's handler may raise at any call on a host's thread
                self._look_again()
                raise
        if now_s() - began_s > system.settings.handoff_max_s:
            system.count("slow_hand_offs")
        if outer is not None and outer.is_dead:
            raise KillSignal  # the safe point of an asker that lives in hand-offs
        if awaited is not None:
            return awaited.answer() if waits else awaited
        if self.is_dead:
            raise self._killed_error()
        return result if waits else completed(result)

    def _hand_on(
        self, result: Any, runner: Runner, timeout: float | None, context: contextvars.Context
    ) -> Future[Any]:
        """Begin what the handler left unfinished; return the future of its answer."""
        future = self.reply_later(timeout)
        if result is not LATER:
            if self.is_dead:
                raise KillSignal
            self.runner = runner
            self._suspended(result, future, context)
        return future

    # -- answering later ---------------------------------------------------

    def reply_later(self, timeout: float | None = None) -> Future[Any]:
        """Return the future of the message in hand, for somebody to answer another time."""
        if self.in_hand is None:
            runner = local.runner
            deadline_s = None if runner is None else runner.deadline_s
            if deadline_s is None or timeout is not None:
                deadline_s = self.system.deadline_after(timeout, runner)
            self.in_hand = Future(None, deadline_s, self.system.dispatcher)
        return self.in_hand


NOT_DONE: Any = object()
"""What a hand-off returns that could not be made: ask through the mailbox."""

_NO_HANDLERS: dict[type[Any], Callable[[Any, Any], Any]] = {}


def _name_of(message: Any) -> str:
    """Return the name of a message's type; what was wrapped for one life is meant by itself."""
    inner: Any = message.message if isinstance(message, ForOneLife) else message
    return type(inner).__name__


def _do_nothing() -> None:
    """Serve as a signal that only wakes."""


class MailboxView:
    """What pykka calls an actor's inbox, to look at."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell[Any]) -> None:
        self._cell = cell

    def qsize(self) -> int:
        """How many messages wait."""
        return self._cell.mailbox_size

    def empty(self) -> bool:
        """Whether none does."""
        return not self._cell.mailbox_size


class StopFlag:
    """What pykka calls `actor_stopped`: an event of which nobody waits unless asked to."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell[Any]) -> None:
        self._cell = cell

    def is_set(self) -> bool:
        """Whether the actor is ending or has ended."""
        return self._cell.reason is not None

    def set(self) -> None:
        """Have the actor end. Unlike pykka's, this leaves no thread behind."""
        self._cell.exit(Normal())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; say whether it did within `timeout` seconds."""
        cell = self._cell
        future: Future[bool] = Future(cell, None, cell.system.dispatcher)
        if not cell.when_dead(future, lambda _reason: future.offer(value=True)):
            return True
        try:
            return future.get(timeout=timeout)
        except Timeout:
            return False
        finally:
            cell.forget_bond(future)
