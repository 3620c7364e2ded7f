"""A create that is repeated after a restart, when its session has ended by then."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    STANDARD,
    AppendMessage,
    CreateSession,
    IdempotencyConflict,
    Keeping,
    Role,
    Session,
    SessionNotFound,
    SessionState,
    SessionSystem,
    SpawnError,
    StoreOutcomeUnknown,
    TerminateSession,
    WorkspaceError,
)
from callboard.actors.sessions.recovering import KEYS_KEPT_ANYHOW_S, UnreadableFound
from callboard.actors.sessions.states import takes_messages
from callboard.actors.testing import FakeWorkspaces
from callboard.actors.testing.stores import StoreInMemory
from tests.cast import Actor, Boom
from tests.sessions.stage import Stage, later, part_of, services_of

CREATE = CreateSession(user_id="ada", org_id="acme", idempotency_key="k")

A_DAY_S = STANDARD.keys_keep_s


@pytest.fixture
def store() -> StoreInMemory:
    return StoreInMemory()


def again(stage: Stage, store: StoreInMemory, **options: Any) -> SessionSystem:
    """Start the next system with what a process finds whose predecessor was killed just now."""
    return stage.again(store=store.copy(), **options)


def ended(sessions: SessionSystem, create: CreateSession = CREATE) -> Session:
    made = sessions.ask(create)
    return sessions.ask(TerminateSession(made.id, reason="done"))


def images_of(store: StoreInMemory) -> list[StoreInMemory]:
    """Return what a process finds whose predecessor died after each transaction from now on."""
    images: list[StoreInMemory] = []
    write = store.write

    def watched(writes: Any) -> Any:
        found = write(writes)
        images.append(store.copy())
        return found

    store.write = watched  # type: ignore[method-assign]  # to see it in the middle
    return images


class TestARepeatedCreate:
    def test_is_answered_with_the_session_as_it_ended(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        last = ended(stage.open(store=store))

        sessions = again(stage, store)
        told = sessions.ask(CREATE)

        assert (told.id, told.state, told.state_reason) == (last.id, SessionState.CLEANED, "done")
        assert (told.version, told.user_id) == (last.version, "ada")
        with pytest.raises(SessionNotFound):
            sessions.get(last.id)
        assert sessions.health().sessions == 0

    def test_is_refused_with_another_content(self, stage: Stage, store: StoreInMemory) -> None:
        ended(stage.open(store=store))
        another = CreateSession(
            user_id="ada", org_id="acme", agent_role="another", idempotency_key="k"
        )

        with pytest.raises(IdempotencyConflict):
            again(stage, store).ask(another)

    def test_is_answered_so_by_every_later_system(self, stage: Stage, store: StoreInMemory) -> None:
        last = ended(stage.open(store=store))
        store = store.copy()
        stage.again(store=store)

        assert again(stage, store).ask(CREATE).id == last.id

    def test_tells_another_tenant_nothing(self, stage: Stage, store: StoreInMemory) -> None:
        last = ended(stage.open(store=store))
        theirs = CreateSession(user_id="bob", org_id="acme", idempotency_key="k")

        assert again(stage, store).ask(theirs).id != last.id

    def test_creates_anew_when_the_key_is_too_old(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = stage.open(store=store)
        last = ended(sessions)

        sessions = again(stage, store)
        stage.advance(A_DAY_S + 1)

        assert sessions.ask(CREATE).id != last.id

    def test_is_answered_when_the_process_died_while_its_session_was_being_ended(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        made = sessions.ask(CREATE)
        images = images_of(store)
        sessions.ask(TerminateSession(made.id))
        ending = next(each for each in images if each.kept[made.id].head.state == "terminating")

        sessions = stage.again(store=ending, workspace=workspaces)

        assert sessions.ask(CREATE).id == made.id


class TestASessionThatNeverCameToBe:
    def test_leaves_its_key_to_the_next_create(self, stage: Stage, store: StoreInMemory) -> None:
        workspaces = FakeWorkspaces()
        sessions = stage.open(store=store, workspace=workspaces)
        workspaces.failures["make"] = WorkspaceError("no room")
        with pytest.raises(WorkspaceError):
            sessions.ask(CREATE)
        assert [each.head.state for each in store.kept.values()] == ["cleaned"]

        sessions = again(stage, store, workspace=FakeWorkspaces())

        assert sessions.ask(CREATE).state is SessionState.ACTIVE

    def test_and_was_undone_by_the_next_system_leaves_it_to_the_one_after(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        images = images_of(store)
        stage.open(store=store, workspace=FakeWorkspaces()).ask(CREATE)
        half = next(
            each
            for each in images
            if [kept.head.state for kept in each.kept.values()] == ["spawning"]
        )
        (lost,) = half.kept

        stage.again(store=half, workspace=FakeWorkspaces())
        stage.advance(1.0)
        assert half.kept[lost].ended_at is not None

        told = again(stage, half, workspace=FakeWorkspaces()).ask(CREATE)

        assert (told.state, told.id == lost) == (SessionState.ACTIVE, False)

    def test_leaves_its_id_too_to_a_create_that_waits_until_it_is_undone(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        images = images_of(store)
        workspaces = FakeWorkspaces()
        stage.open(store=store, workspace=workspaces).ask(CreateSession(session_id="s"))
        half = next(each for each in images if each.kept["s"].head.state == "spawning")

        sessions = stage.again(store=half, workspace=workspaces)
        made = sessions.ask(CreateSession(session_id="s", user_id="bob"))

        assert (made.state, sessions.get("s").user_id) == (SessionState.ACTIVE, "bob")
        assert workspaces.folders.keys() == {"s"}


class Doubtful(StoreInMemory):
    """A store that is lost over each commit which confirms a create; kept or not, as told.

    Args:
        keeps: whether it keeps what it is lost over.
    """

    def __init__(self, *, keeps: bool) -> None:
        super().__init__()
        self._keeps = keeps
        self.images: list[StoreInMemory] = []
        """What a process finds whose predecessor died after each transaction."""

    def write(self, writes: Any) -> Any:
        is_lost = any(each.created is not None for each in writes)
        if self._keeps or not is_lost:
            super().write(writes)
        self.images.append(self.copy())
        if is_lost:
            raise StoreOutcomeUnknown("the store is lost")
        return {}


class TestACreateOfWhichNobodyKnowsWhetherItWasKept:
    @pytest.mark.parametrize("keeps", [True, False], ids=["kept", "lost"])
    @pytest.mark.parametrize("has_steps", [True, False], ids=["spawned", "plain"])
    @pytest.mark.parametrize("activate", [True, False], ids=["active", "created"])
    def test_gives_a_living_session_when_it_is_repeated_whenever_the_process_died(
        self, stage: Stage, *, keeps: bool, has_steps: bool, activate: bool
    ) -> None:
        workspaces = FakeWorkspaces() if has_steps else None
        doubtful = Doubtful(keeps=keeps)
        create = msgspec.structs.replace(CREATE, activate=activate)
        with pytest.raises(StoreOutcomeUnknown):
            stage.open(store=doubtful, workspace=workspaces).ask(create)
        stage.settle()

        assert len(doubtful.images) >= 3
        for image in list(doubtful.images):
            sessions = stage.again(store=image, workspace=workspaces)
            told = sessions.ask(create)

            assert takes_messages(told.state)
            assert sessions.get(told.id).state is told.state
            assert sessions.ask(AppendMessage(told.id, Role.USER, "hello")) == 1
            assert sessions.ask(create) == told


A_YEAR_S = 365 * A_DAY_S


class TestAWallClockThatJumps:
    KEEPING = Keeping(max_idle_s=math.inf, cleanup_interval_s=300.0, ended_keep_s=2 * A_YEAR_S)

    @pytest.fixture(params=["ended", "living"])
    def made(self, stage: Stage, store: StoreInMemory, request: pytest.FixtureRequest) -> Session:
        """A session that was created with a key an hour ago; a system that is open."""
        sessions = stage.open(store=store, keeping=self.KEEPING)
        made = sessions.ask(CREATE)
        if request.param == "ended":
            sessions.ask(TerminateSession(made.id))
        stage.advance(3_600.0)
        return made

    @staticmethod
    def again(stage: Stage, store: StoreInMemory, *, jump_s: float) -> SessionSystem:
        """Start the next system when the wall clock has jumped: all that is kept is elsewhen."""
        image = store.copy()
        for name, kept in image.kept.items():
            assert kept.created is not None
            used_at = kept.created.used_at - jump_s
            image.kept[name] = msgspec.structs.replace(
                kept,
                created=msgspec.structs.replace(kept.created, used_at=used_at),
                ended_at=None if kept.ended_at is None else kept.ended_at - jump_s,
            )
        return stage.again(store=image, keeping=TestAWallClockThatJumps.KEEPING)

    @pytest.mark.parametrize("jump_s", [A_YEAR_S, -A_YEAR_S], ids=["forward", "back"])
    def test_has_no_key_forgotten_at_once(
        self, stage: Stage, store: StoreInMemory, made: Session, jump_s: float
    ) -> None:
        assert self.again(stage, store, jump_s=jump_s).ask(CREATE).id == made.id

    @pytest.mark.parametrize("jump_s", [A_YEAR_S, -A_YEAR_S], ids=["forward", "back"])
    def test_and_is_put_right_has_each_be_as_old_as_it_is(
        self, stage: Stage, store: StoreInMemory, made: Session, jump_s: float
    ) -> None:
        sessions = self.again(stage, store, jump_s=jump_s)
        stage.advance(700.0)
        stage.set_the_wall_clock(-jump_s)

        stage.advance(A_DAY_S - 3_600.0 - 800.0)
        assert sessions.ask(CREATE).id == made.id

        stage.advance(200.0)
        assert sessions.ask(CREATE).id != made.id

    @pytest.mark.parametrize("jump_s", [A_YEAR_S, -A_YEAR_S], ids=["forward", "back"])
    def test_and_stays_where_it_is_has_none_kept_for_ever(
        self, stage: Stage, store: StoreInMemory, made: Session, jump_s: float
    ) -> None:
        sessions = self.again(stage, store, jump_s=jump_s)

        stage.advance(KEYS_KEPT_ANYHOW_S + 1.0)

        assert sessions.ask(CREATE).id != made.id


class TestTheKeysThatAreRead:
    def test_are_bounded(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = stage.open(store=store)
        last: list[Session] = []
        for number in range(5):
            last.append(ended(sessions, CreateSession(idempotency_key=f"k{number}")))
            stage.advance(1.0)

        sessions = again(stage, store, keeping=Keeping(keys_max=3))

        assert len(services_of(sessions).book.creates) == 3
        for number in (2, 3, 4):
            told = sessions.ask(CreateSession(idempotency_key=f"k{number}"))
            assert told.id == last[number].id

    def test_are_those_of_the_last_use(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = stage.open(store=store)
        first = ended(sessions)
        stage.advance(A_DAY_S + 1)
        second = sessions.ask(CREATE)
        assert second.id != first.id

        assert again(stage, store).ask(CREATE).id == second.id

    def test_that_cannot_be_read_are_told_of_and_cost_nobody_else_anything(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = stage.open(store=store)
        last = ended(sessions)
        other = ended(sessions, CreateSession(idempotency_key="other"))
        kept: Any = store.kept[last.id]
        store.kept[last.id] = type(kept)(
            kept.id, kept.head, b"no JSON", None, kept.created, kept.ended_at
        )

        told: list[object] = []
        sessions = again(stage, store, on_event=told.append)

        assert sessions.ask(CreateSession(idempotency_key="other")).id == other.id
        assert [each.session_id for each in told if isinstance(each, UnreadableFound)] == [last.id]


def test_one_that_is_repeated_without_a_restart_is_told_what_it_was_told(stage: Stage) -> None:
    sessions = stage.open(store=StoreInMemory())
    first = later(sessions, CREATE)
    stage.settle()
    made = first.get(timeout=1.0)
    sessions.ask(TerminateSession(made.id))

    assert sessions.ask(CREATE) == made


class TestACreateThatWasToldAnError:
    def test_leaves_its_key_though_its_session_was_kept_before_its_start_failed(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        class Stumbling(Actor):
            play = stage.play

            def on_start(self) -> None:
                super().on_start()
                raise Boom("when all is kept")

        with pytest.raises(SpawnError):
            stage.open(store=store, session=Stumbling).ask(CREATE)
        stage.settle()
        assert [each.ended_at is None for each in store.kept.values()] == [False]

        sessions = again(stage, store)

        assert sessions.ask(CREATE).state is SessionState.ACTIVE

    def test_is_none_whose_session_the_store_has(self, stage: Stage, store: StoreInMemory) -> None:
        """It is ended before the manager hears of its start, but after that was kept."""
        create = msgspec.structs.replace(CREATE, session_id="ada")

        class Slow(Actor):
            play = stage.play

            def on_start(self) -> None:
                super().on_start()
                for each in partitions:
                    each.suspend()

        sessions = stage.open(store=store, session=Slow)
        partitions = [part_of(sessions, f"sessions/{number}") for number in range(2)]
        created = later(sessions, create)
        stage.settle()
        assert store.kept["ada"].created is not None

        ended = later(sessions, TerminateSession("ada", grace_s=0.0))
        stage.advance(0.1)
        for each in partitions:
            each.resume()
        stage.settle()

        last = ended.get()
        assert created.get() == last
        assert sessions.ask(create) == last
        assert again(stage, store).ask(create).version == last.version
