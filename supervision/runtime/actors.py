"""Actors that crash when they fail: what a user subclasses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.notices import Down, Exit
from callboard.supervision.model.reasons import (
    EXIT_REASONS,
    ExitReason,
    NoActor,
    Normal,
    is_abnormal,
)
from callboard.supervision.model.requests import handlers_of
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import (
    ActorDeadError,
    NoSystem,
    UnhandledMessage,
)
from callboard.supervision.runtime.idle import IdleWatch
from callboard.supervision.runtime.interrupts import passes
from callboard.supervision.runtime.mailbox import copy_context
from callboard.supervision.runtime.names import Address
from callboard.supervision.runtime.notices import ForOneLife, ForOneMonitor, ToOneself
from callboard.supervision.runtime.pooled import PooledActor
from callboard.supervision.runtime.seam import PROXY_MESSAGES
from callboard.supervision.runtime.taken import refuse_taken_names
from callboard.supervision.runtime.timers import TimersOfOne

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.futures import Future, Owner
    from callboard.supervision.runtime.system import ActorSystem
    from callboard.supervision.runtime.timers import Timer

A = TypeVar("A", bound="SupervisedActor")

_TYPES_KEPT_MAX = 1_000
"""Message types per class whose handler is remembered; there are programs that make types."""


class SupervisedActor(PooledActor):
    """An actor that ends when a handler raises, so that a supervisor can start it anew.

    Handle messages with methods marked `@handles(MessageType)`, plain or async,
    or override `on_receive`. A handler may raise a `Refusal` to say no: the
    asker gets it and the actor lives. Every other exception, `BaseException`
    included, ends this actor and no other; the asker gets the exception.

    The actor's code runs on one thread at a time, never on a thread of your own
    (unless `hand_off` is set). `__init__` runs there too, as the first thing of
    the start. Start it with `ActorSystem.spawn` or under a supervisor.

    Source: OTP, gen_server.
    """

    cell_class: type[Cell[Any]] = Cell

    trap_exit: ClassVar[bool] = False
    """Whether exits of linked actors arrive as `Exit` messages instead of ending this one.

    Differs from OTP: it governs links and signals only. An orderly stop runs
    `terminate` with or without it, for Python has no virtual machine that closes
    a dead actor's files.

    Source: Erlang, process_flag(trap_exit, true).
    """

    hand_off: ClassVar[bool] = False
    """Whether the handlers are short enough to run on the asker's own thread when idle.

    They must not block there, and nothing can end them: an ask that is answered so returns when its
    handler does, whatever its `timeout`, which only travels on with what the handler itself asks.
    """

    starts_at_once: ClassVar[bool] = True
    """Whether `__init__` and `on_start` wait for nothing, as this class's own do.

    Under a supervisor they then run on its thread, where nobody could end them; messages are
    handled elsewhere. A subclass with one of its own says so itself, or starts on a worker.
    """

    interruptible: ClassVar[bool] = True
    """Whether a kill may interrupt a handler in the middle of its Python code."""

    mailbox_max: ClassVar[int | None] = None
    """How many messages may wait; None is the system's `mailbox_max`."""

    callboard_starts: ClassVar[tuple[str, ...]] = ("__new__", "__init__", "on_start")
    """What a start runs of the class: who inherits all of it starts as its base does."""

    # Not `_handlers`: a user's actor may well have an attribute of that name.
    _callboard_handlers: ClassVar[dict[type[Any], Callable[[Any, Any], Any]]] = {}
    """Message type -> method, as marked."""

    _callboard_routes: ClassVar[dict[type[Any], Callable[[Any, Any], Any]]] = {}
    """The handlers, and what was found for types that have none of their own."""

    callboard_direct: ClassVar[dict[type[Any], Callable[[Any, Any], Any]]] = {}
    """The routes that the cell may take by itself: none where `_handle_receive` is overridden."""

    _monitored: dict[int, Cell[Any] | None] | None = None
    _timers: TimersOfOne | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_taken_names(cls)
        if "starts_at_once" not in vars(cls):
            base: Any = next(each for each in cls.__mro__[1:] if "starts_at_once" in vars(each))
            cls.starts_at_once = base.starts_at_once and all(
                getattr(cls, each) is getattr(base, each) for each in cls.callboard_starts
            )
        cls._callboard_handlers = {
            message_type: getattr(cls, name) for message_type, name in handlers_of(cls).items()
        }
        cls._callboard_routes = dict(cls._callboard_handlers)
        is_plain = cls._handle_receive is SupervisedActor._handle_receive
        cls.callboard_direct = cls._callboard_routes if is_plain else {}

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Store the arguments; begin work in `on_start`."""

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Cell[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]  # a Cell is an ActorRef
        """Start one in the system of the actor that calls this, unsupervised.

        Raises:
            NoSystem: not called by an actor; use `system.spawn`.
        """
        runner = local.runner
        if runner is None or runner.cell is None:
            msg = f"{cls.__name__}.start() was called outside of every actor"
            raise NoSystem(msg)
        return runner.cell.system.spawn(cls, *args, **kwargs)

    # -- who I am ----------------------------------------------------------

    @property
    def actor_ref(  # pyright: ignore[reportIncompatibleMethodOverride]  # a Cell is an ActorRef
        self,
    ) -> Cell[Self]:
        """The ref of this incarnation."""
        ref: Any = self._actor_ref
        cell: Cell[Self] = ref  # as `cell_class` says; a cast would be a call
        return cell

    @property
    def system(self) -> ActorSystem:
        """The system it runs in: its clock, ids, timers and names."""
        ref: Any = self._actor_ref
        system: ActorSystem = ref.system
        return system

    @property
    def incarnation(self) -> int:
        """Which life of its address or child spec this is, from 1."""
        return self.actor_ref.incarnation

    # -- hooks -------------------------------------------------------------

    def terminate(self, reason: ExitReason) -> Any:
        """Clean up. Runs once on every ending but a kill, on the actor's own thread.

        The default calls pykka's `on_failure` after a crash and `on_stop` after
        every other ending, and returns what they return. It may be async, and so may they.

        Returns:
            An exit reason to end with instead; anything else keeps `reason`. An exception
            that leaves it becomes the reason as well.

        Source: OTP, gen_server:terminate/2, which may call exit/1.
        """
        hooks: Any = self  # pykka's own return nothing; an async one's coroutine is awaited
        if is_abnormal(reason):
            return hooks.on_failure(CrashedError, CrashedError(reason), None)
        return hooks.on_stop()

    @passes
    def _handle_receive(self, message: Any) -> Any:
        kind: type[Any] = type(message)  # pyright: ignore[reportUnknownVariableType]  # of a message that may be anything
        handler = self._callboard_routes.get(kind)
        if handler is None:
            handler = self._route_for(kind)
            if len(self._callboard_routes) < _TYPES_KEPT_MAX:
                self._callboard_routes[kind] = handler
        return handler(self, message)

    @classmethod
    def _route_for(cls, kind: type[Any]) -> Callable[[Any, Any], Any]:
        """Find who handles messages of a type that is new to this class."""
        for base in kind.__mro__:
            if base in cls._callboard_handlers:
                return cls._callboard_handlers[base]
        if kind in PROXY_MESSAGES:
            return _by_pykka
        return _OF_THE_RUNTIME.get(kind, _to_on_receive)

    def on_receive(self, message: Any) -> Any:
        """Handle a message that no method is marked for; the default refuses it.

        Raises:
            UnhandledMessage: always; nobody meant to send this here.
        """
        if isinstance(message, (Down,)):
            return
        if isinstance(message, type):
            error = UnhandledMessage(f"the message is the class {message.__name__} itself")
            error.remedy = f"Send an instance of it: {message.__name__}(...)."
            raise error
        # A message may have the name of one, as `callboard.actors.Shutdown` has.
        kind = "the exit reason " if isinstance(message, EXIT_REASONS) else ""
        msg = f"{type(self).__name__} has no handler for {kind}{type(message).__name__}"
        raise UnhandledMessage(msg)

    # -- what it may do ----------------------------------------------------

    def stop(self, reason: ExitReason | None = None) -> None:
        """End after the message in hand, ahead of what waits.

        Args:
            reason: why; `Normal()` unless given.

        Source: OTP, the `{stop, Reason, State}` of a gen_server callback.
        """
        self.actor_ref.exit(Normal() if reason is None else reason)

    def reply_later(self, *, outlives: bool = False, owed_by: Owner | None = None) -> Future[Any]:
        """Return the future of the message in hand; return `LATER`, or it, from the handler.

        Anybody may answer it with `offer(value)` or `offer_exception(error)`,
        once; what comes after that is dropped. When this actor ends before that,
        its asker is told.

        Args:
            outlives: whether the answer may still come after this actor has ended: somebody
                else owes it then, and sees that it is given.
            owed_by: the ref or address of the actor that is to give it; None: this one. Of whom
                it is asked for in vain is named then, and a cycle of waits through him is found.

        Source: OTP, gen_server:reply/2.
        """
        return self.actor_ref.reply_later(outlives=outlives, owed_by=owed_by)

    def continue_with(self, message: Any) -> None:
        """Handle `message` right after this one (or after the start), before all that waits.

        Raises:
            InvalidSpec: there is one to be handled next already.

        Source: OTP, gen_server:handle_continue/2.
        """
        cell = self.actor_ref
        if cell.next_message is not None:
            raise InvalidSpec("message", message, "Continue with one message at a time.")
        cell.next_message = message

    def send_after(self, delay_s: float, message: Any) -> Timer:
        """Tell oneself something later; it dies with this incarnation.

        Args:
            delay_s: seconds; 0 is as soon as may be, `math.inf` never.
            message: what to tell.

        Returns:
            The timer: `cancel()` says whether it was still pending.

        Raises:
            InvalidSpec: the delay is negative, or not a number.

        Source: Erlang, erlang:send_after/3.
        """
        if not delay_s >= 0:  # not-a-number included
            raise InvalidSpec("delay_s", delay_s, "Give seconds, 0 or more.")
        due_s = self.system.clock.now_s() + delay_s
        notify = self.actor_ref.notify
        timer = self.system.timers.call_at(due_s, copy_context().run, notify, message)
        if self._timers is None:
            self._timers = TimersOfOne()
        self._timers.add(timer)
        return timer

    def set_idle_timeout(self, after_s: float | None) -> None:
        """Get one `IdleTimeout` when no message comes for `after_s` seconds; None: never.

        Not periodic: set it again to be told again. Differs from OTP: a message begins the time
        anew, where OTP's ends unless the callback returns it again.

        Args:
            after_s: seconds; 0 is as soon as nothing waits, `math.inf` never.

        Raises:
            InvalidSpec: the time is negative, or not a number.

        Source: OTP, the timeout that a gen_server callback returns.
        """
        if after_s is not None and not after_s >= 0:  # not-a-number included
            raise InvalidSpec("after_s", after_s, "Give seconds, 0 or more, or None.")
        cell = self.actor_ref
        if cell.idle is not None:
            cell.idle.cancel()
        cell.idle = None if after_s is None else IdleWatch(cell, after_s)

    def let_go(self, reason: ExitReason) -> None:
        """Undo what ties others to this actor, now that it has ended. Called once, by its cell."""
        del reason
        for number, cell in list((self._monitored or {}).items()):  # a killed handler may go on
            if cell is not None:
                cell.forget_bond((self.actor_ref, number))
        if self._timers is not None:
            self._timers.cancel()

    # -- monitors and links ------------------------------------------------

    def monitor(self, target: Cell[Any] | Address[Any] | str) -> int:
        """Get exactly one `Down` when the target ends; at once if it has.

        Args:
            target: a ref; or an address or a name, whose current incarnation is
                monitored and which the `Down` then carries. Nobody hears of an end of his own:
            to monitor oneself is harmless, and gives none.

        Returns:
            The monitor's number, for `demonitor`.

        Raises:
            InvalidSpec: it is no ref, no address and no name.

        Source: Erlang, erlang:monitor/2.
        """
        number = self.system.new_monitor()
        cell = self._find(target)
        who = target if isinstance(target, (Cell, str)) else target.name
        mine = self.actor_ref
        if cell is mine:
            return number
        if self._monitored is None:
            self._monitored = {}
        self._monitored[number] = cell  # until its `Down` is handled: see `demonitor`

        def pay(reason: ExitReason) -> None:
            mine.notify(ForOneMonitor(mine, Down(number, who, reason)))

        if cell is None or not cell.when_dead((mine, number), pay):
            pay(NoActor())
        elif mine.is_dead:  # killed since: who let go of its monitors may not have seen this one
            cell.forget_bond((mine, number))
            self.system.refuse_fenced(mine, str(target))
        return number

    def demonitor(self, monitor: int, *, flush: bool = False) -> bool:
        """Ask for no `Down` any more; say whether it was still to come.

        Harmless for a monitor that is no more. A `Down` that waits in the
        mailbox already is handled all the same, unless it is flushed.

        Args:
            monitor: what `monitor` returned.
            flush: whether a `Down` that waits already is dropped, too.

        Source: Erlang, erlang:demonitor/2; `flush` is its option, the answer its `info`.
        """
        monitored = self._monitored or {}
        cell = monitored.get(monitor)
        is_active = cell is not None and cell.forget_bond((self.actor_ref, monitor))
        if is_active or flush:
            monitored.pop(monitor, None)
        return is_active

    def link(self, target: Cell[Any] | Address[Any] | str) -> None:
        """Share the other's fate: whoever ends abnormally takes the other along.

        Linking twice is linking once. An actor with `trap_exit` gets an `Exit`
        message instead.

        Raises:
            ActorDeadError: the target has ended and this actor does not trap exits.
            InvalidSpec: it is no ref, no address and no name.

        Source: Erlang, erlang:link/1.
        """
        mine = self.actor_ref
        other = self._find(target)
        if other is mine:
            return
        if other is not None and mine.linked(other):
            return
        if not self.trap_exit:
            who = target if isinstance(target, str) else target.name
            msg = f"nobody is at {who}" if other is None else f"{other} has ended"
            raise ActorDeadError(msg, address=who)
        if other is None:
            mine.notify(Exit(target if isinstance(target, str) else target.name, NoActor()))
        else:
            mine.exit_from(other, NoActor())

    def unlink(self, target: Cell[Any] | Address[Any] | str) -> None:
        """Undo a link; harmless where there is none. Source: Erlang, erlang:unlink/1."""
        other = self._find(target)
        if other is not None:
            other.forget_bond(("link", self.actor_ref))
            self.actor_ref.forget_bond(("link", other))

    def _find(self, target: Cell[Any] | Address[Any] | str) -> Cell[Any] | None:
        if self.actor_ref.is_dead:
            self.system.refuse_fenced(self.actor_ref, str(target))
        if not isinstance(target, (str, Cell, Address)):
            raise InvalidSpec("target", target, "Give a ref, an address or a name.")
        found = self.system.lookup(target) if isinstance(target, str) else target
        return None if found is None else found.ref


@passes
def _by_pykka(actor: PooledActor, message: Any) -> Any:
    """Leave a proxy's message to pykka."""
    return PooledActor._handle_receive(actor, message)  # pykka's


