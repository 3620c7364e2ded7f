"""The same cloakroom as a session: it comes back with every coat on its hook."""

# begin session
import msgspec

from callboard.actors import CreateSession, SessionActor, SessionMessage, SessionSystem
from callboard.supervision import handles


class HangUp(SessionMessage[int], frozen=True, kw_only=True):
    coat: str


class Fetch(SessionMessage[str], frozen=True, kw_only=True):
    number: int


class Hooks(msgspec.Struct, frozen=True):
    coats: tuple[str | None, ...] = (None, None)

    def having(self, number: int, coat: str | None) -> "Hooks":
        return Hooks((*self.coats[:number], coat, *self.coats[number + 1 :]))


class Cloakroom(SessionActor[Hooks]):
    def initial_data(self) -> Hooks:
        return Hooks()

    @handles(HangUp)
    def on_hang_up(self, message: HangUp) -> int:
        number = self.data.coats.index(None)
        self.update(data=self.data.having(number, message.coat))
        return number

    @handles(Fetch)
    def on_fetch(self, message: Fetch) -> str:
        coat = self.data.coats[message.number]
        self.update(data=self.data.having(message.number, None))
        return coat or "nothing"


with SessionSystem(session=Cloakroom) as sessions:
    opera = sessions.ask(CreateSession(user_id="opera"))
    for coat in ("ada's coat", "bob's hat", "carl's cape"):
        try:
            print("number", sessions.ask(HangUp(opera.id, coat=coat)))
        except ValueError:
            print("crashed: no hook is free")
    print("fetched", sessions.ask(Fetch(opera.id, number=1)))
    print(sessions.get(opera.id).data)
# end session
