"""What have all connections of a session in common? Each is a supervised actor with one owner task.

The actor never waits: the loop tells it what has happened, by messages. When its
connection dies it ends, abnormally, and its supervisor starts the next after a
delay. The session learns by message, and goes on meanwhile.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, Generic, NoReturn, TypeVar, cast

import msgspec

from callboard.actors.connections.owner import Connection, Died, NotOpened, Opened, Owner, Work
from callboard.actors.connections.switchboard import Switchboard
from callboard.actors.errors import SessionError
from callboard.actors.secrets import SecretRef, Vault
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.internal import LinkDown, LinkUp
from callboard.actors.sessions.linking import Link, links_of
from callboard.actors.sessions.links import AgentSpec, McpSpec, secrets_of
from callboard.actors.sessions.table import Row
from callboard.supervision import ExitReason, SupervisedActor, handles
from callboard.supervision.model.reasons import is_abnormal
from callboard.supervision.runtime.notices import Notice

C = TypeVar("C", bound=Connection)
L = TypeVar("L", bound=Link)

SHUTDOWN_S: Final = 6.0
"""How long a connection's actor may take to stop, in seconds: `CLOSE_S` to close, then to kill."""

DETAIL_CHARS_MAX: Final = 1_000
"""How much of what a connection says of its end is kept."""


class Begin(Notice, frozen=True):
    """To oneself: open the connection."""


class Report(Notice, frozen=True):
    """To a connection: tell the session how you are."""


class LinkLost(Exception):
    """Ends the actor of a connection that has died, so that another one is started."""


class WorkDone(Notice, frozen=True):
    """To oneself: what was run on the loop is over."""

    number: int
    result: Any
    error: BaseException | None


class TimeIsUp(Notice, frozen=True):
    """To oneself: something has taken too long."""

    number: int


