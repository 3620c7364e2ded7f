"""Messages that expect no answer."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import gc
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    InvalidSpec,
    PooledActor,
    Request,
    Shutdown,
    SupervisedActor,
    UnhandledMessage,
    handles,
)
from tests.runtime.kit import Box, Do, Gate, Puppet, Short, idle, reason_of, refuse


class Base(Request[str], frozen=True):
    pass


class Derived(Base, frozen=True):
    pass


class MoreDerived(Derived, frozen=True):
    pass


class Greeter(SupervisedActor):
    @handles(Base)
    def base(self, _message: Base) -> str:
        return "base"

    @handles(int, float)
    def number(self, message: float) -> str:
        return f"number {message}"


class PoliteGreeter(Greeter):
    def base(self, _message: Base) -> str:
        return "polite base"


class ExactGreeter(Greeter):
    @handles(Derived)
    def derived(self, _message: Derived) -> str:
        return "derived"


class Unhashable(type):
    """Classes that are compared by something, and by that alone."""

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # on purpose

    def __eq__(cls, other: object) -> bool:
        return cls is other


class Odd(metaclass=Unhashable):
    """A message that no dict can look up by its class."""


class TestAMessageWhoseClassIsNotHashable:
    @pytest.mark.parametrize("actor", [Puppet, Short])
    def test_is_refused_to_who_asks_and_the_actor_lives(
        self, system: ActorSystem, actor: type[Any]
    ) -> None:
        ref = system.spawn(actor).wait_started()
        idle(ref)

        with pytest.raises(UnhandledMessage, match="Odd"):
            ref.ask(Odd())
        assert ref.is_alive()

    def test_that_is_told_becomes_a_dead_letter(self, system: ActorSystem) -> None:
        ref = system.spawn(Greeter).wait_started()

        ref.tell(Odd())

        assert ref.ask(3) == "number 3"
        assert system.dead_letters.count == 1

    def test_is_not_blamed_for_the_type_error_of_a_handler(self, system: ActorSystem) -> None:
        def fail(_actor: Any) -> None:
            raise TypeError("its own")

        ref = system.spawn(Puppet).wait_started()

        with pytest.raises(TypeError, match="its own"):
            ref.ask(Do(fail))
        assert not ref.is_alive()


class TestATell:
    def test_reaches_the_handler_of_its_type(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)

        ref.tell(Do(lambda _: box.put("handled")))

        assert box.take() == "handled"

    def test_may_be_any_object(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put)
        messages: list[Any] = [{"a": 1}, "text", 3, None, (1, 2), object]

        for message in messages:
            ref.tell(message)

        assert box.take_many(len(messages)) == messages

    def test_keeps_its_place_behind_earlier_ones_of_the_same_sender(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        for number in range(1000):
            ref.tell(number)

        assert box.take_many(1000) == list(range(1000))

    def test_sent_before_the_start_is_complete_waits_for_it(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        ref = system.spawn(Puppet, starts=lambda _: (gate.wait(), box.put("started")))
        ref.tell(Do(lambda _: box.put("handled")))

        gate.open()

        assert box.take_many(2) == ["started", "handled"]

    def test_to_an_actor_that_has_ended_is_refused(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.stop()

        with pytest.raises(ActorDeadError):
            ref.tell("too late")

    def test_to_oneself_is_handled_after_the_message_in_hand(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            actor.actor_ref.tell(Do(lambda _: box.put("second")))
            box.put("first")

        ref.tell(Do(act))

        assert box.take_many(2) == ["first", "second"]

    def test_by_a_finalizer_that_the_collector_runs_under_the_runtimes_lock_arrives(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, hears=box.put)

        class Telling:
            def __init__(self) -> None:
                self.myself = self

            def __del__(self) -> None:
                ref.tell("a last word")

        Telling()
        with system.rare:
            gc.collect()

        assert box.take() == "a last word"

    def test_that_is_refused_leaves_the_actor_alive(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.tell(Do(refuse))

        idle(ref)
        assert ref.is_alive()


class TestHandlers:
    def test_one_handler_at_a_time_runs_in_an_actor(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        senders = [system.spawn(Puppet) for _ in range(4)]
        inside: list[int] = []
        most: list[int] = []

        def act(_actor: Any) -> None:
            inside.append(1)
            most.append(len(inside))
            inside.pop()

        answers = [
            sender.ask(
                Do(lambda _: [ref.ask(Do(act)) for _ in range(100)]), block=False, timeout=20.0
            )
            for sender in senders
        ]
        for answer in answers:
            answer.get()

        assert len(most) == 400
        assert max(most) == 1

    def test_a_message_goes_to_the_handler_of_its_base_class(self, system: ActorSystem) -> None:
        ref = system.spawn(Greeter)

        assert ref.ask(MoreDerived()) == "base"

    def test_the_nearest_base_class_wins(self, system: ActorSystem) -> None:
        ref = system.spawn(ExactGreeter)

        assert [ref.ask(Base()), ref.ask(Derived()), ref.ask(MoreDerived())] == [
            "base",
            "derived",
            "derived",
        ]

    def test_an_override_in_a_subclass_needs_no_second_mark(self, system: ActorSystem) -> None:
        ref = system.spawn(PoliteGreeter)

        assert ref.ask(Base()) == "polite base"

    def test_one_method_may_handle_several_types(self, system: ActorSystem) -> None:
        ref = system.spawn(Greeter)

        assert [ref.ask(1), ref.ask(0.5)] == ["number 1", "number 0.5"]

    def test_a_message_without_a_handler_is_refused_and_the_actor_lives(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(Greeter)

        with pytest.raises(UnhandledMessage, match="Greeter has no handler for str"):
            ref.ask("what?")

        assert ref.is_alive()

    def test_an_exit_reason_that_is_sent_is_refused_as_what_it_is(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn(Greeter)

        with pytest.raises(UnhandledMessage, match="no handler for the exit reason Shutdown"):
            ref.ask(Shutdown())

        assert ref.is_alive()

    def test_a_mark_without_a_type_is_a_programmers_slip(self) -> None:
        with pytest.raises(TypeError, match="message classes"):
            handles()
        with pytest.raises(TypeError, match="message classes"):
            handles("Base")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def test_are_one_for_a_type_in_one_class_body(self) -> None:
        def one(_actor: SupervisedActor, _message: Base) -> str:
            return "one"

        def two(_actor: SupervisedActor, _message: Base) -> str:
            return "two"

        body = {"one": handles(Base)(one), "two": handles(Derived, Base)(two)}

        with pytest.raises(InvalidSpec, match=r"Torn\.two.*Mark one method for Base: one is"):
            type("Torn", (SupervisedActor,), body)

    def test_may_have_two_names(self) -> None:
        class Twice(SupervisedActor):
            @handles(Base)
            def one(self, _message: Base) -> str:
                return "one"

            another = one

        assert Twice.another is Twice.one


class TestARef:
    def test_names_its_class(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert "Puppet" in str(ref)
        assert repr(ref).startswith("<ActorRef for Puppet")

    def test_keeps_its_urn(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert ref.actor_urn == ref.actor_urn
        assert ref.ask(Do(lambda actor: actor.actor_urn)) == ref.actor_urn

    def test_is_what_the_actor_calls_its_own(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert ref.ask(Do(lambda actor: actor.actor_ref)) is ref

    def test_says_dead_for_ever_after_the_end(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.stop()

        assert not ref.is_alive()
        assert ref.is_dead
        assert ref.actor_stopped.is_set()

    def test_does_not_keep_the_actor_after_the_end(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.stop()
        reason_of(ref)

        assert ref.actor is None

    def test_shows_how_many_messages_wait(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet)
        box = Box(system)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()
        ref.tell(Do(lambda _: None))
        ref.tell(Do(lambda _: None))

        assert ref.mailbox_size == 2
        assert ref.actor_inbox.qsize() == 2
        assert not ref.actor_inbox.empty()
        gate.open()
        idle(ref)
        assert ref.actor_inbox.empty()


class TestADropIn:
    def test_pykkas_start_runs_actors_in_the_processs_own_system(self) -> None:
        class Echo(PooledActor):
            def on_receive(self, message: Any) -> Any:
                return message

        ref = Echo.start()

        assert ref.ask("hello", timeout=20) == "hello"
        assert ref.stop()
