"""An actor that a test holds in its hand: it collects what comes, and the test says what should."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from callboard.supervision.model.notices import Down, Exit
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.runtime.actors import SupervisedActor
from callboard.supervision.runtime.errors import Timeout
from callboard.supervision.runtime.futures import Future

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.names import Address
    from callboard.supervision.runtime.system import ActorSystem

T = TypeVar("T")

EXPECT_WITHIN_S = 5.0
"""How long a probe waits when it is not told, in the dispatcher's seconds."""


class _Act:
    """Have the collector do something as itself.

    Args:
        act: called with it.
    """

    def __init__(self, act: Callable[[_Collector], Any]) -> None:
        self.act = act


class _Collector(SupervisedActor):
    """The actor of a probe."""

    trap_exit = True
    is_spared = True
    """Whether faults that strike everybody leave it alone: it is the test's own."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def on_receive(self, message: object) -> object:
        if isinstance(message, _Act):
            return message.act(self)
        self._probe.take(message)
        return None


class Probe:
    """Stands among actors on behalf of a test; on threads and in simulations alike.

        probe = Probe(system)
        probe.monitor(worker)
        worker.tell(Boom())
        probe.expect_down(worker, reason=Crashed)

    Give `probe.ref` to actors that report to somebody. Every `expect` has a
    deadline, and takes the first message that fits, whatever came before it;
    the order of all is in `received`. In a simulation waiting runs the others.

    Args:
        system: where it stands.
        name: a name in the system to be found by; none unless given.
    """

    def __init__(self, system: ActorSystem, name: str | None = None) -> None:
        self._system = system
        self._received: list[object] = []
        self._taken: list[bool] = []
        self._waiting: list[Future[None]] = []
        self.ref: Cell[Any] = (
            system.spawn(_Collector, self)
            if name is None
            else system.spawn_named(name, _Collector, self)
        )
        """Its ref, to be told, linked and monitored like any other."""

    def __repr__(self) -> str:
        return f"<Probe with {len(self._received)} messages>"

    # -- what it does as an actor ------------------------------------------

    def monitor(self, target: Cell[Any] | Address[Any] | str) -> int:
        """Get a `Down` when the target ends; return the monitor's number."""
        return self._as_actor(lambda actor: actor.monitor(target))

    def demonitor(self, monitor: int) -> bool:
        """Ask for no `Down` any more; say whether it was still to come."""
        return self._as_actor(lambda actor: actor.demonitor(monitor))

    def link(self, target: Cell[Any] | Address[Any] | str) -> None:
        """Share the target's fate; its end comes as an `Exit` message."""
        self._as_actor(lambda actor: actor.link(target))

    def _as_actor(self, act: Callable[[_Collector], T]) -> T:
        answer: T = self.ref.ask(_Act(act), timeout=EXPECT_WITHIN_S)
        return answer

    def take(self, message: object) -> None:
        """Collect a message; called by its actor, or by a hook such as `on_event`."""
        self._taken.append(False)
        self._received.append(message)
        while self._waiting:
            self._waiting.pop().offer(None)

    # -- what the test expects ---------------------------------------------

    @property
    def received(self) -> tuple[Any, ...]:
        """All that came, in order, whether a test took it or not."""
        return tuple(self._received)

    @overload
    def expect(self, pattern: type[T], *, within_s: float = ...) -> T: ...
    @overload
    def expect(self, pattern: object, *, within_s: float = ...) -> Any: ...
    def expect(self, pattern: object, *, within_s: float = EXPECT_WITHIN_S) -> object:
        """Return the first message that fits and was not taken yet; wait for it.

        Args:
            pattern: a class: an instance of it; a function: one of which it is
                true; anything else: one that is equal.
            within_s: how long to wait, in the dispatcher's seconds.

        Raises:
            AssertionError: it did not come; the text says what did.
        """
        fits = _matcher(pattern)
        dispatcher = self._system.dispatcher
        until_s = dispatcher.now_s() + within_s
        while True:
            # As with a future: first be there to be woken, then look.
            arrival: Future[None] = Future(blocker=dispatcher)
            self._waiting.append(arrival)
            for index in range(len(self._received)):
                if not self._taken[index] and fits(self._received[index]):
                    self._taken[index] = True
                    return self._received[index]
            try:
                arrival.get(timeout=max(0.0, until_s - dispatcher.now_s()))
            except Timeout:
                break
        came = "".join(f"\n  {message!r}" for message in self._received) or " nothing"
        msg = f"{_words_for(pattern)} did not come within {within_s} s; what came:{came}"
        raise AssertionError(msg)

    def expect_down(
        self,
        who: object = None,
        *,
        reason: ExitReason | type[Any] | None = None,
        within_s: float = EXPECT_WITHIN_S,
    ) -> Down:
        """Return the `Down` of an actor that was monitored.

        Args:
            who: the ref, or the name if it was monitored by name; None: anybody.
            reason: a reason, or a class of reasons; None: any.
            within_s: how long to wait.

        Raises:
            AssertionError: it did not come, or with another reason.
        """
        down: Down = self.expect(_OfWhom(Down, who), within_s=within_s)
        _check_reason(down, reason)
        return down

    def expect_exit(
        self,
        who: object = None,
        *,
        reason: ExitReason | type[Any] | None = None,
        within_s: float = EXPECT_WITHIN_S,
    ) -> Exit:
        """Return the `Exit` of an actor that was linked; otherwise like `expect_down`."""
        exit_: Exit = self.expect(_OfWhom(Exit, who), within_s=within_s)
        _check_reason(exit_, reason)
        return exit_


class _OfWhom:
    """A pattern: a notice of this kind about this actor."""

    def __init__(self, kind: type[Down | Exit], who: object) -> None:
        self._kind = kind
        self._who = who

    def __call__(self, message: object) -> bool:
        return isinstance(message, self._kind) and (self._who is None or self._who == message.who)

    def __repr__(self) -> str:
        return f"{self._kind.__name__} of {'anybody' if self._who is None else self._who}"


def _check_reason(notice: Down | Exit, reason: ExitReason | type[Any] | None) -> None:
    if reason is None:
        return
    is_right = (
        isinstance(notice.reason, reason) if isinstance(reason, type) else notice.reason == reason
    )
    if not is_right:
        msg = f"{notice.who} ended otherwise: {notice.reason}, not {_words_for(reason)}"
        raise AssertionError(msg)


def _matcher(pattern: object) -> Callable[[object], object]:
    if isinstance(pattern, type):
        kind: type[object] = pattern
        return lambda message: isinstance(message, kind)
    if callable(pattern):
        return pattern
    return lambda message: message == pattern


def _words_for(pattern: object) -> str:
    name = getattr(pattern, "__name__", None)
    return repr(pattern) if name is None else str(name)
