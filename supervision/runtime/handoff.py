"""Direct hand-off: an idle actor answers on its asker's own thread, without a switch.

Only classes that declare their handlers short (`hand_off = True`) get it: a
timeout cannot end code on one's own thread.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, TypeVar

from callboard.supervision.model.errors import Refusal
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.ending import SUSPENDING
from callboard.supervision.runtime.futures import Future, completed
from callboard.supervision.runtime.interrupts import KillSignal
from callboard.supervision.runtime.mailbox import copy_context
from callboard.supervision.runtime.operations import LATER
from callboard.supervision.runtime.seam import Actor
from callboard.supervision.runtime.turns import BATON, TurningCell, unroutable

if TYPE_CHECKING:
    from callboard.supervision.runtime.current import Runner

A = TypeVar("A", bound=Actor)

get_running_loop = asyncio._get_running_loop

NOT_DONE: Any = object()
"""What a hand-off returns that could not be made: ask through the mailbox."""


class HandOffCell(TurningCell[A]):
    """The turn that an asker lends its thread for; see `Cell`."""

    __slots__ = ("hands_off",)

    hands_off: bool

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
                or self.asked_exit is not None
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
            if result is not None and type(result) in SUSPENDING:
                awaited = self._hand_on(result, runner, timeout, context)
        except Refusal:
            raise
        except BaseException as error:  # the cell alone catches everything; it goes on
            if self.is_dead and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                # Killed while it ran here: its asker is told, and is not killed with it.
                raise self.killed_error() from None
            if type(error) is TypeError:
                refusal = unroutable(error, message)
                if refusal is not error:
                    raise refusal from None
            if has_begun:
                # Its end runs on a worker: never on the stack of whoever asked.
                self.asked_exit = crashed(error)
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
            self.baton[:] = BATON
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
            raise self.killed_error()
        return result if waits else completed(result)

    def _hand_on(
        self, result: Any, runner: Runner, timeout: float | None, context: contextvars.Context
    ) -> Future[Any]:
        """Begin what the handler left unfinished; return the future of its answer."""
        future = self.future_in_hand(timeout)
        if result is not LATER:
            if self.is_dead:
                raise KillSignal
            self.runner = runner
            self._suspended(result, future, context)
        return future
