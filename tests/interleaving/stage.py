"""A system on fibres, with real cells on a real pool; and what scenarios are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self, cast

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    DeliveryError,
    Future,
    Settings,
    SupervisedActor,
)
from callboard.supervision.runtime import process
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.chance import Ids, system_stream
from callboard.supervision.runtime.pool import Pool
from callboard.supervision.runtime.ports import Ports
from callboard.supervision.runtime.timers import ThreadTimers
from tests.interleaving import ports
from tests.interleaving.fibres import World


class FibreRuntime:
    """Real threads' own pool and timers, on fibres."""

    def ports(self, name: str, settings: Settings, emit: Callable[[object], None]) -> Ports:
        clock = ports.FibreClock()
        return Ports(
            clock=clock,
            dispatcher=Pool(name, settings, emit),
            timers=ThreadTimers(clock, f"{name}-timers", emit),
            loop=cast("Any", None),
            ids=Ids(clock, lambda _bits: 0),
            stream=system_stream,
            point=None,
        )


class Stage:
    """One system in one world, used for one run after the other.

    Args:
        world: the world.
        workers: how many workers there are, besides the reserved one.
        bounds: more settings.
    """

    def __init__(self, world: World, *, workers: int = 1, **bounds: Any) -> None:
        self.world = world
        settings = Settings(workers_min=workers, **bounds)
        self.system = ActorSystem("i", settings=settings, runtime=FibreRuntime())
        process.leave(self.system)  # it is never stopped: its world ends

    @classmethod
    def kept(cls, world: World, *, workers: int = 1, **bounds: Any) -> Self:
        """Return the one of this world; what earlier runs left there is forgotten."""
        stage = world.keep(lambda: cls(world, workers=workers, **bounds))
        stage.system.roots.clear()
        stage.system.names.clear()
        stage.system.dead_letters._latest.clear()
        return stage

    def spawn(self, actor: Callable[..., Any], *args: Any) -> Cell[Any]:
        """Start an actor; it is there, and all workers wait."""
        cell = self.system.spawn(actor, *args)
        self.world.settle()
        assert cell.is_started
        return cell

    @property
    def pool(self) -> Pool:
        """Its threads."""
        return cast("Pool", self.system.dispatcher)

    @property
    def dead_letters(self) -> list[Any]:
        """The messages that became dead letters, in order."""
        return [each.message for each in self.system.dead_letters.latest]


class Log:
    """What the actors of one run heard, and what nobody may see."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.slips: list[str] = []


class Hearing(SupervisedActor):
    """Notes what it hears, and whether another thread is inside; answers with the message.

    Args:
        log: what it heard.
        rest: called in the middle of each message.
    """

    def __init__(self, log: Log, rest: Callable[[], object] = str) -> None:
        self.log = log
        self.rest = rest
        self.is_inside = False

    def on_receive(self, message: Any) -> Any:
        if self.is_inside:
            self.log.slips.append("two threads in one actor")
        self.is_inside = True
        self.log.heard.append(message)
        self.rest()
        self.is_inside = False
        return message


class Doing(SupervisedActor):
    """Does what a message says."""

    def on_receive(self, message: Any) -> Any:
        return message()


class Lent(Hearing):
    """One that answers on its asker's thread."""

    hand_off = True


class Sent:
    """What became of the messages that were sent here: each has one end, and one alone.

    Args:
        stage: where they are sent.
        log: of those who may hear them.
    """

    def __init__(self, stage: Stage, log: Log) -> None:
        self._stage = stage
        self._log = log
        self._told: list[Any] = []
        self._refused: list[Any] = []
        self._asked: list[tuple[Any, Future[Any]]] = []

    def tell(self, to: Any, message: Any) -> None:
        self._told.append(message)
        try:
            to.tell(message)
        except DeliveryError:
            self._refused.append(message)

    def ask(self, to: Any, message: Any) -> None:
        """Ask, and do not wait."""
        self._asked.append((message, to.ask(message, block=False, timeout=math.inf)))

    def ask_and_wait(self, to: Any, message: Any) -> None:
        """Ask, and wait on this thread for as long as it takes."""
        future: Future[Any] = Future()
        try:
            future.offer(to.ask(message, timeout=math.inf))
        except DeliveryError as error:
            future.offer_exception(error)
        self._asked.append((message, future))

    def check(self) -> None:
        """Assert that each is heard, refused or a dead letter, once; and that asks are answered."""
        heard, dead = self._log.heard, self._stage.dead_letters
        assert self._log.slips == []
        for message in self._told:
            ends = [heard.count(message), dead.count(message), self._refused.count(message)]
            assert sum(ends) == 1, f"{message}: heard, a dead letter, refused: {ends}"
        for message, future in self._asked:
            assert future.is_done, f"{message} waits for an answer"
            assert message not in dead
            assert heard.count(message) <= 1
            if future.error is None:
                assert heard.count(message) == 1
                assert future.get() == message
            else:
                assert isinstance(future.error, ActorDeadError)
