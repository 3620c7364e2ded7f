"""A session that sleeps has its messages in the store alone."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    GetMessages,
    GetSession,
    PassivateSession,
    Presence,
    Role,
    StoreError,
)
from callboard.actors.sessions.internal import StartSession
from callboard.actors.sessions.naming import WRITER, partition_name
from callboard.actors.sessions.table import Row
from callboard.actors.storage.records import MessageRecord
from callboard.actors.testing.stores import StoreInMemory
from tests.cast import Say
from tests.sessions.durable.kit import Recall, begin
from tests.sessions.stage import Stage, services_of

FIRST = AppendMessage("ada", Role.USER, "once", "key")


class Moody(StoreInMemory):
    """A store that reads nothing while it is told not to."""

    is_down = False

    def reader(self) -> Moody:
        """Return this one: it is closed with the system."""
        return self

    def messages(
        self, session_id: str, *, after_seq: int, up_to_seq: int
    ) -> tuple[MessageRecord, ...]:
        if self.is_down:
            msg = "the disk is away"
            raise StoreError(msg)
        return super().messages(session_id, after_seq=after_seq, up_to_seq=up_to_seq)


@pytest.fixture
def store() -> Moody:
    return Moody()


@pytest.fixture
def asleep(stage: Stage, store: Moody) -> Any:
    """Return sessions of which `ada` sleeps over three messages."""
    sessions = begin(stage, store)
    sessions.ask(CreateSession(session_id="ada"))
    sessions.ask(FIRST)
    sessions.ask(Say("ada", text="two"))
    sessions.ask(Say("ada", text="three"))
    fall_asleep(stage, sessions)
    return sessions


def fall_asleep(stage: Stage, sessions: Any) -> None:
    assert sessions.ask(PassivateSession("ada")).presence is Presence.ASLEEP
    stage.settle()


def row_of(sessions: Any) -> Row:
    return services_of(sessions).table.row("ada")


def length_of_chain(row: Row) -> int:
    """Return how many versions lead from the one that is published last to the end."""
    kept, found = row.head, 1
    while kept.successor:
        kept, found = kept.successor[0], found + 1
    return found


def test_it_holds_no_message_and_no_key(asleep: Any) -> None:
    row = row_of(asleep)

    assert (length_of_chain(row), row.holder) == (1, None)
    assert not row.head.log.is_here
    assert list(row.head.log) == []
    assert row.head.log.find("key") is None


def test_it_is_read_as_a_whole_and_sleeps_on(asleep: Any) -> None:
    page = asleep.ask(GetMessages("ada"))

    assert [each.content for each in page.messages] == ["once", "two", "three"]
    assert [each.seq for each in asleep.ask(GetSession("ada", messages=2)).messages] == [2, 3]
    assert asleep.get("ada").presence is Presence.ASLEEP


def test_it_goes_on_when_it_is_woken(asleep: Any) -> None:
    assert asleep.ask(Say("ada", text="four")) == 4
    assert asleep.ask(Recall("ada", last=4)) == 4
    assert row_of(asleep).latest().log.is_here


def test_it_knows_the_keys_of_before(asleep: Any) -> None:
    assert asleep.ask(FIRST) == 1
    assert asleep.get("ada").last_seq == 3


def test_it_may_sleep_and_wake_for_ever(stage: Stage, asleep: Any) -> None:
    for _ in range(20):
        assert asleep.ask(Recall("ada", last=3)) == 3  # changes nothing
        fall_asleep(stage, asleep)

    assert length_of_chain(row_of(asleep)) == 1


def test_a_store_that_is_away_fails_who_wants_the_messages_alone(asleep: Any, store: Moody) -> None:
    store.is_down = True

    assert asleep.get("ada").last_seq == 3
    for wanted in (GetMessages("ada"), Say("ada", text="four")):
        with pytest.raises(StoreError, match="the disk is away"):
            asleep.ask(wanted)

    store.is_down = False
    assert asleep.ask(Say("ada", text="four")) == 4


def test_a_partition_that_starts_it_unasked_starts_it_when_it_is_read(
    stage: Stage, asleep: Any
) -> None:
    """By a word of a manager that was killed, which came late."""
    row = row_of(asleep)
    asleep.system.lookup(partition_name(row.partition)).tell(StartSession(row))
    stage.settle()

    assert asleep.ask(Say("ada", text="four")) == 4


def test_one_without_a_message_has_nothing_to_read(stage: Stage, store: Moody) -> None:
    sessions = begin(stage, store)
    sessions.ask(CreateSession(session_id="ada"))
    fall_asleep(stage, sessions)
    store.is_down = True

    assert sessions.ask(Say("ada", text="one")) == 1


def test_its_messages_are_not_missed_when_they_are_read_once_more_and_it_has_gone_on(
    stage: Stage, asleep: Any
) -> None:
    """A reader that was killed had told of the first look."""
    row, storing = row_of(asleep), services_of(asleep).storing
    assert storing is not None
    asleep.ask(Recall("ada", last=3))
    asleep.system.lookup(WRITER).ref.suspend()
    asleep.tell(Say("ada", text="four"))
    stage.settle()
    assert row.tip().log.last_seq > row.latest().log.last_seq

    storing.load(row)
    stage.settle()

    assert not asleep.health().store.is_damaged
    assert asleep.get("ada").presence is Presence.AWAKE
    asleep.system.lookup(WRITER).ref.resume()
    assert asleep.ask(Say("ada", text="five")) == 5
