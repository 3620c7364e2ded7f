"""One chaos run: sessions of every kind, clients that talk to them, strikes, and every law.

A run goes in waves. In a wave clients work while something is struck; then all comes
to rest, and the laws are checked. At times all sessions are ended: then what is left
must be what was there before.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from callboard.actors import (
    CleanupInactive,
    GetSession,
    MemoryPressureChanged,
    Presence,
    ReviveSession,
    Session,
    SessionError,
    SessionSystem,
)
from callboard.actors.keeping import Keeping
from callboard.supervision import ActorCrashed, Crashed, DeliveryError
from tests.cast import Say, behaviour
from tests.chaos.load import GRACE_S, MANAGER_FELL, TRIES_MAX, Client, Hung, Notes
from tests.chaos.play import (
    LIT,
    PLAIN,
    SESSION_KINDS,
    WEIGHT_BYTES,
    Player,
    Ports,
    SlowPlayer,
    Troupe,
    needs_folder,
    needs_lamp,
)
from tests.chaos.strikes import KINDS, PERIOD_S, STRIKES_MAX, Striker
from tests.chaos.worlds import World
from tests.laws import Watch, broken_laws, left_behind, lines_of, parts_of, services_of
from tests.storm_laws import broken_folders, broken_presences, census, differences, in_memory

CLIENTS = 3
CLIENTS_ON_THREADS = 8
STEPS = 8
"""What each client does at least in a wave."""

WITHIN_S = 300.0
"""How long a wave may take before who is not done hangs: more than the patience of an ask."""

REST_S = 30.0
"""How long it may take until all is at rest after a wave."""

LATE_S = 2 * GRACE_S
"""How long it takes until the timers of what has ended are over, too."""


KEYS_MAX = 500
"""Keys of creates that are remembered: more than are repeated, and so few that a run that is to
show whether it grows has them all soon."""


class Broken(AssertionError):
    """A law does not hold."""


class Run:
    """A session system, clients that talk to it, and crashes that strike it.

    Args:
        world: where it takes place.
        seed: decides what is done and struck; in a simulation all, on threads all but whose
            turn it is.
        clients: how many work at once.
        sabotage: how a law is to be broken on purpose, once: one of `SABOTAGES`; None: not at all.
        pause_s: how long a strike waits for what it has struck.
    """

    partitions = 3

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        clients: int = CLIENTS,
        sabotage: str | None = None,
        pause_s: float = 2.0,
    ) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.seen = Counter[str]()
        self.troupe = Troupe(self.seen, world.stall)
        self.ports = Ports()
        self.crashes = 0
        self.waves = 0
        self.is_alone = True
        """Whether one strike is over before the next."""
        self.pause_s = pause_s
        self.steps_max = math.inf
        """What each client does at most in a wave, and so what a wave has to remember."""
        self.sabotage = sabotage
        """How a law is still to be broken; None: it has been, or is not to be."""
        self._clients = clients
        chance = self.chance
        self.sessions = SessionSystem(
            session=behaviour(self.troupe, Player),
            kinds={
                each: behaviour(self.troupe, SlowPlayer if each == LIT else Player)
                for each in SESSION_KINDS
            },
            name="chaos",
            partitions=self.partitions,
            faults=True,
            runtime=world.runtime,
            keeping=Keeping(
                cleanup_interval_s=1.0,
                grace_s=GRACE_S,
                keys_max=KEYS_MAX,
                passivate_after_s=chance.choice([float("inf"), 0.05, 1.0]),
                passivate_interval_s=0.2,
                awake_max=chance.choice([None, 6]),
                # Of a stream of its own: what a seed has found before, it finds again.
                memory_max_bytes=random.Random(seed).choice([None, 5 * WEIGHT_BYTES]),
            ),
            on_event=self._hear,
            **self.ports.options(),
        )

    # -- the whole of it ---------------------------------------------------

    def begin(self) -> None:
        """Start the system, have clients work in peace, and count what is there without them."""
        self.system = self.sessions.start().system
        self.ports.plan(self.sessions)
        self.notes = Notes(self.sessions, self.world, self.seen)
        self.troupe.crashes = self.notes.crashes
        self.striker = Striker(self, random.Random(self.chance.random()))
        self.ports.be_struck_by(self.striker.blows)
        self.watch = Watch(self.system)
        self._watched: dict[Any, None] = {}
        self.wave([])
        self.end_all()
        self.world.rest(lambda: False, LATE_S)
        self._before = self.census()
        self.lines = set(lines_of(self.sessions))

    def end(self) -> None:
        """Stop the system: nothing of it is left."""
        report = self.sessions.stop()
        left = [] if report.is_clean else [str(report)]
        left += left_behind(self.system)
        left += [f"a folder of {each}" for each in self._unexcused(self.ports.workspaces.folders)]
        left += [f"a lamp of {each}" for each in self._unexcused(self.ports.lamps)]
        left += self.ports.left_open()
        self.hold(left, "the stop")

    def wave(self, strikes: Sequence[str], *, steps: int = STEPS) -> None:
        """Have clients work while these strike; let all come to rest; check every law."""
        self.waves += 1
        self._look_at_parts()
        beats = self.ports.watchdog.beats

        def strike_all() -> None:
            for each in strikes:
                self.striker.strike(each)

        striker = self.world.spawn("striker", strike_all)
        tasks = [striker]
        for number in range(self._clients):
            client = self.client(f"client-{number}")
            work = partial(client.work, steps, lambda: striker.is_done, most=self.steps_max)
            tasks.append(self.world.spawn(client.name, work))
        tasks.append(self.world.spawn("watching", lambda: self._watch_versions(striker)))
        late = self.world.wait(tasks, WITHIN_S)
        after = ", ".join(strikes) or "a wave in peace"
        self.hold([f"{each} hangs" for each in late], after)
        self.come_to_rest(after)
        is_beating = self.world.rest(lambda: self.ports.watchdog.beats > beats, REST_S)
        self.hold([] if is_beating else ["the heart beats no more"], after)

    def come_to_rest(self, after: str) -> None:
        """Wait until nothing is under way, check every law, and revive who is quarantined."""
        # On threads the janitor may do something just after it: what was seen then counts.
        is_at_rest = self.world.rest(lambda: not self.unrest(), REST_S)
        self.notes.told.look()
        self.notes.history.look()
        if self.sabotage is not None and SABOTAGES[self.sabotage].commit(self):
            self.sabotage = None
        self.hold([] if is_at_rest else self.unrest(), after)
        self.hold(self.broken(), after)
        self._note_paths()
        for row in services_of(self.sessions).table.quarantined():
            self.revive(self.client("medic"), row.id)

    def hold(self, broken: Sequence[str], after: str) -> None:
        """Raise what is broken, if anything is."""
        if broken:
            msg = f"wave {self.waves}, after {after}: " + "; ".join(broken)
            raise Broken(msg)

    def client(self, name: str) -> Client:
        """Return a client with chances of its own."""
        return Client(name, self.notes, random.Random(f"{self.chance.random()} {name}"))

    def revive(self, client: Client, session_id: str) -> None:
        """Revive a session that is quarantined; then it works."""
        for _ in range(TRIES_MAX):
            self.notes.crashes.forgive(session_id)  # before: afterwards it may crash anew
            try:
                revived = client.ask(ReviveSession(session_id))
            except MANAGER_FELL:
                continue
            except (SessionError, DeliveryError):
                if self.is_alone:
                    raise
                return
            if self.is_alone and revived.presence is not Presence.AWAKE:
                self.notes.violations.append(f"{session_id} was revived, and {revived.presence}")
            if self.is_alone and client.say(Say, session_id) is not None:
                self.notes.violations.append(f"{session_id} was revived, and does not work")
            return
        raise Hung(session_id)

    # -- laws --------------------------------------------------------------

    def unrest(self) -> list[str]:
        """Return what is not as it is at rest; while something is under way it may be so."""
        return [
            *broken_laws(self.sessions),
            *broken_presences(self.sessions),
            *broken_folders(
                self.sessions,
                "folder",
                self._unexcused(self.ports.workspaces.folders),
                needs_folder,
            ),
            *broken_folders(self.sessions, "lamp", self._unexcused(self.ports.lamps), needs_lamp),
        ]

    def broken(self) -> list[str]:
        """Return what can never be right again."""
        found = self.notes.history.findings()
        self.seen["a history that was checked"] += len(found)
        self.seen["a history that is unclear"] += sum(each.unclear is not None for each in found)
        told = [str(each) for each in found if each.told is not None]
        return [*self.notes.broken(), *self.watch.broken(), *self.troupe.violations, *told]

    def _unexcused(self, there: dict[str, Any]) -> dict[str, Any]:
        """Sweep what a struck removal has left of sessions that are gone; return the rest."""
        table = services_of(self.sessions).table
        for session_id in self.striker.blows.excused & set(there):
            if session_id not in table:
                del there[session_id]
        return there

    def census(self) -> dict[str, int]:
        """Count what is held."""
        return {**self._counted(), **in_memory(self.system)}

    def _counted(self) -> dict[str, int]:
        counts = census(self.sessions, self.world.pending_timers(self.sessions))
        return {**counts, "connections": len(self.ports.left_open())}

    def end_all(self) -> None:
        """End all sessions, whoever knows of them, and forget them."""
        client = self.client("last")
        self.notes.history.forget()  # what a cleanup ends nobody has asked for
        for _ in range(TRIES_MAX):
            if not len(services_of(self.sessions).table):
                break
            client.ask(CleanupInactive(idle_longer_than_s=0.0))
            for row in services_of(self.sessions).table.rows():
                client.terminated(row.id)
        self.notes.forget()
        self.come_to_rest("the end of all sessions")
        self.hold([row.id for row in services_of(self.sessions).table.rows()], "their end")
        self.troupe.forget()
        self.striker.forget()
        self.ports.forget()
        self.watch.forget_the_dead()
        self._watched = {each: None for each in self._watched if not each.is_dead}

    def compare(self) -> None:
        """End all sessions: what is there then is what was there before the first of them."""
        self.end_all()
        is_empty = self.world.rest(lambda: not self._left(), REST_S)
        self.hold([] if is_empty else self._left(), "the end of all sessions")

    def _left(self) -> list[str]:
        left = differences(self._before, self._counted())
        return left or differences(
            self._before, in_memory(self.system), spare=self.world.remembered
        )

    # -- inside ------------------------------------------------------------

    def _hear(self, event: object) -> None:
        """Count what has no other witness: too much memory, and a session's failed respawn."""
        if isinstance(event, MemoryPressureChanged):
            self.seen[f"memory that is {event.pressure}"] += 1
        if not isinstance(event, ActorCrashed) or not event.name.startswith("session/"):
            return
        reason = event.reason
        if isinstance(reason, Crashed) and reason.error.endswith("RespawnFailed"):
            self.troupe.fails(event.name.partition("/")[2])

    def _look_at_parts(self) -> None:
        parts = [each for each in parts_of(self.sessions).values() if each not in self._watched]
        self._watched.update(dict.fromkeys(parts))
        self.watch.look_at(parts)

    def _watch_versions(self, striker: Any) -> None:
        while not striker.is_done:
            self.notes.versions.look(services_of(self.sessions).table.rows())
            self.notes.told.look()
            self.world.sleep(0.01)

    def _note_paths(self) -> None:
        for row in services_of(self.sessions).table.rows():
            self.seen[f"a session that is {row.presence}"] += 1
            self.seen[f"a session that is {row.latest().session.kind}"] += 1
            if row.incarnation > 1:
                self.seen["a session that came back"] += 1


