"""How may a store talk to PostgreSQL? The port, and what can go wrong: three things, no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import msgspec


class Lost(Exception):
    """The connection is lost, or there is none.

    Args:
        text: why, for people.
        is_stale: there was a connection: a new one may do better at once.
    """

    def __init__(self, text: str, *, is_stale: bool) -> None:
        super().__init__(text)
        self.is_stale = is_stale


class Refused(Exception):
    """The server does not do a statement. Its transaction is void.

    Args:
        text: why, for people.
    """


class Damaged(Refused):
    """It cannot: what it has is damaged."""


class BadValue(Refused):
    """It does not because of a value: other statements would have been done."""


class NotThere(BadValue):
    """A statement was about another number of rows than it must be."""


class Texts(tuple[str | None, ...]):
    """A column of texts, which goes to the server as one array."""

    __slots__ = ()


class Blobs(tuple[bytes | None, ...]):
    """A column of bytes."""

    __slots__ = ()


class Integers(tuple[int, ...]):
    """A column of integers of 64 bits."""

    __slots__ = ()


class Floats(tuple[float | None, ...]):
    """A column of floats."""

    __slots__ = ()


class Statement(msgspec.Struct, frozen=True):
    """What the server is to do.

    Args:
        sql: as text of this library's own, never put together from values.
        values: for its placeholders.
        count: how many rows it must be about; another number is `NotThere`. None: any.
    """

    sql: str
    values: tuple[Any, ...] = ()
    count: int | None = None


Rows: TypeAlias = "list[tuple[Any, ...]]"
"""What a statement gave."""


class Link(Protocol):
    """One connection, opened when it is told so; gone when it is lost or of no more use.

    One thread at a time. Every call ends in bounded time.
    """

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        ...

    def open(self) -> None:
        """Connect anew.

        Raises:
            Lost: the server cannot be reached, or does not let us in.
        """
        ...

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Do one statement and return its rows; see `together`."""
        ...

    def together(self, statements: Sequence[Statement]) -> list[Rows]:
        """Do statements in one round trip, and return the rows of each.

        Args:
            statements: a ROLLBACK stands alone.

        Raises:
            Lost: the connection is lost, and has been dropped.
            Refused: the server does not do one of them, and none behind it. The connection has
                been dropped.
            BadValue: so, for a value, or a statement was about another number of rows than it
                must be. The connection is there, in a transaction that can only be rolled back.
        """
        ...

    def commit(self) -> None:
        """End the transaction: what it did is durable.

        Raises:
            Lost: the connection is lost; nobody knows what became of it.
            Refused: it was undone.
        """
        ...

    def drop(self) -> None:
        """Close the connection: the server undoes what was not committed. Harmless when closed."""
        ...
