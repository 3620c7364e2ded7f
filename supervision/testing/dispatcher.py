"""The dispatcher and the timers of a system whose threads a simulation stands in for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import Unwound
from callboard.supervision.runtime.timers import Timer, TimerFailed
from callboard.supervision.testing.errors import SimulationError
from callboard.supervision.testing.faults import (
    DoubledTimer,
    Fault,
    LateTimer,
    LostTimer,
    TimerFault,
)
from callboard.supervision.testing.fibres import FibreRunner, OutsideRunner
from callboard.supervision.testing.purposes import Purpose, purpose_of
from callboard.supervision.testing.trace import name_in_line

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.settings import Settings
    from callboard.supervision.testing.fibres import Fibre
    from callboard.supervision.testing.hub import Hub
    from callboard.supervision.testing.strikes import Strikes


class SimulatedClock:
    """Simulated time; it moves only when nothing else can happen, or by chance.

    Args:
        hub: keeps it.
        began_s: wall time when the simulated time is 0, in seconds since 1970.
    """

    def __init__(self, hub: Hub, began_s: float) -> None:
        self.now_s = hub.now_s
        self._hub = hub
        self._began_s = began_s

    def wall_s(self) -> float:
        """Return seconds since 1970 UTC, in the simulation."""
        return self._began_s + self._hub.wall_skew_s + self.now_s()


class SimulatedDispatcher:
    """Runs the cells of one system on the fibres of a hub, one message a turn.

    Args:
        hub: says what runs next.
        settings: the system's bounds.
        prepare: called with each new cell; faults strike where this puts them.
    """

    is_asleep = False
    batch_max = 1
    hand_off_depth = 0  # always ask `runner_for_hand_off`: the seed decides

    def __init__(
        self, hub: Hub, settings: Settings, prepare: Callable[[EndingCell[Any]], object]
    ) -> None:
        self.hub = hub
        self._settings = settings
        self._prepare = prepare
        self.now_s = hub.now_s

    def wake(self) -> None:
        """Do nothing: whoever waits drives."""

    def enqueue_for(self, cell: EndingCell[Any]) -> Callable[[Any], object]:
        """Return what puts this cell in line, under a name that is the same in every run."""
        self._prepare(cell)
        name = self.hub.name_for(cell.name)
        self.hub.spawned.enter(cell, self.hub.acting())
        self.hub.lives.enter(cell)
        return partial(self.hub.enqueue, name)

    def block(self, future: Future[Any], until_s: float | None) -> None:
        """Wait where no actor runs."""
        self.hub.block(future, until_s)

    @staticmethod
    def aside(act: Callable[[], None], name: str) -> Callable[[float], object]:
        """Do it right here."""
        del name
        act()

        def wait(timeout_s: float) -> None:
            del timeout_s  # nothing of it is left

        return wait

    def awaited_in(self, loop: AbstractEventLoop, future: Future[Any]) -> None:
        """Go on while a task on the test's own event loop awaits the future."""
        self.hub.awaited_in(loop, future)

    def runner_for_hand_off(self, cell: EndingCell[Any], runner: Runner | None) -> Runner | None:
        """Return on what to run an idle cell right here, if the seed says so."""
        hub = self.hub
        if hub.is_closed or hub.is_broken:
            return None
        if not isinstance(runner, (FibreRunner, OutsideRunner)):
            if hub.current is not None or (runner is not None and runner.cell is not None):
                return None  # an event loop, or a hand-off of another system
            runner = hub.outside()
        name = name_in_line(cell)
        if runner.depth >= self._settings.handoff_depth_max or not hub.order.hands_off(name):
            return None
        if runner.depth == 0:
            hub.hand_offs += 1
        hub.trace.note(("hand-off", name))
        return runner

    def interrupt(self, cell: EndingCell[Any], runner: Runner) -> None:
        """Wake what a killed cell waits for; a running handler goes on to its next safe point."""
        del runner
        if isinstance(cell.waiting, Future):
            cell.waiting.rouse()

    def has_ended(self, cell: EndingCell[Any]) -> None:
        """Forget who lives no more."""
        self.hub.spawned.leave(cell)
        self.hub.lives.leave(cell)

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """Let what was killed come to its end; unwind what does not and return its names."""
        hub = self.hub
        if not (hub.is_broken or hub.is_closed):
            hub.drive(lambda: not self._under_way(), hub.time_s + timeout_s)
        left = self._under_way()
        hub.unwind(left)
        return tuple(each.name for each in left)

    def _under_way(self) -> list[Fibre]:
        return [
            fibre
            for fibre in self.hub.under_way
            if (cell := fibre.own_runner.cell) is not None and cell.system.dispatcher is self
        ]


def call_safely(emit: Callable[[object], None], act: Callable[..., object], *args: object) -> None:
    """Call what a timer was set for; what it raises is an event, as on real threads."""
    try:
        act(*args)
    except (SimulationError, Unwound, KeyboardInterrupt):
        raise  # of the simulation, or of whoever runs it
    except BaseException as error:  # noqa: BLE001 -- as in the runtime: a timer's failure is an event
        emit(TimerFailed(crashed(error)))


class SimulatedTimers:
    """The timers of one system, in simulated time.

    Args:
        hub: where they wait.
        emit: gets `TimerFailed`.
        strikes: says what of them is lost, late or doubled.
    """

    def __init__(self, hub: Hub, emit: Callable[[object], None], strikes: Strikes) -> None:
        self._hub = hub
        self._emit = emit
        self._strikes = strikes
        self._pending: list[Timer] = []
        self._prune_at = _PRUNE_AT
        self._is_stopped = False

    def call_at(self, due_s: float, act: Callable[..., object], *args: object) -> Timer:
        """Call `act(*args)` when time has come to `due_s`."""
        purpose = purpose_of(act, args)
        match self._fault_of(purpose):
            case LostTimer():
                return Timer(due_s, act, args)  # nobody will ever look at it
            case LateTimer(seconds=seconds):
                return self._arm(str(purpose), due_s + seconds, act, args)
            case DoubledTimer(seconds=seconds):
                return self._arm(str(purpose), due_s, self._go_off_twice, (seconds, act, args))
            case _:
                return self._arm(str(purpose), due_s, act, args)

    def _fault_of(self, purpose: Purpose) -> Fault | None:
        cell, strikes = purpose.cell, self._strikes
        if cell is None or not strikes.rules or cell.reason is not None:
            return None
        return strikes.first(strikes.against(TimerFault, cell), cell, purpose.what)

    def _go_off_twice(
        self, seconds: float, act: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        due_s = self._hub.time_s + seconds
        self._arm(str(purpose_of(act, args)), due_s, act, args)
        act(*args)

    def _arm(
        self, name: str, due_s: float, act: Callable[..., object], args: tuple[Any, ...]
    ) -> Timer:
        timer = self._hub.call_at(due_s, call_safely, self._emit, act, *args, name=name)
        if self._is_stopped:
            timer.cancel()
            return timer
        if len(self._pending) >= self._prune_at:
            self._pending = [each for each in self._pending if each.is_pending]
            self._prune_at = max(_PRUNE_AT, 2 * len(self._pending))
        self._pending.append(timer)
        return timer

    def stop(self) -> None:
        """Drop what is pending."""
        self._is_stopped = True
        for timer in self._pending:
            timer.cancel()
        self._pending.clear()


_PRUNE_AT = 64
"""Timers that are remembered before those that went off are forgotten."""
