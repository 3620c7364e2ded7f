"""How a dynamic supervisor starts its children: how many, with which arguments, one at a time?"""

from __future__ import annotations

import msgspec

from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.plan import IfFails, Plan, Put, Refuse, Start
from callboard.supervision.model.refusals import MaxChildrenReached, SpecRefused
from callboard.supervision.model.specs import check_spec, check_type
from callboard.supervision.model.state import SupervisorState


class DynamicLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a dynamic supervisor has beside the flags of every supervisor.

    Args:
        max_children: how many it may have, those about to be restarted included; None: any.
        extra_args: arguments that come before each child's own, in restarts too.
        concurrent_starts: whether other things are done while a child starts. OTP and Elixir
            do nothing else meanwhile; this is beyond them.

    Raises:
        InvalidSpec: a negative number, extra arguments that are no tuple, a flag that is none.

    Source: Elixir DynamicSupervisor, `:max_children` and `:extra_arguments`.
    """

    max_children: int | None = None
    extra_args: tuple[object, ...] = ()
    concurrent_starts: bool = False

    def __post_init__(self) -> None:
        most = self.max_children
        if most is not None and (type(most) is not int or most < 0):
            raise InvalidSpec("max_children", most, "Give a whole number, 0 or more, or None.")
        check_type("extra_args", self.extra_args, tuple, "Give a tuple, as in extra_args=(1,).")
        check_type("concurrent_starts", self.concurrent_starts, bool, "Give True or False.")

    def arguments_of(self, child: Child[RefT]) -> tuple[object, ...]:
        """Return the positional arguments for a start or restart of this child."""
        return (*self.extra_args, *child.spec.args, *child.args)


def plan_start_dynamic_child(
    state: SupervisorState[RefT],
    limits: DynamicLimits,
    child: Child[RefT],
) -> Plan[RefT]:
    """Start one more child. Its id need not be its own.

    Refused with `MaxChildrenReached`, before anything of the child runs,
    `SpecRefused`, or `StartFailed`. A start that fails or is ignored takes no place.

    Args:
        state: the supervisor as it is.
        limits: how many it takes.
        child: not started yet, its key a number that this supervisor never used before.

    Source: Elixir DynamicSupervisor, `handle_call({:start_child, _}, ...)`.
    """
    try:
        check_spec(child.spec, state.flags.auto_shutdown)
    except InvalidSpec as error:
        return (Refuse(SpecRefused(error.field, error.value, error.remedy)),)
    most = limits.max_children
    if most is not None and len(state.children) >= most:
        return (Refuse(MaxChildrenReached(most)),)
    return (Put(child), Start((child.key,), IfFails.FORGET))
