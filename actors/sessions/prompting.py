"""How does a session use an agent? It hands prompts on, and keeps what the agent says."""

from __future__ import annotations

import logging
from typing import ClassVar

import msgspec

from callboard.actors.errors import (
    AgentAttached,
    AgentBusy,
    AgentDied,
    AgentNotAttached,
    IdempotencyConflict,
    PromptRepeated,
    SessionError,
)
from callboard.actors.link_messages import (
    AttachAgent,
    CancelPrompt,
    DetachAgent,
    Prompt,
    PromptResult,
)
from callboard.actors.sessions.committing import D
from callboard.actors.sessions.data import Message, Role, Session
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.internal import (
    AgentPacket,
    Heard,
    Live,
    PromptDone,
    RunPrompt,
    Said,
    StopPrompt,
)
from callboard.actors.sessions.linked import LinkedActor
from callboard.actors.sessions.linking import key_of, with_agent
from callboard.actors.sessions.links import AgentInfo, LinkState
from callboard.actors.sessions.prompted import pass_on
from callboard.actors.sessions.states import takes_messages
from callboard.supervision import LATER, DeliveryError, Later, handles


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


class PromptingActor(LinkedActor[D]):
    """The part of a session's actor that has to do with its agent."""

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
        self._pend().prompted.begin(key, self._asker(outlives=True))
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
        pass_on(reply, self._asker())
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


def _agent_error(error: BaseException) -> BaseException:
    return AgentDied(detail=str(error)) if isinstance(error, DeliveryError) else error
