from contextlib import suppress
from functools import partial

import pytest
from tickets import Buy, Customer, SoldOut, open_box_office

from callboard.actors import CreateSession, Session
from callboard.actors.testing import Callboard, simulate


def test_the_last_seat_is_sold_and_then_no_other(callboard: Callboard) -> None:
    sessions = callboard.start(Customer)
    open_box_office(sessions.system, seats=1)
    ada, bob = (sessions.ask(CreateSession(session_id=name)) for name in ("ada", "bob"))

    assert sessions.ask(Buy(ada.id)) == 1
    with pytest.raises(SoldOut):
        sessions.ask(Buy(bob.id))


@simulate(schedules=200)
def test_no_more_seats_are_sold_than_there_are(callboard: Callboard) -> None:
    sessions = callboard.start(Customer)
    open_box_office(sessions.system, seats=2)
    ada, bob = (sessions.ask(CreateSession(session_id=name)) for name in ("ada", "bob"))
    sold: list[int] = []

    def buy(customer: Session, seats: int) -> None:
        with suppress(SoldOut):
            for _ in range(seats):
                sold.append(sessions.ask(Buy(customer.id)))

    callboard.spawn("ada's client", partial(buy, ada, 2))
    callboard.spawn("bob's client", partial(buy, bob, 1))
    callboard.run()

    assert sorted(sold) == [1, 2]
