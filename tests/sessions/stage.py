"""What the tests of whole session systems share: a stage, on threads or simulated, and a play.

Import the fixture into the test module or its conftest:

    from tests.sessions.stage import Stage, stage
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import pytest

from callboard.actors import Presence, SessionSystem
from callboard.actors.sessions.services import Services
from callboard.supervision import ActorRef, Future, Request
from callboard.supervision.testing import ManualClock, Simulation
from tests.both import ThreadedWorld
from tests.cast import (
    Actor,
    Boom,
    Decline,
    DeclineLater,
    Fall,
    FallLater,
    Hold,
    HoldLater,
    NotNow,
    Play,
    Remember,
    SaveAndFall,
    SaveAndHoldLater,
    Say,
    SayLater,
    Tally,
    Which,
    behaviour,
)
from tests.runtime.kit import Gate
from tests.schedules import everywhere, seed_of

__all__ = [
    "PATIENT_S",
    "SEEDS",
    "Actor",
    "Boom",
    "Decline",
    "DeclineLater",
    "Fall",
    "FallLater",
    "Hold",
    "HoldLater",
    "NotNow",
    "Play",
    "Remember",
    "SaveAndFall",
    "SaveAndHoldLater",
    "Say",
    "SayLater",
    "Stage",
    "Tally",
    "Which",
    "World",
    "cell_of",
    "later",
    "part_of",
    "presence",
    "services_of",
    "stage",
    "texts",
    "until",
]

T = TypeVar("T")

SEEDS = (0, 1)
"""The schedules under which a test runs in simulation; CALLBOARD_SEED names another one."""

SETTLES_MAX = 50
"""How often a test looks whether something has come about."""

PATIENT_S = 60.0
"""For asks that outlast every delay of a restart."""


class World(Protocol):
    """Where the system runs, and how to wait for it."""

    def settle(self) -> None: ...

    def advance(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class _Threads(ThreadedWorld):
    """Real threads, and a clock that the test moves. The system is the one that is open."""

    def __init__(self) -> None:  # not its base's, which makes an actor system of its own
        self.clock = ManualClock()
        self.pools = []

    @property
    def runtime(self) -> Any:
        """What makes the ports: this world itself."""
        return self

    def close(self) -> None:
        left = [each.name for each in threading.enumerate() if each.name.startswith("under-test")]
        assert left == []


class _Simulated:
    """One thread and a seed."""

    def __init__(self, seed: int) -> None:
        self.simulation = Simulation(seed)
        self.runtime = self.simulation.runtime
        self.settle = self.simulation.settle
        self.advance = self.simulation.advance

    def close(self) -> None:
        self.simulation.close()


class Stage:
    """A session system under test; one at a time.

    Args:
        where: `threads`, or `simulated-` and a seed.
    """

    def __init__(self, where: str) -> None:
        seed = seed_of(where)
        self._world: _Threads | _Simulated = _Threads() if seed is None else _Simulated(seed)
        self.play = Play()
        self._sessions: SessionSystem | None = None

    def open(self, **options: Any) -> SessionSystem:
        """Start a system with the behaviour of this module, unless told otherwise."""
        assert self._sessions is None, "one system at a time"
        options.setdefault("session", behaviour(self.play))
        sessions = self._sessions = SessionSystem(
            name="under-test", partitions=2, runtime=self._world.runtime, **options
        ).start()
        if isinstance(self._world, _Threads):
            self._world.system = sessions.system
        self.play.gate = Gate(sessions.system)
        return sessions

    def again(self, **options: Any) -> SessionSystem:
        """Stop the system that is open, and start another."""
        assert self._sessions is not None
        self._sessions.stop()
        self._sessions = None
        if isinstance(self._world, _Threads):
            self._world.pools.clear()
        return self.open(**options)

    def settle(self) -> None:
        """Return when nothing runs and nothing is ready; who waits may go on waiting."""
        self._world.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass; timers go off in order, and all settles after each."""
        self._world.advance(seconds)

    def at_once(self, *acts: Callable[[], None]) -> None:
        """Have each done by a client of its own, all at the same time; return when all are done."""
        if isinstance(self._world, _Simulated):
            spawn = self._world.simulation.spawn
            clients = [spawn(f"client-{number}", act) for number, act in enumerate(acts)]
            for client in clients:
                client.result()
            return
        with ThreadPoolExecutor(max(1, len(acts))) as threads:
            for done in [threads.submit(act) for act in acts]:
                done.result(PATIENT_S)

    def set_the_wall_clock(self, seconds: float) -> None:
        """Move what people read on the clock, forward or back; no time passes."""
        assert self._sessions is not None
        clock: Any = self._sessions.system.clock
        name = "_wall_offset_s" if isinstance(clock, ManualClock) else "_began_s"
        setattr(clock, name, getattr(clock, name) + seconds)

    def close(self) -> None:
        if self._sessions is not None:
            self._sessions.stop()
        self._world.close()


@pytest.fixture(params=everywhere(SEEDS))
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Return a stage on which a system is opened; it is stopped after the test."""
    stage = Stage(str(request.param))
    yield stage
    stage.close()


def until(stage: Stage, holds: Callable[[], bool]) -> None:
    """Return when it holds; nothing moves the clock meanwhile."""
    for _ in range(SETTLES_MAX):
        stage.settle()
        if holds():
            return
    raise AssertionError("it does not come about")


# -- looking into a system -------------------------------------------------


def services_of(sessions: SessionSystem) -> Services:
    services = sessions._services
    assert services is not None
    return services


def cell_of(sessions: SessionSystem, session_id: str) -> ActorRef[Any]:
    """Return the ref of a session's current incarnation."""
    ref = sessions.address(session_id).ref
    assert ref is not None, "it has no actor"
    return ref


def part_of(sessions: SessionSystem, path: str) -> ActorRef[Any]:
    """Return a part of the tree by its path."""
    part = services_of(sessions).find_part(path)
    assert part is not None, f"{path} does not run"
    found: ActorRef[Any] = part
    return found


def texts(sessions: SessionSystem, session_id: str) -> list[str]:
    """Return what the log says."""
    return [each.content for each in sessions.messages(session_id)]


def presence(sessions: SessionSystem, session_id: str) -> Presence:
    return sessions.get(session_id).presence


def later(sessions: SessionSystem, message: Request[T]) -> Future[T]:
    """Return the future of an answer."""
    return sessions._recipient(message).ask(message, block=False, timeout=PATIENT_S)
