"""How is a PostgreSQL server reached? By psycopg, the one driver behind the port. Extra `postgres`.

The only module that imports it. No error that leaves this module says more than people may
read: no password, no values, and nothing of that in its chain.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.adapt import Dumper
from psycopg.pq import Format

from callboard.actors.storage.postgres_port import (
    BadValue,
    Blobs,
    Damaged,
    Floats,
    Integers,
    Lost,
    NotThere,
    Refused,
    Rows,
    Statement,
    Texts,
)

R = TypeVar("R")
_Cursor: TypeAlias = "psycopg.Cursor[tuple[Any, ...]]"

ANSWER_SLACK_S: Final = 5.0
"""How much longer than the server gives a statement we wait for its answer, in seconds.

A server that lives ends a statement itself. One that says nothing at all is lost: its
machine is off or frozen, or the way to it is broken.
"""

_HIDDEN: Final = "[secret]"

_OF_VALUES: Final = ("21", "22", "23", "54")
"""Classes of SQLSTATE that blame the values: cardinality, data, integrity, program limits."""

_OF_DAMAGE: Final = ("XX001", "XX002")
"""SQLSTATEs that say that a table's pages, or an index, are not what was written."""

_OF_CONNECTION: Final = ("08", "57P")
"""Classes of SQLSTATE with which a server ends a connection."""


