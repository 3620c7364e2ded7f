"""The agent of a session: one prompt at a time, and what it says reaches the log in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec

from callboard.actors.connections.actor import LinkActor, Numbered, Report, TimeIsUp, WorkDone
from callboard.actors.connections.chunks import INTERRUPTED, Chunks
from callboard.actors.connections.hearing import heard, is_id, structure
from callboard.actors.connections.ports import UPDATES_MAX, AgentConnection, AgentEnd, AgentUpdate
from callboard.actors.connections.switchboard import Switchboard
from callboard.actors.errors import (
    AgentBusy,
    AgentDied,
    AgentTimeout,
    PromptFailed,
    PromptTimeout,
    SpawnError,
)
from callboard.actors.link_messages import CANCEL_S, CONNECT_S, LOAD_S
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.internal import (
    AgentPacket,
    Heard,
    PromptDone,
    RunPrompt,
    StopPrompt,
)
from callboard.actors.sessions.links import AgentInfo, AgentMemory
from callboard.actors.sessions.prompting import settle
from callboard.actors.sessions.table import Row
from callboard.supervision import LATER, ExitReason, Future, Later, handles
from callboard.supervision.runtime.notices import Notice
from callboard.supervision.runtime.timers import Timer

CANCELLED = "cancelled"
"""Why an agent has stopped that was told to, and did or was killed."""


class Overheard(Notice, frozen=True):
    """To oneself: the agent has said something."""


class StopLate(Notice, frozen=True):
    """To oneself: the agent has not stopped in time."""

    number: int


class _Conversation(msgspec.Struct, frozen=True):
    """What the agent calls the conversation, and what it knows of it."""

    agent_session_id: str
    memory: AgentMemory


class _Prompt:
    """The prompt that the agent works on."""

    __slots__ = ("grace", "message", "number", "reply", "stoppers", "timer")

    def __init__(self, number: int, message: RunPrompt, reply: Future[Any], timer: Timer) -> None:
        self.number = number
        self.message = message
        self.reply = reply
        self.timer = timer
        """Ends its time, until the session has heard what became of it."""
        self.grace: Timer | None = None
        """Ends the time in which the agent is to stop, once it was told to."""
        self.stoppers: list[Future[Any]] = []
        """Who waits for its end, since they want it."""


class AgentActor(LinkActor[AgentConnection, AgentInfo]):
    """One agent."""

    link_type: ClassVar[type[Any]] = AgentInfo

    def __init__(self, switchboard: Switchboard, row: Row, key: str) -> None:
        super().__init__(switchboard, row, key)
        self._numbers = Numbered()
        self._info: AgentInfo | None = None
        self._conversation: _Conversation | None = None
        self._preparing = 0
        self._timer: Timer | None = None
        self._prompt: _Prompt | None = None
        self._unheard: _Prompt | None = None
        """The last one, when it is over and the session has not said that it heard so."""
        self._heard_on_loop: deque[AgentUpdate] = deque()
        """What the loop has put there; the loop appends, this actor takes."""
        self._chunks = Chunks(1)
        self._items: list[Any] = []
        """What the session has not been sent yet."""
        self._done: PromptDone | None = None
        self._packet: AgentPacket | None = None
        """What it was sent, and has not said that it heard."""

    # -- becoming of use ---------------------------------------------------

    def opens(self, link: AgentInfo) -> Callable[[], Awaitable[AgentConnection]]:
        """Return what starts the agent."""
        self._info = link
        self._life = self.system.ids.new_id()
        self._chunks = Chunks(self.switchboard.limits.content_bytes_max)
        connector = self.switchboard.connectors.for_agent(link.kind)
        spec, secrets = link.spec, self.secrets_for(link.spec)
        if spec.cwd is None:
            spec = msgspec.structs.replace(spec, cwd=self.row.latest().session.workspace)
        self._cwd = spec.cwd
        self._timer = self.send_after(CONNECT_S, TimeIsUp(self._numbers.next()))
        return lambda: connector.start(spec, secrets)

    def opened(self, connection: AgentConnection) -> None:
        """Have it begin a conversation, or go on with the one there was."""
        assert self._info is not None
        known, cwd = self._info.agent_session_id, self._cwd
        if self._timer is not None:
            self._timer.cancel()
        self._preparing = self._numbers.next()
        self._timer = self.send_after(LOAD_S, TimeIsUp(self._preparing))
        self.run(self._preparing, lambda: _converse(connection, known, cwd))

    def _ready(self, conversation: _Conversation) -> None:
        if not is_id(conversation.agent_session_id, self.switchboard.limits):
            self.lose(self.not_opened("the id that it gives its conversation is none"))
        self._conversation = conversation
        if self._timer is not None:
            self._timer.cancel()
        self.on_report(Report())

    @handles(Report)
    def on_report(self, message: Report) -> None:
        """Tell the session that this can be used, if it can; tell again what was not heard."""
        del message
        connection, conversation = self._connection, self._conversation
        if connection is None or conversation is None:
            return
        hello = connection.hello
        changes = {
            "pid": hello.pid if isinstance(hello.pid, int) else None,
            "agent_session_id": conversation.agent_session_id,
            "capabilities": structure(hello.capabilities, self.switchboard.limits),
            "can_load": bool(hello.can_load),
            "can_resume": bool(hello.can_resume),
            "memory": conversation.memory,
            "is_busy": self._is_busy,
        }
        self.tell_up(changes)
        if self._packet is not None:
            self.tell_session(self._packet)

    @property
    def _is_busy(self) -> bool:
        """Whether the session is still to hear of a prompt."""
        return self._prompt is not None or self._unheard is not None

    def not_opened(self, detail: str) -> Exception:
        """Return what the session is told when the agent did not start."""
        return SpawnError(f"the agent did not start: {detail}")

    def died(self, why: object) -> Exception:
        """Return what the session is told when the agent has gone."""
        if isinstance(why, AgentEnd):
            return AgentDied(
                why.returncode, self.said(why.stderr_tail or " "), detail=self.said(why.detail)
            )
        return AgentDied(detail=self.said(why))

    # -- a prompt ----------------------------------------------------------

    @handles(RunPrompt)
    def on_run_prompt(self, message: RunPrompt) -> Later:
        """Have the agent work; the answer goes by the session, behind all that was said."""
        if self._is_busy:
            raise AgentBusy("the agent works on another prompt")
        if self._conversation is None:
            raise AgentDied(detail="it is being started")
        number = self._numbers.next()
        timer = self.send_after(message.timeout_s, TimeIsUp(number))
        self._prompt = _Prompt(number, message, self.reply_later(outlives=True), timer)
        self._begin(self._prompt)
        return LATER

    def _begin(self, prompt: _Prompt) -> None:
        connection, conversation, message = self._connection, self._conversation, prompt.message
        assert connection is not None
        assert conversation is not None
        waiting, notify = self._heard_on_loop, self.actor_ref.notify
        limits = self.switchboard.limits

        def on_update(update: AgentUpdate) -> None:
            # On the loop, where its sender cannot change it meanwhile. (1) append (2) is it the
            # only one? tell: whoever takes them goes on until he finds none, so that what comes
            # meanwhile is taken along.
            waiting.append(heard(update, limits))
            if len(waiting) == 1 or len(waiting) > UPDATES_MAX:
                notify(Overheard())

        self.run(
            prompt.number,
            lambda: connection.prompt(
                conversation.agent_session_id, message.content, message.blocks, on_update
            ),
        )

    @handles(Overheard)
    def on_overheard(self, message: Overheard) -> None:
        """Take what the agent has said, and send it on when the session has heard the last."""
        del message
        waiting = self._heard_on_loop
        if len(waiting) + len(self._items) > UPDATES_MAX:
            self.lose(AgentDied(detail=f"it says more than is heard ({UPDATES_MAX} updates)"))
        while waiting:
            update = waiting.popleft()
            self._items += self._chunks.add(update)
            self._items.append(update)
        self._send()

    def _send(self) -> None:
        if self._packet is not None or not (self._items or self._done):
            return
        number = f"agent/{self._life}/{self._numbers.next()}"
        packet = self._packet = AgentPacket(self.key, number, tuple(self._items), self._done)
        self._items, self._done = [], None
        self.tell_session(packet)

    @handles(Heard)
    def on_heard(self, message: Heard) -> None:
        """Send what has come since."""
        packet = self._packet
        if packet is None or packet.number != message.number:
            return
        self._packet = None
        if packet.done is not None and self._unheard is not None:
            self._unheard.timer.cancel()
            self._unheard = None
        self._send()

    @handles(WorkDone)
    def on_work_done(self, message: WorkDone) -> None:
        """Go on: the agent has stopped, or its conversation is there."""
        if message.number == self._preparing:
            if message.error is not None:
                self.lose(self.not_opened(self.said(message.error)))
            self._ready(message.result)
            return
        prompt = self._prompt
        if prompt is None or prompt.number != message.number:
            return  # of a cancel, which has no more to say
        error = message.error
        if error is None:
            self._end_prompt(self.said(message.result))
            return
        failed = PromptFailed(f"{type(error).__name__}: {self.said(error)}")
        self._end_prompt(error=self.refusal(error) or failed)

    def _end_prompt(self, stop_reason: str = "", *, error: Exception | None = None) -> None:
        """Let the session have the rest, and the asker his answer behind it."""
        prompt, self._prompt = self._prompt, None
        if prompt is None:
            return
        self._unheard = prompt
        if prompt.grace is not None:
            prompt.grace.cancel()
        waiting = self._heard_on_loop
        while waiting:
            self._items += self._chunks.add(waiting.popleft())
        self._items += self._chunks.finish(EMPTY if error is None else INTERRUPTED)
        self._done = PromptDone(prompt.reply, stop_reason, error)
        self._send()
        for each in prompt.stoppers:
            each.offer(True)

    # -- stopping it -------------------------------------------------------

    @handles(StopPrompt)
    def on_stop_prompt(self, message: StopPrompt) -> bool | Later:
        """Tell the agent to stop; reply when it has."""
        prompt = self._prompt
        if prompt is None:
            return False
        prompt.stoppers.append(self.reply_later(outlives=True))
        self._stop_prompt(prompt, message.grace_s)
        return LATER

    def _stop_prompt(self, prompt: _Prompt, grace_s: float) -> None:
        connection, conversation = self._connection, self._conversation
        assert connection is not None
        assert conversation is not None
        if prompt.grace is not None:
            prompt.grace.cancel()
        prompt.grace = self.send_after(grace_s, StopLate(prompt.number))
        agent_session_id = conversation.agent_session_id
        self.run(self._numbers.next(), lambda: connection.cancel(agent_session_id))

    @handles(TimeIsUp)
    def on_time_is_up(self, message: TimeIsUp) -> None:
        """Give up what has taken too long: the start, the conversation, or a prompt."""
        if self._conversation is None:
            if self._connection is None:
                self.lose(AgentTimeout("start", CONNECT_S))
            self.lose(AgentTimeout("begin or load its conversation", LOAD_S))
        for prompt in (self._prompt, self._unheard):
            if prompt is not None and prompt.number == message.number:
                prompt.reply.offer_exception(PromptTimeout(prompt.message.timeout_s))
                if prompt is self._prompt and prompt.grace is None:
                    self._stop_prompt(prompt, CANCEL_S)

    @handles(StopLate)
    def on_stop_late(self, message: StopLate) -> None:
        """Kill an agent that does not stop; the next one goes on with its conversation."""
        prompt = self._prompt
        if prompt is None or prompt.number != message.number:
            return
        self._end_prompt(CANCELLED)
        if self._owner is not None:
            self._owner.end(kills=True)
        self.lose(AgentDied(detail="it did not stop when it was told to, and was killed"))

    def fail_work(self, error: Exception) -> None:
        """Answer the prompt: the agent is gone."""
        self._end_prompt(error=error)

    def let_go(self, reason: ExitReason) -> None:
        """See that whoever waits for a prompt is told, whoever was to do it."""
        super().let_go(reason)
        # The session has told them by now, unless it has come to an end itself.
        last_seq = self.row.latest().log.last_seq
        settle(self._done, last_seq)
        settle(None if self._packet is None else self._packet.done, last_seq)


async def _converse(
    connection: AgentConnection, known: str | None, cwd: str | None
) -> _Conversation:
    """Go on with a conversation, or begin one; say which."""
    if known is not None and connection.hello.can_load:
        try:
            await connection.load_session(known, cwd)
        except Exception:  # noqa: BLE001, S110 -- named edge, a loop task: it is lost, and that is told
            pass
        else:
            return _Conversation(known, AgentMemory.LOADED)
    begun = await connection.new_session(cwd)
    return _Conversation(begun, AgentMemory.NEW if known is None else AgentMemory.LOST)
