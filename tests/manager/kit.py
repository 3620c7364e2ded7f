"""What the tests of the manager share: sessions that hang, crash and start as the test says."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from callboard.actors import CreateSession, SessionActor, SessionMessage, SessionSystem
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.services import Services
from callboard.supervision import ActorRef, CountChildren, ExitReason, Future, handles
from callboard.supervision.model.routing import partition_of

WITHIN_S = 10.0
"""How long anything may take before it fails the test."""

FOREVER_S = 3600.0


class Hang(SessionMessage[None], frozen=True):
    """Never come back from the handler."""


class Crash(SessionMessage[None], frozen=True):
    """Raise in the handler."""


class Greet(SessionMessage[str], frozen=True):
    """Answer."""


class Boom(Exception):
    """What a session raises when it is told to."""


class Stage:
    """What the sessions of one test do, and what they did."""

    def __init__(self) -> None:
        self.starts: Counter[str] = Counter()
        """Session id -> incarnations whose user code ran."""
        self.stumbles: Counter[str] = Counter()
        """Session id -> starts that are still to fail."""
        self.doors: dict[str, Future[None]] = {}
        """Session id -> what its start waits for."""
        self.entered: dict[str, Future[None]] = {}
        """Session id -> told when its start waits."""
        self.falls: set[str] = set()
        """Sessions whose cleanup raises."""

    def hold(self, sessions: SessionSystem, session_id: str) -> None:
        """Have the next starts of a session wait until its door is opened."""
        dispatcher = sessions.system.dispatcher
        self.doors[session_id] = Future(blocker=dispatcher)
        self.entered[session_id] = Future(blocker=dispatcher)

    def await_entry(self, session_id: str) -> None:
        """Wait until its start waits."""
        self.entered[session_id].get(timeout=WITHIN_S)

    def open(self, session_id: str) -> None:
        """Let its start go on."""
        self.doors[session_id].offer(None)


class Player(SessionActor[None]):
    """A session that does what the stage says."""

    stage: ClassVar[Stage]

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the runtime takes both
        session_id = self._row.id
        stage = self.stage
        stage.starts[session_id] += 1
        if stage.stumbles[session_id]:
            stage.stumbles[session_id] -= 1
            raise Boom
        door = stage.doors.get(session_id)
        if door is not None:
            stage.entered[session_id].offer(None)
            await door
        super().on_start()

    def terminate(self, reason: ExitReason) -> None:
        super().terminate(reason)
        if self._row.id in self.stage.falls:
            raise Boom

    @handles(Hang)
    async def on_hang(self, message: Hang) -> None:
        del message
        await asyncio.sleep(FOREVER_S)

    @handles(Crash)
    def on_crash(self, message: Crash) -> None:
        raise Boom(message.session_id)

    @handles(Greet)
    def on_greet(self, message: Greet) -> str:
        return f"hello {message.session_id}"


def player(stage: Stage) -> type[Player]:
    """Return the behaviour, bound to a stage of its own."""
    return type("Player", (Player,), {"stage": stage})


def create(sessions: SessionSystem, session_id: str) -> str:
    """Create a session and wait until it runs."""
    return sessions.ask(CreateSession(session_id=session_id), timeout=WITHIN_S).id


def begin_create(sessions: SessionSystem, session_id: str, **more: Any) -> Future[Any]:
    """Ask for a session and go on."""
    message = CreateSession(session_id=session_id, **more)
    return sessions.manager.ask(message, block=False, timeout=WITHIN_S)


def services_of(sessions: SessionSystem) -> Services:
    """Return what the parts of a running system share."""
    assert sessions._services is not None
    return sessions._services


def partition_of_all(sessions: SessionSystem) -> ActorRef[Any]:
    """Return the one partition there is: suspended, it is busy with something for ever."""
    partition = sessions.system.lookup(partition_name(0))
    assert partition is not None
    assert partition.ref is not None
    return partition.ref


def partition_is_done(sessions: SessionSystem, session_id: str) -> int:
    """Wait until a session's partition has done all it was told; return how many it runs."""
    number = partition_of(session_id, services_of(sessions).partitions)
    partition = sessions.system.lookup(partition_name(number))
    assert partition is not None
    return partition.ask(CountChildren(), timeout=WITHIN_S).active
