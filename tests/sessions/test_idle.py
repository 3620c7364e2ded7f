"""Which sessions a cleanup ends: those that nobody has used for long, and no others."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CleanupInactive,
    CreateSession,
    HoldKind,
    ListSessions,
    PassivateSession,
    Presence,
    RecordActivity,
    Role,
    SessionActor,
    SessionMessage,
    SessionSystem,
    Shutdown,
)
from callboard.actors.sessions.holds import Hold
from callboard.supervision import handles
from tests.runtime.kit import Gate
from tests.sessions.stage import Hold as HoldTheHandler
from tests.sessions.stage import HoldLater, Stage, later, part_of, presence

IDLE_S = 60.0
CLEANUP = CleanupInactive(idle_longer_than_s=IDLE_S)


class Look(SessionMessage[str], frozen=True, kw_only=True):
    """Changes nothing."""


class Linger(SessionMessage[str], frozen=True, kw_only=True):
    """Changes nothing, and takes its time."""

    gate: Gate


class Fail(SessionMessage[str], frozen=True, kw_only=True):
    """Crashes whoever handles it."""


class Begin(SessionMessage[None], frozen=True, kw_only=True):
    """Begins something that goes on."""

    kind: HoldKind = HoldKind.WORK


class End(SessionMessage[None], frozen=True, kw_only=True):
    """Ends it."""


class Quiet(SessionActor[None]):
    def on_start(self) -> None:
        super().on_start()
        self.held: list[Hold] = []

    @handles(Look)
    def on_look(self, message: Look) -> str:
        return message.session_id

    @handles(Linger)
    async def on_linger(self, message: Linger) -> str:
        await message.gate.passed()
        return message.session_id

    @handles(Fail)
    def on_fail(self, message: Fail) -> str:
        raise LookupError(message.session_id)

    @handles(Begin)
    def on_begin(self, message: Begin) -> None:
        self.held.append(self.hold(message.kind))

    @handles(End)
    def on_end(self, message: End) -> None:
        del message
        for each in self.held:
            each.release()
            each.release()


@pytest.fixture
def quiet(stage: Stage) -> SessionSystem:
    return stage.open(session=Quiet, cleanup_interval_s=0)


@pytest.fixture
def ada(quiet: SessionSystem) -> str:
    return quiet.ask(CreateSession(user_id="ada")).id


def cleaned(stage: Stage, sessions: SessionSystem) -> tuple[str, ...]:
    """Have the idle ones ended, and let the busy ones' grace pass."""
    asked = later(sessions, CLEANUP)
    stage.advance(6.0)
    return asked.get()


def use(sessions: SessionSystem, message: SessionMessage[Any]) -> None:
    """Ask; what it raises is not what matters."""
    with suppress(LookupError):
        sessions.ask(message)


