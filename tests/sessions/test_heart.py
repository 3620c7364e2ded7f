"""The watchdog hears of the tree while it is healthy, and only then."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from callboard.actors import SessionSystem
from callboard.supervision.testing import Simulation
from tests.sessions.stage import part_of

INTERVAL_S = 10.0


class Listener:
    """A watchdog that counts."""

    interval_s = INTERVAL_S

    def __init__(self) -> None:
        self.beats = 0
        self.is_broken = False

    def beat(self) -> None:
        self.beats += 1
        if self.is_broken:
            raise OSError("nobody listens")

    def after(self, sim: Simulation, seconds: float) -> int:
        """Return how many signs come in this time."""
        before = self.beats
        sim.advance(seconds)
        return self.beats - before


@contextmanager
def _healthy(listener: Listener) -> Generator[tuple[Simulation, SessionSystem]]:
    with (
        Simulation(1) as sim,
        SessionSystem(runtime=sim.runtime, watchdog=listener, partitions=2) as sessions,
    ):
        sim.settle()
        assert listener.beats == 1
        yield sim, sessions


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_a_healthy_tree_gives_a_sign_at_every_interval(listener: Listener) -> None:
    with _healthy(listener) as (sim, _):
        assert listener.after(sim, 5 * INTERVAL_S) == 5


def test_a_manager_that_does_not_come_to_what_it_is_asked_gives_none(listener: Listener) -> None:
    with _healthy(listener) as (sim, sessions):
        manager = sessions.manager.ref
        assert manager is not None
        manager.suspend()
        assert listener.after(sim, 5 * INTERVAL_S) == 0

        manager.resume()
        sim.settle()
        assert listener.after(sim, 5 * INTERVAL_S) == 5


def test_a_part_that_does_not_run_means_no_sign(listener: Listener) -> None:
    with _healthy(listener) as (sim, sessions):
        supervisor = part_of(sessions, "sessions")
        supervisor.suspend()
        part_of(sessions, "sessions/1").kill()
        assert listener.after(sim, 5 * INTERVAL_S) == 0

        supervisor.resume()
        sim.settle()
        assert listener.after(sim, 5 * INTERVAL_S) == 5


def test_a_manager_that_restarts_is_missed_by_no_sign(listener: Listener) -> None:
    with _healthy(listener) as (sim, sessions):
        manager = sessions.manager.ref
        assert manager is not None
        manager.kill()
        assert listener.after(sim, 5 * INTERVAL_S) == 5


def test_a_watchdog_that_raises_costs_the_tree_nothing(listener: Listener) -> None:
    listener.is_broken = True
    with _healthy(listener) as (sim, sessions):
        assert listener.after(sim, 20 * INTERVAL_S) == 20
        assert sessions.health().is_healthy
        assert sessions.system.counts["watchdog_beats_failed"] == listener.beats
