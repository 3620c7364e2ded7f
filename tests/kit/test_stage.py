"""The simulation that the test kit gives to users' tests of sessions."""

from __future__ import annotations

import os

import pytest

from callboard.actors import (
    CreateSession,
    Presence,
    SessionActor,
    SessionMessage,
    SessionSystem,
    StoreError,
    TerminateSession,
)
from callboard.actors.testing import Callboard, FakeStore, Unstopped
from callboard.supervision import (
    ActorSystem,
    ChildSpec,
    ExitReason,
    InvalidSpec,
    SupervisedActor,
    Supervisor,
    handles,
)
from callboard.supervision.testing import LawBroken, Leaked, SimulationClosed
from tests.runtime.kit import Gate


class Which(SessionMessage[int], frozen=True):
    """Reply the number of the incarnation."""


class Counted(SessionActor[None]):
    @handles(Which)
    def on_which(self, message: Which) -> int:
        del message
        return self.incarnation


def test_a_crash_is_over_when_the_session_is_back(callboard: Callboard) -> None:
    sessions = callboard.start(Counted)
    ada = sessions.ask(CreateSession())

    back = callboard.crash(sessions, ada.id)

    assert back.presence is Presence.AWAKE
    assert back.restarts == 1
    assert sessions.ask(Which(ada.id)) == 2


def test_one_crash_too_many_is_over_with_the_quarantine(callboard: Callboard) -> None:
    sessions = callboard.start(Counted)
    ada = sessions.ask(CreateSession())

    presences = [callboard.crash(sessions, ada.id).presence for _ in range(4)]

    assert presences == [*[Presence.AWAKE] * 3, Presence.QUARANTINED]


def test_time_passes_only_when_the_test_says_so(callboard: Callboard) -> None:
    sessions = callboard.start(Counted, max_idle_s=600.0, cleanup_interval_s=60.0)
    sessions.ask(CreateSession())

    callboard.advance(599.0)
    assert sessions.health().sessions == 1
    callboard.advance(121.0)
    assert sessions.health().sessions == 0


