"""The store as a keeper of transactions, and how one that acknowledges too early would be."""

from __future__ import annotations

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.database import Database
from callboard.actors.storage.records import MessageRecord, Write
from callboard.actors.storage.sqlite import JournalMode, SqliteStore
from callboard.actors.testing import MemoryDisk
from tests.storage.kit import BODY, head
from tests.storage.ledger import body, number_in, parts

PATH = "sessions.db"

ATTEMPTS = 20
"""How often a transaction is handed in again whose outcome is not known, as the journal does."""


class StoreKeeper:
    """Keeps transactions in a `SqliteStore`.

    Args:
        disk: where.
        journal_mode: of the store.
    """

    def __init__(self, disk: MemoryDisk, journal_mode: JournalMode = "wal") -> None:
        self.store = SqliteStore(PATH, disk=disk, journal_mode=journal_mode)
        self._disk = disk
        self._lasts = {each.id: each.head.last_seq for each in self.store.sessions()}

    def writer(self) -> Database:
        """Return the connection by which the store writes."""
        return self.store._connected()

    def write(self, number: int) -> None:
        """Keep transaction `number`; again where its outcome is not known."""
        writes = [
            self._write(number, session, self._lasts.get(session, 0), count, size)
            for session, (count, size) in parts(number).items()
        ]
        unknown: StoreOutcomeUnknown | None = None
        for _ in range(ATTEMPTS):
            try:
                assert self.store.write(writes) == {}
                break
            except StoreOutcomeUnknown as error:
                unknown = error
            except StoreError:
                # That nothing was kept is true of this attempt, and says nothing of an earlier one.
                if unknown is None:
                    raise
            if self._disk.is_sealed:
                raise unknown
        else:
            raise unknown or AssertionError
        for each in writes:
            assert each.head
            self._lasts[each.id] = each.head.last_seq

    def _write(self, number: int, session: str, last: int, count: int, size: int) -> Write:
        return Write(
            id=session,
            is_new=not last,
            head=head(last + count),
            body=None if last else BODY,
            after_seq=last,
            messages=tuple(
                MessageRecord(last + place, f"{number}/{place}", body(number, size))
                for place in range(1, count + 1)
            ),
        )

    def found(self) -> dict[str, list[int]]:
        """Return for each session the transaction of each message, in order."""
        store = self.store.reader()
        sound = self.store.look(lambda database: database.rows("PRAGMA integrity_check"))
        assert sound == [("ok",)], f"not sound: {sound}"
        found: dict[str, list[int]] = {}
        for each in store.sessions():
            kept = store.messages(each.id, after_seq=0, up_to_seq=1 << 40)
            assert [message.seq for message in kept] == list(range(1, each.head.last_seq + 1)), (
                f"half: {each.id} says {each.head.last_seq} and has {len(kept)}"
            )
            found[each.id] = [number_in(message.body) for message in kept]
        store.close()
        return found


class EarlyKeeper(StoreKeeper):
    """A mutant: it acknowledges what it is about to write, as soon as the next comes."""

    waiting: int | None = None

    def write(self, number: int) -> None:
        """Write the one before."""
        waiting, self.waiting = self.waiting, number
        if waiting is not None:
            super().write(waiting)
