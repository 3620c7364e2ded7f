"""The laws of DESIGN.md that only show over time, as checkers of a whole session system.

`tests/laws.py` looks at one moment. Here is what must have been looked at before: versions
only go up (`Versions`), of what is told nothing is lost (`Told`), nobody is quarantined who has
not earned it (`Crashes`), a folder is there for each session that needs one and for no other
(`broken_folders`), and nothing is left of what was (`census` and `in_memory`, taken twice).
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, cast

from callboard.actors import EventKind, Presence, SessionState, SessionSystem, Subscribe
from callboard.actors.sessions.table import Row
from callboard.supervision import ActorSystem, Address, Future
from callboard.supervision.runtime.incarnation import Incarnation
from tests.laws import parts_of, services_of

CRASHES_KEPT = 16
"""Crashes of one session that are remembered: more than its budget has."""

RESTARTS_MAX = 3
PERIOD_S = 60.0
"""What a session's budget is documented to be: as many restarts in so many seconds."""

IN_MEMORY = ("cells in memory", "addresses in memory", "replies that are owed")
"""What the collector is asked for."""


class Versions:
    """Looks at rows again and again; what it says of one must never be less than before.

    Look from any thread, one at a time.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._broken: list[str] = []

    def look(self, rows: Iterable[Row]) -> None:
        """Look once at all rows, and forget those that are no more."""
        seen: dict[str, tuple[int, int, int]] = {}
        for row in rows:
            kept = row.latest()
            if row.is_closed:
                continue
            now = (kept.session.version, kept.log.last_seq, kept.incarnation)
            before = self._seen.get(row.id, now)
            if any(new < old for new, old in zip(now, before, strict=True)):
                self._broken.append(f"{row.id} went back from {before} to {now}")
            if kept.log.last_seq != kept.session.last_seq:
                self._broken.append(f"{row.id} says {kept.session.last_seq}, its log {now[1]}")
            seen[row.id] = now
        self._seen = seen

    def broken(self) -> Iterator[str]:
        """Yield each version, log or incarnation that was less than before."""
        yield from self._broken


class Crashes:
    """Counts what a session did to be quarantined: more crashes than its budget, in its time.

    Args:
        now_s: the system's monotonic clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._crashes: dict[str, deque[float]] = {}

    def note(self, session_id: str) -> None:
        """Note that a session is about to be crashed. Any thread."""
        mine = self._crashes.setdefault(session_id, deque(maxlen=CRASHES_KEPT))
        mine.append(self._now_s())

    def forgive(self, session_id: str) -> None:
        """Begin anew: it is being revived, or has ended."""
        self._crashes.pop(session_id, None)

    def forget_all_but(self, session_ids: Collection[str]) -> None:
        """Forget the sessions that are no more."""
        for session_id in set(self._crashes) - set(session_ids):
            self.forgive(session_id)

    def broken(self, sessions: SessionSystem) -> Iterator[str]:
        """Yield who is quarantined and has not crashed often enough for that."""
        for row in services_of(sessions).table.quarantined():
            standing = row.standing
            until_s = self._now_s() if standing is None else standing.since_s
            mine = list(self._crashes.get(row.id, ()))
            counted = [each for each in mine if each >= until_s - PERIOD_S]
            if len(counted) <= RESTARTS_MAX:
                session = row.session()
                yield (
                    f"{row.id} is quarantined after {len(counted)} crashes:"
                    f" {session.last_error}, on {session.failed_on}"
                )


class Told:
    """Reads along what is told of all sessions: each session's events are numbered without holes.

    Read from any thread, one at a time, and often enough: it may be told `events_max` at once.

    Args:
        sessions: it runs, and has no session yet.
        events_max: how many may wait to be read.
    """

    def __init__(self, sessions: SessionSystem, *, events_max: int = 100_000) -> None:
        self._subscription = sessions.ask(Subscribe(events_max=events_max))
        self._last: dict[str, int] = {}
        self._broken: list[str] = []
        self.read = 0
        """How many events were read."""

    def look(self) -> None:
        """Read what has been told since."""
        while (event := self._subscription._next()) is not None:
            self.read += 1
            expected = self._last.get(event.session_id, 0) + 1
            if event.seq != expected:
                said = f"{event.kind} of {event.session_id} has number {event.seq}, not {expected}"
                self._broken.append(said)
            if event.kind is EventKind.TERMINATED:
                self._last.pop(event.session_id, None)
            else:
                self._last[event.session_id] = event.seq

    def broken(self) -> Iterator[str]:
        """Yield each event that was lost, told twice or out of order."""
        yield from self._broken
        if self._subscription.is_closed:
            yield "the subscription was closed by itself"


