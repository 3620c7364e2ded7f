"""What scripts/chaos reports: a law that was broken by its name, and how fast memory grew."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from scripts import chaos
from scripts.chaos import EX_UNNOTICED, FLAT_FROM_S, MIB, Report, Sample, main, slope, strike
from tests.chaos.run import SABOTAGES, Run, Sabotage
from tests.house import ROOT


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run the program here; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["scripts/chaos", "--seconds", "0.1", *options])
    return main()


def objects_in(said: str) -> list[dict[str, Any]]:
    """Return what is printed, an object a line."""
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("sabotage", SABOTAGES)
class TestASabotagedRun:
    def test_exits_with_1_and_names_the_law_for_people(
        self,
        sabotage: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        code = run(monkeypatch, "--seed", "3", "--sabotage", sabotage)

        verdict = capsys.readouterr().out.partition("verdict: BROKEN: ")[2]
        assert code == 1
        assert SABOTAGES[sabotage].named_as in verdict
        assert verdict.endswith("\nthe sabotage was noticed\n")

    def test_exits_with_1_and_prints_one_object_for_machines(
        self,
        sabotage: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        code = run(monkeypatch, "--seed", "3", "--json", "--sabotage", sabotage)

        [report] = objects_in(capsys.readouterr().out)
        assert code == 1
        assert (report["verdict"], report["seed"]) == ("broken", 3)
        assert SABOTAGES[sabotage].named_as in report["violation"]
        assert report["is_noticed"]
        assert report["seconds"] > 0
        assert report["asks"] > 0
        assert report["seen"]["a history that was checked"] > 0


class TestASabotageThatNobodyNotices:
    @pytest.mark.parametrize("violation", [None, "Broken: another law"])
    def test_exits_with_3_and_says_so(
        self,
        violation: str | None,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        report = report_of(1, 0.0, violation=violation)
        comes_to(msgspec.structs.replace(report, is_noticed=False), monkeypatch)

        code = run(monkeypatch, "--sabotage")

        assert code == EX_UNNOTICED == 3
        assert capsys.readouterr().out.endswith("\nthe sabotage was NOT NOTICED\n")

    def test_is_one_that_no_law_has_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def do_nothing(_run: Run) -> bool:
            return True

        monkeypatch.setitem(SABOTAGES, "message", Sabotage(do_nothing, "lost 'nobody 1'"))

        report = strike(0.1, 1, sabotage="message")

        assert (report.violation, report.is_noticed) == (None, False)


def test_without_a_word_it_says_that_a_message_was_confirmed_that_never_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--sabotage") == 1
    assert SABOTAGES["message"].named_as in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_of_its_own_that_breaks_nothing_exits_with_0_and_prints_one_object() -> None:
    command = [sys.executable, "-m", "scripts.chaos", "--seconds", "0.1", "--seed", "3", "--json"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    [report] = objects_in(said)
    assert (report["verdict"], report["violation"], report["seed"]) == ("kept", None, 3)
    assert report["waves"] >= 1
    assert report["strikes"] > 0
    assert report["census"]["rows"] == 0


@pytest.mark.parametrize("options", [["--seconds", "0"], ["--seconds", "inf"], ["--sabotage", "x"]])
def test_what_cannot_be_is_refused_before_anything_runs(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, *options)

    assert refused.value.code == 2
    assert options[0] in capsys.readouterr().err


class TestAReport:
    def test_names_a_message_that_is_lost(self) -> None:
        report = strike(0.1, seed=1, sabotage="message")

        assert report.violation is not None
        assert "lost 'nobody 1'" in report.violation
        assert (report.waves, report.asks > 0) == (1, True)

    def test_names_the_operations_that_contradict(self) -> None:
        report = strike(0.1, seed=1, sabotage="read")

        assert report.violation is not None
        assert "the saboteur's GetSession" in report.violation


def report_of(minutes: int, bytes_a_minute: float, *, violation: str | None = None) -> Report:
    """Return what a run has come to that grew so fast."""
    samples = [Sample(60.0 * each, int(each * bytes_a_minute)) for each in range(minutes + 1)]
    return Report(
        seed=1,
        seconds=60.0 * minutes,
        waves=len(samples),
        strikes=0,
        asks=0,
        rss_bytes=samples[-1].bytes,
        rss_bytes_per_minute=slope(samples),
        seen={},
        counts={},
        census={},
        verdict="kept" if violation is None else "broken",
        violation=violation,
    )


def comes_to(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every run come to this."""

    def strike(seconds: float, seed: int, *, sabotage: str | None) -> Report:
        del seconds, seed, sabotage
        return report

    monkeypatch.setattr(chaos, "strike", strike)


class TestARunOfManyMinutes:
    @pytest.mark.parametrize(
        ("minutes", "mib_in_ten_minutes", "verdict"),
        [(10, 0.9, (True, 0)), (10, 1.1, (False, 1)), (9, 50.0, (None, 0)), (20, -3.0, (True, 0))],
        ids=["flat", "growing", "too short to say", "shrinking"],
    )
    def test_is_good_unless_its_memory_grows(
        self,
        minutes: int,
        mib_in_ten_minutes: float,
        verdict: tuple[bool | None, int],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        report = report_of(minutes, mib_in_ten_minutes * MIB / 10)
        comes_to(report, monkeypatch)

        code = run(monkeypatch, "--json")

        [said] = objects_in(capsys.readouterr().out)
        assert (said["is_flat"], code) == verdict

    @pytest.mark.parametrize(
        ("bytes_a_minute", "said"),
        [(0.0, "+0.00 MiB a minute: flat"), (MIB, "+1.00 MiB a minute: NOT FLAT")],
    )
    def test_says_so_to_people(
        self,
        bytes_a_minute: float,
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        report = report_of(int(FLAT_FROM_S / 60), bytes_a_minute)
        comes_to(report, monkeypatch)

        run(monkeypatch)
        assert said in capsys.readouterr().out

    def test_counts_one_as_one(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        comes_to(report_of(0, 0.0), monkeypatch)

        run(monkeypatch)

        assert "\n1 wave, 0 strikes, 0 asks in 0.0 s, seed 1\n" in capsys.readouterr().out

    def test_that_breaks_a_law_is_not_good_however_flat(self) -> None:
        assert not report_of(20, 0.0, violation="a law").is_good


class TestTheSlope:
    def test_is_bytes_a_minute_without_the_first_samples(self) -> None:
        samples = [Sample(each, each * 2 if each else 1_000) for each in range(0, 240, 60)]

        assert slope(samples) == pytest.approx(120)

    def test_leaves_out_what_was_given_back(self) -> None:
        grown = [1_000, 2_000, 9_000, 9_000, 2_000, 2_000, 2_000, 2_000]
        samples = [Sample(60.0 * number, each) for number, each in enumerate(grown)]

        assert slope(samples) == 0.0

    def test_needs_three_samples_that_count(self) -> None:
        assert slope([Sample(each, each) for each in range(3)]) is None

    def test_is_none_where_no_time_goes_by(self) -> None:
        assert slope([Sample(1, each) for each in range(8)]) is None
