"""Which connections run, and who starts them again? The line of the tree, partition by partition.

Nobody is told to start or to end this or that: each level looks at what the row
says, and makes it so. What gets lost in a crash is looked at again by whoever
comes next.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any, Final

from callboard.actors.connections.actor import SHUTDOWN_S, LinkActor, LinkLost, Report
from callboard.actors.connections.agent import AgentActor
from callboard.actors.connections.client import ClientActor
from callboard.actors.connections.mcp import McpActor
from callboard.actors.connections.switchboard import LookAt, Switchboard
from callboard.actors.sessions.attending import AttendingActor
from callboard.actors.sessions.internal import FailNow, LinkDown, LinkFailed
from callboard.actors.sessions.linking import Link, links_of
from callboard.actors.sessions.links import AgentInfo, ClientInfo, McpClientInfo
from callboard.actors.sessions.naming import link_name, links_name
from callboard.actors.sessions.table import Row
from callboard.supervision import Backoff, ChildRefusal, RestartWindow, Shutdown, handles
from callboard.supervision.model.child import Child
from callboard.supervision.model.child_api import plan_terminate_child
from callboard.supervision.model.dynamic import plan_start_dynamic_child
from callboard.supervision.model.events import ChildGivenUp
from callboard.supervision.model.specs import ChildKind, ChildSpec, RestartType
from callboard.supervision.runtime.notices import ChildExited, Notice
from callboard.supervision.runtime.operations import Until
from callboard.supervision.tree.supervisor import DynamicSupervisor

RESTARTS: Final = RestartWindow(intensity=10, period_s=300.0)
"""More restarts of one connection in this time, and it has failed."""

DELAYS: Final = Backoff.exponential(first_s=0.5, longest_s=30.0)
"""How long to wait before each of them."""

SUPERVISOR_RESTARTS: Final = RestartWindow(intensity=10, period_s=60.0)
"""More restarts of the supervisor of a session's connections, and they have all failed."""

_ACTORS: Final[dict[type[Any], type[LinkActor[Any, Any]]]] = {
    McpClientInfo: McpActor,
    AgentInfo: AgentActor,
    ClientInfo: ClientActor,
}


class Look(Notice, frozen=True):
    """To the supervisor of a session's connections: have them be as the row says."""


class ShutdownOver(Notice, frozen=True):
    """To the same: a connection that was to close has had its time."""

    cell: Any


def spec_of(switchboard: Switchboard, row: Row, key: str, link: Link) -> ChildSpec:
    """Return how a connection is started: its actor reads the rest in the row."""
    # A sink cannot be opened again: a client comes back by itself.
    is_client = isinstance(link, ClientInfo)
    return ChildSpec(
        id=key,
        start=_ACTORS[type(link)],
        args=(switchboard, row, key),
        restart=RestartType.TEMPORARY if is_client else RestartType.TRANSIENT,
        shutdown_s=SHUTDOWN_S,
        name=link_name(row.id, key),
        backoff=None if is_client else DELAYS,
        budget=None if is_client else RESTARTS,
    )


