"""Clients that talk to sessions while these are struck, all of it written down."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from callboard.actors import (
    AppendMessage,
    CreateSession,
    GetMessages,
    GetSession,
    PassivateSession,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionActor,
    SessionPatch,
    SessionSystem,
    StoreError,
    StoreOutcomeUnknown,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.sessions.naming import WRITER, partition_name
from callboard.actors.sessions.storing import UNKNOWN_TRIES
from callboard.actors.storage.records import Write
from callboard.actors.testing import FakeStore
from callboard.actors.testing.history import History
from callboard.actors.testing.moments import Moments
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import CallboardError, Request, handles
from callboard.supervision.testing import Simulation
from tests.laws import services_of

SHARED: Final = "shared"
"""A session whose id all clients know, and which all of them create."""

STEPS: Final = 12
"""What each client does."""

STRIKES: Final = 15
"""How often something may be struck: the tree bears more."""

FAULTS: Final = (
    "kill",
    "fall of the manager",
    "fall of a partition",
    "sleep",
    "refusal",
    "loss",
    "end",
)

DURABLE_FAULTS: Final = (*FAULTS, "fall of the writer")


class Talk:
    """One client.

    Args:
        name: whose.
        history: where it is written down.
        chance: decides what it asks.
    """

    def __init__(self, name: str, history: History, chance: random.Random) -> None:
        self.name = name
        self._history = history
        self._chance = chance
        self._asked: list[Request[Any]] = []
        self._versions: dict[str, int] = {}
        self.ids = [SHARED]

    def ask(self, message: Request[Any]) -> Any:
        """Ask; return the reply, or None."""
        self._asked.append(message)
        timeout = 0.001 if self._chance.random() < 0.05 else 60.0
        try:
            return self._history.ask(message, by=self.name, timeout=timeout)
        except CallboardError:
            return None

    def create(self) -> None:
        """Create the shared session, and one of its own."""
        self.ask(CreateSession(session_id=SHARED, idempotency_key=SHARED))
        made = self.ask(CreateSession(user_id=self.name, idempotency_key=self.name))
        if made is not None:
            self.ids.append(made.id)

    def step(self) -> None:
        """Do something."""
        chance = self._chance
        session_id = chance.choice(self.ids)
        text = f"{self.name} {len(self._asked)}"
        choices: list[Callable[[], Request[Any]]] = [
            lambda: AppendMessage(session_id, Role.USER, text),
            lambda: AppendMessage(session_id, Role.USER, text, text),
            lambda: AppendMessage(session_id, Role.USER, "the same", "a key"),
            lambda: AppendMessage(session_id, Role.USER, text, "a key"),
            lambda: UpdateSession(session_id, patch=SessionPatch(metadata={"by": text})),
            lambda: UpdateSession(
                session_id,
                patch=SessionPatch(metadata={"by": text}),
                expected_version=self._versions.get(session_id, 1),
            ),
            lambda: UpdateSystemPrompt(session_id, text),
            lambda: RecordActivity(session_id),
            lambda: GetSession(session_id, messages=2),
            lambda: GetSession(session_id),
            lambda: GetMessages(session_id),
            lambda: GetMessages(session_id, after_seq=2, limit=3),
            lambda: chance.choice(self._asked),
            lambda: chance.choice(self._asked),
        ]
        reply = self.ask(chance.choice(choices)())
        version = getattr(reply, "version", None)
        if version is not None:
            self._versions[reply.id] = version

    def revive(self) -> None:
        """Revive one of its sessions, as it is or mended."""
        patches = [None, SessionPatch(metadata={"mended by": f"{self.name} {len(self._asked)}"})]
        self.ask(ReviveSession(self._chance.choice(self.ids), self._chance.choice(patches)))

    def end(self) -> None:
        """End one of its sessions."""
        self.ask(TerminateSession(self._chance.choice(self.ids)))


class Slow(SessionActor[None]):
    """A session that takes its time, before it changes anything and after it: it may be struck."""

    sim: ClassVar[Simulation]

    @handles(AppendMessage)
    def on_append_message(self, message: AppendMessage) -> int:
        self.sim.sleep(0.001)
        seq = super().on_append_message(message)
        self.sim.sleep(0.001)
        return seq

    @handles(UpdateSession)
    def on_update_session(self, message: UpdateSession) -> Session:
        after = super().on_update_session(message)
        self.sim.sleep(0.001)
        return after


class Struck(Protocol):
    """A store that a test may have struck."""

    on_call: Any

    def refuse(self, *, times: int) -> None:
        """Refuse the next commits."""

    def lose(self, *, times: int) -> None:
        """Be lost with the next commits."""

    def accept(self) -> None:
        """Take everything from now on."""


class DurableStore(StoreInMemory):
    """A durable store that refuses, is lost, before it has kept something or after, and is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.on_call: Callable[[str, str], object] | None = None
        self._strikes: list[tuple[type[StoreError], bool]] = []

    def refuse(self, *errors: StoreError, times: int = 1) -> None:
        """Refuse the next transactions."""
        assert not errors, "they are all alike"
        self._strikes += [(StoreError, False)] * times

    def lose(self, *, times: int) -> None:
        """Be lost with the next transactions, and their repetitions: some of them are kept."""
        for _ in range(times * UNKNOWN_TRIES):
            self._strikes.append((StoreOutcomeUnknown, len(self.kept) % 2 == 0))

    def accept(self) -> None:
        """Take everything from now on."""
        self._strikes.clear()

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        """Keep these changes, or not."""
        if self.on_call is not None:
            self.on_call("write", "")
        kind, is_kept = self._strikes.pop(0) if self._strikes else (None, True)
        if is_kept:
            super().write(writes)
        if kind is not None:
            msg = "struck"
            raise kind(msg)
        return {}


