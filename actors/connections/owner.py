"""Who opens a connection, waits for its end and closes it? One task on the loop, all its life.

    open -> tell Opened -> wait until it has ended, or is to be closed -> close -> kill -> over

The task is no part of its actor's life: whatever becomes of the actor, the task
comes to its end, within `CLOSE_S` of being told to.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from callboard.actors.link_messages import CLOSE_S
from callboard.supervision import ActorSystem, Future

C_co = TypeVar("C_co", bound="Connection", covariant=True)
C = TypeVar("C", bound="Connection")
T = TypeVar("T")


class Connection(Protocol):
    """What every connection can do; see `ports`."""

    async def ended(self) -> object:
        """Return why it has died, when it has."""
        ...

    async def close(self) -> None:
        """End it in order."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class Opened(msgspec.Struct, frozen=True):
    """The connection is there."""

    connection: Any


class NotOpened(msgspec.Struct, frozen=True):
    """It could not be opened."""

    error: BaseException


class Died(msgspec.Struct, frozen=True):
    """It has died. `why` is what `ended` returned, or the exception that it raised."""

    why: object


class Owner(Generic[C]):
    """Opens one connection and sees that it is closed. `begin` and `end` from any thread.

    Args:
        system: whose loop and clock it uses.
        open_: opens it; cancelled, it leaves nothing behind.
        tell: gets `Opened`, `NotOpened` or `Died`, on the loop.
    """

    def __init__(
        self,
        system: ActorSystem,
        open_: Callable[[], Awaitable[C]],
        tell: Callable[[object], object],
    ) -> None:
        self._system = system
        self._open = open_
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._connection: C | None = None
        self._is_closing = False
        self.over: Future[None] = Future(blocker=system.dispatcher)
        """Done when nothing of the connection is left, or nobody waits for that any more."""

    def begin(self) -> None:
        """Open it."""
        self._system.loop.call(self._begin)

    def end(self, *, kills: bool = False) -> None:
        """Close it, or kill it at once; what takes longer than `CLOSE_S` is killed."""
        self._system.loop.call(self._kill if kills else self._close)
        due_s = self._system.clock.now_s() + CLOSE_S
        timer = self._system.timers.call_at(due_s, self._system.loop.call, self._kill)
        self.over.when_done(timer.cancel)

    # -- on the loop -------------------------------------------------------

    def _begin(self) -> None:
        if self.over.is_done:
            return
        # Its own context: it outlives the message that was handled when it was made.
        context = contextvars.Context()
        self._task = asyncio.get_running_loop().create_task(self._run(), context=context)
        self._task.add_done_callback(self._done)

    def _close(self) -> None:
        if self._task is None:
            self.over.offer(None)
        elif not self._is_closing:
            self._is_closing = True
            self._task.cancel()

    def _kill(self) -> None:
        self._is_closing = True
        if self._connection is not None:
            self._connection.kill()
        if self._task is not None:
            self._task.cancel()
        self.over.offer(None)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # seen: a kill or a close that fails has no one to tell
        self.over.offer(None)

    async def _run(self) -> None:
        try:
            connection = self._connection = await self._open()
        except Exception as error:  # noqa: BLE001 -- named edge, a loop task: foreign code
            self._tell(NotOpened(error))
            return
        try:
            if not self._is_closing:
                await self._wait_for_the_end(connection)
            await connection.close()
        finally:
            connection.kill()  # after a clean close, too: processes of its own may be left

    async def _wait_for_the_end(self, connection: C) -> None:
        why: object
        try:
            self._tell(Opened(connection))
            why = await connection.ended()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._is_closing or task is None:
                raise
            task.uncancel()
            return
        except Exception as error:  # noqa: BLE001 -- named edge, a loop task: foreign code
            why = error
        self._tell(Died(why))


class Work(Generic[T]):
    """One coroutine on the loop, that an actor has run beside its mailbox.

    Args:
        system: whose loop it is.
        make: makes the coroutine, on the loop.
        over: gets the result or the exception, on the loop; not when it was cancelled.
    """

    def __init__(
        self,
        system: ActorSystem,
        make: Callable[[], Coroutine[Any, Any, T]],
        over: Callable[[T | None, BaseException | None], object],
    ) -> None:
        self._system = system
        self._make = make
        self._over = over
        self._task: asyncio.Task[T] | None = None
        self._is_cancelled = False
        system.loop.call(self._begin)

    def cancel(self) -> None:
        """Want it no more. Any thread."""
        self._is_cancelled = True
        self._system.loop.call(self._cancel)

    def _begin(self) -> None:
        if not self._is_cancelled:
            context = contextvars.Context()
            self._task = asyncio.get_running_loop().create_task(self._make(), context=context)
            self._task.add_done_callback(self._done)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not self._is_cancelled:
            self._over(None if error is not None else task.result(), error)
