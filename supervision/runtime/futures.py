"""A reply that is there now or later: pykka's future, awaitable, claimed once."""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import time
from _thread import allocate_lock
from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

import msgspec

from callboard.supervision.model.events import LOGGER
from callboard.supervision.model.reasons import Crashed
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.current import Handler, Runner, local
from callboard.supervision.runtime.errors import AskCycle, Timeout
from callboard.supervision.runtime.replies import replies_of
from callboard.supervision.runtime.seam import PykkaFuture

if TYPE_CHECKING:
    from callboard.supervision.runtime.system import ActorSystem

T = TypeVar("T")

ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_UNSET: Any = object()


_logger = logging.getLogger(LOGGER)
"""Where a callback that raised is told that no system knows of."""


class CallbackFailed(msgspec.Struct, frozen=True):
    """What was to be called when a reply is there raised an exception.

    Args:
        name: of whoever was to reply, if there is one.
        reason: what it raised.
    """

    name: str | None
    reason: Crashed


class Owner(Protocol):
    """Who is expected to give the reply."""

    def timeout_error(self, future: Future[Any], /) -> Exception:
        """Return what an asker gets whose time ran out."""
        ...


class Asker(Protocol):
    """Who waits."""

    is_dead: bool


class Blocker(Protocol):
    """How to wait where no actor runs: on the thread, or by driving a simulation."""

    def now_s(self) -> float:
        """Return the time that deadlines are measured in."""
        ...

    def block(self, future: Future[Any], until_s: float | None, /) -> None:
        """Return when the future is done or the time has come."""
        ...

    def awaited_in(self, loop: asyncio.AbstractEventLoop, future: Future[Any], /) -> None:
        """Learn that a task on this loop awaits the future. A simulation goes on meanwhile."""
        ...


class _Threads:
    """Waiting on a plain thread."""

    now_s = staticmethod(time.monotonic)

    @staticmethod
    def block(future: Future[Any], until_s: float | None) -> None:
        wait_on_thread(future, until_s)

    @staticmethod
    def awaited_in(loop: asyncio.AbstractEventLoop, future: Future[Any]) -> None:
        """Do nothing: other threads run on."""


THREADS = _Threads()