class PsycopgLink:
    """One connection, opened when it is told so; gone when it is lost or of no more use.

    One thread at a time. Every call ends in bounded time: `connect_timeout_s` for each host
    of the DSN, else `statement_timeout_s` and `ANSWER_SLACK_S` for each statement.

    Args:
        dsn: where the server is, as libpq takes it.
        schema: where statements look for their tables.
        connect_timeout_s: in seconds, at least 2.
        statement_timeout_s: how long the server may work on a statement or wait for the
            next one of a transaction, in seconds.
    """

    def __init__(
        self, dsn: str, *, schema: str, connect_timeout_s: int, statement_timeout_s: float
    ) -> None:
        self._dsn = dsn
        self._hidden = tuple(filter(None, (_password_of(dsn),)))
        self._settings = {
            "search_path": f'"{schema}"',
            "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
            # A writer that was frozen must not lock the others out.
            "idle_in_transaction_session_timeout": f"{statement_timeout_s * 1000:.0f}",
            # Statistics of a table that was empty a minute ago would have it read as a whole.
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
        }
        self._connect_timeout_s = connect_timeout_s
        self._answer_s = statement_timeout_s + ANSWER_SLACK_S
        self._connection: _Connection | None = None

    def __repr__(self) -> str:
        return f"<PsycopgLink {'open' if self.is_open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    def open(self) -> None:
        """Connect.

        Raises:
            Lost: the server cannot be reached, or does not let us in.
        """
        self.drop()
        failure: Exception
        try:
            self._connection = _Connection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=self._connect_timeout_s,
                client_encoding="UTF8",
                fallback_application_name="callboard",
            )
        except (psycopg.Error, OSError) as error:
            failure = Lost(self._said(error), is_stale=False)
        else:
            self._connection.answer_s = self._answer_s
            for kind, dumper in _DUMPERS.items():
                self._connection.adapters.register_dumper(kind, dumper)
            settings = ", ".join("set_config(%s, %s, false)" for _ in self._settings)
            values = tuple(each for pair in self._settings.items() for each in pair)
            self.rows(f"SELECT {settings}", values)
            # Acknowledged means kept, however the server is configured for others.
            self.rows(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
            return
        raise failure  # out here: the chain would carry what nobody is to read

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Do one statement and return its rows.

        Raises:
            Lost: the connection is lost.
            Refused: the server does not do it.
        """
        return self.together([Statement(sql, tuple(values))])[0]

    def together(self, statements: Sequence[Statement]) -> list[Rows]:
        """Do statements in one round trip, and return the rows of each.

        Raises:
            Lost: the connection is lost.
            Refused: the server does not do one of them; none behind it was done.
            BadValue: so, for a value.
            NotThere: a statement was about another number of rows than it must be.
        """
        failure: Exception
        try:
            cursors = self._cursors(statements)
        except (psycopg.Error, UnicodeError, struct.error) as error:
            failure = self._failure(error)
        except BaseException:  # a kill too: half a word is none
            self.drop()  # in the middle of the protocol
            raise
        else:
            for each, cursor in zip(statements, cursors, strict=True):
                if each.count is not None and cursor.rowcount != each.count:
                    msg = f"{cursor.rowcount} rows where there should be {each.count}"
                    raise NotThere(msg)
            return [cursor.fetchall() if cursor.description else [] for cursor in cursors]
        raise failure

    def commit(self) -> None:
        """End the transaction: what it did is durable.

        Raises:
            Lost: the connection is lost; nobody knows what became of it.
            Refused: it was undone.
        """
        failure: Exception
        try:
            done = self._open().execute("COMMIT").statusmessage
            if done == "COMMIT":
                return
            failure = Refused(f"the server answered {done} to COMMIT")
        except psycopg.Error as error:
            failure = self._failure(error)
        except BaseException:  # a kill too: half a word is none
            self.drop()
            raise
        raise failure

    def drop(self) -> None:
        """Close the connection: the server undoes what was not committed. Harmless when closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> _Connection:
        if self._connection is None:
            msg = "the connection is closed"
            raise Lost(msg, is_stale=False)
        return self._connection

    def _cursors(self, statements: Sequence[Statement]) -> list[_Cursor]:
        connection = self._open()
        if len(statements) == 1:
            # Not only quicker: psycopg forgets what is prepared when it sees ROLLBACK, and in a
            # pipeline that would hit statements which were sent since.
            return [_cursor(connection, statements[0])]
        with connection.pipeline():
            return [_cursor(connection, each) for each in statements]

    def _failure(self, error: Exception) -> Lost | Refused:
        """Say what an error means; drop a connection that is of no more use."""
        state = getattr(error, "sqlstate", None) or ""
        connection = self._connection
        is_silent = connection is not None and connection.is_silent
        is_lost = connection is None or connection.closed or state.startswith(_OF_CONNECTION)
        if is_lost:
            self.drop()
            said = "the server does not answer" if is_silent else self._said(error)
            return Lost(said, is_stale=True)
        if state.startswith(_OF_VALUES) or not isinstance(error, psycopg.Error):
            return BadValue(_kind_of(error))
        if isinstance(error, psycopg.DataError):
            return BadValue(_kind_of(error))
        self.drop()  # full, read-only, too slow, not ours: whatever it is, begin anew next time
        return (Damaged if state in _OF_DAMAGE else Refused)(self._said(error))

    def _said(self, error: Exception) -> str:
        """Return what an error that is not about values says, without passwords."""
        primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        text = (primary or str(error) or type(error).__name__).strip().splitlines()[0]
        for each in self._hidden:
            text = text.replace(each, _HIDDEN)
        return f"{_kind_of(error)}: {text}"


def _cursor(connection: _Connection, statement: Statement) -> _Cursor:
    cursor = connection.cursor(binary=True)
    return cursor.execute(statement.sql.encode(), statement.values, prepare=True)


def is_dsn(dsn: str) -> bool:
    """Say whether libpq understands a DSN."""
    try:
        conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return False
    return True


def _password_of(dsn: str) -> str:
    return str(conninfo.conninfo_to_dict(dsn).get("password") or "")


def _kind_of(error: Exception) -> str:
    state = getattr(error, "sqlstate", None)
    name = type(error).__name__
    return f"{name} ({state})" if state else name


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose server must not be silent for ever."""

    answer_s: float = ANSWER_SLACK_S
    is_silent: bool = False

    def wait(
        self,
        gen: Generator[Any, Any, R],
        interval: float = 0.0,
        timeout: float | None = None,
    ) -> R:
        del interval, timeout
        return super().wait(self._impatient(gen), interval=self.answer_s)

    def _impatient(self, talk: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
        """Go on with a talk as long as the server says something in time."""
        try:
            wish = next(talk)
            while True:
                ready = yield wish
                if not ready:  # nothing has come, and nothing could be sent, for a whole interval
                    self.is_silent = True
                    self.close()  # else psycopg would wait for the end of its pipeline
                    msg = "the server does not answer"
                    raise psycopg.OperationalError(msg)
                wish = talk.send(ready)
        except StopIteration as done:
            value: R = done.value
            return value


_HEAD: Final = struct.Struct("!iiIii")
_LENGTH: Final = struct.Struct("!i")
_INTEGER: Final = struct.Struct("!iq")
_FLOAT: Final = struct.Struct("!id")
_NULL: Final = _LENGTH.pack(-1)


class _Column(Dumper):
    """Writes a column as PostgreSQL's binary array, always of the same type.

    psycopg's own choose the type by the values (int2, int4, int8), and so a statement is
    planned anew for other numbers.
    """

    format = Format.BINARY
    element: ClassVar[int]

    def dump(self, obj: Sequence[Any]) -> bytes:
        return _HEAD.pack(1, 1, self.element, len(obj), 1) + b"".join(self.items(obj))

    def items(self, obj: Sequence[Any]) -> Iterable[bytes]:
        for each in obj:
            if each is None:
                yield _NULL
            else:
                written = self.written(each)
                yield _LENGTH.pack(len(written))
                yield written

    def written(self, item: Any) -> bytes:
        return bytes(item)


class _Texts(_Column):
    oid, element = 1009, 25

    def written(self, item: Any) -> bytes:
        return str(item).encode()


class _Blobs(_Column):
    oid, element = 1001, 17


class _Integers(_Column):
    oid, element = 1016, 20

    def items(self, obj: Sequence[Any]) -> Iterable[bytes]:
        return (_INTEGER.pack(8, each) for each in obj)


class _Floats(_Column):
    oid, element = 1022, 701

    def items(self, obj: Sequence[Any]) -> Iterable[bytes]:
        return (_NULL if each is None else _FLOAT.pack(8, each) for each in obj)


_DUMPERS: Final[Mapping[type, type[_Column]]] = {
    Texts: _Texts,
    Blobs: _Blobs,
    Integers: _Integers,
    Floats: _Floats,
}
