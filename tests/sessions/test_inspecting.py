"""What is taken for a session that comes from elsewhere, and what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.actors import CreateSession, InvalidField, SessionLimits, SessionSystem
from callboard.actors.sessions.coding import SessionCoder
from callboard.actors.sessions.inspecting import COUNT_MAX, Inspector
from callboard.actors.storage.records import Stored
from callboard.actors.testing.stores import StoreInMemory


@pytest.fixture
def kept() -> Stored:
    """Return a session as a store has it."""
    store = StoreInMemory()
    with SessionSystem(store=store) as sessions:
        ada = sessions.ask(CreateSession(user_id="ada")).id
    return store.kept[ada]


def inspect(stored: Stored) -> None:
    Inspector(SessionCoder({}, others=Any), SessionLimits()).session(stored)


def with_head(stored: Stored, **fields: Any) -> Stored:
    return msgspec.structs.replace(stored, head=msgspec.structs.replace(stored.head, **fields))


def test_what_a_store_has_is_a_session(kept: Stored) -> None:
    inspect(kept)
    inspect(msgspec.structs.replace(with_head(kept, state="cleaned"), ended_at=5.0))


@pytest.mark.parametrize(
    ("state", "ended_at"), [("cleaned", None), ("active", 5.0), ("spawning", 5.0)]
)
def test_one_that_has_ended_says_when_and_no_other_does(
    kept: Stored, state: str, ended_at: float | None
) -> None:
    odd = msgspec.structs.replace(with_head(kept, state=state), ended_at=ended_at)

    with pytest.raises(InvalidField) as refused:
        inspect(odd)

    assert (refused.value.field, refused.value.value) == ("ended_at", ended_at)


@pytest.mark.parametrize("field", ["incarnation", "version", "last_seq", "message_count"])
def test_numbers_leave_room_for_those_that_follow(kept: Stored, field: str) -> None:
    inspect(with_head(kept, **{field: COUNT_MAX}))

    with pytest.raises(InvalidField) as refused:
        inspect(with_head(kept, **{field: 2**63 - 1}))

    assert (refused.value.field, refused.value.value) == (field, 2**63 - 1)
