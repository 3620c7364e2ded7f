"""How a chaos run strikes: every kind of crash, at every part that the living tree has."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from callboard.actors import (
    BeginSpawn,
    CreateSession,
    Fault,
    InjectCrash,
    PassivateSession,
    Presence,
    ReviveSession,
    SessionQuarantined,
    TerminateSession,
    WorkspaceError,
)
from callboard.actors.sessions.errands import Undertaker
from callboard.actors.sessions.internal import FailNow, StartSession
from callboard.supervision import ActorRef, Crashed
from callboard.supervision.runtime.current import local
from tests.cast import Exhaust, Fall, FallLater, Resist, Say
from tests.chaos.load import MANAGER_FELL, TRIES_MAX, Client, Hung
from tests.chaos.play import FURNISHED, LINKED, LIT, PLAIN
from tests.laws import lines_of, parts_of, services_of

if TYPE_CHECKING:
    from tests.chaos.run import Run

ON_PURPOSE = Crashed("ChaosMonkey", "an exit signal on purpose")

STRIKES_MAX = 6
"""Strikes at the children of one supervisor within `PERIOD_S`: fewer than its budget, for it is
not to be given up."""

PERIOD_S = 62.0

SPARED = "a part that was spared"
"""What is counted when a supervisor could not bear one more strike."""

LINK_STRIKES_MAX = 4
"""Strikes at the connections of one session, all of them together: fewer than their budgets."""

STEPS_MAX = 2
"""Which of the steps of one message a part is killed before, at most: few have more."""

UNDERTAKERS_KILLED_MAX = 2
"""Strikes at the undertakers of one session: a third one is the last that is sent."""


class Striker:
    """Crashes parts, and never more of them than their supervisors can bear.

    Args:
        run: whose parts.
        chance: decides which, when and how.
    """

    def __init__(self, run: Run, chance: random.Random) -> None:
        self.run = run
        self.chance = chance
        self.client = Client("striker", run.notes, random.Random(chance.random()))
        self.blows = Blows(run, random.Random(chance.random()))
        self._struck: dict[str, deque[float]] = {}
        self._links_struck = Counter[str]()

    def strike(self, kind: str) -> None:
        """Wait for a moment in the middle of the talk, and strike."""
        self.run.world.sleep(self.chance.random() * 0.1)
        self.run.crashes += 1
        KINDS[kind](self)
        self.run.seen[kind] += 1

    def forget(self) -> None:
        """All sessions have ended."""
        self._links_struck.clear()
        self.blows.forget()

    # -- whom --------------------------------------------------------------

    def victim(self, kind: str | None = None) -> str:
        """Return a session that is there, quarantined ones left out."""
        notes = self.run.notes
        ids = [each for each, its in list(notes.ids.items()) if kind is None or its == kind]
        table = services_of(self.run.sessions).table
        for session_id in self.chance.sample(ids, len(ids)):
            row = table.get(session_id)
            if row is not None and row.presence is not Presence.QUARANTINED:
                return session_id
        for _ in range(TRIES_MAX):
            made = self.client.create(kind or PLAIN)
            if made is not None:
                return made
        raise Hung("a create of the striker's")

    def cell(self, session_id: str) -> ActorRef[Any] | None:
        """Return what runs of a session."""
        row = services_of(self.run.sessions).table.get(session_id)
        address: Any = None if row is None else row.address
        return None if address is None else address.ref

    def part(self, path: str) -> ActorRef[Any]:
        """Return a part of the tree, as soon as it runs."""
        while (part := services_of(self.run.sessions).find_part(path)) is None or part.is_dead:
            self.run.world.sleep(0.001)
        living: ActorRef[Any] = part
        return living

    def may_strike(self, path: str) -> bool:
        """Say whether a part's supervisor can bear one more crash of its children; count it."""
        above, _, _ = path.rpartition("/")
        now_s = self.run.sessions.system.clock.now_s()
        struck = self._struck.setdefault(above, deque(maxlen=STRIKES_MAX))
        if len(struck) == STRIKES_MAX and now_s - struck[0] < PERIOD_S:
            self.run.seen[SPARED] += 1
            return False
        struck.append(now_s)
        return True

    # -- how ---------------------------------------------------------------

    def hit(self, ref: ActorRef[Any], how: Fault) -> None:
        """Crash an actor; one that knows no message for it gets an exit signal instead."""
        takes_it = FailNow in getattr(ref.actor_class, "_callboard_handlers", {})
        if how is Fault.KILL:
            ref.kill()
        elif how is Fault.EXCEPTION and takes_it:
            ref.notify(FailNow())
        else:
            ref.exit(ON_PURPOSE)

    def hit_part(self, path: str, how: Fault) -> bool:
        """Crash a part that always runs; say whether its supervisor could bear it."""
        if not self.may_strike(path):
            return False
        self.hit(self.part(path), how)
        self.run.seen[f"{path} was struck"] += 1
        return True

    def hit_session(self, session_id: str, how: Fault) -> None:
        """Crash what runs of a session."""
        cell = self.cell(session_id)
        if cell is not None:
            self.run.notes.crashes.note(session_id)
            self.hit(cell, how)

    def hit_anything(self) -> None:
        """Crash something of all that is in the tree, sessions and their connections included."""
        while not (parts := parts_of(self.run.sessions)):  # the root is beginning anew
            self.run.world.sleep(0.001)
        path = self.chance.choice(sorted(parts))
        how = self.chance.choice(list(Fault))
        steps = path.split("/")
        if path in lines_of(self.run.sessions):
            self.hit_part(path, how)
        elif steps[0] == "sessions":
            self.hit_session(steps[-1], how)
        else:
            self.hit_link(steps[2], parts[path], how)

    def hit_link(self, session_id: str, ref: ActorRef[Any], how: Fault) -> None:
        """Crash one of a session's connections, or who supervises them."""
        if self._links_struck[session_id] < LINK_STRIKES_MAX:
            self._links_struck[session_id] += 1
            self.hit(ref, how)
            self.run.seen["a connection was struck"] += 1


