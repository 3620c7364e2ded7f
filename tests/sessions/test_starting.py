"""A session whose start is slow, or hangs, is nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from callboard.actors import (
    CountSessions,
    CreateSession,
    Presence,
    RecordActivity,
    Session,
    SessionActor,
    SessionMessage,
    SessionNotFound,
    SessionState,
    SessionSystem,
    SpawnError,
    TerminateSession,
)
from callboard.actors.sessions.actor import START_S
from callboard.actors.sessions.internal import StartSession
from callboard.supervision import ActorRef, CallboardError, Future, Settings, handles
from callboard.supervision.model.starting import START_TIMED_OUT
from callboard.supervision.testing import Simulation, simulate
from tests.laws import broken_laws, parts_of, services_of
from tests.runtime.kit import Gate

WITHIN_S = 10.0


class Crash(SessionMessage[None], frozen=True):
    """Crash."""


class Slow(SessionActor[None]):
    """Starts when its user's gate is open."""

    gates: ClassVar[dict[str, Gate]] = {}

    def on_start(self) -> None:
        super().on_start()
        gate = self.gates.get(self.session.user_id or "")
        if gate is not None:
            gate.wait()

    @handles(Crash)
    def on_crash(self, message: Crash) -> None:
        del message
        raise ArithmeticError


class Impatient(Slow):
    """The same, and it may not take long."""

    start_s: ClassVar[float | None] = 0.2


class Short(Impatient):
    """The same, and its handlers are short."""

    hand_off: ClassVar[bool] = True


