"""Names that stay while incarnations come and go: law 5."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownMemberType=false
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    Address,
    ChildSpec,
    IdleTimeout,
    InvalidSpec,
    MailboxFull,
    NameTaken,
    Settings,
    Supervisor,
    Timeout,
)
from callboard.supervision.testing import Simulation
from tests.runtime.kit import (
    Boom,
    Box,
    Do,
    Gate,
    Puppet,
    Short,
    boom,
    crash,
    idle,
    reason_of,
    threads_only,
)

MEDDLES_S = 0.1
"""How long somebody who comes in between is waited for; held off, it takes all of that."""


def enter(address: Address[Any], *args: Any, kind: type[Puppet] = Puppet, **kwargs: Any) -> Any:
    """Start the next incarnation at an address."""
    ref: ActorRef[Any] = address.system.start_child(None, kind, args, kwargs, address=address)
    return ref


class Trap(SimpleQueue[Any]):
    """A mailbox in which something happens between two steps of whoever uses it."""

    before_a_look: Callable[[], object] | None = None
    before_a_put: Callable[[], object] | None = None
    after_a_put: Callable[[], object] | None = None

    def qsize(self) -> int:
        size = super().qsize()
        if size and self.before_a_look is not None:
            happens, self.before_a_look = self.before_a_look, None
            happens()
        return size

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 -- the queue's own signature
        if self.before_a_put is not None:
            self.before_a_put()
        super().put(item, block, timeout)
        if self.after_a_put is not None:
            self.after_a_put()


class TestAName:
    def test_finds_its_address_without_a_message(self, system: ActorSystem) -> None:
        ref = system.spawn_named("ada", Puppet)

        found = system.lookup("ada")

        assert found is not None
        assert found.ref is ref
        assert found.name == "ada"
        assert system.lookup("nobody") is None

    def test_belongs_to_one_at_a_time(self, system: ActorSystem) -> None:
        system.spawn_named("ada", Puppet)

        with pytest.raises(NameTaken) as caught:
            system.spawn_named("ada", Puppet)

        assert caught.value.name == "ada"
        assert caught.value.holder is system.lookup("ada")

    @pytest.mark.parametrize(
        "end",
        [lambda ref: ref.stop(), lambda ref: ref.kill(), crash],
        ids=["stop", "kill", "crash"],
    )
    def test_is_free_again_when_its_actor_has_ended(self, system: ActorSystem, end: Any) -> None:
        ref = system.spawn_named("ada", Puppet)

        end(ref)

        assert system.lookup("ada") is None
        system.spawn_named("ada", Puppet)

    def test_can_be_given_to_an_actor_that_runs(self, system: ActorSystem, box: Box) -> None:
        """Source: S95 of OTP's rules."""
        ref = system.spawn(Puppet, hears=box.put).wait_started()

        address = system.register("ada", ref)

        assert system.lookup("ada") is address
        assert address.ref is ref
        assert ref.name == "ada"
        address.tell("hello")
        assert box.take() == "hello"

    @pytest.mark.parametrize(
        "end",
        [lambda ref: ref.stop(), lambda ref: ref.kill(), crash],
        ids=["stop", "kill", "crash"],
    )
    def test_that_was_given_later_is_free_when_its_actor_has_ended(
        self, system: ActorSystem, end: Any
    ) -> None:
        ref = system.spawn(Puppet).wait_started()
        address = system.register("ada", ref)

        end(ref)

        assert system.lookup("ada") is None
        with pytest.raises(ActorDeadError):
            address.tell("hello")
        with pytest.raises(ActorDeadError):
            system.register("ada", ref)
        assert system.lookup("ada") is None

    def test_is_one_for_an_actor_and_an_actor_for_one(self, system: ActorSystem) -> None:
        ada, bob = system.spawn(Puppet), system.spawn(Puppet)
        address = system.register("ada", ada)

        with pytest.raises(NameTaken) as taken:
            system.register("ada", bob)
        with pytest.raises(InvalidSpec, match="'ada'"):
            system.register("countess", ada)

        assert taken.value.holder is address
        assert system.lookup("countess") is None
        assert system.register("bob", bob).ref is bob

    def test_can_be_taken_away(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, hears=box.put).wait_started()
        address = system.register("ada", ref)

        system.unregister("ada")

        assert system.lookup("ada") is None
        assert not address.is_alive()
        with pytest.raises(ActorDeadError):
            system.unregister("ada")
        assert system.register("countess", ref).ref is ref
        system.spawn_named("ada", Puppet)
        ref.tell("hello")
        assert box.take() == "hello"

    def test_of_a_child_stays_with_it(self, system: ActorSystem) -> None:
        spec = ChildSpec(id="ada", start=Puppet, name="ada")
        system.spawn(Supervisor, [spec]).wait_started()

        with pytest.raises(InvalidSpec, match="spec"):
            system.unregister("ada")

    def test_is_for_actors_of_the_same_system(self, system: ActorSystem) -> None:
        simulation = Simulation()
        with simulation, ActorSystem("other", runtime=simulation.runtime) as other:
            stranger = other.spawn(Puppet)

            with pytest.raises(InvalidSpec, match="this system"):
                system.register("ada", stranger)

        assert system.lookup("ada") is None

    def test_is_free_again_when_the_start_failed(self, system: ActorSystem) -> None:
        ref = system.spawn_named("ada", Puppet, starts=boom)
        reason_of(ref)

        system.spawn_named("ada", Puppet)

    def test_is_what_errors_call_the_actor(self, system: ActorSystem) -> None:
        ref = system.spawn_named("ada", Puppet)
        ref.stop()

        with pytest.raises(ActorDeadError, match="ada"):
            ref.tell("hello")

    def test_may_be_given_back_by_two_at_once(self) -> None:
        class Meddled(dict[str, Address[Any]]):
            """Somebody else gives the name back as soon as anybody has looked at it."""

            other: threading.Thread | None = None

            def get(self, name: str, default: Any = None) -> Any:
                found = super().get(name, default)
                if self.other is None:
                    self.other = threading.Thread(target=partial(system.release, address))
                    self.other.start()
                    self.other.join(MEDDLES_S)
                return found

        with ActorSystem("meddled") as system:
            address = system.reserve("ada")
            names = system.names = Meddled(system.names)

            system.release(address)

            assert names.other is not None
            names.other.join()
            assert "ada" not in names

    def test_means_nothing_in_another_system(self, system: ActorSystem) -> None:
        system.spawn_named("ada", Puppet)

        with ActorSystem("another") as another:
            assert another.lookup("ada") is None
            another.spawn_named("ada", Puppet)


