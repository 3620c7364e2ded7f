"""Stand-ins for who observes sessions: they remember everything, and fail when they are told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callboard.actors.audit import AuditEvent


class FakeAudit:
    """An audit sink that keeps records in a list.

    Args:
        before: called with each record before it is kept: raise there, or wait.
    """

    def __init__(self, before: Callable[[AuditEvent], object] | None = None) -> None:
        self.before = before
        self.records: list[AuditEvent] = []
        """What was kept, in order."""

    def log_session_event(self, event: AuditEvent, /) -> None:
        """Keep one record."""
        if self.before is not None:
            self.before(event)
        self.records.append(event)

    @property
    def types(self) -> list[str]:
        """The records' types, in order."""
        return [each.event_type for each in self.records]


class FakeMetrics:
    """A metrics sink that adds up. A number's key is its name and its labels' values."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, ...], float] = {}
        self.gauges: dict[tuple[str, ...], float] = {}
        self.histograms: dict[tuple[str, ...], list[float]] = {}

    def counter(self, name: str, amount: float, labels: Mapping[str, str] | None = None, /) -> None:
        """Add to a counter."""
        key = _key(name, labels)
        self.counters[key] = self.counters.get(key, 0.0) + amount

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None, /) -> None:
        """Set a gauge."""
        self.gauges[_key(name, labels)] = value

    def histogram(
        self, name: str, value: float, labels: Mapping[str, str] | None = None, /
    ) -> None:
        """Add one observation."""
        self.histograms.setdefault(_key(name, labels), []).append(value)


def _key(name: str, labels: Mapping[str, str] | None) -> tuple[str, ...]:
    return (name, *(labels or {}).values())


class FakeLog:
    """A logger that keeps its lines, as level and text."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.extras: list[dict[str, Any]] = []

    def log(self, level: int, msg: str, /, *args: object, extra: dict[str, Any]) -> None:
        """Keep one line."""
        self.lines.append((level, msg % args))
        self.extras.append(extra)
