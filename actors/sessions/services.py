"""What every session of a system shares, and the manager with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from callboard.actors.audit import AuditSink
from callboard.actors.keeping import Keeping
from callboard.actors.limits import SessionLimits
from callboard.actors.memory import Memory
from callboard.actors.messages import StoreHealth
from callboard.actors.metrics import MetricsSink
from callboard.actors.secrets import Secrets
from callboard.actors.sessions.address import Addresses, address_of
from callboard.actors.sessions.attending import PART_HUNG_AFTER_S, has_hung
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.clearing import Clearing
from callboard.actors.sessions.coding import SessionCoder, standing_to_keep
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.draft import Draft, SessionEntry, SessionStore
from callboard.actors.sessions.events import EventKind, SessionEvent, event_of
from callboard.actors.sessions.gate import Gate
from callboard.actors.sessions.hung import HUNG_AFTER_S
from callboard.actors.sessions.internal import Crowded, ForgetSession
from callboard.actors.sessions.log import Log
from callboard.actors.sessions.naming import (
    CLEARER,
    JANITOR,
    MANAGER,
    WRITER,
    connections_partition_name,
    partition_name,
)
from callboard.actors.sessions.observing import Observing
from callboard.actors.sessions.outlets import LogSink
from callboard.actors.sessions.relief import Relief
from callboard.actors.sessions.spawn import Planner, Step, plan
from callboard.actors.sessions.storing import Storing, tell_where
from callboard.actors.sessions.table import DurableRow, Row, Standing, Table
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.guarded import GuardedStore
from callboard.actors.storage.journal import Journal
from callboard.actors.storage.memory import MemoryStore
from callboard.actors.storage.records import Store
from callboard.actors.workspace import WorkspaceProvider
from callboard.supervision import ActorSystem

if TYPE_CHECKING:
    from callboard.supervision import Address


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
        memory: knows how much memory the process takes.
        secrets: what steps of a spawn get their secrets from.
        manager: the manager's address.
        audit: where records of operations go; None: nowhere.
        audit_required: whether an operation is refused that cannot be audited.
        metrics: where numbers go; None: nowhere.
        log: a logger that gets a line for each event of a session; None: none.
        store: keeps the commits; None: memory alone does.
        durable: keeps them for longer than the process; None: nothing does.
        workspace: where sessions have their folders; None: they have none.
        hung_after_s: so long at work on one message, a session is called hung.
        part_hung_after_s: so long at one message, a part of the tree fails.
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
        memory: Memory,
        secrets: Secrets,
        manager: Address[Any],
        audit: AuditSink | None = None,
        audit_required: bool = False,
        metrics: MetricsSink | None = None,
        log: LogSink | None = None,
        store: SessionStore | None = None,
        durable: Store | None = None,
        workspace: WorkspaceProvider | None = None,
        hung_after_s: float = HUNG_AFTER_S,
        part_hung_after_s: float = PART_HUNG_AFTER_S,
    ) -> None:
        self.system = system
        self.kinds = kinds
        self.partitions = partitions
        self.tenants = tenants
        self.unique_role = unique_role
        self.faults = faults
        self.keeping = keeping
        self.memory = memory
        self.relief: Relief | None = None
        """What is known of the memory; None: it has no bound. The janitor writes it."""
        if keeping.memory_max_bytes is not None:
            self.relief = Relief(max_bytes=keeping.memory_max_bytes)
        self.secrets = secrets
        self.planners: list[Planner] = []
        """Who says what a session spawns, in order; set before the first session. See `spawn.py`.
        None: a session is ACTIVE as soon as it has started."""
        self.manager = manager
        self.limits = limits
        self.gate = Gate(self) if audit_required else None
        """What must be audited before it is done passes here; None: nothing must."""
        self.addresses = Addresses(system, self.announce, self.gate)
        self.table = Table(partitions)
        self.book = Book(partitions, keeping)
        self.commit: Callable[[SessionEntry], CommitOutcome] = MemoryStore().commit
        """Keep a commit and publish it; a store that does not keep it raises StoreError, after
        which the draft is to be rebased. Any thread."""
        if store is not None:
            self.commit = GuardedStore(store, system.count, partial(tell_where, system)).commit
        self.storing: Storing | None = None
        """The durable store and who writes to it; None: there is none."""
        if durable is not None:
            self.storing = Storing(
                system, durable, SessionCoder(kinds), self._emit_kept, self.announce
            )
            self.commit = self.storing.journal.commit
        self.connections: Any = None
        """Sees to the sessions' connections: a `Switchboard`, made above."""
        self.clearing = None if workspace is None else Clearing(system, workspace)
        """What is left of removed workspaces; None: no session has one."""
        self.observing = Observing(
            system,
            self.table,
            self._memory_bytes,
            self.clearing,
            self._store_health,
            audit=audit,
            metrics=metrics,
            log=log,
        )
        self.feed = self.observing.feed
        """The events; `feed.is_heard` says whether they are worth being made. Any thread."""
        self.at_work: dict[Row, float] = {}
        """Sessions with a message in hand, and since when; each enters and leaves by itself."""
        self.audit_required = audit_required
        self.is_audit_refusing = False
        """Whether the last operation was refused since it could not be audited."""
        self.hung_after_s = hung_after_s
        self.part_hung_after_s = part_hung_after_s
        self.root: Any = None
        self.sweep_due_s: float | None = None
        self.is_crowded = False
        """Whether the janitor has been told that too many are awake, and is at it."""

    @property
    def journal(self) -> Journal[Session, Log] | None:
        """Where commits wait for a durable store; None: there is none."""
        return None if self.storing is None else self.storing.journal

    def new_row(self, session: Session, *, active_s: float) -> Row:
        """Return the row of a new session."""
        if self.storing is None:
            return Row(session, active_s=active_s)
        journal = self.storing.journal
        return DurableRow(session, journal, self.storing.older, active_s=active_s)

    def note(self, row: Row, standing: Standing) -> None:
        """Write down what has been learned of a session's incarnations. The manager alone.

        A durable store keeps what the next process must know: what failed, and who is quarantined.
        """
        row.note(standing)
        self.have_kept(row, standing)

    def have_kept(self, row: Row, standing: Standing) -> None:
        """Have a durable store keep what the next process must know: soon, or with a commit."""
        if isinstance(row, DurableRow) and (standing.restarts or standing.last_error is not None):
            clock = self.system.clock
            said = standing_to_keep(standing, wall_s=clock.wall_s(), now_s=clock.now_s())
            row.standing_to_keep = said
            row.mark()

    def plan(self, session: Session) -> tuple[Step, ...]:
        """Return what a session needs, in the order in which it is done. Any thread."""
        steps = plan(self.planners, session) if self.planners else ()
        if session.has_links:
            steps = (*steps, *self.connections.plan(session))
        return steps

    def announce(self, notice: object) -> bool:
        """Tell the manager; while it restarts the notice waits in its mailbox.

        Returns:
            False when there is none any more: the system has been stopped.
        """
        return self.manager.notify(notice)

    def failing_parts(self) -> tuple[str, ...]:
        """Return the names of the parts that do not run, or hang. Any thread, no message."""
        numbers = range(self.partitions)
        lines = (*map(partition_name, numbers), *map(connections_partition_name, numbers))
        front = (JANITOR, MANAGER) if self.clearing is None else (JANITOR, CLEARER, MANAGER)
        storing = () if self.storing is None else self.storing.parts
        fenced = (WRITER,) if self.storing is not None and self.storing.is_fenced else ()
        parts = (*storing, *self.observing.parts, *lines, *front)
        now_s, after_s = self.system.clock.now_s(), self.part_hung_after_s
        found = ((name, self.system.lookup(name)) for name in parts)
        failing = (
            name
            for name, part in found
            if part is None or not part.is_alive() or has_hung(part, now_s=now_s, after_s=after_s)
        )
        return tuple(dict.fromkeys((*fenced, *failing)))

    def _memory_bytes(self) -> dict[str, int]:
        """Return what is known of the memory, by what it is; nothing where it has no bound."""
        relief = self.relief
        if relief is None:
            return {}
        resident_bytes = relief.resident_bytes
        known = {} if resident_bytes is None else {"resident": resident_bytes}
        return {**known, "bound": relief.max_bytes}

    def _store_health(self) -> StoreHealth | None:
        """Say how the durable store is; None: there is none."""
        return None if self.storing is None else self.storing.health()

    def see_to_room(self) -> None:
        """Tell the janitor when more sessions are awake than may be; once until it is done."""
        awake_max = self.keeping.awake_max
        if awake_max is None or self.is_crowded or self.table.awake_count <= awake_max:
            return
        janitor = self.system.lookup(JANITOR)
        if janitor is not None:  # else the next one looks when it starts
            self.is_crowded = True
            janitor.notify(Crowded())

    def emit(self, *events: SessionEvent) -> None:
        """Have events numbered and passed on, in this order. Any thread; it never waits."""
        for event in events:
            self.feed.put(event)

    def tell(self, session: Session, kind: EventKind, /, **details: object) -> None:
        """Emit an event of a session, if anybody listens. Any thread; it never waits.

        Args:
            session: a snapshot: it says whose.
            kind: what has happened.
            details: names, numbers and truth values; see `EventKind`.
        """
        if self.feed.is_heard:
            self.feed.put(event_of(session, kind, self.system.clock.wall_s(), **details))

    def keep(self, draft: Draft) -> CommitOutcome:
        """Commit what a working state has changed, and tell what that says. Any thread.

        With a durable store it is told when that has kept it: `WAITING` until then.

        Raises:
            StoreError: it was not kept, and nothing is told; the draft is to be rebased.
        """
        if not self.feed.is_heard:
            return self.commit(draft.hand_in())
        told = draft.told(self.system.clock.wall_s())
        outcome = self.commit(draft.hand_in(events=told))
        if outcome is CommitOutcome.COMMITTED:
            self.emit(*told)
        return outcome

    def _emit_kept(self, told: tuple[object, ...]) -> None:
        self.emit(*cast("tuple[SessionEvent, ...]", told))

    def call_off(self, row: Row) -> None:
        """Kill what runs of a session, and have nothing more of it started. The manager."""
        partition = self.system.lookup(partition_name(row.partition))
        # The partition learns first: its mailbox keeps the order, so that it has forgotten the
        # session before it hears of the kill, however long it is busy with something else.
        if partition is not None:
            partition.notify(ForgetSession(row))
        address = address_of(row)
        cell = None if address is None else address.ref
        if cell is not None:
            cell.kill()

    def find_part(self, path: str) -> Any:
        """Return the living part of the tree at this path below the root, or None."""
        part: Any = self.root
        for step in path.split("/"):
            actor: Any = None if part is None else part.actor
            below: list[Any] = [] if actor is None else actor.linked_children()
            part = next((each for each in below if str(each.tag) == step), None)
        return part
