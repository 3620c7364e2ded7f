"""Sessions with a durable store: acknowledged is kept, and the next system goes on with it."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    DuplicateSession,
    GetMessages,
    GetSession,
    Keeping,
    PassivateSession,
    Presence,
    ReviveSession,
    Role,
    Session,
    SessionActor,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionState,
    SessionSystem,
    Shutdown,
    StoreError,
    StoreFenced,
    StoreLocked,
    StoreOutcomeUnknown,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions.log import HERE_CHUNKS_MAX
from callboard.actors.sessions.storing import (
    StoreReader,
    StoreRefuses,
    StoreTakenOver,
    StoreTakesAgain,
)
from callboard.actors.sessions.table import DurableRow
from callboard.actors.storage.records import Head, Stored
from callboard.actors.testing import FakeWorkspaces
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import ExitReason, InvalidSpec, Settings, UnhandledMessage, handles
from tests.cast import Actor, Boom, Decline, Fall, Hold, Say, SayLater, Tally
from tests.sessions.stage import (
    PATIENT_S,
    Stage,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
    until,
)

DISK_FULL = StoreError("the disk is full")
LOST = StoreOutcomeUnknown("the disk is gone")
LONG = HERE_CHUNKS_MAX * 32 + 100
"""Messages of a log that is too long to be here as a whole."""


class Recall(SessionMessage[int], frozen=True, kw_only=True):
    """Reply how many of the last messages can be read, and see that they are in order."""

    last: int


class RecallLater(Recall, frozen=True, kw_only=True):
    """The same in a coroutine."""


class SaveTwice(SessionMessage[tuple[int, int]], frozen=True, kw_only=True):
    """Append, commit, append; reply how many messages everybody sees after each."""


class SaveTwiceLater(SaveTwice, frozen=True, kw_only=True):
    """The same in a coroutine."""


class SaveBehindTheGate(SessionMessage[None], frozen=True, kw_only=True):
    """Append; when the gate is open, commit."""


class Elder(Actor):
    def _seen(self) -> int:
        return self._row.session().last_seq

    @handles(Recall)
    def on_recall(self, message: Recall) -> int:
        return _in_order([each.seq for each in self.messages(last=message.last)])

    @handles(RecallLater)
    async def on_recall_later(self, message: RecallLater) -> int:
        with pytest.raises(InvalidSpec, match="messages_async"):
            self.messages(last=message.last)
        found = await self.messages_async(last=message.last)
        return _in_order([each.seq for each in found])

    @handles(SaveTwice)
    def on_save_twice(self, message: SaveTwice) -> tuple[int, int]:
        del message
        self.append(Role.USER, "first")
        self.commit()
        seen = self._seen()
        self.append(Role.USER, "second")
        return seen, self._seen()

    @handles(SaveTwiceLater)
    async def on_save_twice_later(self, message: SaveTwiceLater) -> tuple[int, int]:
        del message
        self.append(Role.USER, "first")
        await self.commit_async()
        seen = self._seen()
        self.append(Role.USER, "second")
        return seen, self._seen()

    @handles(SaveBehindTheGate)
    async def on_save_behind_the_gate(self, message: SaveBehindTheGate) -> None:
        del message
        self.append(Role.USER, "behind the gate")
        await self.play.gate.passed()
        await self.commit_async()


def _in_order(seqs: list[int]) -> int:
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    return len(seqs)


@pytest.fixture
def store() -> StoreInMemory:
    return StoreInMemory()


def begin(stage: Stage, store: StoreInMemory, **options: Any) -> Any:
    kind: Any = type("Elder", (Elder,), {"play": stage.play})
    return stage.open(store=store, session=kind, **options)


def after(stage: Stage, store: StoreInMemory, **options: Any) -> Any:
    """Start the next system with what a process finds whose predecessor was killed just now."""
    kind: Any = type("Elder", (Elder,), {"play": stage.play})
    return stage.again(store=store.copy(), session=kind, **options)


class TestWhatWasAcknowledged:
    def test_is_there_for_the_next_system(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(
            CreateSession(user_id="ada", org_id="acme", metadata={"a": [1, {"b": None}]})
        ).id
        sessions.ask(Say(ada, text="hello"))
        sessions.ask(UpdateSession(ada, patch=SessionPatch(system_prompt="Be brief.")))
        sessions.ask(AppendMessage(ada, Role.TOOL, "4", "key", {"tool": "sum"}))
        before, log = sessions.get(ada), sessions.messages(ada)

        sessions = after(stage, store)

        now = sessions.get(ada)
        assert now == msgspec.structs.replace(before, presence=Presence.ASLEEP)
        assert hash(str(now.metadata)) == hash(str(before.metadata))
        assert (now.data, now.metadata["a"]) == (Tally(1), (1, {"b": None}))
        assert sessions.messages(ada) == log

    def test_is_gone_on_with(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(Say(ada, text="one"))

        sessions = after(stage, store)
        assert sessions.ask(Say(ada, text="two")) == 2

        assert texts(sessions, ada) == ["one", "two"]
        assert (sessions.get(ada).data, sessions.get(ada).version) == (Tally(2), 3)

    def test_by_a_create_alone_is_kept_too(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession(activate=False)).id

        sessions = after(stage, store)

        assert sessions.get(ada).state is SessionState.CREATED
        assert sessions.ask(Say(ada, text="one")) == 1

    def test_is_not_done_twice_when_it_is_repeated(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        create = CreateSession(user_id="ada", idempotency_key="k")
        ada = sessions.ask(create).id
        append = AppendMessage(ada, Role.USER, "once", "key")
        assert sessions.ask(append) == 1

        sessions = after(stage, store)

        assert sessions.ask(create).id == ada
        assert sessions.ask(append) == 1
        assert len(sessions.messages(ada)) == 1

    def test_by_an_end_stays_ended(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        assert sessions.ask(TerminateSession(ada)).state is SessionState.CLEANED
        assert store.kept[ada].ended_at is not None

        sessions = after(stage, store)

        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        assert sessions.ask(CreateSession(session_id=ada)).last_seq == 0


class TestAReply:
    def test_waits_for_the_store(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        seen: list[tuple[int, bool]] = []

        class Watched(StoreInMemory):
            def write(self, writes: Any) -> Any:
                seen.append((sessions.get(ada).last_seq, said.is_done))
                return store.write(writes)

        storing: Any = services_of(sessions).storing
        storing.store = Watched()
        said = later(sessions, Say(ada, text="hello"))
        assert said.get(timeout=PATIENT_S) == 1

        assert seen == [(0, False)]
        assert sessions.get(ada).last_seq == 1

    @pytest.mark.parametrize("message", [Say, SayLater])
    @pytest.mark.parametrize("error", [DISK_FULL, LOST])
    def test_is_the_stores_refusal_and_the_session_is_at_its_last_commit(
        self, stage: Stage, store: StoreInMemory, message: Any, error: StoreError
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(message(ada, text="kept"))
        before = sessions.get(ada)
        store.refuse(error, error)

        with pytest.raises(type(error), match=str(error)):
            sessions.ask(message(ada, text="lost"))

        assert sessions.get(ada) == before
        store.accept()
        assert sessions.ask(message(ada, text="again")) == 2
        assert cell_of(sessions, ada).incarnation == 1
        assert texts(after(stage, store), ada) == ["kept", "again"]

    def test_is_of_unknown_outcome_when_only_the_second_attempt_was_refused(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        store.refuse(LOST, DISK_FULL)

        with pytest.raises(StoreOutcomeUnknown):
            sessions.ask(Say(ada, text="perhaps"))

    def test_says_of_a_stores_own_exception_no_more_than_its_type(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id

        class Chatty(StoreInMemory):
            def write(self, writes: Any) -> Any:
                del writes
                raise OSError("secret")

        storing: Any = services_of(sessions).storing
        storing.store = Chatty()
        with pytest.raises(StoreOutcomeUnknown) as refused:
            sessions.ask(Say(ada, text="lost"))

        assert str(refused.value) == "the store raised OSError"

    def test_that_changes_nothing_waits_for_what_it_says(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        append = AppendMessage(ada, Role.USER, "once", "key")
        store.refuse(DISK_FULL)

        asked = [later(sessions, append), later(sessions, append)]
        stage.settle()

        errors = [each.error for each in asked]
        assert errors[0] == DISK_FULL
        assert (errors[1], asked[1].is_done) in [(DISK_FULL, True), (None, True)]
        assert len(sessions.messages(ada)) == (0 if errors[1] else 1)

    @pytest.mark.parametrize("error", [None, DISK_FULL])
    def test_to_a_revive_with_a_patch_waits_for_that(
        self, stage: Stage, store: StoreInMemory, error: StoreError | None
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))
        if error is not None:
            store.refuse(error)
        revived = later(sessions, ReviveSession(ada, SessionPatch(system_prompt="new")))
        stage.settle()

        if error is None:
            assert revived.get(timeout=PATIENT_S).system_prompt == "new"
        else:
            assert revived.error == error
            assert presence(sessions, ada) is Presence.ASLEEP
            assert sessions.get(ada).system_prompt is None

    def test_of_a_handler_that_refuses_is_given(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        said = later(sessions, Say(ada, text="kept"))
        declined = later(sessions, Decline(ada, text="no"))
        stage.settle()

        assert said.get(timeout=PATIENT_S) == 1
        assert type(declined.error).__name__ == "NotNow"
        assert texts(sessions, ada) == ["kept"]


def hang(stage: Stage, store: StoreInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the store take nothing until the gate is open."""
    write = store.write

    def wait(writes: Any) -> Any:
        stage.play.gate.wait()
        return write(writes)

    monkeypatch.setattr(store, "write", wait)


