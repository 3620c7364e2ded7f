"""Supervisors: what they are asked, and what they do when a child ends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import wraps
from itertools import count
from types import CoroutineType, GeneratorType
from typing import Any, ClassVar, cast

from callboard.supervision.model.child import Child
from callboard.supervision.model.child_api import (
    plan_delete_child,
    plan_restart_child,
    plan_start_child,
    plan_terminate_child,
)
from callboard.supervision.model.dynamic import DynamicLimits, plan_start_dynamic_child
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.events import ChildGivenUp, TreeEvent
from callboard.supervision.model.happenings import Exited, Happening
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.notices import Exit
from callboard.supervision.model.partitions import WithArguments, partition_specs
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.refusals import ChildNotFound
from callboard.supervision.model.requests import handles
from callboard.supervision.model.specs import (
    AutoShutdown,
    ChildId,
    ChildKind,
    ChildSpec,
    Strategy,
    SupervisorFlags,
    check_specs,
)
from callboard.supervision.model.starting import plan_first_start
from callboard.supervision.model.stopping import plan_stop
from callboard.supervision.model.strategy import decide
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.errors import StopStart
from callboard.supervision.runtime.names import Address
from callboard.supervision.runtime.notices import ChildExited
from callboard.supervision.runtime.operations import LATER, Until
from callboard.supervision.tree.checks import check_mailbox, check_starts
from callboard.supervision.tree.interpreter import Interpreter, Ref, Steps, WaitOver
from callboard.supervision.tree.requests import (
    RESTARTING,
    ChildCounts,
    ChildInfo,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from callboard.supervision.tree.starts import StartMoved


class Supervisor(SystemActor):
    """Starts its children in order, restarts those that fail, stops them in reverse order.

    It gives up when more than `intensity` restarts lie within `period_s`
    seconds: it stops its children and ends with `Shutdown`, which is its own
    supervisor's business. Start it under another supervisor, or with
    `ActorSystem.spawn`, and ask it with `StartChild`, `TerminateChild`,
    `RestartChild`, `DeleteChild`, `WhichChildren`, `CountChildren`, `GetChildSpec`.

    Differs from OTP: a killed supervisor's children get an exit signal and run
    their cleanup; the exact time of `period_s` counts, not whole seconds.

    Args:
        children: specs, in start order; no iterator, for a restart needs them again.
        strategy: who is restarted together with a child.
        intensity: restarts that may lie within `period_s`; None sets no limit.
        period_s: the window, in seconds.
        auto_shutdown: whether it ends when its significant children have.

    Raises:
        InvalidSpec: something that cannot be; nothing has been started then.

    Source: OTP, supervisor.
    """

    child_kind: ClassVar[ChildKind] = ChildKind.SUPERVISOR
    is_dynamic: ClassVar[bool] = False

    _concurrent_starts: bool = False
    _flags: SupervisorFlags
    _specs: tuple[ChildSpec, ...]
    _tree: Interpreter | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        on_start = cls.__dict__.get("on_start")
        if on_start is not None:
            cls.on_start = cast("Any", _with_children(on_start))  # type: ignore[method-assign]  # wrapped, once for each class

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int | None = 1,
        period_s: float = 5.0,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
    ) -> None:
        super().__init__()
        self._flags = SupervisorFlags(
            strategy=strategy, intensity=intensity, period_s=period_s, auto_shutdown=auto_shutdown
        )
        if isinstance(children, Iterator):  # a restart makes it anew of the same arguments
            remedy = "Give a list or a tuple: an iterator is empty when it is started again."
            raise InvalidSpec("children", children, remedy)
        if not isinstance(children, Iterable):
            raise InvalidSpec("children", children, "Give a list or a tuple of ChildSpecs.")
        self._specs = tuple(children)
        check_specs(self._specs, auto_shutdown)
        check_starts(self._specs)

    # -- life --------------------------------------------------------------

    def on_start(self) -> Any:
        """Start the children, in order; if one fails, stop the others and do not start."""
        tree = self._tree = Interpreter(
            self.actor_ref,
            name=self.actor_ref.path,
            flags=self._flags,
            is_dynamic=self.is_dynamic,
            concurrent_starts=self._concurrent_starts,
            arguments_of=self.arguments_of,
            name_of=self.name_of,
            report=self._report,
            is_listening=type(self).on_report is not Supervisor.on_report,
        )
        for spec in self._specs:
            tree.children[spec.id] = Child(key=spec.id, spec=spec)
        yield from tree.carry_out_all(plan_first_start(tree.state))
        if tree.ends_with is not None:
            yield from tree.carry_out_all(plan_stop(tree.state))
            tree.names.release_all()
            raise StopStart(tree.ends_with)

    def terminate(self, reason: ExitReason) -> Any:
        """Stop the children that are left, in reverse start order."""
        del reason
        tree = self._tree
        if tree is None:  # its start failed before there were any
            return
        yield from tree.carry_out_all(plan_stop(tree.state))
        tree.names.release_all()

    def let_go(self, reason: ExitReason) -> None:
        """Take along those that are left: this supervisor was killed."""
        super().let_go(reason)
        if self._tree is not None:
            self._tree.orphan(reason)

    def linked_children(self) -> list[Ref]:
        """Return the refs of the children; from any thread, to look at."""
        return [] if self._tree is None else self._tree.refs()

    # -- what a subclass may change ----------------------------------------

    def on_report(self, event: TreeEvent) -> None:
        """Take an event of this supervisor; the default gives it to the system's hook."""
        self.system.emit(event)

    def on_given_up(self, event: ChildGivenUp) -> None:
        """Take note of a child that has spent its own budget; the default does nothing.

        Called after `on_report`, and also when nobody listens to reports.
        """

    def _report(self, event: TreeEvent) -> None:
        self.on_report(event)
        if isinstance(event, ChildGivenUp):
            self.on_given_up(event)

    def arguments_of(self, child: Child[Ref]) -> tuple[object, ...]:
        """Return the positional arguments for a start or restart of this child."""
        return (*child.spec.args, *child.args)

    def name_of(self, child: Child[Ref]) -> str | Address[Any] | None:
        """Return the name to register for this child; children of one spec need one each.

        Or the address itself, where it is not this supervisor that sees to the name.
        """
        return child.spec.name

    # -- what it learns ----------------------------------------------------

    @handles(ChildExited)
    def on_child_exited(self, message: ChildExited) -> Steps | None:
        """Restart the child, or not, and whoever depends on it."""
        cell: Ref = message.child
        # It may have ended as soon as it had started, and the news of the start comes behind.
        self._children_of().look_at_start(cell.tag)
        return self._decide(Exited(cell.tag, cell, message.reason))

    @handles(WaitOver)
    def on_wait_over(self, message: WaitOver) -> Steps | None:
        """Try to restart once more."""
        return self._decide(message.due)

    @handles(StartMoved)
    def on_start_moved(self, message: StartMoved) -> None:
        """Go on with a start that was left alone."""
        self._children_of().look_at_start(message.key)

    @handles(Exit)
    def on_exit(self, message: Exit) -> None:
        """Ignore it: only a parent's exit signal ends a supervisor. Source: S46 of OTP's rules."""

    def _decide(self, happened: Happening[Ref]) -> Steps | None:
        tree, system = self._children_of(), self.system
        child = tree.children.get(happened.key)
        chance = 0.5
        if child is not None and child.takes_chances:
            chance = system.random("backoff").random()
        return tree.carry_out(
            decide(tree.state, happened, now_s=system.clock.now_s(), chance=chance)
        )

    def _children_of(self) -> Interpreter:
        assert self._tree is not None, "see _with_children"
        return self._tree

    # -- what it is asked --------------------------------------------------

    @handles(StartChild)
    def on_start_child(self, message: StartChild) -> Any:
        """Add a child; reply its ref, or None when it chose not to run."""
        tree = self._children_of()
        plan = plan_start_child(tree.state, message.spec)
        check_mailbox(message.spec)
        rest = tree.carry_out(plan)
        return self._answer(tree, message.spec.id, rest)

    @handles(TerminateChild)
    def on_terminate_child(self, message: TerminateChild) -> Steps | None:
        """Stop one child."""
        tree = self._children_of()
        return tree.carry_out(plan_terminate_child(tree.state, self._key_of(message.child)))

    @handles(RestartChild)
    def on_restart_child(self, message: RestartChild) -> Any:
        """Start a stopped child; reply its ref, or None when it chose not to run."""
        key, tree = self._key_of(message.id), self._children_of()
        rest = tree.carry_out(plan_restart_child(tree.state, key))
        return self._answer(tree, key, rest)

    @handles(DeleteChild)
    def on_delete_child(self, message: DeleteChild) -> Steps | None:
        """Remove the spec of a stopped child."""
        tree = self._children_of()
        return tree.carry_out(plan_delete_child(tree.state, self._key_of(message.id)))

    @handles(WhichChildren)
    def on_which_children(self, message: WhichChildren) -> tuple[ChildInfo, ...]:
        """List the children, newest first."""
        del message
        children = reversed(list(self._children_of().children.values()))
        return tuple(
            ChildInfo(
                child.id,
                RESTARTING if child.is_restarting else child.ref,
                child.spec.kind,
                child.incarnation,
            )
            for child in children
        )

    @handles(CountChildren)
    def on_count_children(self, message: CountChildren) -> ChildCounts:
        """Count the children."""
        del message
        children = list(self._children_of().children.values())
        supervisors = sum(child.spec.is_supervisor for child in children)
        return ChildCounts(
            specs=len(children),
            active=sum(
                child.ref is not None
                and child.is_running
                and not child.is_starting
                and not child.ref.is_dead
                for child in children
            ),
            supervisors=supervisors,
            workers=len(children) - supervisors,
        )

    @handles(GetChildSpec)
    def on_get_child_spec(self, message: GetChildSpec) -> ChildSpec:
        """Reply a child's spec."""
        key = self._key_of(message.child)
        child = self._children_of().children.get(key)
        if child is None:
            raise ChildNotFound(key)
        return child.spec

    def _answer(self, tree: Interpreter, key: ChildId, rest: Steps | None) -> Any:
        """Return the answer to whoever asked for a child: its ref, as soon as it has started."""
        if rest is not None:
            return _answer_after(tree, rest, key)
        child = tree.children.get(key)
        if child is None:
            return None
        if child.is_starting:
            tree.tell_of_start(key, self.reply_later())
            return LATER
        return child.ref

    def _key_of(self, child: Any) -> ChildId:
        """Return the key of a child that is named by its ref, or its id if it has a lasting place.

        A dynamic child's key is a number that nobody else knows.
        """
        if isinstance(child, (str, int)):
            if self.is_dynamic:
                raise ChildNotFound(child)
            return child
        if not isinstance(child, Cell):  # a list, say, which no table could look up
            raise ChildNotFound(repr(child))
        cell: Cell[Any] = child  # pyright: ignore[reportUnknownVariableType]  # whichever it is
        if not self._children_of().is_meant(cell.tag, cell):
            raise ChildNotFound(str(cell))
        key: ChildId = cell.tag
        return key


