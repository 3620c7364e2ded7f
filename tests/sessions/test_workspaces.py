"""What is left of a session's folder: deleted while nobody waits, counted, told at a stop."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    Keeping,
    SessionState,
    SessionSystem,
    TerminateSession,
    WorkspaceError,
)
from callboard.actors.clearer import CLEAR_AGAIN
from callboard.actors.sessions.clearing import ENTRIES_PER_STEP, FoldersLeft
from callboard.actors.testing import FakeAudit, FakeCleaner, FakeMetrics, FakeWorkspaces
from tests.runtime.kit import Gate
from tests.sessions.stage import Stage, later, part_of, services_of

STUCK = WorkspaceError("the disk says no")


@pytest.fixture
def folders() -> FakeWorkspaces:
    """Return workspaces that leave something to be cleared."""
    fake = FakeWorkspaces()
    fake.leaves_to_clear = True
    return fake


def held_at(sessions: SessionSystem, fake: Any, method: str) -> Gate:
    """Have a method of a fake wait at a gate from now on."""
    gate = Gate(sessions.system)

    def on_call(called: str, _: str) -> None:
        if called == method:
            gate.wait()

    fake.on_call = on_call
    return gate


def give_up(stage: Stage, sessions: SessionSystem) -> None:
    """Have the front fall until the tree gives up."""
    root = services_of(sessions).root
    while not root.is_dead:
        part_of(sessions, "front").kill()
        stage.settle()


class TestARemovedFolder:
    def test_is_deleted_while_nobody_waits(self, stage: Stage, folders: FakeWorkspaces) -> None:
        opened = stage.open(workspace=folders)
        ada = opened.ask(CreateSession()).id
        gate = held_at(opened, folders, "clear")

        ended = opened.ask(TerminateSession(ada))
        stage.settle()
        waiting = list(folders.removed)
        gate.open()
        stage.settle()

        assert ended.state is SessionState.CLEANED
        assert (waiting, folders.removed) == ([ada], [])

    def test_that_is_large_is_deleted_in_steps(self, stage: Stage, folders: FakeWorkspaces) -> None:
        folders.removed = [str(number) for number in range(2 * ENTRIES_PER_STEP + 1)]

        stage.open(workspace=folders)  # what an earlier system has left
        stage.settle()

        assert folders.removed == []
        assert folders.calls.count(("clear", "")) == 3

    def test_that_cannot_be_deleted_is_counted_told_once_and_tried_again(
        self, stage: Stage, folders: FakeWorkspaces
    ) -> None:
        heard: list[object] = []
        opened = stage.open(workspace=folders, on_event=heard.append)
        ada, bob = (opened.ask(CreateSession()).id for _ in range(2))
        folders.failures["clear"] = STUCK
        folders.removed = ["earlier"]
        clearing = services_of(opened).clearing
        assert clearing is not None
        clearing.left = 1

        opened.ask(TerminateSession(ada))
        stage.settle()
        tries = folders.calls.count(("clear", ""))
        stage.advance(CLEAR_AGAIN.delay_s(0) + 0.1)
        again = folders.calls.count(("clear", "")) - tries
        del folders.failures["clear"]
        stage.advance(CLEAR_AGAIN.delay_s(1) + 0.1)

        assert again == 1
        assert folders.removed == []
        assert [each for each in heard if isinstance(each, FoldersLeft)] == [
            FoldersLeft(1, "the disk says no")
        ]
        assert opened.ask(TerminateSession(bob)).state is SessionState.CLEANED

    def test_is_counted_in_health_and_metrics_until_it_is_deleted(
        self, stage: Stage, folders: FakeWorkspaces
    ) -> None:
        metrics = FakeMetrics()
        opened = stage.open(workspace=folders, metrics=metrics)
        folders.removed = [str(number) for number in range(ENTRIES_PER_STEP + 7)]
        ada = opened.ask(CreateSession()).id
        gate = Gate(opened.system)

        def on_call(method: str, _: str) -> None:
            if method == "clear" and len(folders.removed) <= ENTRIES_PER_STEP:
                gate.wait()

        folders.on_call = on_call
        opened.ask(TerminateSession(ada))
        stage.advance(10.0)

        assert opened.health().folders_left == 8
        assert opened.health().is_healthy
        assert metrics.gauges["callboard_folders_left",] == 8
        gate.open()
        stage.advance(10.0)
        assert opened.health().folders_left == 0
        assert metrics.gauges["callboard_folders_left",] == 0

    def test_is_deleted_by_the_next_clearer_when_this_one_is_killed(
        self, stage: Stage, folders: FakeWorkspaces
    ) -> None:
        opened = stage.open(workspace=folders)
        ada = opened.ask(CreateSession()).id
        gate = held_at(opened, folders, "clear")
        opened.ask(TerminateSession(ada))
        stage.settle()

        folders.on_call = None
        part_of(opened, "front/clearer").kill()
        stage.advance(1.0)
        gate.open()
        stage.settle()

        assert folders.removed == []
        assert opened.health().is_healthy

    @pytest.mark.parametrize("command", ["git init -q && git clean -qfdx", "rm -rf .[!.]* *"])
    def test_is_removed_whatever_was_done_in_it(
        self, stage: Stage, tmp_path: Path, command: str
    ) -> None:
        root = tmp_path / "work"
        opened = stage.open(workspace=root)
        made = Path(opened.ask(CreateSession(session_id="s", user_id="ada")).workspace or "")
        (made / "notes").write_text("x")
        subprocess.run(command, shell=True, cwd=made, check=True, timeout=30)  # noqa: S602 -- two constants

        opened.ask(TerminateSession("s"))

        assert not made.exists()
        assert opened.ask(CreateSession(session_id="s", user_id="ada")).workspace == str(made)
        opened.stop()
        assert list(root.iterdir()) == []


class TestAnUndoing:
    def test_has_the_time_that_keeping_says(self, stage: Stage) -> None:
        cleaner, audit = FakeCleaner(), FakeAudit()
        keeping = Keeping(undo_s=0.1)
        opened = stage.open(cleaner=cleaner, audit=audit, keeping=keeping)
        ada = opened.ask(CreateSession()).id
        gate = held_at(opened, cleaner, "clean")

        ended = later(opened, TerminateSession(ada))
        stage.advance(0.2)

        assert ended.get(timeout=30.0).state is SessionState.CLEANED
        stage.settle()
        (step,) = (each.details for each in audit.records if each.event_type == "cleanup_step")
        assert (step["name"], step["ok"]) == ("cleaner", False)
        gate.open()


class TestAStop:
    def test_leaves_nothing_that_waits_to_be_deleted(
        self, stage: Stage, folders: FakeWorkspaces
    ) -> None:
        opened = stage.open(workspace=folders)
        for _ in range(3):
            opened.ask(CreateSession())

        report = opened.stop()

        assert (report.is_clean, report.left) == (True, ())
        assert folders.folders == {}
        assert folders.removed == []

    def test_removes_once_more_what_could_not_be_removed(
        self, stage: Stage, folders: FakeWorkspaces
    ) -> None:
        opened = stage.open(workspace=folders)
        ada = opened.ask(CreateSession()).id
        folders.failures["remove"] = STUCK
        opened.ask(TerminateSession(ada))
        assert list(folders.folders) == [ada]

        report = opened.stop()

        assert report.is_clean
        assert folders.folders == {}

    @pytest.mark.parametrize("method", ["sweep", "clear"])
    def test_names_what_it_leaves(self, stage: Stage, folders: FakeWorkspaces, method: str) -> None:
        opened = stage.open(workspace=folders)
        folders.removed = ["earlier"]
        folders.failures[method] = STUCK

        report = opened.stop()

        (left,) = report.left
        assert not report.is_clean
        assert "the disk says no" in left
        assert f"left: {left}" == str(report)
        assert opened.stop() == report

    def test_does_not_wait_for_what_hangs(self, stage: Stage, folders: FakeWorkspaces) -> None:
        opened = stage.open(workspace=folders)
        folders.removed = ["earlier"]
        gate = held_at(opened, folders, "clear")

        report = opened.stop(timeout_s=1.0)

        assert [each for each in report.left if "no time" in each]
        gate.open()


class TestAStopAfterTheTreeHasGivenUp:
    @pytest.mark.in_memory  # nobody writes to a store any more
    def test_undoes_what_the_sessions_have(self, stage: Stage, folders: FakeWorkspaces) -> None:
        cleaner = FakeCleaner()
        opened = stage.open(workspace=folders, cleaner=cleaner)
        made = {opened.ask(CreateSession()).id for _ in range(70)}

        give_up(stage, opened)
        report = opened.stop()

        assert report.is_clean
        assert folders.folders == {}
        assert folders.removed == []
        assert {each.id for each in cleaner.cleaned} == made
        assert {each.state for each in cleaner.cleaned} == {SessionState.TERMINATING}
        assert opened.health().sessions == 0

    def test_leaves_no_folder_on_the_disk(self, stage: Stage, tmp_path: Path) -> None:
        root = tmp_path / "work"
        opened = stage.open(workspace=root)
        for _ in range(3):
            opened.ask(CreateSession(user_id="ada"))

        give_up(stage, opened)
        report = opened.stop()

        assert report.is_clean
        assert list(root.iterdir()) == []

    def test_names_what_fails(self, stage: Stage, folders: FakeWorkspaces) -> None:
        cleaner = FakeCleaner()
        opened = stage.open(workspace=folders, cleaner=cleaner)
        ada = opened.ask(CreateSession()).id
        cleaner.failures["clean"] = OSError("gone already")

        give_up(stage, opened)
        report = opened.stop()

        assert report.left == (f"cleaner of session {ada}",)
        assert folders.folders == {}

    def test_does_not_wait_for_what_hangs(self, stage: Stage, folders: FakeWorkspaces) -> None:
        cleaner = FakeCleaner()
        opened = stage.open(workspace=folders, cleaner=cleaner)
        ada = opened.ask(CreateSession()).id
        gate = held_at(opened, cleaner, "clean")
        give_up(stage, opened)

        report = opened.stop(timeout_s=1.0)

        assert report.left == (f"cleaner of session {ada}",)
        assert folders.folders == {}
        gate.open()