class Blows:
    """Strikes at the calls of ports: every step of every spawn and cleanup is one.

    Args:
        run: whose ports.
        chance: decides.
    """

    def __init__(self, run: Run, chance: random.Random) -> None:
        self._run = run
        self._chance = chance
        self._undertakers = Counter[str]()
        self.rate = 0.0
        """How many of the calls are struck."""
        self.aim: str | None = None
        """Who alone is struck; None: anybody."""
        self.excused: set[str] = set()
        """Sessions whose removal was struck: it is told, not repeated; the next start sweeps."""

    def forget(self) -> None:
        """All sessions have ended, and what they have left was swept."""
        self._undertakers.clear()
        self.excused.clear()

    def __call__(self, method: str, session_id: str) -> None:
        """Strike, or let it go on."""
        chance = self._chance
        if chance.random() >= self.rate:
            return
        is_undone = method in {"remove", "put out"}
        victim = chance.choice(["step", "errand", "session", "undertaker", "delay"])
        victim = self.aim or victim
        self._run.seen[f"a blow at a step: {victim}"] += 1
        if victim in {"step", "errand"} and is_undone:
            self.excused.add(session_id)
        if victim == "step":
            msg = f"{method} of {session_id} was struck"
            raise WorkspaceError(msg) if chance.random() < 0.5 else OSError(msg)
        if victim == "delay":
            if method not in {"light", "put out"}:  # those run on the loop
                self._run.world.sleep(0.01)
        elif victim == "errand":
            assert local.runner is not None
            errand: Any = local.runner.cell  # it is the errand that calls this
            if errand is not None:
                errand.kill()
        elif victim == "session":
            self._run.striker.hit_session(session_id, Fault.KILL)
        else:
            self._kill_undertaker()

    def _kill_undertaker(self) -> None:
        for ref in list(self._run.sessions.system.roots):
            undertaker = ref.actor
            if isinstance(undertaker, Undertaker):
                session_id = undertaker._session.id
                if self._undertakers[session_id] < UNDERTAKERS_KILLED_MAX:
                    self._undertakers[session_id] += 1
                    self._run.seen["an undertaker was killed"] += 1
                    ref.kill()


