"""Messages that expect an answer: law 1, every ask ends."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import math
from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision import (
    LATER,
    ActorDeadError,
    ActorRef,
    ActorSystem,
    AskCycle,
    Crashed,
    DeliveryError,
    InvalidSpec,
    Settings,
    Timeout,
    TooManyWaiting,
)
from tests.runtime.kit import (
    WITHIN_S,
    Boom,
    Box,
    Do,
    Gate,
    No,
    Puppet,
    Short,
    boom,
    give,
    idle,
    reason_of,
    refuse,
    threads_only,
)

NewGate = Callable[[], Gate]


def hold(ref: ActorRef[Any], gate: Gate, box: Box) -> None:
    """Have the actor busy until the gate opens."""
    ref.tell(Do(lambda _: (box.put("held"), gate.wait())))
    assert box.take() == "held"


class TestAnAnswer:
    def test_is_what_the_handler_returned(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert ref.ask(Do(lambda _: 42)) == 42

    def test_may_be_nothing(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert ref.ask(Do(lambda _: None)) is None

    def test_may_be_fetched_later_from_a_future(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        future = ref.ask(Do(lambda _: 42), block=False)

        assert future.get() == 42
        assert future.get() == 42

    def test_of_a_user_actor_may_be_a_generator(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert list(ref.ask(Do(lambda _: (n for n in range(3))))) == [0, 1, 2]


class TestAnAskEnds:
    def test_with_the_exception_of_a_handler_that_crashed(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(Boom, match="as it was told to"):
            ref.ask(Do(boom))

        assert isinstance(reason_of(ref), Crashed)

    def test_with_the_handlers_exception_only_when_the_actor_has_ended(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet, ends=gate.wait)
        answer = ref.ask(Do(boom), block=False)

        assert not answer.is_done
        gate.open()

        with pytest.raises(Boom):
            answer.get()
        assert not ref.is_alive()

    def test_with_a_refusal_of_an_actor_that_lives_on(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(No):
            ref.ask(Do(refuse))

        assert ref.ask(Do(lambda _: "alive")) == "alive"

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
    def test_with_a_base_exception_which_ends_that_actor_alone(
        self, system: ActorSystem, kind: type[BaseException]
    ) -> None:
        def act(_actor: Any) -> None:
            raise kind("stop it all")

        ref, other = system.spawn(Puppet), system.spawn(Puppet)

        with pytest.raises(kind):
            ref.ask(Do(act))

        assert isinstance(reason_of(ref), Crashed)
        assert other.ask(Do(lambda _: "alive")) == "alive"

    def test_at_once_when_the_actor_has_ended(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.stop()

        with pytest.raises(ActorDeadError):
            ref.ask(Do(lambda _: None))

    def test_in_the_future_when_the_actor_has_ended(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.stop()

        future = ref.ask(Do(lambda _: None), block=False)

        with pytest.raises(ActorDeadError):
            future.get()

    def test_when_the_actor_is_stopped_before_its_turn(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        hold(ref, gate, box)
        waiting = [ref.ask(Do(lambda _: None), block=False) for _ in range(10)]

        ref.exit()
        gate.open()

        for each in waiting:
            with pytest.raises(ActorDeadError):
                each.get()

    def test_when_the_actor_crashes_before_its_turn(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait(), boom())))
        box.take()
        waiting = ref.ask(Do(lambda _: None), block=False)

        gate.open()

        with pytest.raises(ActorDeadError):
            waiting.get()

    def test_when_the_start_fails(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, starts=lambda _: (gate.wait(), boom()))
        waiting = ref.ask(Do(lambda _: None), block=False)

        gate.open()

        with pytest.raises(ActorDeadError):
            waiting.get()

    def test_when_the_system_stops(self) -> None:
        system = ActorSystem("stopped")
        gate, box = Gate(system), Box(system)
        ref = system.spawn(Puppet)
        hold(ref, gate, box)
        waiting = ref.ask(Do(lambda _: None), block=False)

        system.stop(timeout_s=0.05)

        with pytest.raises(DeliveryError):
            waiting.get()

    def test_with_the_address_of_whom_it_was_for(self, system: ActorSystem) -> None:
        ref = system.spawn_named("ada", Puppet)
        ref.stop()

        with pytest.raises(ActorDeadError) as caught:
            ref.ask(Do(lambda _: None))

        assert caught.value.address == "ada"
        assert caught.value.is_retryable
        assert caught.value.remedy


class TestADeadline:
    def test_ends_an_ask_that_gets_no_answer_in_time(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(Timeout):
            ref.ask(Do(gate.wait), timeout=0.01)

        gate.open()

    def test_says_that_the_outcome_is_not_known(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn_named("slow", Puppet)

        with pytest.raises(Timeout) as caught:
            ref.ask(Do(gate.wait), timeout=0.01)

        assert not caught.value.is_outcome_known
        assert caught.value.address == "slow"
        gate.open()

    def test_is_the_systems_when_none_is_given(self) -> None:
        with ActorSystem("hasty", settings=Settings(ask_timeout_s=0.01)) as system:
            gate = Gate(system)
            ref = system.spawn(Puppet)

            with pytest.raises(Timeout):
                ref.ask(Do(gate.wait))

            gate.open()

    @pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")], ids=str)
    def test_that_cannot_be_is_refused_before_anything_is_sent(
        self, system: ActorSystem, box: Box, timeout: float
    ) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        with pytest.raises(InvalidSpec, match="timeout="):
            ref.ask("anything", timeout=timeout)

        idle(ref)
        assert box.waiting == []

    def test_is_absent_with_an_infinite_timeout(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        future = ref.ask(Do(lambda _: 1), timeout=math.inf, block=False)

        assert future.deadline_s is None
        assert future.get() == 1

    def test_that_passed_keeps_the_message_from_being_handled(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        hold(ref, gate, box)

        with pytest.raises(Timeout):
            ref.ask(Do(lambda _: box.put("handled all the same")), timeout=0.01)
        gate.open()
        idle(ref)

        assert box.waiting == []
        assert system.counts["expired_messages"] == 1

    def test_that_passed_before_anybody_looked_drops_the_message_too(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        hold(ref, gate, box)

        future = ref.ask(Do(lambda _: box.put("handled")), timeout=0.0, block=False)
        gate.open()
        idle(ref)

        assert box.waiting == []
        with pytest.raises(Timeout):
            future.get()

    def test_travels_a_nested_ask_gets_what_is_left(self, system: ActorSystem) -> None:
        inner, outer = system.spawn(Puppet), system.spawn(Puppet)

        def act(_actor: Any) -> tuple[float | None, float | None]:
            roomy = inner.ask(Do(lambda _: None), block=False, timeout=1000)
            endless = inner.ask(Do(lambda _: None), block=False, timeout=math.inf)
            return roomy.deadline_s, endless.deadline_s

        future = outer.ask(Do(act), block=False, timeout=30)

        assert future.get() == (future.deadline_s, future.deadline_s)

    def test_of_its_own_may_be_nearer_than_the_outer_one(self, system: ActorSystem) -> None:
        inner, outer = system.spawn(Puppet), system.spawn(Puppet)

        def act(_actor: Any) -> float | None:
            return inner.ask(Do(lambda _: None), block=False, timeout=1).deadline_s

        future = outer.ask(Do(act), block=False, timeout=30)

        nearer = future.get()
        assert nearer is not None
        assert future.deadline_s is not None
        assert nearer < future.deadline_s

    def test_does_not_outlast_its_message(self, system: ActorSystem) -> None:
        inner, outer = system.spawn(Puppet), system.spawn(Puppet)
        box = Box(system)
        outer.ask(Do(lambda _: None), timeout=0.5)

        def act(_actor: Any) -> None:
            box.put(inner.ask(Do(lambda _: None), block=False, timeout=math.inf).deadline_s)

        outer.tell(Do(act))

        assert box.take() is None

    def test_ends_every_ask_of_a_chain(self, system: ActorSystem, gate: Gate) -> None:
        last, middle, first = (system.spawn(Puppet) for _ in range(3))

        with pytest.raises(Timeout):
            first.ask(Do(lambda _: middle.ask(Do(lambda _: last.ask(Do(gate.wait))))), timeout=0.05)

        gate.open()


class TestACycle:
    @threads_only  # in a simulation, where blocking in a hand-off is an error, that comes first
    @pytest.mark.parametrize("kind", [Puppet, Short])
    def test_of_one_is_refused(self, system: ActorSystem, kind: type[Puppet]) -> None:
        ref = system.spawn(kind).wait_started()

        with pytest.raises(AskCycle):
            ref.ask(Do(lambda actor: actor.actor_ref.ask(Do(lambda _: None))))

    @threads_only
    @pytest.mark.parametrize("kind", [Puppet, Short])
    def test_of_two_is_refused(self, system: ActorSystem, kind: type[Puppet]) -> None:
        one, two = system.spawn(kind).wait_started(), system.spawn(kind).wait_started()

        with pytest.raises(AskCycle):
            one.ask(Do(lambda _: two.ask(Do(lambda _: one.ask(Do(lambda _: None))))))

    def test_of_three_by_addresses_is_refused_and_names_them(self, system: ActorSystem) -> None:
        for name in ("one", "two", "three"):
            system.spawn_named(name, Puppet)
        one, two, three = (system.lookup(name) for name in ("one", "two", "three"))
        assert one
        assert two
        assert three

        with pytest.raises(AskCycle, match="three -> one -> two -> three") as cycle:
            one.ask(Do(lambda _: two.ask(Do(lambda _: three.ask(Do(lambda _: one.ask("x")))))))

        handled = ("three handles Do", "one handles Do", "two handles Do")
        assert str(cycle.value).endswith(f"each waits for the next, {', '.join(handled)}")

    def test_that_was_refused_leaves_nothing_to_be_handled(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            with pytest.raises(AskCycle):
                actor.actor_ref.ask(Do(lambda _: box.put("handled all the same")))

        ref.ask(Do(act))
        idle(ref)

        assert box.waiting == []

    def test_through_who_owes_a_later_reply_is_refused(self, system: ActorSystem) -> None:
        asker, clerk, helper = (
            system.spawn_named(each, Puppet) for each in ("asker", "clerk", "helper")
        )

        def hand_on(actor: Any) -> Any:
            actor.reply_later(owed_by=helper)
            helper.tell(Do(lambda _: asker.ask(Do(lambda _: None), timeout=math.inf)))
            return LATER

        asked = asker.ask(Do(lambda _: clerk.ask(Do(hand_on), timeout=20)), block=False)
        reason = helper.wait(10.0)

        assert isinstance(reason, Crashed)
        assert reason.error == "AskCycle"
        assert "helper -> asker -> helper" in reason.message
        asker.kill()
        with pytest.raises(ActorDeadError):
            asked.get()

    def test_of_a_stop_is_refused(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(AskCycle):
            ref.ask(Do(lambda actor: actor.actor_ref.stop()))

    def test_is_none_where_the_answer_does_not_block(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        future = ref.ask(Do(lambda actor: actor.actor_ref.ask(Do(lambda _: 1), block=False)))

        assert future.get() == 1


class TestManyWaiting:
    @threads_only
    def test_nobody_waits_for_handlers_that_compute(self, system: ActorSystem, box: Box) -> None:
        is_over: list[bool] = []

        def compute(_actor: Any) -> None:
            box.put("computing")
            while not is_over:
                pass

        for _ in range(3):
            system.spawn(Puppet).tell(Do(compute))
            assert box.take() == "computing"

        assert system.spawn(Puppet).ask(Do(give("at once")), timeout=WITHIN_S) == "at once"
        is_over.append(True)

    def test_actors_may_ask_each_other_two_hundred_deep(self, system: ActorSystem) -> None:
        refs = [system.spawn(Puppet) for _ in range(200)]

        def act(depth: int) -> Callable[[Any], int]:
            if depth == len(refs):
                return lambda _: depth
            return lambda _: refs[depth].ask(Do(act(depth + 1)), timeout=60)

        assert refs[0].ask(Do(act(1)), timeout=60) == 200

    def test_waiting_actors_do_not_count_against_the_bound_on_workers(self) -> None:
        with ActorSystem("narrow", settings=Settings(workers_max=2)) as system:
            refs = [system.spawn(Puppet) for _ in range(6)]

            def act(depth: int) -> Callable[[Any], int]:
                if depth == len(refs):
                    return lambda _: depth
                return lambda _: refs[depth].ask(Do(act(depth + 1)))

            assert refs[0].ask(Do(act(1))) == 6

    def test_an_ask_beyond_the_outer_ceiling_raises_at_once(self) -> None:
        settings = Settings(workers_max=2, workers_ceiling=2)
        with ActorSystem("low-ceiling", settings=settings) as system:
            refs = [system.spawn(Puppet) for _ in range(4)]

            def act(depth: int) -> Callable[[Any], int]:
                if depth == len(refs):
                    return lambda _: depth
                return lambda _: refs[depth].ask(Do(act(depth + 1)), timeout=20)

            with pytest.raises(TooManyWaiting):
                refs[0].ask(Do(act(1)), timeout=20)
