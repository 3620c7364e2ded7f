"""Where a session is reached: it stays while incarnations come and go."""

from __future__ import annotations

from typing import Any, Protocol

from callboard.actors.errors import (
    SessionCrashed,
    SessionNotFound,
    SessionQuarantined,
    SessionRestarting,
    SessionTerminating,
)
from callboard.actors.sessions.internal import SessionEnded, SessionWaits
from callboard.actors.sessions.naming import session_name
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Row, Table
from callboard.supervision import ActorSystem, Address, Future
from callboard.supervision.runtime.incarnation import Incarnation


class Services(Protocol):
    """What an address needs of what its system's sessions share."""

    def announce(self, notice: object) -> None:
        """Tell the manager; it may be dead just now."""
        ...


class SessionAddress(Address[Any]):
    """A session's name and mailbox, made with its row.

    A message waits here while the session is asleep (it wakes it) or
    restarting; a quarantined session's senders are refused at once. The manager is
    told here what it must know: that a message waits for nobody, and that an
    incarnation has ended.

    Args:
        system: whose names it joins.
        row: the session's place in the table.
        services: by which the manager is told.
    """

    __slots__ = ("_row", "_services", "is_wanted")

    def __init__(self, system: ActorSystem, row: Row, services: Services) -> None:
        super().__init__(system, session_name(row.id), keeps_mailbox=True)
        self._row = row
        self._services = services
        self.is_wanted = False
        """Whether the manager has been told that a message waits, and has not looked since."""

    def has_row(self, table: Table) -> bool:
        """Whether the row it was made with is in the table still."""
        return table.get(self._row.id) is self._row

    def leave(self, cell: Incarnation[Any]) -> None:
        """Tell the manager that an incarnation has ended; also one that came to nothing."""
        super().leave(cell)
        self._services.announce(SessionEnded(self._row.id, cell))

    def poke(self) -> None:
        """See that somebody takes what waits, or that it is refused."""
        presence = self._row.presence
        if presence is Presence.QUARANTINED:
            self.refuse_waiting()
        elif self._is_terminating() and not self.is_alive():
            self.refuse_waiting()  # what is left to do is not for messages
        elif presence is Presence.ASLEEP and not self.is_alive():
            if not self.is_wanted:  # once, however many wait: notices have no bound
                self.is_wanted = True
                self._services.announce(SessionWaits(self._row.id))
        else:
            super().poke()

    def _is_terminating(self) -> bool:
        return self._row.latest().session.state is SessionState.TERMINATING

    def refuse_waiting(self) -> None:
        """Answer what waits: the session is quarantined, or being terminated without an actor."""
        if self.items is not None:
            self._drain(self.items)

    def dead_error(self) -> Exception:
        """Return what a sender gets whose message nobody will take."""
        if not self.system.is_serving:
            return super().dead_error()
        if self._row.presence is Presence.QUARANTINED:
            error = self._row.session().last_error
            return SessionQuarantined(f"{self.name} is quarantined: {error}", address=self.name)
        if not self._row.is_closed and self._is_terminating():
            return SessionTerminating(self._row.id)
        return SessionNotFound(self._row.id)

    def killed_error(self) -> Exception:
        """Return what an asker gets whose message was in hand when the incarnation ended."""
        return SessionCrashed(f"{self.name} ended while it handled the message", address=self.name)

    def timeout_error(self, future: Future[Any]) -> Exception:
        """Return what an asker gets whose time ran out: the reason, if it is known."""
        presence = self._row.presence
        if presence is Presence.RESTARTING:
            return SessionRestarting(f"{self.name} is restarting", address=self.name)
        if presence is Presence.QUARANTINED:
            return self.dead_error()
        return super().timeout_error(future)


def address_of(row: Row) -> SessionAddress:
    """Return where a session of the table is reached."""
    address = row.address
    assert isinstance(address, SessionAddress), "the manager gives every row its address"
    return address
