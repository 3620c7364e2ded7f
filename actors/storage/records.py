"""What does a durable store keep of a session? Plain records, and the port of every such store.

A store knows nothing of sessions: it keeps bytes by id and number. What they say is said by
`actors/sessions/coding.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import msgspec

from callboard.actors.errors import StoreError
from callboard.actors.storage.purging import Purged


class Head(msgspec.Struct, frozen=True, gc=False):
    """What changes with every commit: columns of their own, so that an append writes little.

    Args:
        state: where the session is in its life, as text.
        incarnation: whose commit it was.
        version: the snapshot's.
        last_seq: number of the last message of the log.
        message_count: how many messages there are.
        last_active_at: UTC, seconds since the epoch.
    """

    state: str
    incarnation: int
    version: int
    last_seq: int
    message_count: int
    last_active_at: float


class MessageRecord(msgspec.Struct, frozen=True, gc=False):
    """One message of a log.

    Args:
        seq: its number in the session.
        key: the sender's `client_msg_id`, or None.
        body: the rest of it, as JSON.
    """

    seq: int
    key: str | None
    body: bytes


class CreateRecord(msgspec.Struct, frozen=True):
    """Under which idempotency key a session was created.

    Args:
        org_id: the organisation that the key belongs to.
        user_id: the user.
        key: the key.
        digest: of the content of the create, by which a repeated one is known.
        used_at: when it was used first: UTC, seconds since the epoch.
    """

    org_id: str | None
    user_id: str | None
    key: str
    digest: bytes
    used_at: float


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction changes of one session: the sum of its commits in a batch.

    Args:
        id: which session.
        is_new: it is the first write of this session: whatever is kept under this id goes.
        head: what it is after the last of these commits; None: no commit, a standing alone.
        body: the rest of the snapshot, as JSON; None: as it was.
        after_seq: messages with a greater number are replaced.
        messages: those that follow that number, in order.
        standing: what is known of its incarnations, as JSON; None: as it was.
        created: its idempotency key, with the write by which it comes to be: the first one, unless
            something of it is spawned first. None: as it was.
        leaves_key: it has not come to be, though a write that said so was kept, or may have been:
            its idempotency key is left to the next create.
        ended_at: it is CLEANED since then (UTC): kept as history until it is purged. None: it
            lives.
    """

    id: str
    is_new: bool = False
    head: Head | None = None
    body: bytes | None = None
    after_seq: int = 0
    messages: tuple[MessageRecord, ...] = ()
    standing: bytes | None = None
    created: CreateRecord | None = None
    leaves_key: bool = False
    ended_at: float | None = None


class Stored(msgspec.Struct, frozen=True):
    """One session as it is kept, without its messages.

    Args:
        id: which.
        head: what changes with every commit.
        body: the rest of the snapshot, as JSON.
        standing: what is known of its incarnations, as JSON; None: nothing.
        created: its idempotency key, if it was created with one.
        ended_at: since when it is CLEANED; None: it lives.
    """

    id: str
    head: Head
    body: bytes
    standing: bytes | None = None
    created: CreateRecord | None = None
    ended_at: float | None = None


class StoreReader(Protocol):
    """Reads what a store keeps. One thread at a time; everything may block.

    A page is read at a time, each as it is then: nothing that is written waits for a reader.
    """

    def sessions(self) -> Iterator[Stored]:
        """Yield every session that has not ended, in the order of their creation."""
        ...

    def ended_with_key(self, *, ended_after: float) -> Iterator[Stored]:
        """Yield every session with an idempotency key that ended after a time, the last first."""
        ...

    def messages(
        self, session_id: str, *, after_seq: int, up_to_seq: int
    ) -> tuple[MessageRecord, ...]:
        """Return the messages with `after_seq < seq <= up_to_seq`, in order."""
        ...

    def keyed(self, session_id: str, *, up_to_seq: int, limit: int) -> tuple[MessageRecord, ...]:
        """Return the last `limit` messages that have a key, up to a number, in order."""
        ...

    def close(self) -> None:
        """Let go of files, connections and locks. Harmless when repeated."""
        ...


