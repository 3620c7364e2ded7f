"""How an incarnation comes to be: its actor is made and starts, as the first thing of its turn."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.ending import STEPS, EndingCell
from callboard.supervision.runtime.errors import StartRefused
from callboard.supervision.runtime.interrupts import KillSignal, arms
from callboard.supervision.runtime.notices import ChildStarted
from callboard.supervision.runtime.seam import Actor, ActorRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.incarnation import Bond

A = TypeVar("A", bound=Actor)

NO_HANDLERS: dict[type[Any], Callable[[Any, Any], Any]] = {}
"""Of a class without any, and until the class is known."""


class Birth(msgspec.Struct, frozen=True):
    """What a cell needs to make its actor."""

    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: contextvars.Context


class BornCell(EndingCell[A]):
    """The start of an incarnation; see `Cell`."""

    __slots__ = ("handlers",)

    handlers: dict[type[Any], Callable[[Any, Any], Any]]

    def is_lent(self, actor_class: type[Any]) -> bool:
        """Say whether the actor may run on the threads of those who ask it.

        A root supervisor may not: an exception that a signal raises on the host's
        thread would end it, and nobody restarts a root.
        """
        is_lent: bool = getattr(actor_class, "hand_off", False)
        return is_lent and (self.parent is not None or not self.is_system)

    @arms
    def _be_born(self, runner: Runner) -> None:
        birth = self.birth
        if birth is None:  # killed since
            return
        try:
            runner.target = self
            if birth.args or birth.kwargs:
                actor = birth.context.run(birth.factory, *birth.args, **birth.kwargs)
            else:
                actor = birth.context.run(birth.factory)
            runner.target = None
            runner.disarm()
            actor = self._adopt(actor)
            self.birth = None
            runner.target = self
            result = birth.context.run(actor.on_start)
            runner.target = None
        except BaseException as error:  # noqa: BLE001 -- the cell alone catches everything
            runner.disarm()
            is_made, self.birth = self.birth is None, None
            self._not_born(error, cleans_up=is_made)
            return
        runner.disarm()
        if type(result) in STEPS:
            self._begin_operation(result, birth.context, self._born)
        else:
            self._born(result, None)

    def _adopt(self, made: Any) -> Any:
        """Take what the factory made as this incarnation's actor."""
        kind: type[Any] = type(made)  # pyright: ignore[reportUnknownVariableType]  # whatever it made
        is_as_said = kind is self.actor_class
        is_actor = is_as_said or isinstance(made, Actor)
        if not is_actor or getattr(made, "_actor_ref", None) is not self:
            raise self._not_adopted(made)
        if not is_as_said:
            self._become(kind)
        self.actor = made
        return made

    def _not_adopted(self, made: Any) -> InvalidSpec:
        """Return the error for what the factory gave instead; an actor that it started is ended."""
        given = f"It returned {made!r}"
        if isinstance(made, ActorRef):
            _ = made.stop(block=False)
            given += ", an actor that runs already and has been told to stop"
        remedy = f"{given}. Give the class, or a function that makes and returns one new actor."
        return InvalidSpec("start", self.actor_class, remedy)

    def _become(self, made: type[Any]) -> None:
        """Be a cell for what the factory made: it could not be asked before."""
        has_thread = getattr(self.actor_class, "is_pinned", False)
        if made.cell_class is not type(self) or made.is_pinned is not has_thread:
            raise InvalidSpec(
                "start", made, "Give this class itself, or a functools.partial of it: no factory."
            )
        self.actor_class = made
        self.handlers = made.callboard_direct
        self.is_system = made.is_system
        self.hands_off = self.is_lent(made)
        self.mailbox_max = made.mailbox_max or self.system.settings.mailbox_max
        if not has_thread:
            self.enqueue = self.system.dispatcher.enqueue_for(self)

    def _born(self, _result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._not_born(error)
            return
        paid: list[Bond] = []
        with self.system.rare:
            if self.is_dead:  # killed while it started: whoever started it must not take it for up
                return
            self.is_started = True
            bonds = self.bonds
            if bonds:
                due = [key for key, bond in bonds.items() if bond.is_due_at_start]
                paid = [bonds.pop(key) for key in due]
        parent = self.parent
        # A parent that lent its thread sees it as soon as this returns.
        if parent is not None and (parent.runner is None or parent.runner is not self.runner):
            if ChildStarted in parent.handlers:
                parent.learn(ChildStarted(self))
            elif parent.operation is not None:  # it waits for this, or for something else
                parent.poke()
        for bond in paid:
            bond.pay(None)

    def _not_born(self, error: BaseException, *, cleans_up: bool = True) -> None:
        if isinstance(error, KillSignal):
            raise error
        if isinstance(error, StartRefused):
            self.is_ignored = error.is_ignored
            self._end(error.reason, cleans_up=False)
        else:
            # What `__init__` left half made has nothing that `terminate` could rely on.
            self._end(crashed(error), cleans_up=cleans_up)
