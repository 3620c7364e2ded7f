"""What becomes of sessions that nobody uses: asleep, ended, and when."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from callboard.actors import (
    AGENT_API,
    STANDARD,
    AppendMessage,
    CountSessions,
    CreateSession,
    DuplicateRole,
    Fault,
    HoldKind,
    InjectCrash,
    Keeping,
    ListSessions,
    MaxSessionsReached,
    PassivateSession,
    Presence,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionLimits,
    SessionMessage,
    SessionNotFound,
    SessionState,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions import passivating
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.internal import FallAsleep
from callboard.actors.sessions.passivating import BREATH_S, ROOM_SHARE, Pass
from callboard.actors.sessions.table import Table
from callboard.actors.testing import FakeCleaner, FakeLog
from callboard.supervision import Future, InvalidSpec, handles
from callboard.supervision.testing import Simulation
from tests.laws import broken_laws
from tests.sessions.stage import Actor, Fall, HoldLater, Stage, later, presence, services_of, texts

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
SIMULATED = range(40)


class Attach(SessionMessage[None], frozen=True, kw_only=True):
    """Somebody connects."""


class Attaching(Actor):
    @handles(Attach)
    def on_attach(self, message: Attach) -> None:
        del message
        self.hold(HoldKind.ATTACHED)


def create(sessions: SessionSystem, name: str, **fields: Any) -> str:
    return sessions.ask(CreateSession(session_id=name, **fields)).id


def asleep(sessions: SessionSystem) -> list[str]:
    return list(sessions.ask(ListSessions(presence=Presence.ASLEEP)).ids)


class TestTheProfiles:
    @pytest.mark.seed("1.9", "1.10", "2.28")
    def test_are_those_that_the_seeds_name(self) -> None:
        assert SessionSystem()._options["keeping"] == STANDARD
        assert (STANDARD.cleanup_interval_s, STANDARD.max_idle_s) == (300.0, 3_600.0)
        assert (AGENT_API.cleanup_interval_s, AGENT_API.max_idle_s) == (3_600.0, DAY_S)
        assert STANDARD.quarantine_keep_s == AGENT_API.quarantine_keep_s == WEEK_S

    @pytest.mark.seed("1.16", "2.28")
    @pytest.mark.parametrize(
        ("keeping", "kept_s", "gone_s"),
        [(STANDARD, 3_600.0, 3_900.0), (AGENT_API, DAY_S, DAY_S + 3_600.0)],
        ids=["standard", "agent api"],
    )
    def test_end_what_is_idle_with_the_first_look_after_its_time(
        self, keeping: Keeping, kept_s: float, gone_s: float
    ) -> None:
        with (
            Simulation(1) as simulation,
            SessionSystem(runtime=simulation.runtime, keeping=keeping) as sessions,
        ):
            ada = create(sessions, "ada")
            simulation.advance(kept_s)
            assert sessions.get(ada).state is SessionState.ACTIVE
            simulation.advance(gone_s - kept_s)
            with pytest.raises(SessionNotFound):
                sessions.get(ada)

    def test_give_way_to_a_bound_of_its_own(self) -> None:
        sessions = SessionSystem(keeping=AGENT_API, max_idle_s=60.0)

        assert sessions._options["keeping"].max_idle_s == 60.0
        assert sessions._options["keeping"].cleanup_interval_s == 3_600.0

    @pytest.mark.parametrize(
        "wrong",
        [
            {"max_idle_s": 0},
            {"passivate_after_s": math.nan},
            {"passivate_interval_s": math.inf},
            {"quarantine_keep_s": -1.0},
            {"cleanup_interval_s": math.inf},
            {"grace_s": 0.0},
            {"awake_max": 0},
            {"awake_max": True},
            {"keys_max": 0},
            {"keys_keep_s": 0.0},
        ],
        ids=str,
    )
    def test_refuse_a_bound_that_cannot_be(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidSpec, match=next(iter(wrong))):
            Keeping(**wrong)


class TestIdleSessions:
    def test_stay_awake_unless_that_is_asked_for(self, stage: Stage) -> None:
        sessions = stage.open(cleanup_interval_s=0)
        ada = create(sessions, "ada")
        stage.advance(WEEK_S)

        assert presence(sessions, ada) is Presence.AWAKE

    def test_fall_asleep_when_their_time_is_over_and_no_caller_notices(self, stage: Stage) -> None:
        sessions = stage.open(keeping=Keeping(cleanup_interval_s=0, passivate_after_s=60.0))
        ada, bob = create(sessions, "ada"), create(sessions, "bob")
        stage.advance(50.0)
        sessions.ask(RecordActivity(bob))
        stage.advance(10.0)
        at_the_bound = asleep(sessions)
        stage.advance(10.0)

        assert (at_the_bound, asleep(sessions)) == ([], [ada])
        assert sessions.address(ada).ref is None or not sessions.address(ada).is_alive()
        assert sessions.ask(AppendMessage(ada, Role.USER, "back")) == 1
        assert presence(sessions, ada) is Presence.AWAKE
        assert stage.play.starts[ada] == 2

    def test_that_are_at_something_do_not(self, stage: Stage) -> None:
        keeping = Keeping(cleanup_interval_s=0, passivate_after_s=60.0)
        behaviour = type("Behaviour", (Attaching,), {"play": stage.play})
        sessions = stage.open(keeping=keeping, session=behaviour)
        ada, bob = create(sessions, "ada"), create(sessions, "bob")
        held = later(sessions, HoldLater(ada, text="in hand"))
        sessions.ask(Attach(bob))
        stage.advance(55.0)
        stage.play.gate.open()
        stage.settle()
        stage.advance(30.0)

        assert held.get() == 1
        assert asleep(sessions) == []

    def test_may_be_ended_in_their_sleep(self, stage: Stage) -> None:
        keeping = Keeping(max_idle_s=600.0, cleanup_interval_s=300.0, passivate_after_s=60.0)
        sessions = stage.open(keeping=keeping)
        create(sessions, "ada")
        stage.advance(100.0)
        sleeping = asleep(sessions)
        stage.advance(800.0)

        assert sleeping == ["ada"]
        assert sessions.health().sessions == 0


class TestTheJanitor:
    """It goes on, whatever it meets."""

    @pytest.mark.seed("1.16")
    def test_that_crashes_is_told_of_and_looks_again_with_the_next_interval(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = stage.open(max_idle_s=100.0, cleanup_interval_s=60.0, faults=True)
        create(sessions, "ada")
        stage.advance(90.0)

        sessions.ask(InjectCrash(part="front/janitor"))
        stage.settle()
        stage.advance(70.0)

        assert sessions.health().sessions == 0
        (line,) = caplog.records
        assert "child.crashed" in line.getMessage()
        assert "child_id=janitor" in line.getMessage()

    @pytest.mark.seed("1.16")
    def test_is_not_stopped_by_a_session_that_does_not_let_itself_be_cleaned_up(
        self, stage: Stage
    ) -> None:
        cleaner, log = FakeCleaner(), FakeLog()
        cleaner.failures["clean"] = OSError("gone already")
        sessions = stage.open(cleaner=cleaner, max_idle_s=100.0, cleanup_interval_s=60.0, log=log)
        for name in ("ada", "bob"):
            create(sessions, name)
            stage.advance(200.0)

        assert sessions.health().sessions == 0
        assert [name for _, name in cleaner.calls] == ["ada", "bob"]
        steps = [text for _, text in log.lines if text.startswith("session.cleanup_step")]
        assert len(steps) == 2
        assert all("ok=False" in text for text in steps)


class TestTooManyAwake:
    def test_lets_the_least_recently_used_sleep_first(self, stage: Stage) -> None:
        sessions = stage.open(keeping=Keeping(cleanup_interval_s=0, awake_max=16))
        names = [f"{number:02}" for number in range(16)]
        for name in names:
            create(sessions, name)
            stage.advance(0.01)
        sessions.ask(RecordActivity("00"))
        stage.advance(1.0)
        within = asleep(sessions)
        create(sessions, "16")
        stage.advance(1.0)

        assert within == []
        assert asleep(sessions) == ["01", "02"]  # the one too many, and room for one more
        assert sessions.health().presences[Presence.AWAKE] == 15

    def test_does_so_without_waiting_for_the_next_look(self, stage: Stage) -> None:
        keeping = Keeping(cleanup_interval_s=0, awake_max=4, passivate_interval_s=3_600.0)
        sessions = stage.open(keeping=keeping)
        for number in range(40):
            create(sessions, f"{number:02}")
            stage.advance(0.01)
        stage.advance(1.0)

        assert sessions.ask(CountSessions(presence=Presence.AWAKE)) == 4
        assert "39" not in asleep(sessions)

    def test_leaves_who_is_at_something_and_looks_again_with_the_next_turn(
        self, stage: Stage
    ) -> None:
        keeping = Keeping(cleanup_interval_s=0, awake_max=1, passivate_interval_s=10.0)
        behaviour = type("Behaviour", (Attaching,), {"play": stage.play})
        sessions = stage.open(keeping=keeping, session=behaviour)
        for name in ("ada", "bob"):
            create(sessions, name)
            sessions.ask(Attach(name))
        stage.settle()
        create(sessions, "eve")
        stage.advance(1.0)
        all_awake = presence(sessions, "ada"), presence(sessions, "bob")
        stage.advance(10.0)

        assert all_awake == (Presence.AWAKE, Presence.AWAKE)
        assert asleep(sessions) == ["eve"]

    def test_takes_many_passes_of_bounded_size(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passivating, "SLEEPS_PER_PASS_MAX", 3)
        sessions = stage.open(keeping=Keeping(cleanup_interval_s=0, awake_max=2))
        for number in range(20):
            create(sessions, f"{number:02}")
        # A pass that met sessions at their start leaves the rest to the next turn.
        stage.advance(Keeping().passivate_interval_s + 20 * BREATH_S)

        assert sessions.ask(CountSessions(presence=Presence.AWAKE)) <= 2

    def test_is_seen_to_after_the_janitor_has_died(self, stage: Stage) -> None:
        keeping = Keeping(cleanup_interval_s=0, awake_max=2, passivate_interval_s=3_600.0)
        sessions = stage.open(keeping=keeping, faults=True)
        for number in range(3):
            create(sessions, f"{number:02}")
        sessions.ask(InjectCrash(part="front/janitor", how=Fault.KILL))
        stage.advance(1.0)
        for number in range(3, 9):
            create(sessions, f"{number:02}")
        stage.advance(1.0)

        assert sessions.ask(CountSessions(presence=Presence.AWAKE)) == 2

    def test_leaves_room_in_proportion(self) -> None:
        assert 1 <= ROOM_SHARE <= 100

    def test_leaves_a_session_alone_whose_place_is_only_just_reserved(self) -> None:
        table = Table()
        table.reserve(Session(id="new"), active_s=0.0)
        keeping = Keeping(passivate_after_s=1.0)

        found = Pass(table, Book(), keeping, now_s=100.0)
        for row in found.rows:
            found.look_at(row)

        assert [row.id for row in found.rows] == ["new"]
        assert found.told == 0

    def test_forgets_who_has_gone(self, stage: Stage) -> None:
        sessions = stage.open(keeping=Keeping(cleanup_interval_s=0, awake_max=10))
        for name in ("ada", "bob"):
            create(sessions, name)
        sessions.ask(TerminateSession("ada"))
        stage.settle()

        assert [row.id for row in services_of(sessions).table.awake()] == ["bob"]


class TestFallingAsleep:
    @pytest.mark.parametrize("seed", SIMULATED)
    def test_loses_nothing_of_what_comes_meanwhile_in_any_order(self, seed: int) -> None:
        keeping = Keeping(cleanup_interval_s=0, awake_max=1, passivate_after_s=0.01)
        with (
            Simulation(seed) as simulation,
            SessionSystem(runtime=simulation.runtime, partitions=2, keeping=keeping) as sessions,
        ):
            names = [create(sessions, f"{number}") for number in range(4)]
            asked: list[Future[int]] = []
            for number in range(60):
                message = AppendMessage(names[number % 4], Role.USER, f"{number // 4}")
                asked.append(later(sessions, message))
                simulation.advance(0.02 if number % 7 else 11.0)
            simulation.advance(20.0)

            assert [each.get() for each in asked] == [number // 4 + 1 for number in range(60)]
            for name in names:
                assert texts(sessions, name) == [str(number) for number in range(15)]
            assert asleep(sessions) == names
            assert broken_laws(sessions) == []

    def test_loses_nothing_on_threads_that_ask_all_the_time(self) -> None:
        rounds, failures = 150, list[BaseException]()
        with SessionSystem(partitions=2) as sessions:
            names = [create(sessions, f"{number}") for number in range(4)]

            def ask_on(name: str) -> None:
                try:
                    for number in range(rounds):
                        if number % 2:
                            sessions.address(name).notify(
                                FallAsleep(unless_active_since_s=math.inf)
                            )
                        else:
                            sessions.manager.tell(PassivateSession(name))
                        seq = sessions.ask(AppendMessage(name, Role.USER, str(number)), timeout=30)
                        assert seq == number + 1
                except BaseException as error:  # noqa: BLE001 -- whatever a thread dies of
                    failures.append(error)

            askers = [threading.Thread(target=ask_on, args=(name,)) for name in names]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join(60)

            assert failures == []
            assert not any(asker.is_alive() for asker in askers)
            rows = services_of(sessions).table.rows()
            assert sum(row.incarnation for row in rows) > 2 * len(rows), "they have slept"
            for name in names:
                assert texts(sessions, name) == [str(number) for number in range(rounds)]


class TestQuarantine:
    @pytest.fixture
    def sessions(self, stage: Stage) -> SessionSystem:
        return stage.open(unique_role=True, limits=SessionLimits(sessions_per_user_max=1))

    @pytest.fixture
    def ada(self, stage: Stage, sessions: SessionSystem) -> str:
        """Return the id of a session in quarantine."""
        ada = create(sessions, "ada", user_id="ada", agent_role="guide")
        while presence(sessions, ada) is not Presence.QUARANTINED:
            sessions.tell(Fall(ada, text="down"))
            stage.advance(2.0)
        return ada

    def test_is_listed_and_keeps_place_and_role(self, sessions: SessionSystem, ada: str) -> None:
        assert sessions.ask(ListSessions(presence=Presence.QUARANTINED)).ids == (ada,)
        assert sessions.ask(CountSessions(presence=Presence.QUARANTINED)) == 1
        with pytest.raises(DuplicateRole):
            sessions.ask(CreateSession(user_id="ada", agent_role="guide"))
        with pytest.raises(MaxSessionsReached):
            sessions.ask(CreateSession(user_id="ada"))

    def test_ends_when_its_time_is_over_and_gives_them_back(
        self, stage: Stage, sessions: SessionSystem, ada: str
    ) -> None:
        stage.advance(WEEK_S - 600.0)
        kept = presence(sessions, ada)
        stage.advance(1_200.0)

        assert kept is Presence.QUARANTINED
        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        assert create(sessions, "ada", user_id="ada", agent_role="guide") == ada

    def test_begins_anew_with_the_next_one(
        self, stage: Stage, sessions: SessionSystem, ada: str
    ) -> None:
        stage.advance(WEEK_S - 600.0)
        sessions.ask(ReviveSession(ada))
        while presence(sessions, ada) is not Presence.QUARANTINED:
            sessions.tell(Fall(ada, text="down"))
            stage.advance(2.0)
        stage.advance(1_200.0)

        assert presence(sessions, ada) is Presence.QUARANTINED

    def test_lasts_as_long_though_manager_and_janitor_die(
        self, stage: Stage, sessions: SessionSystem, ada: str
    ) -> None:
        stage.advance(WEEK_S / 2)
        for path in ("front/manager", "front/janitor"):
            part = services_of(sessions).find_part(path)
            part.kill()
            stage.settle()
        stage.advance(WEEK_S / 2 + 600.0)

        with pytest.raises(SessionNotFound):
            sessions.get(ada)
