"""What a session does after a handler, between two, and with other sessions."""

import asyncio
from typing import ClassVar

import msgspec

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Hold,
    PassivateSession,
    Role,
    SessionActor,
    SessionId,
    SessionMessage,
    SessionSystem,
)
from callboard.supervision import AskCycle, handles


# begin continue
class Draw(SessionMessage[str], frozen=True):
    pass


class _Tidy(msgspec.Struct, frozen=True):
    pass


class _Remind(msgspec.Struct, frozen=True):
    text: str


class Raffle(SessionActor[None]):
    hand_off: ClassVar[bool] = True  # all its handlers are short

    @handles(Draw)
    def on_draw(self, _message: Draw) -> str:
        self.continue_with(_Tidy())  # handled next, before whatever waits; the asker has its reply
        self.send_after(60.0, _Remind("fetch your prize"))  # dies with this life
        return "number 7"

    @handles(_Tidy)
    def on_tidy(self, _message: _Tidy) -> None:
        self.append(Role.SYSTEM, "drawn")

    @handles(_Remind)
    def on_remind(self, message: _Remind) -> None:
        self.append(Role.SYSTEM, message.text)


# end continue


# begin hold
class Play(SessionMessage[None], frozen=True):
    pass


class _Over(msgspec.Struct, frozen=True):
    hold: Hold


class Stage(SessionActor[None]):
    @handles(Play)
    def on_play(self, _message: Play) -> None:
        hold = self.hold()  # neither sleep nor expiry until it is released
        self.send_after(3_600.0, _Over(hold))

    @handles(_Over)
    def on_over(self, message: _Over) -> None:
        message.hold.release()


# end hold


# begin other
class Total(SessionMessage[int], frozen=True, kw_only=True):
    of: tuple[SessionId, ...]


class Coats(SessionMessage[int], frozen=True):
    pass


class Cloakroom(SessionActor[None]):
    sessions: ClassVar[SessionSystem]  # set where the system is made

    @handles(Coats)
    def on_coats(self, _message: Coats) -> int:
        return self.session.message_count

    @handles(Total)
    async def on_total(self, message: Total) -> int:
        asked = [self.sessions.ask_async(Coats(each)) for each in message.of]
        return sum(await asyncio.gather(*asked))


# end other


# begin cycle
class Around(SessionMessage[str], frozen=True, kw_only=True):
    by: SessionId


class Circling(Cloakroom):
    @handles(Around)
    async def on_around(self, message: Around) -> str:
        try:
            return await self.sessions.ask_async(Around(message.by, by=self.session.id))
        except AskCycle as error:  # each waits for the other: refused at once, nobody waits
            return error.code


# end cycle


with SessionSystem(Circling, kinds={"raffle": Raffle, "stage": Stage}) as sessions:
    Cloakroom.sessions = sessions
    raffle = sessions.ask(CreateSession(kind="raffle")).id
    # begin drawn
    print(sessions.ask(Draw(raffle)))
    print("message", sessions.ask(AppendMessage(raffle, Role.USER, "thanks")))
    print([each.content for each in sessions.messages(raffle)])
    # end drawn
    stage = sessions.ask(CreateSession(kind="stage")).id
    sessions.ask(Play(stage))
    print(sessions.ask(PassivateSession(stage)).presence)
    # begin asked
    rooms = tuple(sessions.ask(CreateSession()).id for _ in range(3))
    for room in rooms:
        sessions.ask(AppendMessage(room, Role.USER, "a coat"))
    print(sessions.ask(Total(rooms[0], of=rooms[1:])))
    print(sessions.ask(Around(rooms[0], by=rooms[1])))
    # end asked
