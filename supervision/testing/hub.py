"""One thread, one clock, and a seed that says what runs next."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar, cast

from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import Unwound, set_async_exception
from callboard.supervision.runtime.loop import BlockingOnLoop
from callboard.supervision.runtime.timers import Timer, never_comes
from callboard.supervision.testing.chance import Seeded
from callboard.supervision.testing.errors import (
    Deadlock,
    Livelock,
    OutsideOfSimulation,
    SimulationClosed,
    SimulationError,
)
from callboard.supervision.testing.explore import Exploration, Ready
from callboard.supervision.testing.fibres import Fibre, OutsideRunner
from callboard.supervision.testing.trace import Trace
from callboard.supervision.testing.watchdog import WATCHDOG, cpu_clock, read

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.testing.errors import EndlessStep
    from callboard.supervision.testing.fibres import Greenlet
    from callboard.supervision.testing.loop import SimulatedLoop

T = TypeVar("T")

_LATEST_STEPS = 100
"""Trace entries of which a report of a livelock names the actors."""

_REFUSALS_MAX = 100
"""How often an activation that is being unwound may try to wait before it is left where it is."""

_SPARE_FIBRES_MAX = 64
"""Finished greenlets that are kept from one simulation to the next."""


class _Entry(NamedTuple):
    """A timer in the heap; equal times go off in the order in which they were set."""

    due_s: float
    order: int
    timer: Timer
    name: str
    is_of_the_hub: bool
    """Whether it only wakes somebody, which needs no fibre."""


class Hub:
    """The scheduler of a simulation: picks one ready thing, runs it, picks again.

    A step is one message of one actor, the rest of an activation that was
    suspended, one callback of an event loop, or one timer. Whoever drives it (a
    call from the test's own code that waits, or `run`) gets the failures.

    Args:
        seed: decides everything that chance decides.
        exploration: how the decisions are made.
        horizon_s: how early a timer may go off before ready work.
        steps_max: steps in one drive that are called a livelock.
        step_max_s: seconds of the processor that one step may take.
    """

    def __init__(
        self,
        seed: int,
        exploration: Exploration,
        *,
        horizon_s: float,
        steps_max: int,
        step_max_s: float,
    ) -> None:
        self.seed = seed
        self.chance = Seeded(seed)
        self.order = exploration.begin(lambda purpose: self.chance.stream(f"explore/{purpose}"))
        self.trace = Trace()
        self.steps = 0
        self.time_s = 0.0
        self.ready: list[Ready] = []
        self.current: Fibre | None = None
        """The fibre that runs now; None while the test's own code does."""
        self.is_closed = False
        self.is_broken = False
        """Whether a failure was raised: nothing runs any more, so that no other hides it."""
        self.under_way: dict[Fibre, None] = {}
        self.home: Greenlet = cast("Greenlet", None)
        """Who switched to the current fibre, and where it switches back to."""
        self._horizon_s = horizon_s
        self._steps_max = steps_max
        self.thread = threading.get_ident()
        self.step_max_s = step_max_s
        self.hand_offs = 0
        """Hand-offs so far that were not made within another one."""
        self.endless: Callable[[], EndlessStep] | None = None
        self._cpu_clock = cpu_clock()
        self._spare: list[Fibre] = []
        self._spare.append(self._take_fibre())  # so that a missing greenlet is said at once
        self._heap: list[_Entry] = []
        self._timer_order = count()
        self._timer_fibre: Fibre | None = None
        self._names: dict[str, int] = {}
        self._outside: OutsideRunner | None = None
        self._runner_before: Runner | None = None
        self._refusals = 0
        self._at_close: list[Callable[[], object]] = []
        if step_max_s != math.inf:
            WATCHDOG.watch(self)

    # -- who is who --------------------------------------------------------

    def name_for(self, wanted: str) -> str:
        """Return `wanted`, numbered if somebody had it before."""
        number = self._names.get(wanted, 0) + 1
        self._names[wanted] = number
        return wanted if number == 1 else f"{wanted}~{number}"

    def outside(self) -> Runner:
        """Return the record of the test's own code, for what it runs by hand-off."""
        if self._outside is None:
            self._outside = OutsideRunner()
            self._runner_before = local.runner
        local.runner = self._outside
        return self._outside

    # -- what the watchdog asks, from its thread ---------------------------

    def cpu_s(self) -> float:
        """Return the seconds of the processor that this simulation's thread has used."""
        return read(self._cpu_clock)

    def at_work(self) -> object:
        """Return a value that is another one for each step; None while nothing is under way."""
        if self.current is not None:
            return (self.steps, None)
        outside = self._outside
        if outside is None or not outside.depth:
            return None
        return (self.steps, self.hand_offs)

    def found(self, endless: Callable[[], EndlessStep], /) -> None:
        """Learn of a step that does not end. Whoever drives raises it, if somebody does."""
        self.endless = endless
        self.is_broken = self.is_broken or self.current is None

    def who_runs(self) -> tuple[str, object, bool]:
        """Return a name, the message in hand or None, and whether it runs by hand-off."""
        fibre = self.current
        runner = self._outside if fibre is None else fibre.runner
        loop: Any = None if fibre is None else fibre.loop
        cell = None if runner is None else runner.cell if loop is None else loop.acting
        if cell is None:
            return ("?" if fibre is None else fibre.name), None, False
        return cell.name, cell.handling, runner is not None and runner.depth > 0

    # -- getting ready -----------------------------------------------------

    def enqueue(self, name: str, cell: Cell[Any]) -> None:
        """Put a cell in line."""
        if not self.is_closed:
            self.ready.append(Ready(name, "run", cell.activate))

    def enqueue_loop(self, loop: SimulatedLoop) -> None:
        """Put an event loop in line, for one callback."""
        if not self.is_closed:
            self.ready.append(Ready(loop.name, "loop", loop))

    def resume(self, fibre: Fibre) -> None:
        """Put a suspended activation in line."""
        self.ready.append(Ready(fibre.name, "resume", fibre))

    def spawn(self, name: str, function: Callable[[], T]) -> Future[T]:
        """Run `function` as an activation of its own, which is no actor."""
        future: Future[T] = Future(blocker=self)
        context = contextvars.copy_context()
        self.ready.append(
            Ready(self.name_for(name), "client", (partial(_run_client, function, future), context))
        )
        return future

    async def as_client(
        self, function: Callable[[], Coroutine[Any, Any, T]], future: Future[T]
    ) -> None:
        """Run a coroutine function whose failure is the simulation's."""
        try:
            result = await function()
        except BaseException as error:
            future.offer_exception(error)
            if self.current is not None and not isinstance(error, asyncio.CancelledError):
                self.current.failure = error
            raise
        future.offer(result)

    def call_at(
        self,
        due_s: float,
        act: Callable[..., object],
        *args: object,
        is_of_the_hub: bool = False,
        name: str | None = None,
    ) -> Timer:
        """Call `act(*args)` when time has come to `due_s`."""
        timer = Timer(due_s, act, args)
        if self.is_closed:
            timer.cancel()
            return timer
        if never_comes(due_s):
            return timer
        name = act_name(act) if name is None else name
        order = next(self._timer_order)
        heapq.heappush(self._heap, _Entry(due_s, order, timer, name, is_of_the_hub))
        return timer

    # -- one step ----------------------------------------------------------

    def step(self, limit_s: float | None) -> bool:
        """Run one thing; say whether there was one.

        Args:
            limit_s: how far time may go; None: to the next timer.
        """
        ready = self.ready
        entry = self._next_timer(limit_s)
        if not ready:
            if entry is None:
                return False
            self._fire()
            return True
        is_due = entry is not None and entry.due_s <= self.time_s
        if (
            entry is not None
            and not is_due
            and entry.due_s - self.time_s <= self._horizon_s
            and self.order.is_early()
        ):
            self._fire()
            return True
        index = self.order.pick(ready, int(is_due))
        if index == len(ready):
            self._fire()
            return True
        name, kind, thing = ready.pop(index)
        self.trace.note((kind, name))
        if kind == "resume":
            self._switch(thing)
            return True
        fibre = self._take_fibre()
        if kind == "run":
            fibre.begin(name, thing)
        elif kind == "loop":
            fibre.begin(name, thing.run_one, runner=thing.runner, loop=thing)
        else:
            work, context = thing
            fibre.begin(name, work, context=context)
        self.under_way[fibre] = None
        self._switch(fibre)
        return True

    def _next_timer(self, limit_s: float | None) -> _Entry | None:
        heap = self._heap
        while heap and not heap[0].timer.is_pending:
            heapq.heappop(heap)
        if not heap or self._timer_fibre is not None:
            return None  # like a timer thread: the next one waits until this one is over
        entry = heap[0]
        return None if limit_s is not None and entry.due_s > limit_s else entry

    def _fire(self) -> None:
        entry = heapq.heappop(self._heap)
        if entry.due_s > self.time_s:
            self.time_s = entry.due_s
            self.trace.note(("time", entry.due_s))
        timer = entry.timer
        if entry.is_of_the_hub:
            timer.fire()
            return
        self.trace.note(("timer", entry.name))
        fibre = self._take_fibre()
        fibre.begin(entry.name, lambda _runner: timer.fire())
        self._timer_fibre = fibre
        self.under_way[fibre] = None
        self._switch(fibre)

    def _switch(self, fibre: Fibre, throw: BaseException | None = None) -> None:
        outer_runner, outer_home, outer = local.runner, self.home, self.current
        self.home = fibre.home()
        self.current = fibre
        local.runner = fibre.runner
        if fibre.loop is not None:
            _set_running_loop(fibre.loop)
        try:
            if throw is None:
                fibre.switch()
            else:
                fibre.throw(throw)
        finally:
            if fibre.loop is not None:
                _set_running_loop(None)
            local.runner, self.home, self.current = outer_runner, outer_home, outer
        if fibre.is_over:
            self._has_left(fibre)

    def _has_left(self, fibre: Fibre) -> None:
        del self.under_way[fibre]
        if self._timer_fibre is fibre:
            self._timer_fibre = None
        failure, fibre.failure = fibre.failure, None
        self._spare.append(fibre)
        if failure is not None and not isinstance(failure, Unwound):
            raise failure

    def _take_fibre(self) -> Fibre:
        if self._spare:
            return self._spare.pop()
        fibre = _kept.fibres.pop() if _kept.fibres else Fibre()
        fibre.hub = self
        return fibre

    # -- being suspended ---------------------------------------------------

    def now_s(self) -> float:
        """Return the simulated time."""
        return self.time_s

    def block(self, future: Future[Any], until_s: float | None) -> None:
        """Wait where no actor runs: suspend a client, or drive on behalf of the test's own code."""
        fibre = self.current
        if fibre is None:
            self._drive_for(future, until_s)
            return
        while not (future.is_done or (until_s is not None and self.time_s >= until_s)):
            self.suspend(fibre, future, until_s)

    def suspend(self, fibre: Fibre, future: Future[Any], until_s: float | None) -> None:
        """Let others run until `future` is done or roused, or time has come to `until_s`."""
        if self.is_closed or fibre.is_doomed:
            self._refuse()
        if fibre.loop is not None:
            msg = "a blocking wait was made on the event loop"
            raise BlockingOnLoop(msg)
        if fibre is self._timer_fibre:
            msg = f"{fibre.name} was called by a timer and waits: no other timer could go off"
            raise SimulationError(msg)
        fibre.is_waiting = True
        if not future.add_waiter(fibre.wake):
            fibre.is_waiting = False
            return
        timer = None
        if until_s is not None:
            timer = self.call_at(until_s, fibre.wake, is_of_the_hub=True)
        fibre.waits_for = future
        self.trace.note(("wait", fibre.name))
        try:
            self.home.switch()
        finally:
            fibre.is_waiting = False
            fibre.waits_for = None
            future.remove_waiter(fibre.wake)
            if timer is not None:
                timer.cancel()

    def point(self, name: str) -> None:
        """Let others come in here, if the seed says so."""
        if self.is_closed or self.is_broken or not self.order.preempts(name):
            return
        fibre = self.current
        if fibre is None:
            self.trace.note(("point", name, "the test"))
            turns = count()
            self.drive(lambda: next(turns) > 0 and not self.order.preempts(name), self.time_s)
        elif not fibre.is_doomed:
            self.trace.note(("point", name, fibre.name))
            self.resume(fibre)
            self.home.switch()

    def _refuse(self) -> None:
        self._refusals += 1
        while self._refusals > _REFUSALS_MAX:
            # It catches what ends it, again and again: it stays here for ever.
            self.home.switch()
        raise Unwound

    # -- driving -----------------------------------------------------------

    def drive(self, is_enough: Callable[[], bool], limit_s: float | None = None) -> bool:
        """Run until `is_enough()`; return False if there was nothing left to run before.

        Args:
            is_enough: looked at before every step.
            limit_s: how far time may go; None: to the next timer, and the next.

        Raises:
            Livelock: too many steps.
        """
        if self.current is not None:
            msg = "what runs inside a simulation cannot drive it"
            raise SimulationError(msg)
        if self.thread != threading.get_ident():
            msg = "a simulation belongs to the thread that made it"
            raise OutsideOfSimulation(msg)
        outer_loop = _get_running_loop()
        _set_running_loop(None)
        left = self._steps_max
        try:
            while not is_enough():
                is_idle = not self.step(limit_s)
                if self.endless is not None:
                    self._say_endless(self.endless)
                if is_idle:
                    return False
                self.steps += 1
                left -= 1
                if not left:
                    self._say_livelock()
        except BaseException as error:
            self.fails(error)
            raise
        finally:
            if self.endless is not None:
                set_async_exception(self.thread, None)  # it may have been struck twice
            _set_running_loop(outer_loop)
        return True

    def _drive_for(self, future: Future[Any], until_s: float | None) -> None:
        if self.is_broken or self.is_closed:
            return  # the first failure is what counts; a stop that follows it must not hang

        def is_enough() -> bool:
            return future.is_done or (until_s is not None and self.time_s >= until_s)

        timer = None
        if until_s is not None:
            timer = self.call_at(until_s, _nothing, is_of_the_hub=True)
        try:
            if not self.drive(is_enough):
                self.say_deadlock(f"the test waits for {_owner_of(future)}")
        finally:
            if timer is not None:
                timer.cancel()

    def awaited_in(self, loop: asyncio.AbstractEventLoop, future: Future[Any]) -> None:
        """Go on, a step a turn, while a task on the test's own event loop awaits the future."""
        if self.current is None and not (self.is_broken or self.is_closed):
            loop.call_soon(self._go_on_for, loop, future)

    def _go_on_for(self, loop: asyncio.AbstractEventLoop, future: Future[Any]) -> None:
        if future.is_done or self.is_broken or self.is_closed:
            return
        if future.deadline_s is not None and self.time_s >= future.deadline_s:
            future.give_up()
            return
        turns = count()
        try:
            if not self.drive(lambda: next(turns) > 0, future.deadline_s):
                if future.deadline_s is None:
                    self.say_deadlock(f"a task awaits {_owner_of(future)}")
                self.move_time_to(future.deadline_s)
        except BaseException as error:
            future.offer_exception(error)
            raise
        loop.call_soon(self._go_on_for, loop, future)

    def move_time_to(self, time_s: float) -> None:
        """Let time pass where nothing happens in it."""
        if time_s > self.time_s:
            self.time_s = time_s
            self.trace.note(("time", time_s))

    def is_quiet(self) -> bool:
        """Whether nobody is under way, and only timers are left that come again and again."""
        return (
            not self.ready
            and not self.under_way
            and all(not each.timer.is_pending or each.timer.is_recurring for each in self._heap)
        )

    # -- failing -----------------------------------------------------------

    def check_open(self) -> None:
        """Raise if nothing can run any more.

        Raises:
            SimulationClosed: it was closed or failed.
        """
        if self.is_closed or self.is_broken:
            msg = "the simulation has been closed" if self.is_closed else "the simulation failed"
            raise SimulationClosed(msg)

    def fails(self, error: BaseException) -> None:
        """Let nothing run any more; say on the error where it was."""
        if not self.is_broken:
            self.is_broken = True
            error.add_note(
                f"simulation: seed {self.seed}, trace entry {len(self.trace)},"
                f" t={self.time_s:.6g} s, digest {self.trace.digest}"
            )

    def say_deadlock(self, why: str) -> NoReturn:
        """Raise, with the names of all who wait.

        Raises:
            Deadlock: always.
        """
        waiting = [each for each in self.under_way if each.is_waiting]
        lines = [f"{each.name} waits for {_owner_of(each.waits_for)}" for each in waiting]
        error = Deadlock(
            "; ".join(["nothing is ready and no timer is pending", why, *lines]),
            waiting=tuple(each.name for each in waiting),
        )
        self.fails(error)
        raise error

    def _say_livelock(self) -> None:
        names = Counter(str(entry[1]) for entry in self.trace.entries[-_LATEST_STEPS:])
        busiest = ", ".join(f"{name} ({times})" for name, times in names.most_common(10))
        msg = f"{self._steps_max} steps and no end; in the last {_LATEST_STEPS}: {busiest}"
        raise Livelock(msg, steps_max=self._steps_max)

    def _say_endless(self, make: Callable[[], EndlessStep]) -> NoReturn:
        raise make()

    # -- ending ------------------------------------------------------------

    def unwind(self, fibres: list[Fibre]) -> None:
        """Raise a private exception where these activations are suspended, so that they end."""
        for fibre in fibres:
            fibre.is_doomed = True
            fibre.is_waiting = False
            self.ready = [each for each in self.ready if each.thing is not fibre]
            try:
                self._switch(fibre, throw=Unwound())
            except BaseException as error:  # noqa: BLE001 -- its world has ended: nobody is left to tell
                self.trace.note(("unwound", fibre.name, type(error).__name__))
            self.under_way.pop(fibre, None)

    def when_closed(self, act: Callable[[], object]) -> None:
        """Have `act()` called when the simulation is closed."""
        self._at_close.append(act)

    def close(self) -> None:
        """End everything that is suspended; nothing runs any more. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            self._close()
        finally:
            WATCHDOG.forget(self)

    def _close(self) -> None:
        self.ready.clear()
        self._heap.clear()
        self.unwind(list(self.under_way))
        for act in self._at_close:
            act()
        self.ready.clear()
        if self._outside is not None and local.runner is self._outside:
            local.runner = self._runner_before
        for fibre in self._spare:
            fibre.rest()
            if len(_kept.fibres) < _SPARE_FIBRES_MAX:
                _kept.fibres.append(fibre)
            else:
                fibre.end()
        self._spare.clear()


_get_running_loop = asyncio._get_running_loop  # noqa: SLF001 -- what asyncio offers to loops
_set_running_loop = asyncio._set_running_loop  # noqa: SLF001 -- the same


def act_name(act: Callable[..., object]) -> str:
    """Return what to call a timer that calls this; the same in every run."""
    return getattr(act, "__qualname__", type(act).__name__)


def _nothing() -> None:
    """Do nothing: time has come so far, that is all."""


def _run_client(function: Callable[[], T], future: Future[T], _runner: Runner) -> None:
    try:
        result = function()
    except BaseException as error:
        future.offer_exception(error)
        raise
    future.offer(result)


def _owner_of(future: Future[Any] | None) -> str:
    owner = None if future is None else future.owner
    return getattr(owner, "name", "an answer that nobody in particular owes")


class _Spare(threading.local):
    """Finished greenlets of this thread, for its next simulation."""

    def __init__(self) -> None:
        self.fibres: list[Fibre] = []


_kept = _Spare()
