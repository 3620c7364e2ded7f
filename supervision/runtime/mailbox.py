"""What waits for one incarnation: messages in order, and signals that overtake them.

    send      (1) put into the mailbox   (2) is it still the cell's? else take it all out again

Between `is_scheduled = True` and the enqueue no Python function may be entered:
an asynchronous exception lands at calls and would leave the cell unscheduled.
"""

from __future__ import annotations

import contextvars
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from callboard.supervision.model.errors import DeliveryError
from callboard.supervision.model.notices import Down, Exit
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.errors import ActorDeadError, SystemStopped, Timeout
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.notices import (
    ChildExited,
    ChildStarted,
    ForOneLife,
    Notice,
    ToOneself,
)
from callboard.supervision.runtime.seam import Actor
from callboard.supervision.runtime.views import MailboxView

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.futures import Future

A = TypeVar("A", bound=Actor)

copy_context = contextvars.copy_context


class MailboxCell(Incarnation[A]):
    """The two queues of one incarnation, and the hint that somebody should look; see `Cell`."""

    __slots__ = ("enqueue", "is_scheduled", "is_system", "mailbox_max", "signals")

    signals: SimpleQueue[Any] | None
    is_scheduled: bool
    is_system: bool
    mailbox_max: int
    enqueue: Callable[[Any], object]

    @property
    def mailbox_size(self) -> int:
        """How many messages wait."""
        q = self.items
        return 0 if q is None else q.qsize()

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # a view: nobody may get() from it
        """What waits, to look at."""
        return MailboxView(self)

    def _put(
        self,
        q: SimpleQueue[Any],
        item: tuple[Any, Future[Any] | None, contextvars.Context],
        *,
        wakes: bool = True,
    ) -> None:
        system = self.system
        if system.point is not None:
            system.point("put", self, item[0])
        q.put(item)
        if self.items is not q:
            self._take_back(q)
            return
        if wakes and not self.is_scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Hint to the dispatcher that there is something to run here; never an obligation."""
        enqueue = self.enqueue
        if self.is_system:
            runner = local.runner
            if runner is not None and runner.enqueue_system is not None:
                enqueue = runner.enqueue_system
        if not self.is_scheduled:
            self.is_scheduled = True
            enqueue(self)
            dispatcher = self.system.dispatcher
            if dispatcher.is_asleep:
                dispatcher.wake()

    def _open_mailbox(self) -> SimpleQueue[Any]:
        """Return the mailbox, made at the first message: most of an idle actor's bytes."""
        address = self.address
        kept = None if address is None else address.open()
        q: SimpleQueue[Any] | None = SimpleQueue() if kept is None else kept
        with self.system.rare:
            if self.reason is not None:
                q = None
            elif self.items is None:
                self.items = q
            else:
                q = self.items
        if q is None:
            raise self.dead_error()
        return q

    def _take_back(self, q: SimpleQueue[Any]) -> None:
        """Answer what went into a mailbox that had just been closed; or leave it to who comes."""
        if self.address is None or not self.address.take_back(q):
            self._drain(q)

    def _drain(self, q: SimpleQueue[Any]) -> None:
        drain(q, self.undeliverable)

    def undeliverable(self, message: Any, future: Future[Any] | None) -> None:
        """Answer a message that will not be handled, or make it a dead letter."""
        if future is not None:
            future.offer_exception(
                ActorDeadError(f"{self} stopped before handling the message", address=self.name)
            )
        elif type(message) is ToOneself:
            self.system.dead_letters.record(message.message, address=self.name)
        elif not isinstance(message, (Notice, Down, Exit)):
            self.system.dead_letters.record(message, address=self.name)

    def dead_error(self) -> DeliveryError:
        """Return what a sender to this ended incarnation gets."""
        if not self.system.is_open:
            return SystemStopped(f"{self.system} has been stopped", address=self.name)
        return ActorDeadError(f"{self} not found", address=self.name)

    def timeout_error(self, future: Future[Any]) -> Exception:
        """Return what an asker gets whose time ran out."""
        del future
        return Timeout(f"{self.name} did not answer in time", address=self.name)

    @property
    def _is_outlived(self) -> bool:
        """Whether its mailbox is the address's own, for whoever comes next."""
        return self.address is not None and self.address.keeps_mailbox

    def for_this_life(self, message: Any) -> Any:
        """Return how to put what this incarnation tells itself: a later one must not get it."""
        return ToOneself(self, message) if self._is_outlived else message

    def notify(self, message: Any) -> bool:
        """Put a notice in order with the messages; never refused for lack of room.

        Returns:
            False when the actor has ended.
        """
        q = self.items
        if q is None:
            if self.reason is not None:  # no error to be made for nobody
                return False
            try:
                q = self._open_mailbox()
            except DeliveryError:
                return False
        if self._is_outlived:
            message = ForOneLife(self, message)
        self._put(q, (message, None, copy_context()))
        return True

    def learn(self, notice: ChildStarted | ChildExited) -> None:
        """Take news of a child; a parent that is ending waits for it with its mailbox closed.

        A parent that waits for another child is not woken: it finds the news when it goes on.
        Two pairs that must keep their order:

            here: (1) put the news   (2) does it wait for another one still?
            parent: (1) wait no more, or for this one   (2) what is in the mailbox, has it moved?
        """
        child = notice.child
        q = self.items
        if q is not None and not self._waits_for(child):
            kept = ForOneLife(self, notice) if self._is_outlived else notice
            self._put(q, (kept, None, copy_context()), wakes=False)
            if not self.is_scheduled and self._waits_for(child):
                self.schedule()
        elif not self.notify(notice) and not self.is_dead and self._waits_for(child):
            self.poke()

    def _waits_for(self, child: object) -> bool:
        """Say whether news of this child may be what an operation of its parent waits for."""
        del child
        return True

    def signal(self, act: Callable[..., None], *args: Any) -> None:
        """Have `act(*args)` run by the next holder of the cell, ahead of all messages."""
        lane = self.signals
        if lane is None:
            made: SimpleQueue[Any] = SimpleQueue()
            with self.system.rare:
                lane = self.signals = self.signals or made
        if self.system.point is not None:
            self.system.point("signal", self, act)
        lane.put((act, args))
        if not self.is_scheduled:
            self.schedule()

    def poke(self) -> None:
        """Have the cell look again at what it waits for."""
        lane = self.signals
        if lane is None or not lane.qsize():
            self.signal(_do_nothing)
        elif not self.is_scheduled:
            # Whoever obeys what waits there looks again after it.
            self.schedule()


def drain(q: SimpleQueue[Any], undeliverable: Callable[[Any, Future[Any] | None], object]) -> None:
    """Take everything out of a mailbox that nobody will look into again."""
    while q.qsize():
        try:
            message, future, _ = q.get_nowait()
        except Empty:
            return
        undeliverable(message, future)


def _do_nothing() -> None:
    """Serve as a signal that only wakes."""
