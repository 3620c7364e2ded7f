"""A registry: what is asked of it, and who is written down."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, NoReturn, TypeVar, cast, overload

from callboard.supervision.model.errors import DeliveryError, InvalidSpec
from callboard.supervision.model.patterns import ANY, value_fits
from callboard.supervision.model.reasons import ExitReason, Normal, Shutdown
from callboard.supervision.model.specs import ChildSpec
from callboard.supervision.registry.entries import Registered, RegistryEntry, Unregistered
from callboard.supervision.registry.errors import (
    AlreadyRegistered,
    KeysNotUnique,
    NoOwner,
    NotRegistered,
    RegistryNotRunning,
)
from callboard.supervision.registry.keeper import Keeper
from callboard.supervision.registry.keys import Keys, exact
from callboard.supervision.registry.table import DuplicateTable, Table, UniqueTable
from callboard.supervision.registry.via import Via
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.interrupts import passes
from callboard.supervision.runtime.names import Address
from callboard.supervision.runtime.system import ActorSystem

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")

_NOTHING: Mapping[Hashable, object] = MappingProxyType({})


class Registry(Generic[K, V]):
    """Who is known under which key, and what they say about themselves.

        rooms: Registry[str, int] = Registry(system, "rooms")
        supervisor = [rooms.child_spec(), ...]      # first, so it is there for the others

        rooms.register("lobby", 12)                 # inside an actor: it is the owner
        rooms.lookup("lobby")                       # (RegistryEntry("lobby", ref, 12),)
        rooms.via("lobby").tell("hello")

    Entries belong to the actor that registered, the owner, and go with it,
    however it ended. The table is a plain object that lives as long as somebody
    holds it: a read sends no message, takes no lock and works from any thread.

    Behind it stands an actor, started by a supervisor (`child_spec`) or by
    `start`, that owners are linked to: when it ends, owners end with its
    reason (`Shutdown` instead of `Normal`), save those that trap exits, which
    get an `Exit`. An owner's end does it no harm. While it does not run,
    nobody can register.

    Differs from Elixir: the table outlives that actor, so what owners that trap
    exits registered is still there when it has been restarted; there are no
    partitions, as one lock is enough where one thread runs at a time; who
    failed to register is not linked.

    Args:
        system: where it lives; owners of other systems are refused.
        name: the name of its actor, and in errors and notices.
        keys: whether a key has one entry or any number.
        listeners: names of actors that get `Registered` and `Unregistered`. A
            notice that cannot be delivered is a dead letter.
        meta: the first metadata.

    Raises:
        InvalidSpec: an argument that cannot be.

    Source: Elixir, Registry.
    """

    def __init__(
        self,
        system: ActorSystem,
        name: str,
        *,
        keys: Keys = Keys.UNIQUE,
        listeners: Iterable[str] = (),
        meta: Mapping[Hashable, object] = _NOTHING,
    ) -> None:
        if not isinstance(system, ActorSystem):
            raise InvalidSpec("system", system, "Give the ActorSystem whose actors it is to find.")
        if not (isinstance(name, str) and name):
            raise InvalidSpec("name", name, "Give text that is not empty.")
        if not isinstance(keys, Keys):
            raise InvalidSpec("keys", keys, "Give Keys.UNIQUE or Keys.DUPLICATE.")
        names: tuple[Any, ...] = tuple(listeners) if isinstance(listeners, Iterable) else (None,)
        if isinstance(listeners, str) or not all(isinstance(each, str) for each in names):
            raise InvalidSpec("listeners", listeners, "Give a tuple of names.")
        if not isinstance(meta, Mapping):
            raise InvalidSpec("meta", meta, "Give a mapping from keys to values.")
        self.system = system
        self.name = name
        self.kind = keys
        self._lock = system.new_lock()
        self._listeners = names
        self._meta = {exact(key): value for key, value in meta.items()}
        self._keeper: Cell[Any] | None = None
        self._table: Table
        self._find: Callable[[Hashable], RegistryEntry[V] | None]
        if keys is Keys.UNIQUE:
            unique = UniqueTable()
            self._table, self._find = unique, unique.find
        else:
            self._table, self._find = DuplicateTable(), self._refuse_as_not_unique

    def __repr__(self) -> str:
        return f"<Registry {self.name}>"

    @classmethod
    def of(cls, system: ActorSystem, name: str) -> Registry[Any, Any]:
        """Find the registry that runs under a name.

        Raises:
            RegistryNotRunning: none does.
        """
        address = system.lookup(name)
        ref = None if address is None else address.ref
        keeper = None if ref is None else ref.actor
        registry = keeper.registry if isinstance(keeper, Keeper) else None
        if not isinstance(registry, Registry):
            raise RegistryNotRunning(name)
        found: Registry[Any, Any] = registry  # pyright: ignore[reportUnknownVariableType]  # whatever its types
        return found

    # -- its actor ---------------------------------------------------------

    def child_spec(self) -> ChildSpec:
        """Return the spec of the actor behind it, permanent, under the registry's name.

        Source: Elixir, Registry.child_spec/1.
        """
        return ChildSpec(id=self.name, start=Keeper, args=(self, self._begin), name=self.name)

    def start(self) -> Cell[Any]:
        """Start the actor behind it, unsupervised; return its ref when it is there.

        Raises:
            NameTaken: somebody has the name, perhaps this registry already.
            SystemStopped: the system has been stopped.

        Source: Elixir, Registry.start_link/1.
        """
        return self.system.spawn_named(self.name, Keeper, self, self._begin).wait_started()

    def _begin(self, keeper: Cell[Any]) -> None:
        with self._lock:
            old, self._keeper = self._keeper, keeper
        assert old is None or old.is_dead, "its name keeps a second one away"
        keeper.when_dead(self, partial(self._ended, keeper), is_fatal=True)

    def _ended(self, keeper: Cell[Any], reason: ExitReason) -> None:
        """Take the owners along, as their links to the registry do in Elixir."""
        if isinstance(reason, Normal):
            reason = Shutdown()  # there a registry is stopped as a supervisor's child
        with self._lock:
            owners = self._table.owners()
        for owner in owners:
            owner.exit_from(keeper, reason)

    # -- registering -------------------------------------------------------

    @overload
    def register(
        self: Registry[K, None], key: K, *, owner: Cell[Any] | Address[Any] | None = ...
    ) -> None: ...
    @overload
    def register(
        self, key: K, value: V, *, owner: Cell[Any] | Address[Any] | None = ...
    ) -> None: ...
    def register(
        self, key: K, value: Any = None, *, owner: Cell[Any] | Address[Any] | None = None
    ) -> None:
        """Write an actor down under a key; it owns the entry until it ends.

        Args:
            key: any hashable value. Keys are the same only when they are equal
                and of the same type.
            value: what to say along.
            owner: whom; the actor that is running unless given. Of an address
                it is the current incarnation.

        Raises:
            AlreadyRegistered: keys are unique and this one has an owner that lives.
            RegistryNotRunning: its actor does not run.
            ActorDeadError: the owner has ended.
            NoOwner: called outside of every actor, without `owner`.

        Source: Elixir, Registry.register/3.
        """
        if not self.system.is_open:
            raise RegistryNotRunning(self.name)
        cell = self._owner_of(owner)
        name = exact(key)
        # The bond first: it may find nothing to clean, but is never too late.
        if not self._table.knows(cell) and not cell.when_dead(
            self, partial(self._owner_ended, cell)
        ):
            raise cell.dead_error()
        holder = self._write(name, RegistryEntry(key, cell, value))
        if holder is not None:
            raise AlreadyRegistered(self.name, key, holder)
        if self._listeners:
            self._tell_listeners(Registered(self.name, key, cell, value))

    def _write(self, name: Hashable, entry: RegistryEntry[Any]) -> Cell[Any] | None:
        """Add an entry, or return who has the key already."""
        owner: Cell[Any] = entry.owner
        with self._lock:
            # What either death calls for takes this lock too, and comes after it: who lives now is
            # written down before that, and is found there.
            keeper = self._keeper
            is_running = keeper is not None and not keeper.is_dead
            is_owner_alive = not owner.is_dead
            if is_running and is_owner_alive:
                if self.kind is Keys.UNIQUE:
                    for held in self._table.at(name):
                        if not held.owner.is_dead:
                            holder: Cell[Any] = held.owner
                            return holder
                self._table.put_own(name, owner, (*self._table.own(name, owner), entry))
        if not is_running:
            raise RegistryNotRunning(self.name)
        if not is_owner_alive:
            raise owner.dead_error()
        return None

    def _owner_ended(self, owner: Cell[Any], _reason: ExitReason) -> None:
        with self._lock:
            self._table.forget(owner)

    @passes
    def unregister(self, key: K, *, owner: Cell[Any] | Address[Any] | None = None) -> None:
        """Remove what an actor has under a key: all of it, if keys are not unique.

        Harmless where there is nothing, or where the key is somebody else's.

        Args:
            key: the key.
            owner: whose entries; those of the actor that is running unless given.

        Raises:
            NoOwner: called outside of every actor, without `owner`.

        Source: Elixir, Registry.unregister/2.
        """
        self.unregister_match(key, ANY, owner=owner)

    @passes
    def unregister_match(
        self, key: K, pattern: object, *, owner: Cell[Any] | Address[Any] | None = None
    ) -> None:
        """Remove those entries of an actor under a key whose values fit a pattern.

        Args:
            key: the key.
            pattern: see `match`.
            owner: whose entries; those of the actor that is running unless given.

        Raises:
            NoOwner: called outside of every actor, without `owner`.

        Source: Elixir, Registry.unregister_match/4.
        """
        cell = self._owner_of(owner)
        name = exact(key)
        # The pattern may be a function of the user's: it is asked before the lock is taken.
        own = self._table.own(name, cell)
        leaving = tuple(filter(value_fits(pattern), own))
        if own and not leaving:
            return
        with self._lock:
            own = self._table.own(name, cell)
            kept = tuple([entry for entry in own if not any(entry is each for each in leaving)])
            if leaving:
                self._table.put_own(name, cell, kept)
        # Also where there was nothing, as in Elixir; but not if its end was what took it away.
        if self._listeners and not kept and not cell.is_dead:
            self._tell_listeners(Unregistered(self.name, key, cell))

    @passes
    def update_value(self, key: K, update: Callable[[V], V]) -> tuple[V, V]:
        """Change the value of the running actor's entry.

        Args:
            key: the key.
            update: from the old value to the new one.

        Returns:
            The new value and the old one.

        Raises:
            KeysNotUnique: this registry has no such thing as the value of a key.
            NotRegistered: the key is not this actor's.
            NoOwner: called outside of every actor.

        Source: Elixir, Registry.update_value/3.
        """
        if self.kind is not Keys.UNIQUE:
            raise KeysNotUnique(self.name)
        cell = self._owner_of(None)
        name = exact(key)
        for entry in self._table.own(name, cell):
            new = update(entry.value)
            with self._lock:
                is_there = any(entry is each for each in self._table.at(name)) and not cell.is_dead
                if is_there:
                    self._table.put_own(name, cell, (RegistryEntry(key, cell, new),))
            if is_there:
                return new, entry.value
        raise NotRegistered(self.name, key)

    def _owner_of(self, owner: Cell[Any] | Address[Any] | None) -> Cell[Any]:
        cell = self._caller()
        if owner is not None:
            cell = owner.ref
            if cell is None:
                assert isinstance(owner, Address)
                raise owner.dead_error()
        if cell is None:
            raise NoOwner(self.name)
        if cell.system is not self.system:
            raise InvalidSpec("owner", cell, "Give an actor of the registry's own system.")
        return cell

    def _caller(self) -> Cell[Any] | None:
        """Return the actor that is running here; one that was killed may not act any more."""
        runner = local.runner
        current = None if runner is None else runner.cell
        if current is not None and current.is_dead:
            self.system.refuse_fenced(current, f"registry {self.name!r}")
        return cast("Cell[Any] | None", current)  # every actor's ref is one

    # -- reading: no message, no lock, any thread --------------------------

    def whereis(self, key: K) -> Cell[Any] | None:
        """Return the ref of whoever has a unique key, or None. 0.1 us for a text.

        Raises:
            KeysNotUnique: there may be many; use `lookup`.

        Source: Elixir, Registry.whereis_name/1.
        """
        entry = self._find(key if type(key) is str else exact(key))
        if entry is None:
            return None
        owner: Cell[Any] = entry.owner
        return None if owner.is_dead else owner

    def lookup(self, key: K) -> tuple[RegistryEntry[V], ...]:
        """Return the entries under a key; never one whose owner has ended.

        Source: Elixir, Registry.lookup/2.
        """
        here = self._table.at(key if type(key) is str else exact(key))
        return tuple([entry for entry in here if not entry.owner.is_dead])

    @passes
    def match(self, key: K, pattern: object) -> tuple[RegistryEntry[V], ...]:
        """Return the entries under a key whose values fit a pattern.

        Args:
            key: the key.
            pattern: `ANY` fits everything; a struct, dataclass, tuple, list or
                mapping fits one like it, with `ANY` or other patterns in places;
                a class fits its instances; a function what it is true of;
                anything else what is equal and of the same type.

        Source: Elixir, Registry.match/4.
        """
        return tuple(filter(value_fits(pattern), self.lookup(key)))

    @passes
    def count_match(self, key: K, pattern: object) -> int:
        """Count the entries under a key whose values fit a pattern; see `match`.

        Source: Elixir, Registry.count_match/4.
        """
        return len(self.match(key, pattern))

    @passes
    def dispatch(self, key: K, act: Callable[[tuple[RegistryEntry[V], ...]], object]) -> None:
        """Call `act` once, here, with all entries under a key; not at all if there is none.

        Source: Elixir, Registry.dispatch/4.
        """
        entries = self.lookup(key)
        if entries:
            act(entries)

    def keys(self, owner: Cell[Any] | Address[Any] | None = None) -> tuple[K, ...]:
        """Return the keys of an actor, a key as often as it has entries there.

        Args:
            owner: whose; those of the actor that is running unless given.

        Raises:
            NoOwner: called outside of every actor, without `owner`.

        Source: Elixir, Registry.keys/2.
        """
        cell = self._reader_of(owner)
        return () if cell is None else tuple([each.key for each in self._table.of_owner(cell)])

    def values(self, key: K, owner: Cell[Any] | Address[Any] | None = None) -> tuple[V, ...]:
        """Return the values that an actor has under a key.

        Args:
            key: the key.
            owner: whose; those of the actor that is running unless given.

        Raises:
            NoOwner: called outside of every actor, without `owner`.

        Source: Elixir, Registry.values/3.
        """
        cell = self._reader_of(owner)
        if cell is None:
            return ()
        return tuple([each.value for each in self._table.own(exact(key), cell)])

    def _reader_of(self, owner: Cell[Any] | Address[Any] | None) -> Cell[Any] | None:
        cell = self._owner_of(None) if owner is None else owner.ref
        return None if cell is None or cell.is_dead else cell

    def entries(self) -> tuple[RegistryEntry[V], ...]:
        """Return all entries, as they are just now; choose among them with Python.

        Source: Elixir, Registry.select/2.
        """
        return tuple([entry for entry in self._table.all() if not entry.owner.is_dead])

    def count(self) -> int:
        """Return how many entries there are. Source: Elixir, Registry.count/1."""
        return self._table.count()

    # -- names -------------------------------------------------------------

    @overload
    def via(self: Registry[K, None], key: K) -> Via: ...
    @overload
    def via(self, key: K, value: V) -> Via: ...
    def via(self, key: K, value: Any = None) -> Via:
        """Return a key as a name: to ask, to tell, to look whether somebody has it, to start under.

        Args:
            key: the key.
            value: what an actor that is started under it says along.

        Raises:
            KeysNotUnique: a name has one holder.

        Source: Elixir, `{:via, Registry, {registry, key, value}}`.
        """
        if self.kind is not Keys.UNIQUE:
            raise KeysNotUnique(self.name)
        return Via(self, key, value)

    def _refuse_as_not_unique(self, _key: Hashable) -> NoReturn:
        raise KeysNotUnique(self.name)

    # -- metadata ----------------------------------------------------------

    def meta(self, key: Hashable, default: T | None = None) -> Any | T | None:
        """Return metadata of the registry itself. Source: Elixir, Registry.meta/2."""
        return self._meta.get(exact(key), default)

    def put_meta(self, key: Hashable, value: object) -> None:
        """Set metadata of the registry itself. Source: Elixir, Registry.put_meta/3."""
        self._caller()
        self._meta[exact(key)] = value

    def delete_meta(self, key: Hashable) -> None:
        """Remove metadata; harmless where there is none. Source: Elixir, Registry.delete_meta/2."""
        self._caller()
        self._meta.pop(exact(key), None)

    # -- listeners ---------------------------------------------------------

    def _tell_listeners(self, notice: Registered | Unregistered) -> None:
        for name in self._listeners:
            address = self.system.lookup(name)
            if address is None:
                self.system.dead_letters.record(notice, address=name)
                continue
            try:
                address.tell(notice)
            except DeliveryError as error:  # what listens must not hurt who registers
                self.system.dead_letters.record(notice, address=name, why=error.code)
