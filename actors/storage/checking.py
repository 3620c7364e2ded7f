"""Is what a store keeps whole? Its structure, every log, and whether what is kept can be read."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Final, Protocol

import msgspec

from callboard.actors.errors import InvalidField, StoreError
from callboard.actors.storage.exporting import MESSAGES_AT_ONCE
from callboard.actors.storage.lines import is_json
from callboard.actors.storage.records import Archive, Head, MessageRecord, Stored

FINDINGS_MAX: Final = 1_000
"""Findings that a check tells; it ends with the last of them."""

FINDINGS_PER_SESSION_MAX: Final = 10
"""Findings of one session that a check tells."""


class Readable(Protocol):
    """Says whether what is kept is a session: given from above, where it is known what one is."""

    def session(self, stored: Stored, /) -> None:
        """Look at a session.

        Raises:
            InvalidField: it is none; the field may be a path.
        """
        ...

    def message(self, session_id: str, message: MessageRecord, /) -> None:
        """Look at a message.

        Raises:
            InvalidField: it is none.
        """
        ...


class Finding(msgspec.Struct, frozen=True):
    """Something that is not whole.

    Args:
        what: what is wrong, as a sentence without its full stop.
        session_id: with which session; None: with the store.
        seq: with which of its messages.
    """

    what: str
    session_id: str | None = None
    seq: int | None = None


class Checked(msgspec.Struct, frozen=True):
    """What a check has seen.

    Args:
        sessions: how many sessions.
        messages: how many messages.
        findings: what is not whole: nothing, if all is well.
        is_complete: whether all was looked at; otherwise there were too many findings.
    """

    sessions: int
    messages: int
    findings: tuple[Finding, ...]
    is_complete: bool = True


def checking(archive: Archive, readable: Readable) -> Generator[None, None, Checked]:
    """Look at everything, a part at each step; return what was seen.

    The first step reads the whole file, every other a page of messages. It sees one moment,
    whatever is written meanwhile.

    Args:
        archive: a reader of its own: nobody else reads by it until this has ended.
        readable: says whether what is kept is a session.

    Raises:
        StoreError: it cannot be read at all.
    """
    findings: list[Finding] = []
    sessions = messages = 0
    with archive.unchanging():
        findings += map(Finding, islice(archive.flaws(), FINDINGS_MAX))
        yield
        for stored in _history(archive, findings):
            sessions += 1
            found = list(_of_session(stored, readable))
            for page, wrong in _of_log(archive, stored, readable):
                messages += page
                found += wrong[: FINDINGS_PER_SESSION_MAX - len(found)]
                yield
            findings += found
            if len(findings) >= FINDINGS_MAX:
                return Checked(sessions, messages, tuple(findings[:FINDINGS_MAX]), False)
    return Checked(sessions, messages, tuple(findings))


def _history(archive: Archive, findings: list[Finding]) -> Iterator[Stored]:
    """Yield the sessions as far as they can be read; where that ends is a finding."""
    try:
        yield from archive.history()
    except StoreError as error:
        findings.append(Finding(f"the sessions from here on cannot be read: {error}"))


def findings_of(archive: Archive, stored: Stored, readable: Readable) -> Iterator[Finding]:
    """Yield what is wrong with one session, and with each of its messages."""
    yield from _of_session(stored, readable)
    for _, wrong in _of_log(archive, stored, readable):
        yield from wrong


def flaw_of_head(head: Head) -> str | None:
    """Say what is wrong with the numbers of a session, if anything is."""
    if head.message_count < head.last_seq:
        return f"it counts {head.message_count} messages, and its last one is {head.last_seq}"
    return None


def _of_session(stored: Stored, readable: Readable) -> Iterator[Finding]:
    flaw = flaw_of_head(stored.head)
    if flaw is not None:
        yield Finding(flaw, stored.id)
    for name in ("body", "standing"):
        kept = getattr(stored, name)
        if kept is None and name == "body":
            yield Finding("it has no snapshot", stored.id)
            return
        if kept is not None and not is_json(kept):
            yield Finding(f"its {name} is no JSON", stored.id)
            return
    try:
        readable.session(stored)
    except InvalidField as wrong:
        yield Finding(str(wrong), stored.id)


def _of_log(
    archive: Archive, stored: Stored, readable: Readable
) -> Iterator[tuple[int, list[Finding]]]:
    """Yield, page by page, how many messages there are and what is wrong with them."""
    last_seq, after_seq = stored.head.last_seq, 0
    while after_seq <= last_seq:
        # One page more than there should be: that nothing follows the last one.
        up_to_seq = after_seq + MESSAGES_AT_ONCE
        try:
            page = archive.messages(stored.id, after_seq=after_seq, up_to_seq=up_to_seq)
        except StoreError as error:
            what = f"the messages from here on cannot be read: {error}"
            yield 0, [Finding(what, stored.id, after_seq + 1)]
            return
        if not page and after_seq < last_seq:
            # Not page by page: a number that is damaged would keep us here for ever.
            yield 0, [_hole(stored, after_seq + 1, last_seq)]
            return
        yield len(page), list(_of_page(stored, page, after_seq, min(up_to_seq, last_seq), readable))
        after_seq = up_to_seq


def _of_page(
    stored: Stored,
    page: tuple[MessageRecord, ...],
    after_seq: int,
    up_to_seq: int,
    readable: Readable,
) -> Iterator[Finding]:
    expected = after_seq + 1
    for message in page:
        if message.seq > stored.head.last_seq:
            what = f"it follows message {stored.head.last_seq}, which is the last by the head"
            yield Finding(what, stored.id, message.seq)
            continue
        if message.seq < expected:
            yield Finding("it is there twice", stored.id, message.seq)
            continue
        if message.seq > expected:
            yield _hole(stored, expected, message.seq - 1)
        expected = message.seq + 1
        yield from _of_message(stored.id, message, readable)
    if expected <= up_to_seq:
        yield _hole(stored, expected, up_to_seq)


def _hole(stored: Stored, first: int, last: int) -> Finding:
    what = "the message is" if first == last else f"the messages up to {last} are"
    return Finding(f"{what} missing", stored.id, first)


def _of_message(session_id: str, message: MessageRecord, readable: Readable) -> Iterator[Finding]:
    if not is_json(message.body):
        yield Finding("its body is no JSON", session_id, message.seq)
        return
    try:
        readable.message(session_id, message)
    except InvalidField as wrong:
        yield Finding(str(wrong), session_id, message.seq)
