"""How are the sessions, and the parts that serve them? Said on the asker's thread."""

from __future__ import annotations

from typing import Final

from callboard.actors.messages import HealthReport
from callboard.actors.sessions.hung import hung
from callboard.actors.sessions.relief import MemoryPressure
from callboard.actors.sessions.services import Services

STORE: Final = "store"
"""What `HealthReport.failing` calls the durable store while that refuses what it is to keep, or
when it is damaged."""


def report(services: Services, *, is_over: bool) -> HealthReport:
    """Say how they are, without a message. Any thread.

    Args:
        services: what the parts share.
        is_over: whether the tree has ended.
    """
    now_s = services.system.clock.now_s()
    oldest_s = services.table.oldest_active_s()
    failing = ("root",) if is_over else services.failing_parts()
    if services.is_audit_refusing:  # told here alone: a watchdog's restart would not mend it
        failing = (*failing, "audit sink")
    store = None if services.storing is None else services.storing.health()
    if store is not None and (store.is_damaged or not store.is_taking):  # nor this: reads go on
        failing = (*failing, STORE)
    due_s = services.sweep_due_s
    relief = services.relief
    return HealthReport(
        is_healthy=not failing,
        sessions=len(services.table),
        presences=services.table.presences(),
        oldest_idle_s=0.0 if oldest_s is None else max(0.0, now_s - oldest_s),
        janitor_lag_s=0.0 if due_s is None else max(0.0, now_s - due_s),
        failing=failing,
        hung=hung(services.at_work, now_s=now_s, after_s=services.hung_after_s),
        subscriptions=services.feed.subscriptions,
        slow_subscriptions=services.feed.closed_as_slow,
        audit_lost=services.observing.audit_lost(),
        memory_bytes=None if relief is None else relief.resident_bytes,
        memory_pressure=MemoryPressure.WITHIN if relief is None else relief.pressure,
        folders_left=services.observing.folders_left(),
        store=store,
    )
