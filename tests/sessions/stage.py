"""What the tests of whole session systems share: a stage, on threads or simulated, and a play.

Import the fixture into the test module or its conftest:

    from tests.sessions.stage import Stage, stage
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec
import pytest

from callboard.actors import Presence, Role, SessionActor, SessionMessage, SessionSystem
from callboard.actors.sessions.services import Services
from callboard.supervision import ActorRef, Future, Refusal, Request, handles
from callboard.supervision.testing import ManualClock, Simulation
from tests.both import ThreadedWorld
from tests.runtime.kit import Gate

T = TypeVar("T")

SEEDS = (0, 1)
"""The schedules under which a test runs in simulation; CALLBOARD_SEED names another one."""

PATIENT_S = 60.0
"""For asks that outlast every delay of a restart."""


class Tally(msgspec.Struct, frozen=True):
    """The behaviour's own data."""

    said: int = 0


class Say(SessionMessage[int], frozen=True, kw_only=True):
    """Append and count, in one commit; the reply is the number."""

    text: str


class SayLater(Say, frozen=True, kw_only=True):
    """The same in a coroutine, with a pause between the two."""


class Fall(Say, frozen=True, kw_only=True):
    """Append, count and raise."""


class FallLater(Say, frozen=True, kw_only=True):
    """The same in a coroutine."""


class Decline(Say, frozen=True, kw_only=True):
    """Append, count and refuse."""


class DeclineLater(Say, frozen=True, kw_only=True):
    """The same in a coroutine."""


class SaveAndFall(Say, frozen=True, kw_only=True):
    """Append, count, commit; append once more and raise."""


class Hold(Say, frozen=True, kw_only=True):
    """Append, then block at the gate."""


class HoldLater(Say, frozen=True, kw_only=True):
    """Append, then wait at the gate in a coroutine."""


class SaveAndHoldLater(Say, frozen=True, kw_only=True):
    """Append, count, commit; append once more and wait at the gate in a coroutine."""


class Remember(SessionMessage[int], frozen=True):
    """Count in a plain attribute, which dies with the incarnation; reply the count."""


class Which(SessionMessage[int], frozen=True):
    """Reply the number of the incarnation."""


class NotNow(Refusal):
    """A declared answer that is not a crash."""

    code = "not_now"


class Boom(Exception):
    """What a handler raises when it is to crash."""


class Play:
    """What the behaviours of one test share with it."""

    gate: Gate

    def __init__(self) -> None:
        self.bad_starts: Counter[str] = Counter()
        """Session id -> starts that are to fail."""
        self.starts_at_the_gate: set[str] = set()
        """Session ids whose start waits there."""
        self.starts: Counter[str] = Counter()
        self.handled: list[str] = []


class Actor(SessionActor[Tally]):
    """The behaviour."""

    play: ClassVar[Play]

    def initial_data(self) -> Tally:
        return Tally()

    def on_start(self) -> None:
        if self._row.id in self.play.starts_at_the_gate:
            self.play.gate.wait()
        super().on_start()
        self.remembered = 0
        session = self.session
        self.play.starts[session.id] += 1
        if self.play.bad_starts[session.id]:
            self.play.bad_starts[session.id] -= 1
            raise Boom("it does not start")
        if session.metadata.get("is_cursed"):
            raise Boom("it does not start")

    def _say(self, text: str) -> int:
        self.play.handled.append(text)
        seq = self.append(Role.USER, text).seq
        self.update(data=Tally(self.data.said + 1))
        return seq

    @handles(Say)
    def on_say(self, message: Say) -> int:
        return self._say(message.text)

    @handles(SayLater)
    async def on_say_later(self, message: SayLater) -> int:
        seq = self.append(Role.USER, message.text).seq
        await asyncio.sleep(0)
        self.update(data=Tally(self.data.said + 1))
        return seq

    @handles(Fall)
    def on_fall(self, message: Fall) -> int:
        self._say(message.text)
        raise Boom(message.text)

    @handles(FallLater)
    async def on_fall_later(self, message: FallLater) -> int:
        self._say(message.text)
        await asyncio.sleep(0)
        raise Boom(message.text)

    @handles(Decline)
    def on_decline(self, message: Decline) -> int:
        self._say(message.text)
        raise NotNow(message.text)

    @handles(DeclineLater)
    async def on_decline_later(self, message: DeclineLater) -> int:
        self._say(message.text)
        await asyncio.sleep(0)
        raise NotNow(message.text)

    @handles(SaveAndFall)
    def on_save_and_fall(self, message: SaveAndFall) -> int:
        self._say(message.text)
        self.commit()
        self._say("never kept")
        raise Boom(message.text)

    @handles(Hold)
    def on_hold(self, message: Hold) -> int:
        seq = self._say(message.text)
        self.play.gate.wait()
        return seq

    @handles(HoldLater)
    async def on_hold_later(self, message: HoldLater) -> int:
        seq = self._say(message.text)
        await self.play.gate.passed()
        return seq

    @handles(SaveAndHoldLater)
    async def on_save_and_hold_later(self, message: SaveAndHoldLater) -> int:
        seq = self._say(message.text)
        self.commit()
        self._say("never kept")
        await self.play.gate.passed()
        return seq

    @handles(Remember)
    def on_remember(self, message: Remember) -> int:
        del message
        self.remembered += 1
        return self.remembered

    @handles(Which)
    def on_which(self, message: Which) -> int:
        del message
        return self.incarnation


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
        self._world: _Threads | _Simulated = (
            _Threads() if where == "threads" else _Simulated(int(where.rpartition("-")[2]))
        )
        self.play = Play()
        self._sessions: SessionSystem | None = None

    def open(self, **options: Any) -> SessionSystem:
        """Start a system with the behaviour of this module, unless told otherwise."""
        assert self._sessions is None, "one system at a time"
        behaviour = type("Actor", (Actor,), {"play": self.play})
        options.setdefault("session", behaviour)
        sessions = self._sessions = SessionSystem(
            name="under-test", partitions=2, runtime=self._world.runtime, **options
        ).start()
        if isinstance(self._world, _Threads):
            self._world.system = sessions.system
        self.play.gate = Gate(sessions.system)
        return sessions

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


def _places() -> list[str]:
    asked_for = os.environ.get("CALLBOARD_SEED")
    seeds = SEEDS if asked_for is None else (int(asked_for),)
    return ["threads", *(f"simulated-{seed}" for seed in seeds)]


@pytest.fixture(params=_places())
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Return a stage on which a system is opened; it is stopped after the test."""
    stage = Stage(str(request.param))
    yield stage
    stage.close()


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
