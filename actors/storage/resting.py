"""How is the file of a store read that nobody uses? So that nothing of it is changed.

Opening a store changes it: its journal is brought into the file, and an older file up to date.
Whoever only looks must not do so: the next start is to find what the last end has left, and a
damaged file is to stay as it is. So it can also be read where nothing can be written.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Final, TypeVar

from callboard.actors.errors import StoreError, StoreRefused
from callboard.actors.storage.database import SQLITE_CANTOPEN, Database, DatabaseError
from callboard.actors.storage.disk import LocalDisk
from callboard.actors.storage.faults import NOTHING_LEFT, failure
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.salvaging import SqliteSalvage
from callboard.actors.storage.schema import STEPS, refuse_foreign, version_of

_UP_TO_DATE: Final = (
    "Bring it up to date: start what uses it, or `callboard store compact --store FILE`."
)


K = TypeVar("K", bound=SqliteReader)


@contextmanager
def resting(path: str | os.PathLike[str], kind: type[K]) -> Generator[K]:
    """Have a reader of a file that nobody uses; see that nobody begins to meanwhile.

    Where nothing can be written there is no lock: so nobody else can use it either.

    Args:
        path: the file; it is there.
        kind: the reader; of one that is damaged a `SqliteSalvage`.

    Raises:
        StoreLocked: somebody uses it.
        StoreTooNew: a newer callboard has written it.
        StoreRefused: it is no file of ours, or others could read or write it; or what was written
            last cannot be read where nothing can be written.
        StoreError: it cannot be read.
    """
    disk = LocalDisk()
    place = disk.find(os.fspath(path))
    lock = disk.lock_to_read(place)
    try:
        has_log = disk.is_filled(f"{place}-wal")
        if disk.is_filled(f"{place}-journal"):
            _refuse_half_written(place)
        with closing(kind(disk, place, is_immutable=not has_log)) as reader:
            try:
                # Of a damaged one it may not see what it is, where a salvage does.
                if not isinstance(reader, SqliteSalvage):
                    refuse_foreign(disk, place)
                reader.look(lambda database: _be_current(database, place))
            except DatabaseError as error:
                raise failure(place, error) from error
            except StoreError as error:
                _refuse_unreachable_log(place, error, has_log=has_log)
                if isinstance(reader, SqliteSalvage):
                    error.remedy = NOTHING_LEFT
                raise
            yield reader
    finally:
        if lock is not None:
            lock.release()


def _be_current(database: Database, place: str) -> None:
    version = version_of(database, place, len(STEPS))
    if not version:
        remedy = "Name a file that callboard has kept something in."
        raise StoreRefused(place, "it is empty", remedy)
    if version < len(STEPS):
        raise StoreRefused(place, "an older callboard has written it", _UP_TO_DATE)


def _refuse_half_written(place: str) -> None:
    why = f"a write was under way when its last owner ended, and {place}-journal undoes that"
    remedy = (
        "Open it once for writing, which mends it: start what uses it, or `callboard store compact"
        " --store FILE`. Where nothing can be written do that to a copy of both files."
    )
    raise StoreRefused(place, why, remedy)


def _refuse_unreachable_log(place: str, error: StoreError, *, has_log: bool) -> None:
    cause = error.__cause__
    is_closed = isinstance(cause, DatabaseError) and cause.primary == SQLITE_CANTOPEN
    if not (has_log and is_closed):
        return
    why = (
        f"its last owner did not close it: what he wrote last is in {place}-wal, which cannot be"
        " read where nothing can be written"
    )
    remedy = (
        f"Copy {place} and {place}-wal, both, into a folder of your own that can be written, and"
        " look at the copy."
    )
    raise StoreRefused(place, why, remedy) from error
