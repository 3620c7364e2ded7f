"""What does PostgreSQL do for the writes of a batch? Few statements, however many writes. Pure.

Each takes its rows as columns, one array for each: that costs a tenth of a statement a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from callboard.actors.storage.postgres_port import (
    BadValue,
    Blobs,
    Floats,
    Integers,
    Statement,
    Texts,
)
from callboard.actors.storage.purging import PurgePlan
from callboard.actors.storage.records import CreateRecord, Head, MessageRecord, Stored, Write

_FORGET_LOGS: Final = "DELETE FROM message WHERE session = ANY(%s)"

_FORGET: Final = "DELETE FROM session WHERE id = ANY(%s)"

_CREATE: Final = """
    INSERT INTO {table} (id, state, incarnation, version, last_seq, message_count,
        last_active_at, body, standing, created, ended_at)
    SELECT id, state, incarnation, version, last_seq, message_count,
        last_active_at, body, standing, created, ended_at
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::double precision[], %s::bytea[], %s::bytea[], %s::double precision[], %s::bytea[])
        WITH ORDINALITY AS new (id, state, incarnation, version, last_seq, message_count,
            last_active_at, body, standing, ended_at, created, place)
    ORDER BY new.place
"""

_CHANGE: Final = """
    WITH new AS MATERIALIZED (
        SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::double precision[], %s::bytea[], %s::bytea[],
            %s::double precision[], %s::bigint[])
            AS new (id, state, incarnation, version, last_seq, message_count, last_active_at,
                body, standing, ended_at, after_seq)
    ), cut AS (
        DELETE FROM message USING new
        WHERE message.session = new.id AND message.seq > new.after_seq
    )
    UPDATE session SET state = new.state, incarnation = new.incarnation, version = new.version,
        last_seq = new.last_seq, message_count = new.message_count,
        last_active_at = new.last_active_at, body = coalesce(new.body, session.body),
        standing = coalesce(new.standing, session.standing), ended_at = new.ended_at
    FROM new WHERE session.id = new.id
"""

_STAND: Final = """
    UPDATE session SET standing = coalesce(new.standing, session.standing),
        body = coalesce(new.body, session.body), ended_at = coalesce(new.ended_at, session.ended_at)
    FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::double precision[])
        AS new (id, standing, body, ended_at)
    WHERE session.id = new.id
"""

_SET_CREATED: Final = """
    UPDATE session SET created = new.created FROM unnest(%s::text[], %s::bytea[])
        AS new (id, created)
    WHERE session.id = new.id
"""

_APPEND: Final = """
    INSERT INTO message (session, seq, key, body)
    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[])
"""

ENDED: Final = """
    SELECT id, last_seq FROM session WHERE ended_at < %s ORDER BY ended_at, id LIMIT %s
"""

_SHORTEN: Final = "UPDATE session SET last_seq = %s, message_count = %s WHERE id = %s"

_FORGET_LAST: Final = "DELETE FROM message WHERE session = %s AND seq > %s"

MESSAGES: Final = """
    SELECT seq, key, body FROM message WHERE session = %s AND seq > %s AND seq <= %s ORDER BY seq
"""

KEYED: Final = """
    SELECT seq, key, body FROM message WHERE session = %s AND key IS NOT NULL AND seq <= %s
    ORDER BY seq DESC LIMIT %s
"""

HAS_ENDED: Final = "SELECT EXISTS (SELECT FROM session WHERE ended_at < %s)"

SIZE: Final = (
    "SELECT pg_total_relation_size('session'::regclass)"
    " + pg_total_relation_size('message'::regclass)"
)

SESSIONS: Final = """
    SELECT place, id, body, standing, created, ended_at, state, incarnation, version, last_seq,
        message_count, last_active_at
    FROM session WHERE ended_at IS NULL AND place > %s ORDER BY place LIMIT %s
"""

ENDED_WITH_KEY: Final = """
    SELECT place, id, body, standing, created, ended_at, state, incarnation, version, last_seq,
        message_count, last_active_at
    FROM session
    WHERE ended_at > %s AND (ended_at, place) < (%s, %s) AND created IS NOT NULL
    ORDER BY ended_at DESC, place DESC LIMIT %s
