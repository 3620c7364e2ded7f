"""How does all that a store keeps come out of it, line by line?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from callboard.actors.storage.faults import missing
from callboard.actors.storage.lines import (
    line_of_end,
    line_of_message,
    line_of_session,
    line_of_store,
)
from callboard.actors.storage.records import Archive, Stored

MESSAGES_AT_ONCE: Final = 500
"""Messages that are read together, and held in memory by whoever goes through a log."""


def exported(archive: Archive) -> Iterator[bytes]:
    """Yield the lines of everything that is kept: sessions, ended ones too, and their messages.

    They are of one moment, whatever is written meanwhile. Memory is bounded by a page of sessions
    and one of messages; between two lines nothing is held that a writer waits for.

    Args:
        archive: a reader of its own: nobody else reads by it until this has ended.

    Raises:
        StoreError: the store cannot be read; what came so far is not all, and does not say it is.
    """
    sessions = messages = 0
    with archive.unchanging():
        yield line_of_store()
        for stored in archive.history():
            sessions += 1
            lines = lines_of(archive, stored)
            yield next(lines)
            for line in lines:
                messages += 1
                yield line
        yield line_of_end(sessions=sessions, messages=messages)


def lines_of(archive: Archive, stored: Stored) -> Iterator[bytes]:
    """Yield the lines of one session: its own, and those of its messages.

    Raises:
        StoreError: they cannot be read, or one of them is missing: no import would take them.
    """
    yield line_of_session(stored)
    last_seq = stored.head.last_seq
    for after_seq in range(0, last_seq, MESSAGES_AT_ONCE):
        up_to_seq = min(after_seq + MESSAGES_AT_ONCE, last_seq)
        page = archive.messages(stored.id, after_seq=after_seq, up_to_seq=up_to_seq)
        for expected, message in enumerate(page, after_seq + 1):
            if message.seq != expected:
                raise missing(stored.id, expected)
            yield line_of_message(message)
        if len(page) < up_to_seq - after_seq:
            raise missing(stored.id, after_seq + len(page) + 1)
