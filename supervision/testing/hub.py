"""One thread, one clock, and a seed that says what runs next."""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
import threading
from collections.abc import Callable, Coroutine
from copy import copy
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import Unwound, take_back
from callboard.supervision.runtime.loop import BlockingOnLoop
from callboard.supervision.runtime.timers import Timer
from callboard.supervision.testing.chance import Seeded
from callboard.supervision.testing.clients import ClientRecord
from callboard.supervision.testing.errors import (
    LawBroken,
    OutsideOfSimulation,
    ProcessDied,
    SimulationClosed,
    SimulationError,
)
from callboard.supervision.testing.explore import Exploration, Ready
from callboard.supervision.testing.fibres import Fibre, OutsideRunner
from callboard.supervision.testing.findings import deadlock, livelock
from callboard.supervision.testing.lives import Lives
from callboard.supervision.testing.spares import Spares
from callboard.supervision.testing.spawned import Spawned
from callboard.supervision.testing.timeline import Due, Timeline, act_name
from callboard.supervision.testing.trace import TEST, Moment, Trace, at_point
from callboard.supervision.testing.waits import owner_of
from callboard.supervision.testing.watchdog import WATCHDOG, cpu_clock, read

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.testing.errors import EndlessStep
    from callboard.supervision.testing.fibres import Greenlet
    from callboard.supervision.testing.loop import SimulatedLoop

T = TypeVar("T")

