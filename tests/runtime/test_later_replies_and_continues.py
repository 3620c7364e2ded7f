"""Answers that come another time, and steps that go on before all that waits."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
import math
from collections.abc import Callable
from typing import Any

import pytest

from callboard.supervision import (
    LATER,
    ActorDeadError,
    ActorKilled,
    ActorRef,
    ActorSystem,
    Future,
    InvalidSpec,
    Settings,
    Shutdown,
    Timeout,
)
from tests.runtime.kit import AsyncPuppet, Await, Boom, Box, Do, Gate, Puppet, Short, crash, idle


def later(box: Box) -> Any:
    """Return a handler that puts its reply into a box and answers another time."""

    def act(actor: Any) -> Any:
        box.put(actor.reply_later())
        return LATER

    return act


class TestALaterReply:
    def test_reaches_the_asker(self, system: ActorSystem, box: Box) -> None:
        answer = system.spawn(Puppet).ask(Do(later(box)), block=False)

        assert box.take().offer("at last")

        assert answer.get() == "at last"

    @pytest.mark.parametrize("kind", [Puppet, Short], ids=["switched to", "handed off to"])
    def test_may_be_returned_itself(self, system: ActorSystem, kind: type[Puppet]) -> None:
        ref = system.spawn(kind).wait_started()
        idle(ref)

        def act(actor: Any) -> Any:
            reply = actor.reply_later()
            actor.actor_ref.tell(Do(lambda _: reply.offer("at last")))
            return reply

        assert ref.ask(Do(act)) == "at last"

    def test_may_be_returned_itself_by_an_async_handler(self, system: ActorSystem) -> None:
        async def act(actor: Any) -> Any:
            reply = actor.reply_later()
            actor.actor_ref.tell(Do(lambda _: reply.offer("at last")))
            return reply

        assert system.spawn(AsyncPuppet).ask(Await(act)) == "at last"

    @pytest.mark.parametrize("kind", [Puppet, Short], ids=["switched to", "handed off to"])
    def test_is_what_its_handler_owes_no_other_future_is(
        self, system: ActorSystem, kind: type[Puppet]
    ) -> None:
        ref = system.spawn(kind).wait_started()
        idle(ref)
        other: Future[str] = Future(blocker=system.dispatcher)

        assert ref.ask(Do(lambda _: other)) is other

    def test_may_be_given_by_another_actor(self, system: ActorSystem, box: Box) -> None:
        ref, other = system.spawn(Puppet), system.spawn(Puppet)
        answer = ref.ask(Do(later(box)), block=False)
        reply = box.take()

        other.tell(Do(lambda _: reply.offer("from another")))

        assert answer.get() == "from another"

    def test_may_be_an_exception_that_ends_nobody(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)
        answer = ref.ask(Do(later(box)), block=False)

        box.take().offer_exception(Boom())

        with pytest.raises(Boom):
            answer.get()
        assert ref.is_alive()

    def test_is_given_once_what_comes_after_is_dropped(self, system: ActorSystem, box: Box) -> None:
        answer = system.spawn(Puppet).ask(Do(later(box)), block=False)
        reply = box.take()

        assert [reply.offer(1), reply.offer(2)] == [True, False]
        assert answer.get() == 1

    def test_lets_the_actor_go_on_with_other_messages(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)
        answer = ref.ask(Do(later(box)), block=False)
        reply = box.take()

        assert ref.ask(Do(lambda _: "meanwhile")) == "meanwhile"
        assert not answer.is_done
        reply.offer(None)

    def test_that_never_comes_ends_at_the_askers_deadline(
        self, system: ActorSystem, box: Box
    ) -> None:
        with pytest.raises(Timeout):
            system.spawn(Puppet).ask(Do(later(box)), timeout=0.01)

        assert box.take().offer("too late") is False

    def test_may_be_asked_of_by_one_who_waits_for_the_answerer_without_a_cycle(
        self, system: ActorSystem, box: Box
    ) -> None:
        """The reply's owner is whoever has it, so waiting for it is no cycle."""
        ref = system.spawn(Puppet)

        def act(_actor: Any) -> str:
            answer = ref.ask(Do(later(box)), block=False)
            box.take().offer("fine")
            return str(answer.get())

        assert system.spawn(Puppet).ask(Do(act)) == "fine"

    def test_of_a_tell_goes_nowhere_and_does_no_harm(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)

        ref.tell(Do(later(box)))
        box.take().offer("to nobody")

        assert ref.ask(Do(lambda _: "alive")) == "alive"

    @pytest.mark.parametrize("end", ["crash", "kill", "stop"])
    def test_that_an_actor_owes_is_an_error_when_it_ends(
        self, system: ActorSystem, box: Box, end: str
    ) -> None:
        ref = system.spawn(Puppet)
        answer = ref.ask(Do(later(box)), block=False, timeout=math.inf)
        reply = box.take()

        if end == "crash":
            crash(ref)
        elif end == "kill":
            ref.kill()
        else:
            ref.stop()

        with pytest.raises(ActorDeadError) as caught:
            answer.get()
        assert not caught.value.is_outcome_known
        assert not reply.offer("too late")

    def test_that_was_given_leaves_nothing_behind(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)
        answer = ref.ask(Do(later(box)), block=False)

        box.take().offer("an answer")

        assert answer.get() == "an answer"
        assert not ref.bonds

    def test_for_an_asker_that_has_given_up_leaves_nothing_behind(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet)

        def act(actor: Any) -> Any:
            box.put("in hand")
            gate.wait()
            actor.reply_later()
            return LATER

        answer = ref.ask(Do(act), block=False)
        box.take()
        answer.give_up()
        gate.open()
        idle(ref)

        assert not ref.bonds

    def test_of_a_tell_that_is_never_given_leaves_nothing_behind(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet)

        ref.tell(Do(later(box)))
        box.take()
        idle(ref)

        assert not ref.bonds

    def test_may_outlive_the_actor_when_somebody_else_owes_it(
        self, system: ActorSystem, box: Box
    ) -> None:
        """A journal releases the replies of an incarnation that ended meanwhile."""
        ref = system.spawn(Puppet)

        def act(actor: Any) -> Any:
            box.put(actor.reply_later(outlives=True))
            return LATER

        answer = ref.ask(Do(act), block=False)
        reply = box.take()
        crash(ref)

        assert reply.offer("committed all the same")

        assert answer.get() == "committed all the same"


