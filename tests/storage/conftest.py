"""Stores of the tests: each in a folder of its own, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from callboard.actors.storage.sqlite import SqliteStore


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
