"""A session is quarantined because of what its metadata says, and revived with other metadata."""

from contextlib import suppress

from callboard.actors import (
    CreateSession,
    ReviveSession,
    SessionActor,
    SessionMessage,
    SessionPatch,
    SessionQuarantined,
    SessionSystem,
)
from callboard.supervision import handles

STEPS = {"stage": "down the stairs"}


class Where(SessionMessage[str], frozen=True, kw_only=True):
    politely: bool = False


class Guide(SessionActor[None]):
    @handles(Where)
    def on_where(self, message: Where) -> str:
        step = STEPS[str(self.session.metadata["place"])]
        return f"{step}, please" if message.politely else step


with SessionSystem(session=Guide) as sessions:
    ada = sessions.ask(CreateSession(metadata={"place": "moon"}))
    for _ in range(5):  # four crashes, and an answer that says what came of them
        with suppress(KeyError, SessionQuarantined):
            sessions.ask(Where(ada.id))
    # begin revive
    lost = sessions.get(ada.id)
    print(lost.presence, "after", lost.failed_on, "-", lost.last_error)
    revived = sessions.ask(ReviveSession(ada.id, patch=SessionPatch(metadata={"place": "stage"})))
    print(revived.presence, sessions.ask(Where(ada.id)))
    # end revive