class TestAContinue:
    def test_is_handled_before_what_waits(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)
        ref.tell(Do(lambda actor: (gate.wait(), actor.continue_with("continued"))))
        ref.tell("waiting")

        gate.open()

        assert box.take_many(2) == ["continued", "waiting"]

    def test_after_the_start_is_handled_before_what_waits(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(
            Puppet,
            starts=lambda actor: (gate.wait(), actor.continue_with("continued")),
            hears=box.put,
        )
        ref.tell("waiting")

        gate.open()

        assert box.take_many(2) == ["continued", "waiting"]

    def test_lets_the_asker_have_its_answer_first(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, hears=gate.wait)

        answer = ref.ask(Do(lambda actor: (actor.continue_with("long work"), "answer")[1]))

        assert answer == "answer"
        gate.open()

    def test_may_go_on_in_steps(self, system: ActorSystem, box: Box) -> None:
        def step(number: int) -> Do[None]:
            return Do(lambda actor: go(actor, number))

        def go(actor: Any, number: int) -> None:
            box.put(number)
            if number < 5:
                actor.continue_with(step(number + 1))

        system.spawn(Puppet).tell(step(1))

        assert box.take_many(5) == [1, 2, 3, 4, 5]

    def test_at_the_end_of_a_batch_is_not_forgotten(self) -> None:
        with ActorSystem("small-batches", settings=Settings(batch_max=1)) as system:
            inner = Box(system)
            ref = system.spawn(Puppet, hears=inner.put)

            ref.tell(Do(lambda actor: actor.continue_with("continued")))

            assert inner.take() == "continued"

    def test_is_overtaken_by_a_stop(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        ref.ask(Do(lambda actor: (actor.continue_with("continued"), actor.stop())))
        ref.actor_stopped.wait(10)

        assert box.waiting == []

    def test_after_an_async_handler_is_handled_before_what_waits(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(AsyncPuppet, hears=box.put)

        async def act(actor: Any) -> None:
            await gate.passed()
            actor.continue_with("continued")

        ref.tell(Await(act))
        ref.tell("waiting")
        gate.open()

        assert box.take_many(2) == ["continued", "waiting"]

    def test_twice_is_refused(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        def twice(actor: Any) -> None:
            actor.continue_with("one")
            with pytest.raises(InvalidSpec, match="one message at a time"):
                actor.continue_with("another")

        ref.ask(Do(twice))
        idle(ref)

        assert box.waiting == ["one"]


class TestASuspendedActor:
    def test_keeps_its_messages_until_it_is_resumed(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put).wait_started()
        ref.suspend()
        for number in range(3):
            ref.tell(number)
        idle(system.spawn(Puppet))
        assert box.waiting == []

        ref.resume()

        assert box.take_many(3) == [0, 1, 2]

    def test_obeys_a_stop(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put).wait_started()
        ref.suspend()
        ref.tell("never handled")

        assert ref.stop()
        assert box.waiting == []
        assert system.dead_letters.count == 1


class TestWhatAnAskerIsToldWhoseAnswerWillNotCome:
    def later(self, system: ActorSystem, end: Callable[[ActorRef[Any]], object]) -> str:
        def promise(actor: Any) -> Any:
            actor.reply_later()
            return LATER

        ref = system.spawn_named("ada", Puppet)
        asked = ref.ask(Do(promise), block=False)
        idle(ref)
        end(ref)
        with pytest.raises(ActorKilled) as told:
            asked.get()
        assert not told.value.is_outcome_known
        return str(told.value)

    def test_is_how_the_actor_ended(self, system: ActorSystem) -> None:
        said = self.later(system, lambda ref: ref.exit(Shutdown()))

        assert said == "ada (incarnation 1) ended before it answered the message: shutdown"

    def test_is_that_it_was_killed(self, system: ActorSystem) -> None:
        assert "was killed" in self.later(system, lambda ref: ref.kill())

    def test_at_an_address_is_not_to_ask_by_the_address(self, system: ActorSystem) -> None:
        with pytest.raises(ActorDeadError) as told:
            system.reserve("ada").ask("anything")

        assert "its supervisor has started the next one" in told.value.remedy
