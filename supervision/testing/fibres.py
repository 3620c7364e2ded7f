"""A stack of its own for every activation that may be suspended."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, cast

from callboard.supervision.runtime.current import Runner
from callboard.supervision.runtime.cycles import refuse_cycle
from callboard.supervision.runtime.futures import PortFuture
from callboard.supervision.runtime.waiting import wait_as_actor
from callboard.supervision.testing.errors import BlockedInHandOff, MissingExtra

if TYPE_CHECKING:
    import asyncio

    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.testing.clients import ClientRecord
    from callboard.supervision.testing.hub import Hub


class Greenlet(Protocol):
    """What we use of a greenlet, which has no types of its own."""

    gr_context: Context | None
    parent: Greenlet

    def switch(self) -> object:
        """Go on there, and come back here when it switches back."""
        ...

    def throw(self, error: BaseException) -> object:
        """Raise `error` there."""
        ...


def _greenlets() -> tuple[Callable[[Callable[[], None]], Greenlet], Callable[[], Greenlet]]:
    try:
        module = importlib.import_module("greenlet")
    except ImportError as error:
        msg = "a simulation needs greenlet: pip install callboard[testing]"
        raise MissingExtra(msg) from error
    return cast("Any", module).greenlet, cast("Any", module).getcurrent


class Fibre:
    """A greenlet that runs one activation after another.

    A new greenlet costs ten times as much as a switch, so one that has finished
    its activation is used again.
    """

    __slots__ = (
        "_greenlet",
        "client",
        "failure",
        "home",
        "hub",
        "is_doomed",
        "is_over",
        "is_waiting",
        "loop",
        "name",
        "own_runner",
        "runner",
        "waits_for",
        "work",
    )

    def __init__(self) -> None:
        make, self.home = _greenlets()
        """`home()` is the greenlet that calls it."""
        self.hub: Hub = cast("Hub", None)
        """Who switches to it."""
        self.own_runner = FibreRunner(self)
        self.runner: Runner = self.own_runner
        """The record that `local.runner` is while this fibre runs."""
        self.client: ClientRecord | None = None
        """The client whose function runs on this fibre now."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop that runs on this fibre now."""
        self.name = ""
        self.work: Callable[[Runner], object] | None = None
        self.failure: BaseException | None = None
        self.is_over = True
        self.is_doomed = False
        """Whether it is being unwound: it may not wait any more."""
        self.is_waiting = False
        self.waits_for: Future[Any] | None = None
        self._greenlet = make(self._run)

    def begin(
        self,
        name: str,
        work: Callable[[Runner], object],
        *,
        runner: Runner | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        context: Context | None = None,
    ) -> None:
        """Take on an activation; it runs at the next switch.

        Args:
            name: whose activation it is.
            work: called with the runner.
            runner: the record to run under; the fibre's own unless given.
            loop: the event loop whose step this is.
            context: the contextvars to begin with; empty, as on a new thread, unless given.
        """
        self.name = name
        self.work = work
        self.loop = loop
        self.runner = self.own_runner if runner is None else runner
        self.failure = None
        self.is_over = self.is_doomed = False
        # The context belongs to the greenlet: the last activation's must not be handed on.
        self._greenlet.gr_context = context

    def switch(self) -> None:
        """Go on with the activation until it is suspended or over. By the hub."""
        self._greenlet.switch()

    def throw(self, error: BaseException) -> None:
        """Raise `error` where the activation is suspended. By the hub."""
        self._greenlet.throw(error)

    def wake(self) -> None:
        """Go on soon; called once the wait is over, for whatever reason."""
        if self.is_waiting:
            self.is_waiting = False
            self.hub.resume(self)

    def _run(self) -> None:
        while True:
            work, self.work = self.work, None
            if work is None:
                return
            try:
                work(self.runner)
            except BaseException as error:  # noqa: BLE001 -- as on a thread: the hub raises it
                self.failure = error
            self.is_over = True
            del work
            self.hub.home.switch()

    def rest(self) -> None:
        """Hold on to nothing until the next activation, of whatever simulation."""
        self.hub = cast("Hub", None)
        self.runner = self.own_runner
        self.loop = None
        self._greenlet.gr_context = None

    def end(self) -> None:
        """End the greenlet: its stack is seen by no garbage collector, and would stay for ever."""
        self._greenlet.parent = self.home()
        self._greenlet.switch()


class FibreRunner(Runner):
    """The record of one fibre.

    Args:
        fibre: where it runs.
    """

    __slots__ = ("fibre",)

    def __init__(self, fibre: Fibre) -> None:
        super().__init__()
        self.fibre = fibre

    def block(self, future: Future[Any], until_s: float | None) -> None:
        """Suspend the activation until `future` is done or the time has come."""
        refuse_in_hand_off(self, future)
        wait_as_actor(self, future, until_s, self._wait)

    def _wait(self, future: Future[Any], until_s: float | None) -> None:
        self.fibre.hub.suspend(self.fibre, future, until_s)


class OutsideRunner(Runner):
    """The record of the test's own code while it runs an actor by hand-off."""

    __slots__ = ()

    def block(self, future: Future[Any], until_s: float | None) -> None:
        """Refuse, but for what a port owes: only a hand-off can be under way here."""
        refuse_in_hand_off(self, future)
        future.blocker.block(future, until_s)


def refuse_in_hand_off(runner: Runner, future: Future[Any]) -> None:
    """Raise if an actor runs here by hand-off.

    Raises:
        AskCycle: the wait would never end.
        BlockedInHandOff: with the name of the actor.
    """
    if runner.depth and not isinstance(future, PortFuture):
        cell = runner.cell
        assert cell is not None
        refuse_cycle(cell, future)
        name = cell.name
        msg = f"{name} declares its handlers short (hand_off) but waited in one"
        raise BlockedInHandOff(msg, actor=name)
