"""A session whose start is slow, or hangs, is nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from callboard.actors import (
    CountSessions,
    CreateSession,
    SessionActor,
    SessionSystem,
    SpawnError,
)
from callboard.actors.sessions.actor import START_S
from callboard.supervision import Settings
from callboard.supervision.model.starting import START_TIMED_OUT
from callboard.supervision.testing import Simulation
from tests.runtime.kit import Gate

WITHIN_S = 10.0


class Slow(SessionActor[None]):
    """Starts when its user's gate is open."""

    start_s: ClassVar[float | None] = 0.2
    gates: ClassVar[dict[str, Gate]] = {}

    def on_start(self) -> None:
        super().on_start()
        gate = self.gates.get(self.session.user_id or "")
        if gate is not None:
            gate.wait()


@pytest.fixture(params=["threads", 0, 1])
def runtime(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        yield None
        return
    with Simulation(seed=request.param) as simulation:
        yield simulation.runtime


@pytest.fixture
def sessions(runtime: Any) -> Iterator[SessionSystem]:
    with SessionSystem(session=Slow, partitions=1, runtime=runtime) as made:
        yield made
        for gate in Slow.gates.values():
            gate.open()
    Slow.gates.clear()


def close_for(sessions: SessionSystem, user_id: str) -> Gate:
    """Have this user's sessions wait in their start."""
    gate = Slow.gates[user_id] = Gate(sessions.system)
    return gate


def create(sessions: SessionSystem, user_id: str) -> str:
    return sessions.ask(CreateSession(user_id=user_id), timeout=WITHIN_S).id


class TestAStartThatHangs:
    def test_ends_in_time_and_says_why(self, sessions: SessionSystem) -> None:
        close_for(sessions, "bad")

        with pytest.raises(SpawnError, match=START_TIMED_OUT):
            create(sessions, "bad")

        assert sessions.ask(CountSessions()) == 0

    def test_leaves_the_partition_to_the_others(self, sessions: SessionSystem) -> None:
        close_for(sessions, "bad")
        with pytest.raises(SpawnError):
            create(sessions, "bad")

        assert create(sessions, "ada")
        assert sessions.ask(CountSessions()) == 1

    def test_has_less_time_than_the_ask_of_whoever_creates_it(self) -> None:
        assert SessionActor.start_s == START_S
        assert Settings().ask_timeout_s > START_S
