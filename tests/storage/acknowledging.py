"""A program that keeps rows in a real file and acknowledges them: `... HOW PATH ROWS DESCRIPTOR`.

Each row says which it is: row-1, row-2. It is acknowledged by a line on the descriptor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem
from callboard.actors.storage.records import MessageRecord, Write
from callboard.actors.storage.sqlite import JournalMode, SqliteStore
from tests.storage.kit import BODY, head

Acknowledge: TypeAlias = Callable[[int], object]

TOGETHER = 5
"""Rows of one transaction, where the program says what is written together."""

CLIENTS = 8
"""Threads that ask a session system, each one row after the other."""


def text(row: int) -> str:
    return f"row-{row}"


def opened(path: str, journal_mode: JournalMode, synchronous: str | None) -> SqliteStore:
    store = SqliteStore(path, journal_mode=journal_mode)
    if synchronous is not None:
        store._connected().execute(f"PRAGMA synchronous = {synchronous}")
    return store


def keep_in_store(
    path: str,
    rows: int,
    acknowledge: Acknowledge,
    *,
    journal_mode: JournalMode = "wal",
    is_early: bool = False,
    synchronous: str | None = None,
) -> None:
    """Hand rows to the store, some at once, and acknowledge them when it returns.

    Args:
        path: the file.
        rows: how many.
        acknowledge: does it.
        journal_mode: of the store.
        is_early: whether rows are acknowledged before they are handed in.
        synchronous: what SQLite is told in place of what the store says.
    """
    store = opened(path, journal_mode, synchronous)
    for last in range(0, rows, TOGETHER):
        numbers = range(last + 1, last + TOGETHER + 1)
        messages = tuple(MessageRecord(each, None, text(each).encode()) for each in numbers)
        write = Write(
            id="ada",
            is_new=not last,
            head=head(last + TOGETHER),
            body=None if last else BODY,
            after_seq=last,
            messages=messages,
        )
        if is_early:
            for each in numbers:
                acknowledge(each)
        assert store.write([write]) == {}
        if not is_early:
            for each in numbers:
                acknowledge(each)
    store.close()


def keep_in_sessions(
    path: str, rows: int, acknowledge: Acknowledge, *, synchronous: str | None = None
) -> None:
    """Have many clients append to sessions, and acknowledge what each is told is done."""
    with SessionSystem(store=opened(path, "wal", synchronous)) as sessions:
        ids = [sessions.ask(CreateSession(user_id="ada")).id for _ in range(CLIENTS)]

        def append(place: int) -> None:
            for row in range(place + 1, rows + 1, CLIENTS):
                sessions.ask(AppendMessage(ids[place], Role.USER, text(row)))
                acknowledge(row)

        with ThreadPoolExecutor(CLIENTS) as clients:
            for done in clients.map(append, range(CLIENTS)):
                assert done is None


WAYS: dict[str, Callable[[str, int, Acknowledge], None]] = {
    "sessions": keep_in_sessions,
    "sessions, synchronous=OFF": partial(keep_in_sessions, synchronous="OFF"),
    "store": keep_in_store,
    "store with a rollback journal": partial(keep_in_store, journal_mode="delete"),
    "store with a rollback journal, synchronous=FULL": partial(
        keep_in_store, journal_mode="delete", synchronous="FULL"
    ),
    "store, acknowledged before": partial(keep_in_store, is_early=True),
    "store, synchronous=NORMAL": partial(keep_in_store, synchronous="NORMAL"),
    "store, synchronous=OFF": partial(keep_in_store, synchronous="OFF"),
}

if __name__ == "__main__":
    how, where, count, descriptor = sys.argv[1:]
    WAYS[how](where, int(count), lambda row: os.write(int(descriptor), f"{text(row)}\n".encode()))
