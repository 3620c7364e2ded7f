"""System requests: what an operator may ask of any actor, between two of its messages."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
from typing import Any

import msgspec
import pykka
import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorStatus,
    ActorSystem,
    InvalidSpec,
    Killed,
    PooledActor,
    Request,
    Shutdown,
    StartFailed,
    SupervisedActor,
    Unsupported,
    handles,
)
from tests.runtime.kit import (
    AsyncPuppet,
    Await,
    Boom,
    Box,
    Do,
    Gate,
    Puppet,
    Short,
    boom,
    give,
    idle,
    reason_of,
    threads_only,
)


class Add(Request[int], frozen=True):
    amount: int


class Counter(SupervisedActor):
    def __init__(self, total: int = 0, note: str = "long") -> None:
        self.total = total
        self.note = note

    @handles(Add)
    def add(self, message: Add) -> int:
        self.total += message.amount
        return self.total


class Discreet(Counter):
    def format_status(self, status: ActorStatus) -> ActorStatus:
        return msgspec.structs.replace(status, state={"total": self.total})


class Broken(Counter):
    def format_status(self, status: ActorStatus) -> ActorStatus:
        del status
        raise Boom


class TestTheState:
    def test_is_a_copy_of_the_actors_own_attributes(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter, 7)

        state = ref.get_state()
        state["total"] = 0

        assert ref.get_state() == {"total": 7, "note": "long"}

    def test_is_the_one_after_the_message_in_hand(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        asker = system.spawn(Puppet)

        def half_way(actor: Any) -> None:
            actor.half = True
            box.put("half way")
            gate.wait()
            del actor.half

        ref.tell(Do(half_way))
        box.take()
        asker.tell(Do(lambda _: box.put("half" in ref.get_state())))
        gate.open()

        assert box.take() is False

    def test_is_the_one_after_an_async_handler_that_waits(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(AsyncPuppet)
        asker = system.spawn(Puppet)

        async def half_way(actor: Any) -> None:
            actor.half = True
            box.put("half way")
            await gate.passed()
            del actor.half

        ref.tell(Await(half_way))
        box.take()
        asker.tell(Do(lambda _: box.put("half" in ref.get_state())))
        gate.open()

        assert box.take() is False

    def test_overtakes_what_waits(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter)
        ref.suspend()
        ref.tell(Add(1))

        assert ref.get_state()["total"] == 0

        ref.resume()
        assert ref.ask(Add(1)) == 2

    def test_waits_for_the_start(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        def start(actor: Any) -> None:
            gate.wait()
            actor.is_up = 1

        ref = system.spawn(Puppet, starts=start)
        asker = system.spawn(Puppet)
        asker.tell(Do(lambda _: box.put(ref.get_state()["is_up"])))

        gate.open()

        assert box.take() == 1

    def test_of_one_that_did_not_start_is_an_error(self, system: ActorSystem) -> None:
        with pytest.raises(StartFailed):
            system.spawn(Puppet, starts=boom).get_state()

    def test_of_one_that_has_ended_is_an_error(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter).wait_started()
        ref.stop()

        with pytest.raises(ActorDeadError):
            ref.get_state()

    def test_of_one_that_is_killed_meanwhile_is_an_error(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("at work"), gate.wait())))
        box.take()
        asker = system.spawn(Puppet)

        def look(_actor: Any) -> None:
            box.put("looking")
            try:
                ref.get_state()
            except ActorDeadError as error:
                box.put(type(error))

        asker.tell(Do(look))
        assert box.take() == "looking"
        ref.kill()

        assert box.take() is ActorDeadError
        gate.open()

    def test_may_be_looked_at_by_oneself(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert "starts" in ref.ask(Do(lambda actor: actor.actor_ref.get_state()))

    def test_does_not_count_what_the_runtime_keeps_there(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter)
        other = system.spawn(Puppet)
        other.ask(Do(lambda actor: actor.monitor(ref)))
        other.ask(Do(lambda actor: actor.send_after(60, "late").cancel()))

        assert other.get_state().keys() == {"starts", "ends", "hears"}


class TestReplacingTheState:
    def test_sets_what_the_change_makes_of_it(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter, 1)

        made = ref.replace_state(lambda state: state | {"total": state["total"] * 10})

        assert made["total"] == 10
        assert ref.ask(Add(1)) == 11

    def test_leaves_out_what_the_change_leaves_out(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter, 1)

        ref.replace_state(lambda state: {"total": state["total"]})

        assert ref.get_state() == {"total": 1}

    def test_that_raises_leaves_the_actor_as_it_was(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter, 1)

        with pytest.raises(Boom):
            ref.replace_state(boom)

        assert ref.ask(Add(1)) == 2

    @pytest.mark.parametrize("nonsense", [None, [], {1: 2}, {"_actor_ref": None}], ids=repr)
    def test_by_nonsense_is_refused_and_replaces_nothing(
        self, system: ActorSystem, nonsense: Any
    ) -> None:
        ref = system.spawn(Counter, 1)

        with pytest.raises(InvalidSpec, match="state="):
            ref.replace_state(lambda _: nonsense)

        assert ref.ask(Add(1)) == 2

    def test_reaches_one_that_is_suspended(self, system: ActorSystem) -> None:
        ref = system.spawn(Counter, 1)
        ref.suspend()

        ref.replace_state(lambda state: state | {"total": 5})

        ref.resume()
        assert ref.ask(Add(1)) == 6

    def test_keeps_an_actor_that_hands_off_to_one_thread_at_a_time(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(Short)

        ref.replace_state(lambda state: state | {"mark": 1})

        assert ref.ask(Do(lambda actor: actor.mark)) == 1


class TestTheStatus:
    def test_says_who_it_is_and_what_it_holds(self, system: ActorSystem) -> None:
        ref = system.spawn_named("till", Counter, 3)
        ref.suspend()
        ref.tell(Add(1))

        status = ref.get_status()

        assert status == ActorStatus(
            path="till",
            kind="Counter",
            incarnation=1,
            is_suspended=True,
            mailbox_size=1,
            state={"total": 3, "note": "long"},
        )

    def test_is_shown_as_the_class_wants_it(self, system: ActorSystem) -> None:
        assert system.spawn(Discreet, 3).get_status().state == {"total": 3}

    def test_is_shown_raw_when_that_fails(self, system: ActorSystem) -> None:
        ref = system.spawn(Broken, 3)

        assert ref.get_status().state["total"] == 3
        assert ref.is_alive()

    def test_is_there_for_a_drop_in_too(self, system: ActorSystem) -> None:
        class Plain(PooledActor):
            def __init__(self) -> None:
                super().__init__()
                self.mood = "good"

        assert system.spawn(Plain).get_status().state == {"mood": "good"}


class TestSuspended:
    def test_one_still_ends_when_it_is_told_to(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.suspend()
        idle(system.spawn(Puppet))

        ref.exit(Shutdown())

        assert reason_of(ref) == Shutdown()

    def test_one_can_be_killed(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.suspend()

        ref.kill()

        assert reason_of(ref) == Killed()

    def test_one_is_not_run_by_who_asks_either(self, system: ActorSystem) -> None:
        ref = system.spawn(Short).wait_started()
        ref.suspend()
        ref.get_state()

        answer = ref.ask_at_once(Do(give("handled")))

        assert not answer.is_done
        ref.resume()
        assert answer.get() == "handled"

    def test_one_keeps_what_comes_for_later_in_order(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)
        ref.suspend()
        for number in range(3):
            ref.tell(number)
        ref.get_status()
        assert box.waiting == []

        ref.resume()

        assert box.take_many(3) == [0, 1, 2]


class TestStopping:
    def test_may_say_why(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert ref.stop(reason=Shutdown("enough"))

        assert ref.reason == Shutdown("enough")

    def test_a_drop_in_for_a_reason_ends_it_ahead_of_what_waits(self, system: ActorSystem) -> None:
        ref = system.spawn(PooledActor)

        assert ref.stop(reason=Shutdown("enough"))

        assert ref.reason == Shutdown("enough")


@threads_only
class TestAPlainPykkaActor:
    def test_cannot_be_held_or_looked_into(self, system: ActorSystem) -> None:
        ref: Any = system.spawn(pykka.ThreadingActor)
        ref.wait_started()

        for what in (ref.suspend, ref.resume, ref.get_state, ref.get_status):
            with pytest.raises(Unsupported, match="thread of its own"):
                what()
