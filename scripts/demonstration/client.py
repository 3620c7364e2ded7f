"""One client process: replays its share of the corpus, then compares another client's share."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from scripts.demonstration.comparing import compare, role_of
from scripts.demonstration.corpus import Conversation
from scripts.demonstration.door import Door, RefusedError
from scripts.demonstration.insisting import GIVE_UP_S, PAUSES_S, insist, leaves
from scripts.demonstration.plan import RESTARTS_OF_SESSION, SessionStrike
from scripts.demonstration.wire import NoAnswerError

T = TypeVar("T")

AT_ONCE: Final = 16
"""Conversations that one client has at the same time."""

QUARANTINED: Final = "session_quarantined"
SPAWN_ERROR: Final = "spawn_error"
ASLEEP: Final = "session_asleep"

TELL_EVERY_S: Final = 0.1
"""How often a client says how far it is."""

STRIKE_WITHIN_S: Final = 0.004
"""A crash comes at some moment of this time, while the message is on its way."""


class Dialogue(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation to be replayed.

    Args:
        conversation: what is said.
        strikes: when its session crashes.
        quarantined_at: before which message, from 0, its session is brought into quarantine and
            revived; None: it is not.
        prompt: what its session works under; None: nothing.
    """

    conversation: Conversation
    strikes: tuple[SessionStrike, ...] = ()
    quarantined_at: int | None = None
    prompt: str | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that has been acknowledged whole.

    Args:
        conversation: what was said.
        session_id: where.
        acknowledged: the numbers that its messages got.
        prompt: what its session works under.
    """

    conversation: Conversation
    session_id: str
    acknowledged: tuple[int, ...]
    prompt: str | None = None


class Replay(msgspec.Struct, frozen=True):
    """To a client: replay these."""

    dialogues: tuple[Dialogue, ...]


class Compare(msgspec.Struct, frozen=True):
    """To a client: compare these with what the daemon holds."""

    replayed: tuple[Replayed, ...]


Order: TypeAlias = Replay | Compare
"""What a client is told to do."""


class Progress(msgspec.Struct):
    """From a client: what has been done since it last said so.

    Args:
        sessions: conversations replayed, or compared.
        messages: messages acknowledged, or compared.
        struck: sessions that were made to crash.
    """

    sessions: int = 0
    messages: int = 0
    struck: int = 0


class Done(msgspec.Struct, kw_only=True):
    """From a client: an order is carried out.

    Args:
        replayed: what was acknowledged.
        struck: crashes of sessions, by their way.
        struck_sessions: how many sessions that was.
        revived: sessions that were quarantined, and revived.
        uncertain: crashes ordered of which it is not known whether they came.
        refusals: what the daemon answered instead of what was asked, by its code.
        wrong: what is not as it should be, a sentence each.
    """

    replayed: list[Replayed] = msgspec.field(default_factory=list[Replayed])
    struck: Counter[str] = msgspec.field(default_factory=Counter[str])
    struck_sessions: int = 0
    revived: int = 0
    uncertain: int = 0
    refusals: Counter[str] = msgspec.field(default_factory=Counter[str])
    wrong: list[str] = msgspec.field(default_factory=list[str])


def run_client(
    pipe: Connection[Any, Any], socket: Path, name: str, seed: int, lost_key: str | None
) -> None:
    """Carry out orders until there are no more. The main function of a process of its own.

    Args:
        pipe: where orders come from and reports go to.
        socket: the daemon's.
        name: the user in whose name it talks.
        seed: for the moments of crashes.
        lost_key: see `Door`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    asyncio.run(_serve(pipe, socket, name, seed, lost_key))


async def _serve(
    pipe: Connection[Any, Any], socket: Path, name: str, seed: int, lost_key: str | None
) -> None:
    async with Door(socket, lost_key=lost_key) as door:
        while True:
            try:
                order: Order = pipe.recv()
            except EOFError:
                return
            client = _Client(door, name, Random(seed))  # noqa: S311 -- it guards no secret
            async with client.telling(pipe):
                match order:
                    case Replay():
                        await client.each(order.dialogues, client.replay)
                    case Compare():
                        await client.each(order.replayed, client.compare)
            pipe.send(client.done)


