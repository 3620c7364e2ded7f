"""Everything at once: clients, kills, crashes, restarts, stops; the laws hold all the same."""

from __future__ import annotations

import math
from collections import Counter as Tally
from functools import partial
from typing import Any

import pytest

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    Address,
    DeliveryError,
    Request,
    Settings,
    SupervisedActor,
    handles,
)
from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing import Probe, Simulation, Walk, simulate
from tests.simulation.cast import Boom

WALK = Walk(points=0.25, early_timers=0.02)
CLIENTS = 4
MESSAGES = 8


class Work(Request[str], frozen=True):
    """One message of a client; `what` says what the handler does with it."""

    client: int
    number: int
    what: str
    helper: Any = None


class Worker(SupervisedActor):
    """Keeps a log of what it began to handle, shared by all its incarnations."""

    def __init__(self, log: list[Work]) -> None:
        self.log = log

    @handles(Work)
    def work(self, message: Work) -> str:
        self.log.append(message)
        return self.do(message)

    def do(self, message: Work) -> str:
        match message.what:
            case "crash":
                raise Boom("as it was told to")
            case "ask":
                helped: str = message.helper.ask(
                    Work(message.client, message.number, "answer"), timeout=math.inf
                )
                return helped
            case "stop":
                self.stop()
            case "kill":
                self.actor_ref.kill()
            case _:
                pass
        return "done"


class QuickWorker(Worker):
    """May answer on its asker's own stack; so it asks nobody."""

    hand_off = True

    def do(self, message: Work) -> str:
        return "done" if message.what == "ask" else super().do(message)


class AsyncWorker(Worker):
    """Awaits its helper."""

    @handles(Work)
    async def work(self, message: Work) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # async on purpose
        self.log.append(message)
        if message.what != "ask":
            return self.do(message)
        answer = Work(message.client, message.number, "answer")
        helped: str = await message.helper.ask_async(answer, timeout=math.inf)
        return helped


KINDS: tuple[type[Worker], ...] = (Worker, QuickWorker, AsyncWorker)
ACTS = ("answer", "answer", "answer", "ask", "ask", "crash", "stop", "kill")


class Storm:
    """Three places, each with an address that keeps its mailbox and is filled again when empty."""

    def __init__(self, sim: Simulation, system: ActorSystem) -> None:
        self.sim = sim
        self.system = system
        self.chance: Stream = system.random("storm")
        self.probe = Probe(system)
        self.logs: list[list[Work]] = [[] for _ in KINDS]
        self.places: list[Address[Any]] = [
            system.reserve(f"place-{place}", keeps_mailbox=True) for place in range(len(KINDS))
        ]
        self.lives: list[ActorRef[Any]] = []
        self.ends: Tally[object] = Tally()
        self.monitors: list[int] = []
        self.asks = 0
        self.told: list[tuple[int, Work]] = []
        for place in range(len(KINDS)):
            self.fill(place)

    def fill(self, place: int, _reason: object = None) -> None:
        if self.system.is_open:
            ref = self.system.start_child(
                None, KINDS[place], (self.logs[place],), address=self.places[place]
            )
            self.lives.append(ref)
            ref.when_dead("ended", partial(self.has_ended, ref))
            ref.when_dead("filled", partial(self.fill, place))

    def has_ended(self, ref: ActorRef[Any], _reason: object) -> None:
        self.ends[id(ref)] += 1

    def any_of(self, things: Any) -> Any:
        return things[int(self.chance.random() * len(things))]

    def client(self, client: int) -> None:
        for number in range(MESSAGES):
            place = int(self.chance.random() * len(KINDS))
            helper = self.places[(place + 1) % len(KINDS)]
            # Asked by a later place only: a circle of helpers would be a cycle of asks.
            what = self.any_of(ACTS) if place + 1 < len(KINDS) else "answer"
            message = Work(client, number, what, helper)
            if self.chance.random() < 0.3:
                self.places[place].tell(message)
                self.told.append((place, message))
            else:
                self.ask(place, message)

    def ask(self, place: int, message: Work) -> None:
        self.asks += 1
        try:
            assert self.places[place].ask(message, timeout=math.inf) == "done"
        except (DeliveryError, Boom) as error:
            self.sim.note("ended", type(error).__name__)
        self.asks -= 1

    def nemesis(self) -> None:
        for _ in range(4):
            self.sim.sleep(0)
            ref = self.any_of(self.places).ref
            if ref is not None:
                self.monitors.append(self.probe.monitor(ref))
                self.any_of((ref.kill, ref.exit, ref.poke))()

    def check(self) -> None:
        for log in self.logs:
            for client in range(CLIENTS):
                # What another worker asked on the client's behalf has no helper, and its own order.
                mine = [each for each in log if each.client == client and each.helper is not None]
                numbers = [each.number for each in mine]
                assert numbers == sorted(set(numbers)), "lost its order, or was handled twice"
        letters = [letter.message for letter in self.system.dead_letters.latest]
        for place, message in self.told:
            found = self.logs[place].count(message) + letters.count(message)
            assert found == 1, f"{message} was told once and found {found} times"
        downs = Tally(down.monitor for down in self.probe.received)
        assert all(count == 1 for count in downs.values()), "more than one Down"


def storm(sim: Simulation) -> None:
    """Let it blow, and check the laws."""
    with ActorSystem(runtime=sim.runtime, settings=Settings(ask_timeout_s=1000)) as system:
        world = Storm(sim, system)
        for client in range(CLIENTS):
            sim.spawn(f"client-{client}", partial(world.client, client))
        sim.spawn("nemesis", world.nemesis)

        sim.run()

        world.check()
        assert world.asks == 0, "an ask did not end"
        dead = [ref for ref in world.lives if ref.is_dead]
        assert all(world.ends[id(ref)] == 1 for ref in dead), "not exactly one end"
        assert sim.now_s < 1, "somebody waited for a timeout"

    assert all(ref.is_dead for ref in world.lives)
    assert all(world.ends[id(ref)] == 1 for ref in world.lives)


@simulate(schedules=300, explore=WALK)
def test_the_laws_hold_in_a_storm(sim: Simulation) -> None:
    storm(sim)


@pytest.mark.slow
@simulate(schedules=200)
def test_they_hold_in_every_way_to_explore(sim: Simulation) -> None:
    storm(sim)


@simulate(schedules=300, explore=WALK)
def test_a_stop_in_the_middle_of_it_ends_every_ask(sim: Simulation) -> None:
    with ActorSystem(runtime=sim.runtime, settings=Settings(ask_timeout_s=1000)) as system:
        storm = Storm(sim, system)
        sent = sim.steps + 20 + sim.seed % 60

        def client(number: int) -> None:
            try:
                storm.client(number)
            except DeliveryError as error:
                sim.note("refused", type(error).__name__)

        for number in range(CLIENTS):
            sim.spawn(f"client-{number}", partial(client, number))
        sim.run(until=lambda: sim.steps >= sent)

        report = system.stop(timeout_s=10)
        sim.run()

        assert report.abandoned == ()
        assert storm.asks == 0, "an ask did not end"
        assert all(ref.is_dead for ref in storm.lives)
