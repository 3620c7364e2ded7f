"""One life: who it is, that it ends once, and who hears of that.

ENDING is claimed once and DEAD is claimed once, both here, under the system's
lock for rare things (`rare`), which is never held while calling out:

    bond      (1) add under the lock, unless dead             ender: (1) dead, take all, under it
    actor     holder: (1) dead? (2) forget the actor          ender: (1) dead, take it, under it
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

from callboard.supervision.model.reasons import ExitReason, NoActor
from callboard.supervision.runtime.seam import Actor, ActorRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.names import Address
    from callboard.supervision.runtime.system import ActorSystem

A = TypeVar("A", bound=Actor)


class Bond(msgspec.Struct, frozen=True):
    """What is owed to somebody when this cell has died, or as soon as it has started."""

    pay: Callable[[ExitReason | None], object]
    is_due_at_start: bool = False
    is_fatal: bool = False


class Estate(NamedTuple):
    """What an ending leaves to whoever has claimed it."""

    mailbox: SimpleQueue[Any] | None
    bonds: dict[object, Bond] | None
    actor: Any


class Incarnation(ActorRef[A], Generic[A]):
    """The identity and the end of one incarnation; see `Cell`."""

    __slots__ = (
        "actor",
        "actor_class",
        "address",
        "bonds",
        "has_told",
        "incarnation",
        "is_dead",
        "is_ignored",
        "is_started",
        "items",
        "parent",
        "reason",
        "system",
        "tag",
        "urn",
    )

    system: ActorSystem
    actor_class: type[A]
    actor: Any
    parent: Cell[Any] | None
    address: Address[Any] | None
    tag: Any
    incarnation: int
    urn: str | None
    items: SimpleQueue[Any] | None
    is_started: bool
    is_ignored: bool
    is_dead: bool
    has_told: bool
    reason: ExitReason | None
    bonds: dict[object, Bond] | None

    # -- who am I ----------------------------------------------------------

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # a property: 3 us that few need
        """A uuid4 URN, as pykka's suite insists; made when first asked for."""
        if self.urn is None:
            made = self.system.new_urn()
            with self.system.rare:
                self.urn = self.urn or made
        return self.urn

    def _actor_weakref(self) -> Any:  # type: ignore[override]  # called like one, never None-checked
        return self.actor

    @property
    def name(self) -> str:
        """The address's name, or class and incarnation."""
        if self.address is not None:
            return self.address.name
        tag = "" if self.tag is None else f" {self.tag}"
        # A factory need not be a class or a function: a `partial` has no name.
        made_by = getattr(self.actor_class, "__name__", type(self.actor_class).__name__)
        return f"{made_by}{tag}"

    @property
    def path(self) -> str:
        """Where it stands in the tree: `root/sessions/3`."""
        if self.parent is None or self.tag is None:
            return self.name
        return f"{self.parent.path}/{self.tag}"

    def __repr__(self) -> str:
        return f"<ActorRef for {self}>"

    def __str__(self) -> str:
        if self.parent is None and self.address is None:
            return f"{self.actor_class.__name__} ({self.actor_urn})"
        return f"{self.name} (incarnation {self.incarnation})"

    def is_alive(self) -> bool:
        """Return False once the actor has ended, its cleanup included."""
        return not self.is_dead

    def when_dead(
        self,
        key: object,
        pay: Callable[[Any], object],
        *,
        or_started: bool = False,
        is_fatal: bool = False,
    ) -> bool:
        """Have `pay(reason)` called once at the end; False if the end has been already.

        Args:
            key: names the bond, to take it back.
            pay: called by whoever ends the actor; it must be short and not block.
            or_started: call it with None as soon as the start is complete.
            is_fatal: whether others may end because of it: its supervisor is told first.
        """
        bond = Bond(pay, or_started, is_fatal)
        first: dict[object, Bond] = {}  # no collector may run while the lock is held
        with self.system.rare:
            if self.is_dead or (or_started and self.is_started):
                return False
            if self.bonds is None:
                self.bonds = first
            self.bonds[key] = bond
            return True

    def forget_bond(self, key: object) -> bool:
        """Take a bond back; say whether it was still there."""
        with self.system.rare:
            return self.bonds is not None and self.bonds.pop(key, None) is not None

    def final_reason(self) -> ExitReason:
        """Return why it ended: for a monitor that came too late, that nobody is there."""
        return NoActor()

    # -- the end is claimed once -------------------------------------------

    def _claim(self, reason: ExitReason, *, is_death: bool) -> Estate | None:
        """Claim the end, or death itself; return what it leaves, or None to who comes too late.

        The end is claimed by the holder of the baton, before the cleanup; death
        after it, or at once by a kill, from any thread.
        """
        with self.system.rare:
            if self.is_dead or (self.reason is not None and not is_death):
                return None
            self.reason = reason
            q, self.items = self.items, None
            if not is_death:
                return Estate(q, None, None)
            self.is_dead = True
            bonds, self.bonds = self.bonds, None
            actor = self.actor
        return Estate(q, bonds, actor)
