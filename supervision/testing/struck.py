"""How does a fault strike an actor? Where it starts, handles a message, or ends.

Nothing of the runtime knows of this. The dispatcher of a simulation is asked once for every
new cell; it then sees to it that the actor which is made there has hooks and routes of its own:
attributes of the instance, ahead of those of its class, that call these.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

import msgspec

from callboard.supervision.runtime.actors import SupervisedActor
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import Timeout
from callboard.supervision.runtime.foreign import ForeignCell
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.notices import ForOneLife
from callboard.supervision.testing.faults import (
    HOOKS,
    ActorFault,
    ClockJump,
    Crash,
    FullMailbox,
    Hang,
    Kill,
    Slow,
    place,
)
from callboard.supervision.testing.trace import name_in_line

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.testing.hub import Hub
    from callboard.supervision.testing.strikes import Rule, Strikes

ROUTES = "_callboard_routes"
"""The attribute of an actor in which it looks for a message's handler."""


class StruckActors:
    """Has the faults of a plan strike the actors of a simulation.

    Args:
        hub: where they run.
        strikes: says when.
    """

    def __init__(self, hub: Hub, strikes: Strikes) -> None:
        self.hub = hub
        self.strikes = strikes
        self._is_needed = any(isinstance(each.fault, ActorFault) for each in strikes.rules)

    def prepare(self, cell: Any) -> None:
        """See that the actor of a new cell can be struck; or of one that got another class."""
        if not self._is_needed or isinstance(cell, ForeignCell):
            return
        if cell.actor is not None:
            self._route(cell, cell.actor)
        elif cell.birth is not None:
            make = partial(self._make, cell, cell.birth.factory)
            cell.birth = msgspec.structs.replace(cell.birth, factory=make)

    def _make(self, cell: Cell[Any], factory: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        actor = factory(*args, **kwargs)
        if isinstance(actor, SupervisedActor) and cell.actor is actor:
            rules = self.strikes.against(ActorFault, cell)
            if rules:
                self._arm(cell, actor, rules)
        return actor

    def _arm(self, cell: Cell[Any], actor: Any, rules: Sequence[Rule]) -> None:
        own: dict[str, Any] = actor.__dict__
        for hook in HOOKS:
            its = [each for each in rules if each.is_on(hook)]
            if its:
                own[hook] = Place(self, cell, hook, its).around(getattr(actor, hook))
        others = [each for each in rules if each.fault.on not in HOOKS]
        if others:
            kind = actor.__class__
            own[ROUTES] = Routes(self, cell, getattr(kind, ROUTES), others, find=kind._route_for)  # noqa: SLF001 -- as the actor itself does
            self._route(cell, actor)

    def _route(self, cell: Cell[Any], actor: Any) -> None:
        kind: Any = actor.__class__
        routes: Routes | None = actor.__dict__.get(ROUTES)
        if routes is None:
            return
        # What the cell looks up by itself: the same; something of the class's own; or nothing,
        # where it has a `_handle_receive` of its own.
        if kind.callboard_direct is getattr(kind, ROUTES):
            cell.handlers = routes
        elif kind.callboard_direct:
            cell.handlers = Routes(self, cell, kind.callboard_direct, routes.rules)


class Routes(dict[type[Any], Any]):
    """The handlers of one actor, each with what may strike it there.

    Args:
        actors: has faults strike.
        cell: the actor's.
        handlers: those of its class.
        rules: what may strike it while it handles a message.
        find: returns the handler of a type that is not among them; None: nobody does.
    """

    def __init__(
        self,
        actors: StruckActors,
        cell: Cell[Any],
        handlers: Mapping[type[Any], Any],
        rules: Sequence[Rule],
        *,
        find: Callable[[type[Any]], Any] | None = None,
    ) -> None:
        super().__init__(handlers)
        self.rules = rules
        self._actors = actors
        self._cell = cell
        self._find = find
        self._struck: dict[type[Any], Any] = {}

    def get(self, kind: type[Any], default: Any = None) -> Any:
        """Return the handler for messages of a type, which may be struck."""
        del default
        found = self._struck.get(kind)
        if found is None:
            found = super().get(kind)
            if found is None and (self._find is None or (found := self._find(kind)) is None):
                return None
            # What wraps a message for one life is no message: what is in it is looked up next.
            if not issubclass(kind, ForOneLife):
                rules = [each for each in self.rules if each.is_on(kind.__name__)]
                if rules:
                    found = Place(self._actors, self._cell, kind.__name__, rules).around(found)
            self._struck[kind] = found
        return found


class Place:
    """A handler or a hook of one actor, where faults may strike.

    Args:
        actors: has faults strike.
        cell: the actor's.
        on: the type of the message, or the hook.
        rules: which faults may.
    """

    def __init__(
        self, actors: StruckActors, cell: Cell[Any], on: str, rules: Sequence[Rule]
    ) -> None:
        self._hub = actors.hub
        self._strikes = actors.strikes
        self._cell = cell
        self._on = on
        self._early = [each for each in rules if not cast("ActorFault", each.fault).is_after]
        self._late = [each for each in rules if cast("ActorFault", each.fault).is_after]

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls `call`, struck before it and after it."""
        if inspect.iscoroutinefunction(call):
            return partial(self._await_it, call)
        return partial(self._call_it, call)

    def _call_it(self, call: Callable[..., Any], *args: Any) -> Any:
        for fault in self._falling(self._early):
            self._strike(fault)
        result = call(*args)
        kind = type(result)  # pyright: ignore[reportUnknownVariableType]  # whatever it returned
        if kind is GeneratorType and self._cell.is_system:
            return self._go_through(result)
        if kind is not CoroutineType:
            for fault in self._falling(self._late):
                self._strike(fault)
        return result

    def _go_through(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        result = yield from steps
        for fault in self._falling(self._late):
            self._strike(fault)
        return result

    async def _await_it(self, call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        for fault in self._falling(self._early):
            await self._strike_later(fault)
        result = await call(*args)
        for fault in self._falling(self._late):
            await self._strike_later(fault)
        return result

    def _falling(self, rules: Sequence[Rule]) -> Generator[ActorFault]:
        """Yield what strikes now; each is decided when the one before it has struck."""
        cell, runner = self._cell, local.runner
        for rule in rules:
            if isinstance(rule.fault, Hang) and runner is not None and runner.depth:
                continue  # on another's stack, whom nothing could end either
            if self._strikes.falls(rule, name_in_line(cell), self._on, whom=cell.name):
                yield cast("ActorFault", rule.fault)

    def _strike(self, fault: ActorFault) -> None:
        match fault:
            case Kill():
                self._send_killer()
                self._hub.give_way()
            case Hang():
                try:
                    _ = self._gate().get(timeout=fault.seconds)
                except Timeout:
                    return
            case Slow():
                self._hub.stall(fault.seconds)
            case _:
                self._strike_at_once(fault)

    async def _strike_later(self, fault: ActorFault) -> None:
        """Do the same in a coroutine, where a wait is awaited."""
        match fault:
            case Kill():
                self._send_killer()
                await asyncio.sleep(0)
            case Hang():
                try:
                    async with asyncio.timeout(
                        None if fault.seconds == math.inf else fault.seconds
                    ):
                        await self._gate()
                except TimeoutError:
                    return
            case Slow():
                await asyncio.sleep(fault.seconds)
            case _:
                self._strike_at_once(fault)

    def _strike_at_once(self, fault: ActorFault) -> None:
        match fault:
            case Crash():
                msg = f"a fault: {place(self._cell.name, self._on)}"
                raise fault.error(msg)
            case ClockJump():
                self._hub.jump(fault.seconds, is_wall_only=fault.is_wall_only)
            case FullMailbox():
                self._fill(fault.seconds)
            case _:
                msg = f"{fault!r} is no fault that strikes actors"
                raise AssertionError(msg)

    def _send_killer(self) -> None:
        _ = self._hub.spawn("killer", self._cell.kill)

    def _gate(self) -> Future[None]:
        gate: Future[None] = Future(blocker=self._hub)
        self._strikes.at_end(partial(gate.offer, None))
        return gate

    def _fill(self, seconds: float) -> None:
        """Let the mailbox's bound be nought for a while; also of one that outlives the cell."""
        cell, address = self._cell, self._cell.address
        bounds = [(cell, cell.mailbox_max)]
        if address is not None:
            bounds.append((cast("Any", address), address.mailbox_max))
        bounds = [each for each in bounds if each[1]]  # a second time it is full already
        for holder, _ in bounds:
            holder.mailbox_max = 0

        def empty() -> None:
            for holder, mailbox_max in bounds:
                if not holder.mailbox_max:
                    holder.mailbox_max = mailbox_max

        self._hub.call_at(self._hub.time_s + seconds, empty, is_of_the_hub=True)
        self._strikes.at_end(empty)
