"""What was there when the last process ended? Rows for what a durable store has kept.

Before the tree starts, on the host's thread. Every session that is found sleeps, or is still
quarantined. Its messages stay in the store until it is woken; half-done work is marked as
interrupted, and the manager ends what was being spawned or ended when the process died.
"""

from __future__ import annotations

import logging
import math
from itertools import islice
from typing import ClassVar, Final, Protocol, runtime_checkable

import msgspec

from callboard.actors.errors import SessionUnreadable, StoreDamaged, StoreError
from callboard.actors.sessions.coding import Unreadable, standing_of
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.linking import falling_asleep
from callboard.actors.sessions.log import elsewhere
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import Presence
from callboard.actors.sessions.store_reader import CHECK
from callboard.actors.sessions.storing import Storing
from callboard.actors.sessions.table import DurableRow, Row, Standing, UnreadableRow
from callboard.actors.storage.records import CreateRecord, Marked, Stored

BEFORE_ALL: Final = -1.0
"""A time, UTC, at which nothing had ended."""

KEYS_KEPT_ANYHOW_S: Final = 3_600.0
"""Seconds that a start keeps the key of a create at least, however old it is by the wall clock; but
two looks of the janitor, if that is longer."""

INTERRUPTED: Final = "the process ended while it worked on a prompt"
"""What an agent's `error` says whose prompt was under way when the process died."""


class UnreadableFound(msgspec.Struct, frozen=True):
    """An event of the system's hook: a stored session cannot be read; it is kept, and not run.

    Args:
        session_id: which.
        error: what is wrong with it.
        remedy: what to do about it.
    """

    log_level: ClassVar[int] = logging.ERROR
    log_event: ClassVar[str] = "store.session_unreadable"

    session_id: str
    error: str
    remedy: str


class Recovered(msgspec.Struct, frozen=True):
    """An event of the system's hook: the sessions of the last process are here again.

    Args:
        store: where they were: the path of the file, or the kind of store.
        sessions: how many.
        unreadable: how many of them cannot be read.
        seconds: how long it took, to the millisecond.
        was_closed: whether the last process closed the store in order; None: it does not say.
    """

    log_level: ClassVar[int] = logging.INFO
    log_event: ClassVar[str] = "store.recovered"

    store: str
    sessions: int
    unreadable: int
    seconds: float
    was_closed: bool | None = None


@runtime_checkable
class Placed(Protocol):
    """A store that says where it is, in words that anybody may read."""

    @property
    def place(self) -> str:
        """Where."""
        ...


def recover(services: Services) -> Recovered:
    """Make a row of every session that the store has.

    Raises:
        StoreError: the store cannot be read.
    """
    storing, clock = services.storing, services.system.clock
    assert storing is not None, "there is nothing to recover from"
    began_s, wall_s = clock.now_s(), clock.wall_s()
    unreadable = 0
    found = 0
    _recall_ended(services, storing, wall_s=wall_s, now_s=began_s)
    for stored in storing.store.sessions():
        found += 1
        row = restore(services, storing, stored, wall_s=wall_s, now_s=began_s)
        unreadable += isinstance(row, UnreadableRow)
    services.book.creates.put_in_order(now_s=began_s)
    services.book.are_to_wake = services.keeping.wakes_at_start
    store = storing.store
    return Recovered(
        store.place if isinstance(store, Placed) else type(store).__name__,
        found,
        unreadable,
        round(clock.now_s() - began_s, 3),
        store.was_closed if isinstance(store, Marked) else None,
    )


def restore(
    services: Services, storing: Storing, stored: Stored, *, wall_s: float, now_s: float
) -> Row:
    """Make a row of a session that the store has, whether it can be read or not; return it."""
    try:
        session = storing.coder.session(stored)
        standing = _rested(services, standing_of(stored, wall_s=wall_s, now_s=now_s), now_s)
    except Unreadable as error:
        why = _told_of(services, stored, error)
        _recall_unreadable(services, stored, why, wall_s=wall_s, now_s=now_s)
        return _restore_unreadable(services, storing, stored, why, now_s=now_s)
    age_s = _idle_s(services, wall_s - session.last_active_at)
    row = DurableRow(
        _interrupted(session, wall_s=wall_s) if session.has_links else session,
        storing.journal,
        storing.older,
        active_s=now_s - age_s,
        log=elsewhere(session.last_seq),
        incarnation=stored.head.incarnation,
        is_stored=True,
    )
    row.standing = standing
    services.table.restore(row)
    if stored.created is not None:
        _recall(services, stored.created, row.session(), wall_s=wall_s, now_s=now_s)
    return row


