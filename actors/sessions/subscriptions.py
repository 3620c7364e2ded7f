"""How does somebody in the same process read along? By a bounded line of his own."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self

from callboard.actors.errors import SlowConsumer, SubscriptionClosed
from callboard.actors.sessions.events import EventKind, SessionEvent
from callboard.supervision import ActorSystem, Future


class Subscription:
    """The events of one session, or of all, as they happen. Any thread; one or several readers.

        with sessions.ask(Subscribe(ada.id)) as events:
            for event in events:
                ...

    Iterating, plain or `async`, waits for the next event and ends when the
    subscription is closed: by `close`, by the end of the one session it is
    about, by the end of the system. Who reads too slowly is closed with
    `SlowConsumer`; subscribe anew then, and read the session to see where it is.

    Args:
        system: how to wait.
        session_id: whose events; None: everybody's.
        kinds: which of them; empty: all.
        events_max: events that may wait.
        leave: called once, when it is closed.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        session_id: str | None,
        kinds: frozenset[EventKind],
        events_max: int,
        leave: Callable[[Subscription], object],
    ) -> None:
        self._system = system
        self.session_id = session_id
        self.kinds = kinds
        self.events_max = events_max
        self._leave = leave
        self._events: deque[SessionEvent] = deque()
        self._waiting: deque[Future[None]] = deque()
        self._last: SessionEvent | None = None
        self._error: SlowConsumer | None = None
        self._has_begun = False
        self._is_closed = False

    # -- what the hub does -------------------------------------------------

    def begin(self) -> None:
        """Get what comes from here on."""
        self._has_begun = True

    def take(self, event: SessionEvent) -> None:
        """Get one event. The hub alone, which repeats the one it had in hand when it crashed."""
        if event is self._last or self._is_closed or not self._has_begun:
            return
        self._last = event
        if not self.kinds or event.kind in self.kinds:
            if len(self._events) >= self.events_max:
                self.lose(1)
                return
            self._events.append(event)
            self._wake_one()
        if event.kind is EventKind.TERMINATED and self.session_id is not None:
            self.close()

    def lose(self, number: int) -> None:
        """Close it: so many events did not find room, and what waits is given up with them."""
        lost = number + len(self._events)
        self._error = SlowConsumer(lost, events_max=self.events_max)
        self._events.clear()
        self.close()

    def _wake_one(self) -> None:
        while self._waiting:
            try:
                waiting = self._waiting.popleft()
            except IndexError:
                return
            if waiting.offer(None):  # else it has given up, and does not look any more
                return

    # -- what its owner does -----------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Whether no further events come; some may wait still."""
        return self._is_closed

    @property
    def is_slow(self) -> bool:
        """Whether it was closed because its reader was too slow."""
        return self._error is not None

    @property
    def waiting(self) -> int:
        """How many events wait to be read."""
        return len(self._events)

    def get(self, timeout: float | None = None) -> SessionEvent:
        """Return the next event, waiting for it.

        Args:
            timeout: seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            Timeout: none came in time.
            SlowConsumer: events were lost.
            SubscriptionClosed: it is closed, and all is read.
        """
        dispatcher = self._system.dispatcher
        until_s = None if timeout is None else dispatcher.now_s() + timeout
        while True:
            event = self._next()
            if event is not None:
                return event
            future: Future[None] = Future(None, until_s, dispatcher)
            try:
                if self._is_worth_waiting(future):
                    future.answer()
            finally:
                self._pass_on(future)

    async def get_async(self) -> SessionEvent:
        """Return the next event without blocking the loop; otherwise like `get`."""
        while True:
            event = self._next()
            if event is not None:
                return event
            future: Future[None] = Future(None, None, self._system.dispatcher)
            try:
                if self._is_worth_waiting(future):
                    await future
            finally:
                self._pass_on(future)

    def _next(self) -> SessionEvent | None:
        """Return what waits, or None: then wait."""
        # Read first: what was put before it was closed is seen afterwards.
        is_closed = self._is_closed
        try:
            return self._events.popleft()
        except IndexError:
            pass
        if self._error is not None:
            raise self._error
        if is_closed:
            msg = "the subscription is closed"
            raise SubscriptionClosed(msg)
        return None

    def _pass_on(self, future: Future[None]) -> None:
        """Wait no more. Interrupted or cancelled just after it was woken: that was for the next."""
        if not future.offer(None) and self._events:
            self._wake_one()

    def _is_worth_waiting(self, future: Future[None]) -> bool:
        """Stand in line, then look again: whoever puts looks at the line afterwards."""
        self._waiting.append(future)
        if not self._events and not self._is_closed:
            return True
        future.offer(None)
        return False

    def close(self) -> None:
        """Get no further events; what waits may still be read. Idempotent."""
        self._is_closed = True
        self._leave(self)
        for _ in range(len(self._waiting)):
            self._wake_one()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[SessionEvent]:
        while True:
            try:
                yield self.get()
            except SubscriptionClosed:
                return

    async def __aiter__(self) -> AsyncIterator[SessionEvent]:
        while True:
            try:
                yield await self.get_async()
            except SubscriptionClosed:
                return
