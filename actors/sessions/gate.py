"""How is an operation audited before it is done, and nobody waits? Asked here, done when answered.

    manager, or a session's address     asks the writer, and goes on with others
    writer                              keeps the record, or refuses
    whoever                             answered: sends the operation on, in the asker's name

With the asker's own future: who gave up meanwhile gets nothing done, and a manager, or a session's
actor, that was killed in between is followed by one that finds the operation in its mailbox.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from callboard.actors.audit import AUDIT_WAIT_S, AuditEvent
from callboard.actors.checks import check
from callboard.actors.errors import AuditError
from callboard.actors.messages import RecordActivity, SessionMessage
from callboard.actors.sessions.internal import EndAll, QuarantineSweep
from callboard.actors.sessions.writers import KeepFirst
from callboard.supervision import Request

if TYPE_CHECKING:
    from callboard.actors.sessions.services import Services

_RECORDED: Final = ("reason", "dry_run", "agent_role", "kind", "idle_longer_than_s", "how", "part")
"""Fields of what the manager is asked that a record tells; what a session holds, or is sent, is not
among them."""


class Gate:
    """Lets operations pass that have been audited.

    Args:
        services: what the system lends.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    @staticmethod
    def is_for_manager(message: object) -> bool:
        """Whether this message must be audited before the manager does it: whatever it is asked.

        And the end of who was quarantined for too long, which the janitor has it look for as it
        asks for that of the idle. Not the stop of the system, which must not depend on a sink.
        """
        return isinstance(message, (Request, QuarantineSweep)) and not isinstance(message, EndAll)

    @staticmethod
    def is_for_session(message: object) -> bool:
        """Whether this message must be audited before a session does it.

        Whatever it is sent by others, the messages of its own behaviour included; not the sign of
        life, which is in no audit, and not what it tells itself.
        """
        return isinstance(message, SessionMessage) and not isinstance(message, RecordActivity)

    def pass_later(
        self,
        message: Any,
        passed: Callable[[], object],
        refused: Callable[[AuditError], object],
    ) -> None:
        """Have it audited, then say that it has passed, or is refused. It does not wait.

        Args:
            message: the operation.
            passed: called in the context of this call, on any thread.
            refused: called on any thread, with the error.

        Raises:
            SessionError: a field is wrong: that needs no record.
        """
        check(message, self._services.limits)
        services, operation, context = self._services, type(message).__name__, copy_context()
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
                context.run(passed)
            elif isinstance(error, AuditError):
                refused(error)
            else:
                refused(AuditError(operation, type(error).__name__))

        timer = system.timers.call_at(system.clock.now_s() + AUDIT_WAIT_S, give_up)
        kept.when_done(answered)

    def _record(self, message: Any) -> AuditEvent:
        session_id: str | None = getattr(message, "session_id", None)
        row = None if session_id is None else self._services.table.get(session_id)
        about = message if row is None else row.latest().session
        told = () if self.is_for_session(message) else _RECORDED
        fields = {name: getattr(message, name, None) for name in told}
        return AuditEvent(
            event_type=type(message).__name__,
            at=self._services.system.clock.wall_s(),
            session_id=session_id,
            user_id=getattr(about, "user_id", None),
            org_id=getattr(about, "org_id", None),
            details={name: value for name, value in fields.items() if value is not None},
        )
