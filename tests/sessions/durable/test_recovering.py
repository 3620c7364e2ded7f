"""The next system goes on with what the store has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    CreateSession,
    DuplicateSession,
    Keeping,
    Presence,
    ReviveSession,
    SessionActor,
    SessionNotFound,
    SessionState,
    SessionSystem,
    StoreError,
    StoreLocked,
    TerminateSession,
)
from callboard.actors.storage.records import Head, Stored
from callboard.actors.testing import FakeWorkspaces
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import InvalidSpec, handles
from tests.cast import Say, Tally
from tests.sessions.durable.kit import after, begin, store_of
from tests.sessions.stage import Stage, presence, services_of


class TestRecovery:
    def test_finishes_an_end_that_was_under_way(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        kept = store.kept[ada]
        store.kept[ada] = msgspec.structs.replace(
            kept, head=msgspec.structs.replace(kept.head, state="terminating", version=2)
        )

        sessions = after(stage, store)
        stage.settle()

        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        assert store_of(sessions).kept[ada].head.state == "cleaned"

    def test_undoes_a_spawn_that_was_under_way(self, stage: Stage, store: StoreInMemory) -> None:
        workspaces = FakeWorkspaces()
        sessions = begin(stage, store, workspace=workspaces)
        ada = sessions.ask(CreateSession()).id
        assert workspaces.folders
        kept = store.kept[ada]
        store.kept[ada] = msgspec.structs.replace(
            kept, head=msgspec.structs.replace(kept.head, state="spawning")
        )

        sessions = after(stage, store, workspace=workspaces)
        stage.settle()

        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        assert workspaces.folders == {}

    def test_lets_a_create_be_repeated_whose_spawn_was_under_way(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        create = CreateSession(user_id="ada", org_id="acme", idempotency_key="k")
        sessions = begin(stage, store, workspace=FakeWorkspaces())
        ada = sessions.ask(create).id
        kept = store.kept[ada]
        spawning = msgspec.structs.replace(kept.head, state="spawning")
        store.kept[ada] = msgspec.structs.replace(kept, head=spawning, created=None)

        sessions = after(stage, store, workspace=FakeWorkspaces())
        again = sessions.ask(create)
        stage.settle()

        assert again.state is SessionState.ACTIVE
        assert sessions.get(again.id).id != ada

    def test_leaves_the_workspaces_of_those_that_live(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = begin(stage, store, workspace=workspaces)
        ada = sessions.ask(CreateSession()).id
        made = dict(workspaces.folders)

        sessions = after(stage, store, workspace=workspaces)

        assert dict(workspaces.folders) == made != {}
        assert sessions.get(ada).workspace == made[ada]

    def test_of_one_that_cannot_be_read_fails_that_one_alone(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada, eve = (sessions.ask(CreateSession(session_id=name)).id for name in ("ada", "eve"))
        store.kept[ada] = msgspec.structs.replace(store.kept[ada], body=b'{"kind": 7}')

        sessions = after(stage, store)

        assert sessions.ask(Say(eve, text="hello")) == 1
        damaged = sessions.get(ada)
        assert damaged.presence is Presence.QUARANTINED
        assert "kind" in str(damaged.last_error)
        with pytest.raises(StoreError, match="session ada cannot be read") as refused:
            sessions.ask(ReviveSession(ada))
        assert "store check" in refused.value.remedy
        with pytest.raises(DuplicateSession):
            sessions.ask(CreateSession(session_id=ada))
        sessions.ask(TerminateSession(ada))
        assert sessions.ask(CreateSession(session_id=ada)).id == ada

    def test_of_one_whose_messages_cannot_be_read_lets_it_sleep(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(Say(ada, text="hello"))
        del store.logs[ada][1]

        sessions = after(stage, store)

        with pytest.raises(StoreError, match="missing"):
            sessions.ask(Say(ada, text="more"))
        assert presence(sessions, ada) is Presence.ASLEEP

    def test_counts_the_idle_time_by_the_wall_clock(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        stage.advance(1_000.0)

        sessions = after(stage, store, keeping=Keeping(max_idle_s=5_000.0, cleanup_interval_s=0.0))
        idle_s = sessions.system.clock.now_s() - services_of(sessions).table.row(ada).active_s

        assert idle_s == pytest.approx(1_000.0, abs=1.0)

    @pytest.mark.parametrize("jump_s", [10_000_000.0, -10_000_000.0])
    def test_expires_nobody_since_the_wall_clock_has_jumped(
        self, stage: Stage, store: StoreInMemory, jump_s: float
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        stage.settle()
        kept = store.kept[ada]
        at = kept.head.last_active_at - jump_s
        store.kept[ada] = msgspec.structs.replace(
            kept, head=msgspec.structs.replace(kept.head, last_active_at=at)
        )

        keeping = Keeping(max_idle_s=3_600.0, cleanup_interval_s=300.0)
        sessions = after(stage, store, keeping=keeping)
        stage.advance(301.0)

        assert sessions.get(ada).id == ada
        stage.advance(4_000.0)
        with pytest.raises(SessionNotFound):
            sessions.get(ada)

    def test_ends_no_quarantine_at_once_since_the_wall_clock_jumped(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        keeping = Keeping(quarantine_keep_s=1_000.0, cleanup_interval_s=100.0)
        sessions = begin(stage, store, keeping=keeping)
        ada = sessions.ask(CreateSession()).id
        sessions.stop()
        said = b'{"is_quarantined": true, "since": -1e9, "restarts": 4}'
        store.kept[ada] = msgspec.structs.replace(store.kept[ada], standing=said)

        sessions = after(stage, store, keeping=keeping)
        stage.advance(150.0)
        assert presence(sessions, ada) is Presence.QUARANTINED
        stage.advance(100.0)

        with pytest.raises(SessionNotFound):
            sessions.get(ada)


class TestData:
    def test_of_a_type_that_is_not_declared_is_the_behaviours_slip(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        class Loose(SessionActor[Any]):
            @handles(Say)
            def on_say(self, message: Say) -> int:
                del message
                self.update(data=Tally(1))
                return 1

        sessions = stage.open(store=store, session=Loose)
        ada = sessions.ask(CreateSession()).id

        with pytest.raises(InvalidSpec, match=r"SessionActor\[Tally\]"):
            sessions.ask(Say(ada, text="hello"))

    def test_whose_kind_is_there_no_more_is_kept_and_not_run(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        head = Head("active", 1, 1, 0, 0, 0.0)
        store.kept["ada"] = Stored("ada", head, b'{"kind": "gone", "data": {"a": 1}}')

        sessions = begin(stage, store)

        assert "gone" in str(sessions.get("ada").last_error)
        assert presence(sessions, "ada") is Presence.QUARANTINED


class TestTheStart:
    def test_brings_them_back_when_somebody_wants_them(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id

        sessions = after(stage, store)
        stage.settle()

        assert presence(sessions, ada) is Presence.ASLEEP

    def test_brings_all_back_that_were_at_work_when_told_so(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ids = [sessions.ask(CreateSession()).id for _ in range(5)]
        only = sessions.ask(CreateSession(activate=False)).id
        sessions.ask(Say(ids[0], text="one"))

        sessions = after(stage, store, keeping=Keeping(wakes_at_start=True))
        stage.settle()

        assert [presence(sessions, each) for each in ids] == [Presence.AWAKE] * 5
        assert presence(sessions, only) is Presence.ASLEEP
        assert sessions.ask(Say(ids[0], text="two")) == 2


class TestWhatHasEnded:
    def test_is_history_until_its_time_is_over(self, stage: Stage, store: StoreInMemory) -> None:
        keeping = Keeping(ended_keep_s=1_000.0, cleanup_interval_s=100.0, max_idle_s=math.inf)
        sessions = begin(stage, store, keeping=keeping)
        ada, eve = (sessions.ask(CreateSession()).id for _ in "12")
        sessions.ask(Say(ada, text="hello"))
        sessions.ask(TerminateSession(ada))

        stage.advance(990.0)
        assert store.kept[ada].ended_at is not None
        assert len(store.logs[ada]) == 1
        stage.advance(220.0)  # to the second look after that

        assert list(store.kept) == [eve]
        assert ada not in store.logs

    def test_is_not_forgotten_for_a_clock_that_jumps_and_is_put_right(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        keeping = Keeping(ended_keep_s=1_000.0, cleanup_interval_s=100.0, max_idle_s=math.inf)
        sessions = begin(stage, store, keeping=keeping)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(TerminateSession(ada))
        stage.advance(210.0)

        stage.set_the_wall_clock(86_400.0)
        stage.advance(100.0)
        stage.set_the_wall_clock(-86_400.0)
        stage.advance(500.0)

        assert list(store.kept) == [ada]

    def test_is_not_forgotten_at_the_first_look_of_a_system_whose_clock_has_jumped(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        keeping = Keeping(ended_keep_s=1_000.0, cleanup_interval_s=100.0, max_idle_s=math.inf)
        sessions = begin(stage, store, keeping=keeping)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(TerminateSession(ada))

        store = store.copy()
        stage.again(store=store, keeping=keeping)
        stage.set_the_wall_clock(86_400.0)
        stage.advance(110.0)

        assert list(store.kept) == [ada]
        stage.advance(100.0)
        assert list(store.kept) == []


def test_a_start_that_the_store_refuses_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "sessions.db"
    first, second = SessionSystem(store=path), SessionSystem(store=path)
    with first, pytest.raises(StoreLocked):
        second.start()
    with second:
        assert second.ask(CreateSession()).state is SessionState.ACTIVE
