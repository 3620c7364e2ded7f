"""What does the daemon do when the root of its tree has no restart left? It says so and ends."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Final

from scripts.demonstration.daemon import Daemon
from scripts.demonstration.door import Door, RefusedError
from scripts.demonstration.plan import RESTARTS_OF_SUPERVISOR, PartStrike
from scripts.demonstration.striking import strike_part
from scripts.demonstration.wire import NoAnswerError

EXIT_GAVE_UP: Final = 70
"""How the daemon tells a service manager that its root gave up."""

LAST_WORDS: Final = "FAILED: the root of the tree gave up"
"""What it says last."""

STRIKE: Final = PartStrike(at=0.0, part="front", how="kill")
"""What crashes once more often than the root bears."""


async def spend_the_budget(daemon: Daemon, wrong: list[str]) -> str:
    """Spend the root's budget of restarts; return what came of it, as a sentence.

    Args:
        daemon: fresh; it has ended afterwards.
        wrong: what is not as it should be is added here.
    """
    refusals: Counter[str] = Counter()
    async with Door(daemon.socket) as door:
        await daemon.wait_ready(door)
        for _ in range(RESTARTS_OF_SUPERVISOR):
            await strike_part(door, STRIKE, refusals)
        with suppress(RefusedError, NoAnswerError):  # it may be gone before it answers
            await door.strike(part=STRIKE.part, how=STRIKE.how)
        code = await daemon.wait_ended()
    said = daemon.last_lines()
    report = next((line for line in said.splitlines() if line.startswith(LAST_WORDS)), None)
    if code != EXIT_GAVE_UP:
        wrong.append(f"its root's budget spent, the daemon ended with {code}, not {EXIT_GAVE_UP}")
    if report is None:
        wrong.append(f"its root's budget spent, the daemon did not say so:\n{said}")
    crashes = RESTARTS_OF_SUPERVISOR + 1
    return (
        f"after {crashes} crashes of its front, with exit code {code}: 'start me again'"
        if code == EXIT_GAVE_UP and report is not None
        else f"after {crashes} crashes of its front, with the exit code {code}"
    )
