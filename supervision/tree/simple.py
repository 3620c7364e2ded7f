"""Many children of one template: OTP's `simple_one_for_one`."""

from __future__ import annotations

from typing import Any

import msgspec

from callboard.supervision.model.refusals import ChildNotFound, ChildrenHaveNoIds, SpecRefused
from callboard.supervision.model.requests import handles
from callboard.supervision.model.specs import (
    AutoShutdown,
    ChildSpec,
    SupervisorFlags,
    check_spec,
    check_type,
)
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.tree.interpreter import Steps
from callboard.supervision.tree.requests import (
    ChildCounts,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartAnother,
    StartChild,
    TerminateChild,
)
from callboard.supervision.tree.supervisor import DynamicSupervisor


class SimpleOneForOneSupervisor(DynamicSupervisor):
    """Runs any number of children of one template, which differ in their arguments only.

    Starts empty; `StartAnother` adds a child. Like every dynamic supervisor it
    forgets a child that ends and is not restarted, and stops those that are left
    all at once. Otherwise than with a plain `DynamicSupervisor`, whose children
    each bring a spec, there is one spec whatever runs: `CountChildren` counts one,
    and children are named by ref alone. To terminate one that has ended is no error.

    Args:
        template: what each child is; its id is shown in events, and is no name of a child.
        intensity: restarts that may lie within `period_s`; None sets no limit.
        period_s: the window, in seconds.
        auto_shutdown: whether it ends when significant children have, as it does with the
            last one under `ALL_SIGNIFICANT`.
        max_children: how many there may be (beyond OTP); None: any number.

    Raises:
        InvalidSpec: something that cannot be; more than one template, for instance.

    Source: OTP supervisor.erl, strategy `simple_one_for_one`.
    """

    def __init__(
        self,
        template: ChildSpec,
        *,
        intensity: int | None = 1,
        period_s: float = 5.0,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        max_children: int | None = None,
    ) -> None:
        super().__init__(intensity=intensity, period_s=period_s, max_children=max_children)
        self._flags = SupervisorFlags(
            intensity=intensity, period_s=period_s, auto_shutdown=auto_shutdown
        )
        check_type("template", template, ChildSpec, "Give exactly one ChildSpec.")
        check_spec(template, auto_shutdown)
        self._template = template

    @handles(StartAnother)
    def on_start_another(self, message: StartAnother) -> Any:
        """Start one more child; reply its ref, or None when it chose not to run."""
        args: object = message.args  # of whoever has no type checker
        if not isinstance(args, tuple):
            raise SpecRefused("args", args, "Give a tuple, as in args=(1,).")
        return self._start_as(next(self._keys), self._template, message.args)

    @handles(StartChild)
    def on_start_child(self, message: StartChild) -> Any:
        """Refuse it: the spec is the template's."""
        spec: object = message.spec  # of whoever has no type checker
        if not isinstance(spec, ChildSpec):
            raise SpecRefused("child", spec, "Start another of the template with StartAnother.")
        raise ChildrenHaveNoIds(message.spec.id)

    @handles(TerminateChild)
    def on_terminate_child(self, message: TerminateChild) -> Steps | None:
        """Stop one child, named by its ref; one that has ended is stopped already."""
        child = message.child
        if not isinstance(child, Cell):
            raise ChildrenHaveNoIds(child)
        cell: Cell[Any] = child  # pyright: ignore[reportUnknownVariableType]  # whichever it is
        if cell.is_dead and not self._knows(cell):
            return None
        return super().on_terminate_child(message)

    @handles(RestartChild)
    def on_restart_child(self, message: RestartChild) -> Any:
        """Refuse it: a child that has ended is forgotten."""
        raise ChildrenHaveNoIds(message.id)

    @handles(DeleteChild)
    def on_delete_child(self, message: DeleteChild) -> Steps | None:
        """Refuse it: a child that has ended is forgotten."""
        raise ChildrenHaveNoIds(message.id)

    @handles(CountChildren)
    def on_count_children(self, message: CountChildren) -> ChildCounts:
        """Count the children; all have one spec.

        Active are all but those about to be restarted. So is one that has died, until the
        supervisor has handled its end: OTP does not look whether a dynamic child lives.
        """
        children = self._children_of().children.values()
        active = sum(child.is_running for child in children)
        return msgspec.structs.replace(super().on_count_children(message), specs=1, active=active)

    @handles(GetChildSpec)
    def on_get_child_spec(self, message: GetChildSpec) -> ChildSpec:
        """Reply the template, of which every child is one; it is found by its own id as well."""
        child = message.child
        is_of_it = isinstance(child, (str, int)) and child == self._template.id
        if isinstance(child, Cell):
            cell: Cell[Any] = child  # pyright: ignore[reportUnknownVariableType]  # whichever it is
            is_of_it = cell.is_dead or self._knows(cell)  # OTP says so of everyone who is dead
        if not is_of_it:
            raise ChildNotFound(repr(message.child))
        return self._template

    def _knows(self, cell: Cell[Any]) -> bool:
        child = self._children_of().children.get(cell.tag)
        return child is not None and child.ref is cell
