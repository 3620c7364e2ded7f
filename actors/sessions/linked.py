"""How does a session use its connections? It hands work on, and notes what becomes of them.

Nothing here waits: what lasts is asked of the connection's own actor, and its
answer goes to the asker without the session. Which connections there are to be
stands in the snapshot; `connections.look` has others see to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from callboard.actors.errors import (
    AgentDied,
    McpClientDown,
    StoreError,
)
from callboard.actors.link_messages import CALLS_MAX
from callboard.actors.sessions.committing import CommittingActor, D
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.holds import Hold, HoldKind
from callboard.actors.sessions.internal import (
    LinkDown,
    LinkFailed,
    LinkUp,
    LookLater,
    RunPrompt,
    WorkOver,
)
from callboard.actors.sessions.linking import (
    failed,
    falling_asleep,
    key_of,
    links_of,
    waking,
    went_down,
    went_up,
    without,
)
from callboard.actors.sessions.links import AgentInfo, ClientInfo, LinkState, McpClientInfo
from callboard.actors.sessions.naming import link_name
from callboard.actors.sessions.prompted import Prompted
from callboard.actors.sessions.states import takes_messages
from callboard.supervision import (
    LATER,
    ActorDeadError,
    Future,
    Later,
    MailboxFull,
    Request,
    handles,
)

if TYPE_CHECKING:
    from callboard.actors.sessions.spawn import Step
    from callboard.actors.sessions.table import Row

LOOK_LATER_S: Final = 1.0
"""How long a session waits, in seconds, before it has its connections report once more, after the
store has not kept what one of them told."""


class Connections(Protocol):
    """What sees to it that the connections run which the snapshots name."""

    connectors: Any

    def look(self, row: Row) -> None:
        """Have the session's connections be as its row says, and have them report."""
        ...

    def plan(self, session: Session) -> tuple[Step, ...]:
        """Return what a session that has connections needs, and what is undone at its end."""
        ...

    def attach(self, session_id: str, number: int, sink: object, after_seq: int) -> None:
        """Keep a client's sink until its connection has ended."""
        ...

    def claim(self, row: Row, number: int) -> object:
        """Take a client's sink back."""
        ...


class _Work(msgspec.Struct, frozen=True, eq=False):
    """Something for a connection, that may wait for it to be opened.

    Args:
        hold: keeps the session from sleep and expiry meanwhile.
        reply: whom to answer.
        message: what is asked of the connection.
        timeout_s: how long it may take.
        translate: says in the asker's words what became of it.
    """

    hold: Hold
    reply: Future[Any]
    message: Request[Any]
    timeout_s: float
    translate: Callable[[BaseException], BaseException]


class _Opening(msgspec.Struct, frozen=True, eq=False):
    """A connection that somebody waits for.

    Args:
        hold: keeps the session from sleep and expiry until he is answered.
        reply: whom to answer.
    """

    hold: Hold
    reply: Future[Any]


class _Pending:
    """What one incarnation will hand on, who waits for what, and what it has heard."""

    __slots__ = ("heard", "opening", "prompted", "waiting")

    def __init__(self) -> None:
        self.heard: str | None = None
        """Number of the agent's last packet that is kept."""
        self.opening: dict[str, _Opening] = {}
        """Key of a connection that is being opened -> who waits for it."""
        self.prompted = Prompted()
        self.waiting: dict[str, list[_Work]] = {}
        """Key of a connection that is being opened -> what it is to do then."""


