"""Defects of durable sessions that the campaigns have found, each with the least that shows it."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PassivateSession,
    Presence,
    Role,
    SessionNotFound,
    SessionState,
    SessionSystem,
    SpawnError,
    StoreError,
    StoreOutcomeUnknown,
)
from callboard.actors.storage.sqlite import SqliteStore
from callboard.actors.testing import MemoryDisk, StoreDies, StoreIsSlow, StoreRefuses
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision.testing import FaultPlan, Simulation, Walk, faults
from tests.history.talking import DURABLE_FAULTS, talk
from tests.laws import services_of
from tests.simulation.durable import (
    DURABLE_PLAN,
    DURABLE_TAKING_OVER,
    StoreThrows,
    ThrowingStore,
    durable,
)

DULL = Walk(points=0, early_timers=0, hand_offs=0)


@pytest.mark.parametrize("seed", [20, 40, 120, 229, 2427])
def test_a_schedule_that_once_broke_a_law_keeps_it(seed: int) -> None:
    with Simulation(seed, faults=DURABLE_PLAN) as sim:
        durable(sim)


@pytest.mark.parametrize("seed", [40, 168, 309, 584, 1696, 2093, 3590])
def test_a_schedule_of_managers_that_take_over_keeps_it(seed: int) -> None:
    with Simulation(seed, faults=DURABLE_TAKING_OVER) as sim:
        durable(sim)


def test_what_one_attempt_may_have_kept_is_not_refused_for_sure_by_the_next() -> None:
    """The creator was told that nothing is kept, and the session was in the store for ever."""
    plan = FaultPlan((StoreRefuses(nth=2), StoreDies(nth=1)))
    with Simulation(explore=DULL, faults=plan) as sim:
        store = StoreInMemory(sim)
        with SessionSystem(runtime=sim.runtime, store=store) as sessions:
            with pytest.raises(StoreOutcomeUnknown):
                sessions.ask(CreateSession())
            sim.run()

            assert list(store.sessions()) == []


def test_what_is_refused_of_a_message_does_not_undo_the_start_of_its_session() -> None:
    """It was called off, and counted as asleep or restarting with nobody to restart it."""
    plan = FaultPlan((StoreIsSlow(nth=2), StoreRefuses(nth=2)))
    with Simulation(explore=DULL, faults=plan) as sim:
        store = StoreInMemory(sim)
        with SessionSystem(runtime=sim.runtime, store=store) as sessions:
            ada = sessions.ask(CreateSession()).id
            sessions.ask(PassivateSession(ada))
            sim.run()

            with pytest.raises(StoreError):
                sessions.ask(AppendMessage(ada, Role.USER, "hello"))
            sim.run()

            assert sessions.get(ada).presence is Presence.AWAKE
            address = sessions.address(ada)
            assert address.ref is not None
            assert address.ref.incarnation == 2


def test_a_session_whose_create_has_failed_is_started_by_no_manager() -> None:
    """A manager that took over started it, its creator was told so, and then it was undone."""
    plan = FaultPlan(
        (
            faults.Crash(of="SessionActor", on="on_start", nth=1, is_late=True),
            StoreRefuses(nth=2),
        )
    )
    with Simulation(explore=DULL, faults=plan) as sim:
        store = StoreInMemory(sim)
        with SessionSystem(runtime=sim.runtime, store=store) as sessions:
            create = CreateSession(session_id="ada")
            client = sim.spawn("ada", partial(_why, sessions, create))
            sim.run(lambda: store.transactions == 2)  # its end has been refused; again in a second
            manager: Any = sessions.manager
            manager.ref.kill()
            sim.run()

            assert client.result() is SpawnError
            with pytest.raises(SessionNotFound):
                sessions.get("ada")
            assert list(store.sessions()) == []


def _why(sessions: SessionSystem, create: CreateSession) -> type[Exception] | None:
    try:
        sessions.ask(create, timeout=60.0)
    except (SpawnError, StoreError) as error:
        return type(error)
    return None


def test_a_create_that_may_be_kept_is_not_refused_for_sure_when_it_is_tried_again() -> None:
    """Its partition died meanwhile, and the next one's attempt was refused."""
    plan = FaultPlan(
        (
            faults.Kill(of="sessions/0", on="StartMoved", nth=1),
            StoreRefuses(nth=3),
            StoreDies(rate=1.0, most=2),
        )
    )
    with Simulation(explore=DULL, faults=plan) as sim:
        store = StoreInMemory(sim)
        with SessionSystem(runtime=sim.runtime, store=store, partitions=1) as sessions:
            with pytest.raises(StoreOutcomeUnknown):
                sessions.ask(CreateSession())
            sim.run()

            assert list(store.sessions()) == []


