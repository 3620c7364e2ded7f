"""What the behaviour of a session may do: one small piece for each."""

from typing import ClassVar

import msgspec

from callboard.actors import CreateSession, Role, SessionActor, SessionMessage, SessionSystem
from callboard.supervision import DeliveryError, Refusal, handles


# begin messages
class Bid(SessionMessage[int], frozen=True, kw_only=True):
    amount: int


class Bids(msgspec.Struct, frozen=True):
    best: int = 0


# end messages


# begin refusal
class TooLow(Refusal):
    code = "too_low"
    remedy = "Bid more than the best bid there is."


# end refusal


# begin handler
class Auction(SessionActor[Bids]):
    def initial_data(self) -> Bids:
        return Bids()

    @handles(Bid)
    def on_bid(self, message: Bid) -> int:
        self.append(Role.USER, f"bids {message.amount}")
        if message.amount <= self.data.best:
            raise TooLow  # an answer: nothing of this message is kept, the actor lives on
        self.update(data=Bids(best=message.amount))
        return self.session.message_count  # with what this handler has appended


# end handler


# begin snapshot
class Summary(SessionMessage[str], frozen=True):
    pass


class Summing(Auction):
    @handles(Summary)
    def on_summary(self, _message: Summary) -> str:
        said = [each.content for each in self.messages(last=2)]
        return f"{self.session.user_id}, life {self.incarnation}: {said}, best {self.data.best}"


# end snapshot


# begin commit
class Import(SessionMessage[int], frozen=True, kw_only=True):
    lines: tuple[str, ...]


class Importer(SessionActor[None]):
    @handles(Import)
    def on_import(self, message: Import) -> int:
        for line in message.lines:
            self.append(Role.USER, line.encode("ascii").decode())  # é: UnicodeEncodeError
            self.commit()  # this line is kept whatever becomes of the next
        return len(message.lines)


# end commit


# begin start
class Warm(SessionActor[None]):
    starts_at_once: ClassVar[bool] = True  # what on_start does waits for nothing

    def on_start(self) -> None:
        super().on_start()  # first: it goes on from the last commit
        self.words = {word for each in self.messages(last=100) for word in each.content.split()}


# end start


# begin ask
def answer(sessions: SessionSystem, message: SessionMessage[int]) -> str:
    try:
        return f"reply {sessions.ask(message)}"
    except Refusal as no:  # yours, or callboard's (SessionError): the session goes on
        return f"{no.code}: {no.remedy}"
    except DeliveryError as lost:  # no answer came
        return f"{lost.code}, again: {lost.is_retryable}"
    except Exception as crash:  # noqa: BLE001 -- the handler's own: the session comes back
        return f"crashed: {type(crash).__name__}"


# end ask


# begin run
with SessionSystem(Summing, kinds={"import": Importer, "warm": Warm}) as sessions:
    lot = sessions.ask(CreateSession(user_id="ada")).id
    print(answer(sessions, Bid(lot, amount=5)))
    print(answer(sessions, Bid(lot, amount=3)))
    print(sessions.ask(Summary(lot)))
    text = sessions.ask(CreateSession(kind="import")).id
    print(answer(sessions, Import(text, lines=("one", "é", "three"))))
    print(answer(sessions, Import(text, lines=("two",))))
    print([each.content for each in sessions.messages(text)])
    # end run
    assert sessions.ask(CreateSession(kind="warm")).last_seq == 0
