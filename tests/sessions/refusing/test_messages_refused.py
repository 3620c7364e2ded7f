"""A message that the store does not keep: who asked is told, and the session is as it was."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Role,
    SessionMessage,
    SessionSystem,
    StoreError,
    StoreOutcomeUnknown,
    Subscribe,
    TerminateSession,
)
from callboard.actors.sessions.draft import SessionEntry
from callboard.actors.sessions.storing import StoreRaised
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.guarded import REFUSED_COMMITS
from callboard.actors.testing import FakeStore
from callboard.supervision import handles
from callboard.supervision.runtime.notices import Notice
from tests.runtime.kit import Gate
from tests.sessions.refusing.kit import (
    CHANGES,
    READ_ONLY,
    Saving,
    Twice,
    behaviour,
    broken,
    outcome,
)
from tests.sessions.stage import (
    PATIENT_S,
    Actor,
    Boom,
    Decline,
    FallLater,
    Hold,
    HoldLater,
    NotNow,
    Say,
    Stage,
    cell_of,
    later,
    texts,
)


class TestAMessage:
    @pytest.mark.parametrize("message", CHANGES, ids=lambda each: type(each).__name__)
    def test_that_is_not_kept_changes_nothing_and_its_asker_is_told(
        self, stage: Stage, opened: SessionSystem, store: FakeStore, message: SessionMessage[Any]
    ) -> None:
        ada = opened.ask(CreateSession(session_id="ada")).id
        before, cell = opened.get(ada), cell_of(opened, ada)
        store.refuse(StoreError(READ_ONLY), times=1)

        with pytest.raises(StoreError, match=READ_ONLY) as refused:
            opened.ask(message)

        assert (refused.value.is_retryable, refused.value.is_outcome_known) == (True, True)
        assert opened.get(ada) is before
        assert texts(opened, ada) == []
        assert opened.system.counts[REFUSED_COMMITS] == 1
        opened.ask(message)
        assert cell_of(opened, ada) is cell
        assert opened.get(ada).version == before.version + 1
        assert broken(stage, opened, store) == []

    def test_is_retried_with_its_key(self, opened: SessionSystem, store: FakeStore) -> None:
        ada = opened.ask(CreateSession()).id
        opened.ask(AppendMessage(ada, Role.USER, "one"))
        store.refuse(times=2)
        again = AppendMessage(ada, Role.USER, "two", "key")

        for _ in range(2):
            with pytest.raises(StoreError):
                opened.ask(again)

        assert opened.ask(again) == 2
        assert opened.ask(again) == 2
        assert texts(opened, ada) == ["one", "two"]
        assert opened.get(ada).message_count == 2

    def test_of_another_session_is_kept_all_the_same(
        self, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada, bob = opened.ask(CreateSession()).id, opened.ask(CreateSession()).id
        store.refuse(session_id=ada)

        with pytest.raises(StoreError):
            opened.ask(Say(ada, text="lost"))

        assert opened.ask(Say(bob, text="kept")) == 1
        with pytest.raises(StoreError):
            opened.ask(Say(ada, text="lost"))
        store.accept()
        assert opened.ask(Say(ada, text="kept")) == 1

    def test_that_waits_for_the_store_is_answered_when_that_has_answered(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        gate = Gate(opened.system)
        store.on_call = gate.wait
        kept, behind = later(opened, Hold(ada, text="one")), later(opened, Say(ada, text="two"))
        stage.play.gate.open()
        stage.settle()

        assert not kept.is_done
        assert opened.get(ada).message_count == 0
        gate.open()
        assert (kept.get(timeout=PATIENT_S), behind.get(timeout=PATIENT_S)) == (1, 2)

    def test_that_nobody_waits_for_is_a_dead_letter(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse(times=1)

        opened.tell(Say(ada, text="lost"))
        stage.settle()

        assert [each.why for each in opened.system.dead_letters.latest] == ["store_error"]
        assert opened.ask(Say(ada, text="kept")) == 1

    def test_that_is_not_kept_is_no_event(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        events = opened.ask(Subscribe(ada))
        store.refuse(times=1)

        with pytest.raises(StoreError):
            opened.ask(Say(ada, text="lost"))
        opened.ask(Say(ada, text="kept"))
        stage.settle()

        told = [events.get(timeout=0) for _ in range(events.waiting)]
        assert [(each.seq, each.kind.value) for each in told] == [(1, "message"), (2, "updated")]

    def test_that_refuses_or_crashes_asks_nothing_of_the_store(
        self, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse()

        with pytest.raises(NotNow):
            opened.ask(Decline(ada, text="no"))
        with pytest.raises(Boom):
            opened.ask(FallLater(ada, text="no"))

        assert len(store.calls) == 1


class TestACommitInsideAHandler:
    def test_that_is_refused_leaves_what_was_kept_before(
        self, stage: Stage, store: FakeStore
    ) -> None:
        sessions = stage.open(store=store, session=behaviour(stage, Saving))
        ada = sessions.ask(CreateSession()).id
        store.refuse(times=1, when=lambda session: session.message_count == 2)

        assert sessions.ask(Twice(ada)) == "1 of 2: store_error"

        assert texts(sessions, ada) == ["first", "third"]
        assert sessions.get(ada).version == 3

    @pytest.mark.parametrize("kind", [Hold, HoldLater], ids=["sync", "async"])
    def test_at_the_end_returns_to_what_was_kept_before(
        self, stage: Stage, opened: SessionSystem, store: FakeStore, kind: Any
    ) -> None:
        ada = opened.ask(CreateSession()).id
        opened.ask(Say(ada, text="kept"))
        store.refuse(times=1)
        held, behind = later(opened, kind(ada, text="lost")), later(opened, Say(ada, text="next"))
        stage.settle()
        stage.play.gate.open()

        assert isinstance(outcome(held), StoreError)
        assert behind.get(timeout=PATIENT_S) == 2
        assert texts(opened, ada) == ["kept", "next"]


class TestAStoreThatDoesNotKnow:
    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (StoreOutcomeUnknown("it was lost"), "it was lost"),
            (OSError("secret"), "the store raised OSError"),
        ],
        ids=["says so", "raises what it may not"],
    )
    def test_is_not_taken_for_one_that_has_kept_nothing(
        self, opened: SessionSystem, store: FakeStore, error: Exception, said: str
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse(error, times=1)

        with pytest.raises(StoreOutcomeUnknown) as refused:
            opened.ask(Say(ada, text="lost"))

        assert str(refused.value) == said
        assert not refused.value.is_outcome_known
        assert opened.ask(Say(ada, text="kept")) == 1

    def test_since_it_has_a_bug_tells_its_host_where(self, stage: Stage) -> None:
        class Buggy(FakeStore):
            def commit(self, entry: SessionEntry) -> CommitOutcome:
                if entry.version.session.message_count == 1:
                    self.sync()
                return super().commit(entry)

            def sync(self) -> None:
                raise OSError("secret")

        told: list[object] = []
        sessions = stage.open(store=Buggy(), on_event=told.append)
        ada = sessions.ask(CreateSession()).id

        with pytest.raises(StoreOutcomeUnknown):
            sessions.ask(Say(ada, text="lost"))

        (raised,) = [each for each in told if isinstance(each, StoreRaised)]
        first, second, *_ = raised.where.split(" < ")
        assert raised.error == "OSError"
        assert first.startswith(f"{__file__}:")
        assert first.endswith(".Buggy.sync")
        assert second.endswith(".Buggy.commit")
        assert "secret" not in repr(told)

    def test_but_has_published_it_is_gone_on_from(self, stage: Stage) -> None:
        class Hasty(FakeStore):
            def commit(self, entry: SessionEntry) -> CommitOutcome:
                super().commit(entry)
                if entry.version.session.message_count == 1:
                    msg = "it was lost when all was written"
                    raise StoreOutcomeUnknown(msg)
                return CommitOutcome.COMMITTED

        sessions = stage.open(store=Hasty())
        ada = sessions.ask(CreateSession()).id

        with pytest.raises(StoreOutcomeUnknown):
            sessions.ask(Say(ada, text="one"))

        assert sessions.ask(Say(ada, text="two")) == 2
        assert texts(sessions, ada) == ["one", "two"]

    @pytest.mark.parametrize("answer", [CommitOutcome.WAITING, CommitOutcome.COMMITTED, None])
    def test_or_says_what_is_not_so_confirms_nothing(self, stage: Stage, answer: Any) -> None:
        class Idle(FakeStore):
            def commit(self, entry: SessionEntry) -> CommitOutcome:
                told: CommitOutcome = answer
                return told if entry.version.session.message_count else super().commit(entry)

        sessions = stage.open(store=Idle())
        ada = sessions.ask(CreateSession()).id

        with pytest.raises(StoreOutcomeUnknown, match="the store"):
            sessions.ask(Say(ada, text="one"))

        assert sessions.get(ada).version == 1
        sessions.ask(TerminateSession(ada))


class Remind(Notice, frozen=True):
    """What a session tells itself later."""


class Reminded(Actor):
    """A behaviour whose timer changes it, again and again."""

    def on_start(self) -> None:
        super().on_start()
        self.send_after(1.0, Remind())

    @handles(Remind)
    def on_remind(self, message: Remind) -> None:
        self.send_after(1.0, message)
        self.append(Role.SYSTEM, "tick")


def test_what_a_timer_changes_is_not_kept_and_the_timer_goes_on(
    stage: Stage, store: FakeStore
) -> None:
    sessions = stage.open(store=store, session=behaviour(stage, Reminded))
    ada = sessions.ask(CreateSession()).id
    cell = cell_of(sessions, ada)
    store.refuse(times=2)

    stage.advance(2.5)
    assert texts(sessions, ada) == []
    stage.advance(1.0)

    assert texts(sessions, ada) == ["tick"]
    assert cell_of(sessions, ada) is cell
    assert broken(stage, sessions, store) == []
