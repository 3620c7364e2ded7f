"""What is counted and measured? A port for numbers, and the list of their names.

Labels take few values: words of this library, and names of cleanup steps, of which
`LABEL_VALUES_MAX` are told apart. No session, user or organisation is a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec

LABEL_VALUES_MAX: Final = 50
"""Values of one label that are told apart; all further ones are `other`."""

METRICS_WAITING_MAX: Final = 10_000
"""Events that may wait to be measured; what comes beyond is not."""

GAUGES_EVERY_S: Final = 10.0
"""Seconds between two looks at what is measured by looking."""


class MetricKind(StrEnum):
    """How a number behaves."""

    COUNTER = "counter"
    """It only grows."""
    GAUGE = "gauge"
    """It is what it is."""
    HISTOGRAM = "histogram"
    """Many of them are summed up."""


class Metric(msgspec.Struct, frozen=True):
    """One name.

    Args:
        name: of the metric, unit last.
        kind: how it behaves.
        labels: names of its labels.
        help: what it says.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    help: str


EVENTS: Final = Metric(
    "callboard_session_events_total", MetricKind.COUNTER, ("kind",), "Events of sessions, by kind."
)
MESSAGES: Final = Metric(
    "callboard_messages_total", MetricKind.COUNTER, ("role",), "Messages appended, by author."
)
STEPS: Final = Metric(
    "callboard_cleanup_step_seconds",
    MetricKind.HISTOGRAM,
    ("step", "ok"),
    "How long the steps of a cleanup took.",
)
LIFETIMES: Final = Metric(
    "callboard_session_lifetime_seconds", MetricKind.HISTOGRAM, (), "How old sessions became."
)
SESSIONS: Final = Metric(
    "callboard_sessions", MetricKind.GAUGE, ("presence",), "Sessions there are, by presence."
)
SUBSCRIPTIONS: Final = Metric(
    "callboard_subscriptions", MetricKind.GAUGE, (), "Subscriptions that are open."
)
WAITING: Final = Metric(
    "callboard_events_waiting", MetricKind.GAUGE, (), "Events that wait to be passed on."
)
MEMORY: Final = Metric(
    "callboard_memory_bytes",
    MetricKind.GAUGE,
    ("what",),
    "Memory the process takes (resident) and may take (bound), where it has a bound.",
)
AUDIT_LOST: Final = Metric(
    "callboard_audit_lost_total", MetricKind.COUNTER, (), "Audit records that were not kept."
)
FOLDERS_LEFT: Final = Metric(
    "callboard_folders_left", MetricKind.GAUGE, (), "Removed workspaces that are to be deleted."
)

STORE_TAKES: Final = Metric(
    "callboard_store_takes",
    MetricKind.GAUGE,
    (),
    "Whether the durable store takes what it is to keep (1), or refuses it (0).",
)
STORE_WAITING: Final = Metric(
    "callboard_store_commits_waiting", MetricKind.GAUGE, (), "Commits that the store has not kept."
)
STORE_COMMITS: Final = Metric(
    "callboard_store_commits_total",
    MetricKind.COUNTER,
    ("outcome",),
    "Commits that the store has kept, or refused.",
)
STORE_BATCHES: Final = Metric(
    "callboard_store_batches_total", MetricKind.COUNTER, (), "Transactions of the store."
)

METRICS: Final[tuple[Metric, ...]] = (
    EVENTS,
    MESSAGES,
    STEPS,
    LIFETIMES,
    SESSIONS,
    SUBSCRIPTIONS,
    WAITING,
    MEMORY,
    AUDIT_LOST,
    FOLDERS_LEFT,
    STORE_TAKES,
    STORE_WAITING,
    STORE_COMMITS,
    STORE_BATCHES,
)
"""All there are."""

_NONE: Final[Mapping[str, str]] = {}


class MetricsSink(Protocol):
    """Where numbers go. Called by one thread at a time; it may block and raise, at its own cost."""

    def counter(self, name: str, amount: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: str, value: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Set a gauge."""
        ...

    def histogram(self, name: str, value: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Add one observation to a histogram."""
        ...


class NoMetrics:
    """Measures nothing."""

    def counter(self, name: str, amount: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Do nothing."""

    gauge = histogram = counter
