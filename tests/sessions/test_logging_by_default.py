"""What an embedding host hears of crashes when it asked for nothing: a few lines, and no more."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    PassivateSession,
    SessionActor,
    SessionMessage,
    SessionPatch,
    SessionSystem,
    UpdateSession,
)
from callboard.supervision import handles
from callboard.supervision.observe.logs import LINES_MAX
from callboard.supervision.testing import Simulation
from tests.house import ROOT
from tests.sessions.stage import Stage

WITHIN_S = 10.0


class Say(SessionMessage[str], frozen=True, kw_only=True):
    text: str


class Parrot(SessionActor[None]):
    @handles(Say)
    def on_say(self, message: Say) -> str:
        if message.text == "crash":
            msg = "no such word."
            raise LookupError(msg)
        return message.text


class Lame(Parrot):
    def on_start(self) -> None:
        super().on_start()
        if self.session.metadata.get("legs") != 2:
            msg = "no leg"
            raise LookupError(msg)


@pytest.fixture(params=["threads", 0, 1])
def runtime(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        yield None
        return
    with Simulation(seed=request.param) as simulation:
        yield simulation.runtime


def crash_by_tell(sessions: SessionSystem, session_id: str) -> None:
    """Crash a session with nobody waiting, and return when it is back."""
    sessions.ask(CreateSession(session_id=session_id), timeout=WITHIN_S)
    sessions.tell(Say(session_id, text="crash"))
    assert sessions.ask(Say(session_id, text="hello"), timeout=WITHIN_S) == "hello"


class TestACrashThatNobodyAwaits:
    @pytest.mark.seed("2.31")
    def test_is_a_warning_with_who_what_and_where(
        self, runtime: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with SessionSystem(Parrot, partitions=1, runtime=runtime) as sessions:
            crash_by_tell(sessions, "ada")

        (line,) = caplog.records
        assert (line.name, line.levelno) == ("callboard.events", logging.WARNING)
        said = line.getMessage()
        assert said.startswith("child.crashed supervisor=root/sessions/0 child_id=ada")
        assert f"LookupError: no such word at {__file__}:" in said
        assert "in Parrot.on_say" in said

    def test_is_one_of_few_lines_when_many_crash(
        self, runtime: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        crashes = 2 * LINES_MAX + 10  # so many that even two windows do not show all
        with SessionSystem(Parrot, partitions=1, runtime=runtime) as sessions:
            for number in range(crashes):
                crash_by_tell(sessions, f"ada-{number}")

        said = [line.getMessage() for line in caplog.records]
        told = sum(line.startswith("child.crashed supervisor=") for line in said)
        summed_up = sum(int(line.split()[2]) for line in said if " more within " in line)
        assert told + summed_up == crashes
        assert LINES_MAX <= told < crashes

    def test_is_the_hosts_own_affair_when_it_gives_a_hook(
        self, runtime: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        events: list[object] = []
        with SessionSystem(
            Parrot, partitions=1, runtime=runtime, on_event=events.append
        ) as sessions:
            crash_by_tell(sessions, "ada")

        assert events
        assert caplog.records == []


class TestAStartThatFailsAndNobodyAwaits:
    """A `tell` creates a session, or wakes it."""

    def test_is_a_warning_when_it_was_to_be_created(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = stage.open(session=Lame)

        sessions.tell(CreateSession(session_id="ada"))
        stage.settle()

        (line,) = caplog.records
        assert (line.name, line.levelno) == ("callboard.events", logging.WARNING)
        said = line.getMessage()
        assert said.startswith("session.start.failed reason=crashed: LookupError: no leg at ")
        assert "session_id=ada cause=create" in said

    def test_is_a_warning_each_time_and_its_quarantine_is_an_error(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = stage.open(session=Lame)
        sessions.ask(CreateSession(session_id="ada", metadata={"legs": 2}))
        sessions.ask(UpdateSession("ada", patch=SessionPatch(metadata={"legs": 0})))
        sessions.ask(PassivateSession("ada"))

        sessions.tell(Say("ada", text="wakes it"))
        stage.advance(60)

        said = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert [level for level, _ in said] == ["WARNING"] * 4 + ["ERROR", "WARNING"]
        for _, text in said[:4]:
            assert text.startswith("session.start.failed reason=crashed: LookupError: no leg at ")
            assert "session_id=ada cause=wake" in text
        over = said[4][1]
        assert over.startswith("session.quarantined reason=crashed: LookupError: no leg at ")
        assert "session_id=ada restarts=4" in over
        assert said[5][1].startswith("message.undelivered")


class TestAQuarantine:
    def test_is_one_error_after_a_warning_for_each_crash(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = stage.open(session=Parrot)
        sessions.ask(CreateSession(session_id="ada"))

        for _ in range(4):
            sessions.tell(Say("ada", text="crash"))
            stage.advance(2)

        said = [(each.levelname, each.getMessage().split()[0]) for each in caplog.records]
        assert said == [("WARNING", "child.crashed")] * 4 + [("ERROR", "session.quarantined")]


class TestAQuietLife:
    def test_says_nothing(self, runtime: Any, caplog: pytest.LogCaptureFixture) -> None:
        with SessionSystem(Parrot, runtime=runtime) as sessions:
            sessions.ask(CreateSession(session_id="ada"), timeout=WITHIN_S)
            sessions.ask(Say("ada", text="hello"), timeout=WITHIN_S)

        assert caplog.records == []

    def test_leaves_the_hosts_loggers_alone(self) -> None:
        root, ours = logging.getLogger(), logging.getLogger("callboard")
        before = (list(root.handlers), root.level, list(ours.handlers), ours.level, ours.propagate)

        with SessionSystem(Parrot, partitions=1) as sessions:
            crash_by_tell(sessions, "ada")

        after = (list(root.handlers), root.level, list(ours.handlers), ours.level, ours.propagate)
        assert after == before


HOST = """
{configured}
from callboard.actors import CreateSession, SessionSystem
from tests.sessions.test_logging_by_default import Parrot, crash_by_tell
with SessionSystem(Parrot, partitions=1) as sessions:
    crash_by_tell(sessions, "ada")
"""


class TestStandardError:
    @pytest.mark.parametrize(
        ("configured", "begins"),
        [
            ("", "child.crashed supervisor="),
            (
                "import logging; logging.basicConfig(format='%(levelname)s %(name)s %(message)s')",
                "WARNING callboard.events child.crashed supervisor=",
            ),
        ],
        ids=["nothing configured", "the host's own format"],
    )
    def test_shows_a_crash(self, configured: str, begins: str) -> None:
        done = run(configured)

        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith(begins)

    def test_is_silent_where_the_host_wants_it(self) -> None:
        configured = "import logging; logging.getLogger('callboard').setLevel(logging.CRITICAL)"

        assert run(configured).stderr == ""


def run(configured: str) -> subprocess.CompletedProcess[str]:
    """Run a host in a process of its own, where no test has touched logging."""
    script = HOST.format(configured=configured)
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
