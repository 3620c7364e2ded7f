"""A session that crashes too often is kept, but not run, until somebody revives or ends it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from callboard.actors import (
    BeginSpawn,
    CreateSession,
    DuplicateRole,
    InvalidField,
    MaxSessionsReached,
    PassivateSession,
    Presence,
    ResumeSession,
    ReviveSession,
    SessionLimits,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionSystem,
    SpawnError,
    TerminateSession,
)
from tests.laws import broken_laws
from tests.sessions.stage import (
    PATIENT_S,
    Boom,
    Fall,
    Hold,
    Say,
    Stage,
    Which,
    cell_of,
    later,
    part_of,
    presence,
    texts,
)


def fall(stage: Stage, sessions: SessionSystem, session_id: str, times: int) -> None:
    """Crash a session, and wait for each restart's delay."""
    for _ in range(times):
        asked = later(sessions, Fall(session_id, text="boom"))
        stage.advance(1.5)
        assert isinstance(asked.error, Boom)


def quarantine(stage: Stage, sessions: SessionSystem, session_id: str) -> None:
    fall(stage, sessions, session_id, 4)
    assert presence(sessions, session_id) is Presence.QUARANTINED


class TestThreeRestarts:
    def test_within_a_minute_are_survived(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 3)

        assert presence(opened, ada) is Presence.AWAKE
        assert opened.ask(Which(ada)) == 4

    def test_come_at_once_after_a_tenth_and_after_a_second(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        seen: list[list[Presence]] = []
        for delay_s in (0.0, 0.1, 1.0):
            cell_of(opened, ada).kill()
            stage.settle()
            soon = presence(opened, ada)
            stage.advance(delay_s * 0.9)
            late = presence(opened, ada)
            stage.advance(delay_s * 0.2)
            seen.append([soon, late, presence(opened, ada)])

        awake, restarting = Presence.AWAKE, Presence.RESTARTING
        assert seen == [
            [awake] * 3,
            [restarting, restarting, awake],
            [restarting, restarting, awake],
        ]

    def test_of_which_some_are_long_ago_do_not_add_up(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        for _ in range(6):
            fall(stage, opened, ada, 1)
            stage.advance(31)

        assert presence(opened, ada) is Presence.AWAKE


class TestOneMore:
    def test_is_too_many_and_the_snapshot_says_why(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(Say(ada, text="kept"))

        quarantine(stage, opened, ada)

        snapshot = opened.get(ada)
        assert snapshot.failed_on == "Fall"
        assert snapshot.last_error is not None
        assert "Boom" in snapshot.last_error
        assert texts(opened, ada) == ["kept"]

    def test_refuses_who_asks_at_once_with_the_reason(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        quarantine(stage, opened, ada)

        with pytest.raises(SessionQuarantined, match="Boom"):
            opened.ask(Say(ada, text="hello"))

    def test_refuses_who_tells_at_once_as_well(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        quarantine(stage, opened, ada)
        before = opened.system.dead_letters.count
        tells = (opened.tell, opened.address(ada).tell)

        for tell in tells:
            with pytest.raises(SessionQuarantined, match="Boom"):
                tell(Say(ada, text="hello"))

        assert opened.system.dead_letters.count == before

    def test_answers_those_who_waited_already(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 3)
        held = later(opened, Hold(ada, text="in hand"))
        stage.settle()
        waiting = [later(opened, Say(ada, text=f"{n}")) for n in range(3)]

        cell_of(opened, ada).kill()
        stage.settle()

        assert held.is_done
        assert all(isinstance(each.error, SessionQuarantined) for each in waiting)

    def test_leaves_the_others_of_its_partition_alone(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        others = [opened.ask(CreateSession()).id for _ in range(4)]
        cells = [cell_of(opened, each) for each in others]

        quarantine(stage, opened, ada)

        assert [cell_of(opened, each) for each in others] == cells
        assert broken_laws(opened) == []

    def test_keeps_its_place_and_its_role_taken(self, stage: Stage) -> None:
        opened = stage.open(unique_role=True, limits=SessionLimits(sessions_per_user_max=2))
        ada = opened.ask(CreateSession(user_id="ada", agent_role="guide")).id
        quarantine(stage, opened, ada)

        with pytest.raises(DuplicateRole):
            opened.ask(CreateSession(user_id="ada", agent_role="guide"))
        opened.ask(CreateSession(user_id="ada"))
        with pytest.raises(MaxSessionsReached):
            opened.ask(CreateSession(user_id="ada"))

    @pytest.mark.parametrize("path", ["front/manager", "front", "sessions"])
    def test_outlives_the_death_of_everything_else(
        self, stage: Stage, opened: SessionSystem, ada: str, path: str
    ) -> None:
        quarantine(stage, opened, ada)
        starts = stage.play.starts[ada]

        part_of(opened, path).kill()
        stage.settle()

        assert presence(opened, ada) is Presence.QUARANTINED
        assert stage.play.starts[ada] == starts
        with pytest.raises(SessionQuarantined):
            opened.ask(Say(ada, text="hello"))


class TestAStartThatFails:
    def test_counts_like_a_crash(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        stage.play.bad_starts[ada] = 100

        asked = later(opened, Fall(ada, text="boom"))
        stage.advance(5)

        assert isinstance(asked.error, Boom)
        assert presence(opened, ada) is Presence.QUARANTINED
        assert stage.play.starts[ada] == 4

    def test_of_a_sleeping_session_is_tried_again_before_it_is_given_up(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.bad_starts[ada] = 2

        asked = later(opened, Say(ada, text="wake up"))
        stage.advance(5)

        assert asked.get() == 1
        assert presence(opened, ada) is Presence.AWAKE
        assert broken_laws(opened) == []

    def test_of_a_sleeping_session_again_and_again_ends_in_quarantine(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.bad_starts[ada] = 100

        asked = later(opened, Say(ada, text="wake up"))
        stage.advance(5)

        assert isinstance(asked.error, SessionQuarantined)
        snapshot = opened.get(ada)
        assert snapshot.presence is Presence.QUARANTINED
        assert snapshot.last_error is not None
        assert "Boom" in snapshot.last_error

    def test_of_a_new_session_is_its_creators_answer_and_leaves_nothing(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        create = CreateSession(session_id="eve", user_id="eve", idempotency_key="once")
        stage.play.bad_starts["eve"] = 1

        with pytest.raises(SpawnError, match="does not start"):
            opened.ask(create)
        after = opened.health().sessions

        assert after == 0
        assert broken_laws(opened) == []
        assert opened.ask(create).id == "eve"


class TestARevival:
    def test_starts_it_again_with_its_state(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(Say(ada, text="kept"))
        quarantine(stage, opened, ada)

        revived = opened.ask(ReviveSession(ada))

        assert revived.presence is Presence.AWAKE
        assert opened.ask(Say(ada, text="again")) == 2
        assert texts(opened, ada) == ["kept", "again"]

    def test_begins_with_a_fresh_budget(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        quarantine(stage, opened, ada)
        opened.ask(ReviveSession(ada))

        fall(stage, opened, ada, 3)

        assert presence(opened, ada) is Presence.AWAKE

    def test_mends_what_made_it_crash_by_a_patch(self, stage: Stage, opened: SessionSystem) -> None:
        bob = opened.ask(CreateSession(user_id="bob", metadata={"note": 1})).id
        quarantine(stage, opened, bob)
        with pytest.raises(SpawnError):
            opened.ask(ReviveSession(bob, SessionPatch(metadata={"is_cursed": True})))
        still = presence(opened, bob)

        revived = opened.ask(ReviveSession(bob, SessionPatch(metadata={"note": 2})))

        assert still is Presence.QUARANTINED
        assert revived.presence is Presence.AWAKE
        assert dict(revived.metadata) == {"note": 2}
        assert opened.ask(Say(bob, text="hello")) == 1

    def test_of_one_that_is_awake_changes_nothing(self, opened: SessionSystem, ada: str) -> None:
        cell = cell_of(opened, ada)

        assert opened.ask(ReviveSession(ada)).presence is Presence.AWAKE
        assert cell_of(opened, ada) is cell

    def test_of_one_that_is_awake_with_a_patch_is_refused_not_dropped(
        self, opened: SessionSystem, ada: str
    ) -> None:
        with pytest.raises(InvalidField, match="Send UpdateSession: the session is awake"):
            opened.ask(ReviveSession(ada, SessionPatch(metadata={"note": 2})))

        assert opened.get(ada).metadata == {}

    def test_of_one_that_sleeps_wakes_it(self, opened: SessionSystem, ada: str) -> None:
        opened.ask(PassivateSession(ada))

        assert opened.ask(ReviveSession(ada)).presence is Presence.AWAKE

    def test_of_one_that_is_not_there_is_refused(self, opened: SessionSystem) -> None:
        with pytest.raises(SessionNotFound):
            opened.ask(ReviveSession("nobody"))


class TestAnEnd:
    def test_takes_a_quarantined_session_away(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(Say(ada, text="kept"))
        quarantine(stage, opened, ada)

        last = opened.ask(TerminateSession(ada, "enough"), timeout=PATIENT_S)

        assert (last.last_seq, last.state_reason) == (1, "enough")
        assert opened.health().sessions == 0
        assert broken_laws(opened) == []


class TestSleep:
    def test_of_a_busy_session_does_not_come(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = later(opened, Hold(ada, text="in hand"))
        stage.settle()
        asked = later(opened, PassivateSession(ada))
        stage.settle()
        waiting = later(opened, Say(ada, text="waiting"))
        stage.play.gate.open()
        stage.settle()

        assert held.get() == 1
        assert asked.get().presence is Presence.AWAKE
        assert waiting.get() == 2

    def test_ends_with_many_messages_at_once_served_in_order(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        asleep = presence(opened, ada)

        asked = [later(opened, Say(ada, text=f"{n}")) for n in range(10)]
        stage.settle()

        assert asleep is Presence.ASLEEP
        assert [each.get() for each in asked] == list(range(1, 11))
        assert stage.play.starts[ada] == 2

    def test_is_not_disturbed_by_reads(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        opened.ask(PassivateSession(ada))

        opened.get(ada)
        opened.messages(ada)
        opened.health()
        stage.settle()

        assert presence(opened, ada) is Presence.ASLEEP

    def test_survives_the_death_of_the_manager_with_messages_waiting(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        part_of(opened, "front/manager").suspend()
        stage.settle()
        asked = later(opened, Say(ada, text="wake up"))
        stage.settle()

        part_of(opened, "front/manager").kill()
        stage.settle()

        assert asked.get() == 1


class TestAStartThatSomebodyAsksFor:
    @pytest.mark.parametrize("message", [ReviveSession, ResumeSession])
    def test_and_that_fails_leaves_one_that_slept_asleep_and_counts_once(
        self,
        stage: Stage,
        opened: SessionSystem,
        ada: str,
        message: type[ReviveSession | ResumeSession],
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.bad_starts[ada] = 1

        with pytest.raises(SpawnError, match="it does not start"):
            opened.ask(message(ada))

        stage.settle()
        assert presence(opened, ada) is Presence.ASLEEP
        assert opened.get(ada).restarts == 1
        assert opened.ask(Say(ada, text="awake again")) == 1
        stage.settle()
        assert broken_laws(opened) == []

    def test_and_that_fails_leaves_one_that_was_only_created_for_the_next_try(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        opened.ask(CreateSession(session_id="new", activate=False))
        stage.play.bad_starts["new"] = 1

        with pytest.raises(SpawnError, match="it does not start"):
            opened.ask(BeginSpawn("new"))

        stage.settle()
        assert presence(opened, "new") is Presence.ASLEEP
        assert opened.ask(Say("new", text="hello")) == 1
        stage.settle()
        assert broken_laws(opened) == []

    def test_is_done_again_for_a_message_that_waits(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.bad_starts[ada] = 2
        waiting = later(opened, Say(ada, text="hello"))
        revived = later(opened, ReviveSession(ada))

        stage.advance(3.0)

        # Whichever of the two comes first: one that wakes it for the message does not give up.
        with suppress(SpawnError):
            assert revived.get().presence is Presence.AWAKE
        assert waiting.get() == 1
        assert presence(opened, ada) is Presence.AWAKE
