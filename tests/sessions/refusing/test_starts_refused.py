"""A start, a spawn or a revival that the store does not keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from callboard.actors import (
    BeginSpawn,
    CreateSession,
    PassivateSession,
    Presence,
    ReviveSession,
    Session,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionState,
    SessionSystem,
    SessionTerminating,
    StoreError,
    TerminateSession,
)
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.sessions.spawn import Step
from callboard.actors.testing import FakeStore, FakeWorkspaces
from tests.runtime.kit import Gate
from tests.sessions.refusing.kit import (
    READ_ONLY,
    LateStart,
    becomes,
    behaviour,
    broken,
    do_nothing,
    has_folder,
    outcome,
    quarantine,
)
from tests.sessions.stage import PATIENT_S, Say, Stage, cell_of, later, presence, services_of, texts


class TestAStart:
    def test_that_is_not_kept_fails_the_create_and_gives_all_back(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        store.refuse(StoreError(READ_ONLY), times=1)
        create = CreateSession(session_id="ada", agent_role="guide", idempotency_key="k")

        with pytest.raises(StoreError, match=READ_ONLY):
            opened.ask(create)

        with pytest.raises(SessionNotFound):
            opened.get("ada")
        assert broken(stage, opened, store) == []
        assert opened.ask(create).state is SessionState.ACTIVE

    def test_of_a_session_that_was_created_only_leaves_it_so(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession(activate=False)).id
        store.refuse(times=1)

        begun = later(opened, BeginSpawn(ada))

        assert isinstance(outcome(begun), StoreError)
        stage.settle()
        assert opened.get(ada).state is SessionState.CREATED
        assert presence(opened, ada) is Presence.ASLEEP
        assert opened.ask(BeginSpawn(ada)).state is SessionState.ACTIVE
        assert broken(stage, opened, store) == []

    def test_after_a_crash_is_tried_again(self, stage: Stage, store: FakeStore) -> None:
        sessions = stage.open(store=store, session=behaviour(stage, LateStart))
        ada = sessions.ask(CreateSession()).id
        store.refuse(times=2)
        cell_of(sessions, ada).kill()
        stage.settle()
        waiting = later(sessions, Say(ada, text="next"))

        stage.advance(1.5)

        assert waiting.get(timeout=PATIENT_S) == 2
        assert texts(sessions, ada) == ["began anew", "next"]
        assert sessions.get(ada).restarts == 3
        assert broken(stage, sessions, store) == []

    def test_of_one_that_is_woken_is_the_answer_to_what_waits_and_it_sleeps_on(
        self, stage: Stage, store: FakeStore
    ) -> None:
        sessions = stage.open(store=store, session=behaviour(stage, LateStart))
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))
        stage.settle()
        store.refuse(StoreError(READ_ONLY))

        for _ in range(9):  # more often than it might fail by a fault of its own
            with pytest.raises(StoreError, match=READ_ONLY):
                sessions.ask(Say(ada, text="lost"))

        stage.settle()
        assert presence(sessions, ada) is Presence.ASLEEP
        assert sessions.get(ada).restarts == 0
        tried = len(store.calls)
        stage.advance(60.0)
        assert len(store.calls) == tried
        store.accept()
        assert sessions.ask(Say(ada, text="kept")) == 2
        assert texts(sessions, ada) == ["began anew", "kept"]
        assert broken(stage, sessions, store) == []

    def test_that_is_never_kept_ends_in_quarantine_and_is_revived(
        self, stage: Stage, store: FakeStore
    ) -> None:
        sessions = stage.open(store=store, session=behaviour(stage, LateStart))
        ada = sessions.ask(CreateSession()).id
        store.refuse()
        cell_of(sessions, ada).kill()

        stage.advance(2.0)

        assert presence(sessions, ada) is Presence.QUARANTINED
        assert isinstance(outcome(later(sessions, ReviveSession(ada))), StoreError)
        stage.settle()
        assert presence(sessions, ada) is Presence.QUARANTINED
        with pytest.raises(SessionQuarantined):
            sessions.ask(Say(ada, text="no"))
        store.accept()
        sessions.ask(ReviveSession(ada))
        assert sessions.ask(Say(ada, text="yes")) == 2
        assert broken(stage, sessions, store) == []


class TestASpawn:
    @pytest.mark.parametrize(
        "when",
        [has_folder, becomes(SessionState.ACTIVE)],
        ids=["a step", "the last word"],
    )
    def test_whose_step_is_not_kept_is_undone(
        self, stage: Stage, store: FakeStore, when: Callable[[Session], bool]
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        store.refuse(StoreError(READ_ONLY), times=1, when=when)

        with pytest.raises(StoreError, match=READ_ONLY):
            sessions.ask(CreateSession(session_id="ada"))

        stage.settle()
        assert workspaces.folders == {}
        with pytest.raises(SessionNotFound):
            sessions.get("ada")
        assert broken(stage, sessions, store) == []

    def test_is_undone_though_nothing_is_kept_any_more_and_goes_when_it_is(
        self, stage: Stage, store: FakeStore
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        store.refuse(when=has_folder)
        store.refuse(when=becomes(SessionState.TERMINATING))
        store.refuse(when=becomes(SessionState.CLEANED))

        created = later(sessions, CreateSession(session_id="ada", idempotency_key="k"))

        assert isinstance(outcome(created), StoreError)
        stage.settle()
        assert workspaces.folders == {}
        assert sessions.get("ada").state is SessionState.SPAWNING
        tried = len(store.calls)
        asked = later(sessions, Say("ada", text="no"))
        assert isinstance(outcome(asked), SessionTerminating)
        assert len(store.calls) == tried
        stage.advance(sum(END_AGAIN.delays_s))
        assert sessions.get("ada").state is SessionState.SPAWNING
        store.accept()
        stage.advance(END_AGAIN.delays_s[-1])
        with pytest.raises(SessionNotFound):
            sessions.get("ada")
        assert broken(stage, sessions, store) == []
        assert sessions.ask(CreateSession(session_id="ada", idempotency_key="k")).workspace

    def test_that_is_struck_is_undone_though_it_is_not_kept_that_it_ends(
        self, stage: Stage, store: FakeStore
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        gate = Gate(sessions.system)
        workspaces.on_call = lambda method, _: method == "make" and gate.wait()
        created = later(sessions, CreateSession(session_id="ada"))
        stage.settle()
        store.refuse()
        cell_of(sessions, "ada").kill()
        gate.open()

        stage.advance(2.0)

        assert created.is_done
        assert ("remove", "ada") in workspaces.calls
        assert sessions.get("ada").state is SessionState.SPAWNING
        store.accept()
        stage.advance(sum(END_AGAIN.delays_s))
        with pytest.raises(SessionNotFound):
            sessions.get("ada")
        assert broken(stage, sessions, store) == []

    def test_again_of_a_session_that_was_active_is_a_crash_like_others(
        self, stage: Stage, store: FakeStore
    ) -> None:
        sessions, steps = stage.open(store=store), (Step(name="s", do=do_nothing, is_redone=True),)
        services_of(sessions).planners.append(lambda _: steps)
        ada = sessions.ask(CreateSession()).id
        store.refuse(times=1, when=becomes(SessionState.ACTIVE))
        cell_of(sessions, ada).kill()

        stage.advance(0.2)

        assert sessions.get(ada).state is SessionState.ACTIVE
        assert sessions.get(ada).restarts == 2
        assert sessions.ask(Say(ada, text="hello")) == 1

    def test_again_whose_end_is_refused_goes_on(self, stage: Stage, store: FakeStore) -> None:
        sessions = stage.open(store=store)
        gates: list[Gate] = []

        def wait(session: Session, _: object) -> None:
            if session.message_count and not gates:
                gates.append(Gate(sessions.system))
                gates[0].wait()

        steps = (Step(name="s", do=wait, is_redone=True),)
        services_of(sessions).planners.append(lambda _: steps)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(Say(ada, text="one"))
        cell_of(sessions, ada).kill()
        stage.settle()
        assert sessions.get(ada).state is SessionState.SPAWNING
        store.refuse(times=1, when=becomes(SessionState.TERMINATING))

        ended = later(sessions, TerminateSession(ada, grace_s=PATIENT_S))

        assert isinstance(outcome(ended), StoreError)
        stage.advance(2.0)
        gates[0].open()
        stage.settle()
        assert sessions.get(ada).state is SessionState.ACTIVE
        assert sessions.ask(Say(ada, text="two")) == 2
        sessions.ask(TerminateSession(ada))
        assert broken(stage, sessions, store) == []


class TestReviving:
    PATCH = SessionPatch(metadata={"is_cursed": False})

    def test_with_a_patch_that_is_not_kept_leaves_it_as_it_was(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession(metadata={"is_cursed": True}, activate=False)).id
        assert outcome(later(opened, BeginSpawn(ada))) is not None
        stage.settle()
        before = opened.get(ada)
        assert before.presence is Presence.ASLEEP
        store.refuse(StoreError(READ_ONLY), times=1)

        with pytest.raises(StoreError, match=READ_ONLY):
            opened.ask(ReviveSession(ada, self.PATCH))

        assert opened.get(ada) == before
        assert services_of(opened).table.row(ada).holder is None
        assert broken(stage, opened, store) == []
        assert opened.ask(ReviveSession(ada, self.PATCH)).presence is Presence.AWAKE

    def test_with_a_patch_that_is_refused_itself_leaves_it_quarantined(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        ada = opened.ask(CreateSession()).id
        quarantine(stage, opened, ada)
        before = opened.get(ada)

        with pytest.raises(Exception, match="metadata"):
            opened.ask(ReviveSession(ada, SessionPatch(metadata={"a": object()})))

        assert opened.get(ada) == before
        assert opened.ask(ReviveSession(ada)).presence is Presence.AWAKE
