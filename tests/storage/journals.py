"""A journal, a disk that is a dict, and incarnations that hand in: what its tests are made of."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.chain import Handed
from callboard.actors.storage.commits import CommitOutcome, Entry
from callboard.actors.storage.journal import Journal, Part, StoredLedger
from callboard.actors.storage.kept import Kept
from callboard.actors.storage.records import Head, MessageRecord, Write

Words = tuple[str, ...]

DISK_FULL = StoreError("the disk is full")
LOST = StoreOutcomeUnknown("the disk is gone")


class Said(msgspec.Struct, frozen=True):
    """A session of the tests: what was said, and a title that seldom changes."""

    version: int = 0
    last_seq: int = 0
    title: str = "untitled"


class Coder:
    @staticmethod
    def messages(log: Words, after_seq: int) -> tuple[MessageRecord, ...]:
        return tuple(
            MessageRecord(number, None, word.encode())
            for number, word in enumerate(log, 1)
            if number > after_seq
        )

    @staticmethod
    def body(session: Said, before: Said | None) -> bytes | None:
        is_alike = before is not None and before.title == session.title
        return None if is_alike else session.title.encode()

    @staticmethod
    def head(session: Said, incarnation: int) -> Head:
        return Head("active", incarnation, session.version, session.last_seq, 0, 0.0)

    @staticmethod
    def has_come_to_be(session: Said) -> bool:
        return session.title != "unborn"

    @staticmethod
    def ended_at(session: Said) -> float | None:
        return 1.0 if session.title == "ended" else None


class Row(StoredLedger[Said, Words]):
    __slots__ = (
        "created",
        "id",
        "is_in_doubt",
        "is_stored",
        "leaves_key",
        "marks",
        "standing_to_keep",
    )

    def __init__(self, name: str, journal: Journal[Said, Words]) -> None:
        super().__init__(Said(), (), active_s=0.0)
        self.id = name
        self.marks = journal
        self.is_stored = self.is_in_doubt = self.leaves_key = False
        self.created = None
        self.standing_to_keep: bytes | None = None


class Disk:
    """What a store has kept, as it would be read."""

    def __init__(self) -> None:
        self.logs: dict[str, dict[int, bytes]] = {}
        self.heads: dict[str, Head] = {}
        self.bodies: dict[str, bytes] = {}
        self.standings: dict[str, bytes] = {}

    def write(self, write: Write) -> None:
        if write.is_new:
            self.logs.pop(write.id, None)
        if write.head is not None:
            log = self.logs.setdefault(write.id, {})
            for seq in [seq for seq in log if seq > write.after_seq]:
                del log[seq]
            log.update({each.seq: each.body for each in write.messages})
            self.heads[write.id] = write.head
        if write.body is not None:
            self.bodies[write.id] = write.body
        if write.standing is not None:
            self.standings[write.id] = write.standing

    def words(self, name: str) -> Words:
        log = self.logs.get(name, {})
        assert list(log) == list(range(1, len(log) + 1))
        return tuple(log[seq].decode() for seq in sorted(log))


class Incarnation:
    """One incarnation of one session, as far as the journal sees it."""

    def __init__(self, case: Case, row: Row, start: Kept[Said, Words]) -> None:
        self.case, self.row, self.base = case, row, start

    def hand_in(self, session: Said, log: Words, word: str) -> CommitOutcome:
        base = self.base
        version: Handed[Said, Words] = Handed(base.incarnation, session, log, 0.0, {})
        entry = Entry(self.row.id, self.row, base, version, (f"event {word}",))
        outcome = self.case.journal.commit(entry)
        if outcome is CommitOutcome.WAITING:
            self.base = version
            version.pending.when_settled(lambda error: self.case.told.append((word, error)))
        return outcome

    def say(self, word: str) -> CommitOutcome:
        said = self.base.session
        log = (*self.base.log, word)
        return self.hand_in(
            msgspec.structs.replace(said, version=said.version + 1, last_seq=len(log)), log, word
        )

    def call(self, title: str) -> CommitOutcome:
        said = self.base.session
        session = msgspec.structs.replace(said, version=said.version + 1, title=title)
        return self.hand_in(session, self.base.log, title)

    def go_back(self) -> None:
        tip = self.row.tip()
        if tip.incarnation == self.base.incarnation:
            self.base = tip


class Case:
    def __init__(self, *, batch_commits_max: int = 64, waiting_max: int = 1_000) -> None:
        self.told: list[tuple[str, StoreError | None]] = []
        self.events: list[object] = []
        self.refused = 0
        self.woken = 0
        self.disk = Disk()
        self.journal: Journal[Said, Words] = Journal(
            Coder(),
            self._wake,
            self.events.extend,
            self._refuse,
            waiting_max=waiting_max,
            batch_commits_max=batch_commits_max,
        )
        self.row = Row("s", self.journal)

    def _wake(self) -> None:
        self.woken += 1

    def _refuse(self, number: int) -> None:
        self.refused += number

    def begin(self, number: int, row: Row | None = None) -> Incarnation:
        row = self.row if row is None else row
        start = row.begin(number)
        assert start is not None
        return Incarnation(self, row, start)

    def write(self, failed: StoreError | Mapping[str, StoreError] | None = None) -> int:
        """Write one batch, as the writer does; return how many commits were in it."""
        parts = self.take()
        self.settle(parts, failed)
        return sum(len(part.handed) for part in parts)

    def take(self) -> list[Part[Said, Words]]:
        return list(self.journal.take())

    def settle(
        self,
        parts: list[Part[Said, Words]],
        failed: StoreError | Mapping[str, StoreError] | None = None,
    ) -> None:
        for part in parts:
            is_kept = failed is None or (
                isinstance(failed, Mapping) and part.write.id not in failed
            )
            if is_kept:
                self.disk.write(part.write)
        self.journal.settle(failed)

    @property
    def words(self) -> Words:
        return self.row.latest().log

    @property
    def acknowledged(self) -> list[str]:
        return [word for word, error in self.told if error is None]
