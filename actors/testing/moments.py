"""Which laws of sessions does one step break? Looked at after each, where it touched something.

These hold at every moment, whatever is under way; `laws.py` has those of a system at rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias, cast

from callboard.actors.messages import AppendMessage, CreateSession
from callboard.actors.sessions.address import SessionAddress, address_of
from callboard.actors.sessions.committing import turn_of
from callboard.actors.sessions.data import Message, Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.keys import key_of
from callboard.actors.sessions.log import Log
from callboard.actors.sessions.owing import Owed
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import TRANSITIONS, SessionState
from callboard.actors.sessions.table import DurableRow, Row, Table
from callboard.actors.storage.chain import Handed
from callboard.actors.storage.kept import Kept
from callboard.actors.system import SessionSystem
from callboard.actors.testing.touched import Touched
from callboard.supervision import Future
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.ending import EndingCell
from callboard.supervision.testing.errors import LawBroken

Wrong: TypeAlias = tuple[str, str]
"""A law, and what breaks it."""

FORWARD = "a session only goes forward"
COUNTED = "a row lies where the table says"
ONE_STORY = "a row and its actor tell the same story"
GONE = "nothing of a session outlives its row"
KEPT = "what a reply confirms is there"


class _Seen(NamedTuple):
    """What a row was when it was looked at last."""

    kept: Kept[Session, Log]
    numbers: tuple[int, int, int]
    owner: tuple[object, ...]
    last: Message | None


class _Stood(NamedTuple):
    """How far a session was when a later reply was given."""

    row: Row
    handed_in: Kept[Session, Log]
    changes: Future[None] | None
    """Of the handler that gave it: is done when what it had changed is kept, or undone."""

    def is_kept(self) -> bool:
        """Say whether all that was there then is kept by now."""
        row, tip, changes = self.row, self.handed_in, self.changes
        if changes is not None and (not changes.is_done or changes.error is not None):
            return False
        if not (isinstance(row, DurableRow) and isinstance(tip, Handed)):
            return True
        return tip.pending.error is None and tip not in row.waiting()


class Moments:
    """Holds the laws of every moment against one system, step by step.

        sim.law("the laws of sessions", Moments(sessions).look)

    Args:
        sessions: it may be started later.
    """

    def __init__(self, sessions: SessionSystem) -> None:
        self._sessions = sessions
        self._services: Services | None = None
        self._touched: Touched | None = None
        self._seen: dict[Row, _Seen] = {}
        self._unkept: Wrong | None = None
        self._offered: dict[Owed, list[_Stood | None]] = {}
        """A later reply on its way -> how far its session, and who gave it, was when it was."""

    def look(self) -> None:
        """Look at what was touched since the last time.

        Raises:
            LawBroken: a law is broken; which one and what is wrong.
        """
        if self._unkept is not None:
            _break(self._unkept)
        if self._touched is None:
            self._begin()
        elif self._touched:
            for row in self._touched.take():
                for wrong in self._wrong_with(row):
                    _break(wrong)

    def _begin(self) -> None:
        services = self._services = self._sessions._services
        if services is None:
            return
        self._touched = Touched(services.table)
        system = services.system
        goes_on = system.point

        def point(label: str, who: object, what: object) -> None:
            if label == "reply":
                self._replies(cast("Cell[Any]", who), what)
            elif isinstance(what, Owed):
                self._owes(label, cast("Cell[Any]", who), what)
            if goes_on is not None:
                goes_on(label, who, what)

        system.point = point

    def _replies(self, cell: Cell[Any], answer: object) -> None:
        """Law 7: note whether what an actor is about to reply is there already."""
        services, asked = self._services, cell.handling
        if services is None or cell.is_dead:
            return  # nobody gets it
        if isinstance(asked, CreateSession) and isinstance(answer, Session):
            key = key_of(asked)
            if key is not None and services.book.creates.key_for(answer.id) != key:
                return  # the first reply, again: its session is gone, and its id is another one's
        if isinstance(answer, Session):
            what, number, row = "version", answer.version, services.table.get(answer.id)
            there = 0 if row is None else row.latest().session.version
        elif isinstance(asked, AppendMessage) and isinstance(answer, int):
            what, number, row = "message", answer, services.table.get(asked.session_id)
            there = 0 if row is None else row.latest().log.last_seq
        else:
            return
        if row is not None and there < number and self._unkept is None:
            said = f"{row.id} confirms {what} {number}, and everybody sees {what} {there}"
            self._unkept = KEPT, said

    def _owes(self, label: str, cell: Cell[Any], owed: Owed) -> None:
        """Law 7: note whether that is kept which a later reply may confirm, when it is given."""
        if label == "offer":
            self._offered[owed] = [_stands(each) for each in (cell, _at_work()) if each is not None]
            return
        stood = [each for each in self._offered.pop(owed, ()) if each is not None]
        if not stood or owed.error is not None:
            return
        is_undone = owed.turn.outcome.error is not None
        if (is_undone or not all(each.is_kept() for each in stood)) and self._unkept is None:
            said = f"a later reply of {stood[0].row.id} confirms what is not kept"
            self._unkept = KEPT, said

    # -- one row -----------------------------------------------------------

    def _wrong_with(self, row: Row) -> Iterator[Wrong]:
        services = self._services
        assert services is not None, "it has rows"
        table = services.table
        if table.get(row.id) is not row:
            before = self._seen.pop(row, None)
            if before is not None:
                yield from _left_of(row, before.kept.session, table)
            return
        yield from self._steps_back(row)
        yield from _misplaced(row, table)
        if services.system.is_serving:
            yield from _told_otherwise(row, services)

    def _steps_back(self, row: Row) -> Iterator[Wrong]:
        """Laws 4, 7 and 8: nothing that was there is undone."""
        kept, before = row.latest(), self._seen.get(row)
        if before is not None and before.kept is kept:
            return
        session, log = kept.session, kept.log
        if log.last_seq != session.last_seq:
            yield FORWARD, f"{row.id} says {session.last_seq} messages, its log {log.last_seq}"
        numbers = (session.version, log.last_seq, kept.incarnation)
        now = self._seen[row] = _Seen(kept, numbers, _owner(session), _last(log))
        if before is not None:
            yield from _back(row, before, now)


def _at_work() -> EndingCell[Any] | None:
    """Return the incarnation whose handler runs on this thread."""
    return None if local.runner is None else local.runner.cell


def _stands(cell: EndingCell[Any]) -> _Stood | None:
    """Note how far a session is; None: it is none, or nobody lives there any more."""
    address = cell.address
    if not isinstance(address, SessionAddress) or address.row.address is not address:
        return None
    row, changes = address.row, None
    if cell is _at_work() and not cell.is_dead:
        draft = row.holder
        if isinstance(draft, Draft) and not draft.is_handed_in:
            changes = turn_of(draft, cell).outcome
    return _Stood(row, row.tip(), changes)


def _back(row: Row, before: _Seen, now: _Seen) -> Iterator[Wrong]:
    state, then = now.kept.session.state, before.kept.session.state
    (version, last_seq, incarnation), earlier = now.numbers, before.numbers
    if version < earlier[0] or last_seq < earlier[1] or incarnation < earlier[2]:
        yield FORWARD, f"{row.id} went back from {earlier} to {now.numbers}"
    elif state is not then and state not in _AFTER[then]:
        yield FORWARD, f"{row.id} went back from {then} to {state}"
    elif now.owner != before.owner:
        yield FORWARD, f"{row.id} was {before.owner}, and is {now.owner}"
    elif before.last is not None and before.last is not now.last:
        found = _said(now.kept.log, before.last.seq)
        if found is not None and found is not before.last and found != before.last:
            yield FORWARD, f"message {found.seq} of {row.id} is not what it was"


def _break(wrong: Wrong) -> None:
    law, what = wrong
    msg = f"{law}: {what}"
    raise LawBroken(msg, law=law)


def _after(state: SessionState) -> frozenset[SessionState]:
    """Return what may be seen of a session once it was seen in this state."""
    found = {state}
    for _ in SessionState:
        found |= {to for (begun, _), to in TRANSITIONS.items() if begun in found}
    return frozenset(found)


_AFTER = {state: _after(state) for state in SessionState}


def _owner(session: Session) -> tuple[object, ...]:
    return session.id, session.user_id, session.org_id, session.agent_role, session.created_at


def _last(log: Log) -> Message | None:
    return log.newest if log.last_seq and log.is_here else None


def _said(log: Log, seq: int) -> Message | None:
    """Return the message of a number, if it is here; it is mostly among the last."""
    back, tail = log.last_seq - seq, log._tail
    if back < len(tail):
        return tail[-1 - back]
    found = log.slice(after_seq=seq - 1, limit=1)
    return found[0] if found else None


def _misplaced(row: Row, table: Table) -> Iterator[Wrong]:
    """Law 8: what is derived from a row agrees with it."""
    if row.is_closed:
        yield COUNTED, f"{row.id} is closed, and in the table"
    for kind, is_counted in _counts(row.latest().session, table):
        if not is_counted:
            yield COUNTED, f"{row.id} is not counted with its {kind}"
    if isinstance(row, DurableRow):
        return  # where it lies follows its begin, which calls the writer in between
    place = row.presence
    for presence, rows in table._trays.items():
        if (row in rows) is not (presence is place):
            lies = "lies" if row in rows else "does not lie"
            yield COUNTED, f"{row.id} is {place}, and {lies} with those that are {presence}"


def _counts(session: Session, table: Table) -> Iterator[tuple[str, bool]]:
    index = table._index
    for kind, key, ids in (
        ("user", session.user_id, index.users),
        ("organisation", session.org_id, index.orgs),
        ("role", session.agent_role, index.roles),
    ):
        if key is not None:
            own = ids.get(key, ())
            yield kind, own == session.id if isinstance(own, str) else session.id in own


def _told_otherwise(row: Row, services: Services) -> Iterator[Wrong]:
    """Laws 4, 5 and 8: a row, its address and its incarnation belong together."""
    address = address_of(row)
    if address is None:
        return
    if services.system.lookup(address.name) is not address:
        yield ONE_STORY, f"{row.id} is not reached under its name"
    ref, standing = _begun(address), row.standing
    if ref is None:
        return
    if standing is not None and standing.incarnation >= ref.incarnation:
        said = f"{row.id} is said to be {standing.presence} since incarnation"
        yield ONE_STORY, f"{said} {standing.incarnation} ended, and {ref.incarnation} lives"
    if row.incarnation != ref.incarnation:
        yield ONE_STORY, f"{row.id} runs as {ref.incarnation} upon a row of {row.incarnation}"


def _left_of(row: Row, session: Session, table: Table) -> Iterator[Wrong]:
    """Law 8: what goes with a row has gone."""
    if not row.is_closed:
        yield GONE, f"{row.id} has left the table and is not closed"
    if table.get(row.id) is None:
        for kind, is_counted in _counts(session, table):
            if is_counted:
                yield GONE, f"{row.id} has no row, and is counted with its {kind}"
        if any(row in rows for rows in table._trays.values()):
            yield GONE, f"{row.id} has no row, and lies with those that have"
    ref = _begun(address_of(row))
    if ref is not None:
        yield GONE, f"{row.id} has no row, and its incarnation {ref.incarnation} lives"


def _begun(address: SessionAddress | None) -> Cell[Any] | None:
    """Return the incarnation that lives there; one that only starts may yet be refused its row."""
    ref = None if address is None else address.ref
    return ref if ref is not None and ref.is_started and not ref.is_dead else None