# -- kinds -----------------------------------------------------------------


def raise_in(kind: type[Say]) -> Callable[[Striker], None]:
    def strike(striker: Striker) -> None:
        striker.client.fall(striker.victim(), kind)

    return strike


def kill_idle(striker: Striker) -> None:
    striker.hit_session(striker.victim(), Fault.KILL)


def kill_at_work(striker: Striker) -> None:
    run, victim = striker.run, striker.victim()
    lingering = run.world.spawn("lingering", lambda: striker.client.linger(victim))
    run.world.sleep(0.01)
    striker.hit_session(victim, Fault.KILL)
    while not lingering.is_done:
        run.world.sleep(0.01)


def kill_in_an_append(striker: Striker) -> None:
    """Kill a session while it appends; whose append that is sends it again."""
    run, victim = striker.run, striker.victim(LIT)
    client = run.client("appending")
    appending = run.world.spawn(client.name, lambda: client.append(victim))
    run.world.sleep(0.001)
    striker.hit_session(victim, Fault.KILL)
    await_all(striker, [appending])


def exit_signal(striker: Striker) -> None:
    striker.hit_session(striker.victim(), Fault.EXIT)


def stumble(striker: Striker) -> None:
    """Crash a session whose next start fails as well."""
    victim = striker.victim()
    striker.run.troupe.bad_starts[victim] = 1
    striker.client.fall(victim)


def stumble_at_birth(striker: Striker) -> None:
    """Have the very first start of a session fail: nothing of it may be left."""
    run = striker.run
    session_id = f"stillborn-{run.crashes}"
    run.troupe.bad_starts[session_id] = 1
    if not striker.client.settled(CreateSession(user_id="striker", session_id=session_id)):
        run.seen["a create that failed"] += 1
    elif run.is_alone:
        raise AssertionError("a session that could not start was created")


def fall_in_cleanup(striker: Striker) -> None:
    """Have the cleanup raise in a crash, and once more in an orderly end."""
    run, victim = striker.run, striker.victim()
    run.troupe.bad_ends[victim] = 1
    striker.client.fall(victim)
    run.world.sleep(run.pause_s)
    if victim in run.notes.ids:
        run.troupe.bad_ends[victim] = 1
        striker.client.end(victim)


def spend_budget(striker: Striker) -> None:
    """Crash one session until it is quarantined; then revive it."""
    run, client = striker.run, striker.client
    victim = client.create(PLAIN)
    if victim is None:
        return  # the manager fell
    kind = run.notes.ids.pop(victim, None)  # nobody else shall end it or revive it
    if kind is None:
        return
    for _ in range(20):
        if isinstance(client.fall(victim), SessionQuarantined):
            break
    else:
        raise AssertionError("it was never quarantined")
    # This one alone: others may be revived just now, and have their crashes forgiven.
    broken = [each for each in run.notes.crashes.broken(run.sessions) if each.startswith(victim)]
    run.hold(broken, "a budget that was spent")
    snapshot = run.sessions.get(victim)
    assert snapshot.failed_on == "Fall"
    assert snapshot.last_error is not None
    assert "Boom" in snapshot.last_error
    run.revive(client, victim)
    run.seen["a session that was revived"] += 1
    run.notes.ids[victim] = kind


def wake(striker: Striker) -> None:
    """Put a session to sleep, and have a message wake it."""
    victim = striker.victim()
    striker.client.settled(PassivateSession(victim))
    striker.client.say(Say, victim)


def hit_line(number: int) -> Callable[[Striker], None]:
    """Strike the part that stands at this place among those that always run."""

    def strike(striker: Striker) -> None:
        paths = sorted(lines_of(striker.run.sessions))
        striker.hit_part(paths[number % len(paths)], striker.chance.choice(list(Fault)))

    return strike


def hit_connection(striker: Striker) -> None:
    """Strike at what connects a session that is awake."""
    victim = striker.victim(LINKED)
    striker.client.say(Say, victim)
    parts = parts_of(striker.run.sessions)
    links = [
        each
        for each in sorted(parts)
        if each.startswith("connections/") and each.split("/")[2:3] == [victim]
    ]
    if links:
        ref = parts[striker.chance.choice(links)]
        striker.hit_link(victim, ref, striker.chance.choice(list(Fault)))


