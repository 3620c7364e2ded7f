"""Tickets: every customer is a session, and they all buy from one box office."""

from callboard.actors import SessionActor, SessionMessage
from callboard.supervision import (
    ActorSystem,
    ChildSpec,
    Refusal,
    Request,
    SupervisedActor,
    Supervisor,
    handles,
)


class SoldOut(Refusal):
    code = "sold_out"
    remedy = "Come earlier."


class Take(Request[int], frozen=True):
    pass


class BoxOffice(SupervisedActor):
    def __init__(self, seats: int) -> None:
        super().__init__()
        self._seats = seats
        self._sold = 0

    @handles(Take)
    def on_take(self, _message: Take) -> int:
        if self._sold == self._seats:
            raise SoldOut
        self._sold += 1
        return self._sold


class Buy(SessionMessage[int], frozen=True):
    pass


class Customer(SessionActor[None]):
    @handles(Buy)
    def on_buy(self, _message: Buy) -> int:
        return self.system.names["box office"].ask(Take())


def open_box_office(system: ActorSystem, seats: int) -> None:
    spec = ChildSpec(id="box office", start=BoxOffice, args=(seats,), name="box office")
    system.spawn(Supervisor, [spec]).wait_started()
