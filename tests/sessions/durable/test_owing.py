"""A later reply, from wherever it is given, confirms nothing that may still be lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    Role,
    SessionActor,
    SessionCrashed,
    SessionMessage,
    SessionSystem,
    StoreError,
)
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import (
    LATER,
    DeliveryError,
    Future,
    Later,
    Refusal,
    handles,
)
from tests.runtime.kit import Gate
from tests.sessions.durable.kit import DISK_FULL
from tests.sessions.stage import Stage, cell_of, later, texts, until


class Full(Refusal):
    code = "full"


class Order(SessionMessage[str], frozen=True, kw_only=True):
    """Append, owe the answer, then do something else."""

    then: str = "return"
    changes: bool = True


class OrderLater(Order, frozen=True, kw_only=True):
    """The same in a coroutine."""


class Give(SessionMessage[None], frozen=True, kw_only=True):
    """Give the answer that is owed to somebody else; do what else is said before or after."""

    before: bool = False
    waits: bool = False
    gives: bool = True
    after: bool = False
    wrong: bool = False
    then: str = "return"


class Work(SessionMessage[None], frozen=True, kw_only=True):
    """Append, then wait at the gate, then do something else."""

    then: str = "return"


class Greet(SessionMessage[str], frozen=True, kw_only=True):
    """Answer, then append and wait at the gate in a coroutine."""


class OrderAndReturn(SessionMessage[str], frozen=True, kw_only=True):
    """Append, and return what answers."""

    other: bool = False


class OrderAndReturnLater(OrderAndReturn, frozen=True, kw_only=True):
    """The same in a coroutine."""


class Counter:
    """What a shop shares with the host's own threads."""

    owed: Future[Any]
    gate: Gate
    """At which its handlers wait."""
    disk: Gate
    """At which the store waits."""


class Shop(SessionActor[None]):
    """Its behaviour."""

    counter: Counter

    def _order(self, message: Order) -> None:
        self.counter.owed = self.reply_later(outlives=message.then == "outlive")
        if message.changes:
            self.append(Role.USER, "order")

    def _then(self, what: str) -> None:
        if what == "refuse":
            raise Full("no")
        if what == "crash":
            raise RuntimeError("boom")

    @handles(Order)
    def on_order(self, message: Order) -> Later:
        self._order(message)
        self.counter.gate.wait()
        self._then(message.then)
        return LATER

    @handles(OrderLater)
    async def on_order_later(self, message: OrderLater) -> Later:
        self._order(message)
        await self.counter.gate.passed()
        self._then(message.then)
        return LATER

    @handles(OrderAndReturn)
    def on_order_and_return(self, message: OrderAndReturn) -> Any:
        self.append(Role.USER, "order")
        if not message.other:
            self.counter.owed = self.reply_later()
        return self.counter.owed

    @handles(OrderAndReturnLater)
    async def on_order_and_return_later(self, message: OrderAndReturnLater) -> Any:
        return self.on_order_and_return(message)

    @handles(Give)
    def on_give(self, message: Give) -> None:
        if message.before:
            self.append(Role.USER, "before")
        if message.waits:
            with suppress(BaseException):  # a kill, too
                self.counter.gate.wait()
        if not message.gives:
            return
        if message.wrong:
            self.counter.owed.offer_exception(Full("sold out"))
        else:
            self.counter.owed.offer("taken")
        if message.after:
            self.append(Role.USER, "after")
        self._then(message.then)

    @handles(Work)
    def on_work(self, message: Work) -> None:
        self.append(Role.USER, "work")
        self.counter.gate.wait()
        self._then(message.then)

    @handles(Greet)
    async def on_greet(self, message: Greet) -> Later:
        del message
        self.reply_later().offer("hello")
        self.append(Role.USER, "greeted")
        await self.counter.gate.passed()
        return LATER