def broken_folders(
    sessions: SessionSystem, what: str, there: Collection[str], needs: Callable[[Row], bool]
) -> Iterator[str]:
    """Yield what a session has that needs none, or is gone; and who needs one and has none.

    Args:
        sessions: nothing is under way in it.
        what: what it is called.
        there: ids of the sessions that have one.
        needs: says of an active session whether it needs one.
    """
    rows = {row.id: row for row in services_of(sessions).table.rows()}
    needed = {
        each
        for each, row in rows.items()
        if row.latest().session.state is SessionState.ACTIVE and needs(row)
    }
    for session_id in sorted(set(there) - needed):
        row = rows.get(session_id)
        now = "gone" if row is None else f"{row.latest().session.state}, {row.presence}"
        yield f"a {what} is left of {session_id}, which is {now}"
    for session_id in sorted(needed - set(there)):
        yield f"{session_id} has lost its {what}"


def broken_presences(sessions: SessionSystem) -> Iterator[str]:
    """Yield where counts by presence differ from a recount of the rows."""
    rows = services_of(sessions).table.rows()
    report = sessions.health()
    for each in Presence:
        counted = sum(row.presence is each for row in rows)
        if report.presences[each] != counted:
            yield f"{counted} sessions are {each}, health says {report.presences[each]}"
    if report.sessions != len(rows):
        yield f"there are {len(rows)} sessions, health says {report.sessions}"


def census(sessions: SessionSystem, pending_timers: int) -> dict[str, int]:
    """Count what a system holds: between two idle moments with the same sessions it is equal.

    Args:
        sessions: nothing is under way in it.
        pending_timers: what the runtime's own timers hold.
    """
    services = services_of(sessions)
    system = services.system
    return {
        "parts of the tree": len(parts_of(sessions)),
        "roots": len(system.roots),
        "names": len(system.names),
        "rows": len(services.table),
        "users": len(services.table.per_user),
        "organisations": len(services.table.per_org),
        "starts": len(list(services.book.starts)),
        "endings": len(services.book.endings),
        "spawns": len(services.book.spawns),
        "sleepers": len(services.book.sleepers),
        "timers": pending_timers,
    }


def in_memory(system: ActorSystem) -> dict[str, int]:
    """Count what the collector knows of: cells, dead or not, addresses, replies yet to be given.

    It looks at all that the process has in memory, which takes a while.
    """
    gc.collect()
    cells = addresses = futures = 0
    everything: list[object] = gc.get_objects()
    for each in everything:
        kind = type(each)  # isinstance would ask a proxy whom it stands for
        if issubclass(kind, Incarnation):
            cells += cast("Incarnation[Any]", each).system is system
        elif issubclass(kind, Address):
            addresses += cast("Address[Any]", each).system is system
        elif issubclass(kind, Future):
            future = cast("Future[Any]", each)
            futures += future.blocker is system.dispatcher and not future.is_done
    return dict(zip(IN_MEMORY, (cells, addresses, futures), strict=True))


def differences(before: dict[str, int], after: dict[str, int], *, spare: int = 0) -> list[str]:
    """Return what two counts do not agree in.

    >>> differences({"rows": 0}, {"rows": 2})
    ['rows: 0 before, 2 now']

    Args:
        before: what there was.
        after: what there is.
        spare: how many more may be in memory, where less is always right: a thread of the pool
            remembers whom it ran last.
    """
    return [
        f"{what}: {before.get(what, 0)} before, {now} now"
        for what, now in after.items()
        if now != before.get(what, 0)
        and not (what in IN_MEMORY and now <= before.get(what, 0) + spare)
    ]