class TestAnAddress:
    def test_answers_as_its_actor_does(self, system: ActorSystem, box: Box) -> None:
        system.spawn_named("ada", Puppet, hears=box.put)
        address = system.lookup("ada")
        assert address is not None

        address.tell("hello")

        assert box.take() == "hello"
        assert address.ask(Do(lambda _: 1)) == 1
        assert address.ask(Do(lambda _: 2), block=False).get() == 2

    def test_answers_again_after_a_restart_and_the_old_ref_says_dead(
        self, system: ActorSystem
    ) -> None:
        address = system.reserve("ada")
        old = enter(address)
        crash(old)
        new = enter(address)

        assert address.ask(Do(lambda actor: actor.actor_ref)) is new
        with pytest.raises(ActorDeadError):
            old.tell("hello")

    def test_numbers_its_incarnations(self, system: ActorSystem) -> None:
        address = system.reserve("ada")
        numbers = []
        for _ in range(3):
            ref = enter(address)
            numbers.append(ref.ask(Do(lambda actor: actor.incarnation)))
            ref.stop()

        assert numbers == [1, 2, 3]

    def test_where_nobody_is_refuses_at_once(self, system: ActorSystem) -> None:
        address = system.reserve("ada")

        with pytest.raises(ActorDeadError):
            address.tell("hello")
        with pytest.raises(ActorDeadError):
            address.ask("hello")

        assert not address.is_alive()
        assert address.ref is None
        assert address.mailbox_size == 0

    def test_is_not_left_twice_by_an_older_incarnation(self, system: ActorSystem) -> None:
        address = system.reserve("ada")
        old = enter(address)
        old.stop()
        new = enter(address)

        address.leave(old)

        assert address.ref is new

    def test_that_was_given_back_is_free(self, system: ActorSystem) -> None:
        address = system.reserve("ada")

        system.release(address)

        assert system.reserve("ada") is not address

    def test_given_back_late_does_not_hurt_the_new_holder(self, system: ActorSystem) -> None:
        old = system.reserve("ada")
        system.release(old)
        new = system.reserve("ada")

        system.release(old)

        assert system.lookup("ada") is new

    @threads_only
    def test_can_be_awaited(self, system: ActorSystem) -> None:
        import asyncio  # noqa: PLC0415

        system.spawn_named("ada", Puppet)
        address = system.lookup("ada")
        assert address is not None

        assert asyncio.run(_ask(address)) == 1

    def test_that_may_not_wait_finds_every_refusal_in_its_future(self, system: ActorSystem) -> None:
        nobody = system.reserve("nobody")
        full = system.reserve("full", keeps_mailbox=True)
        full.mailbox_max = 0

        assert type(nobody.ask("now?", block=False).error) is ActorDeadError
        assert type(nobody.ask_at_once("now?").error) is ActorDeadError
        assert type(full.ask("now?", block=False).error) is MailboxFull


