"""The actors of the simulation's tests."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from callboard.supervision import (
    ActorRef,
    ExitReason,
    PinnedActor,
    Refusal,
    Request,
    SupervisedActor,
    handles,
)
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.notices import ChildExited, ChildStarted
from callboard.supervision.runtime.operations import Until


class Boom(Exception):
    """What a handler raises when it is to crash."""


class No(Refusal):
    """What a handler raises when it is to refuse."""

    code = "no"


class Add(Request[int], frozen=True):
    """Add to the sum and answer it."""

    number: int


class Crash(Request[None], frozen=True):
    """Crash."""


class Refuse(Request[None], frozen=True):
    """Refuse."""


class Pass(Request[int], frozen=True):
    """Ask `to` to add `number`, and answer what it answered."""

    to: Any
    number: int
    timeout: float | None = None


class Do(Request[Any], frozen=True):
    """Call `act(actor)` and answer what it returns."""

    act: Callable[[Any], Any]


class Counter(SupervisedActor):
    """Adds up."""

    def __init__(self, sum_: int = 0) -> None:
        self.sum = sum_
        self.seen: list[int] = []

    @handles(Add)
    def add(self, message: Add) -> int:
        self.sum += message.number
        self.seen.append(message.number)
        return self.sum

    @handles(Crash)
    def crash(self, _message: Crash) -> None:
        raise Boom("as it was told to")

    @handles(Refuse)
    def refuse(self, _message: Refuse) -> None:
        raise No("as it was told to")

    @handles(Pass)
    def pass_on(self, message: Pass) -> int:
        answer: int = message.to.ask(Add(message.number), timeout=message.timeout)
        return answer

    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.act(self)


class QuickCounter(Counter):
    """May answer on its asker's own stack."""

    hand_off = True


class PinnedCounter(Counter, PinnedActor):
    """Has a thread of its own, where there are threads."""


class AsyncCounter(Counter):
    """Awaits whom it passes something on to."""

    @handles(Pass)
    async def pass_on(self, message: Pass) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # async on purpose
        answer: int = await message.to.ask_async(Add(message.number), timeout=message.timeout)
        return answer


class StartChild(Request[bool], frozen=True):
    """Start a child and answer whether it has started."""

    within_s: float = 5.0


class StopChild(Request[bool], frozen=True):
    """Stop the child and answer whether it has ended in time."""

    within_s: float = 5.0


class Parent(SystemActor):
    """Starts and stops one child without blocking.

    Args:
        factory: makes the child.
        notes: gets what the parent hears.
    """

    def __init__(self, factory: Callable[..., Any], notes: Callable[[object], object]) -> None:
        self.factory = factory
        self.notes = notes
        self.child: ActorRef[Any] | None = None

    @handles(StartChild)
    def start_child(self, message: StartChild) -> Generator[Until, bool, bool]:
        child = self.child = self.system.start_child(self.actor_ref, self.factory)
        return (yield Until(lambda: child.is_started or child.is_dead, message.within_s))

    @handles(StopChild)
    def stop_child(self, message: StopChild) -> Generator[Until, bool, bool]:
        child = self.child
        assert child is not None
        child.exit()
        return (yield Until(lambda: child.is_dead, message.within_s))

    @handles(ChildStarted, ChildExited)
    def hear(self, message: ChildStarted | ChildExited) -> None:
        self.notes(message)


class Ender(SupervisedActor):
    """Does something when it ends.

    Args:
        act: called with the exit reason.
    """

    def __init__(self, act: Callable[[ExitReason], Any]) -> None:
        self.act = act

    def terminate(self, reason: ExitReason) -> Any:
        return self.act(reason)
