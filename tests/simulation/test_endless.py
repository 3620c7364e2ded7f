"""A step that does not end is ended, and named."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from typing import Any

import pytest

from callboard.supervision import ActorSystem, Request, SupervisedActor, handles
from callboard.supervision.testing import EndlessStep, Simulation, Walk
from callboard.supervision.testing.watchdog import WATCHDOG

SOON_S = 0.1
"""The bound in these tests, in seconds of the processor."""


class Spin(Request[None], frozen=True):
    """Never end."""


class SpinLater(Request[None], frozen=True):
    """The same in a coroutine."""


class Insist(Request[None], frozen=True):
    """Never end, whatever is raised."""


class Count(Request[int], frozen=True):
    """Count to a number, and end."""

    number: int


def spin() -> None:
    while True:
        pass


class Spinner(SupervisedActor):
    @handles(Spin)
    def spin(self, _message: Spin) -> None:
        spin()

    @handles(SpinLater)
    async def spin_later(self, _message: SpinLater) -> None:
        spin()

    @handles(Insist)
    def insist(self, _message: Insist) -> None:
        while True:
            try:
                spin()
            except Exception:  # noqa: BLE001, S112 -- what it is about: it catches all it may
                continue

    @handles(Count)
    def count(self, message: Count) -> int:
        return sum(1 for _ in range(message.number))


class QuickSpinner(Spinner):
    hand_off = True


class BadStart(SupervisedActor):
    def on_start(self) -> None:
        spin()


def world(seed: int = 0, **options: Any) -> Simulation:
    return Simulation(seed, step_max_s=SOON_S, **options)


class TestAStepThatDoesNotEnd:
    @pytest.mark.parametrize("message", [Spin(), SpinLater(), Insist()])
    def test_is_ended_and_named_with_its_message(self, message: Request[None]) -> None:
        with world(seed=7) as sim, ActorSystem(runtime=sim.runtime) as system:
            ref = system.spawn_named("spinner", Spinner)

            with pytest.raises(EndlessStep) as found:
                ref.ask(message)

        error = found.value
        assert (error.actor, error.message_type) == ("spinner", type(message).__name__)
        assert error.step_max_s == SOON_S
        assert f"{__file__}:" in error.place
        assert error.place.endswith("in spin")
        assert f"spinner handles {type(message).__name__} for more than 0.1 sec" in str(error)
        assert any("seed 7" in note for note in error.__notes__)

    def test_is_found_in_a_start(self) -> None:
        with world() as sim, ActorSystem(runtime=sim.runtime) as system:
            ref = system.spawn_named("bad", BadStart)

            with pytest.raises(EndlessStep, match="bad runs for") as found:
                ref.wait_started()

        assert found.value.message_type is None

    def test_is_found_in_a_client(self) -> None:
        with world() as sim:
            sim.spawn("ada", spin)

            with pytest.raises(EndlessStep, match="ada runs for"):
                sim.run()

    def test_is_found_where_it_runs_on_its_askers_stack(self) -> None:
        with (
            world(explore=Walk(hand_offs=1.0)) as sim,
            ActorSystem(runtime=sim.runtime) as system,
        ):
            ref = system.spawn_named("quick", QuickSpinner).wait_started()
            sim.settle()

            with pytest.raises(EndlessStep) as found:
                ref.ask(Spin())

        assert ("hand-off", "quick") in sim.trace.entries
        assert (found.value.actor, found.value.message_type) == ("quick", "Spin")


class TestAStepThatEnds:
    def test_may_take_a_while(self) -> None:
        with Simulation(step_max_s=30) as sim, ActorSystem(runtime=sim.runtime) as system:
            assert system.spawn(Spinner).ask(Count(3_000_000)) == 3_000_000

    @pytest.mark.parametrize("kind", [Spinner, QuickSpinner])
    def test_is_no_matter_how_many_there_are(self, kind: type[Spinner]) -> None:
        with (
            world(explore=Walk(hand_offs=1.0)) as sim,
            ActorSystem(runtime=sim.runtime) as system,
        ):
            ref = system.spawn(kind)
            used_s = sim._hub.cpu_s()

            while sim._hub.cpu_s() - used_s < 4 * SOON_S:
                ref.ask(Count(100_000))

    def test_is_no_matter_how_long_the_test_itself_takes(self) -> None:
        with world() as sim:
            used_s = sim._hub.cpu_s()

            while sim._hub.cpu_s() - used_s < 4 * SOON_S:
                pass

    def test_may_wait_as_long_as_it_likes(self) -> None:
        with world() as sim:
            sim.spawn("ada", lambda: sim.sleep(1e6))

            sim.run()

            assert sim.now_s == 1e6


class TestTheWatchdog:
    def test_is_in_nobodys_count_of_threads(self) -> None:
        before = threading.active_count()

        with world():
            assert WATCHDOG.is_running
            assert threading.active_count() == before

    def test_holds_on_to_no_simulation(self) -> None:
        sim = world()
        hub = weakref.ref(sim._hub)

        sim.close()
        del sim
        gc.collect()

        assert hub() is None

    def test_can_be_left_at_home(self) -> None:
        with Simulation(step_max_s=math.inf) as sim:
            hub: Any = sim._hub
            assert hub not in [each.watched() for each in WATCHDOG._watches]
