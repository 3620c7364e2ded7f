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

from callboard.actors.errors import StoreError
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.coding import Unreadable, standing_of
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.keys import CREATES_KEPT_S, CREATES_MAX
from callboard.actors.sessions.linking import falling_asleep
from callboard.actors.sessions.log import elsewhere
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import Presence
from callboard.actors.sessions.store_reader import CHECK
from callboard.actors.sessions.storing import Storing
from callboard.actors.sessions.table import DurableRow, Row, Standing
from callboard.actors.storage.records import CreateRecord, Marked, Stored

INTERRUPTED: Final = "the process ended while it worked on a prompt"
"""What an agent's `error` says whose prompt was under way when the process died."""


class SessionUnreadable(msgspec.Struct, frozen=True):
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
    found = 0
    _recall_ended(services, storing, wall_s=wall_s, now_s=began_s)
    for stored in storing.store.sessions():
        found += 1
        restore(services, storing, stored, wall_s=wall_s, now_s=began_s)
    services.book.creates.put_in_order(now_s=began_s)
    services.book.are_to_wake = services.keeping.wakes_at_start
    store = storing.store
    return Recovered(
        store.place if isinstance(store, Placed) else type(store).__name__,
        found,
        len(storing.unreadable),
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
        remedy = error.remedy or CHECK
        services.system.emit(SessionUnreadable(stored.id, str(error), remedy))
        return _restore_unreadable(services, storing, stored, (str(error), remedy), now_s=now_s)
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
        _recall(services.book, stored.created, row.session(), wall_s=wall_s, now_s=now_s)
    return row


def _recall_ended(services: Services, storing: Storing, *, wall_s: float, now_s: float) -> None:
    """Have the keys that sessions were created with which have ended since: they are answered.

    The last `CREATES_MAX`. Of one that cannot be read the key is forgotten, and that is told.
    """
    ended = storing.store.ended_with_key(ended_after=wall_s - CREATES_KEPT_S)
    for stored in islice(ended, CREATES_MAX):
        try:
            session = storing.coder.session(stored)
        except Unreadable as error:
            said = SessionUnreadable(stored.id, str(error), error.remedy or CHECK)
            services.system.emit(said)
            continue
        if stored.created is not None:
            _recall(services.book, stored.created, session, wall_s=wall_s, now_s=now_s)


def _recall(
    book: Book, created: CreateRecord, session: Session, *, wall_s: float, now_s: float
) -> None:
    key = (created.org_id, created.user_id, created.key)
    used_s = now_s - max(0.0, wall_s - created.used_at)
    book.creates.recall(key, created.digest, session, used_s=used_s)


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


def _restore_unreadable(
    services: Services, storing: Storing, stored: Stored, wrong: tuple[str, str], *, now_s: float
) -> Row:
    """Keep the place of a session that cannot be read: it is quarantined, and is not revived."""
    error, remedy = wrong
    msg = f"session {stored.id} cannot be read from the store: {error}"
    refusal = StoreError(msg)
    refusal.remedy = remedy
    storing.unreadable[stored.id] = refusal
    row = DurableRow(
        Session(id=stored.id, version=stored.head.version, last_seq=stored.head.last_seq),
        storing.journal,
        storing.older,
        active_s=now_s,
        log=elsewhere(stored.head.last_seq),
        incarnation=stored.head.incarnation,
        is_stored=True,
    )
    row.standing = Standing(stored.head.incarnation, Presence.QUARANTINED, now_s, last_error=error)
    return services.table.restore(row)
