"""Who has a child's name, and from when? A supervisor takes names for its children."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.specs import ChildId
from callboard.supervision.runtime.names import Address, NameTaken

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell


class ChildNames:
    """The names that one supervisor has taken for its children.

    Args:
        supervisor: whose they are.
    """

    def __init__(self, supervisor: Cell[Any]) -> None:
        self._supervisor = supervisor
        self._system = supervisor.system
        self._addresses: dict[ChildId, Address[Any]] = {}

    @property
    def is_over(self) -> bool:
        """Whether the supervisor has ended."""
        return self._supervisor.is_dead

    def claim(
        self, key: ChildId, name: str, *, keeps_mailbox: bool
    ) -> tuple[Address[Any], Cell[Any] | None]:
        """Take the name of a child.

        Returns:
            Its address; and who has to end before the child may enter it: a predecessor whose
            supervisor was killed, and which still cleans up.

        Raises:
            NameTaken: somebody lives there, or will again.
        """
        while True:
            address = self._system.lookup(name)
            if address is None:
                address = self._system.reserve(name, keeps_mailbox=keeps_mailbox)
                address.owner = self
                self._addresses[key] = address
                return address, None
            holder = address.ref
            if self._is_taken(address, holder):
                raise NameTaken(name, address)
            if address.owner in {None, self} or self._adopts(address, key):
                return address, holder

    def _is_taken(self, address: Address[Any], holder: Cell[Any] | None) -> bool:
        """Say whether somebody lives there, or will again, who is no orphan."""
        if holder is not None and not holder.is_dead:
            return holder.parent is None or not holder.parent.is_dead
        owner = address.owner
        return isinstance(owner, ChildNames) and owner is not self and not owner.is_over

    def _adopts(self, address: Address[Any], key: ChildId) -> bool:
        """Take an address over from a killed supervisor, unless it is given back just now."""
        with self._system.rare:
            if self._system.names.get(address.name) is not address:
                return False
            address.owner = self
        self._addresses[key] = address
        return True

    # -- giving back -------------------------------------------------------

    def release(self, key: ChildId) -> None:
        """Give a child's name back, unless a successor of this supervisor has taken it over."""
        address = self._addresses.pop(key, None)
        if address is None:
            return
        with self._system.rare:  # a successor takes it over, or it goes: not both
            if address.owner is not self:
                return
            if self._system.names.get(address.name) is address:
                del self._system.names[address.name]
        self._system.release(address)

    def release_all(self) -> None:
        """Give all of them back."""
        for key in list(self._addresses):
            self.release(key)

    def release_after(self, cell: Cell[Any] | None, key: ChildId) -> None:
        """Give a child's name back when this incarnation has ended. Any thread."""
        if cell is None or not cell.when_dead(("name", self), partial(self._released, key)):
            self.release(key)

    def _released(self, key: ChildId, _reason: ExitReason) -> None:
        self.release(key)