def _answer_after(
    tree: Interpreter, rest: Steps, key: ChildId
) -> Generator[Until, bool, Ref | None]:
    yield from rest
    return tree.ref_of(key)


def _with_children(on_start: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a subclass's `on_start` fail unless it goes through that of `Supervisor`.

    Left out, or called and not iterated, it would be up with none of its children.
    """

    @wraps(on_start)
    def start(self: Any) -> Generator[Until, bool, None]:
        result = on_start(self)
        if type(result) is GeneratorType:
            yield from result
        elif type(result) is CoroutineType:
            result.close()  # it cannot go through a generator
        if self._tree is None:
            remedy = "Say `yield from super().on_start()` in it, which starts the children."
            raise InvalidSpec("on_start", on_start, remedy)

    return start


class DynamicSupervisor(Supervisor):
    """Starts children when it is asked to; they have no lasting place.

    One for one, any number, ids need not differ. A child that ends and is not
    restarted is forgotten. Children are stopped all at once, each with its own time.

    Like OTP's it does nothing else while a child starts, so one slow `on_start`
    holds up every other start, restart and stop. With `concurrent_starts` it
    does not: the child has its place, and is listed with its ref, from the
    beginning of its start; it is not counted as active, and whoever asked for
    it is answered, when it has started. Stopped in between, it ends within its
    shutdown time and the asker gets `StartFailed`. How many may start at once
    is bounded by `max_children`, how long each may take by its `start_s`.

    Args:
        intensity: restarts that may lie within `period_s`; None sets no limit.
        period_s: the window, in seconds.
        max_children: how many there may be; None: any number.
        extra_args: positional arguments that come before each child's own.
        concurrent_starts: whether other things are done while a child starts; beyond OTP.

    Raises:
        InvalidSpec: something that cannot be.

    Source: Elixir, DynamicSupervisor; OTP, `simple_one_for_one`.
    """

    is_dynamic: ClassVar[bool] = True

    def __init__(
        self,
        *,
        intensity: int | None = 3,
        period_s: float = 5.0,
        max_children: int | None = None,
        extra_args: tuple[object, ...] = (),
        concurrent_starts: bool = False,
    ) -> None:
        super().__init__(intensity=intensity, period_s=period_s)
        self._limits = DynamicLimits(
            max_children=max_children, extra_args=extra_args, concurrent_starts=concurrent_starts
        )
        self._concurrent_starts = concurrent_starts
        self._keys = count()

    def arguments_of(self, child: Child[Ref]) -> tuple[object, ...]:
        """Return the positional arguments: the extra ones, the spec's, the child's."""
        return self._limits.arguments_of(child)

    @handles(StartChild)
    def on_start_child(self, message: StartChild) -> Any:
        """Start one more child; reply its ref, or None when it chose not to run."""
        return self._start_as(next(self._keys), message.spec)

    def _start_as(
        self,
        key: ChildId,
        spec: ChildSpec,
        args: tuple[object, ...] = (),
        spent: RestartWindow | None = None,
    ) -> Any:
        tree = self._children_of()
        child: Child[Ref] = Child(key=key, spec=spec, args=args)
        if spent is not None:
            child = child.having_spent(spent, now_s=self.system.clock.now_s())
        plan = plan_start_dynamic_child(tree.state, self._limits, child)
        check_mailbox(spec)
        rest = tree.carry_out(plan)
        return self._answer(tree, key, rest)


class PartitionSupervisor(Supervisor):
    """Runs many places of one child spec; whoever wants one is routed by a key.

    With `name` in the spec each partition is reached under `name/0`, `name/1`
    and so on; `partition_of(key, partitions)` says which one a key belongs to.

    Args:
        spec: what each partition runs; its id becomes the partition's number.
        partitions: how many.
        with_arguments: adapts the spec's arguments to a partition.
        intensity: restarts that may lie within `period_s`; None sets no limit.
        period_s: the window, in seconds.

    Raises:
        InvalidSpec: something that cannot be.

    Source: Elixir, PartitionSupervisor.
    """

    def __init__(
        self,
        spec: ChildSpec,
        *,
        partitions: int,
        with_arguments: WithArguments | None = None,
        intensity: int | None = 3,
        period_s: float = 5.0,
    ) -> None:
        super().__init__(
            partition_specs(spec, partitions, with_arguments),
            intensity=intensity,
            period_s=period_s,
        )
