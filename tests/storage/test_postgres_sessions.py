"""A whole session system on PostgreSQL: kept over systems and over the server's own deaths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PostgresStore,
    Role,
    SessionSystem,
    StoreError,
    StoreLocked,
)
from tests.storage.conftest import new_schema
from tests.storage.postgres_server import Server


@pytest.fixture
def schema() -> str:
    return new_schema()


@pytest.fixture
def store(server: Server, schema: str) -> PostgresStore:
    return PostgresStore(server.dsn, schema=schema, lease_s=2.0, renew_every_s=0.5)


@pytest.fixture
def sessions(store: PostgresStore) -> Iterator[SessionSystem]:
    with SessionSystem(store=store, name="on-postgres") as sessions:
        yield sessions


def say(sessions: SessionSystem, session_id: str, text: str) -> int:
    return sessions.ask(AppendMessage(session_id, Role.USER, text, text), timeout=30.0)


def test_what_was_acknowledged_is_there_for_the_next_system(
    sessions: SessionSystem, server: Server, schema: str
) -> None:
    ada = sessions.ask(CreateSession(user_id="ada")).id
    assert [say(sessions, ada, f"{number}") for number in range(1, 301)] == list(range(1, 301))
    before = sessions.get(ada)
    assert len(sessions.messages(ada, limit=10)) == 10
    sessions.stop()

    with SessionSystem(store=PostgresStore(server.dsn, schema=schema)) as later:
        assert later.get(ada).version == before.version
        assert say(later, ada, "301") == 301
        assert say(later, ada, "7") == 7


def test_a_second_system_is_refused_while_the_first_lives(
    sessions: SessionSystem, server: Server, schema: str
) -> None:
    ada = sessions.ask(CreateSession()).id

    with pytest.raises(StoreLocked):
        SessionSystem(store=PostgresStore(server.dsn, schema=schema)).start()

    assert say(sessions, ada, "still here") == 1


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_is_an_error_and_then_gone_on_with(
    sessions: SessionSystem, server: Server
) -> None:
    ada = sessions.ask(CreateSession()).id
    assert say(sessions, ada, "before") == 1

    server.kill()
    with pytest.raises(StoreError):
        say(sessions, ada, "while it was gone")
    assert sessions.get(ada).last_seq == 1
    server.start()

    assert say(sessions, ada, "after") == 2
    assert [each.content for each in sessions.messages(ada)] == ["before", "after"]
