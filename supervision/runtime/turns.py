"""Running an incarnation: one turn takes what waits, as far as a batch goes.

The `baton` is the only right to run a cell; everything that leads a worker here
is a hint. It is a list of one: `del baton[0]` takes it or raises, `baton[:] = BATON`
gives it back. Neither is a call, so no signal handler can raise between it and the
next step: a lock's `acquire` is one, and asks interrupted there kept it for ever.

    release   (1) give the baton back   (2) `is_scheduled = False`   (3) anything left? schedule
"""

from __future__ import annotations

import contextvars
from functools import partial
from queue import Empty, SimpleQueue
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from callboard.supervision.model.errors import Refusal
from callboard.supervision.runtime.birth import BornCell
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.ending import STEPS, SUSPENDING
from callboard.supervision.runtime.errors import UnhandledMessage
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import KillSignal, Unwound, arms
from callboard.supervision.runtime.mailbox import copy_context
from callboard.supervision.runtime.notices import name_of
from callboard.supervision.runtime.operations import is_later
from callboard.supervision.runtime.seam import Actor

if TYPE_CHECKING:
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.futures import Owner

A = TypeVar("A", bound=Actor)

BATON = (None,)
"""What gives a cell's baton back: `baton[:] = BATON`."""


def unroutable(error: TypeError, message: Any) -> TypeError | UnhandledMessage:
    """Return a refusal if it was the sender's message that could not be looked up; else the error.

    No handler has seen such a message: its class is not hashable, and routes are dicts. Asked
    when something has failed already, for a look before every message would cost all of them.
    """
    kind: type[Any] = type(message)  # pyright: ignore[reportUnknownVariableType]  # of a message that may be anything
    try:
        hash(kind)
    except TypeError:
        msg = f"messages of class {kind.__name__} have no handler: the class is not hashable"
        return UnhandledMessage(msg)
    return error


