"""Six bugs, planted in the real library, each with a small scenario whose law it breaks.

    python -m tests.simulation.plants

prints in how many of 1,000 schedules each of them is found, for each way to explore.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Presence,
    Role,
    SessionActor,
    SessionSystem,
)
from callboard.actors.sessions.verdict import Ended
from callboard.actors.sessions.watching import Watcher
from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    Backoff,
    ChildIsRunning,
    ChildSpec,
    DeliveryError,
    ExitReason,
    Request,
    RestartChild,
    Shutdown,
    SupervisedActor,
    Supervisor,
    TerminateChild,
    handles,
)
from callboard.supervision.model import strategy
from callboard.supervision.model.happenings import DelayOver
from callboard.supervision.model.stopping import after_stop
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.operations import Until
from callboard.supervision.testing import (
    Deadlock,
    Exploration,
    Lag,
    LawBroken,
    Pct,
    Portfolio,
    Simulation,
    Walk,
)
from callboard.supervision.tree import supervisor as supervisor_module
from callboard.supervision.tree.interpreter import Interpreter
from tests.simulation.cast import Add, Boom, Counter, Crash

SCHEDULES = 1_000
"""Schedules of a campaign."""

AT_LEAST = 5
"""In how many of them each bug is to be found."""


class Plant(NamedTuple):
    """A bug, and how it shows."""

    scenario: Callable[[Simulation], None]
    failure: type[Exception]
    plant: Callable[[pytest.MonkeyPatch], None]


# -- an ask is lost at close -----------------------------------------------


def put_without_looking_again(self: Cell[Any], q: Any, item: Any) -> None:
    """`Cell._put` as a first draft would have it: what came too late is not taken back."""
    if self.system.point is not None:
        self.system.point("put", self, item[0])
    q.put(item)
    if not self.is_scheduled:
        self.schedule()


def lose_an_ask(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cell, "_put", put_without_looking_again)


def ask_while_it_ends(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        counter = system.spawn(Counter)

        def ask() -> None:
            try:
                for _ in range(3):
                    counter.ask(Add(1), timeout=math.inf)
            except ActorDeadError:
                return

        for n in range(3):
            sim.spawn(f"client-{n}", ask)
        sim.spawn("ender", counter.exit)
        sim.run()


# -- the Down of an old incarnation removes the new row --------------------


def take_every_end_for_the_current_ones(patch: pytest.MonkeyPatch) -> None:
    def ended(self: Any, row: Any, cell: Any) -> None:
        news = Ended(incarnation=row.incarnation, reason=cell.reason, failed_on=cell.failed_on)
        self._desk.learn(row, news)

    patch.setattr(Watcher, "ended", ended)


def crash_a_session(sim: Simulation) -> None:
    with SessionSystem(runtime=sim.runtime, partitions=1) as sessions:
        ada = sessions.ask(CreateSession(user_id="ada")).id

        def use() -> None:
            with suppress(DeliveryError):
                sessions.ask(AppendMessage(ada, role=Role.USER, content="hello"), timeout=20)

        def kill() -> None:
            ref = sessions.address(ada).ref
            if ref is not None:
                ref.kill()

        sim.spawn("client", use)
        sim.spawn("killer", kill)
        sim.run()

        address, presence = sessions.address(ada), sessions.get(ada).presence
        assert address.is_alive() == (presence is Presence.AWAKE), f"it is {presence}"


# -- acknowledged before it is committed -----------------------------------


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    behaviour: Any = SessionActor
    keep = behaviour._keep

    def keep_soon(self: Any, draft: Any) -> None:
        self.actor_ref.signal(keep, self, draft)

    patch.setattr(SessionActor, "_keep", keep_soon)


def kill_a_session_at_work(sim: Simulation) -> None:
    with SessionSystem(runtime=sim.runtime, partitions=1) as sessions:
        ada = sessions.ask(CreateSession(user_id="ada")).id
        promised: list[str] = []

        def append(name: str) -> None:
            for number in range(3):
                text = f"{name} {number}"
                with suppress(DeliveryError):
                    sessions.ask(AppendMessage(ada, role=Role.USER, content=text), timeout=20)
                    promised.append(text)

        def kill() -> None:
            sim.sleep(0)
            ref = sessions.address(ada).ref
            if ref is not None:
                ref.kill()

        for name in ("bob", "eve"):
            sim.spawn(name, partial(append, name))
        sim.spawn("killer", kill)
        sim.run()

        kept = {each.content for each in sessions.messages(ada)}
        assert kept.issuperset(promised), f"{len(promised)} promised, {len(kept)} kept"


# -- a timer of a dead incarnation -----------------------------------------


class Ring(Request[None], frozen=True):
    """What an alarm clock sets for itself."""

    incarnation: int


class AlarmClock(SupervisedActor):
    """Sets an alarm at its start.

    Args:
        strangers: gets the alarms that another incarnation has set.
    """

    def __init__(self, strangers: list[Ring]) -> None:
        self.strangers = strangers

    def on_start(self) -> None:
        self.send_after(0.05, Ring(self.actor_ref.incarnation))

    @handles(Ring)
    def ring(self, message: Ring) -> None:
        if message.incarnation != self.actor_ref.incarnation:
            self.strangers.append(message)

    @handles(Crash)
    def crash(self, _message: Crash) -> None:
        raise Boom


def let_timers_outlive_their_actor(patch: pytest.MonkeyPatch) -> None:
    def send_after(self: Any, delay_s: float, message: Any) -> Any:
        address = self.actor_ref.address
        return self.system.timers.call_at(
            self.system.clock.now_s() + delay_s, address.tell, message
        )

    patch.setattr(SupervisedActor, "send_after", send_after)


def crash_an_alarm_clock(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        strangers: list[Ring] = []
        sim.law("an alarm rings for whoever set it", lambda: "a stranger's" if strangers else "")
        spec = ChildSpec(
            id="clock", start=AlarmClock, args=(strangers,), name="clock", keeps_mailbox=True
        )
        system.spawn(Supervisor, [spec]).wait_started()
        clock = system.lookup("clock")
        assert clock is not None

        def crash() -> None:
            sim.sleep(0.03)
            clock.tell(Crash())

        sim.spawn("client", crash)
        sim.run()


# -- the order of a stop, while somebody crashes ---------------------------


class Lodger(SupervisedActor):
    """Takes its time to leave, and says when it begins.

    Args:
        name: which of them.
        left: gets the names of those who were asked to leave.
        living: those who are there.
    """

    def __init__(self, name: str, left: list[str], living: dict[str, None]) -> None:
        self.name = name
        self.left = left
        self.living = living
        living[name] = None

    def terminate(self, reason: ExitReason) -> None:
        if isinstance(reason, Shutdown):
            self.left.append(self.name)
            self.system.lookup("porter").ask(Add(1))  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]  # it is there
        del self.living[self.name]

    @handles(Crash)
    def crash(self, _message: Crash) -> None:
        raise Boom


def take_any_death_for_the_awaited_one(patch: pytest.MonkeyPatch) -> None:
    def stop(self: Any, key: Any) -> Iterator[Until]:
        child = self.children[key]
        cells = [each.ref for each in self.children.values() if each.ref is not None]
        dead = sum(cell.is_dead for cell in cells)
        child.ref.exit(Shutdown())
        yield Until(lambda: sum(cell.is_dead for cell in cells) > dead or child.ref.is_dead)
        self._cut_short(key)
        self.carry_out(after_stop(self.state, child, child.ref.reason or Shutdown()))

    patch.setattr(Interpreter, "_stop", stop)


def stop_while_somebody_crashes(sim: Simulation) -> None:
    system = ActorSystem(runtime=sim.runtime)
    left: list[str] = []
    living: dict[str, None] = {}

    def out_of_order() -> str:
        # Whoever is asked to leave has nobody behind him who was started later and is there.
        for name in left:
            later = [each for each in living if each > name]
            if name in living and later:
                return f"{name} is asked to leave while {later[0]} is there"
        return ""

    sim.law("the last one leaves first", out_of_order)
    system.spawn_named("porter", Counter)
    names = ("a", "b", "c", "d")
    specs = [
        ChildSpec(id=each, start=Lodger, args=(each, left, living), name=each) for each in names
    ]
    tree = system.spawn(Supervisor, specs).wait_started()
    first = system.lookup("a")
    assert first is not None

    def crash() -> None:
        with suppress(DeliveryError):
            first.tell(Crash())

    sim.spawn("ender", tree.exit)
    sim.spawn("client", crash)
    sim.run()
    system.stop()


# -- a child is started twice ----------------------------------------------


class Single(SupervisedActor):
    """There is to be one of them.

    Args:
        living: those who are there.
    """

    def __init__(self, living: list[Single]) -> None:
        self.living = living
        living.append(self)

    def terminate(self, reason: ExitReason) -> None:
        del reason
        self.living.remove(self)

    @handles(Crash)
    def crash(self, _message: Crash) -> None:
        raise Boom


def forget_that_a_wait_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    right: Any = supervisor_module.decide  # type: ignore[attr-defined]  # where it is used

    def decide(state: Any, happened: Any, **more: Any) -> Any:
        child = state.children.get(happened.key)
        if isinstance(happened, DelayOver) and child is not None:
            return strategy._bring_back(state, child)
        return right(state, happened, **more)

    patch.setattr(supervisor_module, "decide", decide)


def restart_by_hand(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime) as system:
        living: list[Single] = []
        sim.law("there is one at most", lambda: f"{len(living)}" if len(living) > 1 else "")
        spec = ChildSpec(
            id="single",
            start=Single,
            args=(living,),
            backoff=Backoff(delays_s=(0.02,)),
        )
        tree = system.spawn(Supervisor, [spec]).wait_started()

        def restart() -> None:
            sim.sleep(0.01)
            with suppress(ChildIsRunning):
                tree.ask(TerminateChild("single"))
                tree.ask(RestartChild("single"))

        living[0].actor_ref.tell(Crash())
        sim.spawn("operator", restart)
        sim.run()


PLANTS = {
    "ask lost at close": Plant(ask_while_it_ends, Deadlock, lose_an_ask),
    "old Down takes the new row": Plant(
        crash_a_session, AssertionError, take_every_end_for_the_current_ones
    ),
    "acknowledge before commit": Plant(
        kill_a_session_at_work, AssertionError, acknowledge_before_the_commit
    ),
    "timer of a dead incarnation": Plant(
        crash_an_alarm_clock, LawBroken, let_timers_outlive_their_actor
    ),
    "stop order under a crash": Plant(
        stop_while_somebody_crashes, LawBroken, take_any_death_for_the_awaited_one
    ),
    "double start": Plant(restart_by_hand, LawBroken, forget_that_a_wait_was_cancelled),
}


def failures_of(
    scenario: Callable[[Simulation], None],
    failure: type[Exception],
    explore: Exploration | None = None,
) -> Iterator[int]:
    """Yield the seeds of a campaign in which the failure shows."""
    for seed in range(SCHEDULES):
        try:
            with Simulation(seed, explore=explore) as sim:
                scenario(sim)
        except failure:
            yield seed


def is_found(plant: Plant) -> bool:
    """Say whether the bug is found often enough; no longer than it takes to know."""
    return len(list(islice(failures_of(plant.scenario, plant.failure), AT_LEAST))) == AT_LEAST


def main() -> None:
    """Print how often each is found."""
    ways: dict[str, Exploration] = {
        "portfolio": Portfolio(),
        "walk": Walk(),
        "lag": Lag(),
        "pct": Pct(),
        "lag .3": Lag(points=0.3),
    }
    _say("of", SCHEDULES, *ways, "CPU s")
    for name, plant in PLANTS.items():
        began_s = time.process_time()
        with pytest.MonkeyPatch.context() as patch:
            plant.plant(patch)
            found = [
                len(list(failures_of(plant.scenario, plant.failure, way))) for way in ways.values()
            ]
        _say(name, *found, f"{time.process_time() - began_s:.1f}")


def _say(*words: object) -> None:
    sys.stdout.write("\t".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
