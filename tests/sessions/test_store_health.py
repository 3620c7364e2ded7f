"""What health and metrics say of a durable store."""

from __future__ import annotations

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Keeping,
    Presence,
    Role,
    SessionSystem,
    StoreDamaged,
    StoreError,
    StoreHealth,
)
from callboard.actors.sessions.store_writer import PROBE_EVERY_S
from callboard.actors.sessions.storing import StoreIsDamaged, StoreRefuses, StoreTakesAgain
from callboard.actors.sessions.table import Standing
from callboard.actors.testing import FakeMetrics
from callboard.actors.testing.stores import StoreInMemory
from tests.sessions.stage import Stage, services_of

DISK_FULL = StoreError("the disk is full")


@pytest.fixture
def store() -> StoreInMemory:
    return StoreInMemory()


def say(sessions: SessionSystem, session_id: str, text: str = "hello") -> int:
    return sessions.ask(AppendMessage(session_id, Role.USER, text))


class Renewed(StoreInMemory):
    """A store that others can take over, and whose server goes and comes."""

    renew_every_s = 2.0
    is_there = True

    def open(self) -> None:
        """Have it."""

    def renew(self) -> None:
        if not self.is_there:
            raise StoreError("the server is gone")


class TestHealth:
    @pytest.mark.in_memory  # it is about that
    def test_of_sessions_in_memory_has_no_store(self, stage: Stage) -> None:
        assert stage.open().health().store is None

    def test_counts_what_was_kept_and_in_how_many_transactions(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = stage.open(store=store)
        ada = sessions.ask(CreateSession()).id

        for number in range(1, 4):
            assert say(sessions, ada) == number
        stage.settle()

        health = sessions.health().store
        assert health is not None
        assert (health.is_taking, health.kept, health.waiting) == (True, 4, 0)
        assert 1 <= health.batches == store.transactions
        assert (health.refused, health.error, health.remedy) == (0, None, None)

    def test_names_the_store_that_refuses_and_why_until_it_has_kept_a_commit(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = stage.open(store=store)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL, DISK_FULL)

        for _ in range(2):
            with pytest.raises(StoreError, match="full"):
                say(sessions, ada)
        refusing = sessions.health()
        say(sessions, ada)
        stage.settle()

        assert (refusing.is_healthy, refusing.failing) == (False, ("store",))
        assert refusing.store == StoreHealth(
            is_taking=False,
            error="the disk is full",
            remedy=DISK_FULL.remedy,
            kept=1,
            batches=1,
            refused=2,
        )
        assert sessions.health().is_healthy
        assert sessions.health().store == StoreHealth(kept=2, batches=2, refused=2)

    def test_is_not_mended_by_what_needs_no_room(self, stage: Stage, store: StoreInMemory) -> None:
        told: list[object] = []
        sessions = stage.open(
            store=store, keeping=Keeping(cleanup_interval_s=60.0), on_event=told.append
        )
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL)
        with pytest.raises(StoreError, match="full"):
            say(sessions, ada)

        stage.advance(61.0)  # the janitor has ended sessions deleted, of which there are none

        assert not sessions.health().is_healthy
        assert not [each for each in told if isinstance(each, StoreTakesAgain)]

    def test_names_a_store_in_which_a_write_has_found_damage_also_when_others_are_kept(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        told: list[object] = []
        sessions = stage.open(store=store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.refuse(StoreDamaged("page 7 is torn"))

        with pytest.raises(StoreDamaged, match="torn"):
            say(sessions, ada)
        refusing = sessions.health().store
        say(sessions, ada)
        stage.settle()

        after = sessions.health()
        assert (after.is_healthy, after.failing) == (False, ("store",))
        assert after.store is not None
        assert refusing is not None
        for health, is_taking in ((refusing, False), (after.store, True)):
            assert (health.is_damaged, health.is_taking) == (True, is_taking)
            assert health.error == "page 7 is torn"
            assert "store check" in str(health.remedy)
        assert [each.error for each in told if isinstance(each, StoreIsDamaged)] == [
            "page 7 is torn"
        ]

    def test_names_a_store_in_which_a_read_has_found_damage(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = stage.open(store=store)
        ada, bob = (sessions.ask(CreateSession()).id for _ in range(2))
        for session_id in (ada, bob):
            say(sessions, session_id)
        image = store.copy()
        del image.logs[ada][1]
        sessions = stage.again(store=image)
        assert sessions.health().is_healthy

        with pytest.raises(StoreDamaged, match="missing"):
            say(sessions, ada)
        say(sessions, bob)

        assert sessions.health().failing == ("store",)

    def test_is_mended_without_a_commit_when_none_was_refused(self, stage: Stage) -> None:
        told: list[object] = []
        server = Renewed()
        sessions = stage.open(store=server, on_event=told.append)

        server.is_there = False
        stage.advance(2.0)
        gone = sessions.health()
        server.is_there = True
        stage.advance(2.0)

        assert gone.failing == ("store",)
        assert sessions.health().is_healthy
        assert [
            type(each) for each in told if isinstance(each, (StoreRefuses, StoreTakesAgain))
        ] == [
            StoreRefuses,
            StoreTakesAgain,
        ]


class Probing(StoreInMemory):
    """A store that can be asked whether it takes something."""

    probes = 0

    def probe(self) -> None:
        self.probes += 1
        self.write(())


class TestAStoreThatRefuses:
    def test_is_asked_now_and_then_whether_it_takes_something_again(self, stage: Stage) -> None:
        told: list[object] = []
        store = Probing()
        sessions = stage.open(store=store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL, DISK_FULL)
        with pytest.raises(StoreError, match="full"):
            say(sessions, ada)

        stage.advance(PROBE_EVERY_S)
        still = sessions.health()
        stage.advance(PROBE_EVERY_S)

        assert not still.is_healthy
        assert sessions.health().is_healthy
        stage.advance(5 * PROBE_EVERY_S)
        assert store.probes == 2
        said = [type(each) for each in told if isinstance(each, (StoreRefuses, StoreTakesAgain))]
        assert said == [StoreRefuses, StoreTakesAgain]

    def test_gets_then_what_it_has_refused_of_a_quarantine(self, stage: Stage) -> None:
        store = Probing()
        sessions = stage.open(store=store)
        ada = sessions.ask(CreateSession()).id
        row = services_of(sessions).table.row(ada)
        store.refuse(DISK_FULL)

        services_of(sessions).note(
            row, Standing(row.incarnation, Presence.QUARANTINED, 1.0, restarts=4)
        )
        stage.settle()
        assert store.kept[ada].standing is None
        stage.advance(PROBE_EVERY_S)

        assert b'"restarts":4' in (store.kept[ada].standing or b"")

    def test_is_not_asked_when_it_cannot_be(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = stage.open(store=store)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL)
        with pytest.raises(StoreError, match="full"):
            say(sessions, ada)

        stage.advance(5 * PROBE_EVERY_S)

        assert sessions.health().failing == ("store",)


class TestMetrics:
    def test_say_how_the_store_is(self, stage: Stage, store: StoreInMemory) -> None:
        metrics = FakeMetrics()
        sessions = stage.open(store=store, metrics=metrics)
        ada = sessions.ask(CreateSession()).id
        stage.advance(10.0)
        takes = metrics.gauges["callboard_store_takes",]
        store.refuse(DISK_FULL)
        with pytest.raises(StoreError, match="full"):
            say(sessions, ada)
        stage.advance(10.0)
        refuses = metrics.gauges["callboard_store_takes",]
        say(sessions, ada)
        stage.advance(10.0)

        assert (takes, refuses, metrics.gauges["callboard_store_takes",]) == (1, 0, 1)
        assert metrics.gauges["callboard_store_commits_waiting",] == 0
        assert metrics.counters["callboard_store_commits_total", "kept"] == 2
        assert metrics.counters["callboard_store_commits_total", "refused"] == 1
        assert metrics.counters["callboard_store_batches_total",] == 2

    @pytest.mark.in_memory  # it is about that
    def test_have_none_of_it_without_a_store(self, stage: Stage) -> None:
        metrics = FakeMetrics()
        stage.open(metrics=metrics)
        stage.advance(10.0)

        assert not [name for name, *_ in metrics.gauges if "store" in name]
