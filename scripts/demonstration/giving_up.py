"""What does the daemon do when the root of its tree has no restart left? It says so and ends.

Whoever started it starts it again: where its store outlives it, every conversation is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from scripts.demonstration.client import Compare, Dialogue, Order, Replay, Replayed
from scripts.demonstration.corpus import Conversation
from scripts.demonstration.crew import Crew
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


async def give_up_and_return(
    daemon: Daemon, corpus: Sequence[Conversation], wrong: list[str]
) -> list[str]:
    """Have conversations, spend the root's budget, start again; return what came, as sentences.

    Args:
        daemon: fresh; it has ended afterwards.
        corpus: the conversations. A daemon whose store does not outlive it has none.
        wrong: what is not as it should be is added here.
    """
    if not daemon.keeper.is_durable:
        return [await spend_the_budget(daemon, wrong)]
    async with Door(daemon.socket) as door:
        await daemon.wait_ready(door)
        with Crew(daemon.socket, size=1, seed=0) as crew:

            async def done(order: Order) -> list[Replayed]:
                (report,) = await crew.carry_out([order], lambda _: None)
                wrong.extend(report.wrong)
                return report.replayed

            replayed = await done(Replay(tuple(Dialogue(conversation=each) for each in corpus)))
            said = await spend_the_budget(daemon, wrong)
            daemon.start()
            await daemon.wait_ready(door)
            await done(Compare(tuple(replayed)))
        held = {each.id for each in await door.sessions()}
    wrong += [
        f"{each.conversation.name}: session {each.session_id} is gone, its root having given up"
        for each in replayed
        if each.session_id not in held
    ]
    daemon.terminate()
    if code := await daemon.wait_ended():
        wrong.append(f"on SIGTERM the daemon ended with {code}:\n{daemon.last_lines()}")
    messages = sum(len(each.messages) for each in corpus)
    return [said, f"started again, with all {len(held):,} conversations, {messages:,} messages"]


async def spend_the_budget(daemon: Daemon, wrong: list[str]) -> str:
    """Spend the root's budget of restarts; return what came of it, as a sentence.

    Args:
        daemon: none of its parts has crashed yet; it has ended afterwards.
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
