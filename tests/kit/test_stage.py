"""The stage that the test kit gives to users' tests."""

from __future__ import annotations

import pytest

from callboard.actors import CreateSession, Presence, SessionActor, SessionMessage, SessionSystem
from callboard.actors.testing import Callboard, Unstopped
from callboard.supervision import handles
from callboard.supervision.testing import SimulationClosed
from tests.runtime.kit import Gate

pytest_plugins = ["callboard.actors.testing.plugin"]


class Which(SessionMessage[int], frozen=True):
    """Reply the number of the incarnation."""


class Counted(SessionActor[None]):
    @handles(Which)
    def on_which(self, message: Which) -> int:
        del message
        return self.incarnation


def test_a_crash_is_over_when_the_session_is_back(callboard: Callboard) -> None:
    sessions = callboard.start(SessionSystem(Counted, runtime=callboard.runtime))
    ada = sessions.ask(CreateSession())

    back = callboard.crash(sessions, ada.id)

    assert back.presence is Presence.AWAKE
    assert back.restarts == 1
    assert sessions.ask(Which(ada.id)) == 2


def test_one_crash_too_many_is_over_with_the_quarantine(callboard: Callboard) -> None:
    sessions = callboard.start(SessionSystem(Counted, runtime=callboard.runtime))
    ada = sessions.ask(CreateSession())

    presences = [callboard.crash(sessions, ada.id).presence for _ in range(4)]

    assert presences == [*[Presence.AWAKE] * 3, Presence.QUARANTINED]


def test_time_passes_only_when_the_test_says_so(callboard: Callboard) -> None:
    runtime = callboard.runtime
    sessions = callboard.start(
        SessionSystem(Counted, runtime=runtime, max_idle_s=600.0, cleanup_interval_s=60.0)
    )
    sessions.ask(CreateSession())

    callboard.advance(599.0)
    assert sessions.health().sessions == 1
    callboard.advance(121.0)
    assert sessions.health().sessions == 0


def test_the_fixture_takes_its_seed_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CALLBOARD_SEED", "7")

    kit: Callboard = request.getfixturevalue("callboard")

    assert kit.simulation.seed == 7


class TestTheEnd:
    def test_stops_every_system_and_the_world(self) -> None:
        with Callboard() as kit:
            systems = [kit.start(SessionSystem(runtime=kit.runtime)) for _ in range(2)]

        assert not any(each.health().is_healthy for each in systems)
        with pytest.raises(SimulationClosed):
            kit.advance(1.0)

    def test_tells_of_what_did_not_stop(self) -> None:
        class Stuck(Counted):
            interruptible = False

            @handles(Which)
            def on_which(self, message: Which) -> int:
                del message
                Gate(self.system).wait()  # which nobody opens
                return 0

        kit = Callboard()
        sessions = kit.start(SessionSystem(Stuck, runtime=kit.runtime))
        ada = sessions.ask(CreateSession())
        sessions.tell(Which(ada.id))
        kit.simulation.settle()

        with pytest.raises(Unstopped, match=ada.id):
            kit.close()

    def test_leaves_the_tests_own_failure_alone(self) -> None:
        def fail_on_the_stage() -> None:
            with Callboard() as kit:
                kit.start(SessionSystem(runtime=kit.runtime))
                raise LookupError

        with pytest.raises(LookupError):
            fail_on_the_stage()
