"""What pytest gets from callboard: the fixture, the options, the story of a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callboard.supervision.testing import Schedule

pytest_plugins = ["pytester"]

SEEDS = """
    from callboard.actors.testing import Callboard, simulate

    def test_with_the_fixture(callboard: Callboard) -> None:
        print(f"fixture {callboard.seed}")

    @simulate(schedules=3, replayed=0)
    def test_with_the_decorator(callboard: Callboard) -> None:
        print(f"decorator {callboard.seed}")
"""

FAILING = """
    from callboard.actors import CreateSession
    from callboard.supervision import SupervisedActor

    def test_that_fails(callboard):
        sessions = callboard.start()
        sessions.ask(CreateSession(session_id="ada"))
        callboard.spawn("client", lambda: sessions.system.spawn(SupervisedActor))
        callboard.run()
        assert not sessions.get("ada")
"""


@pytest.fixture(autouse=True)
def _not_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOARD_SEED", raising=False)
    monkeypatch.delenv("CALLBOARD_SCHEDULE", raising=False)


@pytest.fixture
def user(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's project, whose tests print the seeds they run under."""
    pytester.makepyfile(test_seeds=SEEDS)
    return pytester


def seeds_of(result: pytest.RunResult) -> list[str]:
    words = ("fixture ", "decorator ")
    return [line.lstrip(".") for line in result.outlines if line.lstrip(".").startswith(words)]


class TestTheSeed:
    def test_is_0_for_the_fixture_and_many_for_the_decorator(self, user: pytest.Pytester) -> None:
        result = user.runpytest("-sq")

        assert seeds_of(result) == ["fixture 0", "decorator 0", "decorator 1", "decorator 2"]

    def test_is_taken_from_the_option(self, user: pytest.Pytester) -> None:
        result = user.runpytest("-sq", "--callboard-seed=7")

        assert seeds_of(result) == ["fixture 7", "decorator 7"]
        assert "CALLBOARD_SEED" not in os.environ, "it was for that run"

    def test_is_taken_from_the_environment(
        self, user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALLBOARD_SEED", "7")

        assert seeds_of(user.runpytest("-sq")) == ["fixture 7", "decorator 7"]
        assert seeds_of(user.runpytest("-sq", "--callboard-seed=8")) == ["fixture 8", "decorator 8"]
        assert os.environ["CALLBOARD_SEED"] == "7"

    def test_that_is_none_is_refused_once_with_the_remedy(
        self, user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALLBOARD_SEED", "seven")

        result = user.runpytest()

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*CALLBOARD_SEED='seven' is not valid. Give a whole number."])


class TestASchedule:
    @pytest.fixture
    def file(self, user: pytest.Pytester) -> Path:
        file = user.path / "left.json"
        Schedule(seed=42).save(file)
        return file

    def test_is_replayed_by_the_fixture_and_by_the_decorator(
        self, user: pytest.Pytester, file: Path
    ) -> None:
        result = user.runpytest("-sq", f"--callboard-schedule={file}")

        assert seeds_of(result) == ["fixture 42", "decorator 42"]

    def test_counts_before_a_seed(
        self, user: pytest.Pytester, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CALLBOARD_SCHEDULE", str(file))

        result = user.runpytest("-sq", "--callboard-seed=7")

        assert seeds_of(result) == ["fixture 42", "decorator 42"]

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            (None, "Give the file that a failure names"),
            ("[]", "Give a file that Schedule.save"),
            ("{", "Give a file that Schedule.save"),
        ],
        ids=["no file", "no schedule", "no JSON"],
    )
    def test_that_is_none_is_refused_with_the_remedy(
        self, user: pytest.Pytester, text: str | None, remedy: str
    ) -> None:
        if text is not None:
            (user.path / "it.json").write_text(text)

        result = user.runpytest("--callboard-schedule=it.json")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*CALLBOARD_SCHEDULE='it.json' is not valid. {remedy}*"])


class TestATestThatFails:
    def test_tells_its_story_and_how_to_see_it_again(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=FAILING)

        result = pytester.runpytest("-q", "--callboard-seed=7")

        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "E*simulation: seed 7, step *",
                "*- callboard -*",
                "story:",
                "  the session system has started",
                "  the test: sends CreateSession to manager",
                "replay: CALLBOARD_SEED=7 python -m pytest 'test_it.py::test_that_fails'",
            ]
        )
        result.stdout.no_fnmatch_line("*Shutdown*")
        result.stdout.no_fnmatch_line("*killed*")

    def test_names_the_schedule_that_it_replays(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=FAILING)
        Schedule(seed=42).save(pytester.path / "left.json")

        result = pytester.runpytest("-q", "--callboard-schedule=left.json")

        result.stdout.fnmatch_lines(["replay: CALLBOARD_SCHEDULE=left.json python -m pytest *"])

    def test_is_not_blamed_for_leaks_as_well(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            from callboard.supervision import ActorSystem, SupervisedActor

            def test_that_leaks_and_fails(callboard):
                ActorSystem(runtime=callboard.runtime).spawn(SupervisedActor)
                assert False
            """
        )

        pytester.runpytest("-q").assert_outcomes(failed=1)

    def test_is_none_if_it_is_skipped(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import pytest

            def test_that_is_skipped(callboard):
                pytest.skip("not today")
            """
        )

        pytester.runpytest("-q").assert_outcomes(skipped=1)


def test_a_test_that_leaks_actors_fails_when_it_is_over(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from callboard.supervision import ActorSystem, SupervisedActor

        def test_that_leaks(callboard):
            ActorSystem("forgotten", runtime=callboard.runtime).spawn(SupervisedActor)
        """
    )

    result = pytester.runpytest("-q")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["E*Leaked: nobody has stopped the system of these actors: forgotten: SupervisedActor.*"]
    )


@pytest.mark.slow
def test_without_the_extra_only_who_simulates_is_told_to_install_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        greenlet="raise ImportError",
        test_it="""
        def test_that_simulates_nothing():
            pass

        def test_that_simulates(callboard):
            pass
        """,
    )

    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E*MissingExtra: *pip install callboard?testing?"])


@pytest.mark.slow
def test_processes_that_share_the_tests_take_the_seed_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_that_has_a_seed(callboard):
            assert callboard.seed == 7
        """
    )

    pytester.runpytest_subprocess("-q", "-n1", "--callboard-seed=7").assert_outcomes(passed=1)
