"""How is an operation audited before it is done, and nobody waits? Asked here, done when answered.

    manager   asks the writer, and goes on with other messages
    writer    keeps the record, or refuses
    whoever   answered: sends the operation on to the manager, in the asker's name

With the asker's own future: who gave up meanwhile gets nothing done, and a manager
that was killed in between is followed by one that finds the operation in its mailbox.
"""

from __future__ import annotations

import math
from typing import Any, Final

from callboard.actors.audit import AUDIT_WAIT_S, AuditEvent
from callboard.actors.errors import AuditError
from callboard.actors.sessions.internal import Audited, EndAll
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.writers import KeepFirst
from callboard.supervision import Future, Request

_RECORDED: Final = ("reason", "dry_run", "agent_role", "kind", "idle_longer_than_s", "how", "part")
"""Fields of these that a record tells; what a session holds is not among them."""


class Gate:
    """Lets operations pass that have been audited.

    Args:
        services: what the system lends.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def is_for(self, message: object) -> bool:
        """Whether this message must be audited first: whatever the manager is asked to do.

        All but the stop of the system, which must not depend on a sink.
        """
        return isinstance(message, Request) and not isinstance(message, EndAll)

    def pass_later(self, message: Any, reply: Future[Any]) -> None:
        """Have it audited, then send it on to the manager; or refuse it. It does not wait."""
        services, operation = self._services, type(message).__name__
        writer, system = services.observing.writer, services.system
        assert writer is not None, "audit_required needs an audit sink"
        kept = writer.ask(KeepFirst(self._record(message)), block=False, timeout=math.inf)

        def give_up() -> None:
            kept.offer_exception(AuditError(operation, f"no answer in {AUDIT_WAIT_S:g} s"))

        def answered() -> None:
            timer.cancel()
            error = kept.error
            services.is_audit_refusing = error is not None
            if error is None:
                services.manager.forward(Audited(message), reply)
            elif isinstance(error, AuditError):
                reply.offer_exception(error)
            else:
                reply.offer_exception(AuditError(operation, type(error).__name__))

        timer = system.timers.call_at(system.clock.now_s() + AUDIT_WAIT_S, give_up)
        kept.when_done(answered)

    def _record(self, message: Any) -> AuditEvent:
        session_id: str | None = getattr(message, "session_id", None)
        row = None if session_id is None else self._services.table.get(session_id)
        about = message if row is None else row.latest().session
        fields = {name: getattr(message, name, None) for name in _RECORDED}
        return AuditEvent(
            event_type=type(message).__name__,
            at=self._services.system.clock.wall_s(),
            session_id=session_id,
            user_id=getattr(about, "user_id", None),
            org_id=getattr(about, "org_id", None),
            details={name: value for name, value in fields.items() if value is not None},
        )
