"""A session that crashes too often is kept, but not run, until somebody revives or ends it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    BeginSpawn,
    CreateSession,
    DuplicateRole,
    InvalidField,
    MaxSessionsReached,
    PassivateSession,
    Presence,
    ResumeSession,
    ReviveSession,
    Role,
    Session,
    SessionLimits,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionSystem,
    SpawnError,
    StoreError,
    TerminateSession,
)
from callboard.actors.keeping import Keeping
from callboard.actors.sessions.address import address_of
from callboard.actors.sessions.caretaking import take_care_of_resting
from callboard.actors.sessions.table import Row
from callboard.actors.storage.commits import CommitOutcome, Entry
from callboard.actors.storage.memory import MemoryStore
from callboard.supervision.testing import Simulation, simulate
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
    services_of,
    texts,
)


class Overtaken(MemoryStore):
    """A store that has a start which nobody knew of come first, once."""

    row: Row | None = None

    def commit(self, entry: Entry[Any, Any]) -> CommitOutcome:
        if self.row is not None:
            address, self.row = address_of(self.row), None
            assert address is not None
            address.incarnations += 1
            entry.ledger.begin(address.incarnations)
        return super().commit(entry)


class Refusing(MemoryStore):
    """A store that keeps nothing as soon as it is told so."""

    refuses = False

    def commit(self, entry: Entry[Any, Any]) -> CommitOutcome:
        if self.refuses:
            raise StoreError("the disk is full")
        return super().commit(entry)


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


class TestASleepInBetween:
    """It is no crash, and does not make up for one."""

    def test_leaves_the_budget_as_it_is(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        for _ in range(3):
            fall(stage, opened, ada, 1)
            opened.ask(PassivateSession(ada))
        still = presence(opened, ada)
        fall(stage, opened, ada, 1)

        assert still is Presence.ASLEEP
        assert presence(opened, ada) is Presence.QUARANTINED
        assert opened.get(ada).restarts == 4

    def test_leaves_the_delays_as_they_are(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 1)
        opened.ask(PassivateSession(ada))
        opened.ask(Say(ada, text="wake up"))
        cell_of(opened, ada).kill()
        stage.settle()
        soon = presence(opened, ada)
        stage.advance(0.1)

        assert (soon, presence(opened, ada)) == (Presence.RESTARTING, Presence.AWAKE)

    def test_is_not_counted(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        for _ in range(10):
            opened.ask(PassivateSession(ada))
            opened.ask(Say(ada, text="wake up"))
        fall(stage, opened, ada, 3)

        assert presence(opened, ada) is Presence.AWAKE

    def test_and_a_wake_that_fails_count_together_with_the_crashes(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 2)
        opened.ask(PassivateSession(ada))
        stage.play.bad_starts[ada] = 1
        woken = later(opened, Say(ada, text="wake up"))
        stage.advance(1.5)
        fall(stage, opened, ada, 1)

        assert woken.get() == 1
        assert presence(opened, ada) is Presence.QUARANTINED

    def test_with_a_start_that_somebody_asked_for_does_not_make_the_budget_fresh(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 3)
        opened.ask(PassivateSession(ada))
        opened.ask(ReviveSession(ada))
        fall(stage, opened, ada, 1)

        assert presence(opened, ada) is Presence.QUARANTINED

    def test_and_the_time_that_passes_make_up_for_crashes(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 3)
        opened.ask(PassivateSession(ada))
        stage.advance(60.0)
        fall(stage, opened, ada, 3)

        assert presence(opened, ada) is Presence.AWAKE

    def test_for_want_of_room_does_neither(self, stage: Stage) -> None:
        sessions = stage.open(keeping=Keeping(awake_max=1, passivate_interval_s=2.0))
        ada, bob = (sessions.ask(CreateSession(user_id=each)).id for each in ("ada", "bob"))
        seen = list[Presence]()
        for _ in range(4):
            fall(stage, sessions, ada, 1)
            seen.append(presence(sessions, ada))
            sessions.ask(Say(bob, text="make room"))
            stage.advance(4.0)
            seen.append(presence(sessions, ada))

        assert seen == [Presence.AWAKE, Presence.ASLEEP] * 3 + [Presence.QUARANTINED] * 2

    def test_because_its_partition_was_killed_costs_nobody_anything(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        fall(stage, opened, ada, 2)
        for _ in range(3):
            opened.ask(Say(ada, text="it runs"))
            partition = services_of(opened).table.row(ada).partition
            part_of(opened, f"sessions/{partition}").kill()
            stage.advance(1.5)
        fall(stage, opened, ada, 1)

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


class TestARevivalWithAPatchOfOneThatIsBeingWoken:
    PATCH = SessionPatch(metadata={"note": 2})

    def test_changes_it_behind_its_start_and_harms_nobody(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.starts_at_the_gate.add(ada)
        said = later(opened, Say(ada, text="wake up"))
        stage.settle()

        revived = later(opened, ReviveSession(ada, self.PATCH))
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert said.get() == 1
        assert dict(revived.get().metadata) == {"note": 2}
        snapshot = opened.get(ada)
        assert dict(snapshot.metadata) == {"note": 2}
        assert (snapshot.presence, snapshot.restarts) == (Presence.AWAKE, 0)
        assert broken_laws(opened) == []

    def test_is_answered_by_the_quarantine_when_it_never_starts(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.starts_at_the_gate.add(ada)
        stage.play.bad_starts[ada] = 100
        said = later(opened, Say(ada, text="wake up"))
        stage.settle()

        revived = later(opened, ReviveSession(ada, self.PATCH))
        stage.settle()
        stage.play.gate.open()
        stage.advance(5)

        assert isinstance(said.error, SessionQuarantined)
        assert isinstance(revived.error, SessionQuarantined)
        assert opened.get(ada).metadata == {}
        assert broken_laws(opened) == []

    def test_goes_on_though_the_manager_is_killed(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(PassivateSession(ada))
        stage.play.starts_at_the_gate.add(ada)
        said = later(opened, Say(ada, text="wake up"))
        revived = later(opened, ReviveSession(ada, self.PATCH))
        stage.settle()

        part_of(opened, "front/manager").kill()
        stage.play.gate.open()
        stage.settle()

        assert said.get() == 1
        assert dict(revived.get().metadata) == {"note": 2}
        assert broken_laws(opened) == []

    def test_whose_start_nobody_knew_of_is_changed_behind_it(self, stage: Stage) -> None:
        store = Overtaken()
        opened = stage.open(store=store)
        ada = opened.ask(CreateSession(user_id="ada")).id
        opened.ask(PassivateSession(ada))
        store.row = services_of(opened).table.row(ada)

        revived = later(opened, ReviveSession(ada, self.PATCH))
        stage.settle()

        assert store.row is None, "it was overtaken"
        assert dict(revived.get().metadata) == {"note": 2}
        assert dict(opened.get(ada).metadata) == {"note": 2}
        assert broken_laws(opened) == []

    def test_that_the_store_refuses_leaves_no_name_behind(self, stage: Stage) -> None:
        store = Refusing()
        opened = stage.open(store=store)
        ada = opened.ask(CreateSession(user_id="ada")).id
        opened.ask(PassivateSession(ada))
        names = set(opened.system.names)
        store.refuses = True

        with pytest.raises(StoreError):
            opened.ask(ReviveSession(ada, self.PATCH))

        stage.settle()
        assert presence(opened, ada) is Presence.ASLEEP
        assert set(opened.system.names) == names


def test_care_is_taken_of_none_that_has_an_actor(opened: SessionSystem, ada: str) -> None:
    services = services_of(opened)
    address = services.addresses.of(services.table.row(ada))

    assert take_care_of_resting(address, services.limits) is None
    assert opened.ask(Say(ada, text="it goes on")) == 1
    assert opened.ask(Which(ada)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "patch", [None, SessionPatch(metadata={"note": 2})], ids=["without a patch", "with a patch"]
)
def test_a_revival_of_one_that_woke_and_slept_just_now_starts_it_once_more(
    patch: SessionPatch | None,
) -> None:
    @simulate(schedules=600)
    def run(sim: Simulation) -> None:
        def sleep() -> None:
            for _ in range(3):
                opened.ask(PassivateSession(ada))

        def revive() -> None:
            with suppress(InvalidField):  # it was awake before
                opened.ask(ReviveSession(ada, patch))

        with SessionSystem(runtime=sim.runtime, partitions=1) as opened:
            ada = opened.ask(CreateSession(session_id="ada")).id
            opened.ask(PassivateSession(ada))
            wake = AppendMessage(ada, Role.USER, "wake up")
            acts = {"said": lambda: opened.ask(wake), "slept": sleep, "revived": revive}
            clients = [sim.spawn(name, act) for name, act in acts.items()]

            sim.run(lambda: all(each.is_done for each in clients))

            for each in clients:
                each.result()
            sim.settle()
            assert opened.get(ada).presence is not Presence.RESTARTING

    run()


@pytest.mark.slow
@simulate(schedules=200)
def test_a_revival_with_a_patch_and_a_message_that_wakes_it_are_both_served(
    sim: Simulation,
) -> None:
    def revive() -> Session | None:
        try:
            return opened.ask(ReviveSession(ada, SessionPatch(metadata={"note": 2})))
        except InvalidField:  # it was awake before
            return None

    with SessionSystem(runtime=sim.runtime, partitions=1) as opened:
        ada = opened.ask(CreateSession(session_id="ada")).id
        opened.ask(PassivateSession(ada))
        said = sim.spawn("said", lambda: opened.ask(AppendMessage(ada, Role.USER, "wake up")))
        revived = sim.spawn("revived", revive)

        sim.run(lambda: said.is_done and revived.is_done)

        snapshot = opened.get(ada)
        assert said.result() == 1
        assert dict(snapshot.metadata) == ({} if revived.result() is None else {"note": 2})
        assert snapshot.restarts == 0


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
