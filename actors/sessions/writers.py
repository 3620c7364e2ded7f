"""The actors that write to sinks: each waits for its sink, so that nobody else does."""

from __future__ import annotations

from typing import Final

import msgspec

from callboard.actors.audit import AuditEvent
from callboard.actors.errors import AuditError
from callboard.actors.metrics import GAUGES_EVERY_S
from callboard.actors.sessions.internal import FailNow, LookAgain
from callboard.actors.sessions.outlets import AuditOutlet, Outlet
from callboard.supervision import ExitReason, PinnedActor, Request, SupervisedActor, handles
from callboard.supervision.model.reasons import is_abnormal

WRITES_PER_TURN: Final = 64
"""Events that are written before an operation that must be audited has its turn."""


class KeepFirst(Request[None], frozen=True):
    """To the audit writer: keep this record before the operation is done."""

    record: AuditEvent


class _LookAround(msgspec.Struct, frozen=True):
    """To a writer itself: it is time to look."""


class SinkWriter(SupervisedActor):
    """Writes to one sink what its outlet holds. It may wait: the pool makes room.

    Args:
        outlet: what the system owns.
        look_every_s: how often the sink gets what is known by looking; 0 never.
    """

    def __init__(self, outlet: Outlet, look_every_s: float = 0.0) -> None:
        super().__init__()
        self._outlet = outlet
        self._look_every_s = look_every_s

    def on_start(self) -> None:
        """Go on with what waits."""
        self.actor_ref.notify(LookAgain())
        if self._look_every_s:
            self.send_after(0.0, _LookAround())

    @handles(LookAgain)
    def on_look_again(self, message: LookAgain) -> None:
        """Write what waits, then let others have their turn."""
        del message
        self._outlet.backlog.is_announced = False  # before looking: what comes is announced again
        for _ in range(WRITES_PER_TURN):
            if not self._outlet.step():
                return
        self.actor_ref.notify(LookAgain())

    @handles(_LookAround)
    def on_look_around(self, message: _LookAround) -> None:
        """Give the sink what is known by looking."""
        self.send_after(self._look_every_s, message).is_recurring = True
        try:
            self._outlet.look()
        except Exception:  # noqa: BLE001 -- an event hook: a named edge of the house
            self._outlet.lose(1)

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)

    def terminate(self, reason: ExitReason) -> None:
        """Write the rest; what its supervisor does not wait for is lost."""
        while not is_abnormal(reason) and self._outlet.step():
            pass


class MetricsWriter(SinkWriter):
    """Measures, and looks around now and then.

    Args:
        outlet: what the system owns.
    """

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(outlet, GAUGES_EVERY_S)


class AuditWriter(PinnedActor, SinkWriter):
    """Keeps records, on a thread of its own.

    Args:
        outlet: what the system owns.
    """

    def __init__(self, outlet: AuditOutlet) -> None:
        super().__init__(outlet)
        self._audit = outlet

    @handles(KeepFirst)
    def on_keep_first(self, message: KeepFirst) -> None:
        """Keep a record now.

        Raises:
            AuditError: the sink has raised, or lost what came before.
        """
        operation = message.record.event_type
        if self._audit.backlog.is_full:
            raise AuditError(operation, f"{self._audit.backlog.items_max} records wait")
        try:
            self._audit.keep(message.record)
        except Exception as error:  # noqa: BLE001 -- an event hook: a named edge of the house
            raise AuditError(operation, type(error).__name__) from None
