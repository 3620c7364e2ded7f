"""Who is a client of a simulation, for those who wait for it and when it waits itself?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from callboard.supervision.runtime.cycles import refuse_cycle
from callboard.supervision.runtime.errors import AskCycle, Timeout
from callboard.supervision.testing.fibres import FibreRunner

if TYPE_CHECKING:
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.futures import Future

T = TypeVar("T")


class ClientRecord:
    """What a function beside the actors has in common with one: others may wait for it.

    It has the attributes of a cell that tell who waits for whom, so that a cycle
    of waits is found whether or not it leads through a client.

    Args:
        name: who it is in the trace.
    """

    is_dead = False
    operation = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: Future[Any] | None = None

    @property
    def ref(self) -> ClientRecord:
        """Return itself: whoever waits for its result waits for it."""
        return self

    def timeout_error(self, future: Future[Any]) -> Exception:
        """Return what somebody gets who waited too long for its result."""
        del future
        return Timeout(f"{self.name} did not return before the deadline")

    def run(self, function: Callable[[], T], future: Future[T], runner: Runner) -> None:
        """Call `function` on a fibre, as this client."""
        fibre = cast("FibreRunner", runner).fibre
        fibre.client = self
        try:
            result = function()
        except BaseException as error:  # it is the answer, too; it goes on
            future.offer_exception(error)
            raise
        finally:
            fibre.client = None
        future.offer(result)

    def begins_to_wait(self, future: Future[Any]) -> None:
        """Note for what it waits.

        Raises:
            AskCycle: whoever should give that waits for this client.
        """
        self.waiting = future
        try:
            refuse_cycle(cast("Any", self), future)
        except AskCycle:
            self.waiting = None
            raise
