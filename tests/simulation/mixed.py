"""A world with something of everything, its laws, and a plan of every fault that may strike it.

Two clients use the children of a tree, two have sessions. They send again what got no answer.
When all of them are done no fault strikes any more, and all comes to rest; then the laws are
looked at that show only then. Each law notes when it had something to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, TypeVar

from callboard.actors import (
    AppendMessage,
    CreateSession,
    InvalidField,
    PassivateSession,
    Presence,
    RecordActivity,
    ReviveSession,
    Role,
    SessionActor,
    SessionError,
    SessionNotFound,
    SessionQuarantined,
    SessionSystem,
    SessionTerminating,
    TerminateSession,
)
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.testing import (
    FakeStore,
    StoreDies,
    StoreForgets,
    StoreIsSlow,
    StoreRefuses,
)
from callboard.actors.testing.moments import Moments
from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    Backoff,
    ChildCrashed,
    ChildFinished,
    ChildGivenUp,
    ChildKind,
    ChildRestartWasPostponed,
    ChildSpec,
    ChildWasStarted,
    DeliveryError,
    ExitReason,
    Request,
    RestartType,
    RestartWindow,
    Settings,
    Shutdown,
    Strategy,
    SupervisedActor,
    Supervisor,
    SupervisorGaveUp,
    handles,
)
from callboard.supervision.testing import FaultPlan, Simulation, faults
from tests.laws import Ledger, Watch, broken_by_a_store, broken_laws, left_behind, services_of

R = TypeVar("R")

PLAN = FaultPlan(
    (
        faults.Crash(of="Hand", on="Work"),
        faults.Crash(of="Hand", on="Work", is_late=True),
        faults.Crash(of="Hand", on="on_start"),
        faults.Crash(of="Hand", on="terminate"),
        faults.Kill(of="Hand"),
        faults.Kill(of="Hand", on="terminate"),
        faults.Hang(of="Hand", seconds=20.0),
        faults.Hang(of="Hand", on="on_start", seconds=10.0),
        faults.Hang(of="Hand", on="terminate", seconds=10.0),
        faults.Slow(of="Hand", seconds=0.2),
        faults.ClockJump(of="Hand", seconds=30.0),
        faults.FullMailbox(of="Hand"),
        faults.LostTimer(of="Hand"),
        faults.LateTimer(of="Hand"),
        faults.DoubledTimer(of="Hand"),
        faults.Kill(of="inner", most=1),
        faults.DoubledTimer(of="inner", on="WaitOver", rate=0.5),
        faults.LateTimer(of="inner", on="WaitOver", rate=0.2),
        faults.Crash(of="SessionActor", on="AppendMessage"),
        faults.Crash(of="SessionActor", on="AppendMessage", is_late=True),
        faults.Crash(of="SessionActor", on="on_start"),
        faults.Crash(of="SessionActor", on="terminate"),
        faults.Kill(of="SessionActor"),
        faults.Kill(of="SessionActor", is_late=True),
        faults.Hang(of="SessionActor", on="AppendMessage", seconds=20.0),
        faults.Slow(of="SessionActor"),
        faults.FullMailbox(of="SessionActor"),
        faults.ClockJump(of="SessionActor", seconds=-3_600.0, is_wall_only=True),
        faults.Kill(of="manager", most=1),
        faults.Kill(of="sessions/*", most=1),
        faults.LateTimer(of="manager", rate=0.3),
        faults.DoubledTimer(of="manager", rate=0.3),
        StoreRefuses(),
        StoreIsSlow(),
        StoreForgets(),
        StoreDies(),
    )
)
"""Every kind of fault, against both halves of the world."""

TAKING_OVER = FaultPlan(
    (
        faults.Kill(of="manager", rate=(0.05, 0.3), most=2),
        faults.Kill(of="sessions/*", rate=(0.0, 0.1), most=1),
        faults.Crash(of="SessionActor", on="on_start", rate=(0.0, 0.3)),
        faults.Kill(of="SessionActor", rate=(0.0, 0.3)),
        faults.Slow(of="SessionActor", on="on_start", seconds=6.0, rate=(0.0, 0.2)),
        faults.ClockJump(of="SessionActor", rate=(0.0, 0.1)),
        StoreRefuses(rate=(0.0, 0.2)),
        StoreIsSlow(seconds=5.0, rate=(0.0, 0.2)),
        StoreForgets(rate=(0.0, 0.2)),
        StoreDies(rate=(0.0, 0.2)),
    )
)
"""Starts of sessions that come to nothing, and managers that are killed meanwhile."""

PATHS = (
    "a permanent child came back",
    "a transient child came back",
    "a transient child ended in order",
    "a temporary child crashed",
    "a child was given up alone",
    "a supervisor gave up",
    "a supervisor came back",
    "the tree gave up",
    "a restart was put off",
    "a session came back",
    "a session was quarantined",
    "a session was revived",
    "a session woke",
)
"""Ways back to life, and ways out of it."""

LAWS = tuple(f"law {number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 10))
"""Those that are looked at here; law 9 is that a schedule replays."""

TRIES_MAX = 40
"""How often a client sends the same before that is a failure: more often than anything strikes."""

AGAIN_S = 0.3
"""How long it waits before it does."""

FELL = (SessionError, DeliveryError, faults.Struck)
"""What an asker gets whom a fault has struck."""


class Work(Request[int], frozen=True):
    """A piece of work; the answer is its number."""

    client: str
    number: int
    helper: Any = None
    """Whom the worker asks to do it as well."""


class Leave(Request[None], frozen=True):
    """End in order."""


class Ring(Request[None], frozen=True):
    """What a worker sets for itself."""

    incarnation: int


class Laws:
    """What is wrong, and what was looked at.

    Args:
        sim: hears of it after every step.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.broken: list[str] = []
        self._looked: set[int] = set()
        sim.law("the laws", lambda: "; ".join(self.broken))

    def look(self, law: int, *wrong: str) -> None:
        """Note that a law was looked at, and what is wrong."""
        if law not in self._looked:
            self._looked.add(law)
            self.sim.note(f"law {law}")
        self.broken += [f"law {law}: {each}" for each in wrong]


