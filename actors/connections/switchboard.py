"""What do all connections of a system share? A plain object, which no actor's death empties."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from callboard.actors.connections.owner import Work
from callboard.actors.connections.ports import ClientSink, Connectors
from callboard.actors.limits import DEFAULT_LIMITS, SessionLimits
from callboard.actors.link_messages import CLOSE_S, CONNECT_S, LOAD_S
from callboard.actors.secrets import EnvironmentSecrets, Secrets
from callboard.actors.sessions.address import Addresses
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.internal import LinkDown, LinkUp
from callboard.actors.sessions.linking import (
    Changes,
    Link,
    client_key,
    links_of,
    wanted,
    went_up,
)
from callboard.actors.sessions.links import AgentInfo, ClientInfo, McpClientInfo
from callboard.actors.sessions.naming import connections_partition_name, links_name
from callboard.actors.sessions.spawn import Step
from callboard.actors.sessions.states import SessionState
from callboard.actors.sessions.table import Row, Table
from callboard.supervision import ActorSystem, Future, partition_of
from callboard.supervision.runtime.notices import Notice

END_S: Final = 8.0
"""How long closing all connections of a session may take, in seconds: to close, then to kill."""

_OPEN_S: Final[dict[type[Any], float]] = {
    McpClientInfo: CONNECT_S + 1.0,
    AgentInfo: CONNECT_S + LOAD_S + 1.0,
}
"""How long opening one may take that a session is created with: longer than it takes itself."""


class LookAt(Notice, frozen=True):
    """To a partition of the connections: have those of this session be as its row says."""

    session_id: str


class Switchboard:
    """Finds connections, and sees to it that those run which the rows name.

    Which are wanted stands in the row alone. Whoever changes that calls `look`; so
    does every part of the line when it starts. To look once too often does no harm.

    Args:
        system: the actor system.
        table: the sessions.
        addresses: where they are reached.
        connectors: what opens connections.
        secrets: knows the secrets that specs name.
        partitions: over how many supervisors they are spread, as the sessions are.
        limits: how large what stands in a log or a snapshot may be.
    """

    def __init__(
        self,
        system: ActorSystem,
        table: Table,
        addresses: Addresses,
        connectors: Connectors | None = None,
        secrets: Secrets | None = None,
        *,
        partitions: int = 1,
        limits: SessionLimits = DEFAULT_LIMITS,
    ) -> None:
        self.system = system
        self.table = table
        self.addresses = addresses
        self.connectors = Connectors() if connectors is None else connectors
        self.secrets: Secrets = EnvironmentSecrets() if secrets is None else secrets
        self.limits = limits
        self.partitions = partitions
        self._opening: dict[tuple[str, str], Future[LinkUp]] = {}
        """What the spawn of a session waits for, or will."""
        self._sinks: dict[tuple[str, int], tuple[ClientSink, int]] = {}

    def look(self, row: Row) -> None:
        """Have the session's connections be as its row says, and have them report. Any thread."""
        partition = self.system.lookup(connections_partition_name(row.partition))
        if partition is not None:
            partition.notify(LookAt(row.id))

    def wanted(self, row: Row) -> dict[str, Link]:
        """Return the connections of a session that are to run now, by their keys."""
        if row.is_closed:
            return {}
        return wanted(row.latest().session, row.presence)

    # -- what a session spawns ---------------------------------------------

    def plan(self, session: Session) -> tuple[Step, ...]:
        """Return the steps of a session with connections: open each, and close all at the end."""
        opening = [
            Step(name=key, do=partial(self._open, key), do_s=_OPEN_S[type(link)])
            for key, link in links_of(session).items()
            if not isinstance(link, ClientInfo)
        ]
        return (*opening, Step(name="connections", undo=self._end, undo_s=END_S))

    async def _open(self, key: str, session: Session, _: object) -> Changes:
        """Wait until a connection is up; return how it is then.

        Raises:
            SessionError: it could not be opened.
        """
        opening = self._outcome(session.id, key)
        try:
            self._look_at(session)
            up = await opening
        finally:
            self._opening.pop((session.id, key), None)
        wall_s = self.system.clock.wall_s()
        return went_up(session, key, restarts=up.restarts, changes=up.changes, wall_s=wall_s)

    def came_up(self, row: Row, up: LinkUp) -> None:
        """Tell the spawn of a session that a connection is up. Any thread."""
        if row.latest().session.state is SessionState.SPAWNING:
            self._outcome(row.id, up.key).offer(up)

    def went_down(self, row: Row, down: LinkDown) -> None:
        """Tell the spawn of a session that a connection was in vain: the first time counts."""
        if row.latest().session.state is SessionState.SPAWNING:
            self._outcome(row.id, down.key).offer_exception(down.error)

    def _outcome(self, session_id: str, key: str) -> Future[LinkUp]:
        """Return what is done when it is known whether a connection could be opened."""
        made: Future[LinkUp] = Future(blocker=self.system.dispatcher)
        return self._opening.setdefault((session_id, key), made)

    async def _end(self, session: Session) -> None:
        """Have all connections of a session closed, each within its time; return when they are."""
        while (closed := self._closed(session.id)) is not None:
            self._look_at(session)
            await closed
        for key in links_of(session):
            self._opening.pop((session.id, key), None)

    def _look_at(self, session: Session) -> None:
        number = partition_of(session.id, self.partitions)
        partition = self.system.lookup(connections_partition_name(number))
        if partition is not None:
            partition.notify(LookAt(session.id))

    def _closed(self, session_id: str) -> Future[None] | None:
        """Return what is done when no connection of the session runs; None: it is so."""
        address = self.system.lookup(links_name(session_id))
        cell = None if address is None else address.ref
        if cell is None:
            return None
        future: Future[None] = Future(blocker=self.system.dispatcher)
        if not cell.when_dead(future, lambda _reason: future.offer(None)):
            return None
        return future

    # -- clients -----------------------------------------------------------

    def attach(self, session_id: str, number: int, sink: Any, after_seq: int) -> None:
        """Keep a client's sink until its connection claims it."""
        self._sinks[session_id, number] = (sink, after_seq)

    def after_seq(self, row: Row, number: int) -> int:
        """Return number of the last message that a client had when it came."""
        _, after_seq = self._sinks.get((row.id, number), (None, 0))
        return after_seq

    def claim(self, row: Row, number: int) -> ClientSink | None:
        """Take over a client's sink, and with it the duty to close it; None: somebody has."""
        sink, _ = self._sinks.pop((row.id, number), (None, 0))
        return sink

    def close_strays(self, session_id: str) -> None:
        """Close the sinks of clients that came and went before anybody claimed them. Any thread."""
        row = self.table.get(session_id)
        wanted = {} if row is None else self.wanted(row)
        for key in list(self._sinks):
            if key[0] == session_id and client_key(key[1]) not in wanted:
                sink, _ = self._sinks.pop(key, (None, 0))
                if sink is not None:
                    self._close(sink)

    def _close(self, sink: ClientSink) -> None:
        closing = Work(self.system, sink.close, lambda _result, _error: killing.cancel())
        due_s = self.system.clock.now_s() + CLOSE_S

        def kill() -> None:
            closing.cancel()
            self.system.loop.call(sink.kill)

        killing = self.system.timers.call_at(due_s, kill)
