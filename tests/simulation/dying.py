"""Processes that die, one after the other, on one disk: what was acknowledged is there each time.

The real tree with the real `SqliteStore`, on a disk in memory. The process dies between two steps,
or in the middle of a change to the disk; then the power is cut, or not; the next one recovers, and
may die of that. What clients were told outlives all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, TypeVar

from callboard.actors import (
    AppendMessage,
    BeginSpawn,
    CreateSession,
    GetSession,
    PassivateSession,
    Presence,
    Role,
    Session,
    SessionError,
    SessionPatch,
    SessionState,
    SessionSystem,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions.spawn import must_end
from callboard.actors.sessions.table import DurableRow
from callboard.actors.storage.database import DatabaseError
from callboard.actors.storage.sqlite import JournalMode, SqliteStore
from callboard.actors.testing import (
    DiskErrs,
    DiskIsFull,
    FakeCleaner,
    FakePrompts,
    History,
    MemoryDisk,
    SyncFails,
)
from callboard.actors.testing.moments import Moments
from callboard.supervision import CallboardError, DeliveryError, Request
from callboard.supervision.testing import FaultPlan, ProcessDied, Simulation, faults
from tests.laws import Ledger, broken_by_a_durable_store, broken_laws, services_of

R = TypeVar("R")

PATH = "sessions.db"

LIVES = 4
"""Processes on one disk; all but the last may die."""

STEPS = 8
"""What each client does in one life."""

NAMES = ("ada", "bob", "eve")

CHECKPOINT_PAGES = 8
"""So few that a short life has checkpoints."""

DEATHS = (faults.ProcessDies(rate=(0.002, 0.01), most=LIVES - 1),)

DYING = FaultPlan(
    (
        *DEATHS,
        faults.Kill(of="SessionActor", rate=(0.0, 0.05)),
        faults.Kill(of="writer", rate=(0.0, 0.1), most=2),
        faults.Kill(of="manager", rate=(0.0, 0.05), most=2),
        faults.Kill(of="sessions/*", rate=(0.0, 0.02), most=1),
    )
)
"""Processes that die, and actors."""

FAILING = FaultPlan(
    (
        *DYING.faults,
        DiskIsFull(rate=(0.0, 0.05)),
        DiskErrs(rate=(0.0, 0.02)),
        SyncFails(rate=(0.0, 0.1), most=2),
        SyncFails(rate=(0.0, 0.1), most=2, is_kept=True),
    )
)
"""The same, on disks that fail."""

FELL = (SessionError, DeliveryError, faults.Struck)
"""What an asker gets whom a fault has struck, or who comes too late."""

DEAD = (ProcessDied, DatabaseError, CallboardError)
"""What a process may raise that dies in its first steps."""


class Promised:
    """What clients were told, over all lives."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.created: dict[str, str] = {}
        """Key of a create -> the id that was answered."""
        self.waiting: set[str] = set()
        """Ids of those that were created and no more, as far as anybody has asked."""
        self.versions: dict[str, int] = {}
        """Id -> the version that was answered last."""
        self.doubtful: set[str] = set()
        """Keys of creates of which nobody knows."""
        self.ending: set[str] = set()
        """Ids of those whose end was asked for, or that are spawned at last: they may be gone."""
        self.ended: set[str] = set()
        """Ids of those that have ended."""
        self.quarantined: set[str] = set()
        """Ids of those that were quarantined for good, as far as anybody has seen."""

    def broken(self, sessions: SessionSystem) -> Iterator[str]:
        """Yield what was promised and is not so."""
        table = services_of(sessions).table
        for key, session_id in self.created.items():
            if session_id not in self.ending and session_id not in table:
                yield f"{key} has created {session_id}, which is gone"
        for session_id in self.ended:
            if session_id in table:
                yield f"{session_id} has ended and is there"
        for session_id, version in self.versions.items():
            row = table.get(session_id)
            if row is not None and row.session().version < version:
                yield f"{session_id} was at version {version} and is at {row.session().version}"
        for session_id in self.waiting:
            row = table.get(session_id)
            if row is not None and row.session().state is not SessionState.CREATED:
                yield f"{session_id} was created and no more, and is {row.session().state}"
        known = {*self.created.values()}
        for row in table.rows():
            session = row.latest().session
            key = str(session.metadata.get("key"))
            if row.id not in known and key not in self.doubtful:
                yield f"{row.id} is there, whose create {key} was refused"
        made = Counter(
            str(session.metadata.get("key"))
            for session in (row.latest().session for row in table.rows())
            if not must_end(session)
        )
        yield from (f"{key} has made {count} sessions" for key, count in made.items() if count > 1)
        for session_id in self.quarantined:
            row = table.get(session_id)
            if row is not None and row.presence is not Presence.QUARANTINED:
                yield f"{session_id} was quarantined and is {row.presence}"
        ledger = self.ledger
        for session_id in list(ledger.acknowledged):
            if session_id in self.ending:
                ledger.forget(session_id)
        yield from ledger.broken(sessions)