class TestAnEnd:
    @pytest.mark.parametrize("error", [None, DISK_FULL])
    def test_for_which_the_store_takes_too_long_comes_about_or_does_not(
        self,
        stage: Stage,
        store: StoreInMemory,
        monkeypatch: pytest.MonkeyPatch,
        error: StoreError | None,
    ) -> None:
        sessions = begin(stage, store, settings=Settings(ask_timeout_s=0.5))
        ada = sessions.ask(CreateSession()).id
        hang(stage, store, monkeypatch)

        with pytest.raises(StoreOutcomeUnknown):
            sessions.ask(TerminateSession(ada, grace_s=60.0), timeout=PATIENT_S)
        if error is not None:
            store.refuse(error)
        stage.play.gate.open()
        stage.settle()

        if error is None:
            until(stage, lambda: store.kept[ada].ended_at is not None)
            with pytest.raises(SessionNotFound):
                sessions.get(ada)
        else:
            assert sessions.ask(Say(ada, text="it goes on")) == 1


class TestACommitInsideAHandler:
    @pytest.mark.parametrize("message", [SaveTwice, SaveTwiceLater])
    def test_is_kept_when_it_returns(
        self, stage: Stage, store: StoreInMemory, message: Any
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id

        assert sessions.ask(message(ada)) == (1, 1)

        assert texts(after(stage, store), ada) == ["first", "second"]

    @pytest.mark.parametrize("message", [SaveTwice, SaveTwiceLater])
    def test_that_is_refused_refuses_the_handler(
        self, stage: Stage, store: StoreInMemory, message: Any
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL)

        with pytest.raises(StoreError, match="full"):
            sessions.ask(message(ada))

        assert texts(sessions, ada) == []
        assert sessions.ask(message(ada)) == (1, 1)


class TestACrash:
    def test_loses_nothing_that_was_handed_in(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        said = later(sessions, Say(ada, text="handed in"))
        fell = later(sessions, Fall(ada, text="never"))
        stage.settle()

        assert said.get(timeout=PATIENT_S) == 1
        assert isinstance(fell.error, Boom)
        until(stage, lambda: presence(sessions, ada) is Presence.AWAKE)
        assert sessions.ask(Say(ada, text="next"), timeout=PATIENT_S) == 2
        assert texts(sessions, ada) == ["handed in", "next"]

    def test_of_the_writer_is_nobodys_business(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id

        part_of(sessions, "storage/writer").kill()
        assert sessions.ask(Say(ada, text="one"), timeout=PATIENT_S) == 1
        stage.settle()
        part_of(sessions, "storage/reader").kill()

        assert texts(sessions, ada) == ["one"]
        assert cell_of(sessions, ada).incarnation == 1

    def test_of_the_writer_in_a_write_is_told_as_what_it_was(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        deaths, ends = [SystemExit()], list[ExitReason]()

        class Deadly(StoreInMemory):
            def write(self, writes: Any) -> Any:
                if deaths:
                    raise deaths.pop()
                return store.write(writes)

        storing: Any = services_of(sessions).storing
        storing.store = Deadly()
        part_of(sessions, "storage/writer").when_dead("test", ends.append)
        assert sessions.ask(Say(ada, text="one"), timeout=PATIENT_S) == 1

        until(stage, lambda: bool(ends))
        assert [str(each).partition(" at ")[0] for each in ends] == ["crashed: SystemExit"]
        assert texts(after(stage, store), ada) == ["one"]

    def test_of_the_writer_by_a_kill_in_a_write_has_it_written_by_the_next(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        gate, writing = stage.play.gate, list[int]()

        class Held(StoreInMemory):
            def write(self, writes: Any) -> Any:
                writing.append(len(writes))
                if len(writing) == 1:
                    gate.wait()  # which a kill ends
                return store.write(writes)

        storing: Any = services_of(sessions).storing
        storing.store = Held()
        said = later(sessions, Say(ada, text="one"))
        until(stage, lambda: bool(writing))

        part_of(sessions, "storage/writer").kill()

        until(stage, lambda: said.is_done)
        assert (said.get(), writing) == (1, [1, 1])
        stage.settle()
        successor = part_of(sessions, "storage/writer")
        assert (successor.incarnation, successor.is_alive()) == (2, True)
        assert texts(after(stage, store), ada) == ["one"]

    def test_of_the_whole_line_leaves_nobody_waiting_for_a_commit(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        saved = later(sessions, SaveBehindTheGate(ada))
        stage.settle()

        part_of(sessions, "storage").kill()
        stage.play.gate.open()
        stage.settle()  # the clock stands still: no time that a stop is given runs out

        assert isinstance(saved.error, StoreOutcomeUnknown)
        assert sessions.health().is_healthy
        assert sessions.ask(Say(ada, text="next"), timeout=PATIENT_S) == 2
        assert texts(after(stage, store_of(sessions)), ada) == ["behind the gate", "next"]

    def test_too_often_is_quarantine_in_the_next_system_as_well(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession(user_id="ada", agent_role="guide")).id
        for _ in range(4):
            with pytest.raises(Boom):
                sessions.ask(Fall(ada, text="boom"), timeout=PATIENT_S)
            stage.advance(1.0)
        until(stage, lambda: presence(sessions, ada) is Presence.QUARANTINED)
        before = sessions.get(ada)
        stage.settle()

        sessions = after(stage, store)

        assert sessions.get(ada) == before
        assert (before.restarts, before.failed_on) == (4, "Fall")
        with pytest.raises(SessionQuarantined):
            sessions.ask(Say(ada, text="no"))
        assert sessions.ask(ReviveSession(ada)).presence is Presence.AWAKE
        assert after(stage, store_of(sessions)).get(ada).presence is Presence.ASLEEP


def store_of(sessions: Any) -> StoreInMemory:
    storing: Any = services_of(sessions).storing
    store: StoreInMemory = storing.store
    return store


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


class TestALongLog:
    @pytest.fixture
    def long(self, stage: Stage, store: StoreInMemory) -> Any:
        sessions = begin(stage, store)
        sessions.ask(CreateSession(session_id="ada"))
        for number in range(1, LONG + 1):
            sessions.ask(Say("ada", text=f"{number}"))
        return sessions

    def test_leaves_the_memory_but_for_its_end(self, long: Any) -> None:
        log = services_of(long).table.row("ada").latest().log

        assert 200 <= len(list(log)) <= HERE_CHUNKS_MAX * 32

    def test_is_read_as_a_whole(self, long: Any) -> None:
        found: list[str] = []
        while page := long.ask(GetMessages("ada", len(found), 100)).messages:
            found += [each.content for each in page]

        assert found == [f"{number}" for number in range(1, LONG + 1)]
        assert [each.seq for each in long.messages("ada", after_seq=3, limit=2)] == [4, 5]
        snapshot: Session = long.ask(GetSession("ada", messages=300))
        assert [each.seq for each in snapshot.messages] == list(range(LONG - 299, LONG + 1))

    @pytest.mark.parametrize("message", [Recall, RecallLater])
    def test_is_read_by_its_behaviour(self, long: Any, message: Any) -> None:
        assert long.ask(message("ada", last=LONG - 10)) == LONG - 10

    def test_is_gone_on_with_by_the_next_system(
        self, stage: Stage, store: StoreInMemory, long: Any
    ) -> None:
        del long
        sessions = after(stage, store)

        assert sessions.ask(Say("ada", text="more")) == LONG + 1
        assert sessions.ask(Recall("ada", last=LONG + 1)) == LONG + 1

    def test_is_known_by_the_keys_of_what_the_store_alone_has(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        sessions.ask(CreateSession(session_id="ada"))
        append = AppendMessage("ada", Role.USER, "once", "key")
        sessions.ask(append)
        for number in range(LONG):
            sessions.ask(Say("ada", text=f"{number}"))

        sessions = after(stage, store)

        assert sessions.ask(append) == 1
        assert sessions.get("ada").last_seq == LONG + 1


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


def test_no_writer_begins_while_a_killed_one_is_at_the_disk(store: StoreInMemory) -> None:
    begun, back = threading.Event(), threading.Event()
    writing: list[list[str]] = []

    class Slow(StoreInMemory):
        def write(self, writes: Any) -> Any:
            writing.append([each.id for each in writes])
            if len(writing) == 1:
                begun.set()
                back.wait()
            return store.write(writes)

    with SessionSystem(store=store) as sessions:
        ada, bob = (sessions.ask(CreateSession()).id for _ in range(2))
        storing: Any = services_of(sessions).storing
        storing.store = Slow()
        first = later(sessions, AppendMessage(ada, Role.USER, "one"))
        begun.wait()

        part_of(sessions, "storage/writer").kill()
        second = later(sessions, AppendMessage(bob, Role.USER, "two"))
        for _ in range(2):  # the second comes behind what the next one tells itself at its start
            with pytest.raises(UnhandledMessage):
                storing._writer.ask("Have you looked?")

        assert writing == [[ada]]
        back.set()
        assert (first.get(), second.get(), writing) == (1, 1, [[ada], [bob]])


def test_a_stop_keeps_what_was_handed_in(stage: Stage, store: StoreInMemory) -> None:
    sessions = begin(stage, store)
    ada = sessions.ask(CreateSession()).id
    held = later(sessions, Hold(ada, text="never"))
    said = [later(sessions, AppendMessage(ada, Role.USER, "waits")) for _ in range(3)]
    del held

    sessions.stop()

    assert store.is_closed
    assert all(each.error is not None for each in said)
    assert store.logs[ada] == {}


def test_a_stop_does_not_wait_for_a_store_that_hangs() -> None:
    gate, entered = threading.Event(), threading.Event()

    class Hanging(StoreInMemory):
        def write(self, writes: Any) -> Any:
            entered.set()
            assert gate.wait(PATIENT_S)
            return super().write(writes)

        def close(self) -> None:
            assert gate.wait(PATIENT_S), "it is closed behind what hangs"
            super().close()

    store = Hanging()
    sessions = SessionSystem(store=store)
    sessions.start()
    gate.set()
    ada = sessions.ask(CreateSession()).id
    gate.clear()
    entered.clear()
    said = later(sessions, AppendMessage(ada, Role.USER, "perhaps"))
    assert entered.wait(PATIENT_S)

    report = sessions.stop(timeout_s=1.0)

    assert report.abandoned
    assert type(said.error) is StoreOutcomeUnknown
    assert not store.is_closed
    gate.set()
    writer = next(each for each in threading.enumerate() if each.name in report.abandoned)
    writer.join(PATIENT_S)
    assert store.is_closed
    assert len(store.logs[ada]) == 1


class TestAReader:
    @pytest.mark.parametrize("is_killed", [False, True], ids=["raises", "killed"])
    def test_that_ends_while_it_loads_a_log_leaves_no_session_behind(
        self,
        stage: Stage,
        store: StoreInMemory,
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_killed: bool,
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(Say(ada, text="one"))
        fails = [True]
        load = StoreReader._log

        def fail_once(self: StoreReader, session_id: str, last_seq: int) -> Any:
            if fails and fails.pop():
                if is_killed:
                    self.actor_ref.kill()
                raise RuntimeError
            return load(self, session_id, last_seq)

        monkeypatch.setattr(StoreReader, "_log", fail_once)
        sessions = after(stage, store)
        first = later(sessions, Say(ada, text="two"))
        stage.settle()

        assert first.is_done or is_killed
        assert sessions.ask(Say(ada, text="three"), timeout=PATIENT_S) >= 2


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


class Lent(StoreInMemory):
    """A store with a lease."""

    renew_every_s = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.renewed = 0
        self.is_taken = False

    def open(self) -> None:
        self.opened += 1

    def renew(self) -> None:
        self.renewed += 1
        if self.is_taken:
            raise StoreFenced("the store")

    def write(self, writes: Any) -> Any:
        if self.is_taken:
            raise StoreFenced("the store")
        return super().write(writes)


class TestAStoreWithALease:
    def test_is_opened_first_and_renewed_in_its_time(self, stage: Stage) -> None:
        store = Lent()
        begin(stage, store)
        stage.settle()
        before = store.renewed

        stage.advance(10.1)

        assert (store.opened, store.renewed - before) == (1, 5)

    def test_that_somebody_else_takes_over_is_told_and_refuses(self, stage: Stage) -> None:
        store, told = Lent(), list[object]()
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.is_taken = True

        stage.advance(2.1)
        with pytest.raises(StoreFenced):
            sessions.ask(Say(ada, text="too late"))

        assert len([each for each in told if isinstance(each, StoreTakenOver)]) == 1
        assert sessions.health().failing == ("writer", "store")
        assert sessions.get(ada).last_seq == 0


class TestAStoreThatRefuses:
    def test_is_told_once_until_it_takes_something_again(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        told: list[object] = []
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL, DISK_FULL)

        for _ in range(2):
            with pytest.raises(StoreError, match="full"):
                sessions.ask(Say(ada, text="no"))
        sessions.ask(Say(ada, text="yes"))
        sessions.ask(Say(ada, text="yes"))

        said = [each for each in told if isinstance(each, (StoreRefuses, StoreTakesAgain))]
        assert said == [StoreRefuses("the disk is full", DISK_FULL.remedy), StoreTakesAgain()]

    def test_leaves_nothing_to_do(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL)
        with pytest.raises(StoreError, match="full"):
            sessions.ask(Say(ada, text="no"))

        assert sessions.ask(Shutdown(grace_s=60.0)) == ()


class TestAPage:
    @pytest.mark.parametrize("how", ["messages", "ask"])
    def test_is_not_empty_since_the_log_was_trimmed_meanwhile(
        self, stage: Stage, store: StoreInMemory, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        for number in range(LONG):
            sessions.ask(Say(ada, text=f"{number}"))
        right, was_asked = DurableRow.older, list[int]()

        def older(row: DurableRow, after_seq: int, limit: int) -> Any:
            was_asked.append(after_seq)  # the first time all was here
            return None if len(was_asked) == 1 else right(row, after_seq, limit)

        monkeypatch.setattr(DurableRow, "older", older)
        if how == "messages":
            page = sessions.messages(ada, limit=3)
        else:
            page = sessions.ask(GetMessages(ada, 0, 3)).messages

        assert [each.content for each in page] == ["0", "1", "2"]


def test_a_start_that_the_store_refuses_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "sessions.db"
    first, second = SessionSystem(store=path), SessionSystem(store=path)
    with first, pytest.raises(StoreLocked):
        second.start()
    with second:
        assert second.ask(CreateSession()).state is SessionState.ACTIVE