def lose_a_message(run: Run) -> bool:
    """Say that a message was confirmed that was not: the laws must see that it is missing."""
    for row in services_of(run.sessions).table.rows():
        if row.id in run.notes.ids:
            run.notes.ledger.keep(row.id, row.latest().log.last_seq + 1, "nobody 1")
            return True
    return False


def read_what_was(run: Run) -> bool:
    """Say that somebody has read what a session was before: its history must tell of it."""
    history = run.notes.history
    for each in history.operations:
        session = each.reply
        if not isinstance(session, Session) or session.kind != PLAIN:
            continue
        row = services_of(run.sessions).table.get(session.id)
        if row is not None and row.latest().session.version > session.version:
            history.note(GetSession(session.id), session, by="the saboteur")
            return True
    return False


class Sabotage(NamedTuple):
    """A way to break a law on purpose."""

    commit: Callable[[Run], bool]
    """Breaks it, and says whether there was something to break."""

    named_as: str
    """What the violation says by which it is known."""


SABOTAGES = {
    "message": Sabotage(lose_a_message, "lost 'nobody 1', confirmed as"),
    "read": Sabotage(read_what_was, "the saboteur's GetSession"),
}


def deck(chance: random.Random) -> list[str]:
    """Return every kind of strike once, in an order of its own."""
    kinds = list(KINDS)
    chance.shuffle(kinds)
    return kinds