class LinkActor(SupervisedActor, Generic[C, L]):
    """One connection of a session.

    Args:
        switchboard: what the connections share.
        row: the session's place in the table.
        key: which of its connections this is.
    """

    link_type: ClassVar[type[Any]]
    """What stands of it in the snapshot."""

    _owner: Owner[C] | None = None
    _connection: C | None = None
    _has_told = False

    def __init__(self, switchboard: Switchboard, row: Row, key: str) -> None:
        super().__init__()
        self.switchboard = switchboard
        self.row = row
        self.key = key
        self._vault = Vault(switchboard.secrets)

    # -- life --------------------------------------------------------------

    def on_start(self) -> None:
        """Be up at once: the opening is no part of the start."""
        self.continue_with(Begin())

    @handles(Begin)
    def on_begin(self, message: Begin) -> None:
        """Open the connection, unless the session wants it no more."""
        del message
        link = links_of(self.row.latest().session).get(self.key)
        if not isinstance(link, self.link_type):
            self.stop()
            return
        mine: Any = link  # of the type that was just looked for
        try:
            opens = self.opens(mine)
        except Exception as error:  # noqa: BLE001 -- named edge: a port's foreign code; it ends us
            # A refusal is in our own words: a secret that is not known, for one.
            lost: Exception = self.refusal(error) or self.not_opened(self.said(error))
        else:
            self._owner = Owner(self.system, opens, self.actor_ref.notify)
            self._owner.begin()
            return
        self.lose(lost)

    @abstractmethod
    def opens(self, link: L) -> Callable[[], Awaitable[C]]:
        """Return what opens the connection. It may block: secrets are looked up here."""

    def secrets_for(self, spec: McpSpec | AgentSpec) -> dict[str, str]:
        """Look up the secrets that a spec names."""
        return {each.name: self._vault.resolve(SecretRef(each.name)) for each in secrets_of(spec)}

    def said(self, what: object) -> str:
        """Return what somebody said as a text that may be kept: bounded, without secrets."""
        inner = _innermost(what)
        return (self._vault.said(inner) or type(inner).__name__)[:DETAIL_CHARS_MAX]

    def refusal(self, error: BaseException) -> SessionError | None:
        """Return what foreign code has refused, in its own words, if no secret is in them."""
        return self._vault.refusal(error)

    @handles(Opened)
    def on_opened(self, message: Opened) -> None:
        """Go on: the connection is there."""
        self._connection = message.connection
        self.opened(message.connection)

    @abstractmethod
    def opened(self, connection: C) -> None:
        """Do what follows when the connection is there."""

    @handles(NotOpened)
    def on_not_opened(self, message: NotOpened) -> None:
        """End: it could not be opened."""
        self.lose(self.not_opened(self.said(message.error)))

    @handles(Died)
    def on_died(self, message: Died) -> None:
        """End: it has died."""
        self.gone(self.died(message.why))

    def gone(self, error: Exception) -> None:
        """End, now that the other side has: as a failure, so that the next one is started.

        Raises:
            LinkLost: always, unless a subclass takes it as an ordinary end.
        """
        self.lose(error)

    @abstractmethod
    def not_opened(self, detail: str) -> Exception:
        """Return what the session is told when the connection could not be opened."""

    @abstractmethod
    def died(self, why: object) -> Exception:
        """Return what the session is told when the connection has died."""

    def lose(self, error: Exception) -> NoReturn:
        """Tell everybody that this connection is gone, and end.

        Raises:
            LinkLost: always.
        """
        self._connection = None
        self.fail_work(error)
        self.tell_down(error)
        msg = self.said(error)
        raise LinkLost(msg) from None

    def fail_work(self, error: Exception) -> None:
        """Answer everybody whose work is lost with the connection."""

    def tell_down(self, error: Exception) -> None:
        """Tell the session, once."""
        if not self._has_told:
            self._has_told = True
            down = LinkDown(self.key, error, self.acked_seq)
            self.tell_session(down)
            self.switchboard.went_down(self.row, down)

    def tell_up(self, changes: Mapping[str, Any] = EMPTY) -> None:
        """Tell the session, and its spawn if that waits, that this can be used."""
        up = LinkUp(self.key, self.incarnation - 1, changes)
        self.tell_session(up)
        self.switchboard.came_up(self.row, up)

    @property
    def acked_seq(self) -> int:
        """Number of the last message that the other side has; of a client."""
        return 0

    def tell_session(self, notice: object) -> None:
        """Tell the session's next free incarnation."""
        self.switchboard.addresses.of(self.row).notify(notice)

    def run(self, number: int, make: Callable[[], Any]) -> Work[Any]:
        """Run a coroutine on the loop; `WorkDone` says how it ended."""
        notify = self.actor_ref.notify

        def over(result: Any, error: BaseException | None) -> None:
            notify(WorkDone(number, result, error))

        return Work(self.system, make, over)

    async def terminate(self, reason: ExitReason) -> None:
        """Close the connection, within `CLOSE_S`; then it is killed."""
        del reason
        self.fail_work(self.died("it was closed"))
        if self._owner is not None:
            self._owner.end()
            await self._owner.over

    def let_go(self, reason: ExitReason) -> None:
        """See that nothing is left, however this ended, and that the session hears of it."""
        super().let_go(reason)
        error = self.died(str(reason))
        self.fail_work(error)
        if self._owner is not None and not self._owner.over.is_done:
            self._owner.end()
        if is_abnormal(reason):
            self.tell_down(error)


def _innermost(what: Any) -> object:
    """Return the first exception that is no group: SDKs upon task groups raise nested ones."""
    while isinstance(what, BaseExceptionGroup):
        what = cast("Any", what).exceptions[0]
    return cast("object", what)


class Numbered(msgspec.Struct):
    """Counts what is run, so that what comes late is known."""

    last: int = 0

    def next(self) -> int:
        """Return a number that none had before."""
        self.last += 1
        return self.last
