"""Whatever crashes, what was confirmed is there, and every asker is told what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    Presence,
    SessionCrashed,
    SessionNotFound,
    SessionState,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.table import Table
from callboard.supervision import ActorDeadError, Crashed, DeliveryError, Timeout
from callboard.supervision.testing import Simulation
from tests.laws import broken_laws
from tests.sessions.stage import (
    PATIENT_S,
    Boom,
    Decline,
    DeclineLater,
    Fall,
    FallLater,
    Hold,
    HoldLater,
    NotNow,
    Remember,
    SaveAndFall,
    SaveAndHoldLater,
    Say,
    SayLater,
    Stage,
    Tally,
    Which,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
)


class TestAHandlerThatRaises:
    @pytest.mark.parametrize("kind", [Fall, FallLater])
    def test_keeps_nothing_and_gives_the_asker_the_exception(
        self, stage: Stage, opened: SessionSystem, ada: str, kind: Any
    ) -> None:
        opened.ask(Say(ada, text="before"))

        with pytest.raises(Boom, match="boom"):
            opened.ask(kind(ada, text="boom"))
        stage.settle()

        assert texts(opened, ada) == ["before"]
        assert opened.get(ada).data == Tally(said=1)

    @pytest.mark.parametrize("kind", [Fall, FallLater])
    def test_is_followed_by_an_incarnation_that_goes_on_from_the_last_commit(
        self, opened: SessionSystem, ada: str, kind: Any
    ) -> None:
        opened.ask(Say(ada, text="one"))
        with pytest.raises(Boom):
            opened.ask(kind(ada, text="boom"))

        seq = opened.ask(Say(ada, text="two"))

        assert seq == 2
        assert opened.ask(Which(ada)) == 2

    @pytest.mark.seed("4.12")
    def test_stands_in_the_snapshot(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="boom"))
        stage.settle()

        snapshot = opened.get(ada)
        assert (snapshot.restarts, snapshot.failed_on) == (1, "Fall")
        assert snapshot.last_error is not None
        assert "Boom: boom" in snapshot.last_error

    def test_keeps_what_it_had_committed_on_its_way(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        with pytest.raises(Boom):
            opened.ask(SaveAndFall(ada, text="saved"))
        stage.settle()

        assert texts(opened, ada) == ["saved"]
        assert opened.get(ada).data == Tally(said=1)

    def test_takes_the_plain_attributes_with_it(self, opened: SessionSystem, ada: str) -> None:
        before = [opened.ask(Remember(ada)) for _ in range(2)]
        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="boom"))

        assert before == [1, 2]
        assert opened.ask(Remember(ada)) == 1

    @pytest.mark.seed("4.14")
    def test_harms_no_other_session(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        bob = opened.ask(CreateSession(user_id="bob")).id
        incarnation = cell_of(opened, bob)

        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="boom"))
        stage.settle()

        assert cell_of(opened, bob) is incarnation


class TestARefusal:
    @pytest.mark.parametrize("kind", [Decline, DeclineLater])
    def test_leaves_the_session_as_it_was_and_its_actor_alive(
        self, opened: SessionSystem, ada: str, kind: Any
    ) -> None:
        opened.ask(Say(ada, text="before"))
        before = opened.get(ada)

        with pytest.raises(NotNow):
            opened.ask(kind(ada, text="no"))

        assert opened.get(ada) == before
        assert opened.ask(Which(ada)) == 1
        assert opened.ask(SayLater(ada, text="after")) == 2


class TestAnAskerWhoGaveUp:
    @pytest.mark.seed("2.33")
    def test_has_nothing_kept_of_an_async_handler_and_the_session_lives_on(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        opened.ask(Say(ada, text="before"))
        before = opened.get(ada)

        with pytest.raises(Timeout):
            opened.ask(HoldLater(ada, text="in hand"), timeout=0.05)
        number = opened.ask(Which(ada))

        assert number == 1
        assert opened.get(ada) == before
        stage.play.gate.open()
        assert opened.ask(Say(ada, text="after")) == 2

    def test_has_kept_what_the_handler_had_committed(self, opened: SessionSystem, ada: str) -> None:
        with pytest.raises(Timeout):
            opened.ask(SaveAndHoldLater(ada, text="saved"), timeout=0.05)

        assert opened.ask(Which(ada)) == 1
        assert texts(opened, ada) == ["saved"]
        assert opened.get(ada).data == Tally(said=1)


class TestAKill:
    @pytest.mark.parametrize("kind", [Hold, HoldLater])
    def test_in_the_middle_of_a_handler_says_so_and_keeps_nothing_of_it(
        self, stage: Stage, opened: SessionSystem, ada: str, kind: Any
    ) -> None:
        asked = later(opened, kind(ada, text="in hand"))
        stage.settle()

        cell_of(opened, ada).kill()
        stage.settle()

        with pytest.raises(SessionCrashed) as crashed:
            asked.get()
        assert crashed.value.is_outcome_known is False
        assert texts(opened, ada) == []

    def test_lets_the_next_incarnation_serve_what_waits_in_order(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        in_hand = later(opened, Hold(ada, text="in hand"))
        stage.settle()
        waiting = [later(opened, Say(ada, text=f"{n}")) for n in range(5)]

        cell_of(opened, ada).kill()
        stage.settle()

        assert isinstance(in_hand.error, SessionCrashed)
        assert [each.get() for each in waiting] == [1, 2, 3, 4, 5]
        assert texts(opened, ada) == ["0", "1", "2", "3", "4"]
        assert stage.play.handled.count("in hand") == 1

    def test_of_an_idle_session_is_not_seen_by_the_next_asker(
        self, opened: SessionSystem, ada: str
    ) -> None:
        cell_of(opened, ada).kill()

        assert opened.ask(Which(ada)) == 2

    def test_names_the_message_that_was_in_hand(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = later(opened, Hold(ada, text="in hand"))
        stage.settle()

        cell_of(opened, ada).kill()
        stage.settle()

        snapshot = opened.get(ada)
        assert held.is_done
        assert (snapshot.failed_on, snapshot.last_error) == ("Hold", "killed")


class TestAnExitSignal:
    def test_lets_the_handler_end_and_its_answer_count(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        asked = later(opened, HoldLater(ada, text="in hand"))
        stage.settle()

        cell_of(opened, ada).exit(Crashed("told to"))
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert asked.get() == 1
        assert texts(opened, ada) == ["in hand"]
        assert opened.ask(Which(ada)) == 2


class TestAPart:
    @pytest.mark.parametrize(
        "path", ["front/manager", "front/janitor", "front", "sessions/0", "sessions/1", "sessions"]
    )
    def test_that_is_killed_keeps_every_session_and_comes_back(
        self, stage: Stage, opened: SessionSystem, path: str
    ) -> None:
        ids = [opened.ask(CreateSession(user_id=f"user-{n}")).id for n in range(6)]
        for each in ids:
            opened.ask(Say(each, text="before"))

        part_of(opened, path).kill()
        stage.settle()
        for each in ids:
            opened.ask(Say(each, text="after"))
        stage.settle()

        assert [texts(opened, each) for each in ids] == [["before", "after"]] * 6
        assert part_of(opened, path).is_alive()
        assert broken_laws(opened) == []

    def test_that_is_killed_leaves_reads_and_talks_to_the_others_alone(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        mine = cell_of(opened, ada)

        part_of(opened, "front").kill()
        seq = opened.ask(Say(ada, text="meanwhile"))
        stage.settle()

        assert seq == 1
        assert cell_of(opened, ada) is mine


class TestHealth:
    @pytest.mark.parametrize(
        ("path", "named"),
        [
            ("services/events", "events"),
            ("sessions/1", "sessions/1"),
            ("connections/0", "connections/0"),
            ("front/janitor", "janitor"),
            ("front/manager", "manager"),
        ],
    )
    def test_names_the_part_that_does_not_run_just_now(self, path: str, named: str) -> None:
        with Simulation() as sim, SessionSystem(runtime=sim.runtime, partitions=2) as sessions:
            sim.settle()
            part = part_of(sessions, path)
            part.kill()

            sim.run(until=lambda: part.is_dead)

            health = sessions.health()
            assert (health.is_healthy, health.failing) == (False, (named,))
            sim.settle()
            assert sessions.health().failing == ()


class TestTheManager:
    @pytest.mark.in_memory  # it tells before its start is over
    def test_that_falls_when_a_session_has_just_gone_has_a_successor_that_tells_of_its_end(
        self, opened: SessionSystem, ada: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remove = Table.remove

        def fall(table: Table, session_id: str) -> None:
            monkeypatch.undo()
            remove(table, session_id)
            raise Boom("the manager falls")

        monkeypatch.setattr(Table, "remove", fall)

        last = opened.ask(TerminateSession(ada), timeout=PATIENT_S)

        assert (last.id, last.state) == (ada, SessionState.CLEANED)
        assert part_of(opened, "front/manager").incarnation == 2
        with pytest.raises(SessionNotFound):
            opened.get(ada)

    def test_of_the_manager_leaves_a_message_to_a_session_that_is_about_to_come_back(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        for _ in range(2):  # the second restart waits 0.1 s
            cell_of(opened, ada).kill()
            stage.settle()
        waiting = later(opened, Say(ada, text="still here?"))

        part_of(opened, "front/manager").kill()
        stage.settle()
        stage.advance(0.5)

        assert waiting.get(timeout=0) == 1
        assert services_of(opened).failing_parts() == ()
        assert part_of(opened, "front/manager").incarnation == 2

    def test_that_is_killed_in_a_create_leaves_one_session_or_none(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        create = CreateSession(user_id="ada", idempotency_key="once")
        part_of(opened, "front/manager").suspend()
        stage.settle()
        asked = [later(opened, create) for _ in range(3)]

        part_of(opened, "front/manager").kill()
        stage.settle()

        assert len({each.get().id for each in asked}) == 1
        assert opened.health().sessions == 1
        assert broken_laws(opened) == []

    def test_that_is_killed_while_a_session_ends_has_it_ended_by_the_next(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = later(opened, Hold(ada, text="in hand"))
        stage.settle()
        ended = later(opened, TerminateSession(ada, "enough"))
        stage.settle()

        part_of(opened, "front/manager").kill()
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert held.get() == 1
        assert ended.get().last_seq == 1
        with pytest.raises(SessionNotFound):
            opened.get(ada)
        assert broken_laws(opened) == []

    def test_that_crashed_watches_the_sessions_again(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        part_of(opened, "front/manager").kill()
        stage.settle()

        cell_of(opened, ada).kill()
        stage.settle()

        assert opened.get(ada).restarts == 1
        assert presence(opened, ada) is Presence.AWAKE


class TestAPartition:
    def test_that_is_killed_brings_back_whom_a_message_waits_for(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        ids = [opened.ask(CreateSession()).id for _ in range(4)]
        held = [later(opened, HoldLater(each, text="in hand")) for each in ids]
        stage.settle()
        waiting = [later(opened, Say(each, text="waiting")) for each in ids]

        for number in range(2):
            part_of(opened, f"sessions/{number}").kill()
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        assert [each.get() for each in held] == [1] * 4
        assert [each.get() for each in waiting] == [2] * 4
        assert broken_laws(opened) == []

    def test_that_is_killed_lets_the_others_sleep_until_they_are_wanted(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        for number in range(2):
            part_of(opened, f"sessions/{number}").kill()
        stage.settle()

        asleep = presence(opened, ada)

        assert asleep is Presence.ASLEEP
        assert opened.ask(Which(ada)) == 2


class TestAnEndThatDoesNotCome:
    def test_is_forced_when_the_grace_is_over(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = later(opened, HoldLater(ada, text="in hand"))
        stage.settle()
        ended = later(opened, TerminateSession(ada, "enough", grace_s=2.0))

        stage.advance(2.5)

        assert ended.get().state_reason == "enough"
        assert isinstance(held.error, DeliveryError)
        assert services_of(opened).table.get(ada) is None
        assert broken_laws(opened) == []

    def test_is_answered_once_for_all_who_asked_for_it(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = later(opened, HoldLater(ada, text="in hand"))
        stage.settle()
        ended = [later(opened, TerminateSession(ada, f"reason {n}")) for n in range(3)]

        stage.play.gate.open()
        stage.settle()

        assert held.get() == 1
        assert len({each.get().version for each in ended}) == 1
        assert ended[0].get().state_reason == "reason 0"


class TestTheOldRef:
    def test_says_dead_for_ever(self, opened: SessionSystem, ada: str) -> None:
        old = cell_of(opened, ada)
        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="boom"))
        opened.ask(Which(ada))

        with pytest.raises(ActorDeadError):
            old.ask(Which(ada))
