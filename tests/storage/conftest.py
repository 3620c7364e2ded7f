"""Stores of the tests: each in a place of its own, closed at the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from callboard.actors.storage.postgres import PostgresStore
from callboard.actors.storage.records import Store, Stored
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.kit import Careless
from tests.storage.postgres_server import HOW_TO_GET, Missing, Server, running

_numbers = itertools.count(1)


class Opens(Protocol):
    def __call__(self, **how: Any) -> SqliteStore: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "sessions.db"


@pytest.fixture
def opens(path: Path) -> Iterator[Opens]:
    """Opens the store; each is closed with the test, if it has not closed it itself."""
    with ExitStack() as stack:

        def open_store(**how: Any) -> SqliteStore:
            store = SqliteStore(path, **how)
            stack.callback(store.close)
            return store

        yield open_store


@pytest.fixture(params=["wal", "delete"])
def store(request: pytest.FixtureRequest, opens: Opens) -> SqliteStore:
    """A new store, with either journal."""
    return opens(journal_mode=request.param)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server | None]:
    """One PostgreSQL server for all tests of this process; None where there is none."""
    try:
        with running() as server:
            yield server
    except Missing:
        yield None


@pytest.fixture
def server(shared_server: Server | None) -> Server:
    """A PostgreSQL server that runs, whatever an earlier test has done to it."""
    if shared_server is None:
        pytest.skip(HOW_TO_GET)
    if not shared_server.is_running:
        shared_server.start()
    return shared_server


def new_schema() -> str:
    """Return the name of a schema that nobody has used."""
    return f"test_{next(_numbers)}"


class KeepsHistory(Store, Protocol):
    """A store, as the port says, that also shows what it keeps of sessions that have ended."""

    def history(self) -> Iterator[Stored]: ...


Opening = Callable[[], KeepsHistory]
"""Opens a store; again the same one, when that has been closed."""


@pytest.fixture(params=["sqlite-wal", "sqlite-delete", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Opening]]:
    """Makes new places for stores of each kind; what is opened there is closed with the test."""
    with ExitStack() as stack:

        def place() -> Opening:
            make: Opening
            if request.param == "postgres":
                server: Server = request.getfixturevalue("server")
                make = partial(PostgresStore, server.dsn, schema=new_schema())
            else:
                path = tmp_path / f"{next(_numbers)}" / "sessions.db"
                mode = request.param.removeprefix("sqlite-")
                make = partial(SqliteStore, path, disk=Careless(), journal_mode=mode)

            def opened() -> KeepsHistory:
                store = make()
                stack.callback(store.close)
                return store

            return opened

        yield place
