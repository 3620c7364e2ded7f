"""Addresses: names that stay while incarnations come and go.

A mailbox of its own is made at the first message that has to wait, and given up when an
incarnation leaves it empty: most addresses of a million have none. Two pairs that must keep
their order:

    send      (1) put into the mailbox   (2) is it still the address's? else `take_back`
    give up   (1) it is no longer the address's   (2) is it empty? else it is again

Whoever makes one, gives one up or takes back holds the lock for rare things.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from callboard.supervision.model.errors import CallboardError
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import (
    ActorDeadError,
    FencedError,
    MailboxFull,
    SystemStopped,
    Timeout,
)
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.handoff import NOT_DONE
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.mailbox import copy_context, drain
from callboard.supervision.runtime.notices import Notice, ToOneself
from callboard.supervision.runtime.seam import Actor

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.model.requests import Request
    from callboard.supervision.runtime.system import ActorSystem

A = TypeVar("A", bound=Actor)
R = TypeVar("R")


class NameTaken(CallboardError):
    """The name belongs to somebody else.

    Args:
        name: the name.
        holder: the address that has it.

    Source: Erlang, the `badarg` of register/2.
    """

    code = "name_taken"
    remedy = "Choose another name, or end the actor that holds this one."

    def __init__(self, name: str, holder: object) -> None:
        super().__init__(f"the name {name!r} is taken by {holder!r}")
        self.name = name
        self.holder = holder


_NOBODY_REMEDY = "Ask again when its supervisor has started the next one, or ask why it does not."


class Address(Generic[A]):
    """The stable name of an actor: it answers again after a restart.

    Messages go to whoever is the current incarnation. With a mailbox of its own
    (`keeps_mailbox`) they wait for the next one when there is none; without,
    the sender gets `ActorDeadError` at once. Safe from any thread.

    Source: Erlang, a registered name.
    """

    __slots__ = (
        "cell",
        "incarnations",
        "is_reserved",
        "items",
        "keeps_mailbox",
        "mailbox_max",
        "name",
        "owner",
        "system",
        "when_nobody",
    )

    def __init__(
        self, system: ActorSystem, name: str, *, keeps_mailbox: bool = False, owner: object = None
    ) -> None:
        self.system = system
        self.name = name
        self.cell: Cell[A] | None = None
        self.items: SimpleQueue[Any] | None = None
        """Its own mailbox, while there is one; the incarnation that lives here has it too."""
        self.keeps_mailbox = keeps_mailbox
        """Whether messages wait here; no longer when it has been closed."""
        self.incarnations = 0
        self.mailbox_max = system.settings.mailbox_max
        """The bound of its own mailbox: that of the class which lives here."""
        self.owner = owner
        """Who alone may have somebody live here: the names of a supervisor, or the system, of a
        name that a running actor got. None: the next supervisor with a child of this name."""
        self.is_reserved = owner is None
        """Whether it was there before its owner, who then leaves it where it is."""
        self.when_nobody: Callable[[], object] | None = None
        """Called when a message waits and nobody is there to take it."""

    def __repr__(self) -> str:
        return f"<Address {self.name}>"

    # -- who lives here ----------------------------------------------------

    def enter(self, cell: Cell[A]) -> int:
        """Make `cell` the current incarnation; return its number."""
        with self.system.rare:
            self.cell = cell
            if self.items is not None:
                cell.items = self.items
        self.mailbox_max = cell.mailbox_max
        self.incarnations += 1
        return self.incarnations

    def leave(self, cell: Incarnation[Any]) -> None:
        """Forget an incarnation that has ended; a later one is not touched."""
        with self.system.rare:
            if self.cell is not cell:
                return
            self.cell = None
            q, self.items = self.items, None
            if q is not None and q.qsize():
                self.items = q
        if not self.system.is_serving:
            self.close()  # nobody will come any more

    @property
    def ref(self) -> Cell[A] | None:
        """The ref of the current incarnation, or None."""
        return self.cell

    def is_alive(self) -> bool:
        """Whether there is an incarnation now that has not ended."""
        cell = self.cell
        return cell is not None and not cell.is_dead

    @property
    def mailbox_size(self) -> int:
        """How many messages wait."""
        if self.items is not None:
            return self.items.qsize()
        return 0 if self.cell is None else self.cell.mailbox_size

    def close(self) -> None:
        """Keep no more messages; those that wait are answered or become dead letters.

        Whoever lives here still gets what is sent, and leaves none of it behind.
        """
        with self.system.rare:
            self.keeps_mailbox = False
            q, self.items = self.items, None
        if q is not None:
            self._drain(q)

    def open(self) -> SimpleQueue[Any] | None:
        """Return its own mailbox, made if there is none just now; None when it keeps none."""
        q = self.items
        if q is not None or not self.keeps_mailbox:
            return q
        made: SimpleQueue[Any] = SimpleQueue()
        with self.system.rare:
            if self.items is None and self.takes_messages():
                cell = self.cell
                if cell is not None and cell.reason is None:
                    cell.items = made
                # Not before: whoever finds it here wakes the incarnation, which must have it.
                self.items = made
            return self.items

    def takes_messages(self) -> bool:
        """Say whether messages wait here. Asked under the lock, before a mailbox is made."""
        return self.keeps_mailbox

    def take_back(self, q: SimpleQueue[Any]) -> bool:
        """See that what went into a mailbox that had just been given up is not lost.

        Whoever sent something before has it here before he sends anything more.

        Returns:
            False when the address keeps no mailbox (any more).
        """
        with self.system.rare:
            own = self.open()
            if own is not None and own is not q:
                while q.qsize():
                    own.put(q.get_nowait())
        if own is None:
            return False
        self.poke()
        return True

    def _drain(self, q: SimpleQueue[Any]) -> None:
        drain(q, self._undeliverable)

    def _undeliverable(self, message: Any, future: Future[Any] | None) -> None:
        if future is not None:
            future.offer_exception(self.dead_error())
        elif type(message) is ToOneself:
            self.system.dead_letters.record(message.message, address=self.name)
        elif not isinstance(message, Notice):
            self.system.dead_letters.record(message, address=self.name)

    def dead_error(self) -> Exception:
        """Return what a sender gets when nobody lives here."""
        if not self.system.is_serving:
            return SystemStopped(f"{self.system} has been stopped", address=self.name)
        error = ActorDeadError(f"nobody is at {self.name}", address=self.name)
        error.remedy = _NOBODY_REMEDY
        return error

    def timeout_error(self, future: Future[Any]) -> Exception:
        """Return what an asker gets whose time ran out while its message waited."""
        del future
        return Timeout(f"{self.name} did not answer in time", address=self.name)

    # -- sending -----------------------------------------------------------

    def _current(self) -> Cell[A]:
        cell = self.cell
        if cell is None:
            raise self.dead_error()
        return cell

    def tell(self, message: Any) -> None:
        """Send without expecting an answer; otherwise like `Cell.tell`."""
        if not self.keeps_mailbox:
            self._current().tell(message)
        else:
            self._wait_in_line(message, None)

    @overload
    def ask(
        self, message: Request[R], *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> R: ...
    @overload
    def ask(
        self, message: Request[R], *, block: Literal[False], timeout: float | None = ...
    ) -> Future[R]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = ...
    ) -> Future[Any]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Any: ...
    @overload
    def ask(self, message: Any, *, block: bool = ..., timeout: float | None = ...) -> Any: ...
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer; otherwise like `Cell.ask`.

        Raises:
            ActorDeadError: nobody is there, and the address keeps no mailbox.
            DeliveryError: as with `Cell.ask`. With `block=False` it is in the future.
        """
        cell = self.cell
        if not self.keeps_mailbox:
            if cell is not None:
                return cell.ask(message, block=block, timeout=timeout)
            return self._refused(self.dead_error(), block=block)
        if cell is not None and block and cell.hands_off:
            runner = local.runner
            if not cell.is_scheduled:
                result = cell.hand_off(message, runner, timeout)
                if result is not NOT_DONE:
                    return result
        future: Future[Any] = Future(
            self, self.system.deadline_after(timeout, local.runner), self.system.dispatcher
        )
        try:
            self._wait_in_line(message, future)
        except FencedError:
            raise
        except CallboardError as error:
            return self._refused(error, block=block)
        return future.answer() if block else future

    def _refused(self, error: Exception, *, block: bool) -> Future[Any]:
        """Raise for who waits; others find the error in their future, like every other."""
        if block:
            raise error
        future: Future[Any] = Future(self, None, self.system.dispatcher)
        future.offer_exception(error)
        return future

    def ask_at_once(self, message: Any, *, timeout: float | None = None) -> Future[Any]:
        """Ask without waiting; otherwise like `Cell.ask_at_once`. Nobody there: a failed future."""
        cell = self.cell
        if cell is not None:
            return cell.ask_at_once(message, timeout=timeout)
        return self._refused(self.dead_error(), block=False)

    async def ask_async(self, message: Request[R], *, timeout: float | None = None) -> R:
        """Send and await the answer; the running loop is not blocked."""
        return await self.ask(message, block=False, timeout=timeout)

    def _wait_in_line(self, message: Any, future: Future[Any] | None) -> None:
        runner = local.runner
        if runner is not None and runner.cell is not None and runner.cell.is_dead:
            self.system.refuse_fenced(runner.cell, self.name)
        q = self.open()
        if q is None:
            raise self.dead_error()
        mailbox_max = self.mailbox_max
        if q.qsize() >= mailbox_max:
            raise MailboxFull(mailbox_max, unsent=message, address=self.name)
        point = self.system.point
        if point is not None:
            point("put", self, message)
        q.put((message, future, copy_context()))
        if self.items is q:
            self.poke()
        elif not self.take_back(q):
            self._drain(q)

    def forward(self, message: Any, future: Future[Any]) -> None:
        """Send in somebody else's name: what the handler answers goes to `future`.

        For addresses that keep a mailbox.

        Args:
            message: what to send.
            future: where an asker waits, as `reply_later` returned it. When that one has
                given up, the message is not handled any more.

        Source: Erlang, `Pid ! {'$gen_call', From, Request}` with another one's `From`.
        """
        future.owner = self  # from now on it is asked for here
        try:
            self._wait_in_line(message, future)
        except CallboardError as error:
            future.offer_exception(error)

    def notify(self, message: Any) -> bool:
        """Put a notice in order with the messages; never refused for lack of room.

        Returns:
            False when nobody will get it.
        """
        q = self.open()
        if q is None:
            return self.cell is not None and self.cell.notify(message)
        if self.system.point is not None:
            self.system.point("put", self, message)
        q.put((message, None, copy_context()))
        if self.items is q:
            self.poke()
        elif not self.take_back(q):
            self._drain(q)
            return False
        return True

    def killed_error(self) -> Exception | None:
        """Return what an asker gets whose message was in hand at a kill; None: as usual."""
        return None

    def poke(self) -> None:
        """See that somebody takes what waits."""
        cell = self.cell
        if cell is not None and not cell.is_dead:
            if not cell.is_scheduled:
                cell.schedule()
        elif self.when_nobody is not None:
            self.when_nobody()
