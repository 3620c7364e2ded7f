"""callboard does what OTP did: every recording, on every level. And the checker can say no."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scripts.tracing.__main__ import DIFFERS, NOT_ALL_RUN, main
from scripts.tracing.comparing import Level, arranged, differences
from scripts.tracing.oracle import CRASH, GHOST, mended
from scripts.tracing.parity import RECORDINGS
from scripts.tracing.running import Outcome, outcome_of
from scripts.tracing.scenario import Part, Scenario, files_in, read
from tests.both import ThreadedWorld
from tests.house import ROOT

FILES = files_in(RECORDINGS)


class ThreadedStage(ThreadedWorld):
    """Real threads, under a clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__(None)

    def pass_time_until(self, is_reached: Callable[[], bool]) -> None:
        self.settle()
        while not is_reached():
            due_s = self.clock.next_due_s
            assert due_s is not None, "nothing is left that could make it so"
            self.clock.advance_to(due_s)
            self.settle()


def told(outcome: Outcome) -> str:
    """Return why an outcome is no agreement; nothing if it is one."""
    if outcome.skipped is not None:
        return f"skipped: {outcome.skipped}"
    return outcome.broke or "\n".join(str(each) for each in outcome.differences)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_agrees_with_the_recording(path: Path) -> None:
    assert told(outcome_of(read(path))) == ""


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_agrees_on_real_threads(path: Path) -> None:
    assert told(outcome_of(read(path), new_world=ThreadedStage)) == ""


def test_there_are_all_the_recordings() -> None:
    assert len(FILES) == 344


# -- the checker itself ----------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one recording: a crash, and a restart."""
    shutil.copy(RECORDINGS / "sup_default_intensity.json", tmp_path)
    return tmp_path


