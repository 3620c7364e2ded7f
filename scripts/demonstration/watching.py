"""Does whoever reads along see all that happens, once and in order, whatever crashes meanwhile?

Where the daemon itself is killed, its next life tells from its own beginning: what was kept in the
moment of the death, and what came before somebody read along again, no event has told.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from scripts.demonstration.client import Replayed
from scripts.demonstration.daemon import POLL_S
from scripts.demonstration.wire import NoAnswerError, Wire

TARGET: Final = "/v1/events?events_max=100000"
"""All events of all sessions."""

CATCH_UP_S: Final = 30.0
"""Seconds until the last event must have come."""

LAST: Final = "terminated"
"""The kind of the last event of a session."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event, as far as is looked at.

    Args:
        session_id: whose.
        kind: what has happened.
        seq: its number among the session's.
        details: names and numbers.
    """

    session_id: str
    kind: str
    seq: int
    details: Mapping[str, object] = {}


class Watcher:
    """Reads along from now on, on the loop it is entered on; in the daemon's next life again.

        async with Watcher(socket) as watcher:
            ...

    Args:
        socket: the daemon's.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._begun = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._seen: defaultdict[str, list[list[Event]]] = defaultdict(list)
        self._lives = 0
        self._ended: str | None = None
        self.kinds: Counter[str] = Counter()
        """How many events of each kind have come."""
        self.unseen = 0
        """Messages of which no event has told: they were kept while the daemon was killed."""

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        await self._begun.wait()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait({self._reading})

    async def _read(self) -> None:
        while self._ended is None:
            try:
                wire = await Wire.open(self._socket)
            except NoAnswerError:  # it is being started again
                await asyncio.sleep(POLL_S)
                continue
            try:
                await self._read_along(wire)
            except NoAnswerError:
                pass
            finally:
                wire.close()
        self._begun.set()

    async def _read_along(self, wire: Wire) -> None:
        decode = msgspec.json.Decoder(Event).decode
        name, is_first = "", True
        async for line in wire.stream(TARGET):
            if is_first:
                is_first = False
                self._lives += 1
                self._begun.set()
            field, _, value = line.partition(b": ")
            if field == b"event":
                name = value.decode()
            elif field == b"data" and name in {"end", "problem"}:
                self._ended = value.decode()
            elif field == b"data":
                event = decode(value)
                lives = self._seen[event.session_id]
                lives += [[] for _ in range(self._lives - len(lives))]
                lives[-1].append(event)
                self.kinds[event.kind] += 1

    async def judge(self, replayed: Sequence[Replayed], *, deaths: int = 0) -> list[str]:
        """Wait for the last events; return what is not as it should be, a sentence each.

        Args:
            replayed: all conversations; their sessions have ended.
            deaths: how often the daemon was killed meanwhile.
        """
        until_s = asyncio.get_running_loop().time() + CATCH_UP_S
        names = {each.session_id: each.conversation.name for each in replayed}
        while not self._has_all(names) and asyncio.get_running_loop().time() < until_s:
            if self._ended is not None:
                return [f"whoever read along was left: {self._ended}"]
            await asyncio.sleep(POLL_S)
        wrong: list[str] = []
        if self._lives > 1 + deaths:
            wrong.append(f"whoever read along was cut off {self._lives - 1 - deaths} times")
        for each in replayed:
            lives = self._seen.get(each.session_id, [])
            wrong += judged(each, lives, deaths=deaths)
            self.unseen += len(each.acknowledged) - len(_told(lives))
        return wrong

    def _has_all(self, session_ids: Mapping[str, str]) -> bool:
        seen = self._seen
        return all(
            each in seen and seen[each][-1] and seen[each][-1][-1].kind == LAST
            for each in session_ids
        )


def judged(replayed: Replayed, lives: Sequence[Sequence[Event]], *, deaths: int = 0) -> list[str]:
    """Return what is wrong with the events of one conversation's session, a sentence each.

    Args:
        replayed: the conversation.
        lives: what each life of the daemon has told; each numbers them from 1.
        deaths: how often the daemon was killed. Only then may a message be unseen: none within
            what one life has told.
    """
    name = replayed.conversation.name
    wrong: list[str] = []
    for events in lives:
        numbers = [each.seq for each in events]
        # Clients may be back at a daemon that was killed before whoever reads along is.
        first = numbers[0] if deaths and numbers else 1
        if numbers != list(range(first, first + len(numbers))):
            place = next(at for at, seq in enumerate(numbers) if seq != first + at)
            wrong.append(
                f"{name}: in the place of its event {first + place} came the event {numbers[place]}"
            )
    if not lives or not lives[-1] or lives[-1][-1].kind != LAST:
        wrong.append(f"{name}: no event told of its end")
    acknowledged, told = list(replayed.acknowledged), _told(lives)
    if deaths:
        is_right = told == [seq for seq in acknowledged if seq in told] and all(
            _is_run(_told([events])) for events in lives
        )
    else:
        is_right = told == acknowledged
    if not is_right:
        wrong.append(
            f"{name}: its messages have the numbers {acknowledged}, and its events told of {told}"
        )
    return wrong


def _told(lives: Sequence[Sequence[Event]]) -> list[object]:
    """Return of which messages these events tell."""
    return [
        each.details.get("message_seq")
        for events in lives
        for each in events
        if each.kind == "message"
    ]


def _is_run(numbers: Sequence[Any]) -> bool:
    """Say whether nothing is missing between the first of these and the last."""
    return not numbers or list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