class Crew:
    """What the workers of the tree share, over all incarnations."""

    ORDER = ("p", "t", "b", "x")
    """In which they are started."""

    def __init__(self, laws: Laws) -> None:
        self.laws = laws
        self.living: dict[str, ActorRef[Any]] = {}
        self.lives: list[ActorRef[Any]] = []
        self.done: list[Work] = []
        self.told: list[Work] = []

    def enters(self, name: str, ref: ActorRef[Any]) -> None:
        """Hold against law 4 that an incarnation begins."""
        if ref.is_dead:  # killed in its start, of which it does what was left
            return
        before = self.living.get(name)
        if before is not None:
            is_early = before is not ref and not before.is_dead
            self.laws.look(4, *[f"{ref} began while {before} lived"] * is_early)
        self.living[name] = ref
        self.lives.append(ref)

    def leaves(self, name: str, ref: ActorRef[Any], reason: ExitReason) -> None:
        """Hold against law 6 that one is asked to leave, unless it was killed meanwhile."""
        if isinstance(reason, Shutdown) and name in self.ORDER and not ref.is_dead:
            later = self.ORDER[self.ORDER.index(name) + 1 :]
            there = [self.living[each] for each in later if each in self.living]
            # Those of a supervisor that was killed may still clean up.
            left = [each for each in there if not each.is_dead and each.parent is ref.parent]
            if there:
                self.laws.look(6, *[f"{name} is to leave before {each}" for each in left])


