"""What the runtime needs from the world, so that a simulation can stand in for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from callboard.supervision.runtime.chance import IdGenerator, Stream
    from callboard.supervision.runtime.clock import Clock
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.ending import EndingCell
    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.runtime.loop import Loop
    from callboard.supervision.runtime.settings import Settings
    from callboard.supervision.runtime.timers import Timers


class Dispatcher(Protocol):
    """Decides which thread (or greenlet) runs which cell when."""

    is_asleep: bool
    """Whether `wake` must be called after something was enqueued."""

    batch_max: int
    """Messages an actor may handle before it lets others have their turn."""

    hand_off_depth: int
    """Below this depth a hand-off is made without asking `runner_for_hand_off`; 0: always ask."""

    def wake(self) -> None:
        """See that what was enqueued is looked at."""
        ...

    def enqueue_for(self, cell: EndingCell[Any], /) -> Callable[[Any], object]:
        """Return what puts this cell in line. A C function where exceptions may strike."""
        ...

    def now_s(self) -> float:
        """Return the time that waits are measured in."""
        ...

    def block(self, future: Future[Any], until_s: float | None, /) -> None:
        """Wait where no actor runs."""
        ...

    def aside(self, act: Callable[[], None], name: str, /) -> Callable[[float], object]:
        """Do something that may never come back where nobody else waits for it. It never raises.

        In a simulation nothing hangs: there it is done before this returns.

        Returns:
            What waits, so many seconds at most, until nothing of it is left.
        """
        ...

    def awaited_in(self, loop: AbstractEventLoop, future: Future[Any], /) -> None:
        """Learn that a task on this loop awaits the future. A simulation goes on meanwhile."""
        ...

    def runner_for_hand_off(self, cell: EndingCell[Any], runner: Runner | None, /) -> Runner | None:
        """Return on what to run an idle cell right here, or None: through the queue."""
        ...

    def interrupt(self, cell: EndingCell[Any], runner: Runner, /) -> None:
        """End what a killed cell still does on `runner`. Returns at once."""
        ...

    def has_ended(self, cell: EndingCell[Any], /) -> None:
        """Give back what was kept for this cell alone."""
        ...

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """End all threads; return the names of those that did not end in time."""
        ...


class Ports(NamedTuple):
    """One set of implementations: real threads, or a simulation."""

    clock: Clock
    dispatcher: Dispatcher
    timers: Timers
    loop: Loop
    ids: IdGenerator
    stream: Callable[[str], Stream]
    point: Callable[[str, Any, object], None] | None
    """Where another activation may come in though nothing blocks; None outside simulations.

    Called as `point("put", receiver, message)`, `point("signal", receiver, act)`,
    `point("reply", actor, result)` and `point("dead", actor, reason)`.
    """
    overhear: Callable[[Callable[[object], None] | None], Callable[[object], None]] | None = None
    """Returns the hook to use in place of the host's; None: the host's own."""


class Runtime(Protocol):
    """Makes the ports of one system."""

    def ports(self, name: str, settings: Settings, emit: Callable[[object], None], /) -> Ports:
        """Return the ports for a system of this name."""
        ...
