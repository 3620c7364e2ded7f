"""A child with a name is reached under it whatever becomes of its incarnations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka
import pytest

from callboard.supervision import (
    LATER,
    ActorDeadError,
    ActorRef,
    Address,
    AskCycle,
    Backoff,
    ChildSpec,
    ChildStartFailed,
    Crashed,
    DeleteChild,
    DynamicSupervisor,
    Future,
    InvalidSpec,
    Normal,
    RestartChild,
    RestartType,
    RestartWindow,
    Shutdown,
    SpecRefused,
    StartChild,
    StartFailed,
    Strategy,
    Supervisor,
    TerminateChild,
)
from tests.runtime.kit import Boom, Do, Gate, Puppet, boom, reason_of
from tests.tree.kit import Times, Tree, choose_not_to_run

SOON = Backoff(delays_s=(1.0,))


def name_of(actor: Any) -> object:
    return actor.name, actor.incarnation


def numbered(n: int, actor: Any) -> tuple[int, int]:
    return n, actor.incarnation


def address(tree: Tree, name: str) -> Address[Any]:
    found = tree.system.lookup(name)
    assert found is not None
    return found


def cell_at(tree: Tree, name: str) -> ActorRef[Any]:
    """Return the ref of who lives at an address now."""
    ref = address(tree, name).ref
    assert ref is not None
    return ref


def noted(handled: list[int], actor: Any) -> Callable[[Any], None]:
    """Return what a handler does that notes the life in which it was made."""
    incarnation = actor.incarnation
    return lambda _: handled.append(incarnation)


def name_at(address: Address[Any]) -> str:
    """Return the name of whoever answers at an address."""
    answer: Any = address.ask(Do(name_of))
    return str(answer[0])


class TestAnAddress:
    def test_answers_for_the_child(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada"))

        assert address(tree, "ada").ask(Do(name_of)) == ("a", 1)

    def test_answers_again_after_a_restart(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada"))
        ada = address(tree, "ada")

        old = tree.crash("a")

        assert ada.ask(Do(name_of)) == ("a", 2)
        with pytest.raises(ActorDeadError):
            old.ask(Do(name_of))

    def test_stays_the_same_over_every_restart(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada"), intensity=5)
        ada = address(tree, "ada")

        for _ in range(3):
            tree.kill("a")

        assert address(tree, "ada") is ada
        assert ada.ask(Do(name_of)) == ("a", 4)

    def test_says_that_nobody_is_there_while_the_child_waits_for_its_restart(
        self, tree: Tree
    ) -> None:
        tree.grow(tree.spec("a", name="ada", backoff=SOON))
        tree.crash("a")

        with pytest.raises(ActorDeadError):
            address(tree, "ada").ask(Do(name_of))

    def test_is_kept_while_the_child_is_stopped(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada"))
        ada = address(tree, "ada")

        top.ask(TerminateChild("a"))
        top.ask(RestartChild("a"))

        assert name_at(ada) == "a"

    def test_is_given_back_with_the_spec(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada"))
        top.ask(TerminateChild("a"))

        top.ask(DeleteChild("a"))

        assert tree.system.lookup("ada") is None

    def test_is_given_back_when_a_temporary_child_ends(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada", restart=RestartType.TEMPORARY))

        tree.crash("a")

        assert tree.system.lookup("ada") is None

    def test_is_given_back_when_the_supervisor_ends(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada"))

        top.exit(Shutdown())

        assert reason_of(top) == Shutdown()
        assert tree.system.lookup("ada") is None

    def test_is_given_back_when_the_child_never_started(self, tree: Tree) -> None:
        tree.behaviour("a").on_start = boom
        top = tree.grow()

        with pytest.raises(ChildStartFailed):
            top.ask(StartChild(tree.spec("a", name="ada")))

        assert tree.system.lookup("ada") is None

    def test_is_given_back_when_the_supervisor_is_killed(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada"))

        top.kill()
        tree.world.settle()

        assert tree.system.lookup("ada") is None

    def test_is_there_again_when_a_killed_supervisor_has_come_back(self, tree: Tree) -> None:
        tree.grow(tree.sub("inner", tree.spec("a", name="ada")), intensity=10)

        tree.kill("inner")

        assert name_at(address(tree, "ada")) == "a"
        assert tree.ref("inner/a").is_alive()

    def test_waits_for_the_cleanup_of_a_predecessor_whose_supervisor_was_killed(
        self, tree: Tree
    ) -> None:
        gate = Gate(tree.system)
        tree.grow(tree.sub("inner", tree.spec("a", name="ada"), intensity=50), intensity=50)
        tree.behaviour("a").on_end = gate.wait
        old = tree.ref("inner/a")

        tree.ref("inner").kill()
        tree.world.settle()
        gate.open()
        tree.world.settle()

        assert not old.is_alive()
        assert name_at(address(tree, "ada")) == "a"


class TestATakenName:
    def test_fails_the_start_of_the_child(self, tree: Tree) -> None:
        tree.system.spawn_named("ada", Puppet).wait_started()

        with pytest.raises(StartFailed) as failed:
            tree.grow(tree.spec("a", name="ada"))

        reason = failed.value.reason
        assert isinstance(reason, Shutdown)
        assert reason.cause is not None
        assert isinstance(reason.cause.reason, Crashed)
        assert reason.cause.reason.error.endswith("NameTaken")

    def test_stays_with_its_holder(self, tree: Tree) -> None:
        holder = tree.system.spawn_named("ada", Puppet).wait_started()

        with pytest.raises(StartFailed):
            tree.grow(tree.spec("a", name="ada"))

        assert address(tree, "ada").ref is holder


class TestANameThatIsSpokenFor:
    """Whose holder is between two lives, or stopped: it is that child's all the same."""

    def test_is_kept_from_a_sibling_while_its_holder_waits_for_a_restart(self, tree: Tree) -> None:
        top = tree.plant(tree.system.spawn(DynamicSupervisor))
        top.ask(StartChild(tree.spec("a", name="ada", keeps_mailbox=True, backoff=SOON)))
        tree.crash("a")
        asked = address(tree, "ada").ask(Do(name_of), block=False, timeout=60)

        with pytest.raises(ChildStartFailed, match="NameTaken"):
            top.ask(StartChild(tree.spec("b", name="ada")))

        tree.world.advance(2)
        assert asked.get() == ("a", 2)
        assert tree.running() == "a"

    def test_is_kept_from_a_sibling_while_its_holder_is_stopped(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada"))
        top.ask(TerminateChild("a"))

        with pytest.raises(ChildStartFailed, match="NameTaken"):
            top.ask(StartChild(tree.spec("b", name="ada")))

        top.ask(DeleteChild("a"))
        top.ask(StartChild(tree.spec("b", name="ada")))
        assert name_at(address(tree, "ada")) == "b"

    def test_is_kept_from_others_while_its_holder_waits_for_a_predecessor(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.grow(tree.sub("inner", tree.spec("a", name="ada")), intensity=50)
        other = tree.system.spawn(DynamicSupervisor).wait_started()
        tree.behaviour("a").on_end = gate.wait
        tree.ref("inner").kill()
        tree.world.settle()

        thief = other.ask(StartChild(tree.spec("b", name="ada")), block=False, timeout=60)
        tree.world.settle()
        gate.open()
        tree.world.settle()

        with pytest.raises(ChildStartFailed, match="NameTaken"):
            thief.get()
        assert name_at(address(tree, "ada")) == "a"

    def test_is_kept_from_a_child_until_an_actor_without_supervisor_has_given_it_back(
        self, tree: Tree
    ) -> None:
        top = tree.plant(tree.system.spawn(DynamicSupervisor))
        failures: list[str] = []

        def ask_for_it(_reason: object) -> None:
            with pytest.raises(ChildStartFailed) as failed:
                top.ask(StartChild(tree.spec("b", name="ada")))
            failures.append(str(failed.value))

        ada = tree.system.spawn(Puppet).wait_started()
        ada.when_dead("before the name is given back", ask_for_it)
        tree.system.register("ada", ada)
        ada.kill()
        tree.world.settle()

        assert len(failures) == 1
        assert "NameTaken" in failures[0]
        top.ask(StartChild(tree.spec("b", name="ada")))
        assert name_at(address(tree, "ada")) == "b"


class TestAReservedName:
    def test_is_lived_in_by_the_child_that_asks_for_it_and_stays_when_that_goes(
        self, tree: Tree
    ) -> None:
        ada = tree.system.reserve("ada", keeps_mailbox=True)
        top = tree.grow(tree.spec("a", name="ada"))
        assert name_at(ada) == "a"

        top.ask(TerminateChild("a"))
        top.ask(DeleteChild("a"))
        asked = ada.ask(Do(name_of), block=False, timeout=60)
        top.ask(StartChild(tree.spec("b", name="ada")))

        assert asked.get() == ("b", 2)

    def test_is_one_childs_at_a_time(self, tree: Tree) -> None:
        tree.system.reserve("ada")
        tree.grow(tree.spec("a", name="ada", backoff=SOON))
        other = tree.system.spawn(DynamicSupervisor).wait_started()
        tree.crash("a")

        with pytest.raises(ChildStartFailed, match="NameTaken"):
            other.ask(StartChild(tree.spec("b", name="ada")))

    def test_is_no_running_actors_to_lose(self, tree: Tree) -> None:
        tree.system.reserve("ada")

        with pytest.raises(InvalidSpec):
            tree.system.unregister("ada")


class TestAMailboxThatIsKept:
    def test_serves_what_waits_with_the_next_incarnation_in_order(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada", keeps_mailbox=True, backoff=SOON))
        ada = address(tree, "ada")
        tree.crash("a")

        asked = [ada.ask(Do(partial(numbered, n)), block=False, timeout=60) for n in range(5)]
        tree.world.advance(2)

        assert [each.get() for each in asked] == [(n, 2) for n in range(5)]

    def test_does_not_deliver_the_message_again_that_was_being_handled(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada", keeps_mailbox=True))
        ada = address(tree, "ada")
        handled: list[int] = []

        def fail(actor: Any) -> None:
            handled.append(actor.incarnation)
            boom()

        failing = ada.ask(Do(fail), block=False)
        behind = ada.ask(Do(name_of), block=False)
        tree.world.settle()

        with pytest.raises(Boom):
            failing.get()
        assert behind.get() == ("a", 2)
        assert handled == [1]

    def test_keeps_what_waits_over_a_kill(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada", keeps_mailbox=True))
        ada = address(tree, "ada")
        tree.ref("a").suspend()
        tree.world.settle()

        asked = [ada.ask(Do(name_of), block=False) for _ in range(3)]
        tree.kill("a")

        assert [each.get() for each in asked] == [("a", 2)] * 3

    def test_answers_what_waits_when_the_child_is_deleted(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada", keeps_mailbox=True))
        ada = address(tree, "ada")
        top.ask(TerminateChild("a"))

        asked = ada.ask(Do(name_of), block=False)
        top.ask(DeleteChild("a"))

        with pytest.raises(ActorDeadError):
            asked.get()

    def test_answers_what_waits_when_the_supervisor_has_given_up(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a", name="ada", keeps_mailbox=True), intensity=0)
        ada = address(tree, "ada")
        tree.ref("a").suspend()
        tree.world.settle()

        asked = ada.ask(Do(name_of), block=False)
        tree.ref("a").kill()

        assert reason_of(top) == Shutdown()
        tree.world.settle()
        with pytest.raises(ActorDeadError):
            asked.get()

    def test_survives_a_killed_supervisor(self, tree: Tree) -> None:
        inner = tree.sub("inner", tree.spec("a", name="ada", keeps_mailbox=True), intensity=50)
        tree.grow(inner, intensity=50)
        tree.ref("inner/a").suspend()
        tree.world.settle()

        asked = address(tree, "ada").ask(Do(name_of), block=False, timeout=60)
        tree.kill("inner")

        assert asked.is_done


class TestAMailboxOfAChildThatDoesNotComeBack:
    """What waits there is answered when that is decided, and what comes after is refused."""

    def given_up(self, tree: Tree, how: str) -> Address[Any]:
        options: dict[str, Any] = {"name": "ada", "keeps_mailbox": True}
        if how == "finished":
            options["restart"] = RestartType.TRANSIENT
        elif how == "budget spent":
            options["budget"] = RestartWindow(intensity=0, period_s=60.0)
        elif how == "chose not to run":
            tree.behaviour("a").on_start = lambda actor: (
                choose_not_to_run(actor) if actor.incarnation > 1 else None
            )
        top = tree.grow(tree.spec("a", **options), intensity=None)
        ada = address(tree, "ada")
        if how == "finished":
            tree.exit("a", Normal())
        elif how == "terminated":
            top.ask(TerminateChild("a"))
        else:
            tree.crash("a")
        return ada

    @pytest.mark.parametrize("how", ["finished", "budget spent", "terminated", "chose not to run"])
    def test_refuses_an_ask_at_once_and_makes_a_tell_a_dead_letter(
        self, tree: Tree, how: str
    ) -> None:
        ada = self.given_up(tree, how)

        asked = ada.ask(Do(name_of), block=False, timeout=math.inf)

        assert isinstance(asked.error, ActorDeadError)
        with pytest.raises(ActorDeadError):
            ada.tell(Do(name_of))
        assert tree.system.lookup("ada") is ada  # the name stays with the spec

    @pytest.mark.parametrize("how", ["finished", "budget spent", "terminated"])
    def test_answers_what_waits_already(self, tree: Tree, how: str) -> None:
        gate = Gate(tree.system)
        options: dict[str, Any] = {"restart": RestartType.TRANSIENT}
        if how == "budget spent":
            options["budget"] = RestartWindow(intensity=0, period_s=60.0)
        top = tree.grow(tree.spec("a", name="ada", keeps_mailbox=True, **options))
        ada = address(tree, "ada")

        def work(actor: Any) -> None:
            gate.wait()
            if how == "finished":
                actor.stop()
            elif how == "budget spent":
                boom()

        ada.tell(Do(work))
        tree.world.settle()

        asked = ada.ask(Do(name_of), block=False, timeout=math.inf)
        ada.tell(Do(name_of))
        terminated = top.ask(TerminateChild("a"), block=False) if how == "terminated" else None
        tree.world.settle()
        gate.open()
        tree.world.settle()

        assert terminated is None or terminated.is_done
        assert isinstance(asked.error, ActorDeadError)
        assert tree.system.dead_letters.count == 1
        assert ada.mailbox_size == 0

    def test_is_opened_again_with_the_child(self, tree: Tree) -> None:
        ada = self.given_up(tree, "terminated")

        tree.top.ask(RestartChild("a"))
        tree.ref("a").suspend()
        tree.world.settle()
        asked = ada.ask(Do(name_of), block=False, timeout=60)
        tree.kill("a")

        assert asked.get() == ("a", 3)

    def test_is_closed_again_when_the_child_cannot_be_restarted(self, tree: Tree) -> None:
        ada = self.given_up(tree, "terminated")
        tree.behaviour("a").on_start = boom

        with pytest.raises(ChildStartFailed):
            tree.top.ask(RestartChild("a"))

        assert isinstance(ada.ask(Do(name_of), block=False).error, ActorDeadError)

    def test_is_opened_again_by_a_restart_of_its_group(self, tree: Tree) -> None:
        keeps = tree.spec("b", name="bob", keeps_mailbox=True)
        top = tree.grow(tree.spec("a"), keeps, strategy=Strategy.ONE_FOR_ALL, intensity=9)
        top.ask(TerminateChild("b"))

        tree.crash("a")
        tree.ref("b").suspend()
        tree.world.settle()
        asked = address(tree, "bob").ask(Do(name_of), block=False, timeout=60)
        tree.kill("b")

        assert asked.get() == ("b", 3)

    def test_waits_while_a_group_is_restarted_whose_start_fails_at_first(self, tree: Tree) -> None:
        """A sibling that stays stopped until the next attempt does come back."""
        keeps = tree.spec("b", name="bob", keeps_mailbox=True)
        tree.grow(tree.spec("a", backoff=SOON), keeps, strategy=Strategy.REST_FOR_ONE, intensity=9)
        tree.behaviour("a").on_start = Times(1, boom)
        tree.crash("a")
        tree.world.advance(1.5)  # the first attempt, which fails
        assert not address(tree, "bob").is_alive()

        asked = address(tree, "bob").ask(Do(name_of), block=False, timeout=60)
        tree.world.advance(10)

        assert asked.get() == ("b", 2)

    def test_of_a_name_that_was_reserved_is_left_open(self, tree: Tree) -> None:
        """Whoever reserved it says what becomes of what waits there."""
        ada = tree.system.reserve("ada", keeps_mailbox=True)
        top = tree.grow(tree.spec("a", name="ada"))
        top.ask(TerminateChild("a"))

        asked = ada.ask(Do(name_of), block=False, timeout=60)
        top.ask(RestartChild("a"))

        assert asked.get() == ("a", 2)


class TestAMailboxThatCannotBeKept:
    """pykka's own loop reads an inbox of its own."""

    def test_is_refused_before_a_sibling_starts(self, tree: Tree) -> None:
        plain = ChildSpec(id="p", start=pykka.ThreadingActor, name="p", keeps_mailbox=True)

        with pytest.raises(StartFailed, match=r"keeps_mailbox=True.*Derive ThreadingActor from"):
            tree.grow(tree.spec("a"), plain)

        assert tree.diary == []

    @pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
    def test_is_refused_when_it_is_asked_for(self, tree: Tree, kind: type[Supervisor]) -> None:
        top = tree.plant(tree.system.spawn(kind))
        plain = ChildSpec(id="p", start=partial(pykka.ThreadingActor), name="p", keeps_mailbox=True)

        with pytest.raises(SpecRefused) as refused:
            top.ask(StartChild(plain))

        assert refused.value.field == "keeps_mailbox"
        assert tree.system.lookup("p") is None


class TestAnAskThatHoldsUpARestart:
    """At a kept address whose child comes back only when the asker has ended: it would stall."""

    def ask_bob(self, tree: Tree, gate: Gate | None = None) -> Callable[[Any], object]:
        def ask(_actor: object) -> object:
            if gate is not None:
                gate.wait()
            return address(tree, "bob").ask(Do(name_of), timeout=math.inf)

        return ask

    @pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
    def test_is_refused_when_it_is_made_while_the_group_is_stopped(
        self, tree: Tree, strategy: Strategy
    ) -> None:
        gate = Gate(tree.system)
        bob = tree.spec("b", name="bob", keeps_mailbox=True)
        tree.grow(bob, tree.spec("a", name="ada"), strategy=strategy)
        asked = tree.ref("a").ask(Do(self.ask_bob(tree, gate)), block=False, timeout=math.inf)
        tree.world.settle()
        tree.crash("b")  # its supervisor now waits for the end of a

        gate.open()
        tree.world.settle()

        with pytest.raises(AskCycle, match=r"ada -> bob -> .* -> ada"):
            asked.get(timeout=0)
        assert tree.running() == "ba"
        assert tree.ref("a").incarnation == 2

    def test_is_refused_when_it_waits_already(self, tree: Tree) -> None:
        bob = tree.spec("b", name="bob", keeps_mailbox=True, backoff=SOON)
        tree.grow(bob, tree.spec("a"), strategy=Strategy.ONE_FOR_ALL)
        tree.crash("b")
        asked = tree.ref("a").ask(Do(self.ask_bob(tree)), block=False, timeout=math.inf)
        tree.world.settle()
        assert not asked.is_done  # it waits for b, as it may

        tree.world.advance(1.5)

        with pytest.raises(AskCycle):
            asked.get(timeout=0)
        assert tree.running() == "ba"

    def test_is_refused_where_another_has_passed_it_on(self, tree: Tree) -> None:
        """Whom a message is forwarded to owes the answer, and asks who waits for it."""
        kept = tree.spec("b", name="bob", keeps_mailbox=True)
        tree.grow(tree.spec("a", name="ada"), kept, tree.spec("c"))
        clerk = tree.ref("c")
        bob, ada = address(tree, "bob"), address(tree, "ada")
        caught: list[str] = []

        def ask_back(_actor: object) -> None:
            try:
                ada.ask(Do(name_of), timeout=math.inf)
            except AskCycle as cycle:
                caught.append(str(cycle))

        def pass_on(actor: Any) -> Any:
            bob.forward(Do(ask_back), actor.reply_later())
            return LATER

        asked = ada.ask(
            Do(lambda _: clerk.ask(Do(pass_on), timeout=math.inf)), block=False, timeout=math.inf
        )
        tree.world.settle()

        assert asked.get(timeout=0) is None, "it was answered when the other ask was refused"
        [said] = caught
        assert said.startswith("bob -> ada -> bob")

    def test_is_refused_deep_in_the_group(self, tree: Tree) -> None:
        bob = tree.spec("b", name="bob", keeps_mailbox=True, backoff=SOON)
        inner = tree.sub("inner", tree.spec("a"), tree.spec("c"))
        tree.grow(bob, inner, strategy=Strategy.ONE_FOR_ALL)
        tree.crash("b")
        asked = tree.ref("inner/a").ask(Do(self.ask_bob(tree)), block=False, timeout=math.inf)
        tree.world.settle()

        tree.world.advance(1.5)

        with pytest.raises(AskCycle):
            asked.get(timeout=0)
        assert tree.ref("inner/a").is_alive()

    def test_is_answered_when_it_comes_from_elsewhere(self, tree: Tree) -> None:
        bob = tree.spec("b", name="bob", keeps_mailbox=True, backoff=SOON)
        tree.grow(bob, tree.spec("a"), strategy=Strategy.ONE_FOR_ALL)
        stranger = tree.system.spawn(Puppet)
        tree.crash("b")
        asked = stranger.ask(Do(self.ask_bob(tree)), block=False, timeout=math.inf)
        tree.world.settle()

        tree.world.advance(1.5)

        assert asked.get(timeout=0) == ("b", 2)


class TestWhatAChildSentToItself:
    """It is for this life alone, like a timer; what is sent to one's address is not."""

    @staticmethod
    def holding(tree: Tree, act: Callable[[Any], object]) -> list[int]:
        """Have a kept child send itself something, behind a message that it crashes of."""
        tree.grow(tree.spec("a", name="ada", keeps_mailbox=True))
        handled: list[int] = []
        tree.ref("a").tell(Do(lambda actor: (act(Do(noted(handled, actor))), boom())))
        tree.world.settle()
        assert tree.ref("a").incarnation == 2
        return handled

    def test_does_not_outlive_it(self, tree: Tree) -> None:
        handled = self.holding(tree, lambda message: cell_at(tree, "ada").tell(message))

        assert handled == []
        assert tree.system.dead_letters.count == 1

    def test_does_not_outlive_it_when_it_is_asked(self, tree: Tree) -> None:
        asked: list[Future[Any]] = []
        handled = self.holding(
            tree, lambda message: asked.append(cell_at(tree, "ada").ask(message, block=False))
        )

        assert handled == []
        assert isinstance(asked[0].error, ActorDeadError)

    def test_is_served_in_this_life_as_ever(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada", keeps_mailbox=True))
        handled: list[int] = []

        tree.ref("a").tell(Do(lambda actor: actor.actor_ref.tell(Do(noted(handled, actor)))))
        tree.world.settle()

        assert handled == [1]

    def test_is_a_dead_letter_when_the_child_does_not_come_back(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", name="ada", keeps_mailbox=True, restart=RestartType.TRANSIENT))

        tree.ref("a").tell(Do(lambda actor: (actor.actor_ref.tell("more"), actor.stop())))
        tree.world.settle()

        assert [each.message for each in tree.system.dead_letters.latest] == ["more"]

    def test_outlives_it_at_its_address(self, tree: Tree) -> None:
        handled = self.holding(tree, lambda message: address(tree, "ada").tell(message))

        assert handled == [1]  # noted for the first life, by the second