class TestStarting:
    def test_takes_a_system_that_somebody_else_has_made(self, callboard: Callboard) -> None:
        made = SessionSystem(Counted, name="theirs", runtime=callboard.runtime)

        sessions = callboard.start(made)

        assert sessions is made
        assert sessions.health().is_healthy

    def test_refuses_one_that_does_not_run_in_this_simulation(self, callboard: Callboard) -> None:
        made = SessionSystem(Counted)

        with pytest.raises(InvalidSpec, match=r"SessionSystem\(runtime=callboard\.runtime\)"):
            callboard.start(made)

        assert not made.health().is_healthy

    def test_refuses_options_for_a_system_that_is_made(self, callboard: Callboard) -> None:
        made = SessionSystem(Counted, runtime=callboard.runtime)

        with pytest.raises(InvalidSpec, match="Give them to SessionSystem"):
            callboard.start(made, tenants=True)

    def test_gives_two_systems_ids_of_their_own(self, callboard: Callboard) -> None:
        one, two = callboard.start(Counted), callboard.start(Counted)

        assert one.ask(CreateSession()).id != two.ask(CreateSession()).id

    def test_makes_the_same_run_however_many_processors_there_are(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digests: set[str] = set()
        for processors in (1, 8):
            monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
            with Callboard(seed=3) as kit:
                kit.start(Counted).ask(CreateSession())
            digests.add(kit.trace.digest)

        assert len(digests) == 1

    def test_gives_it_a_store_that_may_refuse(self, callboard: Callboard) -> None:
        sessions = callboard.start(Counted)
        callboard.store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(CreateSession())

    def test_takes_a_port_of_the_tests_own(self, callboard: Callboard) -> None:
        store = FakeStore()
        sessions = callboard.start(Counted, store=store)

        sessions.ask(CreateSession())

        assert store.entries
        assert not callboard.store.entries


class TestTheEnd:
    def test_stops_every_system_and_the_world(self) -> None:
        with Callboard() as kit:
            systems = [kit.start() for _ in range(2)]

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
        sessions = kit.start(Stuck)
        ada = sessions.ask(CreateSession())
        sessions.tell(Which(ada.id))
        kit.settle()

        with pytest.raises(Unstopped, match=ada.id):
            kit.close()

    def test_leaves_the_tests_own_failure_alone(self) -> None:
        def fail_on_the_stage() -> None:
            with Callboard() as kit:
                kit.start()
                raise LookupError

        with pytest.raises(LookupError):
            fail_on_the_stage()

    def test_holds_the_laws_of_sessions_against_what_is_there(self) -> None:
        kit = Callboard()
        sessions = kit.start(Counted)
        sessions.ask(CreateSession(session_id="ada"))
        sessions.system.names.pop("session/ada")

        with pytest.raises(LawBroken, match="ada is not reached under its name"):
            kit.close()

    def test_lets_a_session_be_held(self) -> None:
        class Holding(Counted):
            @handles(Which)
            def on_which(self, message: Which) -> int:
                del message
                self.hold()  # until another message comes
                return 0

        with Callboard() as kit:
            sessions = kit.start(Holding)
            sessions.ask(Which(sessions.ask(CreateSession()).id))


class Helper(SupervisedActor):
    """What a session has spawned for itself."""


class Begin(SessionMessage[None], frozen=True):
    """Have a helper spawned."""


class Careless(SessionActor[None]):
    @handles(Begin)
    def on_begin(self, message: Begin) -> None:
        del message
        self.system.spawn(Helper)


class Careful(SessionActor[None]):
    @handles(Begin)
    def on_begin(self, message: Begin) -> None:
        del message
        self.helper = self.system.spawn(Helper)

    def terminate(self, reason: ExitReason) -> None:
        self.helper.exit(reason)


class Linking(SessionActor[None]):
    @handles(Begin)
    def on_begin(self, message: Begin) -> None:
        del message
        self.link(self.system.spawn(Helper))


def begun(kit: Callboard, behaviour: type[SessionActor[None]]) -> SessionSystem:
    """Return a system with one session, ada, that has spawned a helper."""
    sessions = kit.start(behaviour)
    sessions.ask(Begin(sessions.ask(CreateSession(session_id="ada")).id))
    return sessions


class TestLeaks:
    def test_an_actor_that_outlives_its_session_is_one(self) -> None:
        kit = Callboard()
        sessions = begun(kit, Careless)
        sessions.ask(TerminateSession("ada"))

        with pytest.raises(Leaked, match="Helper, which session/ada had spawned") as leaked:
            kit.close()

        assert leaked.value.actors == ("Helper",)
        assert "in `terminate`" in leaked.value.remedy

    def test_one_that_would_outlive_it_is_one_too(self) -> None:
        kit = Callboard()
        begun(kit, Careless)

        with pytest.raises(Leaked, match="Helper"):
            kit.close()

    @pytest.mark.parametrize("behaviour", [Careful, Linking])
    def test_one_that_ends_with_its_session_is_none(
        self, behaviour: type[SessionActor[None]]
    ) -> None:
        with Callboard() as kit:
            begun(kit, behaviour)

    def test_what_the_test_itself_has_spawned_is_none(self) -> None:
        with Callboard() as kit:
            spec = ChildSpec(id="helper", start=Helper)
            kit.start().system.spawn(Supervisor, [spec]).wait_started()

    def test_a_system_that_nobody_stops_is_one(self) -> None:
        kit = Callboard()
        ActorSystem("forgotten", runtime=kit.runtime).spawn(Helper)

        with pytest.raises(Leaked, match="forgotten: Helper"):
            kit.close()

    def test_are_not_looked_for_when_the_test_has_failed(self) -> None:
        def fail_and_leak() -> None:
            with Callboard() as kit:
                begun(kit, Careless)
                raise LookupError

        with pytest.raises(LookupError):
            fail_and_leak()
