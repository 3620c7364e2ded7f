"""What the runtime's tests share: an actor that does what a message says, and waits that end.

Everything here waits by the system's own dispatcher, so that the same test runs
on real threads and in a simulation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, TypeVar

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ExitReason,
    Future,
    PinnedActor,
    Refusal,
    Request,
    SupervisedActor,
    handles,
)

R = TypeVar("R")
T = TypeVar("T")

WITHIN_S = 10.0
"""How long a wait may take before it fails the test. A right test never waits so long."""


class Boom(Exception):
    """What a handler raises when it is to crash."""


class No(Refusal):
    """What a handler raises when it is to refuse."""

    code = "no"


class Do(Request[R], Generic[R], frozen=True):
    """Have the actor answer with `act(actor)`."""

    act: Callable[[Any], R]


class Await(Request[R], Generic[R], frozen=True):
    """Have the actor answer with what it awaits of `act(actor)`."""

    act: Callable[[Any], Awaitable[R]]


class Puppet(SupervisedActor):
    """Does what a message says.

    Args:
        starts: called with the actor in `on_start`.
        ends: called with the exit reason in `terminate`.
        hears: called with every message that is no `Do`; what it returns is the answer.
    """

    def __init__(
        self,
        starts: Callable[[Any], Any] | None = None,
        ends: Callable[[ExitReason], Any] | None = None,
        hears: Callable[[Any], Any] | None = None,
    ) -> None:
        self.starts = starts
        self.ends = ends
        self.hears = hears

    def on_start(self) -> Any:
        return None if self.starts is None else self.starts(self)

    def terminate(self, reason: ExitReason) -> Any:
        return None if self.ends is None else self.ends(reason)

    @handles(Do)
    def do(self, message: Do[Any]) -> Any:
        return message.act(self)

    def on_receive(self, message: Any) -> Any:
        return super().on_receive(message) if self.hears is None else self.hears(message)


class Trapping(Puppet):
    """Gets exits of linked actors as messages."""

    trap_exit = True


class Short(Puppet):
    """May run on the asker's own thread."""

    hand_off = True


class Small(Puppet):
    """Takes two waiting messages."""

    mailbox_max: ClassVar[int | None] = 2


class Pinned(Puppet, PinnedActor):
    """Has a thread of its own."""


class AsyncPuppet(Puppet):
    """Awaits what a message says."""

    @handles(Await)
    async def wait_for(self, message: Await[Any]) -> Any:
        return await message.act(self)


class Gate:
    """Closed until somebody opens it; a wait that takes too long fails the test."""

    def __init__(self, system: ActorSystem) -> None:
        self._future: Future[None] = Future(blocker=system.dispatcher)

    def open(self, *_whatever: object) -> bool:
        return self._future.offer(None)

    def wait(self, *_whatever: object) -> bool:
        self._future.get(timeout=WITHIN_S)
        return True

    async def passed(self, *_whatever: object) -> None:
        await self._future

    @property
    def is_open(self) -> bool:
        return self._future.is_done


class Box:
    """What actors hand to the test, in order."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._items: deque[Any] = deque()
        self._waiting: Future[None] | None = None

    def put(self, item: Any) -> bool:
        self._items.append(item)
        waiting = self._waiting
        return waiting is not None and waiting.offer(None)

    def take(self) -> Any:
        """Return the next item; wait for it."""
        while not self._items:
            self._waiting = Future(blocker=self._system.dispatcher)
            if not self._items:
                self._waiting.get(timeout=WITHIN_S)
            self._waiting = None
        return self._items.popleft()

    def take_many(self, count: int) -> list[Any]:
        return [self.take() for _ in range(count)]

    @property
    def waiting(self) -> list[Any]:
        """What is there and was not taken yet."""
        return list(self._items)


def boom(_actor: object = None) -> Any:
    raise Boom("as it was told to")


def refuse(_actor: object = None) -> Any:
    raise No("as it was told to")


def give(value: T) -> Callable[[Any], T]:
    """Return what a handler does that answers with `value`."""
    return lambda _actor: value


def put(box: Box, item: Any) -> Callable[[Any], bool]:
    """Return what a handler does that puts `item` into a box."""
    return lambda _actor: box.put(item)


def reason_of(ref: ActorRef[Any]) -> ExitReason:
    """Wait until the actor has ended and return why."""
    assert ref.actor_stopped.wait(WITHIN_S), f"{ref} has not ended"
    assert ref.reason is not None
    return ref.reason


def crash(ref: ActorRef[Any]) -> ExitReason:
    """Have a handler of the actor raise, and wait for its end."""
    ref.tell(Do(boom))
    return reason_of(ref)


def idle(ref: ActorRef[Any]) -> None:
    """Return when the actor has handled everything that was sent to it before."""
    ref.ask(Do(lambda _: None), timeout=WITHIN_S)


_THREADS_ONLY = "_threads_only"


def threads_only(test: T) -> T:
    """Mark a test or a class of tests that needs real threads: it spins, or looks at threads."""
    setattr(test, _THREADS_ONLY, True)
    return test


def is_for_threads(*owners: object) -> bool:
    """Say whether a test, its class or its module (`THREADS_ONLY = True`) needs real threads."""
    return any(
        getattr(owner, _THREADS_ONLY, getattr(owner, "THREADS_ONLY", False)) for owner in owners
    )
