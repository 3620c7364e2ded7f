"""An actor system: everything that is shared, owned by one object and ended with it."""

from __future__ import annotations

import math
import threading
import uuid
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import msgspec

from callboard.supervision.model.errors import InvalidSpec, is_seconds
from callboard.supervision.model.reasons import ExitReason, Shutdown, is_abnormal
from callboard.supervision.model.reports import StopReport
from callboard.supervision.runtime import process
from callboard.supervision.runtime.birth import Birth
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.dead_letters import DeadLetters
from callboard.supervision.runtime.ending import EndingCell
from callboard.supervision.runtime.errors import (
    ActorDeadError,
    AskCycle,
    FencedError,
    SystemStopped,
    Timeout,
)
from callboard.supervision.runtime.foreign import ForeignCell, is_foreign
from callboard.supervision.runtime.futures import Future, completed
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.mailbox import copy_context
from callboard.supervision.runtime.names import Address, NameTaken
from callboard.supervision.runtime.settings import Settings
from callboard.supervision.runtime.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.chance import IdGenerator
    from callboard.supervision.runtime.clock import Clock
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.ports import Runtime
    from callboard.supervision.runtime.seam import Actor

A = TypeVar("A", bound="Actor")
R = TypeVar("R")


class ActorSystem:
    """Runs actors: the pool, the clock, the names, the dead letters.

    Two systems in one process never meet. Threads start with the first message
    and end with `stop`; the host's signal handlers, loggers and event loops are
    left alone. Use it as a context manager, or call `stop`.

    Args:
        name: begins the names of its threads, and stands in errors.
        settings: the bounds; see `Settings`.
        on_event: gets every event, on whatever thread it happened; it must be
            short. One that raises is dropped and counted, never fatal. If it has a method `flush`,
            as `EventLog` has, that is called when the system has stopped. If it has an attribute
            `hears_routine` that is False, it gets nothing of what goes as it should, as the starts
            and the orderly ends of children: that is not even made.
        runtime: real threads unless a simulation is given.
        clock: what time it is, for timers, activity and what people read; None: the operating
            system's, or the runtime's. How long a thread waits for an answer stays real time.
            A runtime has a clock of its own: give one of the two.
        ids: makes the ids; None: UUIDv7 of the clock and of chance.

    Raises:
        InvalidSpec: a value that cannot be, with the field and the remedy.
    """

    def __init__(
        self,
        name: str = "callboard",
        *,
        settings: Settings | None = None,
        on_event: Callable[[object], None] | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
        ids: IdGenerator | None = None,
    ) -> None:
        process.refuse_free_threading()
        if not (isinstance(name, str) and name):
            raise InvalidSpec("name", name, "Give text that is not empty.")
        if settings is not None and not isinstance(settings, Settings):
            raise InvalidSpec("settings", settings, "Give Settings(...), or None.")
        if on_event is not None and not callable(on_event):
            raise InvalidSpec("on_event", on_event, "Give a function of one event, or None.")
        check_ports(runtime, clock, ids)
        self.name = name
        self.settings = settings or Settings()
        self.rare = threading.RLock()
        """The lock for rare things. Never held while calling out; it may be taken twice, for the
        collector may run a finalizer on the thread that holds it, and that may send."""
        self.counts: dict[str, int] = {}
        ports = (runtime or Threads(clock)).ports(name, self.settings, self.emit)
        self.clock = ports.clock
        self.dispatcher = ports.dispatcher
        self.timers = ports.timers
        self.loop = ports.loop
        self.ids = ports.ids if ids is None else ids
        self.random = ports.stream
        self.on_event = on_event if ports.overhear is None else ports.overhear(on_event)
        self.point = ports.point
        self.dead_letters = DeadLetters(self.settings.dead_letters_kept, self.emit)
        self.names: dict[str, Address[Any]] = {}
        self.lookup = self.names.get
        """`lookup(name)` is the address, or None. One dictionary read, no message, no lock."""
        self.roots: dict[EndingCell[Any], None] = {}
        self._roots_of: dict[str, int] = {}
        self.is_open = True
        self.is_serving = True
        """False once nobody will come any more: it is being stopped, or was given up."""
        self._is_stopping = False
        self._stopped: Future[StopReport] = Future(blocker=self.dispatcher)
        self._unstopped: list[str] = []
        self._monitors = count(1)
        process.enter(self)

    def __repr__(self) -> str:
        return f"<ActorSystem {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    # -- starting actors ---------------------------------------------------

    def spawn(self, actor: Callable[..., A], /, *args: Any, **kwargs: Any) -> Cell[A]:
        """Start an actor that nobody supervises; return its ref at once.

        Its `__init__` runs on a worker. To wait until its start is complete,
        call `wait_started` on the ref; to hear of its end, monitor it.

        Args:
            actor: the class, or a function that makes and returns one actor.
            args: for the class.
            kwargs: for the class.

        Raises:
            SystemStopped: the system has been stopped.
            InvalidSpec: it is neither a class nor a function.
        """
        return self.start_child(None, actor, args, kwargs)

    def spawn_named(
        self, name: str, actor: Callable[..., A], /, *args: Any, **kwargs: Any
    ) -> Cell[A]:
        """Start an actor under a name that is free again when it ends.

        Raises:
            NameTaken: somebody has the name.
            SystemStopped: the system has been stopped.
        """
        address: Address[A] = self.reserve(name, owner=self)
        try:
            cell = self._spawn(address, actor, args, kwargs)
        except BaseException:  # a kill too: the name is not left taken
            self.release(address)
            raise
        if not cell.when_dead(address, lambda _reason: self.release(address)):
            self.release(address)
        return cell

    def _spawn(
        self,
        address: Address[A] | None,
        actor: Callable[..., A],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Cell[A]:
        return self.start_child(None, actor, args, kwargs, address=address)

    def start_child(
        self,
        parent: Cell[Any] | None,
        factory: Callable[..., A],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        address: Address[A] | None = None,
        tag: Any = None,
        incarnation: int = 1,
        may_lend: bool = True,
    ) -> Cell[A]:
        """Begin the start of an actor and return its ref at once. For supervisors.

        The parent gets `ChildStarted` or `ChildExited`. A child whose start
        fails was never started: its `ChildExited` tells why. A parent without a
        handler for `ChildStarted` gets none: it looks at the ref, and is woken
        for that while it waits with an `Until`.

        Args:
            parent: who supervises it; None makes it a root of the system.
            factory: the class, or a function that makes and returns one actor.
            args: for the factory.
            kwargs: for the factory.
            address: its name; the new incarnation enters it.
            tag: what its supervisor calls it.
            incarnation: the number of this life; an address counts by itself.
            may_lend: whether the start of a class with `hand_off` may run on the caller's own
                thread, where nobody could end it before it ends by itself. That of a child
                with `starts_at_once` may in any case.
        """
        if not self.is_open:
            msg = f"{self} has been stopped"
            raise SystemStopped(msg, address=self.name)
        while isinstance(factory, partial):  # so that the class can be asked what it is
            args = (*factory.args, *args)
            kwargs = {**factory.keywords, **(kwargs or {})}
            factory = factory.func
        runner = local.runner
        if runner is not None and runner.cell is not None and runner.cell.is_dead:
            self.refuse_fenced(runner.cell, getattr(factory, "__name__", "a new actor"))
        if not callable(factory):
            remedy = "Give the actor's class; a ChildSpec is for a supervisor."
            raise InvalidSpec("actor", factory, remedy)
        birth = Birth(factory, args, {} if kwargs is None else kwargs, copy_context())
        made_by: Any = factory  # a class mostly; a function has a name as well
        cell_class: Any = getattr(made_by, "cell_class", None)
        if cell_class is None:
            cell_class = ForeignCell if is_foreign(made_by) else Cell
        cell: Cell[A] = cell_class(
            self,
            made_by,
            birth,
            parent=parent,
            address=address,
            tag=tag,
            incarnation=incarnation if address is None else address.incarnations + 1,
        )
        if parent is None:
            if cell.is_system and address is None and tag is None:
                cell.tag = self._number_among_roots(cell)
            self.roots[cell] = None
        if address is not None:
            address.enter(cell)
        try:
            is_short = parent is not None and getattr(made_by, "starts_at_once", False)
            if not ((is_short or (may_lend and cell.hands_off)) and self._lend(cell)):
                cell.schedule()
        except RuntimeError:  # no thread can be made: leave no ghost behind
            cell.kill()
            raise
        return cell

    def _number_among_roots(self, cell: Cell[Any]) -> int | None:
        """Return what tells this supervisor from the others that nobody named; None: the first."""
        made_by = cell.name
        with self.rare:
            number = self._roots_of.get(made_by, 0) + 1
            self._roots_of[made_by] = number
        return number if number > 1 else None

    def _lend(self, cell: Cell[Any]) -> bool:
        """Start an actor whose start is known to be short right here, if this thread may run it."""
        runner = local.runner
        if runner is None or runner.cell is None:
            return False
        runner = self.dispatcher.runner_for_hand_off(cell, runner)
        if runner is None:
            return False
        runner.depth += 1
        try:
            cell.activate(runner)
        finally:
            runner.depth -= 1
        return True

    def adopt(self, cell: EndingCell[Any]) -> None:
        """Take an actor for a root whose supervisor was killed, until it has ended. Any thread."""
        self.roots[cell] = None
        if cell.is_dead:  # just now: it may have been forgotten before it was put there
            self.roots.pop(cell, None)

    def has_ended(self, cell: EndingCell[Any], reason: ExitReason) -> None:
        """Forget an actor. Called by its cell, once."""
        self.roots.pop(cell, None)
        self.dispatcher.has_ended(cell)
        if self.on_event is not None and is_abnormal(reason):
            is_supervised = cell.parent is not None
            if is_supervised and not self.hears_routine:  # its supervisor reports it
                return
            self.emit(ActorCrashed(cell.name, cell.incarnation, reason, is_supervised))

    # -- names -------------------------------------------------------------

    def reserve(
        self,
        name: str,
        *,
        keeps_mailbox: bool = False,
        owner: object = None,
        kind: type[Address[Any]] = Address,
    ) -> Address[Any]:
        """Take a name for an address. It stays taken until `release`.

        Args:
            name: the name.
            keeps_mailbox: whether messages wait there while nobody lives there.
            owner: who alone may have somebody live there. None: the supervisor whose child
                asks for the name first, for as long as it has that child.
            kind: the class of the address.

        Raises:
            NameTaken: somebody has it.
        """
        address = kind(self, name, keeps_mailbox=keeps_mailbox, owner=owner)
        holder = self.names.setdefault(name, address)
        if holder is not address:
            raise NameTaken(name, holder)
        return address

    def release(self, address: Address[Any]) -> None:
        """Give a name back; what waits in its mailbox is answered."""
        with self.rare:  # two may give it back at once, and a third takes it in between
            if self.names.get(address.name) is address:
                self.names.pop(address.name, None)
        address.close()

    def register(self, name: str, ref: Cell[A]) -> Address[A]:
        """Give a name to an actor that runs already; the name is free again when it ends.

        Raises:
            NameTaken: somebody has the name.
            InvalidSpec: the actor has a name already, or lives in another system.
            ActorDeadError: it has ended.

        Source: Erlang, erlang:register/2.
        """
        if ref.system is not self:
            raise InvalidSpec("ref", ref, "Give an actor of this system.")
        address: Address[A] = self.reserve(name, owner=self)
        with self.rare:
            current = ref.address
            is_mine = current is None and not ref.is_dead
            if is_mine:
                ref.address = address
        if is_mine:
            address.enter(ref)
            if ref.when_dead(address, lambda _reason: self.release(address)):
                return address
        self.release(address)
        if current is None or ref.is_dead:
            raise ref.dead_error()
        raise InvalidSpec("name", name, f"The actor has a name, {current.name!r}: it can have one.")

    def unregister(self, name: str) -> None:
        """Take a name from the actor that has it; the actor lives on.

        Raises:
            ActorDeadError: nobody has the name.
            InvalidSpec: the name stands in a child spec and stays with that child, or it is
                reserved for one.

        Source: Erlang, erlang:unregister/1.
        """
        address = self.lookup(name)
        if address is None:
            msg = f"nobody is at {name}"
            raise ActorDeadError(msg, address=name)
        if address.owner is not self:
            raise InvalidSpec("name", name, "Take it out of the child's spec, or end the child.")
        ref = address.ref
        self.release(address)
        if ref is not None:
            address.leave(ref)
            with self.rare:
                if ref.address is address:
                    ref.address = None

    # -- what the runtime asks --------------------------------------------

    def deadline_after(self, timeout: float | None, runner: Runner | None) -> float | None:
        """Return when an asker gives up: after its timeout, or with whom it answers itself.

        Raises:
            InvalidSpec: the timeout is negative, or not a number.
        """
        outer_s = None if runner is None else runner.deadline_s
        if timeout is None:
            timeout = self.settings.ask_timeout_s
        elif not is_seconds(timeout):
            raise InvalidSpec("timeout", timeout, _TIMEOUT_REMEDY)
        if timeout == math.inf:
            return outer_s
        mine_s = self.dispatcher.now_s() + timeout
        return mine_s if outer_s is None else min(mine_s, outer_s)

    def refuse_fenced(self, sender: Incarnation[Any], whom: str) -> NoReturn:
        """Refuse what an incarnation that has been killed still does.

        Raises:
            FencedError: always.
        """
        self.count("fenced_sends")
        msg = f"{sender} has been killed and may not reach {whom}"
        raise FencedError(msg, address=whom)

    def new_monitor(self) -> int:
        """Return a number that no monitor of this system had before."""
        return next(self._monitors)

    def new_urn(self) -> str:
        """Return a version-4 URN, which pykka's users rely on."""
        return uuid.UUID(int=self.random("urn").getrandbits(128), version=4).urn

    def new_lock(self) -> threading.RLock:
        """Return a lock for a table of the system's. Never held while calling out.

        It may be taken twice, like `rare`: a collector's or a signal's code that comes
        in on the same thread does not wait for itself.
        """
        return threading.RLock()

    def aside(self, act: Callable[[], R], *, name: str, timeout_s: float) -> R:
        """Do something that may never come back on a thread of its own; return what it returns.

        Where the host's own thread waits. In a simulation it is done right here.

        Args:
            act: what to do.
            name: of the thread.
            timeout_s: seconds to wait; then it goes on, and nobody waits for it any more.

        Raises:
            Timeout: it has not come back in time.
            BaseException: whatever it raises.
        """
        done: Future[R] = Future(blocker=self.dispatcher)

        def do() -> None:
            try:
                result = act()
            except BaseException as error:  # noqa: BLE001 -- the waiting thread gets it
                done.offer_exception(error)
            else:
                done.offer(result)

        join = self.dispatcher.aside(do, name)
        try:
            return done.get(timeout=timeout_s)
        finally:
            if done.is_done:
                join(_LEAST_S)  # it has nothing left to do: no thread of ours outlives the wait

    def count(self, what: str, number: int = 1) -> None:
        """Count something rare, to be read in `counts`."""
        with self.rare:
            self.counts[what] = self.counts.get(what, 0) + number

    @property
    def hears_routine(self) -> bool:
        """Whether the hook wants to hear of what goes as it should."""
        hook = self.on_event
        return hook is not None and bool(getattr(hook, "hears_routine", True))

    def emit(self, event: object) -> None:
        """Give an event to the hook; a hook that raises is counted, never fatal."""
        hook = self.on_event
        if hook is None:
            return
        try:
            hook(event)
        except KeyboardInterrupt:  # it is the host's, whatever it strikes
            raise
        except BaseException:  # noqa: BLE001 -- named edge: an event hook must not hurt an actor
            self.count("failed_hooks")

    def _flush_hook(self) -> None:
        """Have the hook say what it still holds back, if it can."""
        flush = getattr(self.on_event, "flush", None)
        if callable(flush):
            try:
                flush()
            except Exception:  # noqa: BLE001 -- named edge: as in `emit`
                self.count("failed_hooks")

    # -- ending ------------------------------------------------------------

    def become_foreign(self, dispatcher: Any) -> None:
        """Be of no use any more: this process is a fork, and the threads are the parent's."""
        self.is_open = self.is_serving = False
        self.rare = threading.RLock()
        self.dispatcher = dispatcher
        self._is_stopping = True
        self._stopped = completed(StopReport())  # there is nothing here that could be stopped
        self.point = dispatcher.refuse  # every message goes through it

    def stop(self, timeout_s: float | None = None) -> StopReport:
        """End every actor in order, then the threads; say what did not end.

        Plain actors are asked all at once, last started first; supervisors one
        after the other in reverse order. What has not ended by the deadline is
        killed. Idempotent, from any thread but the system's own.

        Args:
            timeout_s: seconds for all of it; None is `stop_timeout_s`.

        Raises:
            AskCycle: called by an actor of this system, whose end it would wait for, or by an
                event hook on one of its workers.
            InvalidSpec: the time is negative, or not a number.
        """
        self.refuse_inside()
        timeout_s = self.settings.stop_timeout_s if timeout_s is None else timeout_s
        if not is_seconds(timeout_s):
            raise InvalidSpec("timeout_s", timeout_s, "Give seconds, 0 or more, or None.")
        with self.rare:
            self.is_open = self.is_serving = False
            is_mine, self._is_stopping = not self._is_stopping, True
        if not is_mine:
            try:
                return self._stopped.get(timeout=timeout_s)  # of whoever was first
            except Timeout:
                return StopReport(unstopped=("still stopping",))
        try:
            report = self._stop(timeout_s)
        except BaseException:  # a host's signal: it goes on
            # Interrupted: every step may be done again, by whoever stops it next.
            self._is_stopping = False
            raise
        self._stopped.offer(report)
        return report

    def refuse_inside(self) -> None:
        """Refuse to be stopped by what runs here, whose end the stop would wait for.

        Raises:
            AskCycle: called by an actor of this system, or by an event hook on its worker.
        """
        runner = local.runner
        cell = None if runner is None else runner.cell
        is_inside = runner is not None and runner.serves(self.dispatcher)  # in an event hook, too
        if is_inside or (cell is not None and cell.system is self):
            who = "its own worker" if cell is None else cell.name
            msg = f"{who} may not stop {self}: it runs in it"
            raise AskCycle(msg, address=self.name)

    def _stop(self, timeout_s: float) -> StopReport:
        self.give_up()
        # In the dispatcher's time, as all waits are: a clock moved by hand does not end them.
        now_s = self.dispatcher.now_s
        until_s = now_s() + timeout_s
        unstopped = self._stop_roots(until_s)
        self.timers.stop()
        left_s = max(_LEAST_S, until_s - now_s())
        if not self.loop.stop(left_s):
            unstopped.append("the event loop")
        left_s = max(_LEAST_S, until_s - now_s())
        abandoned = self.dispatcher.stop(left_s)
        for address in list(self.names.values()):
            self.release(address)
        process.leave(self)
        self._flush_hook()
        unstopped = [*self._unstopped, *unstopped]
        return StopReport(unstopped=tuple(unstopped), abandoned=abandoned)

    def give_up(self) -> None:
        """Answer what waits where nobody lives, now and from now on: nobody will come any more.

        For a host whose tree has ended by itself; `stop` begins with it.
        """
        with self.rare:  # whoever enters a name under it has seen this, or is seen here
            self.is_serving = False
            addresses = list(self.names.values())
        for address in addresses:
            if not address.is_alive():
                address.close()

    def did_not_stop(self, path: str) -> None:
        """Note for the stop report who had to be killed while the system stops."""
        if not self.is_open:
            self._unstopped.append(path)

    def _stop_roots(self, until_s: float) -> list[str]:
        """End them all, with those that a kill on the way makes roots; each is asked once."""
        unstopped: list[str] = []
        asked: set[EndingCell[Any]] = set()
        while roots := [cell for cell in list(self.roots) if cell not in asked]:
            asked.update(roots)
            unstopped += self._stop_in_order(roots, until_s)
        return unstopped

    def _stop_in_order(self, roots: list[EndingCell[Any]], until_s: float) -> list[str]:
        unstopped: list[str] = []
        group: list[EndingCell[Any]] = []
        for cell in reversed(roots):
            if cell.is_system:
                unstopped += self._stop_group(group, until_s)
                unstopped += self._stop_group([cell], until_s)
                group = []
            else:
                group.append(cell)
        return unstopped + self._stop_group(group, until_s)

    def _stop_group(self, group: list[EndingCell[Any]], until_s: float) -> list[str]:
        for cell in group:
            cell.exit(Shutdown())
        unstopped: list[str] = []
        for cell in group:
            if not self._await_end(cell, until_s):
                unstopped += _kill_all(cell)
        return unstopped

    def _await_end(self, cell: EndingCell[Any], until_s: float) -> bool:
        if cell.is_dead:
            return True
        future: Future[None] = Future(cell, until_s, self.dispatcher)
        if cell.when_dead(future, lambda _reason: future.offer(None)):
            self.dispatcher.block(future, until_s)
        return cell.is_dead


def check_ports(runtime: object, clock: object, ids: object) -> None:
    """Refuse ports that are none."""
    if runtime is not None:
        _check_methods("runtime", runtime, "ports")
    if clock is not None:
        if runtime is not None:
            raise InvalidSpec("clock", clock, "Give a clock or a runtime: a runtime has its own.")
        _check_methods("clock", clock, "now_s", "wall_s")
    if ids is not None:
        _check_methods("ids", ids, "new_id")


def _check_methods(field: str, port: object, *methods: str) -> None:
    if isinstance(port, type) or not all(callable(getattr(port, each, None)) for each in methods):
        named = " and ".join(f"{each}()" for each in methods)
        raise InvalidSpec(field, port, f"Give an object with {named}, or None.")


def _kill_all(cell: EndingCell[Any]) -> list[str]:
    """Kill an actor and all below it that still live; return the paths of those at the ends."""
    actor: Any = cell.actor
    below: list[Cell[Any]] = [] if actor is None else list(actor.linked_children())
    cell.kill()
    unstopped: list[str] = []
    for child in below:
        if not child.is_dead:
            unstopped += _kill_all(child)
    return unstopped or [cell.path]


class ActorCrashed(msgspec.Struct, frozen=True):
    """An actor ended abnormally.

    Args:
        name: its name or representation.
        incarnation: which of its lives that was.
        reason: why.
        is_supervised: whether a supervisor learns of it, which then emits an event of its own.
    """

    name: str
    incarnation: int
    reason: ExitReason
    is_supervised: bool = False


_TIMEOUT_REMEDY = "Give seconds, 0 or more; math.inf waits for ever, None as ask_timeout_s says."

_LEAST_S = 0.5
"""What ending the threads gets even when the actors used up the time."""
