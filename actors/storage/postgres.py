"""How are sessions kept in PostgreSQL? By one owner at a time, in a schema of their own."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from callboard.actors.errors import (
    StoreDamaged,
    StoreError,
    StoreFenced,
    StoreOutcomeUnknown,
    StoreRefused,
    StoreTooNew,
)
from callboard.actors.storage.postgres_lease import LEASE_S, LEASE_S_MAX, RENEW_EVERY_S, Lease
from callboard.actors.storage.postgres_port import (
    BadValue,
    Damaged,
    Link,
    Lost,
    NotThere,
    Refused,
    Rows,
    Statement,
)
from callboard.actors.storage.postgres_rows import (
    ENDED,
    ENDED_WITH_KEY,
    HAS_ENDED,
    HISTORY,
    KEYED,
    MESSAGES,
    SESSIONS,
    SIZE,
    changes,
    messages_of,
    purging,
    stored_of,
)
from callboard.actors.storage.postgres_tables import make, upgrade
from callboard.actors.storage.purging import Purged, plan_purge
from callboard.actors.storage.records import MessageRecord, Stored, Write
from callboard.supervision.model.errors import CallboardError, InvalidSpec
from callboard.supervision.model.showing import shown

R = TypeVar("R")

SCHEMA: Final = "callboard"
"""The schema that the tables are in, unless another one is named."""

CONNECT_TIMEOUT_S: Final = 5
"""How long to wait for a connection, in whole seconds: for each host of the DSN."""

STATEMENT_TIMEOUT_S: Final = 10.0
"""How long the server may work on one statement, waits for locks included, in seconds."""

OPERATOR_TIMEOUT_S: Final = 600.0
"""How long the server may work on one statement of an operator's, and wait for the next one of its
transaction, in seconds: a check reads whole tables, an export waits for who reads it."""

SESSIONS_AT_ONCE: Final = 1000
"""How many sessions are read at once."""

DAMAGED_THERE: Final = "Restore the database from a backup, or see what its own tools can read."
"""What to do about what is damaged on a server."""

_TIMEOUT_S_MAX: Final = 600

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class PostgresExtraMissing(CallboardError, ImportError):
    """The package `psycopg` is not installed."""

    code = "postgres_extra_missing"
    remedy: str = "Install it: pip install callboard[postgres]."


class PostgresReader:
    """Reads what is kept. One thread at a time.

    Args:
        new_link: makes a connection that is not open yet.
    """

    def __init__(self, new_link: Callable[[], Link]) -> None:
        self._new_link = new_link
        self._link = new_link()
        self._is_closed = False

    def sessions(self) -> Iterator[Stored]:
        """Yield every session that has not ended, in the order of their creation.

        `SESSIONS_AT_ONCE` are read together.
        """
        return self._each(SESSIONS)

    def history(self) -> Iterator[Stored]:
        """Yield every session that is kept, ended ones too, in the order of their creation."""
        return self._each(HISTORY)

    def _each(self, sql: str) -> Iterator[Stored]:
        place = 0
        while rows := self._read(sql, (place, SESSIONS_AT_ONCE)):
            yield from map(stored_of, rows)
            place = rows[-1][0]

    def ended_with_key(self, *, ended_after: float) -> Iterator[Stored]:
        """Yield every session with an idempotency key that ended after a time, the last first."""
        place: tuple[float, int] = (math.inf, 0)
        while rows := self._read(ENDED_WITH_KEY, (ended_after, *place, SESSIONS_AT_ONCE)):
            found = [stored_of(row) for row in rows]
            yield from found
            place = found[-1].ended_at or 0.0, rows[-1][0]

    def messages(
        self, session_id: str, *, after_seq: int, up_to_seq: int
    ) -> tuple[MessageRecord, ...]:
        """Return the messages with `after_seq < seq <= up_to_seq`, in order."""
        return messages_of(self._read(MESSAGES, (session_id, after_seq, up_to_seq)))

    def keyed(self, session_id: str, *, up_to_seq: int, limit: int) -> tuple[MessageRecord, ...]:
        """Return the last `limit` messages that have a key, up to a number, in order."""
        return messages_of(reversed(self._read(KEYED, (session_id, up_to_seq, limit))))

    def reader(self) -> PostgresReader:
        """Return another that reads the same, for another thread, over a connection of its own."""
        return PostgresReader(self._new_link)

    def close(self) -> None:
        """Close the connection. Harmless when repeated."""
        self._is_closed = True
        self._link.drop()

    def _ready(self) -> Link:
        """Return a connection that is open as far as is known.

        Raises:
            StoreError: the store is closed.
            Lost: the server cannot be reached.
        """
        if self._is_closed:
            msg = "the store is closed"
            raise StoreError(msg)
        if not self._link.is_open:
            self._link.open()
        return self._link

    def _read(self, sql: str, values: tuple[Any, ...]) -> Rows:
        try:
            return _twice(lambda: self._ready().rows(sql, values))
        except (Lost, Refused) as failure:
            said = told_of(failure)
        raise said


class PostgresStore(PostgresReader):
    """Keeps sessions in PostgreSQL: what `SessionSystem(store=...)` takes.

    It owns a schema. Making one connects nowhere; `open`, or what is asked of it first, does,
    makes or upgrades the tables and takes the lease. A second live owner is refused. An owner
    that was killed is followed when its lease has run out, after `lease_s`; one that was closed,
    at once. An owner whose lease has been taken is fenced for good: whatever it still writes is
    refused.

    There is no pool: the writer has one connection, each reader one. A connection that turns out
    to be lost is replaced once within a call, which is the check that a pool would make before
    every one. What is written is what is to be, not how to get there, so a repetition is harmless.

    The server must keep what it says it has committed (`fsync` on, as it is by default);
    `synchronous_commit` is turned on if it is off.

    One thread at a time. A call takes no longer than twice `connect_timeout_s` for each host and
    `statement_timeout_s` for each statement, of which a write has ten; the first one also waits
    for another's lease to run out.

    Args:
        dsn: where the server is, as libpq takes it: `host=... dbname=...` or
            `postgresql://...`. A password in it is never shown; better it stands where libpq
            looks for it by itself: `passfile`, `PGPASSFILE`, a service file.
        schema: where the tables are: lower-case letters, digits and `_`. Systems that share a
            database have one each. It is made if it is not there and the role may do so.
        lease_s: how long a lease lasts after it was renewed, in seconds, from 1 to
            `LEASE_S_MAX`.
        renew_every_s: how often whoever runs the store has to call `renew`, in seconds; at most
            half of `lease_s`.
        connect_timeout_s: how long to wait for a connection, in whole seconds, from 2 on.
        statement_timeout_s: how long the server may work on one statement, waits for locks
            included, and wait for the next one of a transaction, in seconds.

    Raises:
        PostgresExtraMissing: `psycopg` is not installed.
        InvalidSpec: an argument cannot be; a wrong DSN is not shown.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = SCHEMA,
        lease_s: float = LEASE_S,
        renew_every_s: float = RENEW_EVERY_S,
        connect_timeout_s: int = CONNECT_TIMEOUT_S,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> None:
        try:
            from callboard.actors.storage.postgres_link import PsycopgLink, is_dsn  # noqa: PLC0415 -- an extra: only who wants it has it
        except ImportError as error:
            msg = "the package psycopg is missing"
            raise PostgresExtraMissing(msg) from error
        if not is_dsn(dsn):
            raise InvalidSpec("dsn", "(not shown)", "Give what libpq takes: host=... dbname=...")
        if not _NAME.fullmatch(schema):
            remedy = "Give 1 to 63 lower-case letters, digits and _; no digit first."
            raise InvalidSpec("schema", schema, remedy)
        _check("lease_s", lease_s, 1.0, LEASE_S_MAX)
        _check("renew_every_s", renew_every_s, 0.1, lease_s / 2)
        _check("connect_timeout_s", connect_timeout_s, 2, _TIMEOUT_S_MAX)
        _check("statement_timeout_s", statement_timeout_s, 0.1, _TIMEOUT_S_MAX)

        def new_link(timeout_s: float = statement_timeout_s) -> Link:
            return PsycopgLink(
                dsn,
                schema=schema,
                connect_timeout_s=connect_timeout_s,
                statement_timeout_s=timeout_s,
            )

        super().__init__(new_link)
        self.renew_every_s: Final = renew_every_s
        self.patient_link: Final = partial(new_link, OPERATOR_TIMEOUT_S)
        """Makes a connection for the work of an operator, which is not open yet."""
        self.schema: Final = schema
        """Where the tables are."""
        self._lease = Lease(
            schema,
            pid=os.getpid(),
            host=os.uname().nodename,
            lease_s=lease_s,
            renew_every_s=renew_every_s,
        )
        self._is_fenced = False
        self._because: StoreRefused | None = None
        # A COMMIT has gone out and no answer has come: until something is known to be kept.
        self._is_unsettled = False

    def __repr__(self) -> str:
        return f"<PostgresStore schema={self.schema}>"

    def open(self) -> None:
        """Connect, make the tables, take the lease, upgrade older tables. Harmless when repeated.

        An upgrade may take `OPERATOR_TIMEOUT_S` for each of its statements.

        Raises:
            StoreLocked: another owner lives; nothing of his was touched.
            StoreTooNew: the tables are those of a newer version.
            StoreRefused: they are somebody else's.
            StoreFenced: somebody else has taken the lease since, or a newer version has changed
                the tables.
            StoreError: the server cannot be reached, or does not let us.
        """
        self._done(self._ready)

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep these changes in one transaction, durably when it returns.

        Returns:
            Ids of sessions of which nothing was kept, with the cause.

        Raises:
            StoreFenced: somebody else has the lease; nothing can be kept any more.
            StoreRefused: as from `open`, which was not called before.
            StoreOutcomeUnknown: the connection was lost while this was committed, or what was
                written before, and it is not known yet; the one that finds then that somebody
                else has the lease says this too. Those that follow say `StoreFenced`.
            StoreError: nothing was kept.
        """
        if self._is_fenced:  # so nothing goes out: that is known
            raise self._fenced()
        try:
            if self._done(lambda: self._is_written(writes)):
                return {}
            return self._done(lambda: self._write_one_by_one(writes))
        except StoreFenced as fence:
            if not self._is_unsettled:
                raise
            said = f"the connection was lost while this was committed; and {fence}"
        error = StoreOutcomeUnknown(said)
        error.remedy = "Stop this system, and read the session in the one that has the store now."
        raise error

    def purge(self, *, ended_before: float, limit: int) -> Purged:
        """Delete up to `limit` sessions that ended before that time.

        At most `PURGE_MESSAGES_MAX` messages go at once: of a session with more only its last
        ones, and it is counted by the call that deletes the rest.
        """

        def purged() -> Purged:
            link = self._ready()
            (ended,) = self._held(link, [Statement(ENDED, (ended_before, limit))])
            plan = plan_purge(
                [(session_id, last_seq) for session_id, last_seq in ended], limit=limit
            )
            link.together(purging(plan))
            link.commit()
            return plan.purged

        return self._done(purged)

    def has_ended(self, before: float) -> bool:
        """Say whether a session is kept that ended before that time."""
        return bool(self._read(HAS_ENDED, (before,))[0][0])

    def size_bytes(self) -> int:
        """Return how large the tables are, with their indexes."""
        return int(self._read(SIZE, ())[0][0])

    def hold(self) -> Statement:
        """Return what keeps the right to write until the end of a transaction, elsewhere too.

        It gives no row when somebody else has the lease.
        """
        return self._lease.hold()

    def renew(self) -> None:
        """Renew the lease: to be called every `renew_every_s` at the least.

        A write renews it too when it is due; it is a store at rest that depends on this.

        Raises:
            StoreFenced: somebody else has it; nothing can be kept any more.
            StoreError: the server cannot be reached. The lease may run out, which has no effect
                until somebody else takes it.
        """

        def renew() -> None:
            link = self._ready()
            self._held(link, [self._lease.renewal()])
            link.commit()

        self._done(renew)

    def probe(self) -> None:
        """Write something durably that changes nothing: that the owner lives.

        Raises:
            StoreError: it takes nothing.
        """
        self.renew()

    def close(self) -> None:
        """Give the lease back, and close the connection. Harmless when repeated."""
        if self._link.is_open and not self._is_fenced:
            with suppress(Lost, Refused):
                self._link.together([self._lease.release()])
        super().close()

    def _ready(self) -> Link:
        if self._is_fenced:
            raise self._fenced()
        if not self._link.is_open:
            link = super()._ready()
            try:
                self._claim(link)
            except BaseException as error:  # whatever it is: half claimed is not open
                self._note_fence(error)
                link.drop()
                raise
        return super()._ready()

    def _claim(self, link: Link) -> None:
        """Have the lease, and the tables that we know: a newer library's, only as its owner."""
        was_ours, schema, lease = self._lease.was_ours, self.schema, self._lease
        if not was_ours:
            make(link, schema)
        lease.claim(link)
        try:
            upgrade(link, schema, lease=lease, new_link=self.patient_link)
        except StoreRefused as refused:
            if not was_ours:
                raise
            if isinstance(refused, StoreTooNew):  # as only another owner makes them
                raise StoreFenced(schema, because=refused) from refused
            raise Refused(str(refused)) from refused  # an operator may be at work: later again

    def _fenced(self) -> StoreFenced:
        return StoreFenced(self.schema, because=self._because)

    def _note_fence(self, error: BaseException) -> None:
        if isinstance(error, StoreFenced):
            self._is_fenced, self._because = True, error.because

    def _is_written(self, writes: Sequence[Write]) -> bool:
        """Keep all writes at once; False when one of them cannot be kept: then nothing was."""
        link = self._ready()
        try:
            self._held(link, changes(writes))
        except BadValue:
            link.rows("ROLLBACK")
            return False
        self._commit(link)
        return True

    def _write_one_by_one(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Find out which cannot be kept, and keep the others."""
        link = self._ready()
        self._held(link, [])
        causes: dict[str, StoreError] = {}
        for each in writes:
            link.rows("SAVEPOINT one")
            try:
                link.together(changes([each]))
            except BadValue as bad:
                link.rows("ROLLBACK TO one")
                causes[each.id] = _cause(each.id, bad)
            link.rows("RELEASE one")
        self._commit(link)
        return causes

    def _held(self, link: Link, statements: Sequence[Statement]) -> list[Rows]:
        """Begin a transaction, hold the lease in it, and do what it is for: in one round trip."""
        _, held, *rows = link.together([Statement("BEGIN"), self._lease.hold(), *statements])
        try:
            is_due = self._lease.is_due(held)
        except StoreFenced as fence:
            self._note_fence(fence)
            link.drop()
            raise
        if is_due:
            link.together([self._lease.renewal()])
        return rows

    def _commit(self, link: Link) -> None:
        before, self._is_unsettled = self._is_unsettled, True
        try:
            link.commit()
        except Refused:
            self._is_unsettled = before
            raise
        self._is_unsettled = False

    def _done(self, work: Callable[[], R]) -> R:
        """Do something, if need be twice, and say in the errors of a store that it failed."""
        try:
            return _twice(work)
        except (Lost, Refused) as failure:
            said = told_of(failure)
            self._link.drop()
        except BaseException:  # a kill too: half a transaction is none
            # Whoever killed us in the middle of a transaction: what follows is another one.
            self._link.drop()
            raise
        raise StoreOutcomeUnknown(str(said)) if self._is_unsettled else said


def _twice(work: Callable[[], R]) -> R:
    """Do something; once more when the connection that it had turned out to be lost."""
    try:
        return work()
    except Lost as lost:
        if not lost.is_stale:
            raise
    return work()


def told_of(failure: Lost | Refused) -> StoreError:
    """Return the error of callers for what kept the server from doing something.

    Raised where no exception of the driver is at hand: the chain would carry what nobody is to
    read.
    """
    if not isinstance(failure, Damaged):
        return StoreError(str(failure))
    damage = StoreDamaged(f"the server's own files are damaged: {failure}")
    damage.remedy = DAMAGED_THERE
    return damage


def _cause(session_id: str, bad: BadValue) -> StoreError:
    """Return the error of one session, when the others were kept."""
    if isinstance(bad, NotThere):
        said = StoreError(f"the store has no session {shown(session_id)}")
        said.remedy = "Create the session again; look who else has changed the store's tables."
        return said
    said = StoreError(f"session {shown(session_id)} cannot be kept: {bad}")
    said.remedy = "Send less at once, and text that is valid Unicode without NUL."
    return said


def _check(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidSpec(field, value, f"Give a number from {low} to {high}, in seconds.")
