"""Which incarnation of a session lives, and how did the last one end? By monitors, one for each."""

from __future__ import annotations

from typing import Any, TypeAlias

from callboard.actors.sessions.address import address_of
from callboard.actors.sessions.desk import Desk
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import Presence
from callboard.actors.sessions.table import Row
from callboard.actors.sessions.verdict import Ended, PartitionLost
from callboard.supervision import Down, NoActor

Ref: TypeAlias = Any


class Watcher:
    """Monitors every incarnation, and makes news of what it hears.

    Args:
        desk: the manager.
        services: what the system lends.
    """

    def __init__(self, desk: Desk, services: Services) -> None:
        self._desk = desk
        self._system = services.system
        self._table = services.table
        self._starts = services.book.starts
        self._watched: dict[int, tuple[Row, Ref]] = {}
        self._watching: dict[str, Ref] = {}

    def watch(self, row: Row, cell: Ref) -> None:
        """Monitor an incarnation, once; if it has ended by now the `Down` comes at once."""
        if self._watching.get(row.id) is not cell:
            self._watching[row.id] = cell
            self._watched[self._desk.monitor(cell)] = (row, cell)

    def watch_started(self, row: Row, started: Ref | None) -> None:
        """Watch what runs now, or what was started and has ended since: nobody else tells of it."""
        cell = address_of(row).ref or started
        if cell is not None and cell.incarnation >= row.incarnation:
            self.watch(row, cell)
        elif row.presence is Presence.AWAKE:
            self._desk.learn(row, Ended(incarnation=row.incarnation, reason=NoActor()))

    def look_at(self, row: Row) -> None:
        """Find out about a session of which nobody may have told: its partition or manager is new.

        Who still runs, or cleans up, is watched. A session that its new partition restarts
        just now is said to be asleep until it runs: asking for its start once more does no harm.
        """
        cell = address_of(row).ref
        if cell is not None and not cell.is_dead:
            self.watch(row, cell)
        elif row.id not in self._starts and row.presence in {Presence.AWAKE, Presence.RESTARTING}:
            self._desk.learn(row, PartitionLost())

    def heard(self, down: Down) -> None:
        """Pass on that an incarnation has ended, if its row is still there."""
        watched = self._watched.pop(down.monitor, None)
        if watched is None:
            return
        row, cell = watched
        if self._watching.get(row.id) is cell:
            del self._watching[row.id]
        if self._table.get(row.id) is not row:
            return
        partition = self._system.lookup(partition_name(row.partition))
        is_supervised = partition is not None and partition.ref is cell.parent
        news = Ended(
            incarnation=cell.incarnation,
            # Of one that had ended before it was watched, the Down only says: no actor.
            reason=down.reason if cell.reason is None else cell.reason,
            failed_on=cell.failed_on,
            # A start that was asked for and fails is answered; its partition does not repeat it.
            has_supervisor=is_supervised and not self._starts.is_asked(row.id),
        )
        self._desk.learn(row, news)
