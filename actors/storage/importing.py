"""How do sessions come into a store from lines, all of them or none? As strictly as over HTTP."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

import msgspec

from callboard.actors.errors import DuplicateSession, ImportRefused, InvalidField, StoreError
from callboard.actors.storage.checking import Readable, flaw_of_head
from callboard.actors.storage.lines import (
    FORMAT_VERSION,
    LINE_BYTES_MAX,
    AnyLine,
    BrokenLine,
    EndLine,
    MessageLine,
    SessionLine,
    SkippedLine,
    StoreLine,
    message_of,
    read_line,
    stored_of,
)
from callboard.actors.storage.records import Arrivals, MessageRecord, Stored

LINES_AT_ONCE: Final = 250
"""Lines that one step of an import takes."""

BYTES_AT_ONCE: Final = 1024 * 1024
"""Bytes of lines after which a step takes no more."""


class Imported(msgspec.Struct, frozen=True):
    """What has come in.

    Args:
        sessions: how many sessions.
        messages: how many messages, of all of them.
    """

    sessions: int
    messages: int


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, and of one that is too long only so much that it is refused."""
    return iter(lambda: file.readline(LINE_BYTES_MAX + 1), b"")


def importing(
    arrivals: Arrivals, lines: Iterable[bytes], readable: Readable
) -> Generator[None, None, Imported]:
    """Take in what an export has written, a part at each step; return how much it was.

    Each step is one short transaction, on the thread that writes. Nobody sees any of it until the
    last one, which takes the longer the more sessions there are (not messages). When this
    ends early, by an error or since nobody goes on with it, nothing has come in; what it leaves
    out of sight is cleared away at once if it can be, else by the next import or `compact`.

    Args:
        arrivals: where it goes.
        lines: what was exported.
        readable: says whether what a line holds is a session, or a message.

    Raises:
        ImportRefused: a line is not right; it is named, with the field, its value and a remedy.
        StoreError: the store cannot take it.
    """
    try:
        return (yield from _importing(arrivals, lines, readable))
    finally:
        arrivals.close()


def _importing(
    arrivals: Arrivals, lines: Iterable[bytes], readable: Readable
) -> Generator[None, None, Imported]:
    while not arrivals.clear():
        yield
    reading = _Reading(readable)
    try:
        for number, raw in enumerate(lines, 1):
            reading.read(number, raw)
            if reading.is_enough:
                reading.hand_over(arrivals)
                yield
        reading.hand_over(arrivals)
        yield
        imported = reading.all_read()
        with _at_line(reading.line):
            arrivals.publish()
    except (ImportRefused, StoreError):
        with suppress(StoreError):
            while not arrivals.clear():
                yield
        raise
    return imported


