"""A cloakroom: one actor, which says no to one mistake and dies of another."""

# begin actor
from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    Refusal,
    Request,
    SupervisedActor,
    handles,
)


class HangUp(Request[int], frozen=True):
    coat: str


class Fetch(Request[str], frozen=True):
    number: int


class UnknownNumber(Refusal):
    code = "unknown_number"
    remedy = "Show the number that you were given."


class Cloakroom(SupervisedActor):
    def __init__(self, hooks: int) -> None:
        super().__init__()
        self._hooks: list[str | None] = [None] * hooks

    @handles(HangUp)
    def on_hang_up(self, message: HangUp) -> int:
        number = self._hooks.index(None)  # no hook is free: ValueError, which nobody foresaw
        self._hooks[number] = message.coat
        return number

    @handles(Fetch)
    def on_fetch(self, message: Fetch) -> str:
        coat = self._hooks[message.number] if message.number < len(self._hooks) else None
        if coat is None:
            raise UnknownNumber
        self._hooks[message.number] = None
        return coat


# end actor

if __name__ == "__main__":
    # begin ask
    with ActorSystem() as system:
        cloakroom = system.spawn(Cloakroom, hooks=2)
        print("number", cloakroom.ask(HangUp("ada's coat")))
        try:
            cloakroom.ask(Fetch(1))
        except UnknownNumber as refusal:
            print("refused:", refusal.code)
        print("number", cloakroom.ask(HangUp("bob's hat")))
        try:
            cloakroom.ask(HangUp("carl's cape"))
        except ValueError:
            print("crashed: no hook is free")
        try:
            cloakroom.ask(Fetch(0))
        except ActorDeadError as error:
            print("dead:", error.remedy)
    # end ask