@passes
def _for_one_life(actor: PooledActor, message: ForOneLife) -> Any:
    """Deliver what was for this life only; in a mailbox that outlived it, it is for nobody."""
    if message.cell is actor._actor_ref:
        return actor._handle_receive(message.message)
    return None


@passes
def _to_oneself(actor: PooledActor, message: ToOneself) -> Any:
    """Deliver what this incarnation told itself; what an earlier one did is a dead letter."""
    if message.cell is actor._actor_ref:
        return actor._handle_receive(message.message)
    cast("SupervisedActor", actor).actor_ref.undeliverable(message, None)
    return None


@passes
def _for_one_monitor(actor: PooledActor, message: ForOneLife) -> Any:
    """Deliver a `Down` unless its monitor was taken back while it waited."""
    if message.cell is not actor._actor_ref:
        return None
    monitored = cast("SupervisedActor", actor)._monitored or {}
    down: Down = message.message
    if down.monitor not in monitored:
        return None
    del monitored[down.monitor]
    return actor._handle_receive(down)


@passes
def _to_on_receive(actor: PooledActor, message: Any) -> Any:
    """Stand among the handlers for `on_receive`, which may be patched at any time."""
    return actor.on_receive(message)


_OF_THE_RUNTIME: dict[type[Any], Callable[[Any, Any], Any]] = {
    ForOneLife: _for_one_life,
    ToOneself: _to_oneself,
    ForOneMonitor: _for_one_monitor,
}


class PinnedActor(SupervisedActor):
    """A supervised actor on a thread of its own, for code that insists on one."""

    is_pinned = True
    starts_at_once = False


class SystemActor(SupervisedActor):
    """What keeps the house in order: supervisors, managers, janitors.

    Queued apart from users' actors and taken first by any free worker. Its
    `on_start`, handlers and `terminate` may be generators that yield `Until`:
    they wait without a thread, with the mailbox held.
    """

    is_system = True
    trap_exit = True
    hand_off = True


class CrashedError(Exception):
    """An exit reason where pykka's `on_failure` expects an exception.

    Args:
        reason: why the actor ended.
    """

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        # Not in __init__: the text costs a microsecond of every crash, and few look at it.
        return str(self.reason)
