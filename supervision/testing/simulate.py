"""One test body, many schedules: on a failure it tells the seed and how to see it again."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.testing.errors import EndlessStep, NotReplayable
from callboard.supervision.testing.explore import Exploration
from callboard.supervision.testing.simulation import Simulation

SEED_VARIABLE = "CALLBOARD_SEED"
"""The environment variable that narrows `@simulate` to one seed."""


def simulate(
    *,
    schedules: int = 100,
    first_seed: int = 0,
    replayed: int = 2,
    explore: Exploration | None = None,
    steps_max: int = 100_000,
    step_max_s: float = 10.0,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test under many seeds, each in a simulation of its own.

        @simulate(schedules=500)
        def test_a_reply_is_never_lost(sim: Simulation) -> None:
            with ActorSystem(runtime=sim.runtime) as system:
                ...

    The body gets the simulation as `sim`; other arguments, fixtures too, are
    passed on, and shared by all schedules. When it fails, the exception carries
    the seed and the command that replays it: `CALLBOARD_SEED=<seed>` before the
    test's own command runs that schedule alone.

    Args:
        schedules: how many seeds are tried.
        first_seed: the first of them; the others follow.
        replayed: how many of the schedules are run twice, to see that they replay.
        explore: how the order is chosen.
        steps_max: steps in one call that are called a livelock.
        step_max_s: seconds of the processor that one step may take.

    Raises:
        InvalidSpec: the body is `async`: nobody would run it.
        NotReplayable: a seed gave two different runs.
    """

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        if inspect.iscoroutinefunction(body):
            remedy = "Give a plain function; actors in it may have async handlers."
            raise InvalidSpec("body", body.__name__, remedy)

        def run(seed: int, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
            sim = Simulation(seed, explore=explore, steps_max=steps_max, step_max_s=step_max_s)
            try:
                with sim:
                    body(*args, sim=sim, **kwargs)
            except (Exception, EndlessStep) as error:
                error.add_note(f"replay: {_command(body, seed)}")
                raise
            return sim.trace.digest

        def run_all(*args: object, **kwargs: object) -> None:
            for number, seed in enumerate(_seeds(first_seed, schedules)):
                digest = run(seed, args, kwargs)
                if number < replayed and run(seed, args, kwargs) != digest:
                    msg = f"seed {seed} gave two different runs"
                    error = NotReplayable(msg)
                    error.add_note(f"replay: {_command(body, seed)}")
                    raise error

        # The runner of tests looks at the signature for fixtures: `sim` is none.
        signature = inspect.signature(body)
        others = [each for name, each in signature.parameters.items() if name != "sim"]
        functools.update_wrapper(run_all, body)
        vars(run_all)["__signature__"] = signature.replace(parameters=others)
        return run_all

    return decorate


def _seeds(first_seed: int, schedules: int) -> range:
    asked_for = os.environ.get(SEED_VARIABLE)
    if asked_for is not None:
        return range(int(asked_for), int(asked_for) + 1)
    return range(first_seed, first_seed + schedules)


def _command(body: Callable[..., None], seed: int) -> str:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if not test:
        test = f"{inspect.getsourcefile(body) or ''}::{body.__qualname__}"
    return f"{SEED_VARIABLE}={seed} python -m pytest '{test}'"
