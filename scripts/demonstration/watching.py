"""Does whoever reads along see all that happens, once and in order, whatever crashes meanwhile?"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

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
    """Reads along from now on, on the loop it is entered on.

        async with Watcher(socket) as watcher:
            ...

    Args:
        socket: the daemon's.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._begun = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._seen: defaultdict[str, list[Event]] = defaultdict(list)
        self._ended: str | None = None
        self.kinds: Counter[str] = Counter()
        """How many events of each kind have come."""

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
        decode = msgspec.json.Decoder(Event).decode
        wire = await Wire.open(self._socket)
        name = ""
        try:
            async for line in wire.stream(TARGET):
                self._begun.set()
                field, _, value = line.partition(b": ")
                if field == b"event":
                    name = value.decode()
                elif field == b"data" and name in {"end", "problem"}:
                    self._ended = value.decode()
                elif field == b"data":
                    event = decode(value)
                    self._seen[event.session_id].append(event)
                    self.kinds[event.kind] += 1
        except NoAnswerError as error:
            self._ended = str(error)
        finally:
            self._begun.set()
            wire.close()

    async def judge(self, replayed: Sequence[Replayed]) -> list[str]:
        """Wait for the last events; return what is not as it should be, a sentence each.

        Args:
            replayed: all conversations; their sessions have ended.
        """
        until_s = asyncio.get_running_loop().time() + CATCH_UP_S
        names = {each.session_id: each.conversation.name for each in replayed}
        while not self._has_all(names) and asyncio.get_running_loop().time() < until_s:
            if self._ended is not None:
                return [f"whoever read along was left: {self._ended}"]
            await asyncio.sleep(POLL_S)
        wrong: list[str] = []
        for each in replayed:
            wrong += judged(each, self._seen.get(each.session_id, []))
        return wrong

    def _has_all(self, session_ids: Mapping[str, str]) -> bool:
        seen = self._seen
        return all(each in seen and seen[each][-1].kind == LAST for each in session_ids)


def judged(replayed: Replayed, events: Sequence[Event]) -> list[str]:
    """Return what is wrong with the events of one conversation's session, a sentence each."""
    name = replayed.conversation.name
    wrong: list[str] = []
    numbers = [each.seq for each in events]
    if numbers != list(range(1, len(numbers) + 1)):
        place = next(at for at, seq in enumerate(numbers, start=1) if seq != at)
        wrong.append(
            f"{name}: in the place of its event {place} came the event {numbers[place - 1]}"
        )
    if not events or events[-1].kind != LAST:
        wrong.append(f"{name}: no event told of its end")
    told = [each.details.get("message_seq") for each in events if each.kind == "message"]
    if told != list(replayed.acknowledged):
        wrong.append(
            f"{name}: its messages have the numbers {list(replayed.acknowledged)}, and its events"
            f" told of {told}"
        )
    return wrong
