"""What the tests of sessions with a durable store have in common."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import Role, SessionMessage, StoreError, StoreOutcomeUnknown
from callboard.actors.sessions.log import HERE_CHUNKS_MAX
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import InvalidSpec, handles
from tests.cast import Actor
from tests.sessions.stage import Stage, services_of

DISK_FULL = StoreError("the disk is full")


LOST = StoreOutcomeUnknown("the disk is gone")


LONG = HERE_CHUNKS_MAX * 32 + 100
"""Messages of a log that is too long to be here as a whole."""


class Recall(SessionMessage[int], frozen=True, kw_only=True):
    """Reply how many of the last messages can be read, and see that they are in order."""

    last: int


class RecallLater(Recall, frozen=True, kw_only=True):
    """The same in a coroutine."""


class SaveTwice(SessionMessage[tuple[int, int]], frozen=True, kw_only=True):
    """Append, commit, append; reply how many messages everybody sees after each."""


class SaveTwiceLater(SaveTwice, frozen=True, kw_only=True):
    """The same in a coroutine."""


class SaveBehindTheGate(SessionMessage[None], frozen=True, kw_only=True):
    """Append; when the gate is open, commit."""


class Elder(Actor):
    def _seen(self) -> int:
        return self._row.session().last_seq

    @handles(Recall)
    def on_recall(self, message: Recall) -> int:
        return _in_order([each.seq for each in self.messages(last=message.last)])

    @handles(RecallLater)
    async def on_recall_later(self, message: RecallLater) -> int:
        with pytest.raises(InvalidSpec, match="messages_async"):
            self.messages(last=message.last)
        found = await self.messages_async(last=message.last)
        return _in_order([each.seq for each in found])

    @handles(SaveTwice)
    def on_save_twice(self, message: SaveTwice) -> tuple[int, int]:
        del message
        self.append(Role.USER, "first")
        self.commit()
        seen = self._seen()
        self.append(Role.USER, "second")
        return seen, self._seen()

    @handles(SaveTwiceLater)
    async def on_save_twice_later(self, message: SaveTwiceLater) -> tuple[int, int]:
        del message
        self.append(Role.USER, "first")
        await self.commit_async()
        seen = self._seen()
        self.append(Role.USER, "second")
        return seen, self._seen()

    @handles(SaveBehindTheGate)
    async def on_save_behind_the_gate(self, message: SaveBehindTheGate) -> None:
        del message
        self.append(Role.USER, "behind the gate")
        await self.play.gate.passed()
        await self.commit_async()


def _in_order(seqs: list[int]) -> int:
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    return len(seqs)


def begin(stage: Stage, store: StoreInMemory, **options: Any) -> Any:
    kind: Any = type("Elder", (Elder,), {"play": stage.play})
    return stage.open(store=store, session=kind, **options)


def after(stage: Stage, store: StoreInMemory, **options: Any) -> Any:
    """Start the next system with what a process finds whose predecessor was killed just now."""
    kind: Any = type("Elder", (Elder,), {"play": stage.play})
    return stage.again(store=store.copy(), session=kind, **options)


def store_of(sessions: Any) -> StoreInMemory:
    storing: Any = services_of(sessions).storing
    store: StoreInMemory = storing.store
    return store
