"""What does the table answer to a read? No message, no lock: on the caller's thread."""

from __future__ import annotations

from typing import TypeAlias, TypeVar, assert_never, overload

import msgspec

from callboard.actors.errors import InvalidField
from callboard.actors.messages import (
    CountSessions,
    FindSession,
    GetMessages,
    GetSession,
    GetSystemPrompt,
    ListSessions,
    MessagePage,
    SessionPage,
)
from callboard.actors.sessions.data import Message, Session
from callboard.actors.sessions.filters import count, page
from callboard.actors.sessions.log import joined
from callboard.actors.sessions.table import Table
from callboard.supervision import Future

R = TypeVar("R")

Older: TypeAlias = tuple[Message, ...]
"""Messages that only a store had."""

Read: TypeAlias = (
    GetSession | FindSession | GetSystemPrompt | GetMessages | ListSessions | CountSessions
)
"""The messages that need no actor (`messages.READS`)."""


@overload
def answer(table: Table, read: GetSession, *, now_s: float, older: Older = ()) -> Session: ...
@overload
def answer(
    table: Table, read: FindSession, *, now_s: float, older: Older = ()
) -> Session | None: ...
@overload
def answer(
    table: Table, read: GetSystemPrompt, *, now_s: float, older: Older = ()
) -> str | None: ...
@overload
def answer(table: Table, read: GetMessages, *, now_s: float, older: Older = ()) -> MessagePage: ...
@overload
def answer(table: Table, read: ListSessions, *, now_s: float, older: Older = ()) -> SessionPage: ...
@overload
def answer(table: Table, read: CountSessions, *, now_s: float, older: Older = ()) -> int: ...
@overload
def answer(table: Table, read: Read, *, now_s: float, older: Older = ()) -> object: ...
def answer(table: Table, read: Read, *, now_s: float, older: Older = ()) -> object:
    """Answer a read: whoever got a reply reads at least what that confirmed.

    Args:
        table: the sessions.
        read: what is asked.
        now_s: monotonic now.
        older: what a store had of it (`elsewhere`).

    Raises:
        SessionNotFound: there is no such session, and the message needs one.
        InvalidField: it does not say which session is to be found.
    """
    match read:
        case GetSession():
            return _session(table, read, older)
        case FindSession():
            return _found(table, read)
        case GetSystemPrompt():
            return table.row(read.session_id).session().system_prompt
        case GetMessages():
            log = table.row(read.session_id).latest().log
            messages = joined(log, older, after_seq=read.after_seq, limit=read.limit)
            return MessagePage(messages=messages, last_seq=log.last_seq)
        case ListSessions():
            return page(table, read, now_s=now_s)
        case CountSessions():
            return count(table, read, now_s=now_s)
        case _ as never:
            assert_never(never)


def elsewhere(table: Table, read: Read) -> Future[tuple[Message, ...]] | None:
    """Return what waits for the messages of a read that are in a store alone; None: there are none.

    Raises:
        SessionNotFound: there is no such session.
    """
    match read:
        case GetMessages():
            return table.row(read.session_id).older(read.after_seq, read.limit)
        case GetSession() if read.messages:
            row = table.row(read.session_id)
            last_seq = row.session().last_seq
            return row.older(max(0, last_seq - read.messages), read.messages)
        case _:
            return None


def is_cut(read: object, result: object) -> bool:
    """Say whether messages are left out since they left the memory while they were looked for."""
    if isinstance(read, GetSession) and isinstance(result, Session):
        return len(result.messages) < min(read.messages, result.last_seq)
    return (
        isinstance(read, GetMessages)
        and isinstance(result, MessagePage)
        and not result.messages
        and read.limit > 0
        and max(read.after_seq, 0) < result.last_seq
    )


def _session(table: Table, read: GetSession, older: Older) -> Session:
    row = table.row(read.session_id)
    session = row.session()
    if not read.messages:
        return session
    # The log may be newer than the snapshot by now, but it only grows: cut it where that ends.
    # And newer than it was when the store was asked: those of then are too many at the beginning.
    after_seq = max(0, session.last_seq - read.messages)
    limit = session.last_seq - after_seq
    older = tuple(each for each in older if each.seq > after_seq)
    messages = joined(row.latest().log, older, after_seq=after_seq, limit=limit)
    return msgspec.structs.replace(session, messages=messages)


def _found(table: Table, read: FindSession) -> Session | None:
    if read.session_id is not None:
        row = table.get(read.session_id)
    elif read.agent_role is not None:
        row = table.with_role(read.agent_role, user_id=read.user_id)
    else:
        raise InvalidField("session_id", None, "Give session_id, or agent_role.")
    return None if row is None else row.session()
