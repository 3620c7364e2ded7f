"""A create that the store does not keep, or that fails: nothing of it is left."""

from __future__ import annotations

import pytest

from callboard.actors import (
    BeginSpawn,
    CreateSession,
    Presence,
    SessionNotFound,
    SessionState,
    SessionSystem,
    SessionTerminating,
    SpawnError,
    StoreError,
    Subscribe,
    TerminateSession,
)
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.testing import FakeStore
from callboard.supervision import Future
from tests.runtime.kit import Gate
from tests.sessions.refusing.kit import READ_ONLY, becomes, broken, outcome
from tests.sessions.stage import Say, Stage, later, part_of, presence, services_of


class TestACreateOnly:
    def test_is_kept_before_it_is_answered(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession(activate=False)).id

        assert [each.version.session.state for each in store.entries] == [SessionState.CREATED]
        assert (opened.get(ada).version, presence(opened, ada)) == (0, Presence.ASLEEP)
        assert broken(stage, opened, store) == []
        assert opened.ask(BeginSpawn(ada)).version == 1
        assert broken(stage, opened, store) == []

    def test_is_started_by_a_message_that_comes_while_it_is_kept(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        said = list[Future[int]]()

        def send(*_: object) -> None:
            store.on_call = None
            said.append(later(opened, Say("ada", text="early")))

        store.on_call = send

        created = opened.ask(CreateSession(session_id="ada", activate=False))

        assert created.state is SessionState.CREATED
        stage.settle()
        assert [each.get() for each in said] == [1]
        assert broken(stage, opened, store) == []

    def test_that_is_not_kept_gives_all_back(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        create = CreateSession(
            session_id="ada", user_id="ada", agent_role="g", idempotency_key="k", activate=False
        )
        events, manager = opened.ask(Subscribe()), part_of(opened, "front/manager")
        store.refuse(StoreError(READ_ONLY), times=1)

        with pytest.raises(StoreError, match=READ_ONLY):
            opened.ask(create)

        with pytest.raises(SessionNotFound):
            opened.get("ada")
        stage.settle()
        heard = [events.get(timeout=0).kind.value for _ in range(events.waiting)]
        assert heard == ["created", "error", "terminated"]
        assert part_of(opened, "front/manager") is manager
        assert broken(stage, opened, store) == []
        assert opened.ask(create).state is SessionState.CREATED


class TestACreateThatFails:
    """After its first commit: its creator is told so, and the store that it is over."""

    def test_is_over_for_the_store_too(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        stage.play.bad_starts["ada"] = 1
        create = CreateSession(session_id="ada", agent_role="guide", idempotency_key="k")

        assert isinstance(outcome(later(opened, create)), SpawnError)

        assert broken(stage, opened, store) == []
        assert store.entries[-1].version.session.state is SessionState.CLEANED
        assert opened.ask(create).state is SessionState.ACTIVE
        assert broken(stage, opened, store) == []

    def test_goes_when_the_store_takes_that(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        stage.play.bad_starts["ada"] = 1
        store.refuse(when=becomes(SessionState.CLEANED))
        create = CreateSession(session_id="ada", idempotency_key="k")

        assert isinstance(outcome(later(opened, create)), SpawnError)

        stage.advance(sum(END_AGAIN.delays_s))
        assert "ada" in services_of(opened).table
        store.accept()
        stage.advance(END_AGAIN.delays_s[-1])
        assert broken(stage, opened, store) == []
        assert "ada" not in services_of(opened).table
        assert opened.ask(create).state is SessionState.ACTIVE

    def test_is_said_to_be_ending_as_long_as_it_can_be_read(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        stage.play.bad_starts["ada"] = 1
        store.refuse(when=becomes(SessionState.CLEANED))
        assert outcome(later(opened, CreateSession(session_id="ada"))) is not None

        told = outcome(later(opened, Say("ada", text="no")))

        assert opened.get("ada").id == "ada"
        assert isinstance(told, SessionTerminating)
        again = later(opened, CreateSession(session_id="ada", user_id="bob"))
        stage.settle()
        assert not again.is_done
        assert opened.get("ada").user_id is None
        store.accept()
        stage.advance(END_AGAIN.delays_s[-1])
        assert again.get().user_id == opened.get("ada").user_id == "bob"

    def test_has_no_last_snapshot_for_who_ends_it_meanwhile(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        gate = Gate(opened.system)
        store.on_call = gate.wait
        store.refuse(times=1)
        created = later(opened, CreateSession(session_id="ada"))
        stage.settle()
        ended = later(opened, TerminateSession("ada"))
        stage.settle()

        gate.open()

        assert isinstance(outcome(created), StoreError)
        assert isinstance(outcome(ended), SessionNotFound)

    def test_goes_though_a_manager_dies_meanwhile(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        stage.play.bad_starts["ada"] = 1
        store.refuse(when=becomes(SessionState.CLEANED))
        assert outcome(later(opened, CreateSession(session_id="ada"))) is not None
        part_of(opened, "front/manager").kill()
        stage.settle()
        store.accept()

        stage.advance(END_AGAIN.delays_s[-1])

        assert "ada" not in services_of(opened).table
        assert broken(stage, opened, store) == []
