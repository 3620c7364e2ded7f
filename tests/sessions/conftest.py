"""What the tests of whole session systems get."""

from __future__ import annotations

import pytest

from callboard.actors import CreateSession, SessionSystem
from tests.sessions.stage import Stage, stage

__all__ = ["ada", "opened", "stage"]


@pytest.fixture
def opened(stage: Stage) -> SessionSystem:
    """Return a system that runs, with the stage's behaviour."""
    return stage.open()


@pytest.fixture
def ada(opened: SessionSystem) -> str:
    """Return the id of a session."""
    return opened.ask(CreateSession(user_id="ada", org_id="acme", agent_role="guide")).id
