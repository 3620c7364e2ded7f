"""Who gets which event, under which number? A plain object: no actor's death empties it.

    put        any thread          into the backlog; the hub is told to look
    pass_on    the hub alone       number the head, give it to everybody, take it out

The hub may crash between any two of these steps. The next one begins with the same
head under the same number; whoever has had it takes it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from callboard.actors.messages import EVENTS_MAX
from callboard.actors.sessions.backlog import Backlog
from callboard.actors.sessions.events import EventKind, SessionEvent
from callboard.actors.sessions.subscriptions import Subscription
from callboard.supervision import ActorSystem

WAITING_MAX: Final = 100_000
"""Events that may wait for the hub. When it is full, subscriptions are closed as too slow."""


class Reader(Protocol):
    """Who gets every event: audit, metrics, log."""

    def take(self, event: SessionEvent, /) -> None:
        """Get one event; it must not wait. The one at a crash of the hub comes again."""
        ...

    def lose(self, number: int, /) -> None:
        """Learn that so many events will never come."""
        ...


class _Gone(msgspec.Struct, frozen=True, eq=False):
    """A session is no more; perhaps nobody has said so."""

    event: SessionEvent


class _Joins(msgspec.Struct, frozen=True, eq=False):
    """From here on a subscription gets what is emitted."""

    subscription: Subscription


class Feed:
    """All events of one system, on their way.

    Args:
        system: its clock, and how its readers wait.
        wake: tells the hub to look.
        readers: who gets every event.
        waiting_max: events that may wait for the hub.
    """

    __slots__ = (
        "_backlog",
        "_current",
        "_lock",
        "_lost",
        "_numbers",
        "_of_all",
        "_of_one",
        "_readers",
        "_system",
        "closed_as_slow",
        "is_heard",
        "keeper",
    )

    def __init__(
        self,
        system: ActorSystem,
        wake: Callable[[], object],
        readers: Iterable[Reader] = (),
        *,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._system = system
        self._lock = system.new_lock()
        self._backlog: Backlog[SessionEvent | _Gone | _Joins] = Backlog(
            waiting_max, wake, self._lock
        )
        self._readers = tuple(readers)
        self._of_all: dict[Subscription, None] = {}
        self._of_one: dict[str, dict[Subscription, None]] = {}
        self._numbers: dict[str, int] = {}
        self._current: tuple[SessionEvent, SessionEvent] | None = None
        self._lost = 0
        self.is_heard = bool(self._readers)
        """Whether anybody listens: events are worth being made."""
        self.closed_as_slow = 0
        """Subscriptions that were closed because their readers were too slow."""
        self.keeper: object = None
        """The hub's incarnation that passes on."""

    # -- any thread --------------------------------------------------------

    def put(self, event: SessionEvent) -> None:
        """Have an event numbered and passed on; nothing if nobody listens. It never waits."""
        if self.is_heard:
            self._backlog.put(event)

    def subscribe(
        self,
        session_id: str | None = None,
        kinds: Iterable[EventKind] = (),
        *,
        events_max: int = EVENTS_MAX,
    ) -> Subscription:
        """Return a new subscription; it gets what is emitted from now on."""
        subscription = Subscription(
            self._system,
            session_id=session_id,
            kinds=frozenset(kinds),
            events_max=events_max,
            leave=self._leave,
        )
        with self._lock:
            if session_id is None:
                self._of_all[subscription] = None
            else:
                self._of_one.setdefault(session_id, {})[subscription] = None
            self.is_heard = True
        # In line behind what was emitted before: that is not for this one.
        if not self._backlog.put(_Joins(subscription)):
            subscription.begin()
        return subscription

    def _leave(self, subscription: Subscription) -> None:
        session_id = subscription.session_id
        with self._lock:
            if session_id is None:
                was_here = self._of_all.pop(subscription, _NOBODY) is None
            else:
                those = self._of_one.get(session_id, {})
                was_here = those.pop(subscription, _NOBODY) is None
                if not those:
                    self._of_one.pop(session_id, None)
            self.closed_as_slow += was_here and subscription.is_slow
            if not (self._readers or self._of_all or self._of_one):
                # Nobody hears from now on which sessions end: whoever comes next counts anew.
                self.is_heard = False
                self._numbers = {}

    @property
    def subscriptions(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._of_all) + sum(map(len, self._of_one.values()))

    @property
    def waiting(self) -> int:
        """How many events wait for the hub."""
        return len(self._backlog)

    def close(self) -> None:
        """Close all subscriptions: nothing happens any more."""
        self.is_heard = False
        for subscription in self._subscriptions():
            subscription.close()

    def clear(self) -> int:
        """Take out what the hub has not passed on; return how many events. After its end."""
        return sum(isinstance(each, SessionEvent) for each in self._backlog.clear())

    def _subscriptions(self) -> list[Subscription]:
        with self._lock:
            of_one = [each for those in self._of_one.values() for each in those]
            return [*self._of_all, *of_one]

    # -- the manager alone -------------------------------------------------

    def look_after(self, is_there: Callable[[str], object]) -> None:
        """See that sessions get their last event which a killed manager removed and did not tell.

        Args:
            is_there: whether there is a session of this id.
        """
        at = self._system.clock.wall_s()
        for session_id in list(self._numbers):
            if not is_there(session_id):
                # In order: what that manager told all the same has been passed on before.
                self._backlog.put(_Gone(SessionEvent(session_id, EventKind.TERMINATED, at)))

    # -- the hub alone -----------------------------------------------------

    def pass_on(self, most: int) -> bool:
        """Pass on up to so many events; say whether more may wait."""
        backlog = self._backlog
        backlog.is_announced = False  # before looking: what comes later is announced again
        for _ in range(most):
            item = backlog.head()
            if backlog.lost > self._lost:
                self._tell_of_losses(backlog.lost)
            if item is None:
                return False
            match item:
                case _Joins():
                    item.subscription.begin()
                case _Gone():
                    if item.event.session_id in self._numbers:
                        self._deliver(item.event)
                case SessionEvent():
                    self._deliver(item)
            backlog.done(item)
        return True

    def _tell_of_losses(self, lost: int) -> None:
        number, self._lost = lost - self._lost, lost
        for reader in self._readers:
            reader.lose(number)
        for subscription in self._subscriptions():
            subscription.lose(number)

    def _deliver(self, raw: SessionEvent) -> None:
        event = self._numbered(raw)
        for reader in self._readers:
            reader.take(event)
        if self._of_all:
            for subscription in tuple(self._of_all):
                subscription.take(event)
        if self._of_one:
            for subscription in tuple(self._of_one.get(event.session_id, ())):
                subscription.take(event)
        if event.kind is EventKind.TERMINATED:
            self._numbers.pop(event.session_id, None)

    def _numbered(self, raw: SessionEvent) -> SessionEvent:
        current = self._current
        if current is not None and current[0] is raw:  # the hub before this one had begun with it
            return current[1]
        seq = self._numbers.get(raw.session_id, 0) + 1
        event = msgspec.structs.replace(raw, seq=seq)
        self._current = raw, event
        self._numbers[raw.session_id] = seq
        return event


_NOBODY: Final = object()
