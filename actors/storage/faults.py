"""What is wrong when SQLite fails, and what can be done about it? Its result codes, in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from callboard.actors.errors import StoreDamaged, StoreError, StoreOutcomeUnknown
from callboard.actors.storage.database import (
    SQLITE_BUSY,
    SQLITE_CANTOPEN,
    SQLITE_CONSTRAINT,
    SQLITE_CORRUPT,
    SQLITE_FULL,
    SQLITE_IOERR,
    SQLITE_LOCKED,
    SQLITE_MISMATCH,
    SQLITE_NOTADB,
    SQLITE_READONLY,
    SQLITE_TOOBIG,
    DatabaseError,
)
from callboard.supervision.model.showing import shown, shown_path

_Kind = TypeVar("_Kind", bound=StoreError)

OF_A_ROW: Final = frozenset({SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH})
"""Codes that say what is wrong with one row: the others may be kept without it."""

PASSING: Final = frozenset({SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL, SQLITE_CORRUPT}) | OF_A_ROW
"""Codes that say nothing about the connection: another one would see the same."""

_OF_DAMAGE: Final = frozenset({SQLITE_CORRUPT, SQLITE_NOTADB})
"""Codes that say that the file is not what a store has written: no other attempt helps."""

_IOERR_WRITE: Final = SQLITE_IOERR | 3 << 8
_IOERR_FSYNC: Final = SQLITE_IOERR | 4 << 8
_IOERR_DIR_FSYNC: Final = SQLITE_IOERR | 5 << 8
_IOERR_TRUNCATE: Final = SQLITE_IOERR | 6 << 8

_OF_A_CHANGE: Final = frozenset({_IOERR_WRITE, _IOERR_FSYNC, _IOERR_DIR_FSYNC, _IOERR_TRUNCATE})
"""Codes that say that the disk did not change a file, or not for good."""

_UNDONE: Final = frozenset({SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL, SQLITE_READONLY})
"""Codes of a COMMIT after which nothing was kept: it ended before its last page was written.

After any other, as that of a sync, what was written may still be there after a crash.
"""

RESCUE: Final = (
    "Stop what uses it and keep a copy of all its files. Then put a backup in its place; or take"
    " out what can be read (`callboard store export --skip-damaged`), and import that into a new"
    " file."
)
"""What to do about a file that is damaged."""

NOTHING_LEFT: Final = "Nothing of it can be read: put a backup in its place."
"""What to do about a file whose beginning is damaged."""

_SAID: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        SQLITE_BUSY: (
            "another program has locked the file",
            "End what else uses the file (`fuser FILE` names it); the same may succeed then.",
        ),
        SQLITE_LOCKED: (
            "another connection has locked a table",
            "Try again in a moment.",
        ),
        SQLITE_FULL: (
            "the disk is full",
            "Make room on the disk; writes go on by themselves when there is some.",
        ),
        SQLITE_READONLY: (
            "the file cannot be written",
            (
                "Mount the disk writable, let the file's owner write it and its folder (chmod u+w),"
                " or take away what lets nobody change them (`lsattr`: i or a; chattr -ia); writes"
                " go on by themselves then."
            ),
        ),
        _IOERR_WRITE: (
            "the disk did not take what was written",
            (
                "See whether a quota, a limit on the size of files, a mark that lets nobody change"
                " them or a failing disk is in the way (`quota`, `ulimit -f`, `lsattr`: i or a,"
                " `dmesg`); writes go on by themselves when it is gone."
            ),
        ),
        SQLITE_IOERR: (
            "the disk failed",
            "Look at the disk (`dmesg`); writes go on by themselves when it works again.",
        ),
        SQLITE_CANTOPEN: (
            "the file cannot be opened",
            (
                "See that it, its folder and what lies beside it may be used, and that there are"
                " descriptors left (`ulimit -n`); writes go on by themselves then."
            ),
        ),
        SQLITE_CORRUPT: ("the file is damaged", RESCUE),
        SQLITE_NOTADB: (
            "the file is no database any more",
            "Stop what uses it, and put a copy of the store's own file in its place.",
        ),
    }
)

_OTHER: Final = ("SQLite refused", "See what SQLite says, and SQLite's page of result codes.")


def is_undone(error: DatabaseError) -> bool:
    """Say whether a COMMIT that failed so has certainly kept nothing."""
    return error.primary in _UNDONE or error.code == _IOERR_WRITE


def goes_on(error: DatabaseError) -> bool:
    """Say whether the same connection may go on after this.

    It should where it can. What a sync that failed has not made durable is still read as if it
    were: a new connection would take it for committed and build upon it, and a power cut would take
    all of that along. The old one knows better, and writes those pages anew.
    """
    return error.primary in PASSING or error.code in _OF_A_CHANGE


def failure(path: str, error: DatabaseError) -> StoreError:
    """Return the error of callers when nothing was kept."""
    return _told(StoreDamaged if error.primary in _OF_DAMAGE else StoreError, path, error)


def unknown(path: str, error: DatabaseError) -> StoreOutcomeUnknown:
    """Return the error of callers when a COMMIT failed, and may have been kept."""
    return _told(StoreOutcomeUnknown, path, error)


def of_session(session_id: str, error: DatabaseError) -> StoreError:
    """Return the error of one session, when the others were kept."""
    said = StoreError(f"session {shown(session_id)} cannot be kept: {error.detail}")
    said.remedy = "Send less at once, and text that is valid Unicode."
    return said


def unknown_session(session_id: str) -> StoreError:
    """Return the error of a session that the store does not have, and was to change."""
    said = StoreError(f"the store has no session {shown(session_id)}")
    said.remedy = "Create the session again; look who else has changed the store's file."
    return said


def gone(path: str) -> StoreError:
    """Return the error of callers when the file was removed, or another lies in its place."""
    said = StoreError(f"store {shown_path(path)}: the file was moved, removed or replaced")
    said.remedy = (
        "Put it back, with all that was beside it: writes go on then. Or start anew with what is"
        " there."
    )
    return said


def damaged(path: str, what: str, why: str) -> StoreDamaged:
    """Return the error of who reads what no store has written so.

    Args:
        path: the file.
        what: a session, a message, a table.
        why: what is wrong with it.
    """
    said = StoreDamaged(
        f"store {shown_path(path)}: the file is damaged ({what} cannot be read: {why})"
    )
    said.remedy = RESCUE
    return said


def missing(session_id: str, seq: int) -> StoreDamaged:
    """Return the error of who reads a log in which a message is not there."""
    return StoreDamaged(f"message {seq} of session {shown(session_id)} is missing in the store")


def odd_value(column: str, value: object) -> str:
    """Say that something stands in a column which nobody wrote there: its type alone is told."""
    return f"its {column} is {'missing' if value is None else type(value).__name__}"


def _told(kind: type[_Kind], path: str, error: DatabaseError) -> _Kind:
    what, remedy = _SAID.get(error.code) or _SAID.get(error.primary) or _OTHER
    said = kind(f"store {shown_path(path)}: {what} ({error.detail})")
    said.remedy = remedy
    return said
