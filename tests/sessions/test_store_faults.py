"""What a whole system does while its disk fails, and when that works again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    GetMessages,
    Role,
    SessionNotFound,
    SessionSystem,
    StoreError,
    TerminateSession,
)
from callboard.actors.storage.database import (
    SQLITE_FULL,
    SQLITE_IOERR,
    SQLITE_READONLY,
    DatabaseError,
)
from callboard.actors.storage.sqlite import SqliteStore
from tests.sessions.durable.kit import LONG
from tests.storage.kit import StruckDisk

LIMITED = """
import resource, signal, sys
from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem, StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with SessionSystem(store=sys.argv[1], on_event=lambda _: None) as sessions:
    ada = sessions.ask(CreateSession()).id
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    seq = 0
    try:
        while seq < 1_000:
            seq = sessions.ask(AppendMessage(ada, Role.USER, "x" * 10_000))
    except StoreError as error:
        print(type(error).__name__, error.is_outcome_known, error.remedy)
    print(sessions.get(ada).last_seq == len(sessions.messages(ada)) == seq)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(sessions.ask(AppendMessage(ada, Role.USER, "y")) == seq + 1, sessions.health().is_healthy)
with SessionSystem(store=sys.argv[1], on_event=lambda _: None) as sessions:
    print(sessions.get(ada).last_seq == seq + 1)
"""
"""A process whose files may not grow: what a full disk is, for real."""


class BadDisk(StruckDisk):
    """A disk on which nothing can be written as long as it has a `code`."""

    code: int | None = None

    @contextmanager
    def struck(self, sql: str) -> Generator[bool]:
        if self.code is not None and sql.startswith(("BEGIN", "INSERT", "UPDATE")):
            raise DatabaseError(self.code, "struck")
        yield True


Breaks = Callable[[Path, BadDisk], AbstractContextManager[Any]]


def errs(code: int) -> Breaks:
    @contextmanager
    def broken(_path: Path, disk: BadDisk) -> Generator[None]:
        disk.code = code
        yield
        disk.code = None

    return broken


@contextmanager
def moved(path: Path, _disk: BadDisk) -> Generator[None]:
    aside = path.with_name("aside")
    path.rename(aside)
    yield
    aside.rename(path)


@contextmanager
def locked(path: Path, _disk: BadDisk) -> Generator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


FAULTS: Final[dict[str, Breaks]] = {
    "full": errs(SQLITE_FULL),
    "read-only": errs(SQLITE_READONLY),
    "failing": errs(SQLITE_IOERR),
    "moved away": moved,
    "locked by another": locked,
}


@pytest.mark.parametrize("breaks", FAULTS.values(), ids=FAULTS)
def test_writes_are_refused_reads_go_on_and_writes_are_taken_when_it_works(
    tmp_path: Path, breaks: Breaks
) -> None:
    tmp_path.chmod(0o700)
    path, disk = tmp_path / "sessions.db", BadDisk()
    store = SqliteStore(path, disk=disk)
    with SessionSystem(store=store, on_event=lambda _: None) as sessions:
        ada = sessions.ask(CreateSession(session_id="ada")).id
        for number in range(LONG):
            sessions.ask(AppendMessage(ada, Role.USER, str(number)))
        before = sessions.get(ada)
        sessions.ask(GetMessages(ada, 0, 1))  # the reader has the file open: it may be moved

        with breaks(path, disk):
            with pytest.raises(StoreError) as refused:
                sessions.ask(AppendMessage(ada, Role.USER, "never"))
            with pytest.raises(StoreError):
                sessions.ask(CreateSession(session_id="bob"))
            with pytest.raises(StoreError):
                sessions.ask(TerminateSession(ada))
            during = sessions.get(ada)
            oldest = sessions.ask(GetMessages(ada, 0, 10)).messages
            with pytest.raises(SessionNotFound):
                sessions.get("bob")

        after = sessions.ask(AppendMessage(ada, Role.USER, "at last"))
        bob = sessions.ask(CreateSession(session_id="bob")).id

        assert refused.value.is_outcome_known
        assert refused.value.remedy
        assert during == before
        assert [each.content for each in oldest] == [str(number) for number in range(10)]
        assert after == LONG + 1
        assert sessions.health().is_healthy

    with SessionSystem(store=path, on_event=lambda _: None) as sessions:
        assert [each.content for each in sessions.messages(ada, after_seq=LONG)] == ["at last"]
        assert sessions.get(bob).last_seq == 0


def test_files_that_may_really_not_grow_are_told_of_and_written_when_they_may(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "sessions.db"],
        capture_output=True,
        text=True,
        check=False,
    )

    first, *others = done.stdout.splitlines()
    assert first.startswith("StoreError True "), done.stderr
    assert "limit on the size of files" in first
    assert others == ["True", "True True", "True"]
