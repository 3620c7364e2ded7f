"""How do the tree's parts crash, and the whole daemon, and how fast do they heal?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

import msgspec

from scripts.demonstration.daemon import POLL_S, Daemon
from scripts.demonstration.door import Door, Node, RefusedError
from scripts.demonstration.insisting import PAUSES_S, insist
from scripts.demonstration.plan import Death, Outline, PartStrike
from scripts.demonstration.wire import NoAnswerError

HEAL_S: Final = 20.0
"""Seconds until a part must run again."""


class NotHealedError(Exception):
    """A part of the tree did not come back."""


class Healed(msgspec.Struct, frozen=True, kw_only=True):
    """What crashed and runs again: a part, or the whole daemon.

    Args:
        blow: what was ordered.
        took_s: seconds from the order until it was seen to run.
    """

    blow: PartStrike | Death
    took_s: float


def nodes_of(tree: Node) -> Iterator[tuple[str, Node]]:
    """Return every actor of a tree but the root, by its path below the root."""
    for child in tree.children:
        yield child.path.partition("/")[2], child
        yield from ((path, node) for path, node in nodes_of(child))


def outline_of(tree: Node) -> Outline:
    """Return the parts of a tree that can crash. The tree has no sessions yet."""
    parts = dict(nodes_of(tree))
    partitions = tuple(path for path in parts if path.startswith("sessions/"))
    manager = next(path for path in parts if path.endswith("/manager"))
    others = tuple(path for path in parts if path not in {*partitions, manager})
    return Outline(partitions=partitions, manager=manager, others=others)


async def strike_all(
    door: Door,
    blows: tuple[PartStrike | Death, ...],
    *,
    daemon: Daemon,
    progress: Callable[[], float],
    healed: list[Healed],
    refusals: Counter[str],
) -> None:
    """Make parts of the tree crash, and the daemon, when it is their time; see each come back.

    Args:
        door: to the daemon.
        blows: in the order of their time.
        daemon: who is killed.
        progress: says how far the replay is, from 0 to 1.
        healed: what came back is added here.
        refusals: what the daemon answered instead is counted here.

    Raises:
        NotHealedError: a part did not come back.
        DaemonError: the daemon did not come back.
    """
    for blow in blows:
        while progress() < blow.at:  # noqa: ASYNC110 -- nobody says when: clients are counted
            await asyncio.sleep(POLL_S)
        if isinstance(blow, Death):
            healed.append(await kill_daemon(daemon, door, blow))
        else:
            healed.append(await strike_part(door, blow, refusals))


async def kill_daemon(daemon: Daemon, door: Door, death: Death) -> Healed:
    """Kill the whole daemon, start it again with the same store, and wait until it serves.

    Raises:
        DaemonError: it did not come back.
    """
    begun_s = perf_counter()
    daemon.kill()
    daemon.start()
    await daemon.wait_ready(door)
    return Healed(blow=death, took_s=perf_counter() - begun_s)


async def strike_part(door: Door, strike: PartStrike, refusals: Counter[str]) -> Healed:
    """Make one part crash, and wait until it runs again.

    Raises:
        NotHealedError: it does not come back.
    """
    before = await _incarnation(door, strike.part, refusals)
    begun_s = perf_counter()
    is_ordered = False
    while perf_counter() < begun_s + HEAL_S:
        if not is_ordered:
            is_ordered = await _order(door, strike, refusals)
        after = await _incarnation(door, strike.part, refusals)
        if after is not None and after != before:
            return Healed(blow=strike, took_s=perf_counter() - begun_s)
        await asyncio.sleep(POLL_S)
    msg = f"{strike.part} has not come back within {HEAL_S:g} s after a crash by {strike.how}"
    raise NotHealedError(msg)


async def _order(door: Door, strike: PartStrike, refusals: Counter[str]) -> bool:
    """Order a crash; say whether it may have come. One too many could spend a budget."""
    try:
        await door.strike(part=strike.part, how=strike.how)
    except RefusedError as error:
        refusals[error.problem.code] += 1
        if not error.problem.is_outcome_known:
            return True
        if not error.problem.is_retryable:
            raise
        await asyncio.sleep(PAUSES_S[2])
        return False
    except NoAnswerError:
        refusals["no answer"] += 1
    return True


async def _incarnation(door: Door, part: str, refusals: Counter[str]) -> int | None:
    """Return which of its lives a part is in; None while it does not run."""
    node = dict(nodes_of(await insist(door.tree, refusals))).get(part)
    return node.incarnation if node is not None and node.state == "running" else None