class TestActivity:
    @pytest.mark.parametrize("use_it", [Look, RecordActivity, Fail])
    def test_is_every_message_though_nothing_changes(
        self, stage: Stage, quiet: SessionSystem, ada: str, use_it: Any
    ) -> None:
        stage.advance(50.0)
        use(quiet, use_it(ada))
        stage.advance(50.0)

        assert cleaned(stage, quiet) == ()
        assert quiet.ask(ListSessions(idle_longer_than_s=IDLE_S)).ids == ()
        assert quiet.health().oldest_idle_s < IDLE_S

    @pytest.mark.seed("0.11", "1.17", "2.27")
    def test_must_be_longer_ago_than_the_bound_and_not_as_long(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        quiet.ask(Look(ada))
        stage.advance(IDLE_S)

        assert quiet.ask(CleanupInactive(idle_longer_than_s=IDLE_S, dry_run=True)) == ()
        stage.advance(0.001)
        assert quiet.ask(CLEANUP) == (ada,)

    def test_outlives_a_crash_that_nobody_asked_for(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        stage.advance(50.0)
        quiet.ask(Look(ada))
        part = quiet.address(ada).ref
        assert part is not None
        part.kill()
        stage.advance(50.0)

        assert cleaned(stage, quiet) == ()

    def test_outlives_a_sleep(self, stage: Stage, quiet: SessionSystem, ada: str) -> None:
        stage.advance(50.0)
        quiet.ask(Look(ada))
        quiet.ask(PassivateSession(ada))
        stage.advance(50.0)

        assert presence(quiet, ada) is Presence.ASLEEP
        assert cleaned(stage, quiet) == ()
        assert cleaned(stage, quiet) == ()  # by now it is 62 s, less than what is still to come
        stage.advance(IDLE_S)
        assert cleaned(stage, quiet) == (ada,)

    def test_lasts_until_the_end_of_a_long_handler(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        gate = Gate(quiet.system)
        held = later(quiet, Linger(ada, gate=gate))
        stage.advance(45.0)
        gate.open()
        assert held.get() == ada
        stage.advance(IDLE_S - 10.0)

        assert cleaned(stage, quiet) == ()

    def test_is_no_read(self, stage: Stage, quiet: SessionSystem, ada: str) -> None:
        stage.advance(50.0)
        quiet.get(ada)
        stage.advance(50.0)

        assert cleaned(stage, quiet) == (ada,)


class TestTheWallClock:
    """It is for people: who is idle, and for how long, the other clock says."""

    @pytest.mark.seed("1.17")
    @pytest.mark.parametrize("jump_s", [-1e6, 1e6], ids=["back", "forward"])
    def test_that_jumps_ends_nobody_and_keeps_nobody(
        self, stage: Stage, quiet: SessionSystem, ada: str, jump_s: float
    ) -> None:
        stage.advance(50.0)
        stage.set_the_wall_clock(jump_s)

        assert cleaned(stage, quiet) == ()
        assert quiet.ask(ListSessions(idle_longer_than_s=IDLE_S)).ids == ()
        stage.advance(10.0)
        assert cleaned(stage, quiet) == (ada,)

    def test_that_was_put_back_shows_in_what_people_read(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        stage.set_the_wall_clock(-3_600.0)

        active_at = quiet.ask(RecordActivity(ada))

        assert active_at == quiet.get(ada).created_at - 3_600.0
        assert quiet.health().oldest_idle_s == 0.0


class TestBusy:
    def test_is_a_session_with_a_handler_at_work_and_it_stays_when_that_is_done(
        self, stage: Stage
    ) -> None:
        sessions = stage.open(cleanup_interval_s=0)
        ada = sessions.ask(CreateSession()).id
        held = later(sessions, HoldLater(ada, text="long"))
        stage.advance(IDLE_S / 2)
        assert not held.is_done
        stage.advance(IDLE_S)  # longer than its asker waits: the session goes on without

        assert cleaned(stage, sessions) == ()
        stage.play.gate.open()

    def test_is_a_session_for_which_a_message_waits(self, stage: Stage) -> None:
        sessions = stage.open(cleanup_interval_s=0)
        ada = sessions.ask(CreateSession()).id
        stage.advance(2 * IDLE_S)
        held = later(sessions, HoldTheHandler(ada, text="in hand"))
        waiting = later(sessions, AppendMessage(ada, Role.USER, "waiting"))
        stage.settle()
        ended = later(sessions, CLEANUP)
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert (held.get(), waiting.get(), ended.get()) == (1, 2, ())

    def test_is_a_session_at_something_that_outlives_the_handler(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        quiet.ask(Begin(ada))
        stage.advance(2 * IDLE_S)

        assert cleaned(stage, quiet) == ()
        assert quiet.ask(PassivateSession(ada)).presence is Presence.AWAKE
        asked = later(quiet, Shutdown(grace_s=1.0))
        stage.advance(2.0)
        assert asked.get() == (ada,)
        quiet.ask(End(ada))
        stage.advance(2 * IDLE_S)
        assert cleaned(stage, quiet) == (ada,)

    def test_is_over_with_the_incarnation(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        quiet.ask(Begin(ada))
        use(quiet, Fail(ada))
        stage.settle()
        stage.advance(2 * IDLE_S)

        assert cleaned(stage, quiet) == (ada,)

    def test_is_none_that_is_only_attached_but_it_does_not_sleep(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        quiet.ask(Begin(ada, kind=HoldKind.ATTACHED))

        assert quiet.ask(PassivateSession(ada)).presence is Presence.AWAKE
        stage.advance(2 * IDLE_S)
        assert cleaned(stage, quiet) == (ada,)


class TestCleanup:
    @pytest.mark.seed("0.11", "2.27")
    def test_ends_the_idle_ones_alone_and_says_which(
        self, stage: Stage, quiet: SessionSystem
    ) -> None:
        assert quiet.ask(CLEANUP) == ()
        made = [quiet.ask(CreateSession(session_id=name)).id for name in ("a", "b", "c")]
        stage.advance(IDLE_S)
        quiet.ask(RecordActivity("b"))
        stage.advance(1.0)

        would = quiet.ask(CleanupInactive(idle_longer_than_s=IDLE_S, dry_run=True))
        ended = quiet.ask(CLEANUP)

        assert made == ["a", "b", "c"]
        assert sorted(would) == sorted(ended) == ["a", "c"]
        assert quiet.ask(ListSessions()).ids == ("b",)

    def test_keeps_one_in_quarantine_until_somebody_has_looked_at_it(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        while presence(quiet, ada) is not Presence.QUARANTINED:
            quiet.tell(Fail(ada))
            stage.advance(2.0)
        stage.advance(7_200.0)

        assert cleaned(stage, quiet) == ()
        assert presence(quiet, ada) is Presence.QUARANTINED

    def test_that_meets_a_crash_leaves_the_session_in_its_quarantine(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        for _ in range(3):
            quiet.tell(Fail(ada))
            stage.advance(2.0)
        cell = quiet.address(ada).ref
        assert cell is not None
        cell.suspend()
        stage.advance(2 * IDLE_S)
        quiet.tell(Fail(ada))
        ended = later(quiet, CLEANUP)
        stage.settle()
        cell.resume()
        stage.advance(6.0)

        assert ended.get() == ()
        assert presence(quiet, ada) is not Presence.RESTARTING
        assert quiet.address(ada).ref is not None or (presence(quiet, ada) is not Presence.AWAKE), (
            "awake without an actor"
        )

    def test_that_outlives_its_manager_spares_who_was_used_meanwhile(
        self, stage: Stage, quiet: SessionSystem, ada: str
    ) -> None:
        stage.advance(2 * IDLE_S)
        cell = quiet.address(ada).ref
        assert cell is not None
        cell.suspend()
        stage.settle()
        quiet.manager.tell(CLEANUP)
        stage.settle()
        part_of(quiet, "front/manager").kill()
        asked = later(quiet, Look(ada))
        cell.resume()
        stage.settle()

        assert asked.is_done
