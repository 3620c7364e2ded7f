"""Who listens to a supervisor's reports, and what is not done for nobody."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision import ActorSystem, Backoff, ChildSpec, RestartWindow, Supervisor
from callboard.supervision.model.events import (
    ChildCrashed,
    ChildGivenUp,
    ChildWasStarted,
    ChildWasStopped,
    TreeEvent,
)
from callboard.supervision.runtime.system import ActorCrashed
from tests.runtime.kit import Do, Puppet, boom
from tests.tree.kit import Tree

ONCE = RestartWindow(intensity=1, period_s=60.0)


class Listening(Supervisor):
    """Keeps what it reports."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard: list[TreeEvent] = []

    def on_report(self, event: TreeEvent) -> None:
        self.heard.append(event)


class Worried(Supervisor):
    """Keeps whom it gave up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given_up: list[ChildGivenUp] = []

    def on_given_up(self, event: ChildGivenUp) -> None:
        self.given_up.append(event)


class Brief:
    """A hook that wants to hear of what goes as it should, or does not."""

    def __init__(self, *, hears_routine: bool) -> None:
        self.hears_routine = hears_routine
        self.heard: list[object] = []

    def __call__(self, event: object) -> None:
        self.heard.append(event)


def crash_child(tree: Tree, top: Any) -> None:
    """Crash the only child of a supervisor."""
    top.actor.linked_children()[0].tell(Do(boom))
    tree.world.settle()


class TestWithoutAHook:
    @pytest.fixture(autouse=True)
    def unhooked(self, tree: Tree) -> None:
        tree.system.on_event = None

    def test_a_supervisor_that_listens_itself_hears_all(self, tree: Tree) -> None:
        top = tree.plant(tree.system.spawn(Listening, tree.specs("a")))

        crash_child(tree, top)

        kinds = [type(each).__name__ for each in top.actor.heard]
        assert kinds == ["ChildWasStarted", "ChildCrashed", "ChildWasStarted"]

    def test_a_child_that_is_given_up_is_told_of_all_the_same(self, tree: Tree) -> None:
        top = tree.plant(tree.system.spawn(Worried, tree.specs("a", budget=ONCE), intensity=10))

        crash_child(tree, top)
        crash_child(tree, top)

        (event,) = top.actor.given_up
        assert (event.child_id, event.restarts) == ("a", 2)

    def test_one_that_is_hung_up_later_gets_what_happens_from_then_on(self, tree: Tree) -> None:
        top = tree.grow(*tree.specs("a"), intensity=10)
        heard: list[object] = []

        crash_child(tree, top)
        tree.system.on_event = heard.append
        crash_child(tree, top)
        tree.system.on_event = None
        crash_child(tree, top)

        kinds = [type(each) for each in heard if not isinstance(each, str)]
        assert kinds.count(ChildCrashed) == 1
        assert kinds.count(ChildWasStarted) == 1


@pytest.mark.parametrize("hears_routine", [True, False])
def test_a_hook_says_whether_it_wants_to_hear_of_what_goes_as_it_should(
    tree: Tree, *, hears_routine: bool
) -> None:
    hook = tree.system.on_event = Brief(hears_routine=hears_routine)
    top = tree.plant(tree.system.spawn(Supervisor, tree.specs("a")))

    crash_child(tree, top)
    top.stop()

    kinds = {type(each) for each in hook.heard}
    assert ChildCrashed in kinds
    assert ({ChildWasStarted, ChildWasStopped, ActorCrashed} <= kinds) is hears_routine
    assert kinds.isdisjoint({ChildWasStarted, ChildWasStopped, ActorCrashed}) is not hears_routine


@pytest.mark.parametrize(
    ("backoff", "draws"),
    [
        pytest.param(None, 0, id="no backoff"),
        pytest.param(Backoff(delays_s=(0.0,)), 0, id="no jitter"),
        pytest.param(Backoff(delays_s=(0.0,), jitter=0.5), 1, id="jitter"),
    ],
)
def test_chance_is_asked_only_where_it_has_a_say(
    system: ActorSystem, tree: Tree, backoff: Backoff | None, draws: int
) -> None:
    asked: list[str] = []
    stream = system.random

    def listened(name: str) -> Any:
        asked.append(name)
        return stream(name)

    system.random = listened
    top = tree.plant(system.spawn(Supervisor, [ChildSpec(id="a", start=Puppet, backoff=backoff)]))

    crash_child(tree, top)

    assert asked.count("backoff") == draws