class Shops:
    """A system with two sessions, and a store whose disk may be stopped.

    Args:
        stage: where it runs.
        store: None: in memory.
    """

    def __init__(self, stage: Stage, store: StoreInMemory | None) -> None:
        self.stage = stage
        self.store = store
        self.counter = Counter()
        kind: Any = type("Shop", (Shop,), {"counter": self.counter})
        self.sessions: SessionSystem = stage.open(session=kind, store=store)
        self.ada, self.bob = (self.sessions.ask(CreateSession()).id for _ in range(2))
        self.counter.gate = Gate(self.sessions.system)
        self.counter.disk = Gate(self.sessions.system)
        if store is not None:
            write, disk = store.write, self.counter.disk

            def wait(writes: Any) -> Any:
                disk.wait()
                return write(writes)

            store.write = wait  # type: ignore[method-assign]  # of this one alone

    def ordered(self, message: Order | None = None, *, waits: bool = False) -> Future[str]:
        """Have something ordered; return the answer, for which the handler has left, if it has."""
        if not waits:
            self.counter.gate.open()
        answer = later(self.sessions, Order(self.ada) if message is None else message)
        self.stage.settle()
        return answer

    def tell(self, message: SessionMessage[Any]) -> None:
        self.sessions.tell(message)
        self.stage.settle()

    def refuse(self, *errors: StoreError) -> None:
        assert self.store is not None
        self.store.refuse(*errors)

    def disk_goes_on(self) -> None:
        self.counter.disk.open()
        self.stage.settle()

    def log(self) -> list[str]:
        return texts(self.sessions, self.ada)


@pytest.fixture
def shops(stage: Stage, store: StoreInMemory) -> Shops:
    return Shops(stage, store)


@pytest.fixture(params=["in memory", "durable"])
def either(request: pytest.FixtureRequest, stage: Stage, store: StoreInMemory) -> Shops:
    """Return one of either kind; its disk goes on."""
    shops = Shops(stage, store if request.param == "durable" else None)
    shops.counter.disk.open()
    return shops


def by_a_thread(shops: Shops) -> None:
    shops.counter.owed.offer("taken")


def by_a_thread_that_refuses(shops: Shops) -> None:
    shops.counter.owed.offer_exception(Full("sold out"))


def by_a_handler(shops: Shops) -> None:
    shops.tell(Give(shops.ada))


def by_a_handler_that_refuses(shops: Shops) -> None:
    shops.tell(Give(shops.ada, wrong=True))


def by_a_handler_that_goes_on(shops: Shops) -> None:
    shops.tell(Give(shops.ada, after=True))


GIVEN = (
    by_a_thread,
    by_a_thread_that_refuses,
    by_a_handler,
    by_a_handler_that_refuses,
    by_a_handler_that_goes_on,
)

Give_ = Callable[[Shops], None]


@pytest.mark.parametrize("give", GIVEN)
class TestAnAnswerGivenLater:
    def test_waits_for_what_it_confirms(self, shops: Shops, give: Give_) -> None:
        answer = shops.ordered()
        give(shops)
        shops.stage.settle()
        assert not answer.is_done

        shops.disk_goes_on()

        until(shops.stage, lambda: answer.is_done)
        if answer.error is None:
            assert answer.get() == "taken"
        else:
            assert isinstance(answer.error, Full)
        assert shops.log()[0] == "order"

    def test_is_the_refusal_of_a_store_that_has_not_kept_it(
        self, shops: Shops, give: Give_
    ) -> None:
        answer = shops.ordered()
        shops.refuse(DISK_FULL)
        give(shops)

        shops.disk_goes_on()

        until(shops.stage, lambda: answer.is_done)
        assert answer.error == DISK_FULL

    def test_is_the_refusal_of_a_store_that_had_not_kept_it(
        self, shops: Shops, give: Give_
    ) -> None:
        answer = shops.ordered()
        shops.refuse(DISK_FULL)
        shops.disk_goes_on()
        assert not answer.is_done
        assert shops.log() == []

        give(shops)

        until(shops.stage, lambda: answer.is_done)
        assert answer.error == DISK_FULL

    def test_to_who_has_given_up_goes_nowhere(self, shops: Shops, give: Give_) -> None:
        answer = shops.ordered()
        give(shops)
        answer.give_up()
        error = answer.error

        shops.disk_goes_on()

        assert answer.error is error
        assert not shops.counter.owed.offer("again")

    def test_is_given_once(self, shops: Shops, give: Give_) -> None:
        answer = shops.ordered()
        give(shops)

        assert not shops.counter.owed.offer("again")
        shops.disk_goes_on()
        until(shops.stage, lambda: answer.is_done)
        assert answer.error is not None or answer.get() == "taken"


