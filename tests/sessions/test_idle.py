"""Which sessions a cleanup ends: those that nobody has used for long, and no others."""

from __future__ import annotations

from callboard.actors import (
    CleanupInactive,
    CreateSession,
    Presence,
    SessionActor,
    SessionMessage,
    SessionSystem,
)
from callboard.supervision import handles
from callboard.supervision.testing import Simulation


class Look(SessionMessage[str], frozen=True, kw_only=True):
    """Changes nothing."""


class Fail(SessionMessage[str], frozen=True, kw_only=True):
    """Crashes whoever handles it."""


class Quiet(SessionActor[None]):
    @handles(Look)
    def on_look(self, message: Look) -> str:
        return message.session_id

    @handles(Fail)
    def on_fail(self, message: Fail) -> str:
        raise LookupError(message.session_id)


def test_one_that_is_asked_is_in_use_though_nothing_changes() -> None:
    with (
        Simulation(1) as sim,
        SessionSystem(session=Quiet, runtime=sim.runtime, cleanup_interval_s=0) as sessions,
    ):
        ada = sessions.ask(CreateSession(user_id="ada")).id
        sim.advance(50.0)
        sessions.ask(Look(ada))
        sim.advance(50.0)

        in_use = sessions.ask(CleanupInactive(idle_longer_than_s=60.0))
        sim.advance(50.0)
        idle = sessions.ask(CleanupInactive(idle_longer_than_s=60.0))

    assert in_use == ()
    assert idle == (ada,)


def test_one_in_quarantine_is_kept_until_somebody_has_looked_at_it() -> None:
    with (
        Simulation(1) as sim,
        SessionSystem(session=Quiet, runtime=sim.runtime, cleanup_interval_s=0) as sessions,
    ):
        ada = sessions.ask(CreateSession(user_id="ada")).id
        while sessions.get(ada).presence is not Presence.QUARANTINED:
            sessions.tell(Fail(ada))
            sim.advance(2.0)
        sim.advance(7_200.0)

        ended = sessions.ask(CleanupInactive(idle_longer_than_s=3_600.0))

        assert ended == ()
        assert sessions.get(ada).presence is Presence.QUARANTINED
