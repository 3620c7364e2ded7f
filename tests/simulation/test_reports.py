"""What a failure tells: the law, the shortest schedule, its story, the command to replay it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from callboard.supervision import ActorSystem, ChildSpec, SupervisedActor, Supervisor
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.testing import (
    Deadlock,
    LawBroken,
    Livelock,
    NeverSeen,
    Schedule,
    Simulation,
    Walk,
    simulate,
)
from callboard.supervision.testing.story import STORY_LINES_MAX, story
from tests.simulation.cast import Add, Boom, Counter, Crash
from tests.simulation.plants import ask_while_it_ends, put_without_looking_again


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALLBOARD_SEED", raising=False)
    monkeypatch.delenv("CALLBOARD_SCHEDULE", raising=False)


def failure_of(test: Callable[[], None]) -> BaseException:
    try:
        test()
    except Exception as error:  # noqa: BLE001 -- it is what the test is about
        return error
    raise AssertionError("it passed")


@pytest.fixture
def lost_ask(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr(Cell, "_put", put_without_looking_again)

    @simulate(schedules=200)
    def test(sim: Simulation) -> None:
        ask_while_it_ends(sim)

    return test


class TestAFailure:
    def test_tells_the_law_the_schedule_the_story_and_the_command(
        self, lost_ask: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_it.py::test_it (call)")
        error = failure_of(lost_ask)

        assert isinstance(error, Deadlock)
        _, told, replay = error.__notes__
        lines = told.splitlines()
        assert lines[0].startswith("broken: Deadlock (deadlock), step ")
        assert "test_reports.py:" in lines[0]
        assert lines[1].startswith("found by seed 10 (Pct), digest ")
        assert lines[2].startswith("shrunk from ")
        assert lines[3:] == [
            "  picks: client-0, ender",
            "  deviations: point put of client-0 #1",
            "story:",
            "  client-0: sends Add to Counter, is held up at put",
            "  Counter: Counter is dead, Shutdown",
            "  client-0: goes on, waits",
        ]
        narrowed = "CALLBOARD_SCHEDULE=.callboard/test_it-py--test_it-10.json"
        assert replay == f"replay: {narrowed} python -m pytest 'tests/test_it.py::test_it'"

    def test_is_told_in_the_same_words_every_time(self, lost_ask: Callable[[], None]) -> None:
        assert failure_of(lost_ask).__notes__ == failure_of(lost_ask).__notes__

    def test_can_be_replayed_from_its_file(
        self, lost_ask: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = failure_of(lost_ask).__notes__[-1]
        file = command.partition("=")[2].partition(" ")[0]
        monkeypatch.setenv("CALLBOARD_SCHEDULE", file)

        again = failure_of(lost_ask)

        assert isinstance(again, Deadlock)
        assert "  client-0: goes on, waits" in again.__notes__[1].splitlines()
        assert again.__notes__[-1] == command

    def test_leaves_a_folder_that_version_control_ignores(
        self, lost_ask: Callable[[], None]
    ) -> None:
        failure_of(lost_ask)

        assert Path(".callboard/.gitignore").read_text() == "*\n"

    def test_that_no_file_can_be_written_of_is_replayed_by_its_seed(
        self, lost_ask: Callable[[], None]
    ) -> None:
        Path(".callboard").write_text("in the way")

        assert failure_of(lost_ask).__notes__[-1].startswith("replay: CALLBOARD_SEED=10 ")

    def test_of_every_schedule_needs_no_file(self) -> None:
        @simulate(schedules=1)
        def test(sim: Simulation) -> None:
            raise Boom(sim.seed)

        assert failure_of(test).__notes__[-1].startswith("replay: CALLBOARD_SEED=0 ")
        assert not Path(".callboard").exists()

    def test_may_be_left_as_it_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Cell, "_put", put_without_looking_again)
        runs: list[int] = []

        @simulate(schedules=200, shrink_max_s=0, replayed=0)
        def test(sim: Simulation) -> None:
            runs.append(sim.seed)
            ask_while_it_ends(sim)

        error = failure_of(test)

        assert runs == list(range(11))
        assert "  client-0: sends Add to Counter" in error.__notes__[1]

    def test_tells_where_it_was_and_not_where_the_stop_after_it_ended(self) -> None:
        steps: list[int] = []

        @simulate(schedules=1)
        def test(sim: Simulation) -> None:
            with ActorSystem(runtime=sim.runtime) as system:
                system.spawn(Counter).ask(Add(1))
                steps.append(sim.steps)
                raise Boom

        notes = failure_of(test).__notes__

        assert notes[0] == f"simulation: seed 0, step {steps[0]}, t=0 s"
        assert "Shutdown" not in notes[1]


class TestOnlyTheSameLawCounts:
    def test_another_failure_of_a_shorter_schedule_is_not_taken_for_it(self) -> None:
        """Whoever is dull breaks another law: the one that was found needs a hand-over."""

        @simulate(schedules=50, explore=Walk())
        def test(sim: Simulation) -> None:
            order: list[str] = []
            for name in ("one", "two"):
                sim.spawn(name, lambda name=name: order.append(name))
            sim.run()
            if sim.seed < 30:
                return
            assert order == ["one", "two"], "the first law"
            assert order != ["one", "two"], "the second law"

        error = failure_of(test)

        line = error.__notes__[1].splitlines()[0]
        shrunk = [each for each in error.__notes__[1].splitlines() if "picks:" in each]
        if "the first law" in str(error):
            assert shrunk == ["  picks: two"]
        else:
            assert shrunk == ["  picks: none"]
        assert line.startswith("broken: AssertionError, step 2")

    def test_laws_are_told_apart_by_their_names(self) -> None:
        @simulate(schedules=1)
        def test(sim: Simulation) -> None:
            steps: list[str] = []
            sim.law("one of each at most", lambda: "two" if len(steps) != len(set(steps)) else "")
            sim.spawn("ada", lambda: steps.append("a"))
            sim.spawn("bob", lambda: steps.append("a"))
            sim.run()

        error = failure_of(test)

        assert isinstance(error, LawBroken)
        assert error.law == "one of each at most"
        assert str(error).startswith("one of each at most: two")
        assert error.__notes__[1].startswith("broken: LawBroken (one of each at most), step 2, t=0")


class TestAStory:
    def test_tells_who_died_why_and_what_the_supervisor_decided(self) -> None:
        @simulate(schedules=1)
        def test(sim: Simulation) -> None:
            with ActorSystem(runtime=sim.runtime) as system:
                spec = ChildSpec(id="counter", start=Counter, name="counter")
                system.spawn_named("tree", Supervisor, [spec]).wait_started()
                counter = system.lookup("counter")
                assert counter is not None
                counter.tell(Crash())
                sim.run()
                raise Boom

        told = failure_of(test).__notes__[1]

        assert "the test: sends Crash to " in told
        assert "is dead, Crashed by Boom, on Crash" in told
        assert "[ChildCrashed " in told
        assert "[ChildWasRestarted " in told or "[ChildWasStarted " in told

    def test_that_is_long_tells_its_end(self) -> None:
        entries = [
            entry
            for n in range(1_000)
            for entry in (("run", f"a{n}"), ("reply", f"a{n}", f"a{n}", "int"))
        ]

        lines = story(entries)

        assert len(lines) == STORY_LINES_MAX + 1
        assert lines[0] == f"... {1_000 - STORY_LINES_MAX} lines before this"
        assert lines[-1] == "a999: answers int"


class TestMustSee:
    def test_what_never_happened_fails_the_campaign(self) -> None:
        @simulate(schedules=10, must_see=("ActorCrashed", "ActorFlew", "crash"))
        def test(sim: Simulation) -> None:
            with ActorSystem(runtime=sim.runtime) as system:
                counter = system.spawn(Counter)
                if sim.happens("crash", 0.5):
                    counter.tell(Crash())
                sim.run()

        error = failure_of(test)

        assert isinstance(error, NeverSeen)
        assert error.kinds == ("ActorFlew",)
        assert "in 10 schedules there was no ActorFlew" in str(error)

    def test_one_schedule_alone_need_not_show_everything(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALLBOARD_SEED", "3")

        @simulate(schedules=10, must_see=("ActorFlew",))
        def test(sim: Simulation) -> None:
            assert sim.seed == 3

        test()

    def test_the_hook_of_the_host_hears_what_it_would_hear(self) -> None:
        heard: list[object] = []
        with (
            Simulation(hears_events=True) as sim,
            ActorSystem(runtime=sim.runtime, on_event=heard.append) as system,
        ):
            system.spawn(Counter).tell(Crash())
            sim.run()

        assert [type(each).__name__ for each in heard] == ["ActorCrashed"]
        assert sim.seen("ActorCrashed") == 1


class TestLivelock:
    def test_names_who_ran_in_the_last_hundred_steps(self) -> None:
        class Endless(SupervisedActor):
            def on_receive(self, message: object) -> None:
                self.actor_ref.tell(message)

        with Simulation(steps_max=1_000) as sim, ActorSystem(runtime=sim.runtime) as system:
            for _ in range(20):
                system.spawn(Counter)
            system.spawn_named("endless", Endless).tell("again")

            with pytest.raises(Livelock, match=r"in the last 100: endless \(100\)"):
                sim.settle()


def test_a_schedule_in_a_file_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Schedule(seed=42).save(Path("42.json"))
    monkeypatch.setenv("CALLBOARD_SCHEDULE", "42.json")
    seeds: list[int] = []

    @simulate(schedules=5)
    def test(sim: Simulation) -> None:
        seeds.append(sim.seed)

    test()

    assert seeds == [42]
    assert os.environ["CALLBOARD_SCHEDULE"] == "42.json"
