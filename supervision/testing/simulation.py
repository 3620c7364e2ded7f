"""A whole world on one thread, decided by a seed: the same seed, the same run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, overload

from callboard.supervision.runtime.chance import Ids, Stream
from callboard.supervision.runtime.errors import Timeout
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.ports import Ports, Runtime
from callboard.supervision.testing.dispatcher import (
    SimulatedClock,
    SimulatedDispatcher,
    SimulatedTimers,
)
from callboard.supervision.testing.errors import SimulationError
from callboard.supervision.testing.explore import Exploration
from callboard.supervision.testing.faults import Fault, FaultPlan, ProcessDies
from callboard.supervision.testing.hub import Hub
from callboard.supervision.testing.loop import SimulatedLoopPort
from callboard.supervision.testing.portfolio import Portfolio
from callboard.supervision.testing.strikes import Strikes
from callboard.supervision.testing.struck import StruckActors
from callboard.supervision.testing.trace import TEST, Overheard

if TYPE_CHECKING:
    from types import TracebackType

    from callboard.supervision.runtime.settings import Settings
    from callboard.supervision.runtime.system import ActorSystem
    from callboard.supervision.testing.trace import Moment, Trace

F = TypeVar("F", bound=Fault)
T = TypeVar("T")

BEGAN_S = 1_700_000_000.0
"""Wall time at the simulated time 0, in seconds since 1970."""


class Simulation:
    """Runs actor systems on one thread, in simulated time, in an order that a seed decides.

        sim = Simulation(seed=7)
        with sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            sim.spawn("ada", lambda: counter.ask(Add(1)))
            sim.run(until=sim.quiescent)

    A call that waits, such as `ref.ask` in the test's own code, runs the others
    until it has its answer or the simulated time is up: a test looks as it does
    on threads. What the seed decides: who runs next, whether an idle actor
    answers on its asker's stack, whether others come in where two threads could
    meet, and whether a timer goes off a little early.

    It belongs to one thread. Several systems may share it. Close it after them
    (`with sim, ActorSystem(...)` does): whatever is still suspended is ended
    then, its `finally` blocks included.

    Args:
        seed: decides everything.
        explore: how the order is chosen; None: in one of the ways of a `Portfolio`, by the seed.
        faults: what may go wrong, by itself; None: nothing.
        hears_events: whether the trace has the events of all systems, so that `seen` counts them.
            Supervisors report only where somebody listens, so this costs some time.
        horizon_s: a timer due within this time may go off before ready work.
        steps_max: steps in one call that are called a livelock.
        step_max_s: seconds of the processor that one step may take; then `EndlessStep` is raised
            in whatever handler does not end. `math.inf` never does. Time that a debugger waits
            for you does not count, nor does a handler that really sleeps: that is seen by the
            timeout of your test runner alone.

    Raises:
        MissingExtra: greenlet is not installed.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        explore: Exploration | None = None,
        faults: FaultPlan | None = None,
        hears_events: bool = False,
        horizon_s: float = 0.05,
        steps_max: int = 100_000,
        step_max_s: float = 10.0,
    ) -> None:
        self.seed = seed
        self._hub = Hub(
            seed,
            Portfolio() if explore is None else explore,
            horizon_s=horizon_s,
            steps_max=steps_max,
            step_max_s=step_max_s,
        )
        self._strikes = Strikes(
            FaultPlan(()) if faults is None else faults,
            self._hub.order,
            self._hub.trace.note,
            self._hub.chance.stream,
        )
        self._runtime = _SimulatedRuntime(self._hub, self._strikes, hears_events=hears_events)
        self.runtime: Runtime = self._runtime
        """For `ActorSystem(runtime=...)`."""
        self._mortals: list[Mortal] = []
        self._is_struck = any(isinstance(each.fault, ProcessDies) for each in self._strikes.rules)
        self._mind_death()
        self.trace: Trace = self._hub.trace
        """What happened so far; `trace.digest` tells two runs apart."""
        self._clients: SimulatedLoopPort | None = None
        self._set_up()

    def _set_up(self) -> None:
        """Make what a kind of simulation has of its own: nothing. For subclasses of ours."""

    def __repr__(self) -> str:
        kind, entries = type(self).__name__, len(self.trace)
        return f"<{kind} seed={self.seed} t={self.now_s:.6g} s, {entries} entries>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.fails(error)
        self.close()

    # -- the world ---------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The simulated time, in seconds since the simulation began."""
        return self._hub.time_s

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return self._hub.steps

    @overload
    def spawn(self, name: str, function: Callable[[], Coroutine[Any, Any, T]]) -> Client[T]: ...
    @overload
    def spawn(self, name: str, function: Callable[[], T]) -> Client[T]: ...
    def spawn(self, name: str, function: Callable[[], Any]) -> Client[Any]:
        """Run `function` beside the actors, as a client with a thread of its own would.

        A coroutine function runs on a simulated event loop that all such clients share.

        Args:
            name: who it is in the trace.
            function: called without arguments. It may wait. What it raises fails
                the simulation: whoever drives it gets the exception.

        Returns:
            The client: `result()` is what the function returned.
        """
        self._hub.check_open()
        if not inspect.iscoroutinefunction(function):
            return Client(name, self._hub.spawn(name, function))
        if self._clients is None:
            self._clients = SimulatedLoopPort(self._hub, "clients")
        future: Future[Any] = Future(blocker=self._hub)
        self._clients.create_task(self._hub.as_client(function, future))
        return Client(name, future)

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass, for whoever calls it: a client, an actor, or the test."""
        try:
            Future[None](blocker=self._hub).get(timeout=seconds)
        except Timeout:
            return

    def stall(self, seconds: float) -> None:
        """Let simulated time pass for whoever calls it, as a system call does.

        Nothing wakes him, a kill neither; he may be at work by hand-off. On an event loop nobody
        else has a turn meanwhile: the clock jumps.
        """
        self._hub.stall(seconds)

    def note(self, *words: str | float) -> None:
        """Add to the trace what must be the same in every run of this seed."""
        self.trace.note(("note", *words))

    def happens(self, fault: str, probability: float) -> bool:
        """Say whether a fault strikes here: a decision of the schedule, as who runs next is one.

            if sim.happens("crash", 0.1):
                counter.tell(Crash())

        It is replayed with the schedule, taken out of it where the failure does not need
        it, and counted: `seen("crash")`.

        Args:
            fault: what strikes, in a word.
            probability: how likely, from 0 to 1.
        """
        fibre = self._hub.current
        who = TEST if fibre is None else fibre.name
        does = self._hub.order.happens(fault, who, probability)
        if does:
            self.trace.note(("fault", fault, who))
        return does

    def strikes(self, kind: type[F], *, of: str, on: str) -> F | None:
        """Return the fault of the plan that strikes here, if one does; for the fake of a port.

            fault = sim.strikes(DiskIsFull, of="disk", on="write")
            if fault is not None:
                raise OSError

        It is a decision of the schedule, as `happens` is one.

        Args:
            kind: a subclass of `Fault`.
            of: for whom the port works; compared with the fault's `of`.
            on: what it does; compared with the fault's `on`.
        """
        return self._strikes.at_port(kind, of, on)

    @property
    def struck(self) -> tuple[tuple[Fault, int], ...]:
        """Each fault of the plan, and how often it struck in this schedule."""
        return tuple((each.fault, each.struck) for each in self._strikes.rules)

    def law(self, name: str, check: Callable[[], object]) -> None:
        """Have something looked at after every step, by whoever drives.

        Args:
            name: what must hold, in words; with it a failure is told from others.
            check: returns what is wrong, in words; None or "" while nothing is. It must not
                wait, send or change anything.

        Raises:
            LawBroken: not here, but from what drives the simulation.
        """
        self._hub.laws[name] = check

    def seen(self, kind: str) -> int:
        """Return how often something happened in this schedule.

        Args:
            kind: an event by its type's name (with `hears_events`), a fault, a word given to
                `note` first, or a kind of entry of the trace: `put`, `dead`, `hand-off`, `point`,
                `timer`, `wait`.
        """
        return self.trace.seen(kind)

    def fails(self, error: BaseException) -> None:
        """Let nothing run any more because the test has failed; the error says where.

        Leaving the `with` of a simulation by an exception does the same.
        """
        self._hub.fails(error)

    @property
    def failed_at(self) -> Moment | None:
        """Where the failure was, if there was one: step and simulated time."""
        return self._hub.failed_at

    @property
    def is_over(self) -> bool:
        """Whether it was closed, or failed: nothing runs any more."""
        return self._hub.is_closed or self._hub.is_broken

    # -- the death of the process ------------------------------------------

    def die(self) -> None:
        """Let the process die, as by kill -9: nothing goes on of what runs here now.

            disk = MemoryDisk(sim)
            ...                                 # a system works on it, and acknowledges
            sim.die()
            left = disk.power_cut(Random(7))    # or disk.process_death()
            ...                                 # another system, on what is left

        What `dies_with` it is sealed first; then all that is suspended is ended, its `finally`
        blocks included, and no trace of that is left. What the dead have made is of no use any
        more: their systems, clients and futures. Time goes on, and so do the seed's decisions:
        the test's own code goes on as the next process would, with another system.

        Raises:
            SimulationError: what is to die itself calls this.
        """
        hub = self._hub
        hub.check_open()
        if hub.current is not None or hub.is_lent:
            msg = "what runs inside a simulation cannot let it die: use faults.ProcessDies"
            raise SimulationError(msg)
        for mortal in self._mortals:
            mortal.seal()
        self._mortals.clear()
        entries = len(self.trace)
        with self._strikes.kept_off():
            hub.close()
        del self.trace.entries[entries:]
        self.trace.note(("death", "the process"))
        self._hub = self._runtime.hub = hub.next_life()
        self._clients = None
        self._mind_death()

    def dies_with(self, mortal: Mortal) -> None:
        """Have something die with the process, and the process with it, as a `MemoryDisk` does.

        Whoever drives the simulation gets `ProcessDied` when it has died by itself; so he does
        when `faults.ProcessDies` strikes.

        Args:
            mortal: what it is; until it, or the process, has died.
        """
        self._mortals.append(mortal)
        self._mind_death()

    def _mind_death(self) -> None:
        hub, mortals = self._hub, self._mortals
        hub.die = self.die

        def has_to_die() -> bool:
            if any(each.is_sealed for each in mortals):
                return True
            strikes = self._strikes
            return self._is_struck and bool(strikes.at_port(ProcessDies, "process", "step"))

        hub.has_to_die = has_to_die if mortals or self._is_struck else None

    # -- what is left ------------------------------------------------------

    def hosts(self, system: ActorSystem) -> bool:
        """Say whether a system runs in this simulation."""
        dispatcher: object = system.dispatcher
        return isinstance(dispatcher, SimulatedDispatcher) and dispatcher.hub is self._hub

    def refuse_orphans(self) -> None:
        """End whoever has spawned actors without a supervisor, and see that these end as well.

        Call it last: it takes the makers of such actors away.

        Raises:
            Leaked: one lives on though its maker has ended.
        """
        self._hub.check_open()
        self._hub.spawned.refuse_orphans(
            lambda until, within_s: self._hub.drive(until, self.now_s + within_s)
        )

    def refuse_systems(self) -> None:
        """See that every system that had actors here was stopped.

        Raises:
            Leaked: one was not.
        """
        self._hub.spawned.refuse_systems()

    # -- driving -----------------------------------------------------------

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Run until something holds; time passes as far as that takes.

        Args:
            until: looked at before every step; `quiescent` unless given.

        Raises:
            Deadlock: nothing is left that could make it hold.
            Livelock: too many steps.
            Exception: whatever a client raised.
        """
        self._hub.check_open()
        if not self._hub.drive(self.quiescent if until is None else until):
            self._hub.say_deadlock("what the test runs for does not hold")

    def settle(self) -> None:
        """Run what is ready, until all wait for a later time or for each other.

        Time does not pass.
        """
        self._hub.check_open()
        self._hub.drive(_never, self.now_s)

    def advance(self, seconds: float) -> None:
        """Run what is ready and let time pass, `seconds` in all; timers go off when due."""
        self._hub.check_open()
        until_s = self.now_s + seconds
        self._hub.drive(_never, until_s)
        self._hub.move_time_to(until_s)

    def calm(self) -> None:
        """Let no fault of the plan strike any more, and run until all is quiet.

        What hangs goes on, mailboxes have room again; a timer that was lost stays lost. If an
        ask never ends although nothing goes wrong any more, it is found here.

        Raises:
            Deadlock: somebody waits for what will not come.
            Livelock: it goes on and on.
            Exception: whatever a client raised.
        """
        self._hub.check_open()
        self.end_faults()
        self.run()

    def end_faults(self) -> None:
        """Let no fault of the plan strike any more, and what hangs go on; `calm` does it, too."""
        self._strikes.end()

    def quiescent(self) -> bool:
        """Whether nobody runs or waits, and no timer is left but recurring ones.

        A recurring timer is one whose owner says so: `timer.is_recurring = True`.
        """
        return self._hub.is_quiet()

    # -- ending ------------------------------------------------------------

    def close(self) -> None:
        """End whatever is suspended. Nothing runs here any more; idempotent."""
        self._strikes.is_over = True
        self._hub.close()


