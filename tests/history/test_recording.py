"""What a history writes down of what clients ask, on threads and in a simulation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    GetSession,
    InvalidField,
    Presence,
    ReviveSession,
    Role,
    Session,
    SessionNotFound,
    SessionPatch,
    SessionSystem,
    StoreError,
    TerminateSession,
    UpdateSession,
    VersionConflict,
)
from callboard.actors.testing import FakeStore, History, history
from callboard.actors.testing.history import LOOKS_MAX, READ_BY, HistoryFull
from callboard.actors.testing.operations import NEVER, Outcome
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import Request, SystemStopped
from tests.sessions.durable.kit import LONG
from tests.sessions.stage import Boom, Fall, Say, Stage, cell_of, stage

__all__ = ["stage"]


def as_append(message: Request[Any]) -> Request[Any]:
    """Say what `Say` does."""
    if isinstance(message, Say):
        return AppendMessage(message.session_id, Role.USER, message.text)
    return message


class TestWhatIsAsked:
    def test_is_answered_as_ever_and_written_down(self, stage: Stage) -> None:
        written = History(stage.open())

        ada = written.ask(CreateSession(user_id="ada"), by="ada")

        (operation,) = written.operations
        assert (operation.by, operation.reply, operation.outcome) == ("ada", ada, Outcome.ANSWERED)
        assert operation.began < operation.ended
        assert len(written) == 1

    def test_is_refused_as_ever_and_has_not_happened(self, stage: Stage) -> None:
        written = History(stage.open())
        ada = written.ask(CreateSession()).id
        late = UpdateSession(ada, patch=SessionPatch(metadata={"a": 1}), expected_version=7)

        with pytest.raises(VersionConflict):
            written.ask(late)

        operation = written.operations[-1]
        assert (operation.outcome, operation.error) == (Outcome.REFUSED, VersionConflict)
        assert operation.version == 1

    def test_raises_as_ever_and_nobody_knows(self, stage: Stage) -> None:
        written = History(stage.open())
        ada = written.ask(CreateSession()).id

        with pytest.raises(Boom):
            written.ask(Fall(ada, text="boom"))

        operation = written.operations[-1]
        assert (operation.outcome, operation.ended) == (Outcome.UNKNOWN, NEVER)

    def test_an_end_that_the_store_refuses_may_have_begun(self, stage: Stage) -> None:
        store = FakeStore()
        written = History(stage.open(store=store))
        ada = written.ask(CreateSession()).id
        store.refuse(times=1)

        with pytest.raises(StoreError):
            written.ask(TerminateSession(ada))

        assert written.operations[-1].outcome is Outcome.UNKNOWN

    def test_without_waiting_for_an_answer_nobody_knows_of(self, stage: Stage) -> None:
        written = History(stage.open())
        ada = written.ask(CreateSession()).id
        written.tell(AppendMessage(ada, Role.USER, "hello"))
        stage.settle()
        written.look()

        assert written.operations[1].outcome is Outcome.UNKNOWN
        assert written.broken() == []
        with pytest.raises(SessionNotFound):
            written.tell(AppendMessage("nobody", Role.USER, "hello"))

    def test_is_not_more_than_can_be_kept(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(history, "OPERATIONS_MAX", 1)
        written = History(stage.open())
        written.ask(CreateSession())

        with pytest.raises(HistoryFull):
            written.ask(CreateSession())
        written.forget()
        written.ask(CreateSession())


class TestASession:
    def test_that_was_killed_and_slept_is_right(self, stage: Stage) -> None:
        sessions = stage.open()
        written = History(sessions)
        ada = written.ask(CreateSession(idempotency_key="ada")).id
        for number in range(40):
            written.ask(AppendMessage(ada, Role.USER, f"{number}", f"{number}"))
        cell_of(sessions, ada).kill()
        stage.settle()
        written.ask(AppendMessage(ada, Role.USER, "39", "39"))

        written.look()

        assert written.ask(GetSession(ada)).presence is Presence.AWAKE
        assert [each.told for each in written.findings()] == [None]
        assert [each.by for each in written.operations[-3:]] == [READ_BY, READ_BY, ""]

    @pytest.mark.parametrize(
        "store",
        [
            pytest.param(None, marks=pytest.mark.in_memory, id="here"),
            pytest.param(StoreInMemory, id="durable"),
        ],
    )
    @pytest.mark.parametrize(
        "patch", [None, SessionPatch(metadata={"mended": 1})], ids=["as it is", "mended"]
    )
    def test_that_was_quarantined_and_revived_is_right(
        self, stage: Stage, patch: SessionPatch | None, store: type[StoreInMemory] | None
    ) -> None:
        sessions = stage.open(store=None if store is None else store())
        written = History(sessions)
        ada = written.ask(CreateSession()).id
        written.ask(AppendMessage(ada, Role.USER, "before"))
        for _ in range(4):
            cell_of(sessions, ada).kill()
            stage.advance(1.5)
        before = written.ask(GetSession(ada))
        assert before.presence is Presence.QUARANTINED

        revived = written.ask(ReviveSession(ada, patch))
        written.ask(AppendMessage(ada, Role.USER, "after"))
        written.look()

        has_committed = patch is not None or store is not None
        assert revived.version == before.version + has_committed
        assert [each.told for each in written.findings()] == [None]
        written.note(GetSession(ada), before)
        assert len(written.broken()) == 1

    def test_that_has_ended_is_right(self, stage: Stage) -> None:
        written = History(stage.open())
        ada = written.ask(CreateSession()).id
        written.ask(TerminateSession(ada))

        written.look()

        assert written.operations[-1].error is SessionNotFound
        assert written.broken() == []

    def test_that_is_not_as_somebody_was_told_is_broken(self, stage: Stage) -> None:
        sessions = stage.open()
        written = History(sessions)
        before = written.ask(CreateSession())
        written.ask(AppendMessage(before.id, Role.USER, "hello"), by="ada")

        written.note(GetSession(before.id), before, by="eve")

        (said,) = written.broken()
        assert "eve's GetSession -> active version 1 with 0 messages began when ada's" in said
        assert "saw nothing of it\n" in said
        assert said.count(">  ") == 2

    def test_is_changed_by_what_a_message_of_ones_own_means(self, stage: Stage) -> None:
        sessions = stage.open()
        vague, exact = History(sessions), History(sessions, means=as_append)
        for written in (vague, exact):
            ada = written.ask(CreateSession())
            written.ask(Say(ada.id, text="hello"))
            assert written.broken() == []
            written.note(GetSession(ada.id), ada)

        assert vague.broken() == []
        assert len(exact.broken()) == 1


class TestALook:
    def test_finds_what_the_store_has_lost(self, stage: Stage) -> None:
        store = StoreInMemory()
        written = History(stage.open(store=store))
        ada, bob = (written.ask(CreateSession()).id for _ in range(2))
        for number in range(5):
            written.ask(AppendMessage(ada, Role.USER, f"{number}"))
        left = store.copy()
        del left.logs[ada][3]

        written.go_on(stage.again(store=left))
        written.look()

        (said,) = written.broken()
        assert said.startswith(f"{ada}: it cannot be read: messages of session {ada} are missing")
        assert f"{READ_BY}'s GetMessages" in said
        assert {each.session_id for each in written.findings()} == {ada, bob}
        written.forget()
        assert written.findings() == []

    @pytest.mark.parametrize(("times", "broken"), [(LOOKS_MAX - 1, 0), (LOOKS_MAX, 1)])
    def test_is_no_finding_of_a_store_that_refuses_for_a_moment(
        self, stage: Stage, times: int, broken: int
    ) -> None:
        refused: list[str] = []

        class Refusing(StoreInMemory):
            def reader(self) -> Any:
                return self

            def messages(self, *args: Any, **options: Any) -> Any:
                if len(refused) < times:
                    refused.append("once more")
                    raise StoreError("the disk errs")
                return super().messages(*args, **options)

        written = History(stage.open(store=Refusing()))
        ada = written.ask(CreateSession()).id
        for number in range(LONG):
            written.ask(AppendMessage(ada, Role.USER, f"{number}"))

        written.look()

        assert len(refused) == times
        assert len(written.broken()) == broken

    def test_does_not_pass_for_one_when_the_system_does_not_answer(self, stage: Stage) -> None:
        sessions = stage.open()
        written = History(sessions)
        written.ask(CreateSession())
        sessions.stop()

        with pytest.raises(SystemStopped):
            written.look()

    def test_asks_nothing_of_what_can_be_no_session(self, stage: Stage) -> None:
        written = History(stage.open())
        with pytest.raises(InvalidField):
            written.ask(CreateSession(session_id=""))

        written.look()

        assert written.broken() == []


class TestACreate:
    def test_whose_id_is_used_again_is_not_accused_and_that_is_said(self, stage: Stage) -> None:
        written = History(stage.open())
        for _ in range(2):
            written.ask(CreateSession(session_id="ada"))
            written.ask(UpdateSession("ada", patch=SessionPatch(metadata={"a": 1})))
            written.ask(TerminateSession("ada"))
            stage.advance(1.0)

        assert written.broken() == []
        (finding,) = written.findings()
        assert "its id was used again" in (finding.unclear or "")

    def test_whose_key_makes_two_sessions_is_broken(self, stage: Stage) -> None:
        written = History(stage.open())
        create = CreateSession(idempotency_key="k")
        ada, bob = written.ask(create), written.ask(CreateSession())

        written.note(create, bob, by="eve")

        assert any(
            f"the key 'k' has made {bob.id}, and {ada.id}" in each for each in written.broken()
        )

    def test_whose_key_another_tenant_uses_too_is_right(self, stage: Stage) -> None:
        written = History(stage.open())
        for user in ("ada", "bob"):
            create = CreateSession(user_id=user, idempotency_key="k")
            assert written.ask(create) == written.ask(create)

        written.look()

        assert [each.told for each in written.findings()] == [None, None]


def test_what_is_awaited_is_written_down() -> None:
    async def ask() -> tuple[History, Session]:
        async with SessionSystem() as sessions:
            written = History(sessions)
            ada = await written.ask_async(CreateSession(), by="ada")
            with pytest.raises(SessionNotFound):
                await written.ask_async(AppendMessage("nobody", Role.USER, "hello"))
            return written, ada

    written, ada = asyncio.run(ask())

    assert [each.reply for each in written.operations] == [ada, None]
