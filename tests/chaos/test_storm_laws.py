"""A checker that sees nothing wrong in anything would prove nothing."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.actors import CreateSession, Presence, SessionSystem
from callboard.actors.sessions.table import Standing
from callboard.actors.storage.kept import Kept
from callboard.supervision import Future
from callboard.supervision.testing import Simulation
from tests.cast import Promise, Say
from tests.laws import broken_laws, lines_of, services_of
from tests.sessions.stage import Stage, stage
from tests.storm_laws import (
    Crashes,
    Told,
    Versions,
    broken_folders,
    broken_presences,
    census,
    differences,
    in_memory,
)

__all__ = ["stage"]


def opened(stage: Stage) -> tuple[SessionSystem, str]:
    sessions = stage.open()
    return sessions, sessions.ask(CreateSession(user_id="ada")).id


class TestVersions:
    def test_see_one_that_goes_back(self, stage: Stage) -> None:
        sessions, ada = opened(stage)
        row = services_of(sessions).table.row(ada)
        versions = Versions()
        versions.look([row])
        kept = row.latest()
        older = replace(kept.session, version=0)

        row.head = Kept(kept.incarnation, older, kept.log, kept.active_s, {})
        versions.look([row])

        assert any("went back" in each for each in versions.broken())


class TestTold:
    def test_sees_a_number_that_is_left_out(self, stage: Stage) -> None:
        sessions = stage.open()
        told = Told(sessions)
        ada = sessions.ask(CreateSession(user_id="ada")).id
        stage.settle()
        told.look()
        told._last[ada] += 1

        sessions.ask(Say(ada, text="hello"))
        stage.settle()
        told.look()

        assert told.read > 1
        assert any(f"of {ada} has number" in each for each in told.broken())


class TestCrashes:
    def quarantined(self, sessions: SessionSystem, ada: str) -> Crashes:
        row = services_of(sessions).table.row(ada)
        now_s = sessions.system.clock.now_s()
        row.note(Standing(row.incarnation, Presence.QUARANTINED, since_s=now_s))
        return Crashes(sessions.system.clock.now_s)

    def test_see_a_quarantine_after_too_few(self, stage: Stage) -> None:
        sessions, ada = opened(stage)
        crashes = self.quarantined(sessions, ada)
        for _ in range(3):
            crashes.note(ada)

        assert any("after 3 crashes" in each for each in crashes.broken(sessions))

    def test_see_one_that_was_earned(self, stage: Stage) -> None:
        sessions, ada = opened(stage)
        crashes = self.quarantined(sessions, ada)
        for _ in range(4):
            crashes.note(ada)

        assert list(crashes.broken(sessions)) == []


class TestFolders:
    def test_that_are_missing_or_left_are_seen(self, stage: Stage) -> None:
        sessions, ada = opened(stage)

        found = list(broken_folders(sessions, "folder", ["bob"], lambda _: True))

        assert found == ["a folder is left of bob, which is gone", f"{ada} has lost its folder"]


class TestPresences:
    def test_that_are_miscounted_are_seen(self, stage: Stage) -> None:
        sessions, _ = opened(stage)

        services_of(sessions).table._trays[Presence.AWAKE].clear()

        assert any("1 sessions are awake" in each for each in broken_presences(sessions))


class TestTheCensus:
    def test_sees_what_is_more_than_before(self, stage: Stage) -> None:
        sessions, _ = opened(stage)
        before = census(sessions, 0)
        sessions.ask(CreateSession(user_id="bob"))

        now = differences(before, census(sessions, 1))

        assert {"rows: 1 before, 2 now", "timers: 0 before, 1 now"} <= set(now)


class TestTheMemory:
    def test_holds_a_reply_that_nobody_gives(self) -> None:
        with Simulation() as sim, SessionSystem(runtime=sim.runtime) as sessions:
            before = in_memory(sessions.system)
            owed = Future[None](blocker=sessions.system.dispatcher)

            now = in_memory(sessions.system)

            assert differences(before, now) == ["replies that are owed: 2 before, 3 now"]
            assert differences(before, now, spare=1) == []
            assert not owed.is_done


class TestTheMoment:
    def test_sees_a_hold_that_nobody_releases(self, stage: Stage) -> None:
        stage.play.pause_s = 60.0
        sessions, ada = opened(stage)
        sessions.ask(Promise(ada))

        assert f"{ada} is held, and nothing goes on in it" in broken_laws(sessions)

    def test_sees_a_part_that_does_not_run(self) -> None:
        with Simulation() as sim, SessionSystem(runtime=sim.runtime) as sessions:
            janitor = lines_of(sessions)["front/janitor"]
            assert janitor is not None

            janitor.kill()  # and nothing runs until somebody drives the simulation

            assert "front/janitor does not run" in broken_laws(sessions)
