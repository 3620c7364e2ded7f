"""Who did what to which session? A port for records that are kept, and two places to keep them.

A record holds no message, prompt, variable, exception text or secret: whose
session, what happened, when, and numbers.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from callboard.actors.home import at_home
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.observe.text import CHARS_MAX, escaped

AUDIT_WAITING_MAX: Final = 10_000
"""Records that may wait for the sink; what comes beyond is lost, counted and told."""

AUDIT_WAIT_S: Final = 2.0
"""With `audit_required`: how long the sink may take before an operation is refused."""

_NOTHING: Final[Mapping[str, object]] = {}

_MODE: Final = 0o600


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record.

    Args:
        event_type: what: the kind of a session's event, `events_lost`, or, with
            `audit_required`, the name of the operation that is about to be done.
        at: when: UTC, seconds since the epoch.
        session_id: which session, if it has one yet.
        user_id: whose it is.
        org_id: the user's organisation.
        seq: the event's number in its session. After the writer's crash a record may
            come twice, with the same number.
        details: names, numbers and truth values.
    """

    event_type: str
    at: float
    session_id: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    seq: int | None = None
    details: Mapping[str, object] = _NOTHING


class AuditSink(Protocol):
    """Where records go: a file, a table, a service. Called by one thread at a time, its own.

    It may block, and it may raise: that delays and fails no operation unless the
    system was told `audit_required`. What it raises counts as a loss.
    """

    def log_session_event(self, event: AuditEvent, /) -> None:
        """Keep one record; with `audit_required` it is kept when this returns."""
        ...


class AuditFileRefused(InvalidSpec, OSError):
    """The audit file cannot be used, or is not private.

    Args:
        path: which file.
        remedy: what would be right, as a sentence.
    """

    code = "audit_file_refused"

    def __init__(self, path: object, remedy: str) -> None:
        super().__init__("audit", path, remedy)


class AuditFile:
    """Appends records to a file, one JSON object a line, readable by its owner alone.

    A file that was moved away or removed (log rotation) is made anew. A record that could not be
    written to its end, since the disk is full or the process was killed, stays as far as it came,
    on a line of its own: nothing is ever taken out of the file, and the next record begins a line.

    Args:
        path: the file; its folder must exist.
        is_durable: whether every record is on the disk (fsync) before the next one.

    Raises:
        AuditFileRefused: an InvalidSpec: it cannot be opened, others may read or write it, or it
            is no regular file of ours.
    """

    def __init__(self, path: str | os.PathLike[str], *, is_durable: bool = False) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise AuditFileRefused(path, "Give the path of a file.")
        self._path = at_home(path)
        self._is_durable = is_durable
        self._before = b""
        """What is to be written before the next record, so that it begins a line."""
        self._file: int | None = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            opened = os.open(self._path, flags, _MODE)
        except (OSError, ValueError) as error:
            raise AuditFileRefused(self._path, _remedy_for(error)) from error
        seen = os.fstat(opened)
        is_ours = stat.S_ISREG(seen.st_mode) and seen.st_uid == os.geteuid()
        if not is_ours or seen.st_mode & 0o077:
            os.close(opened)
            mode = f"{stat.S_IMODE(seen.st_mode):04o}"
            remedy = "Make it a regular file of your own with mode 0600, or name a new one"
            raise AuditFileRefused(self._path, f"{remedy} (mode {mode}).")
        is_torn = seen.st_size and os.pread(opened, 1, seen.st_size - 1) != b"\n"
        self._before = b"\n" if is_torn else b""
        return opened

    def log_session_event(self, event: AuditEvent, /) -> None:
        """Append one record.

        Raises:
            OSError: it could not be written, or not be brought to the disk.
        """
        if self._file is None or self._has_moved(self._file):
            self.close()
            self._file = self._open()
        line = memoryview(self._before + msgspec.json.encode(event) + b"\n")
        is_kept = False
        try:
            while line:
                line = line[os.write(self._file, line) :]
            if self._is_durable:
                os.fsync(self._file)
            is_kept = True
            self._before = b""
        finally:
            if not is_kept:
                self.close()  # whoever opens it looks where it ends

    def _has_moved(self, opened: int) -> bool:
        try:
            there = Path(self._path).lstat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(opened))

    def close(self) -> None:
        """Close the file; the next record opens it again."""
        opened, self._file = self._file, None
        if opened is not None:
            os.close(opened)


def _remedy_for(error: OSError | ValueError) -> str:
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENOTDIR:
            return "Make its folder first, or name a file in one that is there."
        case errno.EISDIR:
            return "Name a file in this folder: it is a folder."
        case errno.ELOOP:
            return "Name the file itself: links are not followed."
        case _:
            why = getattr(error, "strerror", None) or str(error)
            return f"Name a file that can be opened ({why})."


class AuditLogger:
    """Writes records to a logger at INFO, one line each, with the fields as attributes.

    Args:
        logger: where to; None: `callboard.audit`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("callboard.audit")

    def log_session_event(self, event: AuditEvent, /) -> None:
        """Write one line."""
        said: dict[str, Any] = {
            name: _plain(getattr(event, name)) for name in event.__struct_fields__
        }
        shown = " ".join(
            f"{name}={value}" for name, value in said.items() if value not in (None, "")
        )
        self._logger.info("%s", shown, extra=said)


def _plain(value: object) -> object:
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, Mapping):
        text = msgspec.json.encode(value).decode() if value else ""
    else:
        text = str(value)
    return escaped(text, chars_max=CHARS_MAX)