@pytest.mark.parametrize("order", [OrderAndReturn, OrderAndReturnLater])
class TestWhatAnswersLaterIfItIsReturned:
    def test_answers_later(self, either: Shops, order: type[OrderAndReturn]) -> None:
        answer = later(either.sessions, order(either.ada))
        either.stage.settle()
        assert not answer.is_done

        either.counter.owed.offer("taken")

        until(either.stage, lambda: answer.is_done)
        assert answer.get() == "taken"

    def test_is_a_value_if_it_answers_another_message(
        self, either: Shops, order: type[OrderAndReturn]
    ) -> None:
        first = later(either.sessions, order(either.ada))
        either.stage.settle()

        answer: Future[Any] = later(either.sessions, order(either.ada, other=True))

        until(either.stage, lambda: answer.is_done)
        assert answer.get() is either.counter.owed
        assert not first.is_done


class TestAnAnswerOfWhichNothingWaits:
    def test_goes_at_once(self, either: Shops) -> None:
        answer = either.ordered()

        either.counter.owed.offer("taken")

        assert answer.is_done
        assert answer.get() == "taken"

    def test_goes_at_once_from_within_a_handler_that_goes_on(self, either: Shops) -> None:
        answer = later(either.sessions, Greet(either.ada))
        either.stage.settle()

        assert answer.get() == "hello"
        assert either.log() == []
        either.counter.gate.open()
        until(either.stage, lambda: either.log() == ["greeted"])