class Dying:
    """The lives on one disk.

    Args:
        sim: where they are, under `DYING` or `FAILING`.
        journal_mode: of the store.
    """

    def __init__(self, sim: Simulation, journal_mode: JournalMode = "wal") -> None:
        self.sim = sim
        self.chance = Random(f"{sim.seed}/dying")
        self.journal_mode: JournalMode = journal_mode
        self.disk = MemoryDisk(
            sim, has_wal=journal_mode == "wal", checkpoint_pages=CHECKPOINT_PAGES
        )
        self.promised = Promised()
        self.history: History | None = None
        self.deaths = 0
        self.life = 0
        self.has_steps = sim.happens("steps of a spawn", 0.5)

    # -- the lives -----------------------------------------------------------

    def play(self) -> None:
        """Let one process die after the other; what was acknowledged is to be there each time."""
        for self.life in range(1, LIVES):
            try:
                self.live()
                self.end()
            except DEAD as error:
                if not (isinstance(error, ProcessDied) or self.disk.is_sealed):
                    raise
                self.bury(error)
        self.sim.end_faults()
        self.life = LIVES
        self.live_on()

    def bury(self, error: BaseException) -> None:
        """See that all of a process is dead, and perhaps the machine."""
        if not isinstance(error, ProcessDied):  # it died before it ran
            self.sim.die()
        self.deaths += 1
        self.sim.note("a process died")
        self.disk = self.next_disk()

    def next_disk(self) -> MemoryDisk:
        """Return what the next process finds."""
        if self.sim.happens("power cut", 0.7):
            return self.disk.power_cut(self.chance)
        return self.disk.process_death()

    def end(self) -> None:
        """End a process that is at rest: in order, or not."""
        if self.sim.happens("end in order", 0.5):
            report = self.sessions.stop()
            if self.disk.is_sealed:  # it died when nobody ran any more
                self.bury(SystemExit())
                return
            assert report.is_clean, report
        else:
            self.bury(SystemExit())

    def live(self) -> None:
        """Recover, and let clients use the sessions."""
        sim = self.sim
        if sim.happens("death in a change", 0.6):
            self.disk.dies_at(self.disk.steps + 1 + int(self.chance.random() * 150))
        self.start()
        clients = [sim.spawn(name, partial(self.use, name)) for name in NAMES]
        clients.append(sim.spawn("nemesis", self.strike))
        sim.run(lambda: all(each.is_done for each in clients))
        sim.advance(1.0)

    def live_on(self) -> None:
        """Recover for the last time: nothing strikes any more, and all comes to rest."""
        self.start()
        for key, session_id in self.promised.created.items():
            if session_id in self.promised.ending:
                continue
            again = self.sessions.ask(self.create(key))
            assert again.id == session_id, f"{key} has created {session_id}, and now {again.id}"
        self.sim.advance(120.0)
        self.look(is_at_rest=True)
        if self.history is not None:
            self.history.look()
            broken = self.history.broken()
            assert not broken, broken
        assert self.sessions.stop().is_clean

    def start(self) -> None:
        """Start the next process, and see that all is there."""
        self.sessions = SessionSystem(
            runtime=self.sim.runtime,
            partitions=2,
            store=self.opened(),
            prompts=self.prompts() if self.has_steps else None,
            cleaner=self.cleaner() if self.has_steps else None,
            on_event=unheard,
        )
        self.sim.law("sessions, step by step", Moments(self.sessions).look)
        self.sessions.start()
        if self.history is None:
            self.history = History(self.sessions, commits_alone=self.has_steps)
        else:
            self.history.go_on(self.sessions)
        self.look()

    def opened(self) -> SqliteStore:
        """Open the store; again where the disk fails meanwhile."""
        for _ in range(100):
            try:
                return SqliteStore(PATH, disk=self.disk, journal_mode=self.journal_mode)
            except DEAD:
                if self.disk.is_sealed:
                    raise
        msg = "the store does not open"
        raise AssertionError(msg)

    def prompts(self) -> FakePrompts:
        """Return a composer that takes its time."""
        prompts = FakePrompts()
        prompts.on_call = self.take_time
        return prompts

    def cleaner(self) -> FakeCleaner:
        """Return a cleaner that takes its time."""
        cleaner = FakeCleaner()
        cleaner.on_call = self.take_time
        return cleaner

    def take_time(self, method: str, about: str) -> None:
        """Have a port take its time."""
        del method, about
        self.sim.sleep(0.01)

    def look(self, *, is_at_rest: bool = False) -> None:
        """See that what was promised is so."""
        wrong = list(self.promised.broken(self.sessions))
        if is_at_rest:
            wrong += broken_laws(self.sessions)
            store = services_of(self.sessions).storing
            assert store is not None
            wrong += broken_by_a_durable_store(self.sessions, store.store)
            wrong += [
                f"{row.id} is {row.session().state}"
                for row in services_of(self.sessions).table.rows()
                if row.session().state not in {SessionState.ACTIVE, SessionState.CREATED}
            ]
        assert not wrong, f"life {self.life}: {wrong}"

    # -- clients -------------------------------------------------------------

    @staticmethod
    def create(key: str) -> CreateSession:
        """Return what creates the session of a key; some are created and no more."""
        return CreateSession(
            user_id=key.partition(" ")[0],
            idempotency_key=key,
            metadata={"key": key},
            activate="waits" not in key,
        )

    def ask(self, message: Request[R], by: str) -> R:
        """Ask, and write it down."""
        assert self.history is not None
        return self.history.ask(message, by=by, timeout=30.0)

    def use(self, name: str) -> None:
        """Do what comes to mind."""
        chance = Random(f"{self.sim.seed}/{self.life}/{name}")
        for number in range(STEPS):
            key = f"{name} {chance.choice(('waits', 'one', 'two'))}"
            session_id = self.promised.created.get(key)
            if session_id in self.promised.ending:
                continue
            with suppress(*FELL):
                if session_id is None or chance.random() < 0.1:
                    self.make(key, name)
                elif chance.random() < 0.6:
                    text = f"{name} {self.life * STEPS + number}"
                    self.append(session_id, text, name)
                else:
                    self.do_else(session_id, chance, name)

    def make(self, key: str, name: str) -> None:
        """Create the session of a key, or again."""
        promised = self.promised
        promised.doubtful.add(key)
        made = self.ask(self.create(key), name)
        first = promised.created.get(key)
        assert first in {None, made.id}, f"{key} has created {first}, and now {made.id}"
        promised.created[key] = made.id
        if first is None and made.state is SessionState.CREATED:
            promised.waiting.add(made.id)

    def append(self, session_id: str, text: str, name: str) -> None:
        """Append under a key until it is known what came of it."""
        promised = self.promised
        promised.ledger.doubt(session_id, text)
        seq = self.begun(AppendMessage(session_id, Role.USER, text, client_msg_id=text), name)
        promised.ledger.keep(session_id, seq, text)

    def do_else(self, session_id: str, chance: Random, name: str) -> None:
        """Change it, look at it, have it sleep; or end it."""
        promised = self.promised
        what = chance.random()
        if what < 0.3:
            patch = SessionPatch(variables={"by": f"{name} {chance.random()}"})
            self.saw(self.begun(UpdateSession(session_id, patch=patch), name))
        elif what < 0.5:
            self.saw(self.ask(GetSession(session_id), name))
        elif what < 0.7:
            self.ask(PassivateSession(session_id), name)
        elif what < 0.8:
            self.begun(BeginSpawn(session_id), name)
        elif what < 0.9:
            promised.ending.add(session_id)
            promised.waiting.discard(session_id)
            self.ask(TerminateSession(session_id), name)
            promised.ended.add(session_id)

    def begun(self, message: Any, name: str) -> Any:
        """Ask for what may begin the spawn of a session that was created and no more.

        When a spawn comes to nothing, also with its process, its session ends.
        """
        promised, session_id = self.promised, message.session_id
        if session_id in promised.waiting:
            promised.waiting.discard(session_id)
            promised.ending |= {session_id} if self.has_steps else set()
        reply = self.ask(message, name)
        promised.ending.discard(session_id)
        return reply

    def saw(self, session: Session) -> None:
        """Note what version a session was said to be at."""
        versions = self.promised.versions
        versions[session.id] = max(session.version, versions.get(session.id, 0))

    def strike(self) -> None:
        """Kill a session until it is quarantined; then see that this is kept."""
        sim = self.sim
        if not sim.happens("quarantine", 0.3):
            return
        sim.sleep(0.05)
        for session_id in list(self.promised.created.values())[:1]:
            row = services_of(self.sessions).table.get(session_id)
            for _ in range(20):
                if row is None or row.presence is Presence.QUARANTINED:
                    break
                address: Any = row.address
                if address is not None and address.ref is not None:
                    address.ref.kill()
                sim.sleep(0.5)
            if row is not None and row.presence is Presence.QUARANTINED:
                sim.sleep(1.0)
                assert isinstance(row, DurableRow), "it has a store"
                if row.is_stored and row.standing_to_keep is None:
                    self.promised.quarantined.add(session_id)
                    sim.note("a session was quarantined")


def unheard(event: object) -> None:
    """Log nothing of what was struck on purpose."""
    del event


def dying(sim: Simulation, journal_mode: JournalMode = "wal") -> Dying:
    """Play it."""
    world = Dying(sim, journal_mode)
    world.play()
    return world
