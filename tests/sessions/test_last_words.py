"""A manager or partition that was killed may go on for a moment: what it learns then is nothing."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import CreateSession, GetSession, Presence, SessionSystem
from callboard.actors.sessions.internal import SessionGivenUp
from callboard.actors.sessions.verdict import NeverStarted
from callboard.supervision import Shutdown
from callboard.supervision.model.events import ChildGivenUp
from tests.laws import broken_laws
from tests.sessions.stage import Stage, part_of, services_of


def test_of_a_manager_judge_no_incarnation_that_the_next_one_has_begun(
    stage: Stage, opened: SessionSystem
) -> None:
    ada = opened.ask(CreateSession()).id
    row, part = services_of(opened).table.row(ada), part_of(opened, "front/manager")
    manager: Any = part.actor
    part.kill()
    stage.settle()

    manager.learn(row, NeverStarted(reason=Shutdown(), may_be_kept=True))
    stage.settle()

    assert row.presence is Presence.AWAKE
    assert broken_laws(opened) == []
    assert opened.ask(GetSession(ada)).id == ada


def test_of_a_partition_give_up_no_incarnation_that_the_next_one_has_begun(
    stage: Stage, opened: SessionSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = opened.ask(CreateSession()).id
    services = services_of(opened)
    row = services.table.row(ada)
    part = part_of(opened, f"sessions/{row.partition}")
    partition: Any = part.actor
    told: list[object] = []
    monkeypatch.setattr(services, "announce", told.append)
    event = ChildGivenUp(
        supervisor="sessions",
        child_id=ada,
        incarnation=1,
        ref=None,
        reason=Shutdown(),
        restarts=1,
        intensity=0,
    )

    partition.on_given_up(event)
    part.kill()
    stage.settle()
    partition.on_given_up(event)

    assert [type(each) for each in told].count(SessionGivenUp) == 1
