"""How do the parts of the tree crash, one after the other, and how fast do they heal?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

import msgspec

from scripts.demonstration.daemon import POLL_S
from scripts.demonstration.door import Door, Node, RefusedError
from scripts.demonstration.insisting import PAUSES_S, insist
from scripts.demonstration.plan import Outline, PartStrike
from scripts.demonstration.wire import NoAnswerError

HEAL_S: Final = 20.0
"""Seconds until a part must run again."""


class NotHealedError(Exception):
    """A part of the tree did not come back."""


class Healed(msgspec.Struct, frozen=True, kw_only=True):
    """A part that crashed and runs again.

    Args:
        strike: what was ordered.
        took_s: seconds from the order until it was seen to run.
    """

    strike: PartStrike
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


async def strike_parts(
    door: Door,
    strikes: tuple[PartStrike, ...],
    *,
    progress: Callable[[], float],
    healed: list[Healed],
    refusals: Counter[str],
) -> None:
    """Make parts of the tree crash when it is their time, and see each come back.

    Args:
        door: to the daemon.
        strikes: in the order of their time.
        progress: says how far the replay is, from 0 to 1.
        healed: what came back is added here.
        refusals: what the daemon answered instead is counted here.

    Raises:
        NotHealedError: a part did not come back.
    """
    for strike in strikes:
        while progress() < strike.at:  # noqa: ASYNC110 -- nobody says when: clients are counted
            await asyncio.sleep(POLL_S)
        healed.append(await strike_part(door, strike, refusals))


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
            return Healed(strike=strike, took_s=perf_counter() - begun_s)
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
