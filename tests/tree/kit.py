"""What the tests of the trees share: a tree whose children do what the test says, and its diary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from callboard.supervision import (
    ActorRef,
    ChildInfo,
    ChildSpec,
    ExitReason,
    Future,
    IgnoreStart,
    StopStart,
    SupervisedActor,
    Supervisor,
    WhichChildren,
    handles,
)
from callboard.supervision.model.events import SupervisorEvent
from callboard.supervision.model.specs import ChildId
from tests.both import World
from tests.runtime.kit import Boom, Do, Gate, boom

WITHIN_S = 10.0
"""How long anything may take before it fails the test. A right test never waits so long."""


class Behaviour(msgspec.Struct):
    """What a member does besides writing into the diary. The test may change it at any time.

    Args:
        on_start: called with the member, after its line in the diary.
        on_end: called with the reason in `terminate`, after its line in the diary.
    """

    on_start: Callable[[Any], object] | None = None
    on_end: Callable[[ExitReason], object] | None = None


class Member(SupervisedActor):
    """A child: it writes down when it starts and ends, and does what a message says."""

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self.name = name

    def on_start(self) -> Any:
        self._tree.diary.append(f"start {self.name}")
        act = self._tree.behaviour(self.name).on_start
        return None if act is None else act(self)

    def terminate(self, reason: ExitReason) -> Any:
        self._tree.diary.append(f"end {self.name}")
        self._tree.reasons.append((self.name, reason))
        act = self._tree.behaviour(self.name).on_end
        return None if act is None else act(reason)

    @handles(Do)
    def do(self, message: Do[Any]) -> Any:
        return message.act(self)


class Tree:
    """A supervision tree under test.

    Args:
        world: the system it grows in.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.system = world.system
        self.diary: list[str] = []
        """`start a`, `end a`, in the order in which it happened."""
        self.reasons: list[tuple[str, ExitReason]] = []
        """With which reason each `terminate` was called."""
        self.events: list[SupervisorEvent] = []
        """What the supervisors reported."""
        self._behaviours: dict[str, Behaviour] = {}
        self.system.on_event = self._report
        self._top: ActorRef[Any] | None = None

    def _report(self, event: object) -> None:
        if isinstance(event, SupervisorEvent):
            self.events.append(event)

    def behaviour(self, name: str) -> Behaviour:
        return self._behaviours.setdefault(name, Behaviour())

    # -- growing -----------------------------------------------------------

    def spec(self, child_id: str, **options: Any) -> ChildSpec:
        """Return the spec of a member that is called like its id."""
        return ChildSpec(id=child_id, start=Member, args=(self, child_id), **options)

    def specs(self, ids: str, **options: Any) -> list[ChildSpec]:
        """Return specs of members, one per letter."""
        return [self.spec(each, **options) for each in ids]

    def sub(self, child_id: str, *children: ChildSpec, **options: Any) -> ChildSpec:
        """Return the spec of a supervisor of these children."""
        of_child = {"restart", "shutdown_s", "significant", "name", "backoff", "budget", "start_s"}
        mine = {key: value for key, value in options.items() if key in of_child}
        flags = {key: value for key, value in options.items() if key not in of_child}
        return ChildSpec(
            id=child_id, start=Supervisor, args=(tuple(children),), kwargs=flags, **mine
        )

    def grow(self, *children: ChildSpec, **flags: Any) -> ActorRef[Supervisor]:
        """Start a supervisor of these children and wait until all have started."""
        top = self.system.spawn(Supervisor, children, **flags)
        self._top = top
        top.wait_started(timeout=WITHIN_S)
        return top

    def plant_later(self, *children: ChildSpec, **flags: Any) -> ActorRef[Supervisor]:
        """Begin the start of a supervisor and do not wait for it."""
        self._top = self.system.spawn(Supervisor, children, **flags)
        return self._top

    def plant(self, top: ActorRef[Any]) -> ActorRef[Any]:
        """Take another supervisor for the one that the helpers below look at."""
        self._top = top
        return top.wait_started(timeout=WITHIN_S)

    @property
    def top(self) -> ActorRef[Any]:
        assert self._top is not None, "grow it first"
        return self._top

    # -- looking -----------------------------------------------------------

    def children(self, of: ActorRef[Any] | None = None) -> dict[ChildId, ChildInfo]:
        """Return id -> child, in start order."""
        listed = (of or self.top).ask(WhichChildren(), timeout=WITHIN_S)
        return {each.id: each for each in reversed(listed)}

    def ref(self, path: str) -> ActorRef[Any]:
        """Return the ref of a child by its path, as in `inner/a`."""
        found: ActorRef[Any] = self.top
        for step in path.split("/"):
            child: Any = self.children(found)[step].ref
            assert isinstance(child, ActorRef), f"{step} of {path} does not run: {child}"
            found = cast("ActorRef[Any]", child)  # type: ignore[redundant-cast]  # pyright needs it
        return found

    def running(self) -> str:
        """Return the ids of the children that run, in start order."""
        running = [
            str(each.id) for each in self.children().values() if isinstance(each.ref, ActorRef)
        ]
        return "".join(running)

    def forget_diary(self) -> None:
        self.diary.clear()
        self.events.clear()
        self.reasons.clear()

    def seen(self, kind: type[Any]) -> list[Any]:
        """Return the reports of one kind."""
        return [each for each in self.events if isinstance(each, kind)]

    # -- making trouble ----------------------------------------------------

    def crash(self, path: str) -> ActorRef[Any]:
        """Have a child's handler raise; return the ref that died when all is quiet again."""
        ref = self.ref(path)
        ref.tell(Do(boom))
        self.world.settle()
        return ref

    def kill(self, path: str) -> ActorRef[Any]:
        ref = self.ref(path)
        ref.kill()
        self.world.settle()
        return ref

    def exit(self, path: str, reason: ExitReason) -> ActorRef[Any]:
        """Have a child end by itself, with this reason."""
        ref = self.ref(path)
        ref.tell(Do(lambda actor: actor.stop(reason)))
        self.world.settle()
        return ref

    def stop(self, timeout_s: float | None = None) -> Any:
        """Stop the whole system; return the report."""
        return self.system.stop(timeout_s)


def fail_to_start(_actor: object) -> None:
    """Raise, in `on_start`."""
    raise Boom("it does not start")


def refuse_to_start(reason: ExitReason) -> Callable[[object], None]:
    """Return what ends a start with a reason of its own."""

    def refuse(_actor: object) -> None:
        raise StopStart(reason)

    return refuse


def choose_not_to_run(_actor: object) -> None:
    """Choose not to run, in `on_start`."""
    raise IgnoreStart


class Times:
    """Does something the first `count` times it is called, and nothing after that."""

    def __init__(self, count: int, act: Callable[[Any], object]) -> None:
        self.left = count
        self._act = act

    def __call__(self, actor: Any) -> object:
        if not self.left:
            return None
        self.left -= 1
        return self._act(actor)


def who_waits(gate: Gate) -> Callable[[object], object]:
    """Return what waits at the gate."""
    return gate.wait


def answer_of(ref: ActorRef[Any]) -> Future[Any]:
    """Return the future of an answer to a question that every member answers."""
    future: Future[Any] = ref.ask(Do(lambda actor: actor.name), block=False, timeout=WITHIN_S)
    return future