@pytest.mark.parametrize("order", [Order, OrderLater])
class TestAnAnswerByAThreadWhileTheHandlerThatOwesItIsAtWork:
    @pytest.mark.parametrize("changes", [True, False])
    def test_waits_for_the_handler(
        self,
        either: Shops,
        order: type[Order],
        changes: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        answer = either.ordered(order(either.ada, changes=changes), waits=True)
        assert either.counter.owed.offer("taken")
        either.stage.settle()
        assert not answer.is_done

        either.counter.gate.open()

        until(either.stage, lambda: answer.is_done)
        assert answer.get() == "taken"
        assert either.log() == ["order"] * changes

    def test_is_what_undoes_the_handler(self, either: Shops, order: type[Order]) -> None:
        answer = either.ordered(order(either.ada, then="refuse"), waits=True)
        either.counter.owed.offer("taken")

        either.counter.gate.open()

        until(either.stage, lambda: answer.is_done)
        assert isinstance(answer.error, Full)
        assert either.log() == []

    def test_is_its_crash(self, either: Shops, order: type[Order]) -> None:
        answer = either.ordered(order(either.ada, then="crash"), waits=True)
        either.counter.owed.offer("taken")

        either.counter.gate.open()

        until(either.stage, lambda: answer.is_done)
        assert isinstance(answer.error, RuntimeError)
        assert either.log() == []

    def test_is_the_end_of_its_incarnation(self, either: Shops, order: type[Order]) -> None:
        answer = either.ordered(order(either.ada, then="outlive"), waits=True)
        either.counter.owed.offer("taken")

        cell_of(either.sessions, either.ada).kill()

        until(either.stage, lambda: answer.is_done)
        assert isinstance(answer.error, DeliveryError)
        either.counter.gate.open()
        assert either.log() == []

    @pytest.mark.parametrize("then", ["refuse", "crash"])
    def test_is_not_taken_when_that_is_undone(
        self, either: Shops, order: type[Order], then: str
    ) -> None:
        answer = either.ordered(order(either.ada, then=then))
        until(either.stage, lambda: answer.is_done)

        assert not either.counter.owed.offer("taken")
        assert answer.error is not None


class TestAnAnswerByAThreadWhileAnotherHandlerIsAtWork:
    @pytest.mark.parametrize(
        ("then", "error"),
        [("return", type(None)), ("refuse", Full), ("crash", SessionCrashed)],
    )
    def test_waits_for_what_that_has_changed(
        self, either: Shops, then: str, error: type[Any]
    ) -> None:
        answer = either.ordered(Order(either.ada, then="outlive"))
        either.counter.gate = Gate(either.sessions.system)
        either.tell(Work(either.ada, then=then))
        either.counter.owed.offer("taken")
        either.stage.settle()
        assert not answer.is_done

        either.counter.gate.open()

        until(either.stage, lambda: answer.is_done)
        assert isinstance(answer.error, error)
        assert either.log() == (["order", "work"] if then == "return" else ["order"])


class TestAnAnswerByALaterIncarnation:
    @pytest.mark.parametrize("refuses", [False, True])
    def test_waits_for_what_that_has_changed(
        self,
        shops: Shops,
        refuses: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        answer = shops.ordered(Order(shops.ada, then="outlive", changes=False))
        cell_of(shops.sessions, shops.ada).kill()
        shops.stage.settle()
        shops.tell(Give(shops.ada, before=True))
        assert not answer.is_done
        if refuses:  # the first write is that its predecessor was killed
            shops.refuse(DISK_FULL, DISK_FULL)

        shops.disk_goes_on()

        until(shops.stage, lambda: answer.is_done)
        assert answer.error == (DISK_FULL if refuses else None)
        assert shops.log() == ([] if refuses else ["before"])

    def test_knows_what_became_of_the_earlier_one(self, shops: Shops) -> None:
        answer = shops.ordered(Order(shops.ada, then="outlive"))
        shops.refuse(DISK_FULL)
        cell_of(shops.sessions, shops.ada).kill()
        shops.disk_goes_on()

        shops.tell(Give(shops.ada))

        until(shops.stage, lambda: answer.is_done)
        assert answer.error == DISK_FULL
        assert shops.log() == []


class TestAnAnswerByAnotherSession:
    """Offered from within its handler, whose changes the answer may confirm."""

    def ordered_and_given(self, shops: Shops, give: Give) -> Future[str]:
        answer = shops.ordered(Order(shops.ada, changes=False))
        shops.tell(give)
        return answer

    @pytest.mark.parametrize(
        ("then", "error"),
        [("return", type(None)), ("refuse", Full), ("crash", SessionCrashed)],
    )
    def test_is_kept_or_undone_with_what_that_has_changed(
        self, either: Shops, then: str, error: type[Any]
    ) -> None:
        give = Give(either.bob, before=True, then=then)

        answer = self.ordered_and_given(either, give)

        until(either.stage, lambda: answer.is_done)
        assert isinstance(answer.error, error)
        assert texts(either.sessions, either.bob) == ["before"] * (then == "return")

    @pytest.mark.parametrize("refuses", [False, True])
    def test_waits_for_the_store(
        self,
        shops: Shops,
        refuses: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        answer = self.ordered_and_given(shops, Give(shops.bob, before=True))
        assert not answer.is_done
        if refuses:
            shops.refuse(DISK_FULL)

        shops.disk_goes_on()

        until(shops.stage, lambda: answer.is_done)
        assert answer.error == (DISK_FULL if refuses else None)
        assert texts(shops.sessions, shops.bob) == ([] if refuses else ["before"])

    def test_waits_for_what_it_had_handed_in_before(self, shops: Shops) -> None:
        shops.tell(Give(shops.bob, before=True, gives=False))

        answer = self.ordered_and_given(shops, Give(shops.bob))

        assert not answer.is_done
        shops.disk_goes_on()
        until(shops.stage, lambda: answer.is_done)
        assert answer.get() == "taken"

    def test_that_was_killed_meanwhile_confirms_nothing(self, either: Shops) -> None:
        answer = either.ordered(Order(either.ada, changes=False))
        either.counter.gate = Gate(either.sessions.system)
        either.tell(Give(either.bob, before=True, waits=True))
        cell_of(either.sessions, either.bob).kill()

        either.counter.gate.open()

        until(either.stage, lambda: answer.is_done)
        assert isinstance(answer.error, SessionCrashed)
