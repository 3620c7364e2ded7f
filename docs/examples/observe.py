"""Whoever runs sessions reads along, keeps an audit trail, counts and looks after their health."""

import tempfile
from pathlib import Path

from callboard.actors import (
    AppendMessage,
    AuditFile,
    CreateSession,
    Role,
    SessionSystem,
    Subscribe,
    TerminateSession,
)

folder = tempfile.TemporaryDirectory()
trail = Path(folder.name) / "audit.jsonl"

# begin subscribe
with SessionSystem(audit=AuditFile(trail)) as sessions:
    ada = sessions.ask(CreateSession(user_id="ada"))
    with sessions.ask(Subscribe(ada.id)) as events:
        sessions.ask(AppendMessage(ada.id, Role.USER, "hello"))
        sessions.ask(TerminateSession(ada.id, "she left"))
        for event in events:  # ends with the session
            print(event.kind, dict(event.details))
    health = sessions.health()
    print(health.subscriptions, health.slow_subscriptions, health.audit_lost, health.hung)
# end subscribe

print(len(trail.read_text().splitlines()), "records")
folder.cleanup()