class Archive(StoreReader, Protocol):
    """A reader that sees all there is, for who looks after a store: `exporting`, `checking`."""

    def history(self) -> Iterator[Stored]:
        """Yield every session that is kept, ended ones too, in the order of their creation."""
        ...

    def unchanging(self) -> AbstractContextManager[None]:
        """Let all reads within see one moment, whatever is written meanwhile."""
        ...

    def flaws(self) -> Iterator[str]:
        """Say what is wrong with the store's own structure, as far as it can tell."""
        ...


class Arrivals(Protocol):
    """Sessions that come in from elsewhere, all of them or none: seen by nobody until the end.

    One import at a time, on the thread that writes. Each call is short, and one transaction.
    """

    def clear(self) -> bool:
        """Delete a part of what an earlier import has left that did not end; say if all is gone."""
        ...

    def take(
        self, sessions: Sequence[Stored], messages: Sequence[tuple[str, MessageRecord]]
    ) -> None:
        """Take in some sessions, and messages of these or earlier ones.

        Raises:
            DuplicateSession: there is one of this id; nothing of this call was taken.
            StoreError: nothing of this call was taken.
        """
        ...

    def publish(self) -> None:
        """Let all that was taken be there.

        Raises:
            DuplicateSession: there is one of this id meanwhile; all is as before.
            StoreError: all is as before, if its outcome is known.
        """
        ...

    def close(self) -> None:
        """Let go of what this has in hand. The import has ended, or nobody goes on with it."""
        ...


class Store(StoreReader, Protocol):
    """Where commits are kept for longer than the process. The port of every durable store.

    One thread at a time: the journal's writer calls `write` and `purge`, others read by what
    `reader` has made for them. Everything may block.
    """

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep these changes, at most one for each session, in one transaction.

        They are durable when it returns. Writing what has been written already, by an earlier
        attempt, changes nothing.

        Returns:
            Ids of sessions of which nothing was kept, with the cause: one that cannot be kept
            takes no other along. Empty: all was kept.

        Raises:
            StoreOutcomeUnknown: the store was lost while it committed.
            StoreError: nothing was kept.
        """
        ...

    def purge(self, *, ended_before: float, limit: int) -> Purged:
        """Delete up to `limit` sessions that ended before that time.

        What would take too long is done in part: it says whether there is more, and then is called
        again when others have had their turn.
        """
        ...

    def reader(self) -> StoreReader:
        """Return what reads the same, for another thread."""
        ...


@runtime_checkable
class Marked(Protocol):
    """A store that knows how its last owner left it."""

    @property
    def was_closed(self) -> bool:
        """Whether he closed it, or there was none: else his process was killed, or worse."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A store that can be asked whether it takes something, when nobody has anything to keep."""

    def probe(self) -> None:
        """Write something durably that changes nothing. On the thread that writes.

        Raises:
            StoreError: it takes nothing.
        """
        ...


@runtime_checkable
class Leased(Protocol):
    """A store that others can take over: whoever runs it says again and again that it lives.

    On the thread that writes. `open` is called before anything else, `renew` every
    `renew_every_s`.
    """

    @property
    def renew_every_s(self) -> float:
        """How often to call `renew`, in seconds."""
        ...

    def open(self) -> None:
        """Take the lease.

        Raises:
            StoreLocked: somebody else has it, and lives.
            StoreRefused: the store cannot be used as it is.
            StoreError: it cannot be reached.
        """
        ...

    def renew(self) -> None:
        """Say that the owner lives.

        Raises:
            StoreFenced: somebody else has taken the lease: nothing can be kept any more.
            StoreError: it cannot be reached; the next call may succeed.
        """
        ...
