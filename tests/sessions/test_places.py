"""Who gets the last place? Exactly one, however many want it at once, and whatever fails."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    DuplicateRole,
    DuplicateSession,
    InvalidOrgId,
    InvalidUserId,
    MaxSessionsReached,
    PassivateSession,
    Session,
    SessionError,
    SessionLimits,
    SessionSystem,
    ShuttingDown,
    SpawnError,
    TerminateSession,
)
from callboard.actors.testing import FakeCleaner
from callboard.supervision import Future, SystemStopped, Timeout
from callboard.supervision.testing import Simulation
from tests.runtime.kit import Gate
from tests.sessions.stage import PATIENT_S, Hold, Stage, later, part_of, services_of

CREATORS = 50
SEEDS = range(30)

LIMITS: dict[str, tuple[SessionLimits, dict[str, Any]]] = {
    "manager": (SessionLimits(sessions_max=1), {}),
    "user": (SessionLimits(sessions_per_user_max=1), {"user_id": "ada"}),
    "org": (SessionLimits(sessions_per_org_max=1), {"org_id": "acme"}),
}


@pytest.mark.parametrize("scope", LIMITS)
class TestOfFiftyAtOnce:
    @pytest.mark.seed("2.16")
    @pytest.mark.parametrize("seed", SEEDS)
    def test_exactly_one_gets_the_place_in_any_order(self, scope: str, seed: int) -> None:
        limits, who = LIMITS[scope]
        with (
            Simulation(seed) as simulation,
            SessionSystem(runtime=simulation.runtime, limits=limits) as sessions,
        ):
            create = CreateSession(**who)
            asked: list[Future[Session]] = [later(sessions, create) for _ in range(CREATORS)]
            simulation.settle()

            errors = [each.error for each in asked]
            assert errors.count(None) == 1
            others = [each for each in errors if each is not None]
            assert all(isinstance(each, MaxSessionsReached) for each in others)
            assert sessions.health().sessions == 1

    def test_exactly_one_gets_the_place_on_threads(self, scope: str) -> None:
        limits, who = LIMITS[scope]
        won, lost = list[str](), list[str]()
        barrier = threading.Barrier(CREATORS)
        with SessionSystem(limits=limits) as sessions:

            def create() -> None:
                barrier.wait(30)
                try:
                    won.append(sessions.ask(CreateSession(**who), timeout=30).id)
                except MaxSessionsReached as error:
                    lost.append(error.scope)

            creators = [threading.Thread(target=create) for _ in range(CREATORS)]
            for creator in creators:
                creator.start()
            for creator in creators:
                creator.join(60)

            assert (len(won), lost) == (1, [scope] * (CREATORS - 1))
            assert sessions.health().sessions == 1


class TestAPlace:
    @pytest.mark.parametrize("scope", LIMITS)
    def test_is_given_back_when_the_session_does_not_start(self, stage: Stage, scope: str) -> None:
        limits, who = LIMITS[scope]
        sessions = stage.open(limits=limits)
        cursed: Any = {**who, "metadata": {"is_cursed": True}}
        for _ in range(3):
            with pytest.raises(SpawnError):
                sessions.ask(CreateSession(**cursed))
        stage.settle()

        assert sessions.ask(CreateSession(**who)).version == 1
        with pytest.raises(MaxSessionsReached):
            sessions.ask(CreateSession(**who))

    def test_is_reserved_before_the_start_is_done(self, stage: Stage) -> None:
        sessions = stage.open(limits=SessionLimits(sessions_max=1))
        stage.play.starts_at_the_gate.add("ada")
        first = later(sessions, CreateSession(session_id="ada"))
        stage.settle()
        second = later(sessions, CreateSession())
        same = later(sessions, CreateSession(session_id="ada"))
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert isinstance(second.error, MaxSessionsReached)
        assert isinstance(same.error, DuplicateSession)
        assert first.get().id == "ada"

    @pytest.fixture
    def going(self, stage: Stage) -> tuple[SessionSystem, Gate]:
        """A system whose session ada is being cleaned up, until the gate is open."""
        cleaner = FakeCleaner()
        opened = stage.open(cleaner=cleaner)
        gate = Gate(opened.system)
        opened.ask(CreateSession(session_id="ada", idempotency_key="first"))
        cleaner.on_call = lambda _method, _about: gate.wait()
        _ = later(opened, TerminateSession("ada", grace_s=100.0))
        stage.settle()
        return opened, gate

    def test_by_its_id_is_waited_for_while_the_session_is_going(
        self, stage: Stage, going: tuple[SessionSystem, Gate]
    ) -> None:
        opened, gate = going

        again = later(opened, CreateSession(session_id="ada", user_id="ada"))
        another = later(opened, CreateSession(session_id="ada", user_id="bob"))
        stage.settle()
        assert [again.is_done, another.is_done] == [False, False]
        gate.open()

        assert again.get(timeout=PATIENT_S).user_id == "ada"
        with pytest.raises(DuplicateSession) as taken:
            another.get(timeout=PATIENT_S)
        assert taken.value.remedy == DuplicateSession.remedy
        assert opened.get("ada").user_id == "ada"

    def test_that_comes_too_late_is_not_taken(
        self, stage: Stage, going: tuple[SessionSystem, Gate]
    ) -> None:
        opened, gate = going
        create = CreateSession(session_id="ada")

        late = later(opened, create)
        stage.settle()
        late.give_up()  # its asker's time is over
        gate.open()
        stage.settle()

        with pytest.raises(Timeout):
            late.get()
        assert opened.health().sessions == 0
        assert opened.ask(create).id == "ada"

    def test_is_waited_for_no_longer_than_there_are_sessions(
        self, stage: Stage, going: tuple[SessionSystem, Gate]
    ) -> None:
        opened, _ = going
        create = CreateSession(session_id="ada")
        again = opened.manager.ask(create, block=False, timeout=math.inf)
        stage.settle()

        opened.stop(timeout_s=0.2)

        # The kill of what hung may have given its place back, to a manager that takes nobody more.
        assert isinstance(again.error, (ShuttingDown, SystemStopped))

    def test_is_waited_for_across_the_death_of_a_manager(
        self, stage: Stage, going: tuple[SessionSystem, Gate]
    ) -> None:
        opened, gate = going
        again = later(opened, CreateSession(session_id="ada", user_id="ada"))
        stage.settle()

        part_of(opened, "front/manager").kill()
        stage.settle()
        gate.open()

        assert again.get(timeout=PATIENT_S).user_id == "ada"

    def test_stays_taken_in_sleep_and_until_the_end_is_over(self, stage: Stage) -> None:
        sessions = stage.open(limits=SessionLimits(sessions_per_user_max=1), unique_role=True)
        create = CreateSession(user_id="ada", agent_role="guide")
        ada = sessions.ask(create).id
        sessions.ask(PassivateSession(ada))
        with pytest.raises(DuplicateRole):
            sessions.ask(create)
        held = later(sessions, Hold(ada, text="in hand"))
        stage.settle()
        ended = later(sessions, TerminateSession(ada))
        stage.settle()
        meanwhile = later(sessions, create)
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert isinstance(meanwhile.error, DuplicateRole)
        assert (held.get(), ended.get().id) == (1, ada)
        assert sessions.ask(create).id != ada
        assert dict(services_of(sessions).table.per_user) == {"ada": 1}


class TestTenants:
    @pytest.mark.seed("2.1", "2.3", "2.32")
    @pytest.mark.parametrize(
        ("who", "error"),
        [
            ({}, InvalidUserId),
            ({"user_id": "ada"}, InvalidOrgId),
            ({"org_id": "acme"}, InvalidUserId),
            ({"user_id": "", "org_id": "acme"}, InvalidUserId),
            ({"user_id": "ada", "org_id": "a\0"}, InvalidOrgId),
        ],
        ids=str,
    )
    def test_must_say_who_they_are(
        self, stage: Stage, who: dict[str, Any], error: type[SessionError]
    ) -> None:
        sessions = stage.open(tenants=True)

        with pytest.raises(error):
            sessions.ask(CreateSession(**who))
        assert sessions.health().sessions == 0

    @pytest.mark.parametrize("who", [{"user_id": ""}, {"org_id": "x" * 513}], ids=["user", "org"])
    def test_are_looked_at_where_they_need_not_be_given(
        self, opened: SessionSystem, who: dict[str, Any]
    ) -> None:
        with pytest.raises((InvalidUserId, InvalidOrgId)):
            opened.ask(CreateSession(**who))

    def test_play_roles_each_for_themselves(self, stage: Stage) -> None:
        sessions = stage.open(unique_role=True, tenants=True)
        for user in ("ada", "bob"):
            sessions.ask(CreateSession(user_id=user, org_id="acme", agent_role="guide"))

        with pytest.raises(DuplicateRole):
            sessions.ask(CreateSession(user_id="ada", org_id="other", agent_role="guide"))