class Hand(SupervisedActor):
    """Works, asks a helper if it is to, and sets itself an alarm."""

    def __init__(self, crew: Crew, name: str) -> None:
        self.crew = crew
        self.name = name
        self.is_inside = False

    def on_start(self) -> None:
        self.crew.enters(self.name, self.actor_ref)
        self.send_after(0.05, Ring(self.actor_ref.incarnation))

    @handles(Work)
    def work(self, message: Work) -> int:
        self.enter(message)
        try:
            if message.helper is not None:
                with suppress(*FELL):
                    message.helper.ask(Work(message.client, -message.number))
        finally:
            self.is_inside = False
        return message.number

    def enter(self, message: Work) -> None:
        self.crew.laws.look(3, *["two at once in " + self.name] * self.is_inside)
        self.is_inside = True
        self.crew.done.append(message)

    @handles(Leave)
    def leave(self, _message: Leave) -> None:
        self.stop()

    @handles(Ring)
    def ring(self, message: Ring) -> None:
        mine = self.actor_ref.incarnation
        is_strange = message.incarnation != mine
        self.crew.laws.look(4, *[f"{mine} heard {message.incarnation}"] * is_strange)

    def terminate(self, reason: ExitReason) -> None:
        self.crew.leaves(self.name, self.actor_ref, reason)


class QuickHand(Hand):
    """May work on its asker's own stack, so it asks nobody."""

    hand_off = True

    @handles(Work)
    def work(self, message: Work) -> int:
        self.enter(message)
        self.is_inside = False
        return message.number


class AsyncHand(Hand):
    """Awaits its helper."""

    @handles(Work)
    async def work(self, message: Work) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # async on purpose
        self.enter(message)
        try:
            if message.helper is not None:
                with suppress(*FELL):
                    await message.helper.ask_async(Work(message.client, -message.number))
        finally:
            self.is_inside = False
        return message.number


class Player(SessionActor[None]):
    """A session with a start and an end of its own."""

    crew: ClassVar[Any]  # a Crew

    def on_start(self) -> None:
        super().on_start()
        self.crew.enters(self.session.id, self.actor_ref)

    def terminate(self, reason: ExitReason) -> None:
        self.crew.leaves(self.session.id, self.actor_ref, reason)


class AsyncPlayer(Player):
    """The same, whose appends are coroutines."""

    @handles(AppendMessage)
    async def on_append_message(self, message: AppendMessage) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the runtime takes both
        return super().on_append_message(message)


