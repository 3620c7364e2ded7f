"""Where a session is reached: it stays while incarnations come and go.

Of a million sessions most are asleep, and nobody has anything to do with them: those have
no address. It is made when one is asked for or started, and kept in its row, under its
name, from when somebody lives there or a message comes until the session sleeps again.
Then it is given up to whoever still holds it: as long as somebody does, that one is found
again, so that nobody can see that it was gone. Both under the lock for rare things:

    keep    (1) is the row in the table still?   (2) in the names and in the row
    remove  (1) the row is closed                (2) has it an address? give the name back
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from callboard.actors.errors import (
    AuditError,
    SessionAsleep,
    SessionCrashed,
    SessionNotFound,
    SessionQuarantined,
    SessionRestarting,
    SessionTerminating,
)
from callboard.actors.messages import SessionMessage, TerminateSession
from callboard.actors.sessions.internal import SessionEnded, SessionWaits
from callboard.actors.sessions.naming import session_name
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Row, Table, UnreadableRow
from callboard.supervision import ActorSystem, Address, AskCycle, CallboardError, Future, Request
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.current import local
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.mailbox import drain
from callboard.supervision.runtime.operations import Task

if TYPE_CHECKING:
    from callboard.actors.sessions.gate import Gate

R = TypeVar("R")


class SessionAddress(Address[Any]):
    """A session's name and mailbox.

    A message waits here while the session is asleep (it wakes it) or
    restarting; a quarantined session's senders are refused at once. The manager is
    told here what it must know: that a message waits for nobody, and that an
    incarnation has ended.

    Args:
        system: whose names it joins.
        row: the session's place in the table.
        addresses: where it is kept.
    """

    __slots__ = ("__weakref__", "_addresses", "is_wanted", "row")

    def __init__(self, system: ActorSystem, row: Row, addresses: Addresses) -> None:
        super().__init__(system, session_name(row.id), keeps_mailbox=True)
        self.row = row
        self._addresses = addresses
        self.is_wanted = False
        """Whether the manager has been told that a message waits, and has not looked since."""

    def has_row(self, table: Table) -> bool:
        """Whether the row it was made with is in the table still."""
        return table.get(self.row.id) is self.row

    def enter(self, cell: Cell[Any]) -> int:
        """Make `cell` the current incarnation; return its number."""
        with self.system.rare:
            self._addresses.keep(self)
            return super().enter(cell)

    def takes_messages(self) -> bool:
        """Say whether messages wait here; it is not given up as long as one may."""
        return self._addresses.keep(self) and super().takes_messages()

    def leave(self, cell: Incarnation[Any]) -> None:
        """Tell the manager that an incarnation has ended; also one that came to nothing."""
        super().leave(cell)
        self._addresses.announce(SessionEnded(self.row, cell))

    def _wait_in_line(self, message: Any, future: Future[Any] | None) -> None:
        # At once, also while its actor is still there: what it has to undo may take its time.
        if isinstance(message, SessionMessage) and self._is_terminating():
            raise self.dead_error()
        # Who tells hears of it, too: afterwards it would be a dead letter that only we know of.
        if self.row.presence is Presence.QUARANTINED:
            raise self.dead_error()
        super()._wait_in_line(message, future)

    def poke(self) -> None:
        """See that somebody takes what waits, or that it is refused."""
        presence = self.row.presence
        if presence is Presence.QUARANTINED:
            self.refuse_waiting()
        elif self._is_terminating() and not self.is_alive():
            self.refuse_waiting()  # what is left to do is not for messages
        elif presence is Presence.ASLEEP and not self.is_alive():
            if not self.is_wanted:  # once, however many wait: notices have no bound
                self.is_wanted = True
                self._addresses.announce(SessionWaits(self.row))
        else:
            super().poke()

    def _is_terminating(self) -> bool:
        return self.row.latest().session.state is SessionState.TERMINATING

    def refuse_waiting(self, error: Exception | None = None) -> None:
        """Answer what waits: nobody comes to take it.

        Args:
            error: what to answer; None: that the session is quarantined, or is being terminated.
        """

        def refuse(message: Any, future: Future[Any] | None) -> None:
            if error is None or future is None:
                self._undeliverable(message, future)
            else:
                future.offer_exception(error)

        if self.items is not None:
            drain(self.items, refuse)

    def dead_error(self) -> Exception:
        """Return what a sender gets whose message nobody will take."""
        if not self.system.is_serving:
            return super().dead_error()
        if self.row.presence is Presence.QUARANTINED:
            last = self.row.session().last_error
            error = SessionQuarantined(f"{self.name} is quarantined: {last}", address=self.name)
            if isinstance(self.row, UnreadableRow):
                error.remedy = self.row.why.remedy  # nobody can revive it
            return error
        if not self.row.is_closed and self._is_terminating():
            return SessionTerminating(self.row.id)
        return SessionNotFound(self.row.id)

    def absent_error(self) -> Exception:
        """Return what whoever needs a living incarnation is told when there is none."""
        presence = self.row.presence
        if presence is Presence.QUARANTINED or self.row.is_closed or self._is_terminating():
            return self.dead_error()
        if presence is Presence.ASLEEP:
            return SessionAsleep(f"{self.name} is asleep", address=self.name)
        return SessionRestarting(f"{self.name} is restarting", address=self.name)

    def killed_error(self) -> Exception:
        """Return what an asker gets whose message was in hand when the incarnation ended."""
        return SessionCrashed(f"{self.name} ended while it handled the message", address=self.name)

    def timeout_error(self, future: Future[Any]) -> Exception:
        """Return what an asker gets whose time ran out: the reason, if it is known."""
        presence = self.row.presence
        if presence is Presence.RESTARTING:
            return SessionRestarting(f"{self.name} is restarting", address=self.name)
        if presence is Presence.QUARANTINED:
            return self.dead_error()
        return super().timeout_error(future)


class AuditedAddress(SessionAddress):
    """The same, where what is sent must be audited before it waits in line (`audit_required`).

    Args:
        system: as above.
        row: as above.
        addresses: as above.
        gate: has it audited.
    """

    __slots__ = ("_gate",)

    def __init__(self, system: ActorSystem, row: Row, addresses: Addresses, gate: Gate) -> None:
        super().__init__(system, row, addresses)
        self._gate = gate

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer. Never handed off: the sink may take its time."""
        if not self.keeps_mailbox and self._gate.is_for_session(message):
            return self._refused(self.dead_error(), block=block)
        future = super().ask(message, block=False, timeout=timeout)
        return future.answer() if block else future

    def tell(self, message: Any) -> None:
        """Send without expecting an answer. What is not audited becomes a dead letter."""
        if not self.keeps_mailbox and self._gate.is_for_session(message):
            raise self.dead_error()
        super().tell(message)

    def _wait_in_line(self, message: Any, future: Future[Any] | None) -> None:
        wait = super()._wait_in_line
        if not self._gate.is_for_session(message):
            wait(message, future)
            return
        if self._is_terminating() or self.row.presence is Presence.QUARANTINED:
            raise self.dead_error()  # what nobody will take needs no record

        def passed() -> None:
            try:
                wait(message, future)
            except CallboardError as error:
                refused(error)

        def refused(error: CallboardError) -> None:
            if future is not None:
                future.offer_exception(error)
            else:
                why = "not audited" if isinstance(error, AuditError) else "dead"
                self.system.dead_letters.record(message, address=self.name, why=why)

        self._gate.pass_later(message, passed, refused)


