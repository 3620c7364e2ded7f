"""What is taken for a session that comes from elsewhere, and what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    BeginSpawn,
    CreateSession,
    IncrementMessageCount,
    InvalidField,
    ReviveSession,
    Role,
    SessionActor,
    SessionLimits,
    SessionPatch,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.coding import SessionCoder
from callboard.actors.sessions.inspecting import COUNT_MAX, Inspector
from callboard.actors.storage.records import MessageRecord, Stored
from callboard.actors.testing.stores import StoreInMemory


@pytest.fixture
def kept() -> Stored:
    """Return a session as a store has it."""
    store = StoreInMemory()
    with SessionSystem(store=store) as sessions:
        ada = sessions.ask(CreateSession(user_id="ada", idempotency_key="first")).id
    return store.kept[ada]


def inspect(stored: Stored) -> None:
    Inspector(SessionCoder({}, others=Any), SessionLimits()).session(stored)


def with_head(stored: Stored, **fields: Any) -> Stored:
    return msgspec.structs.replace(stored, head=msgspec.structs.replace(stored.head, **fields))


def with_body(stored: Stored, **fields: Any) -> Stored:
    said = {**msgspec.json.decode(stored.body), **fields}
    return msgspec.structs.replace(stored, body=msgspec.json.encode(said))


def refusal(stored: Stored) -> tuple[str, object]:
    """Return the field and the value for which something is refused."""
    with pytest.raises(InvalidField) as refused:
        inspect(stored)
    assert refused.value.remedy.endswith(".")
    return refused.value.field, refused.value.value


class Talkative(SessionActor[None]):
    """Has the first word: with the commit by which it comes to be."""

    def on_start(self) -> None:
        super().on_start()
        if not self.session.last_seq:
            for text in ("hello", "is anybody there?"):
                self.append(Role.ASSISTANT, text)


def test_whatever_a_store_has_is_a_session() -> None:
    store = StoreInMemory()
    with SessionSystem(store=store, session=Talkative) as sessions:
        active = sessions.ask(CreateSession(user_id="ada", idempotency_key="first")).id
        sessions.ask(AppendMessage(active, Role.USER, "hello"))
        ended = sessions.ask(CreateSession(user_id="bob", idempotency_key="first")).id
        sessions.ask(TerminateSession(ended))
        created = sessions.ask(CreateSession(activate=False)).id
        never = sessions.ask(CreateSession(activate=False)).id
        sessions.ask(TerminateSession(never))
        patched = sessions.ask(CreateSession(activate=False)).id
        sessions.ask(ReviveSession(patched, patch=SessionPatch(system_prompt="Be brief.")))
        begun = sessions.ask(CreateSession(activate=False)).id
        sessions.ask(BeginSpawn(begun))
    with SessionSystem(store=store) as sessions:
        counted = sessions.ask(CreateSession()).id
        for _ in range(3):
            sessions.ask(IncrementMessageCount(counted))
        sessions.ask(AppendMessage(counted, Role.USER, "and one here"))

    assert store.kept.keys() == {active, ended, created, never, patched, begun, counted}
    assert store.kept[active].head.version < store.kept[active].head.last_seq
    assert (store.kept[counted].head.message_count, store.kept[counted].head.last_seq) == (4, 1)
    for each in store.kept.values():
        inspect(each)


@pytest.mark.parametrize(
    ("head", "field", "value"),
    [
        pytest.param({"version": 0}, "version", 0, id="active, and has never changed"),
        pytest.param({"incarnation": 0}, "incarnation", 0, id="active, and was never started"),
        pytest.param(
            {"state": "spawning", "incarnation": 0}, "incarnation", 0, id="spawned by nobody"
        ),
        pytest.param(
            {"message_count": 4, "last_seq": 2, "version": 2},
            "message_count",
            4,
            id="more messages counted than there were changes",
        ),
        pytest.param(
            {"message_count": 2**50}, "message_count", 2**50, id="messages that nobody has sent"
        ),
        pytest.param(
            {"state": "created", "message_count": 1, "last_seq": 1},
            "message_count",
            1,
            id="created and no more, and has messages",
        ),
    ],
)
def test_numbers_that_no_life_leads_to_are_refused(
    kept: Stored, head: dict[str, Any], field: str, value: int
) -> None:
    assert refusal(with_head(kept, **head)) == (field, value)


def test_as_many_messages_may_be_counted_as_there_were_changes(kept: Stored) -> None:
    inspect(with_head(kept, message_count=3, last_seq=2, version=2))


@pytest.mark.parametrize("field", ["created_at", "state_since"])
def test_a_time_is_a_time(kept: Stored, field: str) -> None:
    assert refusal(with_body(kept, **{field: -1.0})) == (f"body.{field}", -1.0)


def test_a_message_is_of_a_time() -> None:
    said = MessageRecord(1, None, b'{"role":"user","content":"hello","timestamp":-1.0}')

    with pytest.raises(InvalidField) as refused:
        Inspector(SessionCoder({}, others=Any), SessionLimits()).message("ada", said)

    assert (refused.value.field, refused.value.value) == ("body.timestamp", -1.0)


def test_a_wall_clock_may_have_been_put_back_after_the_create(kept: Stored) -> None:
    inspect(with_head(kept, last_active_at=5.0))


def test_no_session_has_restarted_less_than_never(kept: Stored) -> None:
    odd = msgspec.structs.replace(kept, standing=b'{"restarts":-1}')

    assert refusal(odd) == ("standing.restarts", -1)


@pytest.mark.parametrize(
    ("created", "field", "value"),
    [
        ({"user_id": "eve"}, "created.user_id", "eve"),
        ({"org_id": "acme"}, "created.org_id", "acme"),
        ({"used_at": 5.0}, "created.used_at", 5.0),
    ],
)
def test_a_key_is_that_of_the_create_of_this_session(
    kept: Stored, created: dict[str, Any], field: str, value: object
) -> None:
    assert kept.created is not None
    odd = msgspec.structs.replace(kept, created=msgspec.structs.replace(kept.created, **created))

    assert refusal(odd) == (field, value)


def test_one_that_was_ended_where_it_could_not_be_read_has_its_earlier_snapshot(
    kept: Stored,
) -> None:
    cleaned = with_body(with_head(kept, state="cleaned"), state_since=6.0)

    inspect(msgspec.structs.replace(cleaned, ended_at=7.0))


@pytest.mark.parametrize(
    ("state", "ended_at"), [("cleaned", None), ("active", 5.0), ("spawning", 5.0)]
)
def test_one_that_has_ended_says_when_and_no_other_does(
    kept: Stored, state: str, ended_at: float | None
) -> None:
    odd = msgspec.structs.replace(with_head(kept, state=state), ended_at=ended_at)

    assert refusal(odd) == ("ended_at", ended_at)


@pytest.mark.parametrize("field", ["incarnation", "version", "last_seq", "message_count"])
def test_numbers_leave_room_for_those_that_follow(kept: Stored, field: str) -> None:
    large = dict.fromkeys(("version", "last_seq", "message_count"), COUNT_MAX)
    inspect(with_head(kept, **{**large, field: COUNT_MAX}))

    assert refusal(with_head(kept, **{**large, field: 2**63 - 1})) == (field, 2**63 - 1)