class Nemesis:
    """Strikes sessions, the manager and the store while others talk.

    Args:
        sim: decides what happens.
        sessions: what is struck.
        store: of the sessions.
        faults: how it may strike.
    """

    def __init__(
        self, sim: Simulation, sessions: SessionSystem, store: Struck, faults: Collection[str]
    ) -> None:
        self._sim = sim
        self._sessions = sessions
        self._store = store
        self._faults = faults

    def strike(self) -> None:
        """Strike in some of the ways."""
        if self._happens("kill", 0.2):
            for row in services_of(self._sessions).table.rows():
                if self._sim.happens("of this one", 0.5):
                    self._kill(row.address)
        if self._happens("fall of the manager", 0.1):
            self._kill(self._sessions.manager)
        if self._happens("fall of a partition", 0.05):
            self._kill(self._sessions.system.lookup(partition_name(0)))
        if self._happens("fall of the writer", 0.1):
            self._kill(self._sessions.system.lookup(WRITER))
        if self._happens("refusal", 0.2):
            self._store.refuse(times=1)
        if self._happens("loss", 0.2):
            self._store.lose(times=1)

    def _happens(self, fault: str, probability: float) -> bool:
        return fault in self._faults and self._sim.happens(fault, probability)

    @staticmethod
    def _kill(address: Any) -> None:
        if address is not None and address.ref is not None:
            address.ref.kill()


def unheard(event: object) -> None:
    """Log nothing of what was struck on purpose."""
    del event


def pause(sim: Simulation, method: str, session_id: str) -> None:
    """Have a store take its time."""
    del method, session_id
    sim.sleep(0.001)


def talk(sim: Simulation, *, faults: Collection[str] = FAULTS, is_durable: bool = False) -> History:
    """Let three clients talk to sessions that are struck; return what they were told."""
    store: Any = DurableStore() if is_durable else FakeStore()
    slow: type[SessionActor[Any]] = type("Slow", (Slow,), {"sim": sim})
    kind: type[SessionActor[Any]] = slow if sim.happens("slow sessions", 0.7) else SessionActor
    with SessionSystem(
        kind,
        runtime=sim.runtime,
        partitions=2,
        store=store,
        on_event=unheard,
    ) as sessions:
        history = History(sessions)
        if is_durable:  # else what is told of planted bugs would be found before it is told
            sim.law("sessions, step by step", Moments(sessions).look)
        nemesis = Nemesis(sim, sessions, store, faults)
        if sim.happens("slow store", 0.3):
            store.on_call = partial(pause, sim)

        def live(name: str) -> None:
            each = Talk(name, history, random.Random(f"{sim.seed} {name}"))
            each.create()
            for _ in range(STEPS):
                each.step()
                if "sleep" in faults and sim.happens("sleep", 0.05):
                    each.ask(PassivateSession(each.ids[-1]))
                if "kill" in faults and sim.happens("revive", 0.05):
                    each.revive()
                if "end" in faults and sim.happens("end", 0.02):
                    each.end()

        clients = [sim.spawn(name, partial(live, name)) for name in ("ada", "bob", "eve")]

        def strike() -> None:
            for _ in range(STRIKES):
                sim.sleep(0.002)
                nemesis.strike()

        clients.append(sim.spawn("nemesis", strike))
        sim.run(lambda: all(each.is_done for each in clients))
        store.accept()
        sim.advance(120.0)
        history.look()
    return history