def hit_something(striker: Striker) -> None:
    for _ in range(3):
        striker.hit_anything()


def kill_one_that_goes_on(striker: Striker) -> None:
    """Kill a session whose handler goes on, and commits when its successor works already."""
    run, victim = striker.run, striker.victim()
    client = run.client("resisting")
    resisting = run.world.spawn(client.name, lambda: client.say(Resist, victim))
    run.world.sleep(0.01)
    striker.hit_session(victim, Fault.KILL)
    striker.client.say(Say, victim)
    await_all(striker, [resisting])


def creating(striker: Striker, kind: str | None = None) -> list[Any]:
    run = striker.run
    clients = [run.client(f"creating-{number}") for number in range(3)]
    return [run.world.spawn(each.name, partial(each.create, kind)) for each in clients]


def kill_in_the_middle(striker: Striker, ref: ActorRef[Any], of: type[object]) -> None:
    """Kill a part that handles such a message: in a simulation before one of its steps."""
    world, system = striker.run.world, striker.run.sessions.system
    point = system.point
    if point is not None:
        left = striker.chance.randrange(STEPS_MAX)

        def strike(label: str, who: object, what: object) -> None:
            nonlocal left
            if ref.is_at_work and isinstance(ref.handling, of) and not ref.is_dead:
                left -= 1
                if left < 0:
                    ref.kill()
            point(label, who, what)

        system.point = strike
        for _ in range(500):
            if ref.is_dead:
                break
            world.sleep(1e-6)
        system.point = point
    ref.kill()


def await_all(striker: Striker, tasks: list[Any]) -> None:
    while not all(each.is_done for each in tasks):
        striker.run.world.sleep(0.01)


def kill_manager_in_a_create(striker: Striker) -> None:
    if not striker.may_strike("front/manager"):
        return
    tasks = creating(striker)
    kill_in_the_middle(striker, striker.part("front/manager"), CreateSession)
    await_all(striker, tasks)


def kill_partition_in_a_create(striker: Striker) -> None:
    path = f"sessions/{striker.chance.randrange(striker.run.partitions)}"
    if not striker.may_strike(path):
        return
    tasks = creating(striker)
    kill_in_the_middle(striker, striker.part(path), StartSession)
    await_all(striker, tasks)


def kill_manager_in_ends(striker: Striker) -> None:
    """End some that are at work and one that sleeps; who asked for it does not ask again."""
    if not striker.may_strike("front/manager"):
        return
    run, client = striker.run, striker.client
    asleep, *others = [client.create(each) for each in (FURNISHED, LIT, PLAIN)]
    victims = [each for each in others if each is not None]
    tasks = [run.world.spawn("lingering", partial(client.linger, each)) for each in victims]
    if asleep is not None:
        client.settled(PassivateSession(asleep))
        victims.append(asleep)
    tasks += [
        run.world.spawn("ending", partial(client.end, each, insists=False)) for each in victims
    ]
    kill_in_the_middle(striker, striker.part("front/manager"), TerminateSession)
    await_all(striker, tasks)


def kill_session_in_its_spawn(striker: Striker) -> None:
    """Strike at the steps of sessions that are spawned, woken and ended meanwhile."""
    run = striker.run
    striker.blows.rate = 0.4
    tasks = [*creating(striker, FURNISHED), *creating(striker, LIT)]
    victim = striker.victim(LIT)
    striker.hit_session(victim, Fault.KILL)
    striker.client.say(Say, victim)
    striker.client.end(victim)
    await_all(striker, tasks)
    run.world.sleep(0.05)
    striker.blows.rate = 0.0


def kill_undertakers(striker: Striker) -> None:
    """End a session that sleeps, and kill who undoes what it has spawned."""
    victim = striker.victim(FURNISHED)
    striker.client.settled(PassivateSession(victim))
    striker.blows.aim, striker.blows.rate = "undertaker", 1.0
    striker.client.end(victim)
    striker.blows.aim, striker.blows.rate = None, 0.0