class TurningCell(BornCell[A]):
    """The one-at-a-time of an incarnation: its turns, one message after the other; see `Cell`."""

    __slots__ = ("baton", "is_suspended", "next_message")

    baton: list[None]
    is_suspended: bool
    next_message: Any

    def start(self) -> None:
        """Begin the start: the first turn makes the actor."""
        self.schedule()

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
        runner.deadline_s = None
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
        self.baton[:] = BATON
        self.is_scheduled = False
        self._look_again()

    def _look_again(self) -> None:
        """See that what came meanwhile is served. After the baton was given back."""
        idle = self.idle
        if idle is not None:
            idle.touch()
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
        elif self.reason is None and (
            self.asked_exit is not None
            or self.next_message is not None
            or (waiting and not self.is_suspended)
        ):
            self.schedule()

    @arms
    def _turn(self, runner: Runner) -> None:
        for _ in range(self.system.dispatcher.batch_max):
            lane = self.signals
            if lane is not None and lane.qsize():
                self._obey(lane)
            if self.asked_exit is not None and self.operation is None:
                self.obey_asked_exit()
            if self.birth is not None and self.reason is None:
                self._be_born(runner)
                if runner.depth:
                    return  # the thread was lent for the start alone
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
                    if self.address is not None and self.address.items is q:
                        message, future, context = self._take_kept(q)
                    else:
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
                if result is not None and type(result) in SUSPENDING:
                    self._suspended(result, future, context)
                elif future is not None:
                    point = self.system.point
                    if point is not None:
                        point("reply", self, result)
                    if self.is_dead or not future.offer(result):
                        self._refuse_reply(future)
                self.in_hand = None

    def _take_kept(
        self, q: SimpleQueue[Any]
    ) -> tuple[Any, Future[Any] | None, contextvars.Context]:
        """Take the next message of a mailbox that is not ours alone.

        Under the lock of the claims, so that it is in hand when a kill strikes,
        or left to whoever comes next: never lost between the two.

        Raises:
            Empty: it has been taken, or this incarnation has ended.
        """
        with self.system.rare:
            if self.reason is not None:
                raise Empty
            message, self.in_hand, context = q.get_nowait()
            return message, self.in_hand, context

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
        if isinstance(error, KillSignal):
            self._refuse_in_hand(error, future)
            raise error
        self.in_hand = None
        if type(error) is TypeError:
            error = unroutable(error, message)
        if isinstance(error, Refusal):
            if future is None:
                self.system.dead_letters.record(message, address=self.name, why=error.code)
            else:
                future.offer_exception(error)
            return
        self.failed_on = name_of(self.handling)
        if future is not None and not self.when_dead(
            future, lambda _reason: future.offer_exception(error)
        ):
            future.offer_exception(error)
        self._end(crashed(error))

    def _refuse_in_hand(self, error: KillSignal, future: Future[Any] | None) -> None:
        """Tell the asker of a handler that a kill ended.

        As in `_refuse_reply`: the handler may have found itself dead before its killer has looked
        what is in hand, and is about to let go of it.
        """
        if future is not None and not isinstance(error, Unwound):
            future.offer_exception(self.killed_error() if self.is_dead else error)

    def _suspended(
        self, result: Any, future: Future[Any] | None, context: contextvars.Context
    ) -> None:
        """Go on with a handler that has not finished: wait for it with the mailbox held."""
        if type(result) not in STEPS or (type(result) is GeneratorType and not self.is_system):
            self._answered(future, result, None)  # a user's generator is an ordinary value
        else:
            self._begin_operation(result, context, partial(self._answered, future), future)

    def _answered(
        self, future: Future[Any] | None, result: Any, error: BaseException | None
    ) -> None:
        if error is not None:
            self._failed(error, None, future)
        elif is_later(result, future):
            self._leave_open(future)
        elif future is not None and (self.is_dead or not future.offer(result)):
            self._refuse_reply(future)

    def _leave_open(self, future: Future[Any] | None) -> None:
        """Owe the answer no more: whoever gives it, it need not be this actor.

        Somebody else whom the handler has named still does.
        """
        if future is not None and (future.owner is self or future.owner is self.address):
            future.owner = None

    def _refuse_reply(self, future: Future[Any]) -> None:
        """Drop a reply that came too late; one by a killed handler is refused and counted.

            killer: (1) dead (2) fail the asker      handler: (1) dead already? (2) reply

        A handler that finds itself dead fails its asker too: the killer may have
        looked just after the message was no longer in hand.
        """
        if self.is_dead:
            self.system.count("fenced_replies")
            future.offer_exception(self.killed_error())

    def _hold(self) -> None:
        self.is_suspended = True

    def _let_go_on(self) -> None:
        self.is_suspended = False

    def reply_later(self, *, outlives: bool = False, owed_by: Owner | None = None) -> Future[Any]:
        """Return the future of the message in hand, for somebody to answer another time.

        Its asker is told when this incarnation ends before that, unless the answer `outlives` it.
        """
        # A hand-off has neither. What goes on by an operation has its future there.
        is_told = self.in_hand is None and self.runner is not None and self.operation is None
        future = self.future_in_hand()
        if not outlives and not is_told:
            self.when_dead(future, lambda reason: future.offer_exception(self.killed_error(reason)))
            future.when_done(lambda: self.forget_bond(future))  # or nobody waits for it any more
        if owed_by is not None:
            future.owner = owed_by
        return future

    def future_in_hand(self, timeout: float | None = None) -> Future[Any]:
        """Return the future of the message in hand; a told message gets one that nobody sees."""
        operation = self.operation
        if operation is not None and operation.future is not None:
            return operation.future
        if self.in_hand is None:
            runner = local.runner
            deadline_s = None if runner is None else runner.deadline_s
            if deadline_s is None or timeout is not None:
                deadline_s = self.system.deadline_after(timeout, runner)
            self.in_hand = Future(None, deadline_s, self.system.dispatcher)
        return self.in_hand
