"""Which incarnation of a session lives, and how did the last one end? Its address tells.

Every incarnation leaves its session's address when it ends, however it ends, and
the address says so to the manager, once: no monitor has to be made for each, nor
made anew when the manager is restarted. What was said to a manager that was killed
just then, its successor finds out by looking at the rows.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from callboard.actors.sessions.address import address_of
from callboard.actors.sessions.desk import Desk
from callboard.actors.sessions.naming import partition_name
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import Presence
from callboard.actors.sessions.table import Row
from callboard.actors.sessions.verdict import Ended, News, PartitionLost
from callboard.supervision import NoActor

Ref: TypeAlias = Any


class Watcher:
    """Makes news of what it hears of incarnations.

    Args:
        desk: the manager.
        services: what the system lends.
    """

    def __init__(self, desk: Desk, services: Services) -> None:
        self._desk = desk
        self._system = services.system
        self._starts = services.book.starts

    def started(self, row: Row, cell: Ref | None) -> None:
        """Take note that a start was answered with this incarnation; None: nobody runs.

        One that has ended since has told of it. But if there is none of this life of the row,
        and the row says otherwise, nobody else tells.
        """
        address = address_of(row)
        cell = (None if address is None else address.ref) or cell
        is_of_this_life = cell is not None and cell.incarnation >= row.incarnation
        if not is_of_this_life and row.presence is Presence.AWAKE:
            self._desk.learn(row, Ended(incarnation=row.incarnation, reason=NoActor()))

    def look_at(self, row: Row) -> None:
        """Find out about a session of which nobody may have told: its partition or manager is new.

        Who still runs, or cleans up, will tell of his end. A session that its new partition
        restarts just now is said to be asleep until it runs: asking for its start once more does
        no harm.
        """
        address = address_of(row)
        if (address is not None and address.is_alive()) or row.id in self._starts:
            return
        if row.presence in {Presence.AWAKE, Presence.RESTARTING}:
            self._desk.learn(row, PartitionLost(incarnation=row.incarnation))

    def ended(self, row: Row, cell: Ref) -> None:
        """Pass on that an incarnation has ended."""
        if not cell.is_started and self._starts.is_asked(row.id):
            return  # a start that was asked for and fails is answered; nobody repeats it
        news = Ended(
            incarnation=cell.incarnation,
            reason=cell.reason,
            failed_on=cell.failed_on,
            has_supervisor=self.has_supervisor(row, cell.parent),
            run_by=cell.parent,
        )
        self._desk.learn(row, news)

    def as_of_now(self, row: Row, news: News) -> News:
        """Return news that a store has kept back: the partition may have ended since."""
        if not isinstance(news, Ended) or self.has_supervisor(row, news.run_by):
            return news
        return msgspec.structs.replace(news, has_supervisor=False)

    def has_supervisor(self, row: Row, run_by: Ref | None) -> bool:
        """Say whether that incarnation of a session's partition is there to restart it."""
        partition = self._system.lookup(partition_name(row.partition))
        return (
            partition is not None
            and partition.is_alive()  # it takes its children along before its place is empty
            and partition.ref is run_by
        )
