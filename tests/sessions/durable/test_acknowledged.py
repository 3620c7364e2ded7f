"""With a durable store what is acknowledged is kept, and nothing is acknowledged before."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PassivateSession,
    Presence,
    ReviveSession,
    Role,
    SessionNotFound,
    SessionPatch,
    SessionState,
    SessionSystem,
    StoreError,
    StoreOutcomeUnknown,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions.states import takes_messages
from callboard.actors.sessions.storing import StoreRaised
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import Settings
from tests.cast import Decline, Say, SayLater, Tally
from tests.sessions.durable.kit import DISK_FULL, LOST, SaveTwice, SaveTwiceLater, after, begin
from tests.sessions.stage import (
    PATIENT_S,
    Stage,
    cell_of,
    later,
    presence,
    services_of,
    texts,
    until,
)


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
        told: list[object] = []
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id

        class Chatty(StoreInMemory):
            def write(self, writes: Any) -> Any:
                del writes
                self.sync()

            def sync(self) -> None:
                raise OSError("secret")

        storing: Any = services_of(sessions).storing
        storing.store = Chatty()
        with pytest.raises(StoreOutcomeUnknown) as refused:
            sessions.ask(Say(ada, text="lost"))

        assert str(refused.value) == "the store raised OSError"
        found = [each for each in told if isinstance(each, StoreRaised)]
        assert {each.error for each in found} == {"OSError"}
        for each in found:  # the host finds its bug, and reads no text of it
            first, second, *_ = each.where.split(" < ")
            assert first.startswith(f"{__file__}:")
            assert first.endswith(".Chatty.sync")
            assert second.endswith(".Chatty.write")
        assert found
        assert "secret" not in repr(told)

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
    def test_waits_for_the_store_and_comes_about_or_does_not(
        self,
        stage: Stage,
        store: StoreInMemory,
        monkeypatch: pytest.MonkeyPatch,
        error: StoreError | None,
    ) -> None:
        sessions = begin(stage, store, settings=Settings(ask_timeout_s=0.5))
        ada = sessions.ask(CreateSession()).id
        hang(stage, store, monkeypatch)

        ended = later(sessions, TerminateSession(ada, grace_s=60.0))
        stage.advance(1.0)
        assert not ended.is_done
        if error is not None:
            store.refuse(error)
        stage.play.gate.open()

        if error is None:
            assert ended.get(timeout=PATIENT_S).state is SessionState.CLEANED
            until(stage, lambda: store.kept[ada].ended_at is not None)
            with pytest.raises(SessionNotFound):
                sessions.get(ada)
        else:
            with pytest.raises(StoreError, match="full"):
                ended.get(timeout=PATIENT_S)
            assert sessions.ask(Say(ada, text="it goes on")) == 1

    def test_of_very_many_at_once_takes_no_worker_each(
        self, stage: Stage, store: StoreInMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = begin(stage, store)
        names = [sessions.ask(CreateSession()).id for _ in range(50)]
        hang(stage, store, monkeypatch)
        before = threading.active_count()

        ended = [later(sessions, TerminateSession(each, grace_s=60.0)) for each in names]
        until(stage, lambda: all(not takes_messages(tip(sessions, each)) for each in names))
        more = threading.active_count() - before
        stage.play.gate.open()

        assert more < len(names) // 2
        assert [each.get(timeout=PATIENT_S).id for each in ended] == names


def tip(sessions: SessionSystem, session_id: str) -> SessionState:
    """Return the state of a session as it has been handed in last."""
    return services_of(sessions).table.row(session_id).tip().session.state


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
