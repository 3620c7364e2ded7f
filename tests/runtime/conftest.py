"""What the runtime's tests get: a system on real threads, and the same test in simulations."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
import threading
from collections.abc import Callable, Iterator

import pytest

from callboard.supervision import ActorSystem
from callboard.supervision.testing import Simulation
from tests.runtime.kit import Box, Gate, is_for_threads
from tests.schedules import THREADS, everywhere, seed_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes `system` on both dispatchers, unless it says `threads_only`."""
    if "system" not in metafunc.fixturenames:
        return
    is_for_both = not is_for_threads(metafunc.function, metafunc.cls, metafunc.module)
    metafunc.parametrize("system", everywhere() if is_for_both else [THREADS], indirect=True)


@pytest.fixture
def system(request: pytest.FixtureRequest) -> Iterator[ActorSystem]:
    """Return a system that is stopped after the test, and leaves no thread behind."""
    seed = seed_of(request.param)
    if seed is None:
        with ActorSystem("under-test") as system:
            yield system
        left = [each.name for each in threading.enumerate() if each.name.startswith("under-test")]
        assert left == []
        return
    simulation = Simulation(seed)
    system = ActorSystem("under-test", runtime=simulation.runtime)
    yield system
    with simulation:
        system.stop()


@pytest.fixture
def box(system: ActorSystem) -> Box:
    return Box(system)


@pytest.fixture
def gate(system: ActorSystem) -> Gate:
    return Gate(system)


@pytest.fixture
def new_gate(system: ActorSystem) -> Callable[[], Gate]:
    return lambda: Gate(system)
