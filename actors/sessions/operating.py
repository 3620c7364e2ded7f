"""How is the store of a running system looked after? Beside its sessions, a step at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from callboard.actors.errors import StoreBusy, StoreNotOperable
from callboard.actors.sessions.inspecting import Inspector
from callboard.actors.sessions.internal import Adopt, AdoptionOver
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.store_writer import WorkOn, WorkOver
from callboard.actors.sessions.storing import Storing
from callboard.actors.storage.compacting import Compacted
from callboard.actors.storage.importing import Imported, importing
from callboard.actors.storage.operable import (
    Operable,
    archive_of,
    arrivals_of,
    compaction_of,
    salvage_of,
)
from callboard.actors.storage.records import Archive, Stored
from callboard.actors.storage.salvaging import SqliteSalvage

R = TypeVar("R")

STEP_S: Final = 60.0
"""Seconds that one step of a work may wait for the writer, who may be at a commit."""

ADOPTED_AT_ONCE: Final = 100
"""Imported sessions that the manager is told of at once."""


class StoreOperator:
    """Looks after the store of a running system. On any event loop.

    What is read is read over connections of one's own, on a thread of the caller's. What is
    written is written by the writer, in short steps between what sessions commit.

    Args:
        services: what the system lends.

    Raises:
        StoreNotOperable: there is no store, or one of the host's own making.
    """

    def __init__(self, services: Services) -> None:
        storing = services.storing
        if storing is None:
            msg = "the sessions of this system live in memory"
            raise StoreNotOperable(msg)
        if not isinstance(storing.store, Operable):
            msg = f"{type(storing.store).__name__} is not looked after by callboard"
            raise StoreNotOperable(msg)
        self._services = services
        self._storing: Storing = storing
        self._store = storing.store

    @property
    def ended_keep_s(self) -> float:
        """How long sessions are kept that have ended, in seconds."""
        return self._services.keeping.ended_keep_s

    def archive(self) -> Archive:
        """Return a reader for `checking` or `exported`; close it."""
        return archive_of(self._store)

    def salvage(self) -> SqliteSalvage:
        """Return a reader for `salvaged`, of a file that is damaged; close it.

        Raises:
            StoreNotOperable: the sessions are on a server.
        """
        return salvage_of(self._store)

    def decoder(self) -> Inspector:
        """Return what says whether something that is kept can be read, however large it is."""
        return Inspector(self._storing.coder, None)

    def inspector(self) -> Inspector:
        """Return what says whether something that is kept is a session of this system."""
        return Inspector(self._storing.coder, self._services.limits)

    async def take_in(self, lines: Iterable[bytes]) -> Imported:
        """Import sessions, all of them or none; when this returns they are there, and sleep.

        Args:
            lines: what an export has written. Read on the writer's thread, so nothing that may
                take long.

        Raises:
            ImportRefused: a line is not right, or names a session that is there.
            StoreBusy: an import or a compaction is under way.
            StoreError: the store cannot take it.
        """
        services = self._services
        inspector = Inspector(self._storing.coder, services.limits, services.table.__contains__)
        imported = await self._work(self._taken_in(lines, inspector))
        await services.manager.ask_async(AdoptionOver())
        return imported

    async def compact(self, *, ended_longer_than_s: float) -> Compacted:
        """Delete what ended longer ago than that, and give free room back to the disk.

        Raises:
            StoreBusy: an import or a compaction is under way.
            StoreError: the store cannot be changed; what was done so far stays done.
        """
        before = self._services.system.clock.wall_s() - ended_longer_than_s
        return await self._work(compaction_of(self._store, ended_before=before))

    def _taken_in(
        self, lines: Iterable[bytes], inspector: Inspector
    ) -> Generator[None, None, Imported]:
        imported = yield from importing(arrivals_of(self._store), lines, inspector)
        # Of those that live, and no others: what is read here may have ended meanwhile.
        found = (each for each in self._store.sessions() if each.id in inspector.seen)
        for some in _batched(found, ADOPTED_AT_ONCE):
            self._services.announce(Adopt(some))
            yield
        return imported

    async def _work(self, steps: Generator[None, None, R]) -> R:
        """Have the writer do all steps, one after the other.

        Raises:
            StoreBusy: it is at another such work.
        """
        working, writer = self._storing.working, self._storing.writer
        if working.setdefault("work", steps) is not steps:
            msg = "another import or compaction of the store is under way"
            raise StoreBusy(msg)
        try:
            while True:
                is_over, done = await writer.ask_async(WorkOn(steps), timeout=STEP_S)
                if is_over:
                    result: R = done
                    return result
        finally:
            # By the writer: a step may be under way there that nobody waits for any more.
            writer.notify(WorkOver(steps))


def _batched(found: Iterator[Stored], size: int) -> Iterator[tuple[Stored, ...]]:
    while some := tuple(islice(found, size)):
        yield some
