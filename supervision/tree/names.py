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
        self.supervisor = supervisor
        self._system = supervisor.system
        self._addresses: dict[ChildId, Address[Any]] = {}

    @property
    def is_over(self) -> bool:
        """Whether the supervisor has ended."""
        return self.supervisor.is_dead

    def claim(
        self, key: ChildId, name: str | Address[Any], *, keeps_mailbox: bool
    ) -> tuple[Address[Any], Cell[Any] | None]:
        """Take the name of a child.

        Args:
            key: which child.
            name: the name; or the address itself, where somebody else sees to it.
            keeps_mailbox: whether messages wait there while nobody lives there.

        Returns:
            Its address; and who has to end before the child may enter it: a predecessor whose
            supervisor was killed, and which still cleans up.

        Raises:
            NameTaken: somebody lives there, or will again.
        """
        while True:
            address = name if isinstance(name, Address) else self._system.lookup(name)
            if address is None:
                assert isinstance(name, str)
                address = self._system.reserve(name, keeps_mailbox=keeps_mailbox, owner=self)
                self._addresses[key] = address
                return address, None
            with self._system.rare:  # who may have it is decided, and it is theirs, at once
                holder = address.cell
                is_there = address is name or self._system.names.get(address.name) is address
                is_free = self._may_own(address, key) and _is_empty_or_left(holder)
                if is_there and is_free:
                    address.owner = self
            if not is_free:
                raise NameTaken(address.name, address)
            if is_there:  # otherwise it was given back just now
                self._addresses[key] = address
                return address, holder

    def _may_own(self, address: Address[Any], key: ChildId) -> bool:
        """Say whether it is this child's already, or nobody's who could have it lived in again."""
        owner = address.owner
        if owner is self:
            return self._addresses.get(key) is address  # otherwise it is a sibling's
        return owner is None or (isinstance(owner, ChildNames) and owner.is_over)

    def open(self, address: Address[Any]) -> None:
        """Have a child's address keep messages again, for it is about to be lived in.

        here: (1) open   (2) has the supervisor been killed? close     killer: (1) dead (2) close
        """
        if not address.is_reserved:
            address.keeps_mailbox = True
            if self.is_over and address.owner is self:
                address.close()

    def close(self, key: ChildId) -> None:
        """Have a child's address take no more messages, for it will not come back by itself.

        The name stays the child's. One that was reserved is not ours to close.
        """
        address = self._addresses.get(key)
        if address is not None and address.owner is self and not address.is_reserved:
            address.close()

    # -- giving back -------------------------------------------------------

    def release(self, key: ChildId) -> None:
        """Give a child's name back, unless a successor of this supervisor has taken it over.

        One that was reserved stays so, for whoever next has a child of that name.
        """
        address = self._addresses.pop(key, None)
        if address is None:
            return
        with self._system.rare:  # a successor takes it over, or it goes: not both
            if address.owner is not self:
                return
            if address.is_reserved:
                address.owner = None
                return
            if self._system.names.get(address.name) is address:
                self._system.names.pop(address.name)
        address.close()

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


def _is_empty_or_left(holder: Cell[Any] | None) -> bool:
    """Say whether nobody lives there, or only somebody whose supervisor was killed."""
    if holder is None or holder.is_dead:
        return True
    return holder.parent is not None and holder.parent.is_dead
