"""Reading along: every event once, in order, whatever crashes; and never at others' cost."""

from __future__ import annotations

import asyncio
import math

import pytest

from callboard.actors import (
    AppendMessage,
    CleanupInactive,
    CreateSession,
    EventKind,
    InvalidField,
    PassivateSession,
    Role,
    SessionEvent,
    SessionNotFound,
    SessionSystem,
    SlowConsumer,
    SpawnError,
    Subscribe,
    Subscription,
    SubscriptionClosed,
    TerminateSession,
)
from callboard.actors.sessions.naming import EVENTS, SERVICES
from callboard.actors.testing import FakeLog
from callboard.supervision import Timeout
from tests.cast import HangOn
from tests.sessions.stage import (
    PATIENT_S,
    Boom,
    Fall,
    FallLater,
    Hold,
    HoldLater,
    Say,
    Stage,
    Which,
    later,
    part_of,
    services_of,
)

HUB = f"{SERVICES}/{EVENTS}"


def read(stage: Stage, events: Subscription) -> list[SessionEvent]:
    """Return all that has arrived when all is quiet."""
    stage.settle()
    return [events.get(timeout=0) for _ in range(events.waiting)]


def kinds(events: list[SessionEvent]) -> list[str]:
    return [each.kind.value for each in events]


