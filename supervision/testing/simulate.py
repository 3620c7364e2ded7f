"""One test body, many schedules: of a failure it tells the shortest one, as a story."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.events import LOGGER
from callboard.supervision.testing.asked import Asked, asked_for
from callboard.supervision.testing.errors import NeverSeen, NotReplayable
from callboard.supervision.testing.explore import Exploration
from callboard.supervision.testing.failure import Broken, broken_by, is_failure
from callboard.supervision.testing.faults import FaultPlan
from callboard.supervision.testing.portfolio import Portfolio
from callboard.supervision.testing.report import Run, report, write
from callboard.supervision.testing.schedule import Recording, Replay, Schedule
from callboard.supervision.testing.shrink import SHRINK_MAX_S, shrink
from callboard.supervision.testing.simulation import Simulation
from callboard.supervision.testing.story import story

_LONGER = 10
"""A shrunk schedule that takes so many times the steps of the whole one is another failure."""

_STEPS_MIN = 1_000
"""Steps that any of them may take."""


class Simulate:
    """The decorator `simulate`, for one flavour of simulations.

        @simulate(schedules=500)
        def test_a_reply_is_never_lost(sim: Simulation) -> None:
            with ActorSystem(runtime=sim.runtime) as system:
                ...

    `callboard.supervision.testing.simulate` gives the body a `Simulation` as `sim`,
    `callboard.actors.testing.simulate` a `Callboard` as `callboard`. For a stage of your
    own, with what your tests have in common: `simulate = Simulate(Stage, "stage")`.

    Args:
        world: the class of simulations, made anew for each schedule.
        name: the parameter of the body that gets it.
    """

    def __init__(self, world: type[Simulation], name: str) -> None:
        self._world = world
        self._name = name

    def __repr__(self) -> str:
        return f"<simulate, which gives {self._name}: {self._world.__name__}>"

    def __call__(
        self,
        schedules: int = 100,
        *,
        first_seed: int = 0,
        replayed: int = 2,
        explore: Exploration | None = None,
        faults: FaultPlan | None = None,
        must_see: tuple[str, ...] = (),
        shrink_max_s: float = SHRINK_MAX_S,
        steps_max: int = 100_000,
        step_max_s: float = 10.0,
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Run a test under many seeds, each in a simulation of its own.

        Other arguments than the simulation, fixtures too, are passed on, and shared by
        all schedules. When the body fails, the failing schedule is shrunk: the body runs
        again with ever fewer decisions, as long as the same law breaks. The exception
        carries the seed, the law and where it broke, the decisions that are left, the
        story of that run, and the command that replays it: `CALLBOARD_SCHEDULE=<file>` (or
        `CALLBOARD_SEED=<seed>`) before the test's own command runs that schedule alone.

        The logger `callboard.events` is silent meanwhile, but for what an `EventLog` of the body's
        own says of the run that is told, or replayed: the story has the events.

        Args:
            schedules: how many seeds are tried.
            first_seed: the first of them; the others follow.
            replayed: how many of the schedules are run twice, to see that they replay.
            explore: how the order is chosen; None: in the ways of a `Portfolio`, in turns.
            faults: what may go wrong, by itself. Each of them must strike in some of the schedules.
            must_see: what must happen in some of the schedules, as `Simulation.seen` counts it.
            shrink_max_s: seconds that shrinking may take; 0 leaves it out.
            steps_max: steps in one call that are called a livelock.
            step_max_s: seconds of the processor that one step may take.

        Raises:
            InvalidSpec: no schedule would be run, or the body is `async` or does not take the
                simulation; in the test, that the environment asks for a schedule that is none.
            NotReplayable: a seed gave two different runs.
            NeverSeen: something that must be seen never happened.
        """
        if not isinstance(schedules, int) or schedules < 1:
            remedy = "Give a whole number from 1, in parentheses: @simulate(schedules=100)."
            raise InvalidSpec("schedules", schedules, remedy)

        def decorate(body: Callable[..., None]) -> Callable[..., None]:
            signature = inspect.signature(body)
            if inspect.iscoroutinefunction(body):
                remedy = "Give a plain function; actors in it may have async handlers."
                raise InvalidSpec("body", body.__name__, remedy)
            if self._name not in signature.parameters:
                remedy = f"Let it take `{self._name}: {self._world.__name__}`, its simulation."
                raise InvalidSpec("body", body.__name__, remedy)

            def run_all(*args: object, **kwargs: object) -> None:
                __tracebackhide__ = True
                campaign = _Campaign(
                    functools.partial(body, *args, **kwargs),
                    body,
                    world=self._world,
                    name=self._name,
                    explore=Portfolio() if explore is None else explore,
                    faults=FaultPlan(()) if faults is None else faults,
                    hears_events=bool(must_see),
                    steps_max=steps_max,
                    step_max_s=step_max_s,
                    shrink_max_s=shrink_max_s,
                )
                asked = asked_for()
                if asked is None:
                    campaign.go(range(first_seed, first_seed + schedules), replayed)
                    campaign.check_seen(must_see)
                elif asked.schedule is None or asked.path is None:
                    campaign.go(range(asked.seed, asked.seed + 1), replayed)
                else:
                    campaign.replay(asked.schedule, asked.path)

            # The runner of tests looks at the signature for fixtures: the simulation is none.
            others = [each for name, each in signature.parameters.items() if name != self._name]
            functools.update_wrapper(run_all, body)
            vars(run_all)["__signature__"] = signature.replace(parameters=others)
            return run_all

        return decorate


