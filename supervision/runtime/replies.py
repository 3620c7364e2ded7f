"""How an event loop waits for replies: woken once for many, with one timer for many deadlines."""

from __future__ import annotations

import asyncio
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

from callboard.supervision.runtime.current import local

if TYPE_CHECKING:
    from callboard.supervision.runtime.futures import Future

_SPAN_S = 0.01
"""Deadlines within this time share a timer; each is met to the moment all the same."""

_SWEPT_FROM = 64
"""Groups from which on those in which nobody waits are swept out, at each doubling."""


Due: TypeAlias = "tuple[float, Future[Any]]"
"""Until when somebody waits, in the loop's seconds, and for what."""


class Group:
    """Those whose deadlines lie close together.

    Args:
        timer: goes off when the loop looks at them next; never after the first deadline.
    """

    __slots__ = ("members", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.timer = timer
        self.members: dict[asyncio.Future[None], Due] = {}


class Replies:
    """The replies that one event loop waits for.

    A wake from another thread costs a system call, and a timer of asyncio's a
    heap that compares in Python: together most of what an awaited ask took.

    Args:
        loop: the loop; all but `wake` is called on its thread alone.
    """

    __slots__ = ("_groups", "_is_called", "_swept_at", "_woken", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._woken: SimpleQueue[asyncio.Future[None]] = SimpleQueue()
        self._is_called = False
        self._groups: dict[int, Group] = {}
        self._swept_at = _SWEPT_FROM

    # -- from any thread ---------------------------------------------------

    def wake(self, waiting: asyncio.Future[None]) -> None:
        """Have the loop go on with the task that waits here.

        Two pairs that must keep their order:

            waker: (1) put   (2) called already? else call
            loop:  (1) `_is_called = False`   (2) take all
        """
        self._woken.put(waiting)
        if self._is_called:
            return
        self._is_called = True
        try:
            self.loop.call_soon_threadsafe(self._go_on)
        except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
            return
        except BaseException:  # a host's signal: it goes on
            self._is_called = False  # interrupted: let the next one call
            raise

    # -- on the loop -------------------------------------------------------

    def _go_on(self) -> None:
        self._is_called = False
        while self._woken.qsize():
            try:
                waiting = self._woken.get_nowait()
            except Empty:
                return
            if not waiting.done():
                waiting.set_result(None)

    def watch(self, waiting: asyncio.Future[None], future: Future[Any], left_s: float) -> Group:
        """In `left_s` seconds give the future up, and go on with who waits.

        Take `waiting` out of the group to call that off.
        """
        due_s = self.loop.time() + left_s
        number = int(due_s / _SPAN_S)
        group = self._groups.get(number)
        if group is None:
            if len(self._groups) >= self._swept_at:
                self._sweep()
            group = self._groups[number] = Group(self._look_at(due_s, number))
        elif due_s < group.timer.when():
            group.timer.cancel()
            group.timer = self._look_at(due_s, number)
        group.members[waiting] = (due_s, future)
        return group

    def _look_at(self, due_s: float, number: int) -> asyncio.TimerHandle:
        # Nobody's context: the caller's would keep its actor in memory until then, dead or not.
        return self.loop.call_at(due_s, self._look, number, due_s, context=Context())

    def _sweep(self) -> None:
        """Drop the groups in which nobody waits, so that they do not stay until their time comes.

        Not at once when the last one leaves: who asks one after the other uses the same timer.
        """
        groups = dict[int, Group]()
        for number, group in self._groups.items():
            if group.members:
                groups[number] = group
            else:
                group.timer.cancel()
        self._groups = groups
        self._swept_at = max(_SWEPT_FROM, 2 * len(groups))

    def _look(self, number: int, now_s: float) -> None:
        """Give up whose time has come; look again when the next one's has."""
        group = self._groups.get(number)
        if group is None:
            return
        now_s = max(now_s, self.loop.time())
        for waiting, (due_s, future) in list(group.members.items()):
            if due_s <= now_s:
                group.members.pop(waiting, None)
                future.give_up()
                if not waiting.done():
                    waiting.set_result(None)
        if group.members:
            first_s = min(due_s for due_s, _ in group.members.values())
            group.timer = self._look_at(first_s, number)
        else:
            self._groups.pop(number, None)


def replies_of(loop: asyncio.AbstractEventLoop) -> Replies:
    """Return what the loop of this thread waits for."""
    replies = local.replies
    if replies is None or replies.loop is not loop:
        replies = local.replies = Replies(loop)
    return replies
