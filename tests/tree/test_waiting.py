"""What a supervisor that waits for one child is woken by."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from callboard.supervision import ActorRef, ActorSystem, Future, SupervisedActor, handles
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.notices import ChildExited
from callboard.supervision.runtime.operations import Until
from tests.both import World
from tests.runtime.kit import Do, Gate, Puppet
from tests.tree.kit import WITHIN_S, Tree


class End:
    """The condition that an actor has ended; it counts how often it is looked at."""

    def __init__(self, awaited: ActorRef[Any] | None, of: ActorRef[Any]) -> None:
        self.awaited = awaited
        self._of = of
        self.looks = 0

    def __call__(self) -> bool:
        self.looks += 1
        return self._of.is_dead


class Parent(SystemActor):
    """Starts children, waits with its mailbox held, and keeps what it hears of them."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[ActorRef[Any]] = []

    @handles(Do)
    def do(self, message: Do[Any]) -> Any:
        return message.act(self)

    @handles(ChildExited)
    def on_child_exited(self, message: ChildExited) -> None:
        self.ended.append(message.child)


def child_of(parent: ActorRef[Any]) -> ActorRef[Any]:
    def begin(actor: SupervisedActor) -> Any:
        return actor.system.start_child(actor.actor_ref, Puppet)

    child: ActorRef[Any] = parent.ask(Do(begin), timeout=WITHIN_S)
    return child.wait_started(timeout=WITHIN_S)


class TestAParentThatWaitsForOneChild:
    @pytest.mark.parametrize("says_who", [True, False])
    def test_is_woken_by_the_ends_of_others_only_if_it_does_not_say_for_whom(
        self, system: ActorSystem, world: World, *, says_who: bool
    ) -> None:
        parent = system.spawn(Parent).wait_started()
        one, other = child_of(parent), child_of(parent)
        end = End(one if says_who else None, one)

        def wait(actor: Any) -> Generator[Until, bool, list[ActorRef[Any]]]:
            yield Until(end)
            return list(actor.ended)

        answer: Future[Any] = parent.ask(Do(wait), block=False, timeout=60.0)
        world.settle()
        before = end.looks
        other.kill()
        world.settle()
        between = end.looks
        one.kill()

        assert (between == before) is says_who
        assert answer.get(timeout=WITHIN_S) == []
        heard: Any = parent.ask(Do(lambda actor: list(actor.ended)), timeout=WITHIN_S)
        assert heard == [other, one]


class TestASupervisor:
    def test_handles_the_end_of_another_child_when_it_has_waited(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"), intensity=10)
        b, c = tree.ref("b"), tree.ref("c")
        gate = Gate(tree.system)
        tree.behaviour("a").on_start = gate.wait
        tree.ref("a").kill()
        tree.world.settle()
        tree.behaviour("a").on_start = None

        b.kill()
        c.kill()
        tree.world.settle()
        before = list(tree.diary)
        gate.open()
        tree.world.settle()

        assert before == ["start a", "start b", "start c", "start a"]
        assert tree.diary[4:] == ["start b", "start c"]
        assert tree.running() == "abc"
