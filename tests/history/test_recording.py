"""What a history writes down of what clients ask, on threads and in a simulation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    GetSession,
    Presence,
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
from callboard.actors.testing.history import READ_BY, HistoryFull
from callboard.actors.testing.operations import NEVER, Outcome
from callboard.supervision import Request
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


class TestACreate:
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