class Future(PykkaFuture[T]):
    """A reply, set once by whoever comes first; every later one is dropped.

    Waiting blocks the calling thread, or the awaiting task alone. Safe from any
    thread. The protocol between setter and waiter, of which the two steps of
    each must not be swapped:

        setter: (1) mark done   (2) pop and wake every waiter
        waiter: (1) append its waker   (2) look whether it is done

    Args:
        owner: who will reply; asked for the error when the deadline passes.
        deadline_s: when the asker gives up, in the blocker's seconds.
        blocker: how to wait, and the clock.
    """

    __slots__ = (
        "_claim",
        "_done",
        "_exc_info",
        "_value",
        "_waiters",
        "blocker",
        "deadline_s",
        "owner",
    )

    _get_hook: Any = None

    def __init__(
        self,
        owner: Owner | None = None,
        deadline_s: float | None = None,
        blocker: Blocker = THREADS,
    ) -> None:
        # pykka's __init__ would only fill the instance dict that the slots save.
        self._claim = allocate_lock()
        self._done = False
        self._value: Any = None
        self._exc_info: ExcInfo | None = None
        self._waiters: list[Callable[[], object]] = []
        self.owner = owner
        self.deadline_s = deadline_s
        self.blocker = blocker

    # -- giving the reply -------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether there is a result, given up included."""
        return self._done

    @property
    def error(self) -> BaseException | None:
        """The exception it ended with, if it did."""
        return None if self._exc_info is None else self._exc_info[1]

    def offer(self, value: Any) -> bool:
        """Set the value unless somebody was first; say whether it was taken."""
        if not self._claim.acquire(False):
            return False
        self._value = value
        self._done = True
        if self._waiters:
            self.rouse()
        return True

    def offer_exception(self, error: BaseException) -> bool:
        """Set the exception unless somebody was first; say whether it was taken."""
        if not self._claim.acquire(False):
            return False
        self._exc_info = (type(error), error, error.__traceback__)
        self._finish()
        return True

    def _finish(self) -> None:
        self._done = True
        if self._waiters:
            self.rouse()

    def rouse(self) -> None:
        """Wake the waiters, with a result or without: they look again at what concerns them.

        Those of now, for one that goes on waiting adds its waker again. What one of them raises
        hurts neither the others nor whoever replies: it is an event, and counted. A kill passes.
        """
        waiters = self._waiters
        for _ in range(len(waiters)):
            try:
                wake = waiters.pop(0)
            except IndexError:  # a waiter that left took its own waker with it
                return
            try:
                wake()
            except Exception as error:  # noqa: BLE001 -- named edge: an asker's code, in who replies
                self._tell_of(error)

    def _tell_of(self, error: Exception) -> None:
        """Say that a callback raised, by the system of who replies or of who runs here."""
        system: ActorSystem | None = getattr(self.owner, "system", None)
        runner = local.runner
        if system is None and runner is not None and runner.cell is not None:
            system = runner.cell.system
        name: str | None = getattr(self.owner, "name", None)
        failed = CallbackFailed(name, crashed(error))
        if system is None:
            _logger.error("callback.failed reason=%s", failed.reason, exc_info=error)
        else:
            system.count("failed_callbacks")
            system.emit(failed)

    def set(self, value: T | None = None) -> None:
        """Set the value.

        Raises:
            queue.Full: the future has a result or a get hook already, as in pykka.
        """
        if self._get_hook is not None or not self.offer(value):
            raise queue.Full

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Set an exception; without an argument the one being handled.

        Raises:
            queue.Full: the future has a result or a get hook already, as in pykka.
        """
        kind, error, trace = exc_info or sys.exc_info()
        if self._get_hook is not None or kind is None or not self._claim.acquire(False):
            raise queue.Full
        self._exc_info = (kind, error, trace)
        self._finish()

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Compute the value in `get`, on the thread of whoever asks first.

        Raises:
            queue.Full: the future has a result already, as in pykka.
        """
        if self._claim.locked():
            raise queue.Full
        self._get_hook = func

    # -- waiting for it ---------------------------------------------------

    def add_waiter(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called once, when the result is there or one who waits was killed.

        Returns:
            False if the result is there already. Never both: who set it just now has the waker,
            or it is taken back here.
        """
        self._waiters.append(wake)
        return not self._done or not self.remove_waiter(wake)

    def when_done(self, act: Callable[[], object]) -> None:
        """Call `act()` once when the result is there, from whoever sets it; at once if it is.

        So it must be short. What it raises there is an event of the system and a line of its log
        (`callback.failed`), counted in `counts["failed_callbacks"]`, and hurts nobody else.
        """

        def look() -> None:
            if self._done:
                act()
            else:  # one who waits was killed
                self.when_done(act)

        if not self.add_waiter(look):
            act()

    def remove_waiter(self, wake: Callable[[], object]) -> bool:
        """Take a waker back; say whether it was still there, and will not be called."""
        if not self._waiters:
            return False
        try:
            self._waiters.remove(wake)
        except ValueError:
            return False
        return True

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the result and return it, or raise the exception that was set.

        Args:
            timeout: seconds to wait at most; None waits until the ask's own deadline.

        Raises:
            Timeout: the time ran out.
            AskCycle: whoever should reply waits for this actor.
        """
        if not self._done:
            if self._get_hook is not None:
                self._run_hook(timeout)
            else:
                self._wait(timeout)
        return self._result()

    def answer(self, *, timeout: float | None = None) -> T:
        """Get the result as the only one who waits for it: who gives up, gives up for all.

        An ask that was refused (a cycle, no worker left), interrupted or timed
        out is settled so, and its message is dropped if its turn has not come.

        Args:
            timeout: as for `get`.
        """
        try:
            return self.get(timeout=timeout)
        except BaseException as error:  # a kill too: nobody waits any more; it goes on
            self.offer_exception(error)
            raise

    def _result(self) -> T:
        if self._exc_info is None:
            return cast("T", self._value)
        kind, error, trace = self._exc_info
        assert kind is not None
        # The stored traceback each time: raising adds frames to the one on the exception.
        raise (kind() if error is None else error).with_traceback(trace)

    def _wait(self, timeout: float | None) -> None:
        runner = local.runner
        cell = None if runner is None else runner.cell
        # An actor waits in its own system's time, whoever made the future.
        blocker = self.blocker if cell is None else cell.system.dispatcher
        until_s = self.deadline_s
        if timeout is not None and timeout != float("inf"):
            mine_s = blocker.now_s() + timeout
            until_s = mine_s if until_s is None else min(mine_s, until_s)
        block = blocker.block if runner is None or cell is None else runner.block
        block(self, until_s)
        if not self._done and self.deadline_s is not None and until_s == self.deadline_s:
            self.give_up()
            if not self._done:  # somebody else has claimed it, and is about to set it
                block(self, blocker.now_s() + _CLAIMED_S)
        if self._done:
            return
        msg = f"no answer within {timeout} seconds"
        raise Timeout(msg)

    def give_up(self) -> None:
        """End the wait for good: the late reply is dropped, the message not handled any more."""
        error = (
            Timeout("no answer before the deadline")
            if self.owner is None
            else self.owner.timeout_error(self)
        )
        self.offer_exception(error)

    def _run_hook(self, timeout: float | None) -> None:
        """Run the hook once; a second getter waits for its turn, but no longer than it likes."""
        now_s = self.blocker.now_s
        until_s = None if timeout is None else now_s() + timeout
        while not self._done:
            mine: Future[None] = Future(blocker=self.blocker)
            turn = cast("Future[None]", self.__dict__.setdefault("_turn_taken", mine))
            left_s = None if until_s is None else max(0.0, until_s - now_s())
            if turn is not mine:
                turn.get(timeout=left_s)
                continue
            try:
                assert self._get_hook is not None
                self.offer(self._get_hook(left_s))
            finally:
                del self.__dict__["_turn_taken"]
                mine.offer(None)

    # -- awaiting it ------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:
        """Wait without blocking the running loop; without one, as pykka does."""
        if not self._done:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                yield
                return self.get()
            if self._get_hook is not None:
                return (yield from loop.run_in_executor(None, self.get).__await__())
            while not self._done:  # a kill of one who waits rouses all who wait
                yield from self._wait_in(loop)
        return self._result()

    __iter__ = __await__

    def _wait_in(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, None, None]:
        replies = replies_of(loop)
        waiting: asyncio.Future[None] = loop.create_future()
        wake = partial(replies.wake, waiting)
        if not self.add_waiter(wake):
            return
        runner = local.runner
        handler = group = None
        try:
            if runner is not None:
                handler = self._awaited_by(runner)
            if self.deadline_s is not None and (
                handler is None or not handler.ends_by(self.deadline_s)
            ):
                left_s = max(0.0, self.deadline_s - self.blocker.now_s())
                group = replies.watch(waiting, self, left_s)
            self.blocker.awaited_in(loop, self)
            yield from waiting
        finally:
            if handler is not None:
                handler.awaits(None)
            if group is not None:
                group.members.pop(waiting, None)
            self.remove_waiter(wake)

    def _awaited_by(self, runner: Runner) -> Handler | None:
        try:
            return runner.begins_to_await(self)
        except AskCycle as error:
            if len(self._waiters) == 1:  # as for `answer`: who waits alone gives up for all
                self.offer_exception(error)
            raise

    # -- combining, with one deadline for all -----------------------------

    def join(self, *futures: PykkaFuture[Any]) -> Future[Iterable[Any]]:
        """Return a future of the list of all results; a timeout bounds them together."""
        joined: Future[Iterable[Any]] = Future(blocker=self.blocker)
        joined.set_get_hook(lambda timeout: get_all([self, *futures], timeout=timeout))
        return joined


class PortFuture(Future[T]):
    """What a port owes an actor, not another actor: a store, say.

    It may be waited for wherever the actor runs, by hand-off too: its asker waits with it.
    """

    __slots__ = ()


def completed(value: T) -> Future[T]:
    """Return a future that has its value already."""
    future: Future[T] = Future()
    future.offer(value)
    return future


def get_all(futures: Iterable[PykkaFuture[T]], *, timeout: float | None = None) -> list[T]:
    """Return all results, waiting `timeout` seconds for all of them together.

    pykka's function of this name gives each future the whole timeout.

    Raises:
        Timeout: not all results came in time.
    """
    if timeout is None:
        return [each.get() for each in futures]
    results: list[T] = []
    until_s: float | None = None
    for each in futures:
        now_s = each.blocker.now_s if isinstance(each, Future) else time.monotonic
        until_s = now_s() + timeout if until_s is None else until_s
        results.append(each.get(timeout=max(0.0, until_s - now_s())))
    return results


def wait_on_thread(
    future: Future[Any], until_s: float | None, *, asker: Asker | None = None
) -> None:
    """Block this thread until the future is done or `time.monotonic()` passes `until_s`.

    Args:
        future: what to wait for.
        until_s: when to give up, or None.
        asker: the actor that waits; when it is killed `rouse` ends its wait early.
    """
    waiter = allocate_lock()
    waiter.acquire()
    while future.add_waiter(waiter.release):
        # After the waker was added: a killer makes the asker dead first, then rouses.
        if asker is not None and asker.is_dead:
            future.remove_waiter(waiter.release)
            return
        left_s = _LONGEST_WAIT_S if until_s is None else until_s - time.monotonic()
        if left_s <= 0 or not waiter.acquire(timeout=min(left_s, _LONGEST_WAIT_S)):
            future.remove_waiter(waiter.release)
            if until_s is not None and until_s <= time.monotonic():
                return
        elif asker is not None or future.is_done:
            return


_CLAIMED_S = 1.0
"""How long a reply may take to be there once it is claimed: two statements of another thread."""

_LONGEST_WAIT_S = 3600.0
"""One wait on a lock; longer ones are waited in turns (the C API has a bound)."""
