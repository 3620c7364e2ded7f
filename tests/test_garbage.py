"""What is over leaves nothing in memory, however it ended."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

import callboard.actors
import callboard.supervision
from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem, StoreError
from callboard.actors.sessions.data import Message, Session
from callboard.actors.sessions.links import AgentInfo
from callboard.actors.sessions.log import Log
from callboard.actors.storage.records import Write
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision.testing import FaultPlan, Simulation
from tests.simulation.durable import DURABLE_PLAN, DURABLE_TAKING_OVER, durable
from tests.simulation.mixed import PLAN, TAKING_OVER, mixed

# -- structs that the collector does not look at ---------------------------

VALUES = {str, int, float, bool, bytes, type(None)}

OF_THESE = {tuple, dict, Mapping, Union, UnionType}
"""What may hold values, and leads nowhere else."""

FROZEN = {
    (Message, "metadata"): "frozen when it is said: test_frozen.py",
    (Session, "variables"): "frozen when it is set: test_frozen.py",
    (Session, "metadata"): "frozen when it is set: test_frozen.py",
    (Session, "client_capabilities"): "frozen when it is set: test_frozen.py",
    (Session, "data"): "refused if it can be changed from within: test_unchanging.py",
    (AgentInfo, "capabilities"): "what was read from JSON",
    (Log, "_root"): "nothing but messages, in tuples",
}
"""Fields whose types do not say that they hold older values only -> why they do."""


def untracked() -> Iterator[type[msgspec.Struct]]:
    """Yield all structs of the library that the garbage collector does not look at."""
    for package in (callboard.supervision, callboard.actors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    below = [msgspec.Struct]
    while below:
        kinds = below.pop().__subclasses__()
        below += kinds
        yield from (each for each in kinds if _is_ours(each) and not each.__struct_config__.gc)


def _is_ours(kind: type[object]) -> bool:
    return kind.__module__.startswith("callboard.")


def odd_fields(kind: type[Any], above: frozenset[type] = frozenset()) -> Iterator[str]:
    """Name the fields that may lead back to a struct, for all that their types say."""
    for name, hint in get_type_hints(kind).items():
        if get_origin(hint) is ClassVar or (kind, name) in FROZEN:
            continue
        for leaf in _leaves(hint):
            if _is_value(leaf) or leaf in above:
                continue
            if isinstance(leaf, type) and issubclass(leaf, msgspec.Struct):
                yield from odd_fields(leaf, above | {kind, leaf})
            else:
                yield f"{kind.__name__}.{name}: {leaf}"


def _leaves(hint: Any) -> Iterator[Any]:
    inner = get_args(hint)
    if not inner:
        yield getattr(hint, "__supertype__", hint)  # of a NewType
    elif get_origin(hint) not in OF_THESE:
        yield get_origin(hint)
    for each in inner:
        if each is not Ellipsis:
            yield from _leaves(each)


def _is_value(leaf: Any) -> bool:
    if isinstance(leaf, TypeVar):
        return True  # what stands for it is looked at by itself
    return leaf in VALUES or (isinstance(leaf, type) and issubclass(leaf, Enum))


@pytest.mark.parametrize("kind", sorted(set(untracked()), key=str), ids=lambda each: each.__name__)
def test_what_the_collector_does_not_look_at_holds_values_alone(
    kind: type[msgspec.Struct],
) -> None:
    """Else a circle of which it is a part would stay for ever."""
    assert list(odd_fields(kind)) == []


# -- what has ended --------------------------------------------------------

WORLDS = {
    "everything strikes": (mixed, PLAN),
    "managers take over": (mixed, TAKING_OVER),
    "everything strikes, with a store": (durable, DURABLE_PLAN),
    "managers take over, with a store": (durable, DURABLE_TAKING_OVER),
}


@pytest.mark.parametrize(("body", "plan"), WORLDS.values(), ids=list(WORLDS))
def test_of_a_world_that_has_ended_nothing_stays(
    body: Callable[[Simulation], object], plan: FaultPlan
) -> None:
    def use(seed: int) -> weakref.ref[object]:
        with Simulation(seed, faults=plan) as sim:
            body(sim)
            return weakref.ref(sim._hub)

    hubs = [use(seed) for seed in range(10)]
    gc.collect()

    # A thread remembers the last event loop that it has had.
    assert len([hub for hub in hubs if hub() is not None]) <= 1


class Full(StoreInMemory):
    """A store that takes nothing, while it is full."""

    is_full = False

    def write(self, writes: Sequence[Write]) -> Mapping[str, StoreError]:
        if self.is_full:
            raise StoreError("the disk is full")
        return super().write(writes)


def test_of_a_commit_that_was_refused_nothing_stays() -> None:
    def errors() -> int:
        gc.collect()
        return sum(isinstance(each, StoreError) for each in gc.get_objects())

    store = Full()
    with SessionSystem(store=store) as sessions:
        ada = sessions.ask(CreateSession(user_id="ada")).id
        before = errors()
        store.is_full = True
        for number in range(50):
            with pytest.raises(StoreError):
                sessions.ask(AppendMessage(ada, Role.USER, f"message {number}"))
        store.is_full = False
        sessions.ask(AppendMessage(ada, Role.USER, "hello"))

        assert errors() <= before + AT_HAND


AT_HAND = 5
"""Errors that are still at hand after the last one: in a worker's last turn, and in health."""