class Addresses:
    """Where all sessions of a system are reached. Any thread.

    Args:
        system: whose names they join.
        announce: tells the manager; it may be dead just now.
        gate: has audited what they are sent, before; None: that is not required.
    """

    def __init__(
        self, system: ActorSystem, announce: Callable[[object], object], gate: Gate | None = None
    ) -> None:
        self._system = system
        self._gate = gate
        self.announce = announce
        self._given_up: WeakValueDictionary[Row, SessionAddress] = WeakValueDictionary()
        """Those that somebody may still hold. Nothing but memory depends on when one goes."""

    def of(self, row: Row) -> SessionAddress:
        """Return where a session is reached; made if there is none just now."""
        address = address_of(row)
        if address is None:
            made = self._made(row)
            with self._system.rare:
                address = address_of(row) or self._given_up.setdefault(row, made)
        return address

    def kept(self, row: Row) -> SessionAddress:
        """Return where a session is reached, for somebody who is to live there."""
        address = address_of(row)
        if address is None:
            made = self._made(row)
            with self._system.rare:
                address = address_of(row) or self._given_up.get(row) or made
                self.keep(address)
        return address

    def _made(self, row: Row) -> SessionAddress:
        if self._gate is None:
            return SessionAddress(self._system, row, self)
        return AuditedAddress(self._system, row, self, self._gate)

    def keep(self, address: SessionAddress) -> bool:
        """Keep an address as its row's own; False when nobody will live there any more.

        Under the lock for rare things.
        """
        row = address.row
        if row.address is address:
            return True
        if row.is_closed or not self._system.is_serving:
            address.keeps_mailbox = False
            return False
        address.incarnations = max(address.incarnations, row.incarnation)
        # No call between the two: a kill would come between them.
        self._system.names[address.name] = address
        row.address = address
        # There the row would keep it now, and so itself, for ever: it is the key.
        self._given_up.pop(row, None)
        return True

    def is_awake(self, row: Row) -> bool:
        """Say whether the row's own incarnation lives, and not one that it has left behind."""
        address = address_of(row)
        ref = None if address is None else address.ref
        return ref is not None and not ref.is_dead and ref.incarnation == row.incarnation

    def release(self, row: Row) -> None:
        """Give back the name of a session that is no more, and answer what waits there."""
        with self._system.rare:
            address = address_of(row)
        if address is not None:
            self._system.release(address)

    def give_up(self, row: Row) -> None:
        """Do without the address of a session that sleeps, unless it is wanted. The manager."""
        with self._system.rare:
            address = address_of(row)
            if (
                address is None
                or address.cell is not None
                or address.items is not None
                or address.incarnations != row.incarnation  # one that never began had a number, too
                or row.presence is not Presence.ASLEEP
            ):
                return
            address.is_wanted = False
            self._given_up[row] = address
            row.address = None
            del self._system.names[address.name]