@pytest.mark.parametrize("seed", [72, 120])
def test_a_writer_that_is_thrown_out_of_its_store_is_gone_on_with(seed: int) -> None:
    with Simulation(seed, faults=DURABLE_PLAN) as sim:
        durable(sim)


def test_what_a_writer_was_thrown_out_of_is_not_refused_for_sure_by_the_next() -> None:
    plan = FaultPlan((StoreThrows(nth=2, is_late=True), StoreRefuses(nth=3)))
    with Simulation(explore=DULL, faults=plan) as sim:
        store = ThrowingStore(sim)
        with SessionSystem(runtime=sim.runtime, store=store) as sessions:
            ada = sessions.ask(CreateSession()).id

            with pytest.raises(StoreOutcomeUnknown):
                sessions.ask(AppendMessage(ada, Role.USER, "hello"))

            assert sessions.ask(AppendMessage(ada, Role.USER, "again")) == 1


def test_a_session_whose_beginning_is_refused_begins_anew() -> None:
    """It took messages while it was said to be created and no more."""
    plan = FaultPlan(
        (StoreRefuses(nth=2), faults.Slow(of="manager", on="StartKept", nth=1, seconds=1.0))
    )
    with Simulation(explore=DULL, faults=plan) as sim:
        store = StoreInMemory(sim)
        with SessionSystem(runtime=sim.runtime, store=store) as sessions:
            ada = sessions.ask(CreateSession(activate=False)).id
            append = AppendMessage(ada, Role.USER, "hello")

            with pytest.raises(StoreError):
                sessions.ask(append)
            with pytest.raises(StoreError):  # the manager has not heard of it yet
                sessions.ask(append)
            sim.run()

            assert sessions.ask(append) == 1
            assert sessions.get(ada).state is SessionState.ACTIVE


def test_an_end_that_was_under_way_is_finished_though_its_session_is_quarantined() -> None:
    """The process died with it, and the next one looked at those alone that slept."""
    store = StoreInMemory()
    with (
        Simulation(explore=DULL) as sim,
        SessionSystem(runtime=sim.runtime, store=store) as before,
    ):
        ada = before.ask(CreateSession()).id
    kept = store.kept[ada]
    head = msgspec.structs.replace(kept.head, state="terminating", version=kept.head.version + 1)
    standing = b'{"is_quarantined":true,"since":1700000000.0}'
    store.kept[ada] = msgspec.structs.replace(kept, head=head, standing=standing)

    with (
        Simulation(explore=DULL) as sim,
        SessionSystem(runtime=sim.runtime, store=store) as after,
    ):
        sim.run()

        assert len(services_of(after).table) == 0
    assert list(store.sessions()) == []


def test_a_word_on_a_spent_budget_that_the_store_kept_back_quarantines_nobody_who_starts() -> None:
    """The start that was under way was forgotten over it, and its session restarting for ever."""
    with Simulation(4448, faults=DURABLE_PLAN) as sim:
        durable(sim)


def test_a_session_whose_snapshot_is_missing_fails_alone() -> None:
    disk = MemoryDisk()
    with (
        Simulation(explore=DULL) as sim,
        SessionSystem(runtime=sim.runtime, store=SqliteStore("sessions.db", disk=disk)) as before,
    ):
        ada, bob = (before.ask(CreateSession(user_id=name)).id for name in ("ada", "bob"))
    store = SqliteStore("sessions.db", disk=disk)
    store.change(
        lambda database: database.execute(
            "DELETE FROM snapshot WHERE session = (SELECT number FROM session WHERE id = ?)", (ada,)
        )
    )

    with Simulation(explore=DULL) as sim, SessionSystem(runtime=sim.runtime, store=store) as after:
        assert after.get(ada).presence is Presence.QUARANTINED
        assert after.ask(AppendMessage(bob, Role.USER, "hello")) == 1


@pytest.mark.parametrize("seed", [44, 937, 1721, 1821])
def test_a_history_that_once_told_two_stories_tells_one(seed: int) -> None:
    """An end that was refused was told as under way, and what was kept as not kept.

    A session whose end was refused was said to sleep, though its next incarnation lived.
    """
    with Simulation(seed) as sim:
        assert talk(sim, faults=DURABLE_FAULTS, is_durable=True).broken() == []
