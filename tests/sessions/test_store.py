"""A store that refuses: who asked is told, the session is as it was, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    BeginSpawn,
    CleanupInactive,
    CreateSession,
    DuplicateSession,
    IncrementMessageCount,
    InjectCrash,
    PassivateSession,
    Presence,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionCrashed,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionState,
    SessionSystem,
    SessionTerminating,
    Shutdown,
    SpawnError,
    StoreError,
    StoreOutcomeUnknown,
    Subscribe,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions.draft import SessionEntry
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.sessions.spawn import Step
from callboard.actors.sessions.starts import Cause
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.guarded import REFUSED_COMMITS
from callboard.actors.testing import FakeStore, FakeWorkspaces
from callboard.supervision import FencedError, Future, InvalidSpec, Request, handles
from callboard.supervision.runtime.notices import Notice
from tests.laws import broken_by_a_store, broken_laws
from tests.runtime.kit import Gate
from tests.sessions.stage import (
    PATIENT_S,
    Actor,
    Boom,
    Decline,
    Fall,
    FallLater,
    Hold,
    HoldLater,
    NotNow,
    Say,
    SayLater,
    Stage,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
    until,
)

READ_ONLY = "the disk is read-only"

CHANGES: list[SessionMessage[Any]] = [
    AppendMessage("ada", Role.USER, "lost"),
    Say("ada", text="lost"),
    SayLater("ada", text="lost"),
    IncrementMessageCount("ada"),
    RecordActivity("ada"),
    UpdateSession("ada", patch=SessionPatch(metadata={"a": 1})),
]
"""What changes a session of this name."""


class Twice(SessionMessage[str], frozen=True, kw_only=True):
    """Commit, then commit once more; reply what became of the second."""


class Saving(Actor):
    """A behaviour that commits by itself."""

    @handles(Twice)
    def on_twice(self, message: Twice) -> str:
        del message
        self.append(Role.USER, "first")
        self.commit()
        self.append(Role.USER, "second")
        try:
            self.commit()
        except StoreError as error:
            seen = f"{len(self.messages(last=9))} of 2: {error.code}"
            self.append(Role.USER, "third")
            return seen
        return "2 of 2"


class LateStart(Actor):
    """A behaviour with a start of its own that commits."""

    def on_start(self) -> None:
        super().on_start()
        if self.incarnation > 1:
            self.append(Role.SYSTEM, "began anew")
            self.commit()


@pytest.fixture
def store() -> FakeStore:
    """Return a store that keeps what it is given until it is told otherwise."""
    return FakeStore()


@pytest.fixture
def opened(stage: Stage, store: FakeStore) -> SessionSystem:
    """Return a system with that store."""
    return stage.open(store=store)


def behaviour(stage: Stage, kind: type[Actor]) -> type[Actor]:
    return type(kind.__name__, (kind,), {"play": stage.play})


def becomes(state: SessionState) -> Callable[[Session], bool]:
    """Return what finds the commits after which a session is in this state."""
    return lambda session: session.state is state


def has_folder(session: Session) -> bool:
    return session.workspace is not None


def outcome(future: Future[Any]) -> Exception | None:
    """Wait for an answer, and return its error."""
    try:
        future.get(timeout=PATIENT_S)
    except Exception as error:  # noqa: BLE001 -- it is looked at
        return error
    return None


def broken(stage: Stage, sessions: SessionSystem, store: FakeStore) -> list[str]:
    """Return what is wrong when all is quiet: within, and beside what the store has."""
    stage.settle()
    return [*broken_laws(sessions), *broken_by_a_store(sessions, store.entries)]


def is_answered_or_rests(sessions: SessionSystem, session_id: str, asked: Future[Any]) -> bool:
    return asked.is_done or presence(sessions, session_id) is not Presence.AWAKE


def quarantine(stage: Stage, sessions: SessionSystem, session_id: str) -> None:
    for _ in range(4):
        assert isinstance(outcome(later(sessions, Fall(session_id, text="boom"))), Boom)
        stage.advance(1.5)
    assert presence(sessions, session_id) is Presence.QUARANTINED


def test_a_store_gets_every_commit_in_its_order(opened: SessionSystem, store: FakeStore) -> None:
    ada = opened.ask(CreateSession(user_id="ada")).id
    opened.ask(Say(ada, text="one"))
    opened.ask(Say(ada, text="two"))

    versions = [each.version.session for each in store.entries]

    assert [each.version for each in versions] == [1, 2, 3]
    assert versions[-1] is opened.get(ada)
    assert store.calls == [("commit", ada)] * 3
    opened.ask(TerminateSession(ada))
    assert store.entries[-1].version.session.state is SessionState.CLEANED


@pytest.mark.parametrize("wrong", ["", 7, object()])
def test_a_store_that_cannot_keep_anything_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidSpec, match="store"):
        SessionSystem(store=wrong)


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
        sessions, steps = stage.open(store=store), (Step(name="s", do=_nothing, is_redone=True),)
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


def _nothing(*_: object) -> None:
    return


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


def test_a_stop_ends_though_the_store_refuses_everything(stage: Stage, store: FakeStore) -> None:
    sessions = stage.open(store=store, workspace=FakeWorkspaces())
    for _ in range(3):
        sessions.ask(CreateSession())
    store.refuse()

    assert sessions.stop().is_clean


def test_what_comes_and_goes_while_the_store_refuses_now_and_then(
    stage: Stage, store: FakeStore
) -> None:
    """Whatever is refused: everybody is answered, what was confirmed is there, rows can go."""
    sessions = stage.open(store=store, workspace=FakeWorkspaces())
    number = 0

    def now_and_then(_: Session) -> bool:
        nonlocal number
        number += 1
        return number % 3 == 0

    store.refuse(when=now_and_then)
    confirmed: dict[str, list[str]] = {}
    for each in range(12):
        created = later(sessions, CreateSession(session_id=f"s{each}"))
        if outcome(created) is None:
            confirmed[f"s{each}"] = []
    for each in range(40):
        for session_id, said in confirmed.items():
            if outcome(later(sessions, Say(session_id, text=str(each)))) is None:
                said.append(str(each))
    assert {each: texts(sessions, each) for each in confirmed} == confirmed
    store.accept()
    for session_id in confirmed:
        assert outcome(later(sessions, TerminateSession(session_id))) is None
    stage.advance(END_AGAIN.delays_s[-1])
    assert len(services_of(sessions).table) == 0
    assert broken(stage, sessions, store) == []


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
    late.append(Role.USER, "too late")
    cell_of(opened, ada).kill()
    stage.settle()
    opened.ask(Say(ada, text="kept"))

    with pytest.raises(FencedError, match="a later incarnation"):
        late.commit()

    assert opened.system.counts["fenced_commits"] == 1
    assert texts(opened, ada) == ["kept"]


def test_an_entry_says_what_is_to_be_kept(opened: SessionSystem, store: FakeStore) -> None:
    ada = opened.ask(CreateSession()).id
    opened.ask(Say(ada, text="hello"))

    (last,) = store.entries[-1:]

    assert [each.content for each in last.version.log.last(1)] == ["hello"]


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
        assert isinstance(outcome(later(opened, CreateSession(session_id="ada"))), DuplicateSession)
        assert isinstance(told, SessionTerminating)
        store.accept()
        stage.advance(END_AGAIN.delays_s[-1])
        with pytest.raises(SessionNotFound):
            opened.get("ada")

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
        told = services_of(opened).book.starts.want(ada, row.partition, Cause.CREATE)
        told.fail(SpawnError("it does not start"))

        part_of(opened, "front/manager").kill()

        stage.settle()
        assert ada not in services_of(opened).table
        assert broken(stage, opened, store) == []
        assert opened.ask(CreateSession(idempotency_key="k")).id != ada


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


def any_message(dice: Random, session_id: str, text: str) -> Request[Any]:
    """Return one of all that can be asked about a session."""
    messages: list[Request[Any]] = [
        CreateSession(session_id=session_id, activate=dice.random() < 0.7),
        *[Say(session_id, text=text)] * 5,
        SayLater(session_id, text=text),
        BeginSpawn(session_id),
        PassivateSession(session_id),
        TerminateSession(session_id, grace_s=1.0),
        CleanupInactive(idle_longer_than_s=30.0),
        ReviveSession(session_id, SessionPatch(metadata={"text": text})),
        InjectCrash(session_id),
    ]
    return dice.choice(messages)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_refused_or_lost_what_was_confirmed_is_there_and_nothing_else(
    stage: Stage, store: FakeStore, seed: int
) -> None:
    """All that can be asked of sessions, in any order, and a store that often says no."""
    workspaces = FakeWorkspaces()
    sessions = stage.open(store=store, workspace=workspaces, faults=True)
    table, dice = services_of(sessions).table, Random(seed)
    store.refuse(when=lambda _: dice.random() < 0.2)
    store.lose(when=lambda _: dice.random() < 0.05)
    confirmed: dict[str, list[str]] = {}
    for number in range(200):
        session_id = f"s{dice.randrange(4)}"
        message = any_message(dice, session_id, str(number))
        if isinstance(message, SessionMessage) and session_id not in table:
            continue
        if isinstance(message, CreateSession):
            stage.play.bad_starts[session_id] = int(dice.random() < 0.2)
        asked = later(sessions, message)
        stage.advance(2.0)
        # On threads nobody sees when a coroutine goes on: it is looked at again.
        until(stage, partial(is_answered_or_rests, sessions, session_id, asked))
        if isinstance(message, Say) and asked.is_done and asked.error is None:
            confirmed.setdefault(session_id, []).append(message.text)
        confirmed = {each: said for each, said in confirmed.items() if each in table}
        for each, said in confirmed.items():
            assert texts(sessions, each) == said

    store.accept()
    stage.advance(PATIENT_S + END_AGAIN.delays_s[-1])
    for each in table.ids():
        if presence(sessions, each) is Presence.QUARANTINED:
            sessions.ask(ReviveSession(each, SessionPatch()))
        sessions.ask(RecordActivity(each))
    assert broken(stage, sessions, store) == []
    for each in table.ids():
        sessions.ask(TerminateSession(each))
    assert workspaces.folders == {}
    assert broken(stage, sessions, store) == []
