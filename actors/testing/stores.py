"""A durable store without a disk: it outlives the systems that use it, not the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.purging import PURGE_MESSAGES_MAX, Purged, plan_purge
from callboard.actors.storage.records import Head, MessageRecord, Store, Stored, Write
from callboard.actors.testing.store_faults import (
    StoreDies,
    StoreForgets,
    StoreIsSlow,
    StoreRefuses,
)
from callboard.supervision.testing import Simulation

_NOTHING = Head("", 0, 0, 0, 0, 0.0)


class StoreInMemory:
    """A `Store` that a test may give to one system after the other, as a daemon gives its file.

        store = StoreInMemory()
        with SessionSystem(store=store) as before: ...
        with SessionSystem(store=store) as after: ...

    Args:
        simulation: the faults of its plan that are a store's strike this one; None: none does.
        purge_messages_max: messages that one purge deletes at most.
    """

    def __init__(
        self,
        simulation: Simulation | None = None,
        *,
        purge_messages_max: int = PURGE_MESSAGES_MAX,
    ) -> None:
        self._simulation = simulation
        self._purge_messages_max = purge_messages_max
        self._errors: list[StoreError] = []
        self.kept: dict[str, Stored] = {}
        """Session id -> what is kept of it."""
        self.logs: dict[str, dict[int, MessageRecord]] = {}
        """Session id -> its messages, by their numbers."""
        self.transactions = 0
        """Calls of `write`."""
        self.written = 0
        """Parts of sessions in them."""
        self.is_closed = False

    def refuse(self, *errors: StoreError) -> None:
        """Answer the next writes with these, one each."""
        self._errors += errors or (StoreError("the store refuses"),)

    def accept(self) -> None:
        """Refuse nothing more."""
        self._errors.clear()

    def copy(self) -> StoreInMemory:
        """Return a store with what is kept by now: what a process finds whose predecessor died."""
        image = StoreInMemory(purge_messages_max=self._purge_messages_max)
        image.kept = dict(self.kept)
        image.logs = {name: dict(log) for name, log in self.logs.items()}
        return image

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep these changes."""
        self.written += len(writes)
        self.transactions += 1
        is_lost = self._be_struck()
        if self._errors:
            raise self._errors.pop(0)
        for each in writes:
            self._write(each)
        if is_lost:
            msg = "a fault: the store is lost"
            raise StoreOutcomeUnknown(msg)
        return {}

    def _be_struck(self) -> bool:
        """Do what the faults of the simulation's plan say; return whether the answer is lost.

        Raises:
            StoreError: it refuses.
            StoreOutcomeUnknown: it is lost before it has kept anything.
        """
        simulation = self._simulation
        if simulation is None:
            return False
        slow = simulation.strikes(StoreIsSlow, of="store", on="write")
        if slow is not None:
            simulation.stall(slow.seconds)
        if simulation.strikes(StoreRefuses, of="store", on="write") is not None:
            msg = "a fault: the store refuses"
            raise StoreError(msg)
        if simulation.strikes(StoreForgets, of="store", on="write") is not None:
            msg = "a fault: the store is lost"
            raise StoreOutcomeUnknown(msg)
        return simulation.strikes(StoreDies, of="store", on="write") is not None

    def _write(self, write: Write) -> None:
        if write.is_new:
            self.kept.pop(write.id, None)
            self.logs.pop(write.id, None)
        before = self.kept.get(write.id) or Stored(write.id, _NOTHING, b"{}")
        log = self.logs.setdefault(write.id, {})
        if write.head is not None:
            for seq in [seq for seq in log if seq > write.after_seq]:
                del log[seq]
            log.update({each.seq: each for each in write.messages})
        self.kept[write.id] = msgspec.structs.replace(
            before,
            head=write.head or before.head,
            body=before.body if write.body is None else write.body,
            standing=before.standing if write.standing is None else write.standing,
            created=None if write.leaves_key else write.created or before.created,
            ended_at=write.ended_at if write.head is not None else before.ended_at,
        )

    def sessions(self) -> Iterator[Stored]:
        """Yield every session that has not ended."""
        yield from [each for each in self.kept.values() if each.ended_at is None]

    def ended_with_key(self, *, ended_after: float) -> Iterator[Stored]:
        """Yield every session with an idempotency key that ended after a time, the last first."""
        found = [
            (each.ended_at, number, each)
            for number, each in enumerate(self.kept.values())
            if each.created is not None
            and each.ended_at is not None
            and each.ended_at > ended_after
        ]
        yield from (each for *_, each in sorted(found, key=itemgetter(0, 1), reverse=True))

    def messages(
        self, session_id: str, *, after_seq: int, up_to_seq: int
    ) -> tuple[MessageRecord, ...]:
        """Return messages of a session."""
        log = self.logs.get(session_id, {})
        return tuple(log[seq] for seq in range(after_seq + 1, up_to_seq + 1) if seq in log)

    def keyed(self, session_id: str, *, up_to_seq: int, limit: int) -> tuple[MessageRecord, ...]:
        """Return the last messages that have a key."""
        log = self.logs.get(session_id, {})
        found = [each for seq, each in sorted(log.items()) if seq <= up_to_seq and each.key]
        return tuple(found[-limit:])

    def purge(self, *, ended_before: float, limit: int) -> Purged:
        """Delete sessions that ended before that time, as much at once as a store on a disk."""
        ended = sorted(
            (each.ended_at, each.id, each.head.last_seq)
            for each in self.kept.values()
            if each.ended_at is not None and each.ended_at < ended_before
        )
        plan = plan_purge(
            [(session_id, last_seq) for _, session_id, last_seq in ended[:limit]],
            limit=limit,
            messages_max=self._purge_messages_max,
        )
        for session_id in plan.gone:
            del self.kept[session_id]
            self.logs.pop(session_id, None)
        if plan.shortened is not None:
            session_id, left = plan.shortened.key, plan.shortened.left
            log, stored = self.logs[session_id], self.kept[session_id]
            for seq in [seq for seq in log if seq > left]:
                del log[seq]
            head = msgspec.structs.replace(stored.head, last_seq=left, message_count=left)
            self.kept[session_id] = msgspec.structs.replace(stored, head=head)
        return plan.purged

    def reader(self) -> Store:
        """Return a store that reads the same: this one."""
        return _Reader(self)

    def close(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


class _Reader(StoreInMemory):
    def __init__(self, store: StoreInMemory) -> None:
        super().__init__()
        self.kept, self.logs = store.kept, store.logs
