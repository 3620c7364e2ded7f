"""Which sessions are there? The table of rows: a plain object, like an ETS table with an heir.

It belongs to the system, so no actor's death empties it. Who may do what:

- any thread reads: one `dict.get`, or one C call that takes all rows; no lock, no message;
- the manager alone adds rows, removes them and writes their standing;
- a row's content changes only by a commit of the row's own incarnation (`storage/kept.py`).

The rows are the truth. Role index and counts are derived, kept by the manager, and
made anew by `recount` when a manager that may have died half-way is restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Final, TypeAlias

import msgspec

from callboard.actors.errors import (
    DuplicateRole,
    DuplicateSession,
    InvalidField,
    MaxSessionsReached,
    SessionNotFound,
    StoreError,
)
from callboard.actors.limits import DEFAULT_LIMITS, SessionLimits
from callboard.actors.sessions.data import Message, Session
from callboard.actors.sessions.log import EMPTY_LOG, Log, elsewhere
from callboard.actors.sessions.states import Presence, takes_messages
from callboard.actors.storage.chain import Opening
from callboard.actors.storage.journal import Journal, StoredLedger
from callboard.actors.storage.kept import CLOSED, NO_INCARNATION, Kept, Ledger
from callboard.actors.storage.records import CreateRecord
from callboard.supervision import Future
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.routing import partition_of

Pages: TypeAlias = "Callable[[str, int, int], Future[tuple[Message, ...]]]"
"""Asks a store for messages of a session: by its id, after one number up to another."""

_Ids: TypeAlias = "str | dict[str, None]"
"""Ids of sessions, in the order of their creation. Of a million users most have one session: that
id stands alone, for a dict of one weighs four times what the rest of the entry does."""
_Trays: TypeAlias = "dict[Presence, dict[Row, None]]"

_NO_IDS: Final[dict[str, None]] = {}

_FILED = (Presence.AWAKE, Presence.RESTARTING, Presence.QUARANTINED)
"""Of whom there is a tray: of all but those that sleep, who may be very many."""


_STANDINGS_MAX = 1_024
"""Standings that sessions share."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What the manager has learned of a session's incarnations. The manager alone writes it.

    The presence is void as soon as a later incarnation has begun; the history stays.

    Args:
        incarnation: the last one it is about.
        presence: what the row is since that one ended.
        since_s: since when it is quarantined, on the monotonic clock; else 0.
        restarts: how many incarnations ended by a failure.
        last_error: what ended the last of these.
        failed_on: name of the type of the message it was handling.
        spent: those of its failures that count against its budget (`budget.py`), so that a sleep
            does not make up for them. None: there was none, or it is quarantined, after which
            the budget is fresh.
        closed: the last few incarnations whose failure is counted, or does not count, in their
            order: word of an end may come late, and from two.
    """

    incarnation: int
    presence: Presence
    since_s: float = 0.0
    restarts: int = 0
    last_error: str | None = None
    failed_on: str | None = None
    spent: RestartWindow | None = None
    closed: tuple[int, ...] = ()


@lru_cache(maxsize=_STANDINGS_MAX)
def asleep(incarnation: int) -> Standing:
    """Return the standing of a session that sleeps and has never failed: all share it."""
    return Standing(incarnation, Presence.ASLEEP)


class Row(Ledger[Session, Log]):
    """One session's place in the table.

    Args:
        session: the first snapshot.
        active_s: monotonic time of its last activity.
        log: what has been said, when the session comes from a store.
        incarnation: the last incarnation, when the session comes from a store.
    """

    __slots__ = ("_trays", "address", "heard_s", "id", "partition", "standing")

    def __init__(
        self,
        session: Session,
        *,
        active_s: float,
        log: Log = EMPTY_LOG,
        incarnation: int = NO_INCARNATION,
    ) -> None:
        super().__init__(session, log, active_s=active_s, incarnation=incarnation)
        self.id = session.id
        self.heard_s = active_s
        """Monotonic time at which the last message to its actor was handled, change or none.

        The actor writes it at every message. It is no part of a version, so it outlives the
        incarnation without a commit.
        """
        self.partition = 0
        """The number of the partition that runs it: the table says which, for good."""
        self.standing: Standing | None = None
        """What is known of its incarnations; the manager alone notes it."""
        self._trays: _Trays | None = None
        self.address: object = None
        """Where its actor is reached: made with the row, by the manager."""

    @property
    def incarnation(self) -> int:
        """The current incarnation: the last one that has begun. 0 before the first."""
        return self.tip().incarnation

    @property
    def active_s(self) -> float:
        """When it was last active, on the monotonic clock: by a commit, or by a message."""
        return max(self.latest().active_s, self.heard_s)

    @property
    def is_closed(self) -> bool:
        """Whether it has left the table: no incarnation begins here any more."""
        return self.incarnation == CLOSED

    @property
    def presence(self) -> Presence:
        """Whether its actor runs, as far as is known."""
        standing = self.standing
        if standing is None or standing.incarnation < self.incarnation:
            return Presence.AWAKE
        return standing.presence

    def note(self, standing: Standing) -> None:
        """Write down what has been learned of its incarnations. The manager alone."""
        shared = asleep(standing.incarnation)
        self.standing = shared if standing == shared else standing
        self._file()

    def begin(self, incarnation: int) -> Kept[Session, Log] | None:
        """Hand the session over to a new incarnation: see `Ledger.begin`."""
        first = super().begin(incarnation)
        if first is not None and self.standing is not None:
            self._file()
        return first

    def file_in(self, trays: _Trays) -> None:
        """Be counted here from now on, by presence. The manager alone."""
        self._trays, place = trays, self._place()
        if place is not None and place in trays:
            trays[place][self] = None
        if self._place() is not place:  # another word came between
            self._file()

    def close(self) -> None:
        """Refuse every commit and every incarnation from now on, and lie in no tray."""
        super().close()
        self._file()

    def _file(self) -> None:
        """Lie in the tray of one's presence; whoever changed that last has the last word.

        A note and the begin of an incarnation may come at once, from two threads.
        Each stores what it changes before it files, and looks again afterwards: who
        was overtaken sees it there.
        """
        trays, place = self._trays, self._place()
        while trays is not None:
            for each, rows in trays.items():
                if each is place:
                    rows[self] = None
                else:
                    rows.pop(self, None)
            before, place = place, self._place()
            if place is before:
                return

    def _place(self) -> Presence | None:
        return None if self.is_closed else self.presence

    def opening(self, session: Session) -> Session:
        """Return the snapshot with the history of its incarnations, as its commits carry it on."""
        standing = self.standing
        if standing is None:
            return session
        return seen(session, standing, standing.incarnation + 1)

    def session(self) -> Session:
        """Return the snapshot that everybody may see."""
        kept = self.latest()
        standing = self.standing
        if standing is None:
            return kept.session
        return seen(kept.session, standing, self.incarnation)

    def when_settled(self, act: Callable[[StoreError | None], object]) -> bool:
        """Have `act` called when all that was handed in is kept, or not; False: nothing waits.

        On any thread, once, with why it was not; a row in memory never waits.
        """
        del act
        return False

    @property
    def is_settled(self) -> bool:
        """Whether nothing that was handed in waits: in memory nothing does."""
        return True

    @property
    def is_kept(self) -> bool:
        """Whether it has been kept at all: a row in memory is, from the reservation on."""
        return True

    @property
    def may_be_kept(self) -> bool:
        """Whether something of it may be kept that is not published: a store was lost with it."""
        return False

    def older(
        self, after_seq: int, limit: int, log: Log | None = None
    ) -> Future[tuple[Message, ...]] | None:
        """Return messages that follow a number, as far as they are not here but in a store.

        Args:
            after_seq: what follows this number.
            limit: how many at most; fewer may come.
            log: of which log the rest is here; None: of the one that is published. That of an
                actor may have fewer here: it is ahead.

        Returns:
            None when what follows that number is here. Else what waits for the store.
        """
        del after_seq, limit, log
        return None

    def unload(self) -> None:
        """Have no message here that a store has, of a session that sleeps. The manager alone."""


class DurableRow(StoredLedger[Session, Log], Row):
    """The place of a session that a durable store keeps.

    Args:
        session: the first snapshot, or the stored one.
        journal: where its commits are handed in.
        pages: asks for messages by the session's id, after one number up to another.
        active_s: as of every row.
        log: what has been said, when it comes from the store.
        incarnation: the last incarnation, when it comes from the store.
        is_stored: whether it comes from the store.
    """

    __slots__ = (
        "created",
        "is_in_doubt",
        "is_stored",
        "leaves_key",
        "marks",
        "pages",
        "standing_to_keep",
    )

    def __init__(
        self,
        session: Session,
        journal: Journal[Session, Log],
        pages: Pages,
        *,
        active_s: float,
        log: Log = EMPTY_LOG,
        incarnation: int = NO_INCARNATION,
        is_stored: bool = False,
    ) -> None:
        Row.__init__(self, session, active_s=active_s, log=log, incarnation=incarnation)
        self.marks = journal
        self.pages = pages
        self.is_stored = is_stored
        self.is_in_doubt = False
        self.created: CreateRecord | None = None
        self.leaves_key = False
        self.standing_to_keep: bytes | None = None

    def begin(self, incarnation: int) -> Kept[Session, Log] | None:
        """Hand the session over to a new incarnation: see `DurableLedger.begin`."""
        first = super().begin(incarnation)
        if first is not None and self.standing is not None:
            self._file()
        return first

    @property
    def is_settled(self) -> bool:
        """Whether nothing that was handed in waits for the store."""
        return not self.waiting()

    @property
    def is_kept(self) -> bool:
        """Whether the store has it."""
        return self.is_stored

    @property
    def may_be_kept(self) -> bool:
        """Whether the store may have something of it that is not published."""
        return self.is_in_doubt

    def older(
        self, after_seq: int, limit: int, log: Log | None = None
    ) -> Future[tuple[Message, ...]] | None:
        """Return messages that follow a number, as far as they are in the store alone."""
        first_seq = (self.latest().log if log is None else log).first_seq
        after_seq = max(after_seq, 0)
        if after_seq + 1 >= first_seq or limit < 1:
            return None
        return self.pages(self.id, after_seq, min(after_seq + limit, first_seq - 1))

    def load(self, log: Log) -> None:
        """Have the last messages here, of a session that has no actor. The manager alone."""
        tip = self.tip()
        if not tip.log.is_here and tip.log.last_seq == log.last_seq:
            self.claim(tip, Opening(tip.incarnation, tip.session, log, tip.active_s, {}))

    def unload(self) -> None:
        """Have no message and no key here: the store has them, and `load` brings them back.

        Not while anything waits for the store, or may not be there: then it is left for another
        sleep. What is published keeps the log, until the writer passes it (`catch_up`).
        """
        tip, standing = self.tip(), self.standing  # in this order: what begins now is behind it
        if standing is None or standing.incarnation != tip.incarnation:
            return
        last_seq = tip.log.last_seq
        is_asleep = standing.presence is Presence.ASLEEP
        if not (is_asleep and tip.log.is_here and last_seq) or self.is_in_doubt or self.waiting():
            return
        bare = Opening(tip.incarnation, tip.session, elsewhere(last_seq), tip.active_s, {})
        if self.claim(tip, bare) is None:
            self.mark()


class UnreadableRow(DurableRow):
    """The place of a session that a store has, and this system cannot read: it stays as it is.

    It is not run, and nothing ends it but who asks for that. Of its snapshot only the version and
    the number of the last message are known here; what the store has of it is never replaced.

    Args:
        session: what is known of it.
        journal, pages, active_s, log, incarnation: as of every durable row.
        why: what whoever wants it to run is told.
    """

    __slots__ = ("why",)

    keeps_body = True

    def __init__(
        self,
        session: Session,
        journal: Journal[Session, Log],
        pages: Pages,
        why: StoreError,
        *,
        active_s: float,
        log: Log,
        incarnation: int,
    ) -> None:
        super().__init__(
            session,
            journal,
            pages,
            active_s=active_s,
            log=log,
            incarnation=incarnation,
            is_stored=True,
        )
        self.why = why


def seen(session: Session, standing: Standing, incarnation: int) -> Session:
    """Return a snapshot with what the manager knows of its incarnations."""
    is_void = standing.incarnation < incarnation
    return msgspec.structs.replace(
        session,
        presence=Presence.AWAKE if is_void else standing.presence,
        restarts=standing.restarts,
        last_error=standing.last_error,
        failed_on=standing.failed_on,
    )


class _Index:
    """What can be derived from the rows, kept for speed: whose they are, and what they play."""

    __slots__ = ("orgs", "roles", "users")

    def __init__(self) -> None:
        self.users: dict[str, _Ids] = {}
        self.orgs: dict[str, _Ids] = {}
        self.roles: dict[str, _Ids] = {}

    def add(self, session: Session) -> None:
        _add(self.users, session.user_id, session.id)
        _add(self.orgs, session.org_id, session.id)
        _add(self.roles, session.agent_role, session.id)

    def discard(self, session: Session) -> None:
        _discard(self.users, session.user_id, session.id)
        _discard(self.orgs, session.org_id, session.id)
        _discard(self.roles, session.agent_role, session.id)

    def shortest(self, user_id: str | None, org_id: str | None, role: str | None) -> _Ids | None:
        """Return ids among which are all that are meant, the fewest kept; None: nothing given."""
        given = ((user_id, self.users), (org_id, self.orgs), (role, self.roles))
        known = [ids.get(key, _NO_IDS) for key, ids in given if key is not None]
        return min(known, key=_count) if known else None


class Table:
    """All sessions of one system, by id, in the order of their creation.

    Args:
        partitions: over how many the sessions are spread.
    """

    __slots__ = ("_index", "_oldest", "_partitions", "_rows", "_trays", "get")

    def __init__(self, partitions: int = 1) -> None:
        self._partitions = partitions
        self._trays: _Trays = {each: {} for each in _FILED}
        self._oldest: tuple[Row, float] | None = None
        self._rows: dict[str, Row] = {}
        self.get = self._rows.get
        """The row of an id, or None. Any thread; the dict's own method, for speed."""
        self._index = _Index()

    # -- reads: any thread -------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._rows

    def rows(self) -> list[Row]:
        """Return all rows as they are now, in the order of their creation."""
        return list(self._rows.values())

    def running_in(self, number: int) -> list[Row]:
        """Return the rows that a partition runs, or restarts."""
        rows = [*self._trays[Presence.AWAKE], *self._trays[Presence.RESTARTING]]
        return [row for row in rows if row.partition == number]

    def ids(
        self,
        *,
        user_id: str | None = None,
        org_id: str | None = None,
        agent_role: str | None = None,
        presence: Presence | None = None,
    ) -> list[str]:
        """Return the ids of all rows, or of fewer among which are all that are meant.

        It takes as long as the list is that it returns, but for who sleeps, whom nobody lists.

        Args:
            user_id: whose; None: anybody's.
            org_id: of which organisation; None: of any.
            agent_role: which role; None: any.
            presence: asleep, restarting or quarantined; None, or awake: any.
        """
        if presence is Presence.RESTARTING or presence is Presence.QUARANTINED:  # these are few
            return [row.id for row in list(self._trays[presence])]
        known = self._index.shortest(user_id, org_id, agent_role)
        if known is not None:
            return _list(known)
        if presence is Presence.ASLEEP:
            awake = self._trays[Presence.AWAKE]
            return [row.id for row in self.rows() if row not in awake]
        return list(self._rows)

    def presences(self) -> dict[Presence, int]:
        """Count the sessions by presence: without looking at them."""
        trays = self._trays
        counts = {each: len(trays[each]) for each in _FILED}
        asleep = max(0, len(self._rows) - sum(counts.values()))  # it all goes on meanwhile
        return {Presence.ASLEEP: asleep, **counts}

    def awake(self) -> list[Row]:
        """Return the rows that are awake."""
        return list(self._trays[Presence.AWAKE])

    @property
    def awake_count(self) -> int:
        """How many rows are awake."""
        return len(self._trays[Presence.AWAKE])

    def quarantined(self) -> list[Row]:
        """Return the rows that are quarantined, in the order in which they came to be."""
        return list(self._trays[Presence.QUARANTINED])

    def oldest_active_s(self) -> float | None:
        """Return when the session was last active that has been idle longest; None: there is none.

        That one is looked for among all only when it has been active since, or has
        gone: no other can have become older than it.
        """
        oldest = self._oldest
        if oldest is not None:
            row, active_s = oldest
            if self._rows.get(row.id) is row and row.active_s == active_s:
                return active_s
        active = [(row.active_s, row) for row in self.rows()]
        if not active:
            return None
        active_s, row = min(active, key=itemgetter(0))
        self._oldest = row, active_s
        return active_s

    def row(self, session_id: str) -> Row:
        """Return the row of an id.

        Raises:
            SessionNotFound: there is none.
            InvalidField: no session can have such an id.
        """
        try:
            row = self._rows.get(session_id)
        except TypeError:  # what has no hash is no id either
            row = None
        if row is None:
            if not isinstance(session_id, str) or not session_id:  # callers may be untyped
                raise InvalidField("session_id", session_id, "Give a session's id.")
            raise SessionNotFound(session_id)
        return row

    def with_role(self, agent_role: str, *, user_id: str | None = None) -> Row | None:
        """Return the oldest session that plays a role and is not being terminated, or None.

        Args:
            agent_role: the role.
            user_id: whose; None: anybody's.
        """
        for row in self._playing(agent_role, user_id):
            if user_id is None or row.latest().session.user_id == user_id:
                return row
        return None

    @property
    def per_user(self) -> Mapping[str, int]:
        """How many sessions each user has; counted anew, which takes a look at each user."""
        return {user_id: _count(ids) for user_id, ids in dict(self._index.users).items()}

    @property
    def per_org(self) -> Mapping[str, int]:
        """How many sessions each organisation has; counted anew, as `per_user` is."""
        return {org_id: _count(ids) for org_id, ids in dict(self._index.orgs).items()}

    def count_user(self, user_id: str) -> int:
        """Return how many sessions a user has."""
        return _count(self._index.users.get(user_id, _NO_IDS))

    def count_org(self, org_id: str) -> int:
        """Return how many sessions an organisation has."""
        return _count(self._index.orgs.get(org_id, _NO_IDS))

    def count_role(self, agent_role: str) -> int:
        """Return how many sessions play a role, those being terminated included."""
        return _count(self._index.roles.get(agent_role, _NO_IDS))

    # -- the manager alone -------------------------------------------------

    def reserve(
        self,
        session: Session,
        *,
        active_s: float,
        limits: SessionLimits = DEFAULT_LIMITS,
        unique_role: bool = False,
        made: Callable[..., Row] = Row,
    ) -> Row:
        """Take a place, the id and the role for a session that is to be started.

        Args:
            session: its first snapshot, CREATED.
            active_s: monotonic now.
            limits: how many sessions there may be.
            unique_role: refuse a role that the user's living sessions play already.
            made: makes the row.

        Raises:
            DuplicateSession, DuplicateRole, MaxSessionsReached: nothing is taken.
        """
        if session.id in self._rows:
            raise DuplicateSession(session.id)
        if unique_role and session.agent_role is not None:
            user_id = session.user_id
            for other in self._playing(session.agent_role, user_id):
                if other.latest().session.user_id == user_id:
                    raise DuplicateRole(session.agent_role, session_id=other.id)
        self._check_places(session, limits)
        return self.restore(made(session, active_s=active_s))

    def restore(self, row: Row) -> Row:
        """Add a row that exists already, whatever the limits say: it comes from a store.

        Raises:
            DuplicateSession: the id is in the table.
        """
        row.partition = partition_of(row.id, self._partitions)
        if self._rows.setdefault(row.id, row) is not row:
            raise DuplicateSession(row.id)
        row.file_in(self._trays)
        self._index.add(row.latest().session)
        oldest = self._oldest
        if oldest is not None and row.active_s < oldest[1]:
            self._oldest = None
        return row

    def remove(self, session_id: str) -> Session | None:
        """Give the place back; return the last snapshot, or None when there was no such row.

        Whatever an incarnation of it still hands in is refused.
        """
        row = self._rows.pop(session_id, None)
        if row is None:
            return None
        row.close()
        oldest = self._oldest
        if oldest is not None and oldest[0] is row:
            self._oldest = None  # or it would stay in memory until somebody asks
        session = row.session()
        self._index.discard(session)
        return session

    def recount(self) -> None:
        """Make index and counts anew from the rows: a manager may have died between two steps."""
        index = _Index()
        trays: _Trays = {each: {} for each in _FILED}
        for row in self.rows():
            index.add(row.latest().session)
            row.file_in(trays)
        self._index, self._trays = index, trays

    def _check_places(self, session: Session, limits: SessionLimits) -> None:
        if len(self._rows) >= limits.sessions_max:
            raise MaxSessionsReached("manager", limits.sessions_max)
        user_max, org_max = limits.sessions_per_user_max, limits.sessions_per_org_max
        # Those without a user are nobody's: they share no bound with each other.
        user_id, org_id = session.user_id, session.org_id
        if user_max is not None and user_id is not None and self.count_user(user_id) >= user_max:
            raise MaxSessionsReached("user", user_max)
        if org_max is not None and org_id is not None and self.count_org(org_id) >= org_max:
            raise MaxSessionsReached("org", org_max)

    def _playing(self, agent_role: str, user_id: str | None) -> Iterator[Row]:
        """Yield who plays a role and is not being terminated: all of a user, and maybe others."""
        for session_id in _list(self._index.shortest(user_id, None, agent_role) or _NO_IDS):
            row = self._rows.get(session_id)
            if row is None:
                continue
            session = row.latest().session
            if session.agent_role == agent_role and takes_messages(session.state):
                yield row


def _add(index: dict[str, _Ids], key: str | None, session_id: str) -> None:
    if key is None:
        return
    ids = index.setdefault(key, session_id)
    if not isinstance(ids, str):
        ids[session_id] = None
    elif ids != session_id:
        index[key] = {ids: None, session_id: None}


def _discard(index: dict[str, _Ids], key: str | None, session_id: str) -> None:
    if key is None:
        return
    ids = index.get(key, _NO_IDS)
    if not isinstance(ids, str):
        ids.pop(session_id, None)
    if not ids or ids == session_id:
        index.pop(key, None)


def _count(ids: _Ids) -> int:
    return 1 if isinstance(ids, str) else len(ids)


def _list(ids: _Ids) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)
