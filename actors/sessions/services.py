"""What every session of a system shares, and the manager with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from callboard.actors.keeping import Keeping
from callboard.actors.limits import SessionLimits
from callboard.actors.secrets import Secrets
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.draft import SessionEntry
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.internal import Crowded
from callboard.actors.sessions.naming import JANITOR, MANAGER, partition_name
from callboard.actors.sessions.spawn import Planner, Step, plan
from callboard.actors.sessions.table import Table
from callboard.actors.storage.journal import Outcome
from callboard.actors.storage.memory import MemoryStore
from callboard.supervision import ActorSystem

if TYPE_CHECKING:
    from callboard.supervision import Address


class StepTold(msgspec.Struct, frozen=True):
    """How a step of a session's spawn or cleanup went.

    Args:
        session_id: whose.
        kind: "cleanup_step", or "error" of a step that the session does without.
        details: `name` of the step; `ok` and `seconds`, or the `error`.
    """

    session_id: str
    kind: str
    details: Mapping[str, object] = EMPTY


class Services:
    """Plain objects that no actor's death empties, and the settings.

    Args:
        system: the actor system.
        kinds: name -> behaviour class.
        limits: the bounds of messages and places.
        partitions: over how many supervisors the sessions are spread.
        tenants: whether every session needs a user and an organisation.
        unique_role: whether a user's living sessions play different roles.
        faults: whether crashes may be injected.
        keeping: how long what nobody uses is kept.
        secrets: what steps of a spawn get their secrets from.
        manager: the manager's address.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        kinds: Mapping[str, type[Any]],
        limits: SessionLimits,
        partitions: int,
        tenants: bool,
        unique_role: bool,
        faults: bool,
        keeping: Keeping,
        secrets: Secrets,
        manager: Address[Any],
    ) -> None:
        self.system = system
        self.kinds = kinds
        self.limits = limits
        self.partitions = partitions
        self.tenants = tenants
        self.unique_role = unique_role
        self.faults = faults
        self.keeping = keeping
        self.secrets = secrets
        self.planners: list[Planner] = []
        """Who says what a session spawns, in order; set before the first session. See `spawn.py`.
        None: a session is ACTIVE as soon as it has started."""
        self.manager = manager
        self.table = Table(partitions, files_awake=keeping.passivates)
        self.book = Book(partitions)
        self.commit = MemoryStore().commit
        """Keep a commit and publish it. Any thread."""
        self.connections: Any = None
        """Sees to the sessions' connections: a `Switchboard`, made above."""
        self.root: Any = None
        self.sweep_due_s: float | None = None
        self.is_crowded = False
        """Whether the janitor has been told that too many are awake, and is at it."""

    def plan(self, session: Session) -> tuple[Step, ...]:
        """Return what a session needs, in the order in which it is done. Any thread."""
        steps = plan(self.planners, session) if self.planners else ()
        if session.has_links:
            steps = (*steps, *self.connections.plan(session))
        return steps

    def tell(self, session: Session, kind: str, **details: object) -> None:
        """Emit an event of a session. Any thread; it never waits."""
        self.system.emit(StepTold(session.id, kind, details))

    def announce(self, notice: object) -> None:
        """Tell the manager; while it restarts the notice waits in its mailbox."""
        self.manager.notify(notice)

    def failing_parts(self) -> tuple[str, ...]:
        """Return the names of the parts that do not run just now. Any thread, no message."""
        parts = [MANAGER, *map(partition_name, range(self.partitions))]
        found = ((name, self.system.lookup(name)) for name in parts)
        return tuple(name for name, part in found if part is None or not part.is_alive())

    def see_to_room(self) -> None:
        """Tell the janitor when more sessions are awake than may be; once until it is done."""
        awake_max = self.keeping.awake_max
        if awake_max is None or self.is_crowded or self.table.awake_count <= awake_max:
            return
        janitor = self.system.lookup(JANITOR)
        if janitor is not None:  # else the next one looks when it starts
            self.is_crowded = True
            janitor.notify(Crowded())

    def find_part(self, path: str) -> Any:
        """Return the living part of the tree at this path below the root, or None."""
        part: Any = self.root
        for step in path.split("/"):
            actor: Any = None if part is None else part.actor
            below: list[Any] = [] if actor is None else actor.linked_children()
            part = next((each for each in below if str(each.tag) == step), None)
        return part


__all__ = ["Outcome", "Services", "SessionEntry"]