_REFUSALS_MAX = 100
"""How often an activation that is being unwound may try to wait before it is left where it is."""


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
        self.order = exploration.begin(
            seed, lambda purpose: self.chance.stream(f"explore/{purpose}")
        )
        self.trace = Trace()
        self.steps = 0
        self.time_s = 0.0
        self.wall_skew_s = 0.0
        """By how much the wall clock was set, in seconds."""
        self.is_broken = False
        """Whether a failure was raised: nothing runs any more, so that no other hides it."""
        self._horizon_s = horizon_s
        self._steps_max = steps_max
        self.thread = threading.get_ident()
        self.step_max_s = step_max_s
        self.hand_offs = 0
        """Hand-offs so far that were not made within another one."""
        self._cpu_clock = cpu_clock()
        self.laws: dict[str, Callable[[], object]] = {}
        """By name, what is looked at after every step; what it returns is what is wrong."""
        self.has_to_die: Callable[[], bool] | None = None
        """Asked after every step whether the process dies now; None: it does not."""
        self.die: Callable[[], object] = self.close
        """Lets it die: unless somebody is to go on afterwards, nothing does."""
        self.failed_at: Moment | None = None
        """Where the failure was that broke it."""
        self._names: dict[str, int] = {}
        self._begin()
        self._spares.give_back(self._spares.take())  # so that a missing greenlet is said at once

    def _begin(self) -> None:
        """Begin the life of a process: nobody runs, and nothing is due."""
        self.ready: list[Ready] = []
        self.current: Fibre | None = None
        """The fibre that runs now; None while the test's own code does."""
        self.is_closed = False
        self.under_way: dict[Fibre, None] = {}
        self.home: Greenlet = cast("Greenlet", None)
        """Who switched to the current fibre, and where it switches back to."""
        self.endless: Callable[[], EndlessStep] | None = None
        self._spares = Spares(self)
        self.timeline = Timeline()
        self.spawned = Spawned()
        self.lives = Lives()
        self._in_flight: tuple[BaseException, Moment] | None = None
        self._timer_fibre: Fibre | None = None
        self._outside: OutsideRunner | None = None
        self._runner_before: Runner | None = None
        self._refusals = 0
        self._at_close: list[Callable[[], object]] = []
        if self.step_max_s != math.inf:
            WATCHDOG.watch(self)

    def next_life(self) -> Hub:
        """Return what runs the next process; this one is closed, and nobody of it ever runs.

        Time, trace, decisions, names and laws go on.
        """
        following = copy(self)
        following._begin()  # noqa: SLF001 -- one of us
        return following

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

    @property
    def is_lent(self) -> bool:
        """Whether an actor runs by hand-off on the stack of the test's own code."""
        return self._outside is not None and self._outside.depth > 0

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

    def acting(self) -> EndingCell[Any] | None:
        """Return the actor whose code runs; None: the test's own, or a client's."""
        fibre = self.current
        runner = self._outside if fibre is None else fibre.runner
        loop: Any = None if fibre is None else fibre.loop
        return None if runner is None else runner.cell if loop is None else loop.acting

    def who_runs(self) -> tuple[str, object, bool]:
        """Return a name, the message in hand or None, and whether it runs by hand-off."""
        fibre = self.current
        runner = self._outside if fibre is None else fibre.runner
        cell = self.acting()
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
        client = ClientRecord(self.name_for(name))
        future: Future[T] = Future(client, blocker=self)
        work = partial(client.run, function, future)
        self.ready.append(Ready(client.name, "client", (work, contextvars.copy_context())))
        return future

    async def as_client(
        self, function: Callable[[], Coroutine[Any, Any, T]], future: Future[T]
    ) -> None:
        """Run a coroutine function whose failure is the simulation's."""
        try:
            result = await function()
        except BaseException as error:  # it is the answer, too; it goes on
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
        name = act_name(act) if name is None else name
        self.timeline.add(timer, name=name, is_of_the_hub=is_of_the_hub)
        return timer

    # -- one step ----------------------------------------------------------

    def step(self, limit_s: float | None) -> bool:
        """Run one thing; say whether there was one.

        Args:
            limit_s: how far time may go; None: to the next timer.
        """
        ready = self.ready
        timer = self._next_timer(limit_s)
        if not ready:
            if timer is None:
                return False
            self._fire()
            return True
        is_due = timer is not None and timer.due_s <= self.time_s
        if (
            timer is not None
            and not is_due
            and timer.due_s - self.time_s <= self._horizon_s
            and self.order.is_early(timer.name)
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
        fibre = self._spares.take()
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

    def _next_timer(self, limit_s: float | None) -> Due | None:
        if self._timer_fibre is not None:
            return None  # like a timer thread: the next one waits until this one is over
        first = self.timeline.first()
        return None if first is None or (limit_s is not None and first.due_s > limit_s) else first

    def _fire(self) -> None:
        due = self.timeline.pop()
        if due.due_s > self.time_s:
            self.time_s = due.due_s
            self.trace.note(("time", due.due_s))
        timer = due.timer
        if due.is_of_the_hub:
            timer.fire()
            return
        self.trace.note(("timer", due.name))
        fibre = self._spares.take()
        fibre.begin(due.name, lambda _runner: timer.fire())
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
        else:
            self.lives.stays(fibre, fibre.runner.cell)

    def _has_left(self, fibre: Fibre) -> None:
        del self.under_way[fibre]
        self.lives.left(fibre)
        if self._timer_fibre is fibre:
            self._timer_fibre = None
        failure, fibre.failure = fibre.failure, None
        self._spares.give_back(fibre)
        if failure is not None and not isinstance(failure, Unwound):
            raise failure

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
        client = fibre.client
        if client is not None:
            client.begins_to_wait(future)
        try:
            while not (future.is_done or (until_s is not None and self.time_s >= until_s)):
                self.suspend(fibre, future, until_s)
        finally:
            if client is not None:
                client.waiting = None

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

    def point(self, label: str, who: object, what: object) -> None:
        """Note what is about to happen, and let others come in before, if the seed says so.

        Args:
            label: `put`, `reply` or `dead`.
            who: whom it happens to.
            what: the message, the answer or the exit reason.
        """
        if self.is_closed or self.is_broken:
            return
        fibre = self.current
        me = TEST if fibre is None else fibre.name
        self.trace.note(at_point(label, me, who, what))
        if not self.order.preempts(label, me):
            return
        if fibre is None or not fibre.is_doomed:
            self.trace.note(("point", me, label))
            self.give_way(lambda: self.order.preempts(label, me))

    def give_way(self, again: Callable[[], bool] | None = None) -> None:
        """Let others come in here, though nothing blocks.

        Args:
            again: asked by the test's own code after each of them: whether another one may.
        """
        fibre = self.current
        if fibre is None:
            turns = count()
            self.drive(lambda: next(turns) > 0 and not (again is not None and again()), self.time_s)
        elif not fibre.is_doomed:
            self.resume(fibre)
            self.home.switch()

    def stall(self, seconds: float) -> None:
        """Let time pass for whoever runs, as in a system call: nothing wakes him.

        Where nobody else could run, on an event loop or in a timer, the clock jumps.
        """
        fibre = self.current
        if fibre is not None and (fibre.loop is not None or fibre is self._timer_fibre):
            self.jump(seconds)
        else:
            self.block(Future[None](blocker=self), self.time_s + seconds)

    def jump(self, seconds: float, *, is_wall_only: bool = False) -> None:
        """Have time pass at once; or have the wall clock alone set to another time."""
        if is_wall_only:
            self.wall_skew_s += seconds
            self.trace.note(("wall clock", self.wall_skew_s))
        else:
            self.move_time_to(self.time_s + seconds)

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
        self._look_at_flight()
        outer_loop = _get_running_loop()
        _set_running_loop(None)
        left = self._steps_max
        try:
            self._check_laws()  # of what the test's own code has done since the last step
            while not is_enough():
                is_idle = not self.step(limit_s)
                if self.endless is not None:
                    self._say_endless(self.endless)
                if is_idle:
                    return False
                self.steps += 1
                left -= 1
                if not left:
                    raise livelock(self.trace, self._steps_max)  # noqa: TRY301 -- as what a step raises
                if self.has_to_die is not None and self.has_to_die() and not self.is_lent:
                    self.die()
                    msg = "the process has died"
                    raise ProcessDied(msg)  # noqa: TRY301 -- to whoever drives
                self._check_laws()
        except ProcessDied:
            raise
        except BaseException as error:  # nothing runs any more; it goes on
            self.fails(error)
            raise
        finally:
            if self.endless is not None:
                take_back()  # it may have been struck twice
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
                self.say_deadlock(f"the test waits for {owner_of(future)}")
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
                    self.say_deadlock(f"a task awaits {owner_of(future)}")
                self.move_time_to(future.deadline_s)
        except BaseException as error:  # it is the answer, too; it goes on
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
        return not self.ready and not self.under_way and self.timeline.has_only_recurring()

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
            self._look_at_flight(error)
            assert self._in_flight is not None
            self.failed_at = self._in_flight[1]
            error.add_note(f"simulation: seed {self.seed}, {self.failed_at}")

    def _look_at_flight(self, error: BaseException | None = None) -> None:
        """Note where an exception was first met on its way out: a stop that follows goes on."""
        error = sys.exception() if error is None else error
        if error is not None and (self._in_flight is None or self._in_flight[0] is not error):
            self._in_flight = (error, Moment(self.steps, self.time_s, len(self.trace)))

    def say_deadlock(self, why: str) -> NoReturn:
        """Raise, with the names of all who wait.

        Raises:
            Deadlock: always.
        """
        error = deadlock(why, self.under_way)
        self.fails(error)
        raise error

    def _check_laws(self) -> None:
        if self.lives.broken is not None:
            raise self.lives.broken
        for law, check in self.laws.items():
            wrong = check()
            if wrong:
                msg = f"{law}: {wrong}"
                raise LawBroken(msg, law=law)

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
        self.timeline.clear()
        self.unwind(list(self.under_way))
        for act in self._at_close:
            act()
        self.ready.clear()
        if self._outside is not None and local.runner is self._outside:
            local.runner = self._runner_before
        self._spares.close()
        if not self.is_broken:
            self._in_flight = None


_get_running_loop = asyncio._get_running_loop  # noqa: SLF001 -- what asyncio offers to loops
_set_running_loop = asyncio._set_running_loop  # noqa: SLF001 -- the same


def _nothing() -> None:
    """Do nothing: time has come so far, that is all."""
