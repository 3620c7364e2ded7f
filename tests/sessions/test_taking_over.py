"""A manager or a start that fails half-way leaves nothing half-made, nor anybody waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Presence,
    ReviveSession,
    Role,
    SessionActor,
    SessionMessage,
    SessionSystem,
)
from callboard.actors.errors import SpawnError
from callboard.actors.sessions.internal import StartSession
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.services import Services
from callboard.supervision import DeliveryError, handles
from callboard.supervision.model.routing import partition_of

CREATES = 400
KILLS = 9
"""Within the front's budget."""


class Poison(SessionMessage[None], frozen=True):
    """Make all later starts fail."""


class Poisoned(msgspec.Struct, frozen=True):
    is_poisoned: bool = False


class Fragile(SessionActor[Poisoned]):
    def initial_data(self) -> Poisoned:
        return Poisoned()

    def on_start(self) -> None:
        super().on_start()
        if self.data.is_poisoned:
            raise ArithmeticError

    @handles(Poison)
    def on_poison(self, message: Poison) -> None:
        del message
        self.append(Role.USER, "the last words")
        self.update(data=Poisoned(is_poisoned=True))
        self.commit()
        raise ArithmeticError


def services_of(sessions: SessionSystem) -> Services:
    assert sessions._services is not None
    return sessions._services


@pytest.fixture
def sessions() -> Iterator[SessionSystem]:
    with SessionSystem(Fragile, partitions=2) as sessions:
        yield sessions


class TestAStart:
    def test_a_session_that_runs_is_not_started_a_second_time(
        self, sessions: SessionSystem
    ) -> None:
        ada = sessions.ask(CreateSession(user_id="ada"))
        row = services_of(sessions).table.row(ada.id)
        partition = sessions.system.lookup(partition_name(partition_of(ada.id, 2)))
        assert partition is not None

        started = partition.ask(StartSession(row))

        assert started is sessions.address(ada.id).ref
        assert sessions.get(ada.id).presence is Presence.AWAKE

    def test_a_revival_that_fails_leaves_the_session_in_quarantine_with_its_messages(
        self, sessions: SessionSystem
    ) -> None:
        ada = sessions.ask(CreateSession(user_id="ada"))
        with pytest.raises(ArithmeticError):
            sessions.ask(Poison(ada.id))
        with pytest.raises(DeliveryError):
            sessions.ask(AppendMessage(ada.id, Role.USER, "hello"), timeout=10)
        assert sessions.get(ada.id).presence is Presence.QUARANTINED

        with pytest.raises(SpawnError):
            sessions.ask(ReviveSession(ada.id))

        assert sessions.get(ada.id).presence is Presence.QUARANTINED
        assert [each.content for each in sessions.messages(ada.id)] == ["the last words"]


class TestAManager:
    def test_creates_are_answered_while_it_is_killed_again_and_again(
        self, sessions: SessionSystem
    ) -> None:
        made: list[str] = []
        hurt: list[BaseException] = []

        def create() -> None:
            for number in range(CREATES):
                message = CreateSession(user_id="ada", idempotency_key=f"key {number}")
                while True:
                    try:
                        made.append(sessions.ask(message).id)
                        break
                    except DeliveryError:
                        continue  # the same key again: it creates nothing more
                    except BaseException as error:  # whatever it is, it must not be
                        hurt.append(error)
                        raise

        creating = threading.Thread(target=create)
        creating.start()
        for kill in range(1, KILLS + 1):
            while len(made) < kill * CREATES // (KILLS + 1):
                assert creating.is_alive() or len(made) == CREATES, hurt
            manager = sessions.manager.ref
            if manager is not None:
                manager.kill()
        creating.join(30)

        assert len(made) == len(set(made)) == sessions.health().sessions == CREATES
        assert len(services_of(sessions).book.starts) == 0