class Mixed:
    """The world of one schedule.

    Args:
        sim: where it is, under `PLAN`.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.laws = Laws(sim)
        self.crew = Crew(self.laws)
        self.ledger = Ledger()
        self.store = self.new_store()
        self.asks: Counter[str] = Counter()
        self.types = {"p": "permanent", "t": "transient", "b": "permanent", "x": "temporary"}
        shared = {"crew": self.crew}
        self.sessions = SessionSystem(
            type("Player", (Player,), shared),
            kinds={
                "plain": SessionActor,
                "async": type("AsyncPlayer", (AsyncPlayer,), shared),
            },
            runtime=sim.runtime,
            store=self.store,
            partitions=2,
            settings=Settings(dead_letters_kept=10_000),
            on_event=self.hear,
        )
        sim.law("sessions, step by step", Moments(self.sessions).look)

    def new_store(self) -> Any:
        """Return where the sessions are kept."""
        return FakeStore(self.sim)

    def broken_by_the_store(self) -> Iterator[str]:
        """Yield where what is kept is not what is there."""
        return broken_by_a_store(self.sessions, self.store.entries)

    # -- the whole of it ---------------------------------------------------

    def play(self) -> None:
        """Let it go, come to rest, and check the laws."""
        sim = self.sim
        with self.sessions:
            self.system = self.sessions.system
            self.watch = Watch(self.system)
            self.plant()
            for name in ("ada", "bob"):
                sim.spawn(name, partial(self.live, name))
            for name in ("eve", "joe"):
                sim.spawn(name, partial(self.use, name))
            sim.run(self.all_done)
            sim.calm()
            self.come_to_rest()
            self.check()
        self.laws.look(10, *left_behind(self.system))
        assert not self.laws.broken, self.laws.broken

    def all_done(self) -> bool:
        return self.asks["clients"] == 4

    def plant(self) -> None:
        """Start a tree in a tree."""
        kinds: list[type[Hand]] = [Hand, AsyncHand, QuickHand, Hand]
        restarts = [RestartType.PERMANENT, RestartType.TRANSIENT]
        restarts += [RestartType.PERMANENT, RestartType.TEMPORARY]
        specs = [
            ChildSpec(
                id=name,
                start=kind,
                args=(self.crew, name),
                name=name,
                restart=restart,
                start_s=1.0,
                shutdown_s=1.0,
                keeps_mailbox=name == "p",
                backoff=Backoff(delays_s=(0.0, 0.1)) if name == "p" else None,
                budget=RestartWindow(intensity=1, period_s=60.0) if name == "b" else None,
            )
            for name, kind, restart in zip(self.crew.ORDER, kinds, restarts, strict=True)
        ]
        strategy = tuple(Strategy)[self.sim.seed % 3]
        inner = partial(Supervisor, specs, strategy=strategy, intensity=2, period_s=60.0)
        spec = ChildSpec(id="inner", start=inner, name="inner", kind=ChildKind.SUPERVISOR)
        self.system.spawn_named("outer", Supervisor, [spec], intensity=1, period_s=60.0)

    def come_to_rest(self) -> None:
        """Have everything stand again, and the store know all that is published."""
        self.sim.advance(5.0)
        for row in services_of(self.sessions).table.rows():
            with suppress(SessionNotFound, SessionTerminating):
                if row.presence is Presence.QUARANTINED:
                    self.ask(ReviveSession(row.id))
                self.ask(RecordActivity(row.id))
        self.sim.advance(max(END_AGAIN.delays_s))  # those too whose end was refused several times

    # -- clients -----------------------------------------------------------

    def ask(self, message: Request[R]) -> R:
        """Ask the sessions, and count that it ends."""
        self.asks["begun"] += 1
        try:
            return self.sessions.ask(message)
        finally:
            self.asks["ended"] += 1

    def insist(self, message: Request[R]) -> R | None:
        """Ask until there is an answer; None: it is gone, or stays in quarantine."""
        for _ in range(TRIES_MAX):
            try:
                return self.ask(message)
            except SessionNotFound:
                return None
            except SessionQuarantined:
                self.sim.note("a session was quarantined")
                if not self.is_revived(message):
                    return None
            except InvalidField:
                raise
            except FELL as error:
                self.sim.note("fell", type(error).__name__)
            self.sim.sleep(AGAIN_S)
        msg = f"{message} got no answer"
        raise AssertionError(msg)

    def is_revived(self, message: Any) -> bool:
        with suppress(SessionError, DeliveryError):
            if self.ask(ReviveSession(message.session_id)).presence is Presence.AWAKE:
                self.sim.note("a session was revived")
        return message.session_id in services_of(self.sessions).table

    def live(self, name: str) -> None:
        """Make a session, append, have it sleep, append; perhaps end it."""
        kind = (None, "plain", "async")[(self.sim.seed + len(name)) % 3]
        made = self.insist(CreateSession(user_id=name, kind=kind, idempotency_key=name))
        if made is not None:
            for number in range(4):
                self.append(made.id, f"{name} {number}")
                if number == 1:
                    with suppress(*FELL):
                        self.ask(PassivateSession(made.id))
            if self.sim.happens("end", 0.3):
                self.ledger.forget(made.id)
                self.insist(TerminateSession(made.id))
        self.asks["clients"] += 1

    def append(self, session_id: str, text: str) -> None:
        """Append under a key until it is known to be kept; then it is read."""
        self.ledger.doubt(session_id, text)
        row = services_of(self.sessions).table.get(session_id)
        slept = row is not None and row.presence is Presence.ASLEEP
        seq = self.insist(AppendMessage(session_id, Role.USER, text, client_msg_id=text))
        if seq is None:
            return
        if slept:
            self.sim.note("a session woke")
        self.ledger.keep(session_id, seq, text)
        read = self.sessions.messages(session_id, after_seq=seq - 1)
        is_there = bool(read) and read[0].content == text
        self.laws.look(8, *[] if is_there else [f"{text} is not read after its reply"])

    def use(self, name: str) -> None:
        """Have the children of the tree work; tell one of them, which may die of it."""
        for number in range(1, 6):
            self.watch.look_at(self.crew.lives[self.asks["watched"] :])
            self.asks["watched"] = len(self.crew.lives)
            for place, child in enumerate(self.crew.ORDER):
                left = self.crew.ORDER[place - 1] if place else None
                helper = None if left is None else self.system.lookup(left)
                self.work(child, Work(f"{name} of {child}", number, helper))
            message = Work(f"{name} tells", number)
            with suppress(DeliveryError):
                self.tell("p", message)
            if number == 3 and self.sim.happens("leave", 0.5):
                with suppress(DeliveryError):
                    self.tell("t", Leave())
            self.sim.sleep(0.02)
        self.asks["clients"] += 1

    def tell(self, child: str, message: Any) -> None:
        address = self.system.lookup(child)
        if address is not None:
            address.tell(message)
            if isinstance(message, Work):
                self.crew.told.append(message)

    def work(self, child: str, message: Work) -> None:
        address = self.system.lookup(child)
        if address is None:
            return
        self.asks["begun"] += 1
        try:
            assert address.ask(message) == message.number
        except FELL as error:
            self.sim.note("fell", type(error).__name__)
        self.asks["ended"] += 1

    # -- what is heard of restarts -----------------------------------------

    def hear(self, event: object) -> None:
        """Note which ways are gone."""
        note, kind = self.sim.note, self.types.get(str(getattr(event, "child_id", "")))
        match event:
            case ChildWasStarted(child_id="inner", incarnation=incarnation) if incarnation > 1:
                note("a supervisor came back")
            case ChildWasStarted(incarnation=incarnation) if kind and incarnation > 1:
                note(f"a {kind} child came back")
            case ChildWasStarted(supervisor=above, incarnation=incarnation) if incarnation > 1:
                if above.startswith("root/sessions/"):
                    note("a session came back")
            case ChildFinished(child_id="t"):
                note("a transient child ended in order")
            case ChildCrashed(child_id="x"):
                note("a temporary child crashed")
            case ChildGivenUp(child_id="b"):
                note("a child was given up alone")
            case SupervisorGaveUp(supervisor=supervisor):
                note("the tree gave up" if supervisor == "outer" else "a supervisor gave up")
            case ChildRestartWasPostponed(child_id="p"):
                note("a restart was put off")
            case _:
                return

    # -- laws --------------------------------------------------------------

    def check(self) -> None:
        """Look at what can be seen at rest."""
        look, sessions = self.laws.look, self.sessions
        asks = self.asks
        look(1, *["an ask did not end"] * (asks["begun"] != asks["ended"]))
        if self.crew.told:
            look(2, *self.lost())
        look(4, *self.watch.broken())
        for ref in self.crew.lives:
            if ref.is_dead:
                look(5, *[f"{ref} takes messages"] * takes_messages(ref))
        if self.ledger.acknowledged:
            look(7, *self.ledger.broken(sessions))
        look(7, *self.broken_by_the_store())
        look(8, *broken_laws(sessions))

    def lost(self) -> list[str]:
        """Return what of the messages that were told is neither done nor a dead letter."""
        letters = [each.message for each in self.system.dead_letters.latest]
        found = [self.crew.done.count(each) + letters.count(each) for each in self.crew.told]
        # What was in hand at an end went with it: so many ends, at most so many messages.
        in_hand = sum(
            entry[0] == "dead" and entry[1].partition("~")[0] == "p" and entry[3] == "Work"
            for entry in self.sim.trace.entries
            if isinstance(entry[1], str)
        )
        missing = found.count(0)
        wrong = [f"{missing} of what was told is lost, {in_hand} in hand"] * (missing > in_hand)
        return wrong + [f"{max(found)} times what was told once"] * (max(found) > 1)


def takes_messages(ref: ActorRef[Any]) -> bool:
    """Say whether a ref still takes a message."""
    try:
        ref.tell(Leave())
    except ActorDeadError:
        return ref.is_alive()
    return True


def mixed(sim: Simulation) -> None:
    """Play it."""
    Mixed(sim).play()