def _recall_ended(services: Services, storing: Storing, *, wall_s: float, now_s: float) -> None:
    """Have the keys that sessions were created with which have ended since: they are answered.

    The last `Keeping.keys_max`, of those that ended within the time for which a key is kept before
    the last one; not before now, for the wall clock may have jumped. Of one that cannot be read
    that is told, and whoever repeats its create is told so, too.
    """
    keeping = services.keeping
    last_s: float | None = None
    ended = storing.store.ended_with_key(ended_after=BEFORE_ALL)
    for stored in islice(ended, keeping.keys_max):
        ended_at = stored.ended_at or 0.0
        if last_s is None and ended_at <= wall_s:
            last_s = ended_at
        if last_s is not None and ended_at <= last_s - keeping.keys_keep_s:
            return
        try:
            session = storing.coder.session(stored)
        except Unreadable as error:
            why = _told_of(services, stored, error)
            _recall_unreadable(services, stored, why, wall_s=wall_s, now_s=now_s)
            continue
        if stored.created is not None:
            _recall(services, stored.created, session, wall_s=wall_s, now_s=now_s)


def _recall(
    services: Services, created: CreateRecord, session: Session, *, wall_s: float, now_s: float
) -> None:
    """Have the key of a create, as old as it is by the wall clock, as far as that says anything.

    A time to come is as far from now as one that has been. Where the clock has jumped, a key counts
    for a while yet, and the janitor's looks find out how old it is (`Creates.look_again`).
    """
    keeping = services.keeping
    anyhow_s = max(KEYS_KEPT_ANYHOW_S, 2 * keeping.cleanup_interval_s)
    most_s = max(0.0, keeping.keys_keep_s - anyhow_s)
    age_s = abs(wall_s - created.used_at)
    services.book.creates.recall(
        (created.org_id, created.user_id, created.key),
        created.digest,
        session,
        used_s=now_s - min(age_s, most_s),
        used_at=created.used_at if age_s > most_s else None,
    )


def _recall_unreadable(
    services: Services, stored: Stored, why: StoreError, *, wall_s: float, now_s: float
) -> None:
    """Have the key of a session that cannot be read: a repeated create makes no second one."""
    if stored.created is not None:
        session = _said_of(stored)
        _recall(services, stored.created, session, wall_s=wall_s, now_s=now_s)
        services.book.creates.refuse(stored.id, why)


def _idle_s(services: Services, age_s: float) -> float:
    """Return how long a session counts as idle that was last active so long ago.

    The wall clock may have jumped while nobody looked: it expires nobody before the janitor's
    second look.
    """
    keeping = services.keeping
    most_s = max(0.0, keeping.max_idle_s - keeping.cleanup_interval_s)
    return min(max(0.0, age_s), most_s) if most_s < math.inf else max(0.0, age_s)


def _rested(services: Services, standing: Standing, now_s: float) -> Standing:
    """Return a standing whose quarantine does not end before the janitor's second look either."""
    keeping = services.keeping
    most_s = max(0.0, keeping.quarantine_keep_s - keeping.cleanup_interval_s)
    if standing.presence is not Presence.QUARANTINED or now_s - standing.since_s <= most_s:
        return standing
    return msgspec.structs.replace(standing, since_s=now_s - most_s)


def _interrupted(session: Session, *, wall_s: float) -> Session:
    """Return a snapshot whose connections have ended, as they have; a prompt was interrupted."""
    session = msgspec.structs.replace(session, **falling_asleep(session, wall_s=wall_s))
    agent = session.agent
    if agent is not None and agent.is_busy:
        agent = msgspec.structs.replace(agent, is_busy=False, pid=None, error=INTERRUPTED)
        session = msgspec.structs.replace(session, agent=agent)
    return session


def _told_of(services: Services, stored: Stored, error: Unreadable) -> StoreError:
    """Tell of a session that cannot be read; return what whoever wants it is told."""
    remedy = error.remedy or CHECK
    services.system.emit(UnreadableFound(stored.id, str(error), remedy))
    if error.remedy is not None:  # its data, which another behaviour may read
        return SessionUnreadable(stored.id, why=str(error))
    refusal = StoreDamaged(f"session {stored.id} cannot be read from the store: {error}")
    refusal.remedy = remedy
    return refusal


def _said_of(stored: Stored) -> Session:
    """Return what is known of a session that cannot be read: what stands beside its snapshot."""
    head = stored.head
    return Session(
        id=stored.id,
        version=head.version,
        last_seq=head.last_seq,
        message_count=head.message_count,
        last_active_at=head.last_active_at,
    )


def _restore_unreadable(
    services: Services, storing: Storing, stored: Stored, why: StoreError, *, now_s: float
) -> Row:
    """Keep the place of a session that cannot be read: it is quarantined, and is not revived."""
    incarnation = stored.head.incarnation
    row = UnreadableRow(
        _said_of(stored),
        storing.journal,
        storing.older,
        why,
        active_s=now_s,
        log=elsewhere(stored.head.last_seq),
        incarnation=incarnation,
    )
    row.standing = Standing(incarnation, Presence.QUARANTINED, now_s, last_error=str(why))
    return services.table.restore(row)