class Mortal(Protocol):
    """What dies with a process: a disk, a network."""

    @property
    def is_sealed(self) -> bool:
        """Whether it has died: nothing is changed any more."""
        ...

    def seal(self) -> None:
        """Let it be dead: nothing that the process still does has an effect."""
        ...


class Client(Generic[T]):
    """A function that runs beside the actors of a simulation.

    Args:
        name: who it is in the trace.
        future: gets what it returns.
    """

    def __init__(self, name: str, future: Future[T]) -> None:
        self.name = name
        self._future = future

    def __repr__(self) -> str:
        return f"<Client {self.name}{' that is done' if self.is_done else ''}>"

    @property
    def is_done(self) -> bool:
        """Whether it has returned or raised."""
        return self._future.is_done

    def result(self, timeout: float | None = None) -> T:
        """Return what the function returned; wait for it, which drives the simulation.

        Args:
            timeout: simulated seconds to wait at most; None: as long as it takes.

        Raises:
            Timeout: it has not returned in time.
            Exception: what the function raised.
        """
        return self._future.get(timeout=timeout)


class _SimulatedRuntime:
    """Makes the ports of systems that run in one simulation.

    Args:
        hub: what they share.
        strikes: the faults that strike them.
        hears_events: whether the trace gets their events.
    """

    def __init__(self, hub: Hub, strikes: Strikes, *, hears_events: bool) -> None:
        self.hub = hub
        """Where systems run that are started now."""
        self._strikes = strikes
        self._overhear = partial(Overheard, hub.trace) if hears_events else None

    def ports(self, name: str, settings: Settings, emit: Callable[[object], None]) -> Ports:
        """Return the ports for a system of this name."""
        hub = self.hub
        hub.check_open()
        actors = StruckActors(hub, self._strikes)
        clock = SimulatedClock(hub, BEGAN_S)

        def stream(purpose: str) -> Stream:
            return hub.chance.stream(f"{name}/{purpose}")

        return Ports(
            clock=clock,
            dispatcher=SimulatedDispatcher(hub, settings, actors.prepare),
            timers=SimulatedTimers(hub, emit, self._strikes),
            loop=SimulatedLoopPort(hub, f"{name}-loop"),
            ids=Ids(clock, stream("ids").getrandbits),
            stream=stream,
            point=hub.point,
            overhear=self._overhear,
        )


def _never() -> bool:
    return False
