"""A child with a name is reached under it whatever becomes of its incarnations."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    Address,
    Backoff,
    ChildStartFailed,
    Crashed,
    DeleteChild,
    DynamicSupervisor,
    InvalidSpec,
    RestartChild,
    RestartType,
    Shutdown,
    StartChild,
    StartFailed,
    TerminateChild,
)
from tests.runtime.kit import Boom, Do, Gate, Puppet, boom, reason_of
from tests.tree.kit import Tree

SOON = Backoff(delays_s=(1.0,))


def name_of(actor: Any) -> object:
    return actor.name, actor.incarnation


def numbered(n: int, actor: Any) -> tuple[int, int]:
    return n, actor.incarnation


def address(tree: Tree, name: str) -> Address[Any]:
    found = tree.system.lookup(name)
    assert found is not None
    return found


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
