"""Who dies while the store is at it, and a store that is lost with what it was given."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    BeginSpawn,
    CreateSession,
    PassivateSession,
    Role,
    SessionCrashed,
    SessionState,
    SessionSystem,
    SpawnError,
    StoreOutcomeUnknown,
    TerminateSession,
)
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.sessions.starts import Cause
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.guarded import REFUSED_COMMITS
from callboard.actors.testing import FakeStore
from callboard.supervision import FencedError
from tests.runtime.kit import Gate
from tests.sessions.refusing.kit import becomes, broken, outcome
from tests.sessions.stage import Hold, Say, Stage, cell_of, later, part_of, services_of, texts


def test_what_a_dead_incarnation_hands_in_does_not_reach_the_store(
    stage: Stage, opened: SessionSystem, store: FakeStore
) -> None:
    ada = opened.ask(CreateSession()).id
    late: Any = cell_of(opened, ada).actor
    entry = late._working().hand_in()
    cell_of(opened, ada).kill()
    stage.settle()
    opened.ask(Say(ada, text="kept"))
    asked = len(store.calls)

    assert services_of(opened).commit(entry) is CommitOutcome.FENCED

    assert len(store.calls) == asked
    assert REFUSED_COMMITS not in opened.system.counts
    assert broken(stage, opened, store) == []


def test_what_a_dead_incarnation_commits_is_refused_and_counted(
    stage: Stage, opened: SessionSystem
) -> None:
    ada = opened.ask(CreateSession()).id
    late: Any = cell_of(opened, ada).actor
    late._working().append(Role.USER, "too late", wall_s=0.0, now_s=0.0)
    cell_of(opened, ada).kill()
    stage.settle()
    opened.ask(Say(ada, text="kept"))

    with pytest.raises(FencedError, match="a later incarnation"):
        late.commit()

    assert opened.system.counts["fenced_commits"] == 1
    assert texts(opened, ada) == ["kept"]


class TestAStoreThatIsLost:
    """After it has kept a commit, before it could say so."""

    def test_has_the_next_commit_take_the_place(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.lose(times=1)

        with pytest.raises(StoreOutcomeUnknown):
            opened.ask(Say(ada, text="lost"))

        assert texts(opened, ada) == []
        assert opened.ask(Say(ada, text="kept")) == 1
        assert [each.version.session.version for each in store.entries] == [1, 2, 2]
        assert broken(stage, opened, store) == []

    @pytest.mark.parametrize(
        "create",
        [
            CreateSession(session_id="ada", idempotency_key="k"),
            CreateSession(session_id="ada", idempotency_key="k", activate=False),
        ],
        ids=["at once", "created only"],
    )
    def test_at_a_create_keeps_nothing_of_it_in_the_end(
        self, stage: Stage, opened: SessionSystem, store: FakeStore, create: CreateSession
    ) -> None:
        store.lose(times=1)

        with pytest.raises(StoreOutcomeUnknown):
            opened.ask(create)

        stage.settle()
        assert "ada" not in services_of(opened).table
        assert broken(stage, opened, store) == []
        assert opened.ask(create).id == "ada"
        assert broken(stage, opened, store) == []

    def test_at_an_end_is_tried_again(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.lose(when=becomes(SessionState.CLEANED))
        with pytest.raises(StoreOutcomeUnknown):
            opened.ask(TerminateSession(ada))

        store.accept()
        stage.advance(END_AGAIN.delays_s[-1])

        assert ada not in services_of(opened).table
        assert broken(stage, opened, store) == []


class TestWhoDiesAtTheStore:
    def test_has_published_nothing_and_its_asker_is_told(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        gate = Gate(opened.system)
        store.on_call = gate.wait
        asked = later(opened, Hold(ada, text="lost"))
        stage.play.gate.open()
        stage.settle()
        store.on_call = None

        cell_of(opened, ada).kill()
        gate.open()

        assert isinstance(outcome(asked), SessionCrashed)
        stage.advance(0.2)
        assert opened.ask(Say(ada, text="kept")) == 1
        assert texts(opened, ada) == ["kept"]
        assert broken(stage, opened, store) == []

    def test_as_the_manager_that_creates_leaves_what_is_kept_to_the_next(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        def die(*_: object) -> None:
            store.on_call = None
            part_of(opened, "front/manager").kill()

        store.on_call = die

        asked = later(opened, CreateSession(session_id="ada", activate=False))

        assert outcome(asked) is not None
        assert broken(stage, opened, store) == []
        assert opened.ask(BeginSpawn("ada")).state is SessionState.ACTIVE
        assert broken(stage, opened, store) == []

    def test_as_the_manager_that_ends_leaves_nothing_of_it(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        opened.ask(PassivateSession(ada))
        stage.settle()

        def die(*_: object) -> None:
            store.on_call = None
            part_of(opened, "front/manager").kill()

        store.on_call = die

        assert outcome(later(opened, TerminateSession(ada))) is not None
        assert broken(stage, opened, store) == []
        assert ada not in services_of(opened).table

    def test_as_the_manager_that_had_told_of_a_failed_create_is_followed_by_one_that_undoes_it(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession(idempotency_key="k")).id
        cell_of(opened, ada).suspend()
        row = services_of(opened).table.row(ada)
        told = services_of(opened).book.starts.want(row, Cause.CREATE)
        told.fail(SpawnError("it does not start"))

        part_of(opened, "front/manager").kill()

        stage.settle()
        assert ada not in services_of(opened).table
        assert broken(stage, opened, store) == []
        assert opened.ask(CreateSession(idempotency_key="k")).id != ada
