"""An end that the store does not keep: the session goes on, or the end is tried again."""

from __future__ import annotations

import pytest

from callboard.actors import (
    CleanupInactive,
    CreateSession,
    PassivateSession,
    Presence,
    SessionNotFound,
    SessionState,
    SessionSystem,
    Shutdown,
    StoreError,
    TerminateSession,
)
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.testing import FakeStore, FakeWorkspaces
from tests.sessions.refusing.kit import READ_ONLY, becomes, broken, outcome, quarantine
from tests.sessions.stage import (
    PATIENT_S,
    HoldLater,
    Say,
    Stage,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
)


class TestAnEnd:
    def test_that_is_not_kept_leaves_the_session_at_work(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        before, cell = opened.get(ada), cell_of(opened, ada)
        store.refuse(StoreError(READ_ONLY), times=1)

        with pytest.raises(StoreError, match=READ_ONLY):
            opened.ask(TerminateSession(ada))

        assert opened.get(ada) is before
        assert opened.ask(Say(ada, text="hello")) == 1
        stage.advance(60.0)  # the grace of the first is over, and kills nobody
        assert cell_of(opened, ada) is cell
        assert opened.ask(TerminateSession(ada)).state is SessionState.CLEANED
        assert broken(stage, opened, store) == []

    @pytest.mark.parametrize("rests", ["asleep", "quarantined"])
    def test_of_one_that_rests_leaves_it_at_rest(
        self, stage: Stage, opened: SessionSystem, store: FakeStore, rests: str
    ) -> None:
        ada = opened.ask(CreateSession()).id
        if rests == "asleep":
            opened.ask(PassivateSession(ada))
            stage.settle()
        else:
            quarantine(stage, opened, ada)
        before, manager = opened.get(ada), part_of(opened, "front/manager")
        store.refuse()

        for _ in range(2):
            with pytest.raises(StoreError):
                opened.ask(TerminateSession(ada))

        assert opened.get(ada) == before
        assert (services_of(opened).table.row(ada).address is None) is (rests == "asleep")
        assert part_of(opened, "front/manager") is manager
        assert broken(stage, opened, store) == []
        store.accept()
        assert opened.ask(TerminateSession(ada)).state is SessionState.CLEANED

    def test_by_force_leaves_it_asleep_and_the_next_message_wakes_it(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        opened.ask(Say(ada, text="kept"))
        held = later(opened, HoldLater(ada, text="never"))
        stage.settle()
        store.refuse()
        ended = later(opened, TerminateSession(ada, grace_s=1.0))
        stage.settle()

        stage.advance(1.0)

        assert isinstance(outcome(ended), StoreError)
        assert held.is_done
        stage.settle()
        store.accept()
        assert opened.get(ada).state is SessionState.ACTIVE
        assert opened.ask(Say(ada, text="next")) == 2
        assert texts(opened, ada) == ["kept", "next"]
        assert broken(stage, opened, store) == []
        opened.ask(TerminateSession(ada))

    def test_when_its_partition_has_died_leaves_it_asleep_until_what_waits_wakes_it(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        cell_of(opened, ada).suspend()
        ended = later(opened, TerminateSession(ada, grace_s=PATIENT_S))
        waiting = later(opened, Say(ada, text="next"))
        stage.settle()
        store.refuse(times=1)

        part_of(opened, f"sessions/{services_of(opened).table.row(ada).partition}").kill()

        assert isinstance(outcome(ended), StoreError)
        assert waiting.get(timeout=PATIENT_S) == 1
        assert broken(stage, opened, store) == []

    def test_whose_last_step_is_not_kept_is_tried_again_until_it_is(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse(when=becomes(SessionState.CLEANED))

        with pytest.raises(StoreError):
            opened.ask(TerminateSession(ada, "enough"))

        stage.advance(0.5)
        assert opened.get(ada).state is SessionState.TERMINATING
        store.accept()
        stage.advance(END_AGAIN.delays_s[0])
        with pytest.raises(SessionNotFound):
            opened.get(ada)
        assert store.entries[-1].version.session.state_reason == "enough"
        assert broken(stage, opened, store) == []

    def test_is_tried_again_at_once_when_somebody_asks_for_it(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse(when=becomes(SessionState.CLEANED))
        for _ in range(3):
            with pytest.raises(StoreError):
                opened.ask(TerminateSession(ada))
        store.accept()

        assert opened.ask(TerminateSession(ada)).state is SessionState.CLEANED
        assert broken(stage, opened, store) == []

    def test_is_tried_again_by_the_next_manager(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse(when=becomes(SessionState.CLEANED))
        with pytest.raises(StoreError):
            opened.ask(TerminateSession(ada))
        part_of(opened, "front/manager").kill()
        stage.settle()
        assert opened.get(ada).state is SessionState.TERMINATING

        store.accept()
        stage.advance(END_AGAIN.delays_s[-1])

        with pytest.raises(SessionNotFound):
            opened.get(ada)
        assert broken(stage, opened, store) == []

    def test_is_tried_less_and_less_often(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada = opened.ask(CreateSession()).id
        store.refuse(when=becomes(SessionState.CLEANED))
        with pytest.raises(StoreError):
            opened.ask(TerminateSession(ada))
        stage.settle()
        before = len(store.calls)

        stage.advance(sum(END_AGAIN.delays_s) + 2 * END_AGAIN.delays_s[-1] + 1.0)

        assert len(store.calls) - before == len(END_AGAIN.delays_s) + 2

    def test_of_what_has_a_folder_still_takes_it_away(self, stage: Stage, store: FakeStore) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        ada = sessions.ask(CreateSession()).id
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(TerminateSession(ada))
        assert list(workspaces.folders) == [ada]

        sessions.ask(TerminateSession(ada))
        assert workspaces.folders == {}

    def test_of_what_sleeps_with_a_folder_is_refused_before_that_is_taken_away(
        self, stage: Stage, store: FakeStore
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))
        stage.settle()
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(TerminateSession(ada))

        stage.settle()
        assert list(workspaces.folders) == [ada]
        assert presence(sessions, ada) is Presence.ASLEEP
        store.refuse(times=1, when=becomes(SessionState.CLEANED))
        assert isinstance(outcome(later(sessions, TerminateSession(ada))), StoreError)
        assert workspaces.folders == {}
        stage.advance(END_AGAIN.delays_s[0])
        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        assert broken(stage, sessions, store) == []


class TestACleanup:
    def test_that_is_all_refused_says_so_and_the_next_one_ends_them(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ids = sorted(opened.ask(CreateSession()).id for _ in range(3))
        stage.advance(60.0)
        store.refuse()

        with pytest.raises(StoreError):
            opened.ask(CleanupInactive(idle_longer_than_s=30.0))

        assert sorted(services_of(opened).table.ids()) == ids
        store.accept()
        assert opened.ask(CleanupInactive(idle_longer_than_s=30.0)) == tuple(ids)
        assert broken(stage, opened, store) == []

    def test_that_is_refused_for_one_names_the_others(
        self, stage: Stage, opened: SessionSystem, store: FakeStore
    ) -> None:
        ada, bob = opened.ask(CreateSession()).id, opened.ask(CreateSession()).id
        stage.advance(60.0)
        store.refuse(session_id=ada)

        assert opened.ask(CleanupInactive(idle_longer_than_s=30.0)) == (bob,)

        store.accept()
        assert opened.ask(Say(ada, text="hello")) == 1

    def test_by_the_janitor_hurts_nobody(self, stage: Stage, store: FakeStore) -> None:
        sessions = stage.open(store=store, max_idle_s=30.0, cleanup_interval_s=10.0)
        ada = sessions.ask(CreateSession()).id
        store.refuse()

        stage.advance(60.0)

        assert sessions.get(ada).state is SessionState.ACTIVE
        assert sessions.health().is_healthy
        store.accept()
        stage.advance(10.0)
        with pytest.raises(SessionNotFound):
            sessions.get(ada)


def test_a_stop_ends_though_the_store_refuses_everything(stage: Stage, store: FakeStore) -> None:
    sessions = stage.open(store=store, workspace=FakeWorkspaces())
    for _ in range(3):
        sessions.ask(CreateSession())
    store.refuse()

    assert sessions.stop().is_clean


class TestAnEndThatIsOvertaken:
    """By an incarnation that its partition had on the way, while the store took its time."""

    @pytest.mark.parametrize("has_folder", [False, True])
    def test_is_kept_before_the_session_goes(
        self, stage: Stage, store: FakeStore, *, has_folder: bool
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces if has_folder else None)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(PassivateSession(ada))

        def overtake(_method: str, session_id: str) -> None:
            store.on_call = None
            row = services_of(sessions).table.row(session_id)
            row.begin(row.incarnation + 1)

        store.on_call = overtake
        ended = later(sessions, TerminateSession(ada, grace_s=1.0))
        stage.settle()
        assert not ended.is_done

        stage.advance(2.0)

        assert ended.get(timeout=PATIENT_S).state is SessionState.CLEANED
        assert store.entries[-1].version.session.state is SessionState.CLEANED
        assert workspaces.folders == {}
        assert broken(stage, sessions, store) == []


class TestTheSameCommit:
    def test_is_not_handed_in_twice_when_an_end_is_gone_on_with(
        self, stage: Stage, store: FakeStore
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        ada = sessions.ask(CreateSession()).id
        store.refuse(times=1, when=becomes(SessionState.CLEANED))

        assert sessions.ask(TerminateSession(ada)).state is SessionState.CLEANED

        assert workspaces.folders == {}
        states = [each.version.session.state for each in store.entries]
        assert states[-2:] == [SessionState.TERMINATING, SessionState.CLEANED]
        assert broken(stage, sessions, store) == []


def test_a_shutdown_waits_for_no_commit_that_was_refused(
    stage: Stage, opened: SessionSystem, store: FakeStore
) -> None:
    ada = opened.ask(CreateSession()).id
    held = later(opened, HoldLater(ada, text="lost"))
    stage.settle()
    store.refuse()
    drained = later(opened, Shutdown(grace_s=30.0))
    stage.settle()

    stage.play.gate.open()
    stage.advance(1.0)

    assert isinstance(outcome(held), StoreError)
    assert drained.get(timeout=PATIENT_S) == ()
