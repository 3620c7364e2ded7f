"""A session that crashes and heals."""

from callboard.actors import CreateSession, Role, SessionActor, SessionMessage, SessionSystem
from callboard.supervision import handles

ROOMS = {"stage": "down the stairs", "cloakroom": "to your left"}


class Where(SessionMessage[str], frozen=True, kw_only=True):
    room: str


class Guide(SessionActor[None]):
    @handles(Where)
    def on_where(self, message: Where) -> str:
        self.append(Role.USER, message.room)
        answer = ROOMS[message.room]  # a room that nobody knows: KeyError, and this actor is dead
        self.append(Role.ASSISTANT, answer)
        return f"life {self.incarnation}: {answer}"


with SessionSystem(session=Guide) as sessions:
    ada = sessions.ask(CreateSession(user_id="ada"))
    print(sessions.ask(Where(ada.id, room="stage")))
    try:
        sessions.ask(Where(ada.id, room="moon"))
    except KeyError as error:
        print(f"crashed: KeyError {error}")
    print(sessions.ask(Where(ada.id, room="cloakroom")))
    print([message.content for message in sessions.messages(ada.id)])
