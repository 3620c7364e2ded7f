"""Who stands under which key: two tables that are read without a lock.

A writer holds the registry's lock. A reader takes one look that
is whole by itself: a read of one place of a dictionary, or a copy of a small
one, which the interpreter does not interrupt. An entry never changes; whoever
changes something puts another one in its place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

from callboard.supervision.registry.entries import RegistryEntry
from callboard.supervision.runtime.cell import Cell

Entry: TypeAlias = RegistryEntry[Any]
Entries: TypeAlias = tuple[Entry, ...]
Owner: TypeAlias = Cell[Any]


class Table(ABC):
    """The entries of a registry, by key and by owner.

    Keys come in as `exact` makes them.
    """

    def __init__(self) -> None:
        self._keys_of: dict[Owner, dict[Hashable, None]] = {}

    def knows(self, owner: Owner) -> bool:
        """Whether the owner ever had an entry; from then on to its end."""
        return owner in self._keys_of

    def owners(self) -> list[Owner]:
        """Return the owners that have entries, in the order in which they came."""
        return [owner for owner, keys in dict(self._keys_of).items() if keys]

    def of_owner(self, owner: Owner) -> Entries:
        """Return all entries of an owner, in the order of its keys."""
        keys = self._keys_of.get(owner)
        if not keys:
            return ()
        return tuple([entry for key in [*keys] for entry in self.own(key, owner)])

    def put_own(self, key: Hashable, owner: Owner, entries: Entries) -> None:
        """Let these, and no others, be what the owner has under the key."""
        # By owner first, as in Elixir: whatever interrupts us, its end cleans up.
        if entries:
            self._keys_of.setdefault(owner, {})[key] = None
        self._put(key, owner, entries)
        if not entries and owner in self._keys_of:  # an end may have been before us
            self._keys_of[owner].pop(key, None)

    def forget(self, owner: Owner) -> None:
        """Remove what the owner has; it has ended."""
        for key in [*self._keys_of.get(owner, ())]:
            self._put(key, owner, ())
        self._keys_of.pop(owner, None)

    @abstractmethod
    def at(self, key: Hashable) -> Sequence[Entry]:
        """Return what stands under a key."""

    @abstractmethod
    def own(self, key: Hashable, owner: Owner) -> Entries:
        """Return what the owner has under a key."""

    @abstractmethod
    def all(self) -> Sequence[Entry]:
        """Return all entries."""

    @abstractmethod
    def count(self) -> int:
        """Return how many entries there are."""

    @abstractmethod
    def _put(self, key: Hashable, owner: Owner, entries: Entries) -> None: ...


class UniqueTable(Table):
    """One entry under a key."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[Hashable, Entry] = {}
        self.find = self._entries.get
        """`find(key)` is the entry, or None: one dictionary read."""

    def at(self, key: Hashable) -> Sequence[Entry]:
        """Return what stands under a key."""
        entry = self._entries.get(key)
        return () if entry is None else (entry,)

    def own(self, key: Hashable, owner: Owner) -> Entries:
        """Return what the owner has under a key."""
        entry = self._entries.get(key)
        return () if entry is None or entry.owner is not owner else (entry,)

    def all(self) -> Sequence[Entry]:
        """Return all entries."""
        return [*self._entries.values()]

    def count(self) -> int:
        """Return how many entries there are."""
        return len(self._entries)

    def _put(self, key: Hashable, owner: Owner, entries: Entries) -> None:
        if entries:
            self._entries[key] = entries[-1]
        elif self.own(key, owner):
            del self._entries[key]


class DuplicateTable(Table):
    """Any number of entries under a key, several of one owner included."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[Hashable, dict[Owner, Entries]] = {}
        self._count = 0

    def at(self, key: Hashable) -> Sequence[Entry]:
        """Return what stands under a key."""
        here = self._entries.get(key)
        return () if here is None else [entry for own in [*here.values()] for entry in own]

    def own(self, key: Hashable, owner: Owner) -> Entries:
        """Return what the owner has under a key."""
        here = self._entries.get(key)
        return () if here is None else here.get(owner, ())

    def all(self) -> Sequence[Entry]:
        """Return all entries."""
        return [
            entry for here in [*self._entries.values()] for own in [*here.values()] for entry in own
        ]

    def count(self) -> int:
        """Return how many entries there are."""
        return self._count

    def _put(self, key: Hashable, owner: Owner, entries: Entries) -> None:
        self._count += len(entries) - len(self.own(key, owner))
        if entries:
            self._entries.setdefault(key, {})[owner] = entries
            return
        here = self._entries.get(key)
        if here is not None:
            here.pop(owner, None)
            if not here:
                del self._entries[key]
