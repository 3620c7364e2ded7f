"""How does an event reach a sink that may be slow? By a line with an actor at its end."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol

import msgspec

from callboard.actors.audit import AUDIT_WAITING_MAX, AuditEvent, AuditSink
from callboard.actors.messages import StoreHealth
from callboard.actors.metrics import (
    AUDIT_LOST,
    EVENTS,
    FOLDERS_LEFT,
    LABEL_VALUES_MAX,
    LIFETIMES,
    MEMORY,
    MESSAGES,
    METRICS_WAITING_MAX,
    SESSIONS,
    STEPS,
    STORE_BATCHES,
    STORE_COMMITS,
    STORE_TAKES,
    STORE_WAITING,
    SUBSCRIPTIONS,
    WAITING,
    Metric,
    MetricsSink,
)
from callboard.actors.sessions.backlog import Backlog
from callboard.actors.sessions.events import EventKind, SessionEvent
from callboard.actors.sessions.frozen import EMPTY
from callboard.supervision import ActorSystem
from callboard.supervision.observe.text import CHARS_MAX, escaped

ATTEMPTS_MAX: Final = 2
"""How often an event is offered to a sink whose writer dies of it."""

LOG_WAITING_MAX: Final = 10_000
"""Events that may wait to be logged; what comes beyond is counted."""

UNAUDITED: Final = frozenset({EventKind.ACTIVITY})
"""What is no operation."""


class EventsLost(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the system's hook: what a sink should have got is being lost.

    Told once for each time that it begins; when the sink takes again, an audit sink
    gets a record `events_lost` that says how many. Told once more when the system has stopped, if
    anything was not written by then.

    Args:
        sink: "audit", "metrics" or "log".
        reason: why: it is full, the name of what the sink raised, or that it was too slow for the
            stop, and how many waited.
    """

    log_level: ClassVar[int] = logging.ERROR
    log_event: ClassVar[str] = "events.lost"

    sink: str
    reason: str


class Outlet(ABC):
    """What one sink has still to get. A plain object: the writer's crash loses nothing.

    Args:
        name: of the sink, and of its writer.
        system: whose hook learns of losses.
        wake: tells the writer to look.
        items_max: events that may wait.
    """

    def __init__(
        self, name: str, system: ActorSystem, wake: Callable[[], object], items_max: int
    ) -> None:
        self.name = name
        self._system = system
        self.backlog: Backlog[SessionEvent] = Backlog(items_max, wake, system.new_lock())
        self._last: SessionEvent | None = None
        self._in_hand: SessionEvent | None = None
        self._attempts = 0
        self._is_losing = False
        self._told_lost = 0

    # -- the hub -----------------------------------------------------------

    def take(self, event: SessionEvent) -> None:
        """Put an event in line; counted as lost when there is no room."""
        if event is self._last:  # the hub before this one had given it
            return
        self._last = event
        if self.wants(event) and not self.backlog.put(event):
            self._begin_to_lose(f"{self.backlog.items_max} wait")

    def lose(self, number: int) -> None:
        """Count events that did not come as far as here."""
        self.backlog.lose(number)
        self._begin_to_lose("the hub was full")

    def close(self, unheard: int) -> None:
        """Count what will never be written, and tell: the system has stopped.

        Args:
            unheard: events that did not come as far as here.
        """
        left = len(self.backlog.clear()) + unheard
        if left:
            self.backlog.lose(left)
            reason = f"{left:,} waited when the system stopped"
            self._system.emit(EventsLost(sink=self.name, reason=reason))

    def _begin_to_lose(self, reason: str) -> None:
        if not self._is_losing:
            self._is_losing = True
            if self._system.on_event is not None:
                self._system.emit(EventsLost(sink=self.name, reason=reason))

    # -- the writer --------------------------------------------------------

    def step(self) -> bool:
        """Write one event; say whether there was one.

        Whatever a sink raises is its own affair: the event is lost and counted.
        """
        event = self.backlog.head()
        if event is None:
            return False
        if event is not self._in_hand:
            self._in_hand, self._attempts = event, 0
        self._attempts += 1
        if self._attempts > ATTEMPTS_MAX:
            self._failed("its writer died")
        else:
            try:
                self._tell_of_losses()
                self.write(event)
            except Exception as error:  # noqa: BLE001 -- an event hook: a named edge of the house
                self._failed(type(error).__name__)
        self.backlog.done(event)
        return True

    def _failed(self, reason: str) -> None:
        self.backlog.lose(1)
        self._begin_to_lose(reason)

    def _tell_of_losses(self) -> None:
        lost = self.backlog.lost
        if lost > self._told_lost:
            self.write_lost(lost - self._told_lost)
            self._told_lost = lost
            self._is_losing = False

    # -- what a sink makes of it -------------------------------------------

    def wants(self, event: SessionEvent) -> bool:
        """Whether this event is for this sink."""
        del event
        return True

    @abstractmethod
    def write(self, event: SessionEvent) -> None:
        """Give the sink an event; it may block and raise."""

    def write_lost(self, number: int) -> None:  # noqa: B027 -- numbers do not tell of it
        """Tell the sink how many events it did not get."""

    def look(self) -> None:  # noqa: B027 -- for most there is nothing to look at
        """Give the sink what is known by looking only; now and then."""


