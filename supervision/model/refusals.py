"""What a supervisor answers when it cannot do what it was asked. It lives on."""

from __future__ import annotations

from typing import ClassVar

from callboard.supervision.model.errors import InvalidSpec, Refusal
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.specs import ChildId


class SpecRefused(InvalidSpec, Refusal):
    """The spec given to `start_child` does not fit this supervisor.

    Source: OTP supervisor.erl, `handle_call({start_child, _}, ...)`.
    """

    code: ClassVar[str] = "spec_refused"


class ChildRefusal(Refusal):
    """The base of refusals that concern one child.

    Args:
        child_id: the id that was asked about.
    """

    code: ClassVar[str] = "child_refused"
    _says: ClassVar[str] = "The request about child {child_id!r} is refused."

    def __init__(self, child_id: ChildId) -> None:
        super().__init__(f"{self._says.format(child_id=child_id)} {self.remedy}")
        self.child_id = child_id


class ChildNotFound(ChildRefusal):
    """The supervisor has no such child.

    Source: OTP, `{error, not_found}`.
    """

    code: ClassVar[str] = "child_not_found"
    remedy: str = "See which_children for those it has."
    _says: ClassVar[str] = "There is no child {child_id!r}."


class ChildIsRunning(ChildRefusal):
    """The child runs, and what was asked needs a stopped one.

    Source: OTP, `{error, running}`.
    """

    code: ClassVar[str] = "child_is_running"
    remedy: str = "Terminate it first."
    _says: ClassVar[str] = "Child {child_id!r} is running."


class ChildIsRestarting(ChildRefusal):
    """The child waits to be restarted, and what was asked needs a stopped one.

    Source: OTP, `{error, restarting}`.
    """

    code: ClassVar[str] = "child_is_restarting"
    remedy: str = "Terminate it first, which cancels the restart."
    is_retryable: ClassVar[bool] = True
    _says: ClassVar[str] = "Child {child_id!r} is about to be restarted."


class ChildrenHaveNoIds(ChildRefusal):
    """All children are of one template: none has an id, and none that ended can be restarted.

    Source: OTP, `{error, simple_one_for_one}`.
    """

    code: ClassVar[str] = "children_have_no_ids"
    remedy: str = "Name the child by its ref, or start another with StartAnother."
    _says: ClassVar[str] = "There are no children with ids here, so not {child_id!r}."


class AlreadyPresent(ChildRefusal):
    """A child of that id is there, stopped or about to be restarted.

    Source: OTP, `{error, already_present}`.
    """

    code: ClassVar[str] = "child_already_present"
    remedy: str = "Restart it with restart_child, or delete it first."
    _says: ClassVar[str] = "There is a child {child_id!r}, and it is not running."


class AlreadyStarted(ChildRefusal):
    """A child of that id runs.

    Args:
        child_id: the id.
        ref: the incarnation that runs.

    Source: OTP, `{error, {already_started, Pid}}`.
    """

    code: ClassVar[str] = "child_already_started"
    remedy: str = "Use the one that runs, or give the new child an id of its own."
    _says: ClassVar[str] = "There is a child {child_id!r}, and it is running."

    def __init__(self, child_id: ChildId, ref: object) -> None:
        super().__init__(child_id)
        self.ref = ref


class StartFailed(ChildRefusal):
    """The child's start failed; the supervisor has changed nothing.

    Args:
        child_id: the id in its spec.
        reason: why.

    Source: OTP, `{error, Reason}` of `start_child` and `restart_child`.
    """

    code: ClassVar[str] = "child_start_failed"
    remedy: str = "See .reason for what its start ran into."
    _says: ClassVar[str] = "Child {child_id!r} did not start."

    def __init__(self, child_id: ChildId, reason: ExitReason) -> None:
        super().__init__(child_id)
        self.args = (f"Child {child_id!r} did not start: {reason}.",)
        self.reason = reason


class MaxChildrenReached(Refusal):
    """The dynamic supervisor has as many children as it may have.

    Args:
        max_children: how many that is, those about to be restarted included.

    Source: Elixir DynamicSupervisor, `{:error, :max_children}`.
    """

    code: ClassVar[str] = "max_children_reached"
    remedy: str = "Try again when a child has ended, or raise max_children."
    is_retryable: ClassVar[bool] = True

    def __init__(self, max_children: int) -> None:
        super().__init__(f"All {max_children} places are taken. {self.remedy}")
        self.max_children = max_children
