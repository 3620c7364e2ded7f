"""Scenarios of every kind, whose runs are compared: between processes, and between Pythons.

    python -m tests.simulation.worlds

prints the digests of their runs; `digests.toml` is that, as it should be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from callboard.actors import (
    AppendMessage,
    CountSessions,
    CreateSession,
    PassivateSession,
    Role,
    SessionError,
    SessionSystem,
    TerminateSession,
)
from callboard.supervision import (
    ActorSystem,
    Backoff,
    ChildSpec,
    DeliveryError,
    Strategy,
    Supervisor,
)
from callboard.supervision.testing import FaultPlan, Simulation, faults
from tests.laws import broken_laws
from tests.simulation.cast import Add, Counter, QuickCounter
from tests.simulation.durable import DURABLE_PLAN, durable
from tests.simulation.dying import FAILING, dying
from tests.simulation.mixed import PLAN, mixed
from tests.simulation.test_replay import busy
from tests.simulation.test_storm import storm

SEEDS = range(20)
"""The schedules of each scenario that are compared: five for each way to explore."""

DELAYS = Backoff(delays_s=(0.0, 0.02))
"""Of the restarts in the tree."""


def tree(sim: Simulation) -> None:
    """Let a tree of three be used while its children crash and are killed."""
    with ActorSystem(runtime=sim.runtime) as system:
        specs = [
            ChildSpec(id=name, start=kind, name=name, keeps_mailbox=True, backoff=DELAYS)
            for name, kind in (("a", Counter), ("b", QuickCounter), ("c", Counter))
        ]
        strategy = tuple(Strategy)[sim.seed % 3]
        tree = partial(Supervisor, specs, strategy=strategy, intensity=2, period_s=1.0)
        system.spawn_named("tree", tree).wait_started()

        def use(name: str) -> None:
            for number in range(4):
                address = system.lookup(name)
                if address is None:  # the supervisor gave up
                    sim.note("nobody", name)
                    return
                try:
                    sim.note("sum", name, address.ask(Add(number), timeout=10))
                except (DeliveryError, faults.Struck) as error:
                    sim.note("ended", name, type(error).__name__)

        for name in ("a", "b", "c"):
            sim.spawn(f"client of {name}", partial(use, name))
        sim.run()


def sessions(sim: Simulation) -> None:
    """Let sessions be made, used, put to sleep, killed and ended."""
    with SessionSystem(runtime=sim.runtime, partitions=2) as system:

        def live(name: str) -> None:
            try:
                mine = system.ask(CreateSession(user_id=name)).id
                for number in range(3):
                    with suppress(DeliveryError):
                        text = f"{name} {number}"
                        seq = system.ask(AppendMessage(mine, role=Role.USER, content=text))
                        sim.note("appended", seq)
                    if sim.happens("sleep", 0.2):
                        sim.note("is", system.ask(PassivateSession(mine)).presence.value)
                if sim.happens("end", 0.5):
                    sim.note("is", system.ask(TerminateSession(mine)).state.value)
            except (SessionError, DeliveryError) as error:
                sim.note("ended", type(error).__name__)

        clients = [sim.spawn(name, partial(live, name)) for name in ("ada", "bob", "eve")]
        sim.run(lambda: all(each.is_done for each in clients))
        sim.advance(5.0)
        assert broken_laws(system) == []
        sim.note("sessions", system.ask(CountSessions()))


class World(NamedTuple):
    """A scenario, what may go wrong in it, and which schedules of it are compared."""

    play: Callable[[Simulation], object]
    faults: FaultPlan | None = None
    seeds: range = SEEDS


WORLDS = {
    "busy": World(busy),
    "storm": World(storm),
    "tree": World(
        tree, FaultPlan((faults.Crash(of="Counter", rate=0.1), faults.Kill(of="Counter", rate=0.1)))
    ),
    "sessions": World(sessions, FaultPlan((faults.Kill(of="SessionActor", rate=0.2),))),
    "mixed": World(mixed, PLAN),
    "durable": World(durable, DURABLE_PLAN),
    "dying": World(dying, FAILING, range(8)),
}


def digest(world: str, seed: int) -> str:
    """Return what tells a run from all others."""
    with Simulation(seed, faults=WORLDS[world].faults) as sim:
        WORLDS[world].play(sim)
    return sim.trace.digest


def digests() -> dict[str, dict[str, str]]:
    """Return the digests of all, by scenario and seed."""
    return {
        world: {str(seed): digest(world, seed) for seed in each.seeds}
        for world, each in WORLDS.items()
    }


def as_toml(found: dict[str, dict[str, str]]) -> str:
    """Return the text of `digests.toml`."""
    lines = ["# Made by: python -m tests.simulation.worlds > tests/simulation/digests.toml"]
    for world, by_seed in found.items():
        lines += ["", f"[{world}]", *(f'{seed} = "{word}"' for seed, word in by_seed.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_toml(digests()))
