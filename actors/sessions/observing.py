"""Who listens to the sessions of one system? Feed, sinks and their actors, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from callboard.actors.audit import AuditSink
from callboard.actors.messages import StoreHealth
from callboard.actors.metrics import MetricsSink
from callboard.actors.sessions.clearing import Clearing
from callboard.actors.sessions.feed import Feed
from callboard.actors.sessions.hub import EventHub
from callboard.actors.sessions.internal import LookAgain
from callboard.actors.sessions.naming import EVENTS
from callboard.actors.sessions.outlets import (
    AuditOutlet,
    LogOutlet,
    LogSink,
    MetricsOutlet,
    Outlet,
)
from callboard.actors.sessions.table import Table
from callboard.actors.sessions.writers import AuditWriter, MetricsWriter, SinkWriter
from callboard.supervision import ActorSystem, Address
from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.specs import ChildSpec

DELAYS: Final = Backoff(delays_s=(0.0, 0.1, 1.0, 10.0))
"""How long to wait before a restart of the hub or a writer: a sink whose writer dies again and
again must not use up the budget of the line."""


class Observing:
    """Everything that hears of sessions; the system owns it, so that no crash empties it.

    Args:
        system: the actor system.
        table: the sessions, to be counted.
        memory_bytes: says what is known of the memory, by what it is.
        clearing: the workspaces that are to be deleted, to be counted, if there can be any.
        audit: the audit sink, if there is one.
        metrics: the metrics sink, if there is one.
        log: the logger, if one was injected.
    """

    def __init__(
        self,
        system: ActorSystem,
        table: Table,
        memory_bytes: Callable[[], Mapping[str, int]],
        clearing: Clearing | None = None,
        store: Callable[[], StoreHealth | None] = lambda: None,
        *,
        audit: AuditSink | None = None,
        metrics: MetricsSink | None = None,
        log: LogSink | None = None,
    ) -> None:
        self._table = table
        self._memory_bytes = memory_bytes
        self._clearing = clearing
        self._store = store
        hub: Address[Any] = system.reserve(EVENTS, keeps_mailbox=True)
        self.writer: Address[Any] | None = None
        """Where records are kept before an operation; None: nobody audits."""
        self._audit: AuditOutlet | None = None
        outlets: list[tuple[Outlet, type[SinkWriter]]] = []
        if audit is not None:
            self.writer = system.reserve("audit", keeps_mailbox=True)
            self._audit = AuditOutlet(audit, system, _waker(self.writer))
            outlets.append((self._audit, AuditWriter))
        if metrics is not None:
            wake = _waker(system.reserve("metrics", keeps_mailbox=True))
            outlets.append((MetricsOutlet(metrics, system, wake, self), MetricsWriter))
        if log is not None:
            wake = _waker(system.reserve("log", keeps_mailbox=True))
            outlets.append((LogOutlet(log, system, wake), SinkWriter))
        self._outlets = tuple(outlet for outlet, _ in outlets)
        self.feed = Feed(system, _waker(hub), self._outlets)
        # The hub is the last: stopped first, it passes the rest on to writers that still run.
        self.specs: tuple[ChildSpec, ...] = (
            *(_spec(outlet.name, writer, outlet) for outlet, writer in outlets),
            _spec(EVENTS, EventHub, self.feed),
        )
        """The children of the line, in order."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its actors."""
        return tuple(str(spec.name) for spec in self.specs)

    def close(self) -> None:
        """Count what no sink gets any more. When the system has stopped; idempotent."""
        unheard = self.feed.clear()
        for outlet in self._outlets:
            outlet.close(unheard)

    # -- what is measured by looking (`outlets.Numbers`) -------------------

    def presences(self) -> Mapping[str, int]:
        """Return how many sessions there are of each presence."""
        return {each.value: number for each, number in self._table.presences().items()}

    def subscriptions(self) -> int:
        """Return how many subscriptions are open."""
        return self.feed.subscriptions

    def events_waiting(self) -> int:
        """Return how many events wait for the hub."""
        return self.feed.waiting

    def memory_bytes(self) -> Mapping[str, int]:
        """Return what is known of the memory: `resident` and `bound`, where it has one."""
        return self._memory_bytes()

    def audit_lost(self) -> int:
        """Return how many audit records were lost."""
        return 0 if self._audit is None else self._audit.backlog.lost

    def folders_left(self) -> int:
        """Return how many removed workspaces have not been deleted yet."""
        return 0 if self._clearing is None else self._clearing.left

    def store(self) -> StoreHealth | None:
        """Say how the durable store is; None: there is none."""
        return self._store()


def _waker(address: Address[Any]) -> Any:
    return partial(address.notify, LookAgain())


def _spec(name: str, actor: type[Any], argument: object) -> ChildSpec:
    return ChildSpec(id=name, start=actor, args=(argument,), name=name, backoff=DELAYS)
