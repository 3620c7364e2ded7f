"""A handler that has not finished: what it waits for, while its mailbox is held.

Two kinds share one contract. `Steps` drives a generator of a system actor, which
yields `Until` and so waits without a thread. `Task` runs a coroutine on the
system's event loop. Either way the cell is let go of, its messages wait in
order, signals are obeyed, and a kill ends it.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from callboard.supervision.runtime.current import Activation, active
from callboard.supervision.runtime.cycles import break_cycle
from callboard.supervision.runtime.replies import replies_of

if TYPE_CHECKING:
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.runtime.replies import Group
    from callboard.supervision.runtime.timers import Timer

    Then = Callable[[Any, BaseException | None], None]


class Later:
    """The type of `LATER`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "LATER"


LATER = Later()
"""Returned by a handler that called `reply_later`: the answer comes another time.

Source: Erlang, the `noreply` of `gen_server:handle_call/3`.
"""


def is_later(result: object, future: Future[Any] | None) -> bool:
    """Say whether what a handler returned answers nobody yet: `LATER`, or the reply itself."""
    return result is LATER or (future is not None and result is future)


class Until(msgspec.Struct, frozen=True):
    """Yielded by a generator of a system actor: go on when `condition()` holds.

    The generator is sent True then, or False when `timeout_s` seconds have
    passed. The condition is looked at again whenever anything reaches the cell.
    One with an attribute `awaited` that is not None says who alone may make it
    hold: news of other children then waits in the mailbox and wakes nobody.
    """

    condition: Callable[[], bool]
    timeout_s: float | None = None


class Deaths:
    """The condition that every one of these cells is dead and has told of it.

    Not that it is dead alone: nobody is to see what a supervisor does about an end before those
    who were promised to hear of it have. Each cell is looked at until it is so.

    Whoever is told of the deaths one by one need not look at all of them: only
    the `awaited` one's may make the condition hold. Begin with those that die
    last and there is hardly a look in vain. Two pairs that must keep their order:

        waiter: (1) `awaited = cell` (2) told already?    cell: (1) has told (2) awaited? tell

    One that waits itself for what comes only after its end is freed (`break_cycle`).

    Args:
        cells: those whose deaths are waited for, the last one first.
    """

    __slots__ = ("_left", "awaited")

    def __init__(self, cells: Iterable[EndingCell[Any]]) -> None:
        self._left = iter(cells)
        self.awaited: EndingCell[Any] | None = next(self._left, None)

    def __call__(self) -> bool:
        """Say whether all are dead and have told of it."""
        while self.awaited is not None and self.awaited.has_told:
            self.awaited = next(self._left, None)
        ending = self.awaited
        if ending is None:
            return True
        if ending.waiting is not None or ending.operation is not None:
            break_cycle(ending)
        return False


class Operation(ABC):
    """A handler under way.

    Args:
        cell: whose handler it is; its mailbox is held until the operation is over.
        then: called with the result or the exception, by a holder of the cell.
        future: the asker's, to be failed if the cell is killed meanwhile.
    """

    __slots__ = ("cell", "future", "looks", "then")

    def __init__(self, cell: EndingCell[Any], then: Then, future: Future[Any] | None) -> None:
        self.cell = cell
        self.then = then
        self.future = future
        self.looks: list[Callable[[], None]] | None = None
        """Who wants to look at the actor when this is over."""

    def look_later(self, look: Callable[[], None]) -> None:
        """Have `look` called between this message and the next. By a holder of the cell."""
        if self.looks is None:
            self.looks = []
        self.looks.append(look)

    @abstractmethod
    def begin(self) -> None:
        """Go as far as it goes."""

    @abstractmethod
    def is_over(self) -> bool:
        """Go on if there is something to go on with, and say whether it came to an end."""

    def has_missed(self, waiting: int) -> bool:
        """Say whether a message came since the condition was looked at, `waiting` being there."""
        del waiting
        return False

    def is_about(self, child: object) -> bool:
        """Say whether the end of this child may be what it waits for."""
        del child
        return True

    @property
    def awaited_end(self) -> EndingCell[Any] | None:
        """Whose end it waits for now, if anybody's; any thread."""
        return None

    def cancel(self) -> None:
        """Give up; the asker is told."""
        if self.future is not None:
            self.future.offer_exception(self.cell.killed_error())

    def _finish(self, result: Any, error: BaseException | None) -> None:
        self.cell.operation = None
        self.then(result, error)
        for look in self.looks or ():
            look()
        self.cell.obey_asked_exit()