simulate = Simulate(Simulation, "sim")
"""Runs a test under many seeds; its body gets the simulation as `sim`."""


class _Outcome(NamedTuple):
    """What became of one run."""

    sim: Simulation
    error: BaseException | None
    broken: Broken | None


@contextmanager
def _muted() -> Generator[None]:
    """Have callboard's own log say nothing meanwhile; who asks for its level sees no difference."""

    def says_nothing(_record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger(LOGGER)
    logger.addFilter(says_nothing)
    try:
        yield
    finally:
        logger.removeFilter(says_nothing)


class _Campaign:
    """Runs one test body under many schedules.

    Args:
        call: the body with its arguments, but for `sim`.
        body: the body itself.
        world: makes the simulation of each schedule.
        name: the parameter of the body that gets it.
        explore: how the order is chosen.
        faults: what may go wrong.
        hears_events: whether events are counted.
        steps_max: steps in one call that are called a livelock.
        step_max_s: seconds of the processor that one step may take.
        shrink_max_s: seconds that shrinking may take.
    """

    def __init__(
        self,
        call: Callable[..., None],
        body: Callable[..., None],
        *,
        world: type[Simulation],
        name: str,
        explore: Exploration,
        faults: FaultPlan,
        hears_events: bool,
        steps_max: int,
        step_max_s: float,
        shrink_max_s: float,
    ) -> None:
        self._call = call
        self._body = body
        self._world = world
        self._name = name
        self._explore = explore
        self._faults = faults
        self._hears_events = hears_events
        self._schedules = 0
        self._seen: Counter[str | float] = Counter()
        self._struck = [0] * len(faults.faults)
        self._steps_max = steps_max
        self._step_max_s = step_max_s
        self._shrink_max_s = shrink_max_s

    def go(self, seeds: range, replayed: int) -> None:
        """Run all schedules, some of them twice."""
        __tracebackhide__ = True
        for number, seed in enumerate(seeds):
            sim = self._run_or_fail(seed)
            if number < replayed and self._run_or_fail(seed).trace.digest != sim.trace.digest:
                msg = f"seed {seed} gave two different runs"
                error = NotReplayable(msg)
                error.add_note(f"replay: {self._command(seed)}")
                raise error
            self._schedules += 1
            if self._hears_events:
                self._seen.update(sim.trace.kinds())
            for index, (_, times) in enumerate(sim.struck):
                self._struck[index] += times

    def check_seen(self, must_see: tuple[str, ...]) -> None:
        """Refuse a campaign that proves little.

        Raises:
            NeverSeen: something that must happen, or a fault of the plan, never did.
        """
        __tracebackhide__ = True
        missing = [kind for kind in must_see if not self._seen[kind]]
        for fault, times in zip(self._faults.faults, self._struck, strict=True):
            if not times:
                missing.append(f"{fault.name} (of={fault.of!r}, on={fault.on!r})")
        if missing:
            msg = f"in {self._schedules} schedules there was no {', no '.join(missing)}"
            raise NeverSeen(msg, kinds=tuple(missing))

    def replay(self, schedule: Schedule, path: Path) -> None:
        """Run the schedule of a file, and tell its story if it fails."""
        __tracebackhide__ = True
        outcome = self._run(schedule.seed, Replay(schedule), hears_events=True)
        if outcome.error is not None:
            run = self._told(outcome, f"as in {path}", schedule)
            outcome.error.add_note(report(run, None, 0, is_minimal=True))
            outcome.error.add_note(f"replay: {self._command(schedule.seed, path)}")
            raise outcome.error

    def _run_or_fail(self, seed: int) -> Simulation:
        __tracebackhide__ = True
        outcome = self._run(seed, self._explore)
        if outcome.error is not None:
            for note in self._explain(outcome):
                outcome.error.add_note(note)
            raise outcome.error
        return outcome.sim

    def _run(
        self,
        seed: int,
        explore: Exploration,
        *,
        hears_events: bool = False,
        steps_max: int | None = None,
    ) -> _Outcome:
        __tracebackhide__ = True
        sim = self._world(
            seed,
            explore=explore,
            faults=self._faults,
            hears_events=hears_events or self._hears_events,
            steps_max=steps_max or self._steps_max,
            step_max_s=self._step_max_s,
        )
        try:
            # Of a thousand schedules the log would bury the story; the story has what was told.
            with nullcontext() if hears_events else _muted(), sim:
                self._call(**{self._name: sim})
        except BaseException as error:  # what is no failure goes on
            if not is_failure(error):
                raise
            return _Outcome(sim, error, broken_by(error, self._body))
        return _Outcome(sim, None, None)

    def _explain(self, found: _Outcome) -> tuple[str, str]:
        """Return the report on a failure, and how to see it again."""
        seed = found.sim.seed
        way = self._explore.of(seed) if isinstance(self._explore, Portfolio) else self._explore
        recording = Recording(self._explore)
        again = self._run(seed, recording) if self._shrink_max_s > 0 else found
        run = self._told(found, type(way).__name__, None)
        if again is found or again.broken != found.broken:
            return report(run, None, 0, is_minimal=False), f"replay: {self._command(seed)}"
        whole = recording.schedule
        run = run._replace(schedule=whole, story=())
        steps_max = min(self._steps_max, max(_STEPS_MIN, _LONGER * found.sim.steps))
        if found.sim.steps >= self._steps_max:
            steps_max = self._steps_max

        def breaks_the_same(schedule: Schedule) -> Schedule | None:
            replay = Replay(schedule)
            outcome = self._run(seed, replay, steps_max=steps_max)
            return replay.used if outcome.broken == found.broken else None

        shrunk = shrink(whole, breaks_the_same, now_s=time.monotonic, max_s=self._shrink_max_s)
        least = self._run(seed, Replay(shrunk.schedule), hears_events=True, steps_max=steps_max)
        told = self._told(least, "", shrunk.schedule)
        path = write(shrunk.schedule, self._test().rpartition("/")[2]) if shrunk.schedule else None
        text = report(run, told, shrunk.runs, is_minimal=shrunk.is_minimal)
        return text, f"replay: {self._command(seed, path)}"

    def _told(self, outcome: _Outcome, way: str, schedule: Schedule | None) -> Run:
        sim, _, broken = outcome
        at = sim.failed_at
        entries = sim.trace.entries[: None if at is None else at.entry]
        nothing = Broken("nothing", "", None, None)
        return Run(sim.seed, way, schedule, broken or nothing, at, sim.trace.digest, story(entries))

    def _test(self) -> str:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        return test or f"{inspect.getsourcefile(self._body) or ''}::{self._body.__qualname__}"

    def _command(self, seed: int, path: Path | None = None) -> str:
        return Asked(seed, path=path).command(self._test())
