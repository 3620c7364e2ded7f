"""The next system goes on with what the store has."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CleanupInactive,
    CreateSession,
    DuplicateSession,
    IdempotencyConflict,
    Keeping,
    PassivateSession,
    Presence,
    ReviveSession,
    Role,
    SessionActor,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionState,
    SessionSystem,
    StoreDamaged,
    StoreError,
    StoreLocked,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions import waking
from callboard.actors.sessions.storing import UNKNOWN_TRIES, Storing
from callboard.actors.sessions.table import Row
from callboard.actors.sessions.waking import WOKEN_AT_ONCE_MAX, Waker
from callboard.actors.storage.purging import Purged
from callboard.actors.storage.records import Head, Stored
from callboard.actors.testing import FakeWorkspaces
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import InvalidSpec, handles
from tests.cast import Say, Tally
from tests.sessions.durable.kit import DISK_FULL, LOST, after, begin, store_of
from tests.sessions.stage import Stage, presence, services_of, until


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
        with pytest.raises(StoreDamaged, match="session ada cannot be read") as refused:
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


BODY = b'{"kind": 7, "data": "of another class"}'
"""What this behaviour cannot read of a session, and another one can."""


def unreadable(
    stage: Stage, store: StoreInMemory, create: CreateSession | None = None, **options: Any
) -> tuple[Any, StoreInMemory, Stored]:
    """Open a system that cannot read its one session; return it, its store, and what that has."""
    sessions = begin(stage, store)
    ada = sessions.ask(create or CreateSession(user_id="ada")).id
    sessions.ask(Say(ada, text="precious"))
    kept = store.kept[ada] = msgspec.structs.replace(store.kept[ada], body=BODY)
    sessions = after(stage, store, **options)
    return sessions, store_of(sessions), kept


class TestOneThatCannotBeRead:
    def test_is_ended_by_nobody_but_who_asks_for_it(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        keeping = Keeping(max_idle_s=500.0, quarantine_keep_s=1_000.0, cleanup_interval_s=100.0)
        sessions, now, kept = unreadable(stage, store, keeping=keeping)

        stage.advance(5_000.0)

        assert presence(sessions, kept.id) is Presence.QUARANTINED
        assert (now.kept[kept.id], len(now.logs[kept.id])) == (kept, 1)
        assert sessions.ask(CleanupInactive(idle_longer_than_s=0.0)) == ()

    def test_is_ended_by_who_asks_for_it_and_is_history_as_it_was(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions, now, kept = unreadable(stage, store)

        last = sessions.ask(TerminateSession(kept.id))

        assert last.state is SessionState.CLEANED
        with pytest.raises(SessionNotFound):
            sessions.get(kept.id)
        ended = now.kept[kept.id]
        assert ended.ended_at is not None
        assert (ended.body, ended.standing) == (BODY, kept.standing)
        assert (ended.head.state, ended.head.last_seq, ended.head.message_count) == (
            "cleaned",
            1,
            1,
        )
        assert len(now.logs[kept.id]) == 1

    @pytest.mark.parametrize("errors", [[DISK_FULL], [LOST] * UNKNOWN_TRIES], ids=["full", "lost"])
    def test_whose_end_the_store_has_refused_is_as_it_was(
        self, stage: Stage, store: StoreInMemory, errors: list[StoreError]
    ) -> None:
        sessions, now, kept = unreadable(stage, store)
        now.refuse(*errors)

        with pytest.raises(type(errors[0])):
            sessions.ask(TerminateSession(kept.id))

        assert now.kept[kept.id] == kept
        assert presence(sessions, kept.id) is Presence.QUARANTINED
        sessions.ask(TerminateSession(kept.id))
        assert now.kept[kept.id].body == BODY

    def test_stays_as_it_is_whatever_is_asked_of_it(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions, now, kept = unreadable(stage, store)
        patch = SessionPatch(metadata={"a": 1})

        for asked in (
            ReviveSession(kept.id, patch=patch),
            UpdateSession(kept.id, patch=patch),
            AppendMessage(kept.id, Role.USER, "more"),
        ):
            with pytest.raises((StoreError, SessionQuarantined)):
                sessions.ask(asked)
        sessions.ask(PassivateSession(kept.id))
        stage.settle()

        assert now.kept[kept.id] == kept

    def test_answers_a_message_with_what_helps_it_which_no_revive_does(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions, _, kept = unreadable(stage, store)
        with pytest.raises(StoreError) as unrevived:
            sessions.ask(ReviveSession(kept.id))

        with pytest.raises(SessionQuarantined, match="cannot be read") as refused:
            sessions.ask(AppendMessage(kept.id, Role.USER, "more"))

        assert refused.value.remedy == unrevived.value.remedy

    def test_is_known_by_the_key_of_its_create(self, stage: Stage, store: StoreInMemory) -> None:
        create = CreateSession(user_id="ada", idempotency_key="pay-17")
        sessions, now, kept = unreadable(stage, store, create)

        for _ in "12":
            with pytest.raises(StoreError, match=f"session {kept.id} cannot be read") as refused:
                sessions.ask(create)
            assert "store check" in refused.value.remedy
        assert list(now.kept) == [kept.id]
        with pytest.raises(IdempotencyConflict):
            sessions.ask(msgspec.structs.replace(create, agent_role="another"))

    def test_is_known_by_it_when_it_has_been_ended(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        create = CreateSession(user_id="ada", idempotency_key="pay-17")
        sessions, now, kept = unreadable(stage, store, create)
        sessions.ask(TerminateSession(kept.id))

        for each in (sessions, None):
            with pytest.raises(StoreError, match=f"session {kept.id} cannot be read"):
                (each or after(stage, now)).ask(create)

    def test_leaves_nothing_to_the_next_one_of_its_id(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions, _, kept = unreadable(stage, store, CreateSession(session_id="ada"))
        sessions.ask(TerminateSession(kept.id))
        sessions.ask(CreateSession(session_id="ada"))
        sessions.ask(PassivateSession("ada"))

        assert sessions.ask(ReviveSession("ada")).presence is Presence.AWAKE


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

    def test_asks_the_reader_for_so_many_logs_at_once_and_no_more(
        self, stage: Stage, store: StoreInMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = begin(stage, store)
        ids = [sessions.ask(CreateSession()).id for _ in range(MANY)]
        for each in ids:
            sessions.ask(Say(each, text="one"))
        at_the_reader, found = dict[Row, None](), list[int]()
        right, told = Storing.load, Waker.loaded

        def hold(storing: Storing, row: Row) -> None:
            del storing
            at_the_reader[row] = None
            found.append(len(at_the_reader))

        def loaded(waker: Waker, row: Row, message: Any) -> None:
            del at_the_reader[row]
            told(waker, row, message)

        monkeypatch.setattr(Storing, "load", hold)
        monkeypatch.setattr(Waker, "loaded", loaded)
        sessions = after(stage, store, keeping=Keeping(wakes_at_start=True))
        stage.settle()
        storing = services_of(sessions).storing
        assert storing is not None
        assert len(at_the_reader) == PARTITIONS * WOKEN_AT_ONCE_MAX  # it has told of none

        def goes_on() -> bool:
            for row in list(at_the_reader):
                right(storing, row)
                stage.settle()
            return not at_the_reader

        until(stage, goes_on)
        until(stage, lambda: all(presence(sessions, each) is Presence.AWAKE for each in ids))
        assert max(found) == PARTITIONS * WOKEN_AT_ONCE_MAX

    def test_goes_on_when_what_it_waits_for_cannot_be_read(
        self, stage: Stage, store: StoreInMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waking, "WOKEN_AT_ONCE_MAX", 1)
        sessions = begin(stage, store)
        ids = [sessions.ask(CreateSession()).id for _ in range(6)]
        for each in ids:
            sessions.ask(Say(each, text="one"))
        for each in ids[:3]:
            del store.logs[each][1]

        sessions = after(stage, store, keeping=Keeping(wakes_at_start=True))
        stage.settle()

        assert [presence(sessions, each) for each in ids[3:]] == [Presence.AWAKE] * 3
        assert [presence(sessions, each) for each in ids[:3]] == [Presence.ASLEEP] * 3


PARTITIONS = 2
"""Of a stage."""

MANY = 200
"""More sessions than are woken at once, also when one partition has some more of them."""


class HasAlwaysMore(StoreInMemory):
    """Has more to delete until something is kept that was said while it deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None
        self.written_before: int | None = None

    def purge(self, *, ended_before: float, limit: int) -> Purged:
        purged = super().purge(ended_before=ended_before, limit=limit)
        if self.meanwhile is None:
            return purged
        if self.written_before is None:
            self.written_before = self.written
            self.meanwhile()
        return Purged(purged.sessions, has_more=self.written == self.written_before)


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

    def test_is_gone_at_one_look_however_much_it_is(self, stage: Stage) -> None:
        store = StoreInMemory(purge_messages_max=2)
        keeping = Keeping(ended_keep_s=1_000.0, cleanup_interval_s=100.0, max_idle_s=math.inf)
        sessions = begin(stage, store, keeping=keeping)
        for _ in range(5):
            one = sessions.ask(CreateSession()).id
            for _ in range(3):
                sessions.ask(Say(one, text="hello"))
            sessions.ask(TerminateSession(one))

        stage.advance(990.0)
        assert len(store.kept) == 5
        stage.advance(220.0)

        assert not store.kept
        assert not store.logs

    def test_lets_what_is_to_be_kept_have_its_turn(self, stage: Stage) -> None:
        store = HasAlwaysMore()
        keeping = Keeping(ended_keep_s=1_000.0, cleanup_interval_s=100.0, max_idle_s=math.inf)
        sessions = begin(stage, store, keeping=keeping)
        ada = sessions.ask(CreateSession()).id
        store.meanwhile = lambda: sessions.tell(Say(ada, text="hello"))

        stage.advance(210.0)

        assert sessions.get(ada).last_seq == 1

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

    def test_gives_its_place_to_the_next_one_of_its_id_when_that_is_kept(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession(session_id="ada")).id
        sessions.ask(Say(ada, text="evidence"))
        sessions.ask(TerminateSession(ada))
        ended = store.kept[ada]
        store.refuse(DISK_FULL)

        with pytest.raises(StoreError):
            sessions.ask(CreateSession(session_id=ada))
        assert (store.kept[ada], len(store.logs[ada])) == (ended, 1)

        sessions.ask(CreateSession(session_id=ada))
        assert store.kept[ada].ended_at is None
        assert len(store.logs[ada]) == 0


def test_a_start_that_the_store_refuses_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "sessions.db"
    first, second = SessionSystem(store=path), SessionSystem(store=path)
    with first, pytest.raises(StoreLocked):
        second.start()
    with second:
        assert second.ask(CreateSession()).state is SessionState.ACTIVE
