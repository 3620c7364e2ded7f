"""The tree of a session system: what runs, in which order, and what restarts with what.

    root (rest for one)
    |- storage           who writes to the durable store, and reads from it, if there is one
    |- services          the hub of events and those who write them down
    |- sessions          a partition's sessions each
    |- connections       a partition's agents, MCP clients and clients each
    `- front             janitor, manager, who deletes workspaces if there are any, and the heart
                         if somebody is to hear it

What stands further down uses what stands above it, and restarts with it.
"""

from __future__ import annotations

from typing import Any, Final

from callboard.actors.clearer import Clearer
from callboard.actors.connections.line import ConnectionsPartition
from callboard.actors.connections.switchboard import Switchboard
from callboard.actors.heart import Heart, Watchdog
from callboard.actors.janitor import Janitor
from callboard.actors.manager import AuditedManager, SessionManager
from callboard.actors.sessions.naming import (
    CLEARER,
    CONNECTIONS,
    FRONT,
    HEART,
    JANITOR,
    MANAGER,
    PARTITIONS,
    SERVICES,
    STORAGE,
)
from callboard.actors.sessions.observing import DELAYS
from callboard.actors.sessions.partition import SessionPartition
from callboard.actors.sessions.services import Services
from callboard.supervision.model.specs import ChildSpec, Strategy
from callboard.supervision.tree.supervisor import PartitionSupervisor, Supervisor

INTENSITY: Final = 10
"""Restarts that every supervisor but a partition may count within `PERIOD_S`."""

PERIOD_S: Final = 60.0
"""The window, in seconds."""

_BUDGET: Final[dict[str, Any]] = {"intensity": INTENSITY, "period_s": PERIOD_S}

BUDGET_OF_ROOT: Final[dict[str, Any]] = {"strategy": Strategy.REST_FOR_ONE, **_BUDGET}
"""How the root restarts its children, as arguments of `Supervisor`."""


def tree(
    services: Services, switchboard: Switchboard, watchdog: Watchdog | None
) -> tuple[ChildSpec, ...]:
    """Return what the root supervises.

    Args:
        services: what the parts share.
        switchboard: what the connections share.
        watchdog: is told that the tree is healthy; None: nobody is.
    """
    storing = services.storing
    return (
        *(() if storing is None else (_group(STORAGE, storing.specs),)),
        _group(SERVICES, services.observing.specs),
        _spread(PARTITIONS, SessionPartition, services, services.partitions),
        _spread(CONNECTIONS, ConnectionsPartition, switchboard, services.partitions),
        _group(FRONT, _front(services, watchdog)),
    )


def _front(services: Services, watchdog: Watchdog | None) -> tuple[ChildSpec, ...]:
    kind = AuditedManager if services.audit_required else SessionManager
    janitor = ChildSpec(id=JANITOR, start=Janitor, args=(services,), name=JANITOR)
    manager = ChildSpec(id=MANAGER, start=kind, args=(services,), name=MANAGER)
    specs = [janitor, manager]
    if services.clearing is not None:
        args = (services.clearing,)
        clearer = ChildSpec(id=CLEARER, start=Clearer, args=args, name=CLEARER, backoff=DELAYS)
        specs.insert(1, clearer)
    if watchdog is not None:
        specs.append(ChildSpec(id=HEART, start=Heart, args=(services, watchdog)))
    return tuple(specs)


def _group(name: str, children: tuple[ChildSpec, ...]) -> ChildSpec:
    return ChildSpec(id=name, start=Supervisor, args=(children,), kwargs=dict(_BUDGET))


def _spread(name: str, partition: type[Any], shared: object, partitions: int) -> ChildSpec:
    """Return a supervisor of `partitions` partitions, each of which is given its number."""
    template = ChildSpec(id="partition", start=partition, args=(shared,), name=name)
    return ChildSpec(
        id=name,
        start=PartitionSupervisor,
        args=(template,),
        kwargs={"partitions": partitions, "with_arguments": _numbered, **_BUDGET},
    )


def _numbered(args: tuple[object, ...], number: int) -> tuple[object, ...]:
    """Return a partition's arguments: what they share, and its number."""
    return (*args, number)
