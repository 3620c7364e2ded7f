"""How does a session use its connections? It hands work on, and notes what becomes of them.

Nothing here waits: what lasts is asked of the connection's own actor, and its
answer goes to the asker without the session. Which connections there are to be
stands in the snapshot; `connections.look` has others see to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import msgspec

from callboard.actors.connections.messages import (
    AddMcpClient,
    AttachAgent,
    AttachClient,
    CallTool,
    CancelPrompt,
    DetachAgent,
    DetachClient,
    ListTools,
    Prompt,
    PromptResult,
    RemoveMcpClient,
)
from callboard.actors.connections.ports import CALLS_MAX
from callboard.actors.errors import (
    AgentAttached,
    AgentBusy,
    AgentDied,
    AgentNotAttached,
    DuplicateMcpClient,
    IdempotencyConflict,
    McpCallLost,
    McpClientDown,
    McpClientNotFound,
    PromptRepeated,
    SessionError,
    StoreError,
    TooManyCalls,
)
from callboard.actors.sessions.data import Message, Role, Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.holds import Hold, HoldKind
from callboard.actors.sessions.internal import (
    AgentPacket,
    Heard,
    LinkDown,
    LinkFailed,
    LinkUp,
    Live,
    LogGrew,
    LookLater,
    PromptDone,
    RunPrompt,
    RunTool,
    Said,
    StopPrompt,
    WorkOver,
)
from callboard.actors.sessions.linking import (
    check_replay,
    failed,
    falling_asleep,
    key_of,
    links_of,
    mcp_client,
    waking,
    went_down,
    went_up,
    with_agent,
    with_mcp,
    without,
)
from callboard.actors.sessions.links import AgentInfo, ClientInfo, LinkState, McpClientInfo
from callboard.actors.sessions.naming import link_name
from callboard.actors.sessions.prompted import Prompted, pass_on
from callboard.actors.sessions.states import takes_messages
from callboard.supervision import (
    LATER,
    ActorDeadError,
    ActorKilled,
    DeliveryError,
    Future,
    Later,
    MailboxFull,
    Request,
    SupervisedActor,
    handles,
)

if TYPE_CHECKING:
    from callboard.actors.sessions.spawn import Step
    from callboard.actors.sessions.table import Row

LOOK_LATER_S: Final = 1.0
"""How long a session waits, in seconds, before it has its connections report once more, after the
store has not kept what one of them told."""

OLDEST_SEQ = 1
"""The first message that a log in memory can give: it forgets none."""


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


class WordsLost(msgspec.Struct, frozen=True):
    """An event of the system's hook: what an agent said could not be kept, and is left out.

    Args:
        session_id: whose agent.
        error: the class of the error.
        detail: what is wrong with it.
    """

    log_level: ClassVar[int] = logging.WARNING

    session_id: str
    error: str
    detail: str


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


class LinkedActor(SupervisedActor):
    """The part of a session's actor that has to do with its connections; `SessionActor` is one."""

    _pending: _Pending | None = None
    _looks_later = False
    _down_later: LinkDown | None = None
    _draft: Draft | None = None
    _row: Row
    _services: Any

    # -- what the session's actor itself has ---------------------------------

    def _working(self) -> Draft:
        raise NotImplementedError

    def commit(self) -> None:
        """Keep what this handler has changed so far."""
        raise NotImplementedError

    def _append(
        self, role: Role, content: str, *, client_msg_id: str | None, metadata: Any
    ) -> Message:
        raise NotImplementedError

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

    def _log_grew(self) -> None:
        """Tell the client, if there is one, that there is more to send."""
        client = self._working().session.client
        if client is not None and client.status is LinkState.UP:
            self._tell(client, LogGrew())

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
        work = _Work(hold, self.reply_later(), message, timeout_s, translate)
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

    # -- MCP clients -----------------------------------------------------------

    @handles(AddMcpClient)
    def on_add_mcp_client(self, message: AddMcpClient) -> Later:
        """Have a client opened; reply when it is up."""
        draft, spec = self._working(), message.spec
        known = mcp_client(draft.session, spec.id)
        if known is not None and known.status is not LinkState.FAILED:
            raise DuplicateMcpClient(spec.id)
        self._services.connections.connectors.for_mcp()
        self._touch()
        number, wall_s = draft.next_version, self.system.clock.wall_s()
        self._note(with_mcp(draft.session, spec, number=number, wall_s=wall_s))
        return self._opening(draft.session.mcp_servers[-1])

    def _opening(self, link: McpClientInfo | AgentInfo) -> Later:
        self.commit()  # before anybody looks at what is to run
        hold = self._working().hold(HoldKind.WORK)
        self._pend().opening[key_of(link)] = _Opening(hold, self.reply_later())
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

    @handles(RemoveMcpClient)
    def on_remove_mcp_client(self, message: RemoveMcpClient) -> None:
        """Have a client closed."""
        self._take_away(self._mcp(message.client_id))

    def _mcp(self, client_id: str) -> McpClientInfo:
        found = mcp_client(self._working().session, client_id)
        if found is None:
            raise McpClientNotFound(client_id)
        return found

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

    @handles(CallTool)
    def on_call_tool(self, message: CallTool) -> Later:
        """Have a tool run; the connection replies."""
        work = RunTool(message.name, message.arguments, message.timeout_s)
        return self._use_mcp(message.client_id, work)

    @handles(ListTools)
    def on_list_tools(self, message: ListTools) -> Later:
        """Have a server asked for its tools; the connection replies."""
        return self._use_mcp(message.client_id, RunTool(None, {}, message.timeout_s))

    def _use_mcp(self, client_id: str, work: RunTool) -> Later:
        link = self._mcp(client_id)
        if link.status not in {LinkState.STARTING, LinkState.UP}:
            raise McpClientDown(client_id, link.status, detail=link.error or "")
        self._touch()
        return self._hand_on(link, work, work.timeout_s, partial(_mcp_error, client_id))

    # -- the agent ---------------------------------------------------------------

    @handles(AttachAgent)
    def on_attach_agent(self, message: AttachAgent) -> Later:
        """Have an agent started; reply the snapshot when it is up."""
        draft = self._working()
        agent = draft.session.agent
        if agent is not None and agent.status is not LinkState.FAILED:
            msg = f"the session has an agent, which is {agent.status}"
            raise AgentAttached(msg)
        self._services.connections.connectors.for_agent(message.spec.kind)
        self._touch()
        changes = with_agent(
            message.spec,
            agent_session_id=message.agent_session_id,
            number=draft.next_version,
            wall_s=self.system.clock.wall_s(),
        )
        self._note(changes)
        return self._opening(self._agent())

    def _agent(self) -> AgentInfo:
        agent = self._working().session.agent
        if agent is None:
            raise AgentNotAttached("the session has no agent")
        return agent

    @handles(DetachAgent)
    def on_detach_agent(self, message: DetachAgent) -> Session:
        """Have the agent ended."""
        del message
        self._take_away(self._agent())
        return self._working().session

    @handles(Prompt)
    def on_prompt(self, message: Prompt) -> Later:
        """Have the agent work; it replies through the log."""
        key = message.client_msg_id
        known = None if key is None else self._working().log.find(key)
        if known is not None:
            return self._prompt_again(message, known)
        agent = self._agent()
        if agent.is_busy:
            raise AgentBusy("the agent works on another prompt")
        if agent.status not in {LinkState.STARTING, LinkState.UP}:
            raise AgentDied(detail=agent.error or agent.status)
        self._append(
            Role.USER, message.content, client_msg_id=message.client_msg_id, metadata=EMPTY
        )
        self._note({"agent": msgspec.structs.replace(agent, is_busy=True)})
        work = RunPrompt(message.content, message.blocks, message.timeout_s)
        # The connection has the last word on the time: its own end is to be heard, too.
        later = self._hand_on(agent, work, message.timeout_s + _OUTLAST_S, _agent_error)
        self._pend().prompted.begin(key, self.reply_later(outlives=True))
        return later

    def _prompt_again(self, message: Prompt, known: Message) -> Later:
        """Reply what the first asker of a prompt was told, or will be."""
        key = known.client_msg_id
        assert key is not None, "it was found by it"
        said = (Role.USER, message.content, EMPTY)
        if (known.role, known.content, known.metadata) != said:
            raise IdempotencyConflict("client_msg_id", key)
        reply = self._pend().prompted.find(key)
        if reply is None:
            raise PromptRepeated(key, seq=known.seq)
        pass_on(reply, self.reply_later())
        return LATER

    @handles(CancelPrompt)
    def on_cancel_prompt(self, message: CancelPrompt) -> Later:
        """Have the agent stop; the connection replies when it has."""
        work = StopPrompt(message.grace_s)
        return self._hand_on(self._agent(), work, message.grace_s + _OUTLAST_S, _agent_error)

    @handles(AgentPacket)
    def on_agent_packet(self, message: AgentPacket) -> None:
        """Append what the agent has said, show it to the client, and say that it was heard."""
        draft = self._working()
        agent = draft.session.agent
        if agent is None or key_of(agent) != message.key:
            settle(message.done, draft.session.last_seq)
            return
        # Told again, since it looked while the ack was on its way: a client has its updates. But it
        # has also reported that it is at work, as it is until it has the ack.
        is_known = message.number == self._pend().heard
        live: list[Live] = []
        if takes_messages(draft.session.state) and not is_known:
            live = self._take_in(message)
        if message.done is not None and agent.is_busy:
            self._note({"agent": msgspec.structs.replace(agent, is_busy=False)})
        if not self._is_kept():
            return
        self._pend().heard = message.number
        client = draft.session.client
        if client is not None and client.status is LinkState.UP:
            for each in live:
                self._tell(client, each)
        settle(message.done, draft.session.last_seq)
        repeated = self._pend().prompted.current
        if message.done is not None and repeated is not None:  # its asker may have left by now
            done = msgspec.structs.replace(message.done, reply=repeated)
            settle(done, draft.session.last_seq)
        self._tell(agent, Heard(message.number))

    def _take_in(self, packet: AgentPacket) -> list[Live]:
        live: list[Live] = []
        for place, item in enumerate(packet.items):
            if isinstance(item, Said):
                # One that comes again, since its ack was lost, is known by its key.
                key, role = f"{packet.number}/{place}", item.role
                try:
                    self._append(role, item.content, client_msg_id=key, metadata=item.metadata)
                except SessionError as error:  # to tell it again would change nothing
                    self.system.emit(WordsLost(self._row.id, type(error).__name__, str(error)))
            else:
                live.append(Live(self._working().session.last_seq, (item,)))
        return live

    # -- who follows -----------------------------------------------------------

    @handles(AttachClient)
    def on_attach_client(self, message: AttachClient) -> ClientInfo:
        """Send a client what it has missed and what comes; one that was there is closed."""
        draft = self._working()
        session = draft.session
        check_replay(message.after_seq, oldest_seq=OLDEST_SEQ, last_seq=session.last_seq)
        self._touch()
        number = draft.next_version
        info = ClientInfo(
            kind=message.kind,
            peer=message.peer,
            attached_at=self.system.clock.wall_s(),
            acked_seq=message.after_seq,
            number=number,
        )
        self._services.connections.attach(self._row.id, number, message.sink, message.after_seq)
        self._note({"client": info})
        try:
            self.commit()
        except StoreError:
            self._services.connections.claim(self._row, number)
            raise
        self._look()
        return info

    @handles(DetachClient)
    def on_detach_client(self, message: DetachClient) -> None:
        """Have the client closed; harmless when there is none."""
        del message
        client = self._working().session.client
        if client is not None:
            self._take_away(client)

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


_OUTLAST_S = 5.0
"""How much longer than an agent's time the ask of its connection lasts, in seconds."""


def settle(done: PromptDone | None, last_seq: int) -> None:
    """Tell who waits for a prompt what became of it, when the log has all of it. Any thread."""
    if done is None:
        return
    if done.error is None:
        done.reply.offer(PromptResult(stop_reason=done.stop_reason, last_seq=last_seq))
    else:
        done.reply.offer_exception(done.error)


def _mcp_error(client_id: str, error: BaseException) -> BaseException:
    """Say in a caller's words what became of a call whose connection has not answered."""
    match error:
        case MailboxFull():
            return TooManyCalls(client_id, error.mailbox_max)
        case ActorKilled():
            return McpCallLost(client_id, LinkState.DOWN)
        case DeliveryError():
            return McpClientDown(client_id, LinkState.DOWN)
        case _:
            return error


def _agent_error(error: BaseException) -> BaseException:
    return AgentDied(detail=str(error)) if isinstance(error, DeliveryError) else error
