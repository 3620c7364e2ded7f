"""How an incarnation ends: after a cleanup, by a kill, or by what should not happen.

    NEW -> ALIVE -> ENDING -> DEAD         nothing goes back

    in hand   worker: (1) `in_hand = future` (2) ended?      killer: (1) end (2) fail `in_hand`

A kill claims death at once, from any thread; the holder of the baton then finds
its own claim lost.
"""

from __future__ import annotations

import contextvars
from functools import partial
from queue import SimpleQueue
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from callboard.supervision.model.notices import Exit
from callboard.supervision.model.reasons import (
    EXIT_REASONS,
    ExitReason,
    Killed,
    Normal,
    Shutdown,
)
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import ActorKilled, check_reason
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import KillSignal, arms
from callboard.supervision.runtime.mailbox import MailboxCell, copy_context
from callboard.supervision.runtime.notices import ChildExited, name_of
from callboard.supervision.runtime.operations import Later, Operation, Steps, Task, Until
from callboard.supervision.runtime.seam import Actor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from callboard.supervision.runtime.birth import Birth
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.idle import IdleWatch
    from callboard.supervision.runtime.incarnation import Bond, Estate

A = TypeVar("A", bound=Actor)
T = TypeVar("T")

STEPS: frozenset[type[Any]] = frozenset({CoroutineType, GeneratorType})
"""Results of a handler or a hook that are the rest of it."""

SUSPENDING: frozenset[type[Any]] = STEPS | {Later, Future}
"""Results of a handler that may say: the answer is not there yet."""