class Steps(Operation):
    """A generator of a system actor, driven by what reaches the cell."""

    __slots__ = ("_due_s", "_seen", "_send", "_timer", "_until")

    def __init__(
        self,
        cell: EndingCell[Any],
        generator: Generator[Until, bool, Any],
        then: Then,
        future: Future[Any] | None,
    ) -> None:
        super().__init__(cell, then, future)
        self._send: Callable[[Any], Until] = generator.send
        self._until: Until | None = None
        self._due_s: float | None = None
        self._timer: Timer | None = None
        self._seen = 0

    def begin(self) -> None:
        self._go(None)

    def is_over(self) -> bool:
        until = self._until
        assert until is not None
        try:
            q = self.cell.items
            self._seen = 0 if q is None else q.qsize()
            holds = until.condition()
        except BaseException as error:  # noqa: BLE001 -- part of the cell, which alone catches all
            self._finish(None, error)
            return True
        if holds:
            self._go(answer=True)
        elif self._due_s is not None and self.cell.system.clock.now_s() >= self._due_s:
            self._go(answer=False)
        else:
            return False
        return self.cell.operation is not self

    def has_missed(self, waiting: int) -> bool:
        # The mailbox is held, so it only grows. What came while the cell was still busy found it
        # scheduled, and was not yet there when the condition was looked at.
        return waiting != self._seen

    def is_about(self, child: object) -> bool:
        until = self._until
        awaited: object = None if until is None else getattr(until.condition, "awaited", None)
        return awaited is None or awaited is child

    @property
    def awaited_end(self) -> EndingCell[Any] | None:
        until = self._until
        condition = None if until is None else until.condition
        return condition.awaited if isinstance(condition, Deaths) else None

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().cancel()

    def _go(self, answer: bool | None) -> None:  # noqa: FBT001 -- what the generator is sent
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        cell = self.cell
        while True:
            try:
                # Before the condition is looked at: whoever makes it hold just then asks this.
                until = self._until = self._send(answer)  # None begins it
                q = cell.items
                self._seen = 0 if q is None else q.qsize()
                holds = cell.is_dead or until.condition()
            except StopIteration as stop:
                self._finish(stop.value, None)
                return
            except BaseException as error:  # noqa: BLE001 -- part of the cell, which alone catches all
                self._finish(None, error)
                return
            if cell.is_dead:
                return
            if not holds:
                break
            answer = True
        self._due_s = None
        if until.timeout_s is not None:
            system = cell.system
            self._due_s = system.clock.now_s() + until.timeout_s
            self._timer = system.timers.call_at(self._due_s, cell.poke)


class Task(Operation):
    """A coroutine on the system's event loop; one message at a time all the same.

    When the deadline of the ask that it answers passes, it is cancelled. That is
    no crash: its actor goes on with the next message. It may catch the
    `asyncio.CancelledError`, clean up, and take as long for that as it needs.

    All but `begin`, `is_over`, `cancel` and `over` is called on the loop's thread.
    """

    __slots__ = (
        "_context",
        "_coroutine",
        "_group",
        "_is_cancelled",
        "_is_late",
        "_late",
        "_message",
        "_task",
    )

    def __init__(
        self,
        cell: EndingCell[Any],
        coroutine: Coroutine[Any, Any, Any],
        then: Then,
        future: Future[Any] | None,
        context: contextvars.Context,
    ) -> None:
        super().__init__(cell, then, future)
        self._coroutine = coroutine
        self._context = context
        self._message = cell.handling
        self._task: asyncio.Task[Any] | None = None
        self._group: Group | None = None
        self._late: asyncio.Future[None] | None = None
        self._is_cancelled = False
        self._is_late = False

    def begin(self) -> None:
        deadline_s = None if self.future is None else self.future.deadline_s
        self._context.run(active.set, Activation(self.cell, deadline_s))
        self.cell.system.loop.call(self._create)

    def is_over(self) -> bool:
        return False  # its end comes as a signal

    def cancel(self) -> None:
        super().cancel()
        self._is_cancelled = True
        self.cell.system.loop.call(self._cancel)

    def _create(self) -> None:
        if self._is_cancelled:
            self._never_began()
            self._coroutine.close()
            return
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._coroutine, context=self._context)
        self._task.add_done_callback(self._done)
        if self.future is not None and self.future.deadline_s is not None:
            left_s = max(0.0, self.future.deadline_s - self.cell.system.dispatcher.now_s())
            self._late = loop.create_future()
            self._late.add_done_callback(self._too_late)
            self._group = replies_of(loop).watch(self._late, self.future, left_s)

    def _too_late(self, _late: asyncio.Future[None]) -> None:
        assert self._task is not None
        self._is_late = True
        self._task.cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            if inspect.getcoroutinestate(self._coroutine) == inspect.CORO_CREATED:
                self._never_began()
            self._task.cancel()

    def _never_began(self) -> None:
        # Not a line of the handler ran: a message without an asker is a dead letter, as it
        # would be if its turn had not come.
        if self.future is None and self._message is not None:
            self.cell.undeliverable(self._message, None)

    def _done(self, task: asyncio.Task[Any]) -> None:
        error: BaseException | None = None
        result = None
        if self._group is not None and self._late is not None:
            self._group.members.pop(self._late, None)
            self._late = None  # it knows us: no circle is left for the collector
        if not task.cancelled():
            error = task.exception()
            result = None if error is not None else task.result()
        elif self._is_late:
            self.cell.system.count("cancelled_handlers")
        else:
            error = asyncio.CancelledError("the handler's task was cancelled")
        if (
            error is None
            and self.future is not None
            and not (self.cell.is_dead or is_later(result, self.future))
        ):
            # The reply needs no worker; the mailbox opens again when one has come by.
            self.future.offer(result)
        self.cell.end_operation(self, result, error)

    def is_running(self) -> bool:
        """Say whether it is the handler itself that runs now, not a task that it made."""
        return self._task is not None and self._task is asyncio.current_task()

    def awaits(self, future: Future[Any] | None, /) -> None:
        """Note for what the handler waits now, or that it waits no more."""
        self.cell.waiting = future

    def ends_by(self, deadline_s: float, /) -> bool:
        """Say whether it will be cancelled by then: what it awaits needs no deadline of its own.

        Of two timers for one moment either may be first, and a handler that
        gets a `Timeout` crashes where one that is cancelled does not.
        """
        if self._is_late or self.future is None or self.future.deadline_s is None:
            return False
        return self.future.deadline_s <= deadline_s

    def over(self, result: Any, error: BaseException | None) -> None:
        """Come to the end, by a holder of the cell."""
        if self.cell.operation is self:
            self._finish(result, error)