def is_waited_for(row: Row) -> bool:
    """Say whether a message waits for a session."""
    address = address_of(row)
    return address is not None and address.mailbox_size > 0


def address_of(row: Row) -> SessionAddress | None:
    """Return the address that a row has just now; None: nobody lives there, and nothing waits."""
    address = row.address
    assert address is None or isinstance(address, SessionAddress), "see Addresses"
    return address


class ManagerAddress(Address[Any]):
    """Where the manager is reached, but not for a session that would wait for its own end."""

    __slots__ = ()

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer."""
        if block:
            self._refuse_own_end(message)
        return super().ask(message, block=block, timeout=timeout)

    async def ask_async(self, message: Request[R], *, timeout: float | None = None) -> R:
        """Send and await the answer."""
        self._refuse_own_end(message)
        return await super().ask_async(message, timeout=timeout)

    def _refuse_own_end(self, message: object) -> None:
        """Refuse that a handler of a session waits for the end of that session.

        The end waits for the handler. One of several tasks that an `async` handler made may: nobody
        knows whether the handler waits for it.

        Raises:
            AskCycle: it would wait until its time is over.
        """
        if not isinstance(message, TerminateSession):
            return
        runner = local.runner
        cell = None if runner is None else runner.cell
        address = None if cell is None else cell.address
        if cell is None or not isinstance(address, SessionAddress):
            return
        is_own = address.system is self.system and address.row.id == message.session_id
        if not is_own or address.row.is_closed:
            return
        if isinstance(cell.operation, Task) and not cell.operation.is_running():
            return
        said = f"{cell.name} waits for its own end, which waits for what it handles"
        error = AskCycle(said, address=cell.name)
        error.remedy = "End it with self.end(reason), when the handler has returned."
        raise error
