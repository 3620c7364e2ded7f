"""A process that appends to many sessions of a durable store until it is killed.

    python -m tests.sessions.appending STORE [hasty | CALLS] < what_was_acknowledged.json

It first sees that everything acknowledged is there, once and in order, and that nothing else is but
the one append of each session whose answer was lost. Then it says `ready`, and `NAME NUMBER` for
every append that is acknowledged. The n-th message of a session has the key and the text `n`.
A hasty one has a store that answers before it has kept anything; one with a number of CALLS kills
itself after so many calls of functions, counted from its start on, on whatever thread that is.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Role,
    SessionNotFound,
    SessionSystem,
    StoreError,
)
from callboard.actors.storage.records import Write
from callboard.actors.storage.sqlite import SqliteStore

UNKEPT = 8
"""Writes that a hasty store has answered and not kept."""

LOOKED_AT = 40
"""Messages at the end of each log that are looked at; the last process looks at all."""


def say(line: str) -> None:
    """Say a line, at once and whole: what stands in a buffer dies with the process."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def check(
    sessions: SessionSystem, acknowledged: Mapping[str, int], *, looked_at: int | None = LOOKED_AT
) -> None:
    """See that the sessions hold what was acknowledged.

    Args:
        sessions: started.
        acknowledged: by the session's name, how many messages.
        looked_at: how many messages of each; None: all.
    """
    for name, known in acknowledged.items():
        try:
            last = sessions.get(name).last_seq
        except SessionNotFound:
            assert known == 0, f"{name} is gone, with {known} messages"
            continue
        assert known <= last <= known + 1, f"{name}: {known} were acknowledged, {last} are there"
        first = 0 if looked_at is None else max(0, last - looked_at)
        while first < last:
            page = sessions.messages(name, after_seq=first)
            found = [(each.seq, each.client_msg_id, each.content) for each in page]
            wanted = range(first + 1, first + len(page) + 1)
            assert found == [(n, str(n), str(n)) for n in wanted], f"{name}: {found}"
            first = wanted[-1]


async def append(sessions: SessionSystem, name: str, number: int) -> None:
    """Go on where the last process was killed: with the append whose answer may be lost."""
    await sessions.ask_async(CreateSession(session_id=name, user_id="u", idempotency_key=name))
    while True:
        number += 1
        text = str(number)
        seq = await sessions.ask_async(
            AppendMessage(name, Role.USER, text, client_msg_id=text), timeout=60.0
        )
        assert seq == number, f"{name}: message {number} has the number {seq}"
        say(f"{name} {number}")


class Hasty(SqliteStore):
    """A store that answers at once, and keeps it some writes later."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._unkept = deque[Sequence[Write]]()

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep what came before the last few."""
        self._unkept.append(writes)
        return super().write(self._unkept.popleft()) if len(self._unkept) > UNKEPT else {}


def die_after(calls: int) -> None:
    """Kill this process, as by kill -9, when so many functions have been called or left."""
    numbers = count(1)

    def look(*_: object) -> None:
        if next(numbers) >= calls:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(look)
    sys.setprofile(look)


async def main(store: Path | Hasty) -> None:
    """Do it all, until somebody ends it."""
    acknowledged: dict[str, int] = json.load(sys.stdin)
    with SessionSystem(store=store, on_event=lambda _: None) as sessions:
        check(sessions, acknowledged)
        say("ready")
        async with asyncio.TaskGroup() as group:
            for name, number in acknowledged.items():
                group.create_task(append(sessions, name, number))


if __name__ == "__main__":
    path, how = Path(sys.argv[1]), "".join(sys.argv[2:])
    if how.isdecimal():
        die_after(int(how))
    asyncio.run(main(Hasty(path) if how == "hasty" else path))