async def _ask(address: Address[Any]) -> int:
    return await address.ask_async(Do(lambda _: 1))


class TestAKeptMailbox:
    def test_leaves_to_the_next_incarnation_what_a_kill_kept_the_last_from_taking(
        self, system: ActorSystem
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        trap = address.items = Trap()
        first = enter(address, hears=lambda _: "the first").wait_started()
        trap.before_a_look = first.kill
        answer = address.ask("who are you?", block=False)
        reason_of(first)

        enter(address, hears=lambda _: "the second")

        assert answer.get() == "the second"

    def test_is_made_for_what_waits_and_given_up_with_an_incarnation_that_leaves_it_empty(
        self, system: ActorSystem
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        assert address.items is None
        answer = address.ask(Do(lambda _: "served"), block=False)
        assert address.mailbox_size == 1
        first = enter(address)
        assert answer.get() == "served"

        first.stop()

        assert address.items is None
        answer = address.ask(Do(lambda actor: actor.incarnation), block=False)
        enter(address)
        assert answer.get() == 2

    @pytest.mark.parametrize("send", ["ask", "notify", "ask the ref"])
    @pytest.mark.parametrize("moment", ["before_a_put", "after_a_put"])
    def test_that_is_given_up_while_somebody_sends_loses_nothing(
        self, system: ActorSystem, box: Box, send: str, moment: str
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        trap = address.items = Trap()
        first = enter(address, hears=box.put).wait_started()
        setattr(trap, moment, first.kill)

        if send == "notify":
            address.notify("hello")
        else:
            who: Any = address if send == "ask" else first
            who.ask("hello", block=False)
        enter(address, hears=box.put)

        assert box.take_many(1) == ["hello"]

    def test_that_is_given_up_keeps_the_order_of_each_sender(
        self, system: ActorSystem, box: Box
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        trap = address.items = Trap()
        first = enter(address, hears=box.put).wait_started()

        def overtake() -> None:
            if first.is_dead:
                return
            first.kill()
            SimpleQueue.put(trap, ("of another, who is held up just now", None, copy_context()))

        trap.before_a_put = overtake
        address.tell("one")
        address.tell("two")
        enter(address, hears=box.put)

        assert box.take_many(3) == ["of another, who is held up just now", "one", "two"]

    def test_that_is_closed_under_a_notice_answers_what_waits_there(
        self, system: ActorSystem
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        trap = address.items = Trap()
        answer = address.ask("still there?", block=False)
        trap.after_a_put = address.close

        assert address.notify("a notice") is False
        assert type(answer.error) is ActorDeadError
        assert trap.empty()

    def test_holds_messages_while_nobody_is_there(self, system: ActorSystem, box: Box) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        for number in range(5):
            address.tell(number)
        assert address.mailbox_size == 5

        enter(address, hears=box.put)

        assert box.take_many(5) == [0, 1, 2, 3, 4]

    def test_lets_an_ask_wait_for_the_next_incarnation(self, system: ActorSystem) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        answer = address.ask(Do(lambda actor: actor.incarnation), block=False)

        enter(address)

        assert answer.get() == 1

    @pytest.mark.parametrize("end", ["crash", "kill", "exit"])
    def test_serves_what_waits_to_the_next_incarnation_in_order(
        self, system: ActorSystem, gate: Gate, box: Box, end: str
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        first = enter(address, hears=box.put)
        address.tell(
            Do(lambda _: (box.put("in hand"), gate.wait(), boom() if end == "crash" else None))
        )
        assert box.take() == "in hand"
        for number in range(5):
            address.tell(number)
        answer = address.ask(Do(lambda actor: actor.incarnation), block=False)

        if end == "kill":
            first.kill()
        elif end == "exit":
            first.exit()
        gate.open()
        reason_of(first)
        enter(address, hears=box.put)

        assert box.take_many(5) == [0, 1, 2, 3, 4]
        assert answer.get() == 2

    def test_does_not_deliver_the_message_in_hand_again(
        self, system: ActorSystem, box: Box
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        first = enter(address)
        answer = address.ask(Do(lambda _: (box.put("in hand"), boom())), block=False)

        with pytest.raises(Boom):
            answer.get()
        reason_of(first)
        idle(enter(address))

        assert box.waiting == ["in hand"]

    def test_has_the_systems_bound(self) -> None:
        with ActorSystem("small", settings=Settings(mailbox_max=3)) as system:
            address = system.reserve("ada", keeps_mailbox=True)
            for number in range(3):
                address.tell(number)

            with pytest.raises(MailboxFull) as caught:
                address.tell("one too many")

            assert caught.value.unsent == "one too many"
            assert caught.value.mailbox_max == 3
            assert caught.value.address == "ada"

    def test_answers_what_waits_when_the_name_is_given_back(self, system: ActorSystem) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        address.tell("nobody will hear this")
        answer = address.ask(Do(lambda _: None), block=False)

        system.release(address)

        with pytest.raises(ActorDeadError):
            answer.get()
        assert system.dead_letters.count == 1
        with pytest.raises(ActorDeadError):
            address.tell("too late")

    def test_ends_a_waiting_ask_at_its_deadline(self, system: ActorSystem) -> None:
        address = system.reserve("ada", keeps_mailbox=True)

        with pytest.raises(Timeout):
            address.ask(Do(lambda _: None), timeout=0.01)

    def test_calls_for_somebody_when_nobody_is_there(self, system: ActorSystem) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        calls: list[str] = []
        address.when_nobody = lambda: calls.append("wanted")

        address.tell("hello")

        assert calls == ["wanted"]

    def test_does_not_call_while_somebody_is(self, system: ActorSystem) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        calls: list[str] = []
        address.when_nobody = lambda: calls.append("wanted")
        ref = enter(address)

        address.tell(Do(lambda _: None))
        idle(ref)

        assert calls == []

    def test_serves_what_came_by_ref_and_by_address_in_one_line(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        address = system.reserve("ada", keeps_mailbox=True)
        ref = enter(address, hears=box.put)
        ref.tell(Do(gate.wait))
        for number in range(3):
            address.tell(("address", number))
            ref.tell(("ref", number))

        gate.open()

        assert box.take_many(6) == [(by, n) for n in range(3) for by in ("address", "ref")]

    def test_hands_off_to_an_idle_short_actor(self, system: ActorSystem) -> None:
        import threading  # noqa: PLC0415

        address = system.reserve("ada", keeps_mailbox=True)
        ref = enter(address, kind=Short)
        idle(ref)

        def thread(_actor: Any) -> str:
            return threading.current_thread().name

        assert address.ask(Do(thread)) == threading.current_thread().name

    def test_does_not_pass_on_what_the_old_incarnation_was_to_be_told(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        """Timers, Downs and the like concern one incarnation: they die with it."""
        address = system.reserve("ada", keeps_mailbox=True)
        other = system.spawn(Puppet)
        first = enter(address, hears=box.put)
        first.ask(Do(lambda actor: (actor.monitor(other), actor.send_after(0.0, "timer"))[0]))
        assert box.take() == "timer"
        first.tell(
            Do(
                lambda actor: (
                    actor.send_after(0.0, "timer"),
                    box.put("in hand"),
                    gate.wait(),
                    boom(),
                )
            )
        )
        assert box.take() == "in hand"
        other.kill()
        first.notify(IdleTimeout())
        ticked = Gate(system)
        system.timers.call_at(system.clock.now_s() + 0.01, ticked.open)
        ticked.wait()
        address.tell("a message")

        gate.open()
        reason_of(first)
        idle(enter(address, hears=box.put))

        assert box.waiting == ["a message"]