class EndingCell(MailboxCell[A]):
    """What an incarnation has in hand, and how that and itself come to an end; see `Cell`."""

    __slots__ = (
        "asked_exit",
        "birth",
        "failed_on",
        "handling",
        "idle",
        "in_hand",
        "operation",
        "runner",
        "waiting",
    )

    birth: Birth | None
    runner: Runner | None
    in_hand: Future[Any] | None
    handling: Any
    operation: Operation | None
    idle: IdleWatch | None
    asked_exit: ExitReason | None
    """Why it is to end as soon as what is under way is finished; the first to ask wins."""
    failed_on: str | None
    waiting: Future[Any] | EndingCell[Any] | None

    # -- being asked to end ------------------------------------------------

    def exit(self, reason: ExitReason | None = None) -> None:
        """Ask the actor to end after the message in hand, ahead of what waits. Returns at once.

        An async handler under way is finished first, like any other.

        Raises:
            InvalidSpec: the reason is none.
        """
        if reason is not None:
            check_reason(reason)
        # Not through the lane, which would have to be made: the stop of many makes many.
        if self.asked_exit is None:
            self.asked_exit = Shutdown() if reason is None else reason
        if not self.is_scheduled:
            self.schedule()

    def obey_asked_exit(self) -> None:
        """End if that was asked for, and nothing is under way any more. By a holder of the cell."""
        reason, self.asked_exit = self.asked_exit, None
        if reason is not None and self.reason is None:
            self._end(reason)

    def exit_from(self, sender: EndingCell[Any] | None, reason: ExitReason) -> None:
        """Deliver an exit signal as a link or `exit(pid, reason)` does.

        Trapping actors get an `Exit` message in mailbox order. Others end with
        the reason, unless it is `Normal` and somebody else's. The parent's is
        always obeyed.

        Source: Erlang, exit/2 and link/1.
        """
        if sender is not None and sender is self.parent:
            self.exit(reason)
        elif self.traps_exits:
            self.notify(Exit(sender, reason))
        elif not isinstance(reason, Normal) or sender is self:
            self.exit(reason)

    @property
    def traps_exits(self) -> bool:
        """Whether exits of linked actors are messages to it."""
        actor = self.actor  # what a factory made says it itself; before that, only a class can
        return getattr(self.actor_class if actor is None else actor, "trap_exit", False)

    def linked(self, other: EndingCell[Any]) -> bool:
        """Share an end with another, in both directions; False if that one has ended.

        Two steps that must keep their order: the other's end, once it is to be heard of, finds
        the link here.
        """
        key, others = ("link", other), ("link", self)
        self.when_dead(key, lambda reason: other.link_broke(self, reason), is_fatal=True)
        if not other.when_dead(
            others, lambda reason: self.link_broke(other, reason), is_fatal=True
        ):
            self.forget_bond(key)
            return False
        if self.is_dead:  # killed since
            other.forget_bond(others)
            self.system.refuse_fenced(self, other.name)
        return True

    def link_broke(self, other: EndingCell[Any], reason: ExitReason) -> None:
        """Take the end of a linked actor. From any thread.

        Who traps exits gets it in mailbox order. Others obey it between two messages,
        if the link is still there then: a handler that undoes it in time lives on.

        Source: Erlang, the guarantee of unlink/1.
        """
        if not self.traps_exits:
            self.signal(self._obey_broken_link, other, reason)
        elif self.forget_bond(("link", other)):
            self.exit_from(other, reason)

    def _obey_broken_link(self, other: EndingCell[Any], reason: ExitReason) -> None:
        if self.operation is not None:
            self.operation.look_later(partial(self._obey_broken_link, other, reason))
        elif self.forget_bond(("link", other)):
            self.exit_from(other, reason)

    @arms
    def _end(self, reason: ExitReason, *, cleans_up: bool = True) -> None:
        """Claim the end, close the mailbox, clean up, die. By the holder of the baton alone."""
        left = self._claim(reason, is_death=False)
        if left is None:
            return
        self._cancel_operation()
        self.birth = None
        self._give_up(left.mailbox)
        actor = self.actor
        if actor is None or not cleans_up:
            self._die(reason)
            return
        runner = self.runner
        assert runner is not None
        runner.deadline_s = None  # the cleanup is not what an asker waits for
        try:
            runner.target = self
            result = actor.terminate(reason)
            runner.target = None
        except BaseException as error:  # the cell alone catches everything
            runner.disarm()
            if isinstance(error, KillSignal):
                raise
            self._cleaned(reason, None, error)
            return
        runner.disarm()
        if type(result) in STEPS:
            self._begin_operation(result, copy_context(), partial(self._cleaned, reason))
        else:
            self._cleaned(reason, result, None)

    def _cleaned(self, reason: ExitReason, result: Any, error: BaseException | None) -> None:
        if not self.is_started:  # why it did not start is what its starter wants to know
            self._die(reason)
        elif error is not None:
            self._die(crashed(error))
        else:
            self._die(result if isinstance(result, EXIT_REASONS) else reason)

    def _die(self, reason: ExitReason) -> None:
        """Be dead, and tell everybody to whom the end was promised; once."""
        left = self._claim(reason, is_death=True)
        if left is not None:
            self._give_up(left.mailbox)
            self._tell_of_the_end(reason, left)

    def _waits_for(self, child: object) -> bool:
        operation = self.operation
        return operation is None or operation.is_about(child)

    def _cancel_operation(self) -> None:
        operation, self.operation = self.operation, None
        if operation is not None:
            operation.cancel()

    def _give_up(self, q: SimpleQueue[Any] | None) -> None:
        """Answer what waits in a mailbox that nobody will look into again."""
        if q is not None and not self._is_outlived:
            self._drain(q)

    def _tell_of_the_end(self, reason: ExitReason, left: Estate) -> None:
        self.actor = None
        system = self.system
        if system.point is not None:
            system.point("dead", self, reason)
        if self.idle is not None:
            self.idle.cancel()
        # What follows is said in nobody's name: the dead may not send, those they leave may.
        runner = local.runner
        outer = None if runner is None else runner.cell
        if runner is not None:
            runner.cell = None
        try:
            if left.actor is not None:
                left.actor.let_go(reason)
        finally:
            # Whatever becomes of it, those to whom the end was promised hear of it.
            system.has_ended(self, reason)
            address = self.address  # it may be taken from it just now
            if address is not None:
                self._keep(address.leave, self)
            bonds = () if left.bonds is None else left.bonds.values()
            fatal: list[Bond] = []
            for bond in bonds:
                if bond.is_fatal:
                    fatal.append(bond)
                else:
                    self._keep(bond.pay, reason)
            # Not before: nobody is to see what its supervisor does about an end that he was
            # promised to hear of, and has not.
            self.has_told = True
            if self.parent is not None:
                self.parent.learn(ChildExited(self, reason))
            # Not before: a supervisor hears of a death ahead of those that follow from it, and
            # does not restart these into a world where the first is missing.
            for bond in fatal:
                self._keep(bond.pay, reason)
            if runner is not None:
                runner.cell = outer

    def _keep(self, promise: Callable[[T], object], word: T) -> None:
        """Keep one promise; one that cannot be kept is counted, and does not hurt the others."""
        try:
            promise(word)
        except Exception:  # noqa: BLE001 -- named edge: every other promise is to be kept all the same
            self.system.count("broken_promises")

    def kill(self) -> None:
        """End this incarnation now: dead for everyone at once, running Python code interrupted.

        `terminate` does not run. What the killed handler still does is refused
        and counted. Returns at once, from any thread.

        Differs from OTP: code that is not Python's (a system call, a C extension)
        cannot be interrupted. Its thread is given `kill_grace_s`, then abandoned,
        replaced and reported; the incarnation is dead all the same.

        Source: Erlang, exit(Pid, kill).
        """
        self.end_at_once(Killed())

    def end_at_once(self, reason: ExitReason) -> None:
        """Kill it, for this reason: `Killed`, but where a kill is how something else is done."""
        left = self._claim(reason, is_death=True)
        if left is None:
            return
        self.birth = None
        runner = self.runner
        handling = self.handling
        if handling is not None:
            self.failed_on = name_of(handling)
        in_hand = self.in_hand
        if in_hand is not None:
            in_hand.offer_exception(self.killed_error())
        self._cancel_operation()
        self._give_up(left.mailbox)
        self._tell_of_the_end(reason, left)
        waiting = self.waiting
        if isinstance(waiting, Future):  # on whatever thread: it looks, and finds itself dead
            waiting.rouse()
        if runner is not None:
            self.system.dispatcher.interrupt(self, runner)

    def killed_error(self, reason: ExitReason | None = None) -> Exception:
        """Return what an asker gets whose answer this incarnation owed when it ended."""
        special = None if self.address is None else self.address.killed_error()
        if special is not None:
            return special
        if reason is None or isinstance(reason, Killed):
            return ActorKilled(f"{self} was killed while handling the message", address=self.name)
        said = f"{self} ended before it answered the message: {reason}"
        return ActorKilled(said, address=self.name)

    def _break_down(self, error: BaseException) -> None:
        """End at once after what should not happen: an exception that got past all hooks."""
        if self.in_hand is not None:
            self.in_hand.offer_exception(error)
        self._cancel_operation()
        self._die(self.reason or crashed(error))

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

    def end_operation(self, task: Task, result: Any, error: BaseException | None) -> None:
        """Take the end of a coroutine, from the event loop."""
        self.signal(self._obey_over, task, result, error)

    def _obey_over(self, task: Task, result: Any, error: BaseException | None) -> None:
        task.over(result, error)
