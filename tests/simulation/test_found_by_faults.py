"""Defects that the campaigns under faults have found, each with the least that shows it."""

from __future__ import annotations

import gc
import warnings
from functools import partial
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PassivateSession,
    Presence,
    ResumeSession,
    Role,
    Session,
    SessionSystem,
    SpawnError,
    StoreError,
    StoreOutcomeUnknown,
)
from callboard.actors.sessions.internal import SessionGivenUp
from callboard.actors.sessions.starts import Cause, Starts
from callboard.actors.sessions.table import Row
from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    ChildKind,
    ChildSpec,
    Killed,
    Supervisor,
)
from callboard.supervision.testing import (
    FaultPlan,
    LawBroken,
    Simulation,
    Walk,
    faults,
    simulate,
)
from tests.sessions.stage import services_of
from tests.simulation.cast import Add, AsyncCounter, Counter, Pass

DULL = Walk(points=0, early_timers=0, hand_offs=0)
LENT = Walk(points=0, early_timers=0, hand_offs=1)


@pytest.mark.parametrize("explore", [DULL, LENT], ids=["by message", "on the manager's stack"])
def test_a_session_that_wakes_and_fails_before_it_has_begun_is_woken_again(explore: Walk) -> None:
    """Its end was taken for that of one which its partition restarts: nobody did."""
    plan = FaultPlan((faults.Crash(of="SessionActor", on="on_start", nth=2),))
    with (
        Simulation(explore=explore, faults=plan) as sim,
        SessionSystem(runtime=sim.runtime, partitions=1) as sessions,
    ):
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))
        sim.run()

        assert sessions.ask(AppendMessage(ada, Role.USER, "hello")) == 1
        assert sim.seen("crash in on_start") == 1


def test_a_session_that_is_killed_while_it_starts_does_not_take_the_row_afterwards() -> None:
    """It was said to be awake then, and nobody was there."""
    plan = FaultPlan((faults.Slow(of="SessionActor", on="on_start", nth=2, seconds=6.0),))
    with (
        Simulation(explore=DULL, faults=plan) as sim,
        SessionSystem(runtime=sim.runtime, partitions=1) as sessions,
    ):
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))
        sim.run()
        with pytest.raises(SpawnError):
            sessions.ask(ResumeSession(ada))
        assert sim.now_s < 6.0

        sim.run()

        assert sessions.get(ada).presence is Presence.ASLEEP
        assert sessions.ask(AppendMessage(ada, Role.USER, "hello")) == 1


class TestWhatTheStoreSaidOfAStart:
    """A manager that takes over asks once more, before it has heard what came of the first."""

    def test_is_not_forgotten_when_it_is_asked_for_again(self) -> None:
        starts, ada = Starts(1), Row(Session(id="ada"), active_s=0.0)
        start = starts.want(ada, Cause.CREATE)
        starts.ask(start)
        lost = StoreOutcomeUnknown("it may be kept")
        starts.refuse(ada, lost)

        starts.take_over()
        starts.ask(start)
        starts.refuse(ada, StoreError("nothing is kept of the second"))

        assert start.refusal is lost

    def test_has_a_number_for_each_time(self) -> None:
        starts = Starts(1)
        start = starts.want(Row(Session(id="ada"), active_s=0.0), Cause.CREATE)
        starts.ask(start)
        first = start.number

        starts.take_over()
        starts.ask(start)

        assert start.number != first


def test_a_session_that_has_come_back_is_not_given_up_for_its_last_life() -> None:
    """What a killed manager has not read its successor reads, late."""
    with Simulation(explore=DULL) as sim, SessionSystem(runtime=sim.runtime) as sessions:
        ada = sessions.ask(CreateSession()).id
        first = sessions.address(ada).ref
        assert first is not None
        first.kill()
        sim.run()
        manager: Any = sessions.manager
        row = services_of(sessions).table.row(ada)

        manager.notify(SessionGivenUp(row, 1, Killed(), None))
        sim.run()

        assert sessions.get(ada).presence is Presence.AWAKE


def test_a_session_that_is_started_anew_is_not_given_up_for_its_last_life() -> None:
    """The end of the one that was being started was taken for a restart, which nobody made."""
    plan = FaultPlan(
        (
            faults.Slow(of="SessionActor", on="on_start", seconds=1.0, nth=2),
            faults.Crash(of="SessionActor", on="on_start", nth=2),
        )
    )
    with (
        Simulation(explore=DULL, faults=plan) as sim,
        SessionSystem(runtime=sim.runtime, partitions=1) as sessions,
    ):
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))
        manager: Any = sessions.manager
        sim.spawn("asker", partial(sessions.ask, AppendMessage(ada, Role.USER, "hello")))
        sim.settle()
        row = services_of(sessions).table.row(ada)

        manager.notify(SessionGivenUp(row, 1, Killed(), None))
        sim.run()

        assert len(sessions.messages(ada)) == 1


@simulate(schedules=60, faults=FaultPlan((faults.Kill(of="inner", on="ChildExited", nth=1),)))
def test_a_supervisor_that_is_killed_in_a_restart_leaves_no_name_behind(sim: Simulation) -> None:
    """It took the name for the next incarnation, which it then could not start any more."""
    with ActorSystem(runtime=sim.runtime) as system:
        child = ChildSpec(id="counter", start=Counter, name="counter", keeps_mailbox=True)
        inner = ChildSpec(
            id="inner",
            start=partial(Supervisor, [child]),
            name="inner",
            kind=ChildKind.SUPERVISOR,
        )
        system.spawn(Supervisor, [inner], intensity=0).wait_started()
        counter = system.lookup("counter")
        assert counter is not None
        assert counter.ref is not None
        counter.ref.kill()
        sim.run()

        if sim.seen("kill"):
            assert system.lookup("counter") is None
            with pytest.raises(ActorDeadError):
                counter.ask(Add(1))


def test_a_simulation_that_has_failed_leaves_no_coroutine_that_nobody_awaits() -> None:
    def fail() -> None:
        with Simulation(explore=DULL) as sim, ActorSystem(runtime=sim.runtime) as system:
            other, counter = system.spawn(Counter), system.spawn(AsyncCounter)
            sim.law("nobody works", lambda: "" if counter.operation is None else "one does")
            counter.tell(Pass(other, 1))
            sim.run()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(LawBroken):
            fail()
        gc.collect()

    assert caught == []