def change(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the recording in the folder."""
    (path,) = folder.iterdir()
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def plant_result(content: Any) -> None:
    content["expect"]["steps"][0]["result"] = {"error": "not_found"}


def plant_event(content: Any) -> None:
    content["expect"]["steps"][0]["events"].reverse()


def plant_final(content: Any) -> None:
    content["expect"]["final"] = {"alive": False, "exit_reason": "killed"}


def plant_report(content: Any) -> None:
    content["expect"]["steps"][0]["reports"].clear()


def spoil_with(spoil: dict[str, Any], content: Any) -> None:
    content.update(spoil)


class TestTheChecker:
    def test_says_yes_to_the_recording_as_it_is(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(folder)]) == 0

        assert "1 scenarios: 1 agree, 0 differ, 0 skipped" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("level", "plant"),
        [
            (Level.RESULTS, plant_result),
            (Level.EVENTS, plant_event),
            (Level.FINAL, plant_final),
            (Level.REPORTS, plant_report),
        ],
        ids=[each.value for each in Level],
    )
    def test_finds_what_was_planted_in_the_recording(
        self,
        folder: Path,
        level: Level,
        plant: Callable[[Any], None],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        change(folder, plant)

        assert main([str(folder)]) == DIFFERS

        assert f"sup_default_intensity: DIFFERS\n  {level.value}, " in capsys.readouterr().out
        for other in Level:
            is_found = main([str(folder), "--level", other.value]) == DIFFERS
            assert is_found is (other is level)

    def test_says_in_json_what_differs(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        change(folder, plant_result)

        assert main([str(folder), "--json"]) == DIFFERS

        said = json.loads(capsys.readouterr().out)
        assert said["levels"]["results"] == {"agree": 0, "of": 1}
        assert said["levels"]["events"] == {"agree": 1, "of": 1}
        ((differ,),) = ([each["differences"] for each in said["differ"]],)
        assert [each["level"] for each in differ] == ["results"]

    def test_has_something_to_run(self, tmp_path: Path) -> None:
        assert main([str(tmp_path)]) == NOT_ALL_RUN
        assert main([str(tmp_path / "nowhere")]) == NOT_ALL_RUN

    @pytest.mark.parametrize(
        "spoil",
        [
            {"format": 2},
            {"actions": [{"do": "dance", "sup": "root"}]},
            {"actions": None},
            {"expect": None},
            {"expect": {}},
        ],
        ids=["another format", "an unknown action", "no actions", "no expectation", "no steps"],
    )
    def test_says_so_when_a_scenario_cannot_be_run(
        self, folder: Path, spoil: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        change(folder, partial(spoil_with, spoil))

        assert main([str(folder)]) == NOT_ALL_RUN

        assert "sup_default_intensity: SKIPPED" in capsys.readouterr().out

    def test_goes_through_the_public_doors_alone(self) -> None:
        doors = {"callboard.supervision", "callboard.supervision.testing"}
        sources = [*(ROOT / "scripts" / "tracing").glob("*.py")]
        nodes = [
            node
            for source in sources
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        ]
        imported = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        imported |= {
            each.name for node in nodes if isinstance(node, ast.Import) for each in node.names
        }

        assert doors <= imported
        assert {name for name in imported if name.startswith("callboard")} <= doors

    def test_never_shows_the_expectation_to_whoever_runs_the_scenario(self, folder: Path) -> None:
        (path,) = folder.iterdir()

        assert "expect" not in read(path).given

    def test_runs_as_a_script_from_anywhere(self, folder: Path) -> None:
        change(folder, plant_report)

        done = subprocess.run(
            [ROOT / "scripts" / "traces", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )

        assert done.returncode == DIFFERS, done.stderr
        assert "sup_default_intensity: DIFFERS" in done.stdout


A, B, C = ({"ev": "stop", "who": who} for who in "abc")


class TestWhatIsFreeInItsOrder:
    def test_a_set_takes_as_many_as_it_has_members(self) -> None:
        assert arranged([{"unordered": [A, B]}, C], [B, A, C]) == [A, B, C]

    def test_a_set_does_not_take_from_behind_it(self) -> None:
        assert arranged([{"unordered": [A, B]}, C], [B, C, A]) != [A, B, C]

    def test_orphans_are_taken_from_anywhere(self) -> None:
        recorded: list[dict[str, Any]] = [B, C, {"orphans": True, "unordered": [A]}]

        assert arranged(recorded, [B, A, C]) == [B, C, A]

    def test_an_orphan_that_did_not_end_is_missed(self) -> None:
        recorded: list[dict[str, Any]] = [B, {"orphans": True, "unordered": [A]}]

        assert arranged(recorded, [B]) == [B]

    def steps(self, do: str, result: object) -> dict[str, Any]:
        return {"steps": [{"action": {"do": do}, "result": result}]}

    def same(self, do: str, one: object, other: object) -> bool:
        return not differences({}, self.steps(do, one), self.steps(do, other))

    def test_lists_of_a_registry_are_multisets(self) -> None:
        assert self.same("lookup", [["p", 1], ["q", 2]], [["q", 2], ["p", 1]])
        assert not self.same("lookup", [["p", 1], ["p", 1]], [["p", 1]])

    def test_the_new_value_comes_before_the_old_one(self) -> None:
        assert not self.same("update_value", [2, 1], [1, 2])

    def test_downs_of_one_process_come_in_any_order_and_others_do_not(self) -> None:
        one, two, other = (
            {"DOWN": {"ref": ref, "who": who, "reason": "normal"}}
            for ref, who in (("m1", "p"), ("m2", "p"), ("m3", "q"))
        )

        assert self.same("inbox", [{"msg": 1}, one, two, other], [{"msg": 1}, two, one, other])
        assert not self.same("inbox", [{"msg": 1}, one], [one, {"msg": 1}])
        assert not self.same("inbox", [one, two, other], [one, other, two])

    def test_which_error_is_raised_is_free_and_that_one_is_raised_is_not(self) -> None:
        assert self.same("register", {"raise": "ArgumentError"}, {"raise": "TypeError"})
        assert not self.same("register", {"raise": "ArgumentError"}, "ok")


def started(who: str, sup: str | None) -> dict[str, Any]:
    return {"ev": "start", "who": who, "sup": sup}


def ended(who: str, sup: str | None, reason: str = "shutdown") -> dict[str, Any]:
    return {"ev": "stop", "who": who, "sup": sup, "reason": reason}


class TestBranchesThatEndSideBySide:
    """Two supervisors, `s` and `t`, whose supervisor is killed: each ends its own children."""

    START: ClassVar[list[dict[str, Any]]] = [
        started("root#1", None),
        *(started("s#1", "root"), started("a#1", "s"), started("b#1", "s")),
        *(started("t#1", "root"), started("c#1", "t")),
    ]
    KILLED = ended("root#1", None, "killed")
    BELOW_S: ClassVar[list[dict[str, Any]]] = [ended("b#1", "s"), ended("a#1", "s")]
    BELOW_T: ClassVar[list[dict[str, Any]]] = [ended("c#1", "t")]
    ROOTS: ClassVar[list[dict[str, Any]]] = [
        ended("s#1", "root", "killed"),
        ended("t#1", "root", "killed"),
    ]

    def play(self, step: list[dict[str, Any]]) -> dict[str, Any]:
        action = {"do": "kill", "target": "root"}
        steps = [{"action": action, "result": "ok", "events": step, "reports": []}]
        return {
            "start": {"result": {"ok": "root#1"}, "events": self.START, "reports": []},
            "steps": steps,
        }

    def same(self, observed: list[dict[str, Any]]) -> bool:
        orphans = {"orphans": True, "unordered": self.ROOTS}
        recorded = [self.KILLED, *self.BELOW_S, *self.BELOW_T, orphans]
        return not differences({}, self.play(recorded), self.play(observed))

    def test_have_no_order_between_them(self) -> None:
        (b, a), (c,) = self.BELOW_S, self.BELOW_T

        assert self.same([self.KILLED, c, b, a, *self.ROOTS])
        assert self.same([self.KILLED, b, c, a, *self.ROOTS])

    def test_have_an_order_of_their_own(self) -> None:
        (b, a), (c,) = self.BELOW_S, self.BELOW_T

        assert not self.same([self.KILLED, a, b, c, *self.ROOTS])

    def test_lack_nobody(self) -> None:
        assert not self.same([self.KILLED, *self.BELOW_S, *self.ROOTS])
        assert not self.same([self.KILLED, *self.BELOW_S, *self.BELOW_T, self.ROOTS[0]])


class TestADefectOfOtpItself:
    def test_is_said_and_what_it_spoils_is_not_compared(self) -> None:
        outcome = outcome_of(read(RECORDINGS / "sup_random_0081.json"))

        assert outcome.agrees
        assert outcome.notes == (GHOST, CRASH)

    def test_is_taken_out_where_the_rows_show_it_and_nowhere_else(self) -> None:
        lives = {"id": None, "child": "d#1", "type": "worker"}
        row = {"id": None, "child": None, "type": "worker"}
        counts = {"specs": 1, "active": 2, "supervisors": 0, "workers": 2}
        asked = [{"do": do, "sup": "root"} for do in ("which_children", "count_children")]
        step = {
            "action": {"do": "batch", "sup": "root", "actions": asked},
            "result": {"batch": [{"ok": [lives, row]}, {"ok": counts}]},
        }
        flags = {"strategy": "simple_one_for_one"}
        given: Any = {"root": "root", "supervisor": {"flags": flags, "children": []}}
        one = counts | {"active": 1, "workers": 1}

        def left(rows: list[Any], count: Any) -> Any:
            state = {"which_children": rows, "count_children": count}
            final = {"alive": True, "supervisors": {"root": state}}
            whole: Any = {"steps": [step], "final": final, "teardown": {"events": []}}
            found, _ = mended(given, whole)
            (said,) = found["steps"]
            assert said["result"] == {"batch": [{"ok": [lives]}, {"ok": one}]}
            return found["final"]["supervisors"]["root"]

        assert left([lives, row], counts) == {"which_children": [lives], "count_children": one}
        assert left([lives], one) == {"which_children": [lives], "count_children": one}

    def test_hides_nothing_else(self) -> None:
        scenario = read(RECORDINGS / "sup_random_0081.json")
        expected = json.loads(json.dumps(scenario.expected))
        expected["steps"][2]["result"]["ok"]["specs"] = 2
        planted = Scenario(scenario.name, Part.SUPERVISORS, scenario.given, expected)

        assert [each.level for each in outcome_of(planted).differences] == [Level.RESULTS]

    def test_is_in_no_other_recording(self) -> None:
        shown = [path.stem for path in FILES if outcome_of(read(path)).notes]

        assert shown == ["sup_random_0081"]