@pytest.fixture(params=["threads", 0, 1])
def runtime(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        yield None
        return
    with Simulation(seed=request.param) as simulation:
        yield simulation.runtime


@pytest.fixture
def sessions(runtime: Any) -> Iterator[SessionSystem]:
    kinds = {"impatient": Impatient, "short": Short}
    with SessionSystem(session=Slow, kinds=kinds, partitions=1, runtime=runtime) as made:
        yield made
        for gate in Slow.gates.values():
            gate.open()
    Slow.gates.clear()


def close_for(sessions: SessionSystem, user_id: str) -> Gate:
    """Have this user's sessions wait in their start."""
    gate = Slow.gates[user_id] = Gate(sessions.system)
    return gate


def create(sessions: SessionSystem, user_id: str, **fields: Any) -> str:
    return sessions.ask(CreateSession(user_id=user_id, **fields), timeout=WITHIN_S).id


def begin(sessions: SessionSystem, user_id: str) -> tuple[Future[Session], ActorRef[Any]]:
    """Ask for a session whose start is slow; return the answer's future and its ref."""
    answer = sessions.manager.ask(CreateSession(user_id=user_id), block=False, timeout=60.0)
    create(sessions, "who makes sure that it was handled")
    (row,) = [row for row in services_of(sessions).table.rows() if row.session().user_id == user_id]
    ref = sessions.address(row.id).ref
    assert ref is not None
    return answer, ref


class TestAStartThatHangs:
    def test_ends_in_time_and_says_why(self, sessions: SessionSystem) -> None:
        close_for(sessions, "bad")

        with pytest.raises(SpawnError, match=START_TIMED_OUT):
            create(sessions, "bad", kind="impatient")

        assert sessions.ask(CountSessions()) == 0

    def test_is_gone_for_the_partition_too(self, sessions: SessionSystem) -> None:
        close_for(sessions, "bad")
        with pytest.raises(SpawnError):
            create(sessions, "bad", kind="impatient")

        assert create(sessions, "ada")
        assert broken_laws(sessions) == []

    def test_has_less_time_than_the_ask_of_whoever_creates_it(self) -> None:
        assert SessionActor.start_s == START_S
        assert Settings().ask_timeout_s > START_S

    def test_ends_in_time_though_its_handlers_are_short(self, sessions: SessionSystem) -> None:
        close_for(sessions, "bad")

        with pytest.raises(SpawnError, match=START_TIMED_OUT):
            create(sessions, "bad", kind="short")

    def test_is_on_the_partitions_thread_only_of_a_class_that_says_so(self) -> None:
        class Said(Slow):
            starts_at_once: ClassVar[bool] = True

        class Heir(Said):
            pass

        class Other(Said):
            def initial_data(self) -> None:
                return None

        class Plain(SessionActor[None]):
            pass

        short: tuple[type[SessionActor[Any]], ...] = (SessionActor, Plain, Said, Heir)
        others: tuple[type[SessionActor[Any]], ...] = (Slow, Other)
        assert all(kind.starts_at_once for kind in short)
        assert not any(kind.starts_at_once for kind in others)


class Forgetful(SessionActor[None]):
    """Overrides `on_start` and does not go on from the last commit."""

    def on_start(self) -> None:
        self.greeting = "hello"


class Unmindful(SessionActor[None]):
    """The same, in a coroutine."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the runtime takes both
        self.greeting = "hello"


class Aside:
    """Has an `on_start` and knows no session."""

    def on_start(self) -> None:
        self.greeting = "hello"


class Mixed(Aside, SessionActor[None]):
    """The same, by what it is mixed with."""


class Mindful(SessionActor[None]):
    """Goes on from the last commit, and does more in a coroutine."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the runtime takes both
        super().on_start()
        self.greeting = "hello"


class TestAStartThatDoesNotGoOn:
    @pytest.mark.parametrize(
        ("kind", "where"),
        [
            (Forgetful, "Forgetful.on_start"),
            (Unmindful, "Unmindful.on_start"),
            (Mixed, "Aside.on_start"),
            (type("Heir", (Forgetful,), {}), "Forgetful.on_start"),
        ],
        ids=["plain", "async", "mixed", "inherited"],
    )
    def test_fails_the_create_and_names_the_class_and_the_remedy(
        self, runtime: Any, kind: type[SessionActor[Any]], where: str
    ) -> None:
        with SessionSystem(kind, runtime=runtime) as sessions:
            with pytest.raises(SpawnError) as failed:
                create(sessions, "ada")

            assert where in str(failed.value)
            assert "Call super().on_start() first" in str(failed.value)
            assert sessions.ask(CountSessions()) == 0

    def test_is_not_that_of_a_coroutine_that_does(self, runtime: Any) -> None:
        with SessionSystem(Mindful, runtime=runtime) as sessions:
            ada = create(sessions, "ada")

            assert sessions.get(ada).state is SessionState.ACTIVE


class TestAStartThatIsSlow:
    def test_holds_up_no_other_create(self, sessions: SessionSystem) -> None:
        gate = close_for(sessions, "slow")
        answer, ref = begin(sessions, "slow")

        assert create(sessions, "ada")

        assert not answer.is_done
        gate.open()
        assert answer.get(timeout=WITHIN_S).presence is Presence.AWAKE
        assert sessions.address(answer.get().id).ref is ref

    def test_holds_up_no_restart(self, sessions: SessionSystem) -> None:
        ada = create(sessions, "ada")
        gate = close_for(sessions, "slow")
        answer, _ = begin(sessions, "slow")

        with pytest.raises(ArithmeticError):
            sessions.ask(Crash(ada), timeout=WITHIN_S)

        assert sessions.ask(RecordActivity(ada), timeout=WITHIN_S)
        assert not answer.is_done
        gate.open()

    def test_holds_up_no_end(self, sessions: SessionSystem) -> None:
        ada = create(sessions, "ada")
        gate = close_for(sessions, "slow")
        answer, _ = begin(sessions, "slow")

        sessions.ask(TerminateSession(ada, "done"), timeout=WITHIN_S)

        assert not answer.is_done
        gate.open()

    def test_is_answered_to_a_manager_that_asks_again_when_it_is_over(
        self, sessions: SessionSystem
    ) -> None:
        gate = close_for(sessions, "slow")
        answer, ref = begin(sessions, "slow")
        partition = ref.parent
        assert partition is not None
        row = services_of(sessions).table.row(str(ref.tag))

        again: Future[Any] = partition.ask(StartSession(row), block=False, timeout=60.0)
        create(sessions, "ada")
        before = again.is_done
        gate.open()

        assert not before
        assert again.get(timeout=WITHIN_S) is ref
        assert ref.is_started
        assert answer.get(timeout=WITHIN_S).id == row.id

    @pytest.mark.parametrize("who", ["front/manager", "sessions/0"])
    def test_is_not_lost_when_who_asked_or_who_starts_it_is_killed(
        self, sessions: SessionSystem, who: str
    ) -> None:
        gate = close_for(sessions, "slow")
        answer, _ = begin(sessions, "slow")

        parts_of(sessions)[who].kill()
        gate.open()

        assert answer.get(timeout=WITHIN_S).presence is Presence.AWAKE
        assert sessions.ask(RecordActivity(answer.get().id), timeout=WITHIN_S)

    @pytest.mark.in_memory  # its supervisor may hear of its end last
    def test_may_be_ended_before_it_is_over(self, sessions: SessionSystem) -> None:
        gate = close_for(sessions, "slow")
        answer, ref = begin(sessions, "slow")

        ending = sessions.manager.ask(
            TerminateSession(str(ref.tag), "done"), block=False, timeout=60.0
        )
        create(sessions, "ada")
        gate.open()

        ending.get(timeout=WITHIN_S)
        with suppress(CallboardError):  # whichever came first
            answer.get(timeout=WITHIN_S)
        assert sessions.ask(CountSessions(), timeout=WITHIN_S) == 2
        create(sessions, "eve")  # behind what the partition was told before
        assert broken_laws(sessions) == []

    def test_does_not_keep_the_system_from_stopping(self, sessions: SessionSystem) -> None:
        close_for(sessions, "slow")
        _, ref = begin(sessions, "slow")

        report = sessions.stop(timeout_s=0.5)

        assert not ref.is_alive()
        assert not report.is_clean


@simulate(schedules=20)
def test_that_is_one_of_a_session_whose_cleanup_is_committed_is_its_end(sim: Simulation) -> None:
    """Its partition, which knows no better, starts it once more before the manager has heard."""
    with (
        pytest.MonkeyPatch.context() as patch,
        SessionSystem(runtime=sim.runtime, partitions=1) as sessions,
    ):
        ada = sessions.ask(CreateSession(user_id="ada")).id
        manager = parts_of(sessions)["front/manager"]
        behaviour: Any = SessionActor
        commit = behaviour.commit

        def commit_and_die(self: Any) -> None:
            commit(self)
            if self.session.state is SessionState.CLEANED and self.incarnation == 1:
                manager.suspend()
                self.actor_ref.kill()

        patch.setattr(SessionActor, "commit", commit_and_die)
        ended = sessions.manager.ask(TerminateSession(ada), block=False)
        sim.settle()
        manager.resume()

        assert ended.get().state is SessionState.CLEANED
        sim.settle()
        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        assert broken_laws(sessions) == []
