"""Where a session is reached: there is an address while somebody lives there, waits or holds it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PassivateSession,
    Presence,
    Role,
    SessionActor,
    SessionNotFound,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.naming import session_name
from callboard.supervision import Request, SystemStopped, handles
from tests.laws import broken_laws
from tests.sessions.stage import Stage, presence, services_of

WITHIN_S = 30.0


def names(sessions: SessionSystem) -> list[str]:
    prefix = session_name("")
    return [name for name in sessions.system.names if name.startswith(prefix)]


def hello(ada: str) -> AppendMessage:
    return AppendMessage(ada, Role.USER, "hello")


def put_to_sleep(stage: Stage, sessions: SessionSystem, ada: str) -> None:
    stage.settle()  # a session whose start is not over is started once more
    sessions.ask(PassivateSession(ada), timeout=WITHIN_S)
    stage.settle()
    assert presence(sessions, ada) is Presence.ASLEEP


class TestAnAddress:
    def test_is_given_up_while_the_session_sleeps(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        assert names(opened) == [session_name(ada)]

        put_to_sleep(stage, opened, ada)

        assert broken_laws(opened) == []
        assert names(opened) == []
        assert services_of(opened).table.row(ada).address is None

    def test_is_not_made_for_a_session_that_is_created_and_no_more(
        self, opened: SessionSystem
    ) -> None:
        opened.ask(CreateSession(session_id="bob", activate=False))

        assert names(opened) == []
        assert opened.ask(hello("bob"), timeout=WITHIN_S) == 1
        assert names(opened) == [session_name("bob")]

    def test_is_the_same_one_as_long_as_somebody_holds_it(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = opened.address(ada)

        put_to_sleep(stage, opened, ada)

        assert opened.address(ada) is held
        assert opened.ask(hello(ada), timeout=WITHIN_S) == 1
        assert opened.address(ada) is held
        assert opened.system.lookup(session_name(ada)) is held

    def test_wakes_the_session_however_it_came_to_be_held(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        before = opened.address(ada)
        put_to_sleep(stage, opened, ada)
        assert before.ask(hello(ada), timeout=WITHIN_S) == 1
        del before
        put_to_sleep(stage, opened, ada)

        made_asleep = opened.address(ada)

        assert names(opened) == []
        assert made_asleep.ask(hello(ada), timeout=WITHIN_S) == 2
        assert names(opened) == [session_name(ada)]
        stage.settle()
        assert broken_laws(opened) == []

    def test_counts_on_from_the_incarnations_before_the_sleep(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        row = services_of(opened).table.row(ada)
        for number in (1, 2, 3):
            assert row.incarnation == number
            put_to_sleep(stage, opened, ada)
            opened.ask(hello(ada), timeout=WITHIN_S)

        assert opened.address(ada).incarnations == row.incarnation == 4

    def test_of_one_that_slept_and_woke_is_kept_by_nobody_when_the_session_is_gone(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        put_to_sleep(stage, opened, ada)
        opened.ask(hello(ada), timeout=WITHIN_S)
        address = weakref.ref(opened.address(ada))

        opened.ask(TerminateSession(ada), timeout=WITHIN_S)
        stage.settle()
        stage.advance(WITHIN_S)  # until no timer knows it
        gc.collect()

        assert address() is None

    def test_that_is_held_says_so_when_the_session_is_gone(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = opened.address(ada)
        put_to_sleep(stage, opened, ada)

        opened.ask(TerminateSession(ada), timeout=WITHIN_S)

        with pytest.raises(SessionNotFound):
            held.ask(hello(ada), timeout=WITHIN_S)
        with pytest.raises(SessionNotFound):
            held.tell(hello(ada))
        assert names(opened) == []

    def test_that_is_held_is_no_way_to_a_later_session_of_the_same_id(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        opened.ask(CreateSession(session_id="bob"))
        held = opened.address("bob")
        put_to_sleep(stage, opened, "bob")
        opened.ask(TerminateSession("bob"), timeout=WITHIN_S)

        opened.ask(CreateSession(session_id="bob"))

        assert opened.address("bob") is not held
        with pytest.raises(SessionNotFound):
            held.ask(hello("bob"), timeout=WITHIN_S)

    def test_that_is_held_says_so_when_the_system_has_ended(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = opened.address(ada)
        put_to_sleep(stage, opened, ada)

        opened.stop()

        with pytest.raises(SystemStopped):
            held.ask(hello(ada), timeout=WITHIN_S)


class Next(Request[int], frozen=True):
    after: int


class Counting(SessionActor[Any]):
    """Takes what is no message of a session."""

    @handles(Next)
    def on_next(self, message: Next) -> int:
        """Reply the next one."""
        return message.after + 1


class TestAMessageOfAnyType:
    def test_comes_by_the_address_of_the_session(self, stage: Stage) -> None:
        sessions = stage.open(session=Counting)
        ada = sessions.ask(CreateSession(session_id="ada")).id

        assert sessions.address(ada).ask(Next(5), timeout=WITHIN_S) == 6
