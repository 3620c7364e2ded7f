"""The supervisor of a part of the sessions: each with a budget of its own.

It counts the restarts of those that it runs. What a session has spent outlasts its sleep: that
is in the row's standing, and a start goes on from there.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from callboard.actors.sessions.attending import AttendingActor
from callboard.actors.sessions.budget import DELAYS, RESTARTS
from callboard.actors.sessions.internal import (
    ForgetSession,
    PartitionReady,
    SessionGivenUp,
    StartSession,
)
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.table import Row
from callboard.supervision.model.child import Child
from callboard.supervision.model.child_api import plan_terminate_child
from callboard.supervision.model.events import ChildGivenUp, TreeEvent
from callboard.supervision.model.requests import handles
from callboard.supervision.model.specs import ChildSpec, RestartType
from callboard.supervision.model.strategy import calls_for_restart
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.names import Address
from callboard.supervision.runtime.operations import Until
from callboard.supervision.tree.interpreter import Ref
from callboard.supervision.tree.supervisor import DynamicSupervisor

SHUTDOWN_S: Final = 5.0
"""How long a session may take to stop."""


def spec_of(kind: str, behaviour: type[Any]) -> ChildSpec:
    """Return how every session of a kind is started and restarted: from its row's last commit."""
    return ChildSpec(
        id=kind,
        start=behaviour,
        restart=RestartType.TRANSIENT,
        shutdown_s=SHUTDOWN_S,
        backoff=DELAYS,
        budget=RESTARTS,
        start_s=behaviour.start_s,
    )


class SessionPartition(AttendingActor, DynamicSupervisor):
    """Runs sessions. It starts empty, as in OTP: their rows come back by the manager.

    Args:
        services: what the system lends.
        number: which partition this is.
    """

    def __init__(self, services: Services, number: int) -> None:
        super().__init__(intensity=None, concurrent_starts=True)
        self._services = services
        self._number = number
        self._kinds = {kind: spec_of(kind, each) for kind, each in services.kinds.items()}

    def on_start(self) -> Any:
        """Start, and say so to the manager."""
        yield from super().on_start()
        self._services.announce(PartitionReady(self._number))

    def name_of(self, child: Child[Ref]) -> Address[Any]:
        """Return where a session is reached: its spec is that of all sessions of its kind."""
        row: Any = child.args[0]
        return self._services.addresses.kept(row)

    @handles(StartSession)
    def on_start_session(self, message: StartSession) -> Any:
        """Start a session, unless it has its place here: then it runs, or comes back by itself.

        A manager that follows on one that was killed cannot know what that one had asked for:
        it asks again, and must not start a session twice. One that is starting just now is
        the answer when it has started.
        """
        row: Row = message.row
        if row.is_closed:
            return None  # the session ended while the request waited
        tree = self._children_of()
        tree.look_at_start(row.id)
        children = tree.children
        known = children.get(row.id)
        if known is not None:
            if known.args[0] is not row:
                return self._start_after(known, row)
            if known.is_starting:
                return self._answer(tree, known.key, None)
            cell: Cell[Any] | None = known.ref
            if cell is None or not cell.is_dead or known.is_restarting:
                return cell
            if cell.reason is None or calls_for_restart(known.spec.restart, cell.reason):
                return cell
            # It ended in order, and its exit is not handled yet: that finds it replaced.
            del children[row.id]
        return self._start(row)

    def _start_after(self, other: Child[Ref], row: Row) -> Generator[Until, bool, Any]:
        """Start a session once another one, which had its id and is gone, has left its place.

        That one had ended before its last incarnation did, and was about to come back, for nothing.
        """
        if other.ref is not None:
            other.ref.kill()
        tree = self._children_of()
        yield from tree.carry_out_all(plan_terminate_child(tree.state, other.key))
        return self._start(row)

    def _start(self, row: Row) -> Any:
        spec = self._kinds[row.latest().session.kind]
        standing = row.standing
        spent = None if standing is None else standing.spent
        return self._start_as(row.id, spec, (row, self._services), spent)

    @handles(ForgetSession)
    def on_forget_session(self, message: ForgetSession) -> Any:
        """Let a session go that ends without its actor; there may be nothing of it here."""
        tree, row = self._children_of(), message.row
        child = tree.children.get(row.id)
        if child is None or child.args[0] is not row:
            return None
        return tree.carry_out(plan_terminate_child(tree.state, child.key))

    def on_report(self, event: TreeEvent) -> None:
        """Tell what becomes of sessions. That one is given up the manager tells (`Quarantined`)."""
        if not isinstance(event, ChildGivenUp):
            super().on_report(event)

    def on_given_up(self, event: ChildGivenUp) -> None:
        """Tell the manager."""
        child = self._children_of().children.get(event.child_id)
        if child is None:
            return
        row: Any = child.args[0]  # its own: by now its id may be another session's
        failed_on: str | None = getattr(event.ref, "failed_on", None)
        news = SessionGivenUp(row, row.incarnation, event.reason, failed_on)
        # After the look: killed, it may go on for a moment, and its successor have begun another.
        if not self.actor_ref.is_dead:
            self._services.announce(news)
