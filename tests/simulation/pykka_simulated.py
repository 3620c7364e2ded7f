"""A pytest plugin: pykka's own suite, with `PooledActor` on the simulated dispatcher.

As in `scripts/pykka_suite.py`, pykka's files stay as they are; `test_pykka_suite.py`
runs it. CALLBOARD_SEED says which schedule.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from callboard.supervision import ActorSystem, Future, PooledActor, Timeout
from callboard.supervision.runtime import pooled
from callboard.supervision.testing import Simulation

SEED = int(os.environ.get("CALLBOARD_SEED", "0"))


class Now:
    """The simulation of the test that runs now."""

    simulation: Simulation
    system: ActorSystem


def begin() -> None:
    Now.simulation = Simulation(SEED)
    Now.system = ActorSystem("pykka", runtime=Now.simulation.runtime)
    pooled._systems[:] = [Now.system]


def end() -> None:
    with Now.simulation:
        Now.system.stop()
    pooled._systems.clear()


class SimulatedFuture(Future[Any]):
    """A future whose waits drive the simulation."""

    def __init__(self) -> None:
        super().__init__(blocker=Now.system.dispatcher)


class SimulatedEvent:
    """A `threading.Event` whose waits drive the simulation."""

    def __init__(self) -> None:
        self._future = SimulatedFuture()

    def set(self) -> None:
        self._future.offer(None)

    def clear(self) -> None:
        self._future = SimulatedFuture()

    def is_set(self) -> bool:
        return self._future.is_done

    def wait(self, timeout: float | None = None) -> bool:
        try:
            self._future.get(timeout=timeout)
        except Timeout:
            return False
        return True


def wait_for_message(handler: Any, level: Any, num_messages: int = 1, timeout: float = 5) -> None:
    """`PykkaTestLogHandler.wait_for_message`, in simulated time."""
    deadline_s = Now.simulation.now_s + timeout
    Now.simulation.run(
        until=lambda: (
            len(handler.messages[level]) >= num_messages or Now.simulation.now_s >= deadline_s
        )
    )


def sleep(seconds: float) -> None:
    Now.simulation.sleep(seconds)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let each test that uses a runtime have ours."""
    if "runtime" in metafunc.fixturenames:
        runtime = importlib.import_module("tests.types").Runtime(
            name="simulated",
            actor_class=PooledActor,
            event_class=SimulatedEvent,
            future_class=SimulatedFuture,
            sleep_func=sleep,
        )
        mark = pytest.mark.parametrize(
            "runtime", [pytest.param(runtime, id="simulated")], indirect=True, scope="session"
        )
        metafunc.definition.add_marker(mark)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    handler: Any = importlib.import_module("tests.log_handler").PykkaTestLogHandler
    handler.wait_for_message = wait_for_message


@pytest.fixture(autouse=True)
def simulated() -> Iterator[None]:
    """Give each test a simulation of its own."""
    begin()
    yield
    end()