class _Reading:
    """Where in the lines we are, and what of them is to be handed over."""

    def __init__(self, readable: Readable) -> None:
        self._readable = readable
        self.line = 0
        self._is_begun = False
        self._end: EndLine | None = None
        self._session: Stored | None = None
        self._of: str | None = None
        self._seq = 0
        self._sessions = 0
        self._messages = 0
        self._skipped = 0
        self._bytes = 0
        self._taken_sessions: list[Stored] = []
        self._taken_lines: dict[str, int] = {}
        self._taken_messages: list[tuple[str, MessageRecord]] = []

    @property
    def is_enough(self) -> bool:
        """Whether it is time to hand over what was read."""
        lines = len(self._taken_sessions) + len(self._taken_messages)
        return lines >= LINES_AT_ONCE or self._bytes >= BYTES_AT_ONCE

    def read(self, number: int, raw: bytes) -> None:
        """Read one line.

        Raises:
            ImportRefused: it is not right, or not here.
        """
        self.line = number
        self._bytes += len(raw)
        self._of = None
        with _at_line(number, lambda: self._of):
            line = read_line(raw)
            if isinstance(line, SessionLine):
                self._of = line.id or None
            elif isinstance(line, MessageLine) and self._session is not None:
                self._of = self._session.id
            self._take(line)

    def _take(self, line: AnyLine) -> None:
        if self._is_begun == isinstance(line, StoreLine) or self._end is not None:
            remedy = "Give what one export has written, from its first line to its last."
            raise InvalidField("line", _kind_of(line), remedy)
        match line:
            case StoreLine():
                self._begin(line)
            case SessionLine():
                self._take_session(line)
            case MessageLine():
                self._take_message(line)
            case SkippedLine():
                self._check_log()
                self._session = None
                self._skipped += 1
            case BrokenLine():
                remedy = "It broke off there, and is not all: give what another export has written."
                raise InvalidField("line", _kind_of(line), remedy)
            case EndLine():
                self._check_log()
                self._check_count("sessions", line.sessions, self._sessions)
                self._check_count("messages", line.messages, self._messages)
                self._check_count("skipped", line.skipped, self._skipped)
                self._end = line

    def _begin(self, line: StoreLine) -> None:
        if line.version != FORMAT_VERSION:
            remedy = f"Give version {FORMAT_VERSION}, or use the callboard that has written it."
            raise InvalidField("version", line.version, remedy)
        self._is_begun = True

    def _take_session(self, line: SessionLine) -> None:
        self._check_log()
        stored = stored_of(line)
        _check_head(stored)
        self._readable.session(stored)
        if stored.id in self._taken_lines:
            raise DuplicateSession(stored.id)
        self._session, self._seq = stored, 0
        self._sessions += 1
        self._taken_sessions.append(stored)
        self._taken_lines[stored.id] = self.line

    def _take_message(self, line: MessageLine) -> None:
        session = self._session
        if session is None:
            raise InvalidField("line", "message", "Give the session first that it belongs to.")
        if line.seq != self._seq + 1 or line.seq > session.head.last_seq:
            wanted = "no more" if self._seq == session.head.last_seq else f"message {self._seq + 1}"
            remedy = (
                f"Give {wanted}: the messages of a session are numbered from 1 to its last_seq,"
                f" {session.head.last_seq}, in order and without holes."
            )
            raise InvalidField("seq", line.seq, remedy)
        message = message_of(line)
        self._readable.message(session.id, message)
        self._seq = line.seq
        self._messages += 1
        self._taken_messages.append((session.id, message))

    def _check_log(self) -> None:
        """Refuse to go on while messages of the last session are missing."""
        session = self._session
        if session is not None and self._seq != session.head.last_seq:
            self._of = session.id
            remedy = f"Give its messages first: {self._seq + 1} to {session.head.last_seq}."
            raise InvalidField("last_seq", session.head.last_seq, remedy)

    def _check_count(self, field: str, said: int, found: int) -> None:
        if said != found:
            remedy = f"Give all that was exported, to its last line: there were {found}."
            raise InvalidField(field, said, remedy)

    def all_read(self) -> Imported:
        """Say how much it was.

        Raises:
            ImportRefused: the end is missing.
        """
        if self._end is None:
            remedy = "Give all that was exported, to its last line: that says how much it was."
            raise ImportRefused(self.line + 1, "line", None, remedy)
        return Imported(self._sessions, self._messages)

    def hand_over(self, arrivals: Arrivals) -> None:
        """Give what was read since the last time to the store."""
        try:
            arrivals.take(self._taken_sessions, self._taken_messages)
        except DuplicateSession as error:
            line = self._taken_lines.get(error.session_id, self.line)
            raise _taken(line, error) from error
        self._taken_sessions, self._taken_messages, self._taken_lines = [], [], {}
        self._bytes = 0


def _check_head(stored: Stored) -> None:
    head = stored.head
    if not stored.id:
        raise InvalidField("id", stored.id, "Give an id that is not empty.")
    for field, seconds in (
        ("last_active_at", head.last_active_at),
        ("ended_at", stored.ended_at),
        ("created.used_at", None if stored.created is None else stored.created.used_at),
    ):
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise InvalidField(field, seconds, "Give seconds since the epoch, in UTC.")
    flaw = flaw_of_head(head)
    if flaw is not None:
        remedy = f"Give at least the number of the last message: {flaw}."
        raise InvalidField("message_count", head.message_count, remedy)


def _kind_of(line: AnyLine) -> object:
    return line.__struct_config__.tag


@contextmanager
def _at_line(number: int, whose: Callable[[], str | None] = lambda: None) -> Generator[None]:
    """Say with the number of its line, and the session it is of, what is not right."""
    try:
        yield
    except DuplicateSession as error:
        raise _taken(number, error) from error
    except InvalidField as error:
        refused = ImportRefused(number, error.field, error.value, error.remedy, session_id=whose())
        raise refused from error


def _taken(line: int, error: DuplicateSession) -> ImportRefused:
    remedy = (
        "Give each session once, and none that is there already: leave it out, or import into"
        " another store."
    )
    return ImportRefused(line, "id", error.session_id, remedy)