class TestALife:
    @pytest.mark.seed("3.38", "4.18")
    def test_is_told_from_the_place_to_the_end_without_holes(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        events = opened.ask(Subscribe())

        ada = opened.ask(CreateSession(user_id="ada", org_id="acme")).id
        opened.ask(Say(ada, text="hello"))
        opened.ask(PassivateSession(ada))
        stage.settle()
        opened.ask(Say(ada, text="again"))
        opened.ask(TerminateSession(ada, "done"))

        heard = read(stage, events)
        assert kinds(heard) == [
            "created",
            "state_changed",
            "message",
            "updated",
            "asleep",
            "awake",
            "message",
            "updated",
            "state_changed",
            "state_changed",
            "terminated",
        ]
        assert [each.seq for each in heard] == list(range(1, 12))
        assert {(each.session_id, each.user_id, each.org_id) for each in heard} == {
            (ada, "ada", "acme")
        }
        assert heard[-1].details["reason"] == "done"

    def test_tells_a_crash_with_the_kind_of_its_error_alone(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        events = opened.ask(Subscribe(ada))

        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="a secret"))
        assert opened.ask(Which(ada), timeout=PATIENT_S) == 2

        heard = read(stage, events)
        assert sorted(kinds(heard)) == ["error", "restarted"]  # who sees it first, tells it first
        (failure,) = (each for each in heard if each.kind is EventKind.ERROR)
        assert dict(failure.details) == {"error": "Boom", "incarnation": 1, "failed_on": "Fall"}

    def test_ends_in_quarantine_when_it_crashes_too_often(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        events = opened.ask(Subscribe(ada, kinds=(EventKind.QUARANTINED,)))

        for _ in range(4):
            asked = later(opened, Fall(ada, text="boom"))
            stage.advance(1.5)
            assert isinstance(asked.error, Boom)

        (event,) = read(stage, events)
        assert event.details["restarts"] == 4

    def test_that_never_began_is_told_too(self, stage: Stage, opened: SessionSystem) -> None:
        events = opened.ask(Subscribe())

        with pytest.raises(SpawnError):
            opened.ask(CreateSession(session_id="x", metadata={"is_cursed": True}))

        heard = kinds(read(stage, events))
        assert (heard[0], heard[-2:]) == ("created", ["state_changed", "terminated"])
        assert heard.index("error") < len(heard) - 2

    def test_that_ends_for_being_idle_is_told_so(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        stage.advance(10.0)
        events = opened.ask(Subscribe(ada))

        assert opened.ask(CleanupInactive(idle_longer_than_s=5.0)) == (ada,)

        heard = read(stage, events)
        assert kinds(heard)[-2:] == ["expired", "terminated"]
        assert heard[-2].details["idle_longer_than_s"] == 5.0

    def test_tells_nothing_of_what_was_undone(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        events = opened.ask(Subscribe(ada, kinds=(EventKind.MESSAGE, EventKind.UPDATED)))

        for message in (Fall(ada, text="x"), FallLater(ada, text="x")):
            with pytest.raises(Boom):
                opened.ask(message, timeout=PATIENT_S)

        assert read(stage, events) == []


class TestASubscription:
    def test_to_one_session_hears_of_no_other_and_ends_with_it(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        bob = opened.ask(CreateSession()).id
        events = opened.ask(Subscribe(ada))

        opened.ask(Say(bob, text="hello"))
        opened.ask(TerminateSession(ada))
        stage.settle()

        heard = list(events)
        assert {each.session_id for each in heard} == {ada}
        assert heard[-1].kind is EventKind.TERMINATED
        assert events.is_closed
        with pytest.raises(SubscriptionClosed):
            events.get(timeout=0)

    def test_hears_of_nothing_that_was_before_it(self, stage: Stage) -> None:
        opened = stage.open(log=FakeLog())  # whoever listens, makes events wait for the hub
        hub = part_of(opened, HUB)
        hub.suspend()
        ada = opened.ask(CreateSession()).id

        events = opened.ask(Subscribe())
        opened.ask(AppendMessage(ada, Role.USER, "hello"))
        hub.resume()

        (event,) = read(stage, events)
        assert (event.kind, event.seq) == (EventKind.MESSAGE, 3)

    def test_waits_for_the_next_event(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        events = opened.ask(Subscribe(ada))

        with pytest.raises(Timeout):
            events.get(timeout=0)
        opened.tell(Say(ada, text="hello"))

        assert events.get(timeout=math.inf).kind is EventKind.MESSAGE
        del stage

    def test_is_closed_by_its_owner(self, opened: SessionSystem, ada: str) -> None:
        with opened.ask(Subscribe(ada)) as events:
            assert opened.health().subscriptions == 1

        opened.ask(Say(ada, text="hello"))

        assert list(events) == []
        assert opened.health().subscriptions == 0
        assert not services_of(opened).feed.is_heard

    def test_ends_with_the_system(self, opened: SessionSystem, ada: str) -> None:
        events = opened.ask(Subscribe(ada))

        opened.stop()

        assert list(events) == []

    @pytest.mark.parametrize("session_id", ["nobody", None], ids=["one", "all"])
    def test_of_nobody_is_refused(self, opened: SessionSystem, session_id: str | None) -> None:
        if session_id is None:
            assert not opened.ask(Subscribe()).is_closed
        else:
            with pytest.raises(SessionNotFound):
                opened.ask(Subscribe(session_id))

    @pytest.mark.parametrize("events_max", [0, 100_001])
    def test_has_a_bound(self, opened: SessionSystem, events_max: int) -> None:
        with pytest.raises(InvalidField):
            opened.ask(Subscribe(events_max=events_max))

    def test_whose_reader_is_slow_is_closed_and_says_how_many_were_lost(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        slow = opened.ask(Subscribe(ada, kinds=(EventKind.MESSAGE,), events_max=3))
        quick = opened.ask(Subscribe(ada, kinds=(EventKind.MESSAGE,)))

        for number in range(4):
            opened.ask(Say(ada, text=str(number)))
        stage.settle()

        with pytest.raises(SlowConsumer) as caught:
            slow.get(timeout=0)
        assert (caught.value.lost, caught.value.events_max) == (4, 3)
        assert len(read(stage, quick)) == 4
        health = opened.health()
        assert (health.subscriptions, health.slow_subscriptions) == (1, 1)

    def test_is_closed_as_slow_when_the_hub_itself_has_no_room(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        feed = services_of(opened).feed
        feed._backlog.items_max = 2
        events = opened.ask(Subscribe(ada))
        hub = part_of(opened, HUB)
        hub.suspend()

        for number in range(4):
            opened.ask(AppendMessage(ada, Role.USER, str(number)))
        hub.resume()
        stage.settle()

        with pytest.raises(SlowConsumer):
            events.get(timeout=0)

    def test_is_read_on_a_loop_too(self) -> None:
        async def main() -> list[str]:
            async with SessionSystem() as sessions:
                ada = (await sessions.ask_async(CreateSession())).id
                events = sessions.ask(Subscribe(ada))
                ending = asyncio.create_task(sessions.ask_async(TerminateSession(ada)))
                heard = [each.kind.value async for each in events]
                await ending
                return heard

        assert asyncio.run(main()) == ["state_changed", "state_changed", "terminated"]


class TestTheHub:
    def test_may_crash_under_load_and_nothing_is_lost_or_told_twice(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        ids = [opened.ask(CreateSession(session_id=f"s{n}")).id for n in range(3)]
        events = opened.ask(Subscribe(kinds=(EventKind.MESSAGE,)))

        for round_ in range(8):
            asked = [later(opened, AppendMessage(each, Role.USER, "x")) for each in ids]
            if round_ % 2:
                part_of(opened, HUB).kill()
            assert [each.get() for each in asked] == [round_ + 1] * 3
            stage.advance(11.0)

        heard = read(stage, events)
        for session_id in ids:
            mine = [each for each in heard if each.session_id == session_id]
            assert [each.seq for each in mine] == list(range(1, 9))
            assert [each.details["message_seq"] for each in mine] == list(range(1, 9))
            assert opened.ask(Which(session_id)) == 1  # no session restarted because of it

    def test_goes_on_when_its_whole_line_had_to_begin_anew(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        events = opened.ask(Subscribe(ada))
        opened.ask(Say(ada, text="hello"))

        part_of(opened, SERVICES).kill()
        stage.settle()
        assert opened.ask(Say(ada, text="again"), timeout=PATIENT_S) == 2

        heard = read(stage, events)
        assert [each.seq for each in heard] == list(range(1, len(heard) + 1))
        assert kinds(heard).count("message") == 2

    def test_is_no_part_of_any_answer(self, stage: Stage, opened: SessionSystem, ada: str) -> None:
        events = opened.ask(Subscribe(ada, kinds=(EventKind.MESSAGE,)))
        hub = part_of(opened, HUB)
        hub.suspend()

        assert opened.ask(Say(ada, text="hello")) == 1

        assert events.waiting == 0
        hub.resume()
        assert len(read(stage, events)) == 1

    def test_has_nothing_to_do_while_nobody_listens(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        feed = services_of(opened).feed
        opened.ask(Say(ada, text="hello"))
        stage.settle()

        assert (feed.is_heard, feed.waiting, feed._numbers, feed.keeper) == (
            False,
            0,
            {},
            part_of(opened, HUB),
        )

    def test_tells_the_end_that_a_killed_manager_did_not_tell(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        events = opened.ask(Subscribe(ada))
        opened.ask(Say(ada, text="hello"))
        stage.settle()
        services_of(opened).table.remove(ada)  # and then it was killed
        part_of(opened, "front/manager").kill()
        stage.settle()

        assert kinds(list(events))[-1] == "terminated"


class TestASessionThatHangs:
    @pytest.mark.parametrize("message", [Hold, HoldLater])
    def test_is_named_by_health_as_long_as_it_does(self, stage: Stage, message: type[Say]) -> None:
        opened = stage.open(hung_after_s=5.0)
        for session_id in ("ada", "bob"):
            opened.ask(CreateSession(session_id=session_id))
        asked = later(opened, message("ada", text="x"))
        stage.advance(5.0)
        assert opened.health().hung == ()
        stage.advance(1.0)

        report = opened.health()
        assert (report.hung, report.is_healthy) == (("ada",), True)

        stage.play.gate.open()
        stage.settle()
        assert asked.get() == 1
        assert opened.health().hung == ()
        assert services_of(opened).at_work == {}

    def test_is_named_whatever_it_hangs_on(self, stage: Stage) -> None:
        opened = stage.open(hung_after_s=5.0)
        opened.ask(CreateSession(session_id="ada"))
        opened.address("ada").tell(HangOn())
        stage.advance(6.0)

        assert opened.health().hung == ("ada",)

        stage.play.gate.open()
        stage.settle()
        assert opened.health().hung == ()
