"""The decorator for tests of sessions, and for a stage of one's own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import CreateSession, SessionActor, SessionSystem
from callboard.actors.testing import Callboard, simulate
from callboard.supervision import ActorSystem, EventLog, InvalidSpec, SupervisedActor
from callboard.supervision.testing import Leaked, Simulate


class Falling(SessionActor[None]):
    def on_start(self) -> None:
        raise ArithmeticError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALLBOARD_SEED", raising=False)
    monkeypatch.delenv("CALLBOARD_SCHEDULE", raising=False)


class TestTheBody:
    @simulate(schedules=20, must_see=("ChildWasStarted",))
    def test_gets_a_stage_of_its_own_for_every_schedule(
        self, callboard: Callboard, tmp_path: Path
    ) -> None:
        assert tmp_path == Path.cwd(), "a fixture is passed on"
        sessions = callboard.start()

        callboard.spawn("ada", lambda: sessions.ask(CreateSession(session_id="ada")))
        callboard.run()

        assert sessions.health().sessions == 1

    def test_is_refused_if_it_does_not_take_the_simulation(self) -> None:
        def test(sim: Callboard) -> None:
            del sim

        with pytest.raises(InvalidSpec, match="Let it take `callboard: Callboard`"):
            simulate()(test)

    def test_fails_in_a_schedule_in_which_it_leaks(self) -> None:
        @simulate(schedules=5)
        def test(callboard: Callboard) -> None:
            system = ActorSystem(runtime=callboard.runtime)
            system.spawn(SupervisedActor)
            if callboard.seed != 3:
                system.stop()

        with pytest.raises(Leaked, match="SupervisedActor") as leaked:
            test()

        assert any("found by seed 3 " in note for note in leaked.value.__notes__)
        assert leaked.value.__notes__[-1].startswith("replay: CALLBOARD_S")


class TestTheLog:
    def test_is_that_of_the_run_which_is_told_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        @simulate(schedules=5)
        def test(callboard: Callboard) -> None:
            sessions = callboard.start(Falling, on_event=EventLog())
            sessions.tell(CreateSession(session_id="ada"))
            callboard.run()
            assert callboard.seed != 3, "as it was told to"

        with pytest.raises(AssertionError, match="as it was told to"):
            test()

        said = [each.getMessage() for each in caplog.records]
        assert sum(line.startswith("session.start.failed") for line in said) == 1
        assert logging.getLogger("callboard.events").filters == []

    def test_of_a_campaign_that_passes_says_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        @simulate(schedules=3)
        def test(callboard: Callboard) -> None:
            callboard.start(Falling).tell(CreateSession(session_id="ada"))
            callboard.run()

        test()

        assert caplog.records == []


class TestTheDecorator:
    def test_without_parentheses_is_refused_with_the_remedy(self) -> None:
        def test(callboard: Callboard) -> None:
            del callboard

        bare: Any = simulate
        with pytest.raises(InvalidSpec, match=r"in parentheses: @simulate\(schedules=100\)"):
            bare(test)

    @pytest.mark.parametrize("schedules", [0, -1, 1.5])
    def test_that_would_run_nothing_is_refused(self, schedules: int) -> None:
        with pytest.raises(InvalidSpec, match="schedules="):
            simulate(schedules=schedules)

    def test_may_be_made_for_a_stage_of_ones_own(self) -> None:
        class Theatre(Callboard):
            def open(self) -> SessionSystem:
                return self.start(tenants=True)

        @Simulate(Theatre, "theatre")(schedules=3)
        def test(theatre: Theatre) -> None:
            created = theatre.open().ask(CreateSession(user_id="ada", org_id="acme"))
            assert created.org_id == "acme"

        test()


def test_a_story_begins_when_the_sessions_run() -> None:
    @simulate(schedules=1)
    def test(callboard: Callboard) -> None:
        callboard.start().ask(CreateSession(session_id="ada"))
        raise LookupError

    with pytest.raises(LookupError) as failed:
        test()

    told = failed.value.__notes__[1].splitlines()
    first = told.index("story:") + 1
    assert told[first : first + 2] == [
        "  the session system has started",
        "  the test: sends CreateSession to manager",
    ]
    assert not any("do nothing" in line for line in told)