class SessionLinks(DynamicSupervisor):
    """Runs the connections of one session; ends when there are none.

    Args:
        switchboard: what the connections share.
        row: the session's place in the table.
    """

    def __init__(self, switchboard: Switchboard, row: Row) -> None:
        super().__init__(intensity=None, concurrent_starts=True)
        self._switchboard = switchboard
        self._row = row
        self._over: dict[str, LinkDown | LinkFailed] = {}
        """Keys of connections that are not started again -> what the session is to note."""

    def on_start(self) -> Any:
        """Start, then look which connections there are to be."""
        yield from super().on_start()
        self.actor_ref.notify(Look())

    @handles(Look)
    def on_look(self, message: Look) -> Generator[Until, bool, None]:
        """Start what is missing, end what is not wanted, have the rest report."""
        del message
        tree, wanted = self._children_of(), self._switchboard.wanted(self._row)
        self._over = {key: notice for key, notice in self._over.items() if key in wanted}
        if not wanted:
            self.stop()  # which ends those that are left, all at once
            return
        for key, child in list(tree.children.items()):
            cell = child.ref
            if cell is not None and not cell.is_dead:
                if key in wanted:
                    cell.notify(Report())
                else:
                    # Not waited for here: another is not to wait for a close that hangs.
                    cell.exit(Shutdown())
                    self.send_after(SHUTDOWN_S, ShutdownOver(cell))
            elif key not in wanted:
                rest = tree.carry_out(plan_terminate_child(tree.state, key))
                if rest is not None:
                    yield from rest
        for key, link in wanted.items():
            if key in tree.children:
                continue
            if key in self._over:  # it has not been noted yet, or the store has refused that
                self._switchboard.addresses.of(self._row).notify(self._over[key])
            else:
                yield from self._start(key, link)

    def _start(self, key: str, link: Link) -> Generator[Until, bool, None]:
        spec = spec_of(self._switchboard, self._row, key, link)
        child: Child[Any] = Child(key=key, spec=spec)
        tree = self._children_of()
        try:
            rest = tree.carry_out(plan_start_dynamic_child(tree.state, self._limits, child))
            if rest is not None:
                yield from rest
        except ChildRefusal as refusal:  # there is no thread left, or all of it ends just now
            self._switchboard.addresses.of(self._row).notify(LinkDown(key, refusal))

    def on_child_exited(self, message: ChildExited) -> Any:
        """Start it again if it crashed; look again, for it may have been the last, or be missed."""
        if message.child.actor_class is ClientActor:
            key = str(message.child.tag)
            self._over[key] = LinkDown(key, LinkLost("it has gone"))
        self.actor_ref.notify(Look())
        return super().on_child_exited(message)

    @handles(ShutdownOver)
    def on_shutdown_over(self, message: ShutdownOver) -> None:
        """Kill a connection's actor that has not ended."""
        if not message.cell.is_dead:
            message.cell.kill()

    def on_given_up(self, event: ChildGivenUp) -> None:
        """Tell the session."""
        key = str(event.child_id)
        failed = self._over[key] = LinkFailed(key)
        self._switchboard.addresses.of(self._row).notify(failed)

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)


class ConnectionsPartition(AttendingActor, DynamicSupervisor):
    """Runs the supervisors of the sessions' connections: of those sessions that have any.

    Args:
        switchboard: what the connections share.
        number: which partition this is.
    """

    def __init__(self, switchboard: Switchboard, number: int) -> None:
        super().__init__(intensity=None, concurrent_starts=True)
        self._switchboard = switchboard
        self._number = number

    def on_start(self) -> Any:
        """Start, and look after the sessions that had connections before a crash."""
        yield from super().on_start()
        for row in self._switchboard.table.rows():
            if row.partition == self._number and row.latest().session.has_links:
                self.actor_ref.notify(LookAt(row.id))

    @handles(LookAt)
    def on_look_at(self, message: LookAt) -> Generator[Until, bool, None]:
        """Have a session's connections looked at, by a supervisor of their own."""
        tree, session_id = self._children_of(), message.session_id
        row = self._switchboard.table.get(session_id)
        self._switchboard.close_strays(session_id)
        child = tree.children.get(session_id)
        if child is not None:
            if child.ref is not None:
                child.ref.notify(Look())
            return
        if row is None or not self._switchboard.wanted(row):
            return
        spec = ChildSpec(
            id=session_id,
            start=SessionLinks,
            args=(self._switchboard, row),
            restart=RestartType.TRANSIENT,
            kind=ChildKind.SUPERVISOR,
            shutdown_s=SHUTDOWN_S + 1.0,
            name=links_name(session_id),
            budget=SUPERVISOR_RESTARTS,
        )
        new: Child[Any] = Child(key=session_id, spec=spec)
        with suppress(ChildRefusal):  # all of it ends just now
            rest = tree.carry_out(plan_start_dynamic_child(tree.state, self._limits, new))
            if rest is not None:
                yield from rest

    def on_child_exited(self, message: ChildExited) -> Any:
        """Start it again if it crashed; look again if it ended, for it may be wanted by now."""
        self.actor_ref.notify(LookAt(str(message.child.tag)))
        return super().on_child_exited(message)

    def on_given_up(self, event: ChildGivenUp) -> None:
        """Tell the session that all its connections have failed."""
        child = self._children_of().children.get(event.child_id)
        if child is not None:
            row: Any = child.spec.args[1]  # its own: by now its id may be another session's
            for key in links_of(row.latest().session):
                self._switchboard.addresses.of(row).notify(LinkFailed(key))