class AuditOutlet(Outlet):
    """The line to the audit sink.

    Args:
        sink: the port.
        system: as above.
        wake: as above.
    """

    def __init__(self, sink: AuditSink, system: ActorSystem, wake: Callable[[], object]) -> None:
        super().__init__("audit", system, wake, AUDIT_WAITING_MAX)
        self._sink = sink

    def wants(self, event: SessionEvent) -> bool:
        """Whether it tells of an operation."""
        return event.kind not in UNAUDITED

    def write(self, event: SessionEvent) -> None:
        """Keep a record of it."""
        self.keep(
            AuditEvent(
                event_type=event.kind.value,
                at=event.at,
                session_id=event.session_id,
                user_id=event.user_id,
                org_id=event.org_id,
                seq=event.seq,
                details=event.details,
            )
        )

    def write_lost(self, number: int) -> None:
        """Keep a record that says how many are missing here."""
        at = self._system.clock.wall_s()
        self.keep(AuditEvent(event_type="events_lost", at=at, details={"lost": number}))

    def keep(self, record: AuditEvent) -> None:
        """Keep one record."""
        self._sink.log_session_event(record)


class Numbers(Protocol):
    """What is measured by looking."""

    def presences(self) -> Mapping[str, int]:
        """Return how many sessions there are of each presence."""
        ...

    def subscriptions(self) -> int:
        """Return how many subscriptions are open."""
        ...

    def events_waiting(self) -> int:
        """Return how many events wait for the hub."""
        ...

    def memory_bytes(self) -> Mapping[str, int]:
        """Return what is known of the memory, by what it is."""
        ...

    def audit_lost(self) -> int:
        """Return how many audit records were lost."""
        ...

    def folders_left(self) -> int:
        """Return how many removed workspaces have not been deleted yet."""
        ...

    def store(self) -> StoreHealth | None:
        """Say how the durable store is; None: there is none."""
        ...


_OUTCOMES: Final = tuple({"outcome": each} for each in ("kept", "refused"))


