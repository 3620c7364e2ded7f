"""A session gets a folder and a prompt before it works; both go with it."""

import tempfile
from pathlib import Path

from callboard.actors import (
    ComposedPrompts,
    CreateSession,
    Role,
    Session,
    SessionActor,
    SessionMessage,
    SessionSystem,
    TerminateSession,
)
from callboard.supervision import handles


# begin behaviour
class Note(SessionMessage[str], frozen=True, kw_only=True):
    text: str


class Desk(SessionActor[None]):
    @handles(Note)
    def on_note(self, message: Note) -> str:
        file = Path(self.session.workspace or "") / "notes"
        file.write_text(message.text, encoding="utf-8")
        self.append(Role.USER, message.text)
        return file.name


class Invoices:
    """What is to be done beside the folder when a session ends."""

    def clean(self, session: Session) -> None:
        print("closed the account of", session.user_id)


# end behaviour

temporary = tempfile.TemporaryDirectory()
root = temporary.name
# begin system
prompts = ComposedPrompts("You keep notes for $name.", users={"ada": "Ada likes short ones."})
with SessionSystem(Desk, workspace=root, prompts=prompts, cleaner=Invoices()) as sessions:
    desk = sessions.ask(CreateSession(user_id="ada", variables={"name": "Ada"}))
    print(desk.system_prompt)
    print(sessions.ask(Note(desk.id, text="anvils")), Path(desk.workspace or "").parent.name)
    sessions.ask(TerminateSession(desk.id))
    print(Path(desk.workspace or "").exists())
# end system
temporary.cleanup()
