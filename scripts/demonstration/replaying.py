"""One daemon, the whole corpus, all the crashes: replayed, compared, judged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from time import monotonic
from typing import Final, TypeVar

from scripts.demonstration.client import Compare, Dialogue, Replay, Replayed
from scripts.demonstration.corpus import Conversation
from scripts.demonstration.crew import Crew
from scripts.demonstration.daemon import Daemon
from scripts.demonstration.door import Door, Session
from scripts.demonstration.insisting import insist
from scripts.demonstration.leaking import folders_left, settled, warm_up
from scripts.demonstration.options import Options
from scripts.demonstration.plan import (
    DEATHS,
    DEATHS_QUICK,
    RESTARTS_OF_SUPERVISOR,
    Plan,
    make_plan,
)
from scripts.demonstration.showing import Figures, Ticker
from scripts.demonstration.striking import outline_of, strike_all
from scripts.demonstration.watching import Watcher

T = TypeVar("T")

PROMPTED: Final = 5
"""One session of so many works under a prompt."""

SESSIONS_STRUCK_LEAST: Final = 300
"""So many sessions of the whole corpus crash at least."""


class Run:
    """A run against one daemon.

    Args:
        daemon: fresh; it has ended afterwards.
        options: what was asked for.
        corpus: what is replayed.
        ticker: shows how far it is.
    """

    def __init__(
        self,
        daemon: Daemon,
        *,
        options: Options,
        corpus: Sequence[Conversation],
        ticker: Ticker,
    ) -> None:
        self._daemon = daemon
        self._options = options
        self._corpus = corpus
        self._ticker = ticker
        self.figures = Figures()
        self.wrong: list[str] = []

    async def carry_out(self) -> None:
        """Do it all. What is not as it should be stands in `wrong` afterwards."""
        daemon, figures = self._daemon, self.figures
        async with Door(daemon.socket) as door:
            await daemon.wait_ready(door)
            plan = make_plan(
                seed=self._options.seed,
                lengths=[len(each.messages) for each in self._corpus],
                outline=outline_of(await door.tree()),
                deaths=self._deaths(),
            )
        self._say(plan)
        figures.before = before = await warm_up(daemon)
        async with Door(daemon.socket) as door, Watcher(daemon.socket) as watcher:
            with self._crew() as crew:
                replayed = await self._replay(crew, door, plan)
                await self._compare(crew, replayed)
            await self._compare_sessions(door, replayed)
            await self._end_sessions(door)
            self.wrong += await watcher.judge(replayed, deaths=len(plan.deaths))
            figures.events, figures.unseen = watcher.kinds, watcher.unseen
            figures.recovered = daemon.recovered()
        self._judge(plan)
        figures.after = await settled(daemon, before)
        self.wrong += figures.after.leaked_since(before)
        daemon.terminate()
        code = await daemon.wait_ended()
        if code:
            self.wrong.append(f"on SIGTERM the daemon ended with {code}:\n{daemon.last_lines()}")

    def _deaths(self) -> int:
        """Return how often the daemon is to be killed: not at all if nothing outlives it."""
        if not self._daemon.keeper.is_durable:
            return 0
        return DEATHS_QUICK if self._options.is_quick else DEATHS

    def _crew(self) -> Crew:
        options = self._options
        lost_key = None
        if options.is_sabotaged:
            random = Random(options.seed)  # noqa: S311 -- it guards no secret
            conversation = random.choice(self._corpus)
            lost_key = conversation.key(random.randrange(len(conversation.messages)))
        return Crew(self._daemon.socket, size=options.clients, seed=options.seed, lost_key=lost_key)

    def _say(self, plan: Plan) -> None:
        struck = sum(map(len, plan.sessions.values()))
        spent = ", ".join(f"{which} {count}" for which, count in sorted(plan.spent().items()))
        say = self._ticker.say
        say(f"\nTo crash on purpose, planned from seed {self._options.seed}")
        say(f"sessions       {len(plan.sessions)} of them, {struck} crashes in all")
        say(f"               {len(plan.quarantined)} more until they are quarantined; then revived")
        say(f"the tree       {len(plan.parts)} crashes of its supervisors, manager and janitor")
        say(
            f"restarts       each supervisor bears {RESTARTS_OF_SUPERVISOR} in 60 s; needed will"
            f" be: {spent}"
        )
        if plan.deaths:
            say(
                f"the daemon     {len(plan.deaths)} times as a whole, with kill -9; started again"
                f" with the same store ({self._daemon.keeper.name})"
            )
        if self._options.is_sabotaged:
            say("sabotage       one acknowledged message gets lost: the verdict must name it")

    # -- replaying ---------------------------------------------------------

    async def _replay(self, crew: Crew, door: Door, plan: Plan) -> list[Replayed]:
        figures, ticker = self.figures, self._ticker
        dialogues = [
            Dialogue(
                conversation=conversation,
                strikes=plan.sessions.get(place, ()),
                quarantined_at=plan.quarantined.get(place),
                prompt=None if place % PROMPTED else f"Answer in {conversation.language}.",
            )
            for place, conversation in enumerate(self._corpus)
        ]
        orders = [Replay(share) for share in _dealt(dialogues, self._options.clients)]
        await crew.wait_ready()
        ticker.begin("replaying")
        begun_s = monotonic()
        async with asyncio.TaskGroup() as group:
            clients = group.create_task(crew.carry_out(orders, ticker.add))
            group.create_task(
                strike_all(
                    door,
                    plan.blows,
                    daemon=self._daemon,
                    # Should a conversation fail, the rest of the crashes come at the end.
                    progress=lambda: 1.0 if clients.done() else ticker.fraction,
                    healed=ticker.healed,
                    refusals=figures.refusals,
                )
            )
            figures.done = await clients
            figures.replay_s = monotonic() - begun_s
        figures.healed = tuple(ticker.healed)
        replayed = [each for done in figures.done for each in done.replayed]
        figures.sessions = len(replayed)
        figures.messages = sum(len(each.acknowledged) for each in replayed)
        self.wrong += [sentence for each in figures.done for sentence in each.wrong]
        return replayed

    # -- comparing ---------------------------------------------------------

    async def _compare(self, crew: Crew, replayed: Sequence[Replayed]) -> None:
        """Have each client compare what another one sent."""
        self._ticker.begin("comparing")
        begun_s = monotonic()
        first, *others = _dealt(replayed, self._options.clients)
        orders = [Compare(share) for share in (*others, first)]
        done = await crew.carry_out(orders, self._ticker.add)
        self.figures.compare_s = monotonic() - begun_s
        self.wrong += [sentence for each in done for sentence in each.wrong]

    async def _compare_sessions(self, door: Door, replayed: Sequence[Replayed]) -> None:
        """See that there are the sessions that were acknowledged, and no others."""
        held = {each.id: each for each in await insist(door.sessions, self.figures.refusals)}
        names = {each.session_id: each.conversation.name for each in replayed}
        wrong = self.wrong
        if len(names) != len(replayed):
            wrong.append(f"{len(replayed)} conversations have {len(names)} sessions")
        wrong += [f"{names[each]}: session {each} is gone" for each in names if each not in held]
        wrong += [f"session {each} was never acknowledged" for each in held if each not in names]
        wrong += [
            f"{names.get(each.id)}: session {each.id} is quarantined"
            for each in held.values()
            if each.presence == "quarantined"
        ]
        present = await asyncio.to_thread(_present, held.values())
        if present != len(held):
            wrong.append(f"of {len(held)} sessions {present} have a folder of their own")
        self.figures.folders = present
        self.figures.prompts = sum(each.prompt is not None for each in replayed)
        self.figures.restarts = sum(each.restarts for each in held.values())

    async def _end_sessions(self, door: Door) -> None:
        refusals = self.figures.refusals
        ended = await insist(door.end_all, refusals)
        left = len(await insist(door.sessions, refusals))
        if left:
            self.wrong.append(f"of {ended + left} sessions {left} did not end")
        if folders := await folders_left(self._daemon):
            self.wrong.append(f"{folders} folders are left of sessions that have ended")
        if not await insist(door.is_healthy, refusals):
            self.wrong.append("at the end not every part of the tree runs")

    # -- judging -----------------------------------------------------------

    def _judge(self, plan: Plan) -> None:
        """See that everything came as planned: a crash that did not come proves nothing."""
        figures = self.figures
        if len(figures.healed) != len(plan.blows):
            self.wrong.append(
                f"of {len(plan.blows)} crashes of parts and deaths {len(figures.healed)} came"
            )
        planned = sum(map(len, plan.sessions.values()))
        came = figures.struck.total()
        if came + figures.uncertain < planned:
            self.wrong.append(f"of {planned} crashes of sessions {came} came")
        revived = sum(done.revived for done in figures.done)
        if revived != len(plan.quarantined):
            self.wrong.append(
                f"of {len(plan.quarantined)} sessions in quarantine {revived} came back"
            )
        for kind in ("asleep", "awake", "quarantined"):
            if not figures.events[kind]:
                self.wrong.append(f"no session was {kind}, as far as its events tell")
        certain = figures.struck_sessions - figures.uncertain
        if not self._options.is_quick and certain < SESSIONS_STRUCK_LEAST:
            self.wrong.append(f"only {certain} sessions crashed")


def _dealt(items: Sequence[T], hands: int) -> list[tuple[T, ...]]:
    return [tuple(items[hand::hands]) for hand in range(hands)]


def _present(sessions: Iterable[Session]) -> int:
    """Return how many of the sessions have a folder."""
    folders = [each.workspace for each in sessions if each.workspace is not None]
    return sum(Path(each).is_dir() for each in folders)