class _Client:
    def __init__(self, door: Door, name: str, random: Random) -> None:
        self._door = door
        self._name = name
        self._random = random
        self._progress = Progress()
        self.done = Done()

    @asynccontextmanager
    async def telling(self, pipe: Connection[Any, Any]) -> AsyncGenerator[None]:
        """Say how far it is, again and again."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(TELL_EVERY_S)
                said, self._progress = self._progress, Progress()
                pipe.send(said)

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()
            pipe.send(self._progress)

    async def each(self, items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
        """Do something with each, several at once; what fails is reported, and the rest goes on."""
        left = iter(items)

        async def work() -> None:
            for item in left:
                try:
                    await act(item)
                except* (RefusedError, NoAnswerError) as group:  # a message and a crash at once
                    self.done.wrong += [f"{_name_of(item)}: {each}" for each in leaves(group)]

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    # -- replaying ---------------------------------------------------------

    async def replay(self, dialogue: Dialogue) -> None:
        """Say a conversation to a session of its own, while that crashes as planned."""
        conversation, door = dialogue.conversation, self._door
        # Its folder is made first: when its partition crashes meanwhile, nothing is left of it.
        session = await insist(
            lambda: door.create(key=conversation.name, user_id=self._name),
            self.done.refusals,
            passing=SPAWN_ERROR,
        )
        prompt = dialogue.prompt
        if prompt is not None:
            await self._insist(lambda: door.set_prompt(session.id, prompt))
        acknowledged: list[int] = []
        for index, content in enumerate(conversation.messages):

            def append(index: int = index, content: str = content) -> Awaitable[int]:
                return door.append(
                    session.id, role=role_of(index), content=content, key=conversation.key(index)
                )

            if index == dialogue.quarantined_at:
                await self._quarantine(session.id)
            async with asyncio.TaskGroup() as group:
                seq = group.create_task(self._insist(append))
                self._strike(group, session.id, dialogue, index)
            acknowledged.append(seq.result())
            self._progress.messages += 1
        async with asyncio.TaskGroup() as group:
            self._strike(group, session.id, dialogue, len(conversation.messages))
        self._progress.sessions += 1
        self.done.struck_sessions += bool(dialogue.strikes)
        self.done.replayed.append(
            Replayed(
                conversation=conversation,
                session_id=session.id,
                acknowledged=tuple(acknowledged),
                prompt=prompt,
            )
        )

    def _strike(
        self, group: asyncio.TaskGroup, session_id: str, dialogue: Dialogue, index: int
    ) -> None:
        spare = RESTARTS_OF_SESSION - len(dialogue.strikes)
        for strike in dialogue.strikes:
            if strike.index == index:
                group.create_task(self._strike_once(session_id, strike, spare))
                spare = 0

    async def _strike_once(self, session_id: str, strike: SessionStrike, spare: int) -> None:
        """Make the session crash: once for sure, and never more often than it may.

        Args:
            session_id: which session.
            strike: in which way.
            spare: how often an order whose outcome is unknown may be repeated.
        """
        await asyncio.sleep(self._random.random() * STRIKE_WITHIN_S)
        until_s = asyncio.get_running_loop().time() + GIVE_UP_S
        while True:
            try:
                await self._door.strike(session_id=session_id, how=strike.how)
            except (RefusedError, NoAnswerError) as error:
                problem = error.problem if isinstance(error, RefusedError) else None
                self.done.refusals[problem.code if problem else "no answer"] += 1
                if problem is None or not problem.is_outcome_known:
                    if not spare:
                        self.done.uncertain += 1
                        return
                    spare -= 1
                elif not problem.is_retryable:
                    raise
                if asyncio.get_running_loop().time() > until_s:
                    raise
            else:
                self.done.struck[strike.how] += 1
                self._progress.struck += 1
                return
            # It does not run just now: it restarts, or it sleeps because its partition died.
            await asyncio.sleep(PAUSES_S[2])
            await self._insist(lambda: self._door.touch(session_id))

    async def _quarantine(self, session_id: str) -> None:
        """Make the session crash until it is not started any more; then revive it."""
        until_s = asyncio.get_running_loop().time() + GIVE_UP_S
        while not await self._is_quarantined(session_id):
            if asyncio.get_running_loop().time() > until_s:
                self.done.wrong.append(f"session {session_id} was not quarantined, but crashes")
                return
            await asyncio.sleep(PAUSES_S[0])
        await self._insist(lambda: self._door.revive(session_id))
        self.done.revived += 1

    async def _is_quarantined(self, session_id: str) -> bool:
        try:
            await self._door.strike(session_id=session_id, how="kill")
        except NoAnswerError:
            self.done.refusals["no answer"] += 1
        except RefusedError as error:
            code = error.problem.code
            if code == QUARANTINED:
                return True
            self.done.refusals[code] += 1
            if code == ASLEEP:
                await self._insist(lambda: self._door.touch(session_id))
            elif not error.problem.is_retryable:
                raise
        return False

    # -- comparing ---------------------------------------------------------

    async def compare(self, replayed: Replayed) -> None:
        """Compare what was acknowledged with what the daemon holds."""
        log = await self._insist(lambda: self._door.messages(replayed.session_id))
        self.done.wrong += compare(replayed.conversation, replayed.acknowledged, log)
        if replayed.prompt is not None:
            # First it is woken, if it sleeps: what it was told must have outlasted that too.
            await self._insist(lambda: self._door.touch(replayed.session_id))
            prompt = await self._insist(lambda: self._door.prompt(replayed.session_id))
            if prompt != replayed.prompt:
                said = f"works under {prompt!r}, not under {replayed.prompt!r}"
                self.done.wrong.append(f"{replayed.conversation.name}: its session {said}")
        self._progress.sessions += 1
        self._progress.messages += len(log)

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        return await insist(act, self.done.refusals)


def _name_of(item: object) -> str:
    assert isinstance(item, Dialogue | Replayed)
    return item.conversation.name