class LinkedActor(CommittingActor[D]):
    """The part of a session's actor that all kinds of connections have in common."""

    _pending: _Pending | None = None
    _looks_later = False
    _down_later: LinkDown | None = None

    # -- what it asks of this part -------------------------------------------

    def _wake_links(self) -> None:
        """Have opened again what ended when the session fell asleep. Before the first commit."""
        draft = self._working()
        if takes_messages(draft.session.state):
            self._note(waking(draft.session, wall_s=self.system.clock.wall_s()))

    def _let_links_sleep(self) -> None:
        """Note that what runs ends now: the session falls asleep."""
        session = self._working().session
        self._note(falling_asleep(session, wall_s=self.system.clock.wall_s()))

    def _look(self) -> None:
        self._services.connections.look(self._row)

    def _is_kept(self) -> bool:
        """Keep what a connection has told; if the store refuses that, have it told once more."""
        try:
            self.commit()
        except StoreError:
            if not self._looks_later:
                self._looks_later = True
                self.send_after(LOOK_LATER_S, LookLater())
            return False
        return True

    @handles(LookLater)
    def on_look_later(self, message: LookLater) -> None:
        """Have the connections report: what one of them told was not kept."""
        del message
        self._looks_later = False
        down, self._down_later = self._down_later, None
        if down is not None:
            self.on_link_down(down)
        self._look()

    def _note(self, changes: dict[str, object]) -> bool:
        if changes:
            self._working().enter(changes)
        return bool(changes)

    def _touch(self) -> None:
        clock = self.system.clock
        self._working().touch(wall_s=clock.wall_s(), now_s=clock.now_s())

    def _pend(self) -> _Pending:
        pending = self._pending
        if pending is None:
            pending = self._pending = _Pending()
        return pending

    # -- handing on ----------------------------------------------------------

    def _tell(self, link: McpClientInfo | AgentInfo | ClientInfo, notice: object) -> None:
        address = self.system.lookup(link_name(self._row.id, key_of(link)))
        if address is not None:
            address.notify(notice)

    def _hand_on(
        self,
        link: McpClientInfo | AgentInfo,
        message: Request[Any],
        timeout_s: float,
        translate: Callable[[BaseException], BaseException],
    ) -> Later:
        """Ask a connection, when it is open; its answer goes straight to our asker."""
        key = key_of(link)
        waiting = self._pend().waiting.setdefault(key, [])
        if len(waiting) >= CALLS_MAX:
            raise translate(MailboxFull(CALLS_MAX, unsent=message, address=key))
        self.commit()  # before it has an effect
        hold = self._working().hold(HoldKind.WORK)
        work = _Work(hold, self._asker(), message, timeout_s, translate)
        if link.status is LinkState.STARTING:
            waiting.append(work)
        else:
            self._begin(key, work)
        return LATER

    def _begin(self, key: str, work: _Work) -> None:
        outer, translate, mine = work.reply, work.translate, self.actor_ref
        address = self.system.lookup(link_name(self._row.id, key))
        cell = None if address is None else address.ref
        if cell is None or cell.is_dead:
            outer.offer_exception(translate(ActorDeadError("it does not run", address=key)))
            work.hold.release()
            return
        left_s = work.timeout_s
        if outer.deadline_s is not None:
            left_s = max(0.0, min(left_s, outer.deadline_s - self.system.dispatcher.now_s()))
        mine.forget_bond(outer)  # from now on it is answered whatever becomes of us
        inner = cell.ask(work.message, block=False, timeout=left_s)

        def over() -> None:
            error = inner.error
            if error is None:
                outer.offer(inner.get())
            else:
                outer.offer_exception(translate(error))
            mine.notify(WorkOver(work.hold))

        inner.when_done(over)

    def _fail_waiting(self, key: str, error: Exception) -> None:
        for work in self._pend().waiting.pop(key, ()):
            work.hold.release()
            work.reply.offer_exception(work.translate(error))

    @handles(WorkOver)
    def on_work_over(self, message: WorkOver) -> None:
        """Be held by it no longer; the idle time begins now."""
        message.hold.release()
        self._row.heard_s = self.system.clock.now_s()

    # -- opening and taking away -------------------------------------------

    def _opening(self, link: McpClientInfo | AgentInfo) -> Later:
        self.commit()  # before anybody looks at what is to run
        hold = self._working().hold(HoldKind.WORK)
        self._pend().opening[key_of(link)] = _Opening(hold, self._asker())
        self._look()
        return LATER

    def _opened(self, key: str) -> Future[Any] | None:
        """Return who waits for a connection, if anybody does, to be answered now."""
        opening = self._pend().opening.pop(key, None)
        if opening is None:
            return None
        opening.hold.release()
        self._row.heard_s = self.system.clock.now_s()  # the idle time begins now
        return opening.reply

    def _end_links(self, error: Exception) -> None:
        """Answer whoever waits for a connection to be opened: the session ends, in order."""
        pending = self._pending
        if pending is None:
            return
        for key in [*pending.opening, *pending.waiting]:
            opening = self._opened(key)
            if opening is not None:
                opening.offer_exception(error)
            for work in pending.waiting.pop(key, ()):
                work.hold.release()
                work.reply.offer_exception(error)

    def _take_away(self, link: McpClientInfo | AgentInfo | ClientInfo) -> None:
        key = key_of(link)
        self._touch()
        self._note(without(self._working().session, key))
        self.commit()
        self._look()
        gone: Exception = AgentDied(detail="it was detached")
        if isinstance(link, McpClientInfo):
            gone = McpClientDown(link.id, "removed")
        opening = self._opened(key)
        if opening is not None:
            opening.offer_exception(gone)
        self._fail_waiting(key, gone)

    # -- what it learns ----------------------------------------------------------

    @handles(LinkUp)
    def on_link_up(self, message: LinkUp) -> None:
        """Note that a connection can be used; tell who waits for that, begin what waits for it."""
        draft = self._working()
        if not takes_messages(draft.session.state):
            return
        pending = self._pend()
        waiting = pending.waiting.get(message.key, [])
        changes = dict(message.changes)
        if any(isinstance(work.message, RunPrompt) for work in waiting):
            changes["is_busy"] = True
        self._note(
            went_up(
                draft.session,
                message.key,
                restarts=message.restarts,
                changes=changes,
                wall_s=self.system.clock.wall_s(),
            )
        )
        if not self._is_kept():
            return
        pending.waiting.pop(message.key, None)
        opening = self._opened(message.key)
        link = links_of(draft.session).get(message.key)
        if opening is not None and link is not None:
            opening.offer(link if isinstance(link, McpClientInfo) else draft.session)
        for work in waiting:
            self._begin(message.key, work)

    @handles(LinkDown)
    def on_link_down(self, message: LinkDown) -> None:
        """Note that a connection has died; one that was never up goes, and its asker hears why."""
        session = self._working().session
        if not takes_messages(session.state):
            return
        if message.key in self._pend().opening:
            changes = without(session, message.key)
        else:
            changes = went_down(
                session,
                message.key,
                error=str(message.error),
                acked_seq=message.acked_seq,
                wall_s=self.system.clock.wall_s(),
            )
        link = links_of(session).get(message.key)
        self._note(changes)
        if not self._is_kept():
            if isinstance(link, ClientInfo):  # it has gone for good, and cannot report
                self._tell_later(message)
            return
        self._look()  # it may have been the last
        opening = self._opened(message.key)
        if opening is not None:
            opening.offer_exception(message.error)
        self._fail_waiting(message.key, message.error)

    def _tell_later(self, down: LinkDown) -> None:
        """Keep what a client has told last; its supervisor, who tells it too, knows less."""
        known = self._down_later
        if known is None or known.key != down.key or known.acked_seq < down.acked_seq:
            self._down_later = down

    @handles(LinkFailed)
    def on_link_failed(self, message: LinkFailed) -> None:
        """Note that a connection is not opened any more."""
        session = self._working().session
        if takes_messages(session.state):
            self._note(failed(session, message.key, wall_s=self.system.clock.wall_s()))
            if self._is_kept():
                self._look()  # it may have been the last