BREATH_S = PERIOD_S / STRIKES_MAX
"""Time that a simulation lets pass before each strike: then its supervisor can bear it."""

COMPARED_EVERY = 15
"""Waves from one end of all sessions to the next."""


def play(run: Run) -> None:
    """Deal the whole deck, a strike a wave; at times end all sessions and compare."""
    run.begin()
    for number, kind in enumerate(deck(run.chance), start=1):
        run.world.rest(lambda: False, BREATH_S)
        run.wave([kind])
        if number % COMPARED_EVERY == 0:
            run.compare()
    run.compare()
    run.end()


STRIKES_A_WAVE = 16
"""Strikes in one wave of a run that goes on for a time."""

STEPS_MAX = 250
"""What each client does at most in one of those: else it is how slow the machine is just then that
says how much there is to remember, and the process keeps room for the longest wave so far."""


def play_for(run: Run, seconds: float, each_wave: Callable[[], object] = lambda: None) -> None:
    """Deal one deck after the other, many strikes a wave, until the time is over."""
    run.is_alone, run.steps_max = False, STEPS_MAX
    try:
        run.begin()
        until_s = run.world.now_s() + seconds
        dealt: list[str] = []
        while run.world.now_s() < until_s:
            if len(dealt) < STRIKES_A_WAVE:
                dealt += deck(run.chance)
            strikes, dealt = dealt[:STRIKES_A_WAVE], dealt[STRIKES_A_WAVE:]
            run.wave(strikes)
            run.compare()
            each_wave()
        run.end()
    finally:
        run.sessions.stop()  # a run that fails leaves no threads to what comes after it