"""

HISTORY: Final = SESSIONS.replace("ended_at IS NULL AND ", "")


def changes(writes: Sequence[Write]) -> list[Statement]:
    """Return what does all writes, which are of different sessions.

    Raises:
        BadValue: one has no head and no body, and is the first of its session.
    """
    new = [each for each in writes if each.is_new]
    heads = [each for each in writes if each.head is not None and not each.is_new]
    standings = [each for each in writes if each.head is None and not each.is_new]
    keyed = [
        each for each in writes if (each.created is not None or each.leaves_key) and not each.is_new
    ]
    appended = [(write.id, each) for write in writes for each in write.messages]
    statements: list[Statement] = []
    if new:
        ids = Texts(each.id for each in new)
        statements += (
            Statement(_FORGET_LOGS, (ids,)),
            Statement(_FORGET, (ids,)),
            creating(new),
        )
    if heads:
        after = Integers(each.after_seq for each in heads)
        statements.append(Statement(_CHANGE, (*_columns(heads), after), len(heads)))
    if standings:
        columns = (
            Texts(each.id for each in standings),
            Blobs(each.standing for each in standings),
            Blobs(each.body for each in standings),
            Floats(each.ended_at for each in standings),
        )
        statements.append(Statement(_STAND, columns, len(standings)))
    if keyed:
        ids = Texts(each.id for each in keyed)
        statements.append(Statement(_SET_CREATED, (ids, _created(keyed)), len(keyed)))
    if appended:
        statements.append(appending(appended))
    return statements


def creating(new: Sequence[Write], *, table: str = "session") -> Statement:
    """Return what makes these sessions, which are not there.

    Raises:
        BadValue: one has no head.
    """
    sql = _CREATE.format(table=table)
    return Statement(sql, (*_columns(new), _created(new)), len(new))


def appending(messages: Sequence[tuple[str, MessageRecord]]) -> Statement:
    """Return what appends these messages, each to the log of a session."""
    log = (
        Texts(session_id for session_id, _ in messages),
        Integers(each.seq for _, each in messages),
        Texts(each.key for _, each in messages),
        Blobs(each.body for _, each in messages),
    )
    return Statement(_APPEND, log)


def _created(writes: Sequence[Write]) -> Blobs:
    return Blobs(
        None if each.created is None else msgspec.json.encode(each.created) for each in writes
    )


def _columns(writes: Sequence[Write]) -> tuple[Any, ...]:
    heads = [each.head for each in writes if each.head is not None]
    if len(heads) < len(writes):
        msg = "a first write with no head"
        raise BadValue(msg)
    return (
        Texts(each.id for each in writes),
        Texts(each.state for each in heads),
        Integers(each.incarnation for each in heads),
        Integers(each.version for each in heads),
        Integers(each.last_seq for each in heads),
        Integers(each.message_count for each in heads),
        Floats(each.last_active_at for each in heads),
        Blobs(each.body for each in writes),
        Blobs(each.standing for each in writes),
        Floats(each.ended_at for each in writes),
    )


def purging(plan: PurgePlan[str]) -> list[Statement]:
    """Return what deletes these sessions."""
    ids = Texts(plan.gone)
    statements = [Statement(_FORGET_LOGS, (ids,)), Statement(_FORGET, (ids,))]
    if plan.shortened is not None:
        session_id, left = plan.shortened.key, plan.shortened.left
        statements += (
            Statement(_FORGET_LAST, (session_id, left)),
            Statement(_SHORTEN, (left, left, session_id), 1),
        )
    return statements


def messages_of(rows: Iterable[tuple[Any, ...]]) -> tuple[MessageRecord, ...]:
    """Return the messages in rows of `MESSAGES` or `KEYED`."""
    return tuple(MessageRecord(*row) for row in rows)


def stored_of(row: tuple[Any, ...]) -> Stored:
    """Return the session in a row of `SESSIONS`."""
    _, session_id, body, standing, created, ended_at, *head = row
    record = None if created is None else msgspec.json.decode(created, type=CreateRecord)
    return Stored(session_id, Head(*head), body, standing, record, ended_at)
