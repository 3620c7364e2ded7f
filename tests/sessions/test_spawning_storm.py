"""Whatever crashes while sessions are spawned and end: what is left has its folder, and no other.

A seed decides when each part is struck. `CALLBOARD_SEED=17` runs that schedule alone.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    SessionActor,
    SessionState,
    SessionSystem,
    TerminateSession,
    WorkspaceError,
)
from callboard.actors.testing import FakeCleaner, FakePrompts, FakeWorkspaces
from callboard.supervision import Future
from callboard.supervision.runtime.current import local
from callboard.supervision.testing import Simulation
from tests.laws import broken_laws, left_behind, parts_of, services_of
from tests.schedules import first_of

SEEDS = range(50)
SESSIONS = 6
PATIENT_S = 60.0


def seeds() -> list[Any]:
    asked_for = os.environ.get("CALLBOARD_SEED")
    return first_of(SEEDS, 5) if asked_for is None else [int(asked_for)]


class Storm:
    """Strikes at calls of the ports: every step of every spawn and cleanup is one."""

    def __init__(self, seed: int, sessions: SessionSystem, victims: tuple[str, ...]) -> None:
        self._chance = random.Random(seed)
        self._sessions = sessions
        self._victims = victims
        self.is_over = False
        self.strikes = 0

    def __call__(self, method: str, session_id: str) -> None:
        chance = self._chance
        if self.is_over or chance.random() > 0.4:
            return
        victim = chance.choice(self._victims)
        if victim in {"step", "errand"} and method == "remove":
            return  # a removal that fails is told, not repeated: the next start sweeps
        if victim == "step":
            msg = f"{method} of {session_id} was struck"
            raise WorkspaceError(msg) if chance.random() < 0.5 else OSError(msg)
        self.strikes += 1
        if victim == "session":
            row = services_of(self._sessions).table.get(session_id)
            ref: Any = None if row is None else getattr(row.address, "ref", None)
        elif victim == "errand":
            assert local.runner is not None
            ref = local.runner.cell  # it is the errand that calls this
        elif victim == "undertaker":
            roots = [
                r for r in self._sessions.system.roots if r.actor_class.__name__ == "Undertaker"
            ]
            ref = chance.choice(roots) if roots else None
        else:
            ref = parts_of(self._sessions).get(victim)
        if ref is not None:
            ref.kill()


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize(
    "victims",
    [
        ("session",),
        ("step", "errand"),
        ("session", "front/manager", "sessions/0", "undertaker", "step", "errand"),
    ],
    ids=["sessions", "steps", "everything"],
)
def test_every_folder_belongs_to_a_session(seed: int, victims: tuple[str, ...]) -> None:
    workspaces, cleaner, prompts = FakeWorkspaces(), FakeCleaner(), FakePrompts()
    with Simulation(seed) as simulation:
        sessions = SessionSystem(
            SessionActor,
            partitions=2,
            runtime=simulation.runtime,
            workspace=workspaces,
            cleaner=cleaner,
            prompts=prompts,
            strict_prompt=True,
        ).start()
        storm = Storm(seed, sessions, victims)
        for fake in (workspaces, cleaner, prompts):
            fake.on_call = storm
        asked: list[Future[Any]] = []
        for number in range(SESSIONS):
            create = CreateSession(session_id=f"s{number}", user_id="ada")
            asked.append(sessions.manager.ask(create, block=False, timeout=PATIENT_S))
            if number % 2:
                end = TerminateSession(f"s{number}", grace_s=1.0)
                asked.append(sessions.manager.ask(end, block=False, timeout=PATIENT_S))
            if number % 3 == 0:
                simulation.settle()
        simulation.advance(PATIENT_S + 1.0)
        storm.is_over = True
        simulation.advance(PATIENT_S)

        rows = services_of(sessions).table.rows()
        assert all(each.is_done for each in asked)
        assert [row.id for row in rows if row.session().state is not SessionState.ACTIVE] == []
        assert set(workspaces.folders) == {row.id for row in rows}
        assert broken_laws(sessions) == []
        system = sessions.system
        sessions.stop()
        assert workspaces.folders == {}
        assert left_behind(system) == []
