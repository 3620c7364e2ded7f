"""Does the daemon hold no more after the work than before?"""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic
from typing import Final

from scripts.demonstration.daemon import POLL_S, Daemon, Level
from scripts.demonstration.door import Door
from scripts.demonstration.insisting import insist

AT_ONCE: Final = 32
"""Requests at once before the daemon is measured: what it keeps for good is there then."""

MESSAGES: Final = 500
"""Messages of one more session: more than stay in memory where a store has them, so it is read."""

AT_REST_S: Final = 0.3
"""A daemon that holds the same after this many seconds is at rest."""

SETTLE_S: Final = 25.0
"""Seconds until the daemon must hold no more than before: idle workers take a second to go."""


async def warm_up(daemon: Daemon) -> Level:
    """Have a daemon do each kind of work, much of it at once; return what it holds then."""

    async def use(number: int) -> None:
        session = await door.create(key=f"warm-up {number}", user_id="warm-up")
        await door.append(session.id, role="user", content="hello", key=f"{number}")
        await door.messages(session.id)
        await door.is_healthy()
        await door.sessions()

    async with Door(daemon.socket) as door:
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(use(number))
        session = await door.create(key="warm-up", user_id="warm-up")
        for number in range(MESSAGES):
            await door.append(session.id, role="user", content="hello", key=f"{number}")
        await door.messages(session.id)
        await insist(door.end_all, Counter[str]())
    level = daemon.level()
    while True:
        await asyncio.sleep(AT_REST_S)
        before, level = level, daemon.level()
        if not before.leaked_since(level):
            return level


async def settled(daemon: Daemon, before: Level) -> Level:
    """Return what a daemon holds once it holds no more than before, or its time is up."""
    until_s = monotonic() + SETTLE_S
    while True:
        level = daemon.level()
        if not level.leaked_since(before) or monotonic() > until_s:
            return level
        await asyncio.sleep(POLL_S)


async def folders_left(daemon: Daemon) -> int:
    """Return how many folders of sessions are left; all sessions have ended.

    One that took longer to clean up after than its grace is removed before its folder is.
    """
    until_s = monotonic() + SETTLE_S
    while True:
        left = await asyncio.to_thread(daemon.workspaces)
        if not left or monotonic() > until_s:
            return left
        await asyncio.sleep(POLL_S)
