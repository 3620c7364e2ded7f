"""How does a client get an answer from a daemon that crashes? It repeats, with the same key."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from scripts.demonstration.door import RefusedError
from scripts.demonstration.wire import NoAnswerError

T = TypeVar("T")

PAUSES_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""How long to wait before each repetition; from then on the last."""

GIVE_UP_S: Final = 60.0
"""Seconds after which nothing is repeated any more."""


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield what a group holds, however deep."""
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from leaves(each)
        else:
            yield each


async def insist(
    act: Callable[[], Awaitable[T]], refusals: Counter[str], *, passing: str | None = None
) -> T:
    """Do something that may be repeated until it is answered; count what came instead.

    A refusal that would come again is raised at once.

    Args:
        act: what to do.
        refusals: what came instead is counted here, by its code.
        passing: the code of one more refusal that passes.

    Raises:
        RefusedError: for good, or still after a minute.
        NoAnswerError: still none after a minute.
    """
    until_s = asyncio.get_running_loop().time() + GIVE_UP_S
    tries = 0
    while True:
        try:
            return await act()
        except RefusedError as error:
            problem = error.problem
            refusals[problem.code] += 1
            is_final = problem.is_outcome_known and not problem.is_retryable
            if is_final and problem.code != passing:
                raise
            if asyncio.get_running_loop().time() > until_s:
                raise
        except NoAnswerError:
            refusals["no answer"] += 1
            if asyncio.get_running_loop().time() > until_s:
                raise
        await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
        tries += 1