def end_in_a_spawn(striker: Striker) -> None:
    """End a session while it is spawned."""
    run, client = striker.run, striker.client
    session_id = f"cut-short-{run.crashes}"
    message = CreateSession(user_id="striker", session_id=session_id, kind=FURNISHED)
    task = run.world.spawn("creating", lambda: client.settled(message))
    run.world.sleep(striker.chance.random() * 0.005)
    run.client("ending").terminated(session_id)
    await_all(striker, [task])
    client.terminated(session_id)  # it may have been created after the first was refused


def begin_spawn_twice(striker: Striker) -> None:
    """Have a session that was created only be spawned by two, and killed meanwhile."""
    run, client = striker.run, striker.client
    try:
        message = CreateSession(user_id="striker", kind=FURNISHED, activate=False)
        made = client.ask(message)
    except MANAGER_FELL:
        return
    run.notes.ids[made.id] = FURNISHED
    both = [run.client(f"spawning-{number}") for number in range(2)]
    tasks = [
        run.world.spawn(each.name, partial(each.settled, BeginSpawn(made.id))) for each in both
    ]
    run.world.sleep(striker.chance.random() * 0.005)
    striker.hit_session(made.id, Fault.KILL)
    await_all(striker, tasks)


def kill_several(striker: Striker) -> None:
    """Kill the manager and a partition at once, and a session of it in its handler."""
    victim = striker.victim()
    striker.hit_part("front/manager", Fault.KILL)
    striker.hit_part("sessions/1", Fault.KILL)
    striker.client.fall(victim)


def inject(striker: Striker) -> None:
    """Crash by the message that the daemon offers for it: sessions, and parts of the tree."""
    for how in Fault:
        victim = striker.victim()
        striker.run.notes.crashes.note(victim)
        striker.client.settled(InjectCrash(session_id=victim, how=how))
        striker.run.world.sleep(0.2)
    path = striker.chance.choice(["front/manager", "front/janitor", "sessions/0"])
    if striker.may_strike(path):
        striker.client.settled(InjectCrash(part=path, how=striker.chance.choice(list(Fault))))


def revive_asleep(striker: Striker) -> None:
    victim = striker.victim()
    striker.client.settled(PassivateSession(victim))
    striker.hit_part("front/manager", Fault.KILL)
    striker.client.settled(ReviveSession(victim))


LINES_MAX = 18
"""Parts that always run: at least as many as there are, so that each is dealt."""

KINDS: dict[str, Callable[[Striker], None]] = {
    "an exception in a sync handler": raise_in(Fall),
    "an exception in an async handler": raise_in(FallLater),
    "a SystemExit in a handler": raise_in(Exhaust),
    "a kill of an idle session": kill_idle,
    "a kill in the middle of a handler": kill_at_work,
    "a kill in the middle of an append": kill_in_an_append,
    "an exit signal to a session": exit_signal,
    "a crash in on_start after a crash": stumble,
    "a crash in the first on_start": stumble_at_birth,
    "a crash in terminate": fall_in_cleanup,
    "a budget that is spent, and a revival": spend_budget,
    "a sleep, and a message that wakes": wake,
    "a sleep, and a revival while the manager falls": revive_asleep,
    "a kill of the manager in a create": kill_manager_in_a_create,
    "a kill of a partition in a create": kill_partition_in_a_create,
    "a kill of the manager in ends": kill_manager_in_ends,
    "a kill of one that goes on": kill_one_that_goes_on,
    "blows at the steps of spawns and cleanups": kill_session_in_its_spawn,
    "an end of a sleeper, and kills of its undertakers": kill_undertakers,
    "an end in the middle of a spawn": end_in_a_spawn,
    "two that begin one spawn": begin_spawn_twice,
    "several at once": kill_several,
    "crashes by message": inject,
    "a crash of a connection": hit_connection,
    "anything that is in the tree": hit_something,
    **{f"line {number}": hit_line(number) for number in range(LINES_MAX)},
}
"""Every run strikes once in each of these ways; a line that is not there is one that is."""