class MetricsOutlet(Outlet):
    """The line to the metrics sink.

    Args:
        sink: the port.
        system: as above.
        wake: as above.
        numbers: what is measured by looking.
    """

    def __init__(
        self, sink: MetricsSink, system: ActorSystem, wake: Callable[[], object], numbers: Numbers
    ) -> None:
        super().__init__("metrics", system, wake, METRICS_WAITING_MAX)
        self._sink = sink
        self._numbers = numbers
        self._steps: dict[str, str] = {}
        self._counted: dict[tuple[str, ...], int] = {}

    def write(self, event: SessionEvent) -> None:
        """Count it."""
        sink, details = self._sink, event.details
        sink.counter(EVENTS.name, 1, {"kind": event.kind.value})
        match event.kind:
            case EventKind.MESSAGE:
                sink.counter(MESSAGES.name, 1, {"role": str(details.get("role"))})
            case EventKind.CLEANUP_STEP:
                labels = {
                    "step": self._step(str(details.get("name"))),
                    "ok": str(bool(details.get("ok"))).lower(),
                }
                sink.histogram(STEPS.name, _number(details.get("seconds")), labels)
            case EventKind.TERMINATED if "seconds" in details:
                sink.histogram(LIFETIMES.name, _number(details["seconds"]))
            case _:
                pass

    def _step(self, name: str) -> str:
        if len(self._steps) < LABEL_VALUES_MAX:
            self._steps.setdefault(name, name)
        return self._steps.get(name, "other")

    def look(self) -> None:
        """Measure what is known by looking only."""
        sink, numbers = self._sink, self._numbers
        for presence, number in numbers.presences().items():
            sink.gauge(SESSIONS.name, number, {"presence": str(presence)})
        sink.gauge(SUBSCRIPTIONS.name, numbers.subscriptions())
        sink.gauge(WAITING.name, numbers.events_waiting())
        for what, number in numbers.memory_bytes().items():
            sink.gauge(MEMORY.name, number, {"what": what})
        sink.gauge(FOLDERS_LEFT.name, numbers.folders_left())
        self._count(AUDIT_LOST, numbers.audit_lost())
        store = numbers.store()
        if store is not None:
            sink.gauge(STORE_TAKES.name, int(store.is_taking))
            sink.gauge(STORE_WAITING.name, store.waiting)
            for labels, number in zip(_OUTCOMES, (store.kept, store.refused), strict=True):
                self._count(STORE_COMMITS, number, labels)
            self._count(STORE_BATCHES, store.batches)

    def _count(self, metric: Metric, number: int, labels: Mapping[str, str] = EMPTY) -> None:
        """Have a counter at this number: what has come since the last look is added."""
        counted = (metric.name, *labels.values())
        new = number - self._counted.get(counted, 0)
        if new > 0:
            self._sink.counter(metric.name, new, labels)
            self._counted[counted] = number


class LogSink(Protocol):
    """What a logger offers: `logging.Logger`, an adapter of one, structlog's stdlib logger."""

    def log(self, level: int, msg: str, /, *args: object, extra: dict[str, Any]) -> None:
        """Write one line."""
        ...


LEVELS: Final[Mapping[EventKind, int]] = {
    EventKind.ACTIVITY: logging.DEBUG,
    EventKind.MESSAGE: logging.DEBUG,
    EventKind.UPDATED: logging.DEBUG,
    EventKind.ASLEEP: logging.DEBUG,
    EventKind.AWAKE: logging.DEBUG,
    EventKind.AGENT_DOWN: logging.WARNING,
    EventKind.MCP_DOWN: logging.WARNING,
    EventKind.ERROR: logging.WARNING,
    EventKind.RESTARTED: logging.WARNING,
    EventKind.QUARANTINED: logging.ERROR,
}
"""How loud an event is; what is not named here is INFO."""


class LogOutlet(Outlet):
    """The line to the injected logger.

    Args:
        log: the port.
        system: as above.
        wake: as above.
    """

    def __init__(self, log: LogSink, system: ActorSystem, wake: Callable[[], object]) -> None:
        super().__init__("log", system, wake, LOG_WAITING_MAX)
        self._log = log

    def write(self, event: SessionEvent) -> None:
        """Write one line, with the fields as attributes."""
        said: dict[str, Any] = {
            "session_id": event.session_id,
            "seq": event.seq,
            "user_id": event.user_id,
            "org_id": event.org_id,
            **event.details,
        }
        shown = " ".join(
            f"{name}={escaped(str(value), chars_max=CHARS_MAX)}"
            for name, value in said.items()
            if value is not None
        )
        extra: dict[str, Any] = {
            "event": f"session.{event.kind.value}",
            "session_id": event.session_id,
            "details": event.details,
        }
        self._log.log(level_of(event), "session.%s %s", event.kind.value, shown, extra=extra)

    def write_lost(self, number: int) -> None:
        """Say how many lines are missing here."""
        extra: dict[str, Any] = {"event": "session.events_lost", "lost": number}
        self._log.log(logging.WARNING, "session.events_lost lost=%d", number, extra=extra)


def level_of(event: SessionEvent) -> int:
    """Return the level of an event's line."""
    if event.kind is EventKind.CLEANUP_STEP:
        return logging.DEBUG if event.details.get("ok") else logging.WARNING
    return LEVELS.get(event.kind, logging.INFO)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
