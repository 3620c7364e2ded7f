"""The agent of a session: started, prompted, cancelled, lost, and its conversation loaded again."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from callboard.actors import (
    AgentAttached,
    AgentBusy,
    AgentDied,
    AgentMemory,
    AgentNotAttached,
    AgentSpec,
    AgentTimeout,
    AppendMessage,
    AttachAgent,
    CancelPrompt,
    DetachAgent,
    LinkState,
    NoConnector,
    Prompt,
    PromptFailed,
    PromptTimeout,
    Role,
    SecretError,
    SecretRef,
    SessionSystem,
    SpawnError,
)
from callboard.actors.connections import agent as agent_module
from callboard.actors.connections.actor import Report
from callboard.actors.link_messages import CANCEL_S, CONNECT_S, LOAD_S
from callboard.actors.secrets import EnvironmentSecrets
from callboard.actors.testing import Barrier, MemoryAgents, Turn, echo
from tests.connections.kit import (
    AGENT,
    agent_of,
    create,
    let_pass,
    link,
    links_left,
    open_with,
    with_agent,
)
from tests.sessions.stage import Stage, cell_of, later, texts, until


async def until_cancelled(turn: Turn) -> str:
    """Say something, then work until told to stop."""
    turn.say("working")
    await turn.cancelled()
    return "cancelled"


async def deaf(turn: Turn) -> str:
    """Work for ever."""
    turn.say("working")
    await asyncio.get_running_loop().create_future()
    return "never"


class TestAttaching:
    @pytest.mark.seed("3.13")
    def test_replies_when_the_agent_can_be_used(self, sessions: SessionSystem) -> None:
        session_id = create(sessions)

        session = sessions.ask(AttachAgent(session_id, AGENT))

        assert session == sessions.get(session_id)
        agent = agent_of(sessions, session_id)
        assert (agent.status, agent.memory) == (LinkState.UP, AgentMemory.NEW)
        assert (agent.pid, agent.agent_session_id) == (1000, "conversation-1")
        assert agent.can_load
        assert agent.capabilities == {"loadSession": True}

    def test_is_refused_when_there_is_one(self, sessions: SessionSystem) -> None:
        session_id = with_agent(sessions)

        with pytest.raises(AgentAttached, match="up") as refused:
            sessions.ask(AttachAgent(session_id, AGENT))

        assert "detach it first" in refused.value.remedy
        assert not refused.value.is_retryable

    def test_is_refused_when_it_does_not_start_and_leaves_nothing(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        agents.faults.refused_opens = 1

        with pytest.raises(SpawnError, match="refuses"):
            sessions.ask(AttachAgent(session_id, AGENT))

        assert sessions.get(session_id).agent is None
        until(stage, lambda: not links_left(sessions))

    def test_is_refused_when_it_does_not_start_in_time(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        agents.faults.hangs_when_opened = True
        attached = later(sessions, AttachAgent(session_id, AGENT))
        stage.settle()

        let_pass(stage, CONNECT_S)

        until(stage, lambda: attached.is_done)
        assert isinstance(attached.error, AgentTimeout)

    def test_is_refused_when_its_conversation_does_not_begin_in_time(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        agents.preparing = Barrier()
        attached = later(sessions, AttachAgent(session_id, AGENT))
        until(stage, lambda: agents.preparing.waiting == 1)

        let_pass(stage, LOAD_S)

        until(stage, lambda: attached.is_done)
        assert isinstance(attached.error, AgentTimeout)
        until(stage, lambda: not agents.started[0].is_open)

    def test_names_what_is_missing_when_nothing_starts_such_agents(self, stage: Stage) -> None:
        sessions = open_with(stage, None, None)
        session_id = create(sessions)

        with pytest.raises(NoConnector) as refused:
            sessions.ask(AttachAgent(session_id, AGENT))
        with pytest.raises(NoConnector, match="tea"):
            sessions.ask(AttachAgent(session_id, AgentSpec(kind="tea", command=("x",))))

        assert "connectors=Connectors(...)" in refused.value.remedy

    def test_is_refused_for_a_secret_that_is_not_known_and_leaves_nothing(
        self, stage: Stage, agents: MemoryAgents
    ) -> None:
        sessions = open_with(stage, None, agents, secrets=EnvironmentSecrets({}))
        session_id = create(sessions)
        spec = AgentSpec(command=("agent",), env={"TOKEN": SecretRef("AGENT_TOKEN")})

        with pytest.raises(SecretError, match="AGENT_TOKEN") as refused:
            sessions.ask(AttachAgent(session_id, spec))

        assert not refused.value.is_retryable
        assert sessions.get(session_id).agent is None
        until(stage, lambda: not links_left(sessions))

    def test_loads_a_conversation_that_is_named(
        self, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.conversations.append("old")
        session_id = create(sessions)

        sessions.ask(AttachAgent(session_id, AGENT, "old"))

        agent = agent_of(sessions, session_id)
        assert (agent.agent_session_id, agent.memory) == ("old", AgentMemory.LOADED)


class TestAPrompt:
    @pytest.mark.seed("3.34")
    def test_stands_in_the_log_with_what_the_agent_says(self, sessions: SessionSystem) -> None:
        session_id = with_agent(sessions)

        result = sessions.ask(Prompt(session_id, "to be or not"))

        assert result.stop_reason == "end_turn"
        assert texts(sessions, session_id) == ["to be or not", "to be or not "]
        roles = [each.role for each in sessions.messages(session_id)]
        assert roles == [Role.USER, Role.ASSISTANT]
        assert result.last_seq == 2
        assert not agent_of(sessions, session_id).is_busy

    def test_waits_for_an_agent_that_is_being_started(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id, agents.preparing = create(sessions), Barrier()
        attached = later(sessions, AttachAgent(session_id, AGENT))
        until(stage, lambda: agents.preparing.waiting == 1)
        prompt = later(sessions, Prompt(session_id, "early"))
        stage.settle()
        assert agent_of(sessions, session_id).is_busy

        agents.preparing.let_go()

        until(stage, lambda: prompt.is_done)
        assert attached.is_done
        assert prompt.get().last_seq == 2

    def test_makes_one_message_of_what_one_role_says_in_a_row(
        self, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        async def script(turn: Turn) -> str:
            turn.say("let me ", Role.THOUGHT)
            turn.say("think", Role.THOUGHT)
            turn.say("ls", Role.TOOL, {"kind": "execute"})
            turn.say("cat", Role.TOOL, {"kind": "read"})
            turn.say("done")
            return "end_turn"

        agents.script = script
        session_id = with_agent(sessions)

        sessions.ask(Prompt(session_id, "go"))

        said = [(each.role, each.content) for each in sessions.messages(session_id)][1:]
        assert said == [
            (Role.THOUGHT, "let me think"),
            (Role.TOOL, "ls"),
            (Role.TOOL, "cat"),
            (Role.ASSISTANT, "done"),
        ]
        assert sessions.messages(session_id)[2].metadata == {"kind": "execute"}

    def test_is_one_at_a_time(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = until_cancelled
        session_id = with_agent(sessions)
        first = later(sessions, Prompt(session_id, "first"))
        stage.settle()

        with pytest.raises(AgentBusy):
            sessions.ask(Prompt(session_id, "second"))

        assert texts(sessions, session_id) == ["first"]
        sessions.ask(CancelPrompt(session_id))
        until(stage, lambda: first.is_done)

    def test_holds_up_nothing_else_of_the_session(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = until_cancelled
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "first"))
        stage.settle()

        assert sessions.ask(AppendMessage(session_id, Role.USER, "meanwhile")) == 2
        assert not prompt.is_done

    def test_without_an_agent_is_refused(self, sessions: SessionSystem) -> None:
        session_id = create(sessions)

        for message in (Prompt(session_id, "x"), CancelPrompt(session_id), DetachAgent(session_id)):
            with pytest.raises(AgentNotAttached):
                sessions.ask(message)

    def test_that_takes_too_long_is_cancelled(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = until_cancelled
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "long", timeout_s=7.0))
        stage.settle()

        let_pass(stage, 7.0)

        until(stage, lambda: prompt.is_done)
        assert isinstance(prompt.error, PromptTimeout)
        until(stage, lambda: not agent_of(sessions, session_id).is_busy)
        assert len(agents.started) == 1
        assert texts(sessions, session_id) == ["long", "working"]

    def test_that_says_more_than_is_heard_ends_the_agent(
        self,
        monkeypatch: pytest.MonkeyPatch,
        stage: Stage,
        agents: MemoryAgents,
        sessions: SessionSystem,
    ) -> None:
        monkeypatch.setattr(agent_module, "UPDATES_MAX", 10)

        async def flood(turn: Turn) -> str:
            for number in range(100):
                turn.say(f"{number} ")
            return "end_turn"

        agents.script = flood
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))

        until(stage, lambda: prompt.is_done)
        assert isinstance(prompt.error, AgentDied)
        until(stage, lambda: len(agents.started) == 2)

    def test_is_answered_without_the_secrets_that_the_agent_was_given(self, stage: Stage) -> None:
        async def script(turn: Turn) -> str:
            del turn
            key = agents.started[-1].secrets["KEY"]
            msg = f"401 for {key}"
            raise PromptFailed(msg) from RuntimeError(key)

        agents = MemoryAgents(script)
        secrets = EnvironmentSecrets({"KEY": "hush"})
        sessions = open_with(stage, None, agents, secrets=secrets)
        spec = AgentSpec(command=("agent",), env={"TOKEN": SecretRef("KEY")})
        session_id = create(sessions)
        sessions.ask(AttachAgent(session_id, spec))

        with pytest.raises(PromptFailed, match=r"401 for \[secret\]") as failed:
            sessions.ask(Prompt(session_id, "go"))

        assert "hush" not in "".join(traceback.format_exception(failed.value))

    def test_that_the_agent_raises_at_has_failed_and_the_agent_lives(
        self, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        async def script(turn: Turn) -> str:
            turn.say("half")
            msg = "model overloaded"
            raise RuntimeError(msg)

        agents.script = script
        session_id = with_agent(sessions)

        with pytest.raises(PromptFailed, match="RuntimeError: model overloaded"):
            sessions.ask(Prompt(session_id, "go"))

        assert sessions.messages(session_id)[-1].metadata == {"interrupted": True}
        agent = agent_of(sessions, session_id)
        assert (agent.status, agent.restarts, agent.is_busy) == (LinkState.UP, 0, False)
        agents.script = echo
        assert sessions.ask(Prompt(session_id, "again")).stop_reason == "end_turn"

    def test_is_refused_as_the_connector_says_if_it_knows_a_name_for_it(
        self, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        async def script(_: Turn) -> str:
            msg = "it works for another"
            raise AgentBusy(msg)

        agents.script = script
        session_id = with_agent(sessions)

        with pytest.raises(AgentBusy, match="another"):
            sessions.ask(Prompt(session_id, "go"))


class TestCancelling:
    def test_replies_when_the_agent_has_stopped(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = until_cancelled
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        stage.settle()

        assert sessions.ask(CancelPrompt(session_id)) is True

        until(stage, lambda: prompt.is_done)
        assert prompt.get().stop_reason == "cancelled"
        assert texts(sessions, session_id) == ["go", "working"]
        assert agents.started[0].is_open

    def test_of_nothing_says_so(self, sessions: SessionSystem) -> None:
        assert sessions.ask(CancelPrompt(with_agent(sessions))) is False

    @pytest.mark.seed("3.35")
    def test_kills_an_agent_that_does_not_stop_and_starts_the_next(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = deaf
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        stage.settle()
        cancelled = later(sessions, CancelPrompt(session_id))
        stage.settle()
        assert not cancelled.is_done

        let_pass(stage, CANCEL_S)

        until(stage, lambda: cancelled.is_done and prompt.is_done)
        assert (cancelled.get(), prompt.get().stop_reason) == (True, "cancelled")
        assert agents.started[0].is_killed
        until(stage, lambda: len(agents.started) == 2)
        until(stage, lambda: agent_of(sessions, session_id).status is LinkState.UP)
        agent = agent_of(sessions, session_id)
        assert (agent.agent_session_id, agent.memory) == ("conversation-1", AgentMemory.LOADED)


class TestAnAgentThatDies:
    @pytest.mark.seed("3.35")
    def test_fails_its_prompt_with_what_is_known_and_keeps_what_it_had_said(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = deaf
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        stage.settle()

        agents.started[0].die()

        until(stage, lambda: prompt.is_done)
        error = prompt.error
        assert isinstance(error, AgentDied)
        assert (error.returncode, error.stderr_tail) == (-9, "killed")
        assert texts(sessions, session_id) == ["go", "working"]
        assert sessions.messages(session_id)[-1].metadata == {"interrupted": True}

    @pytest.mark.seed("3.34")
    def test_is_started_again_with_its_conversation(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = with_agent(sessions)

        agents.started[0].die()

        until(stage, lambda: agent_of(sessions, session_id).restarts == 1)
        agent = agent_of(sessions, session_id)
        assert (agent.agent_session_id, agent.memory) == ("conversation-1", AgentMemory.LOADED)
        assert sessions.ask(Prompt(session_id, "hello")).stop_reason == "end_turn"

    def test_says_so_when_its_conversation_is_lost(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = with_agent(sessions)
        agents.conversations[0] = "forgotten"

        agents.started[0].die()

        until(stage, lambda: agent_of(sessions, session_id).restarts == 1)
        agent = agent_of(sessions, session_id)
        assert (agent.agent_session_id, agent.memory) == ("conversation-2", AgentMemory.LOST)

    def test_refuses_prompts_at_once_while_it_is_down(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        session_id = with_agent(sessions)
        agents.faults.refused_opens = 99
        agents.started[0].die()
        until(stage, lambda: agent_of(sessions, session_id).status is LinkState.DOWN)

        with pytest.raises(AgentDied):
            sessions.ask(Prompt(session_id, "hello"))

        assert texts(sessions, session_id) == []

    def test_by_a_kill_of_its_actor_answers_its_prompt(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = deaf
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        stage.settle()

        link(sessions, session_id, "agent").kill()

        until(stage, lambda: prompt.is_done)
        assert isinstance(prompt.error, AgentDied)
        until(stage, lambda: agent_of(sessions, session_id).status is LinkState.UP)
        assert not agent_of(sessions, session_id).is_busy


class TestDetaching:
    def test_closes_the_agent_and_answers_its_prompt(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        agents.script = deaf
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        stage.settle()

        session = sessions.ask(DetachAgent(session_id))

        assert session.agent is None
        until(stage, lambda: prompt.is_done and agents.started[0].is_closed)
        assert isinstance(prompt.error, AgentDied)
        until(stage, lambda: not links_left(sessions))
        assert sessions.ask(AttachAgent(session_id, AGENT)).agent is not None


def test_an_agent_that_tells_twice_that_it_is_done_is_busy_no_more(
    stage: Stage, agents: MemoryAgents, sessions: SessionSystem
) -> None:
    may_end = Barrier()

    async def silent(_: Turn) -> str:
        await may_end.passed()
        return "end_turn"

    agents.script = silent
    session_id = with_agent(sessions)
    prompt = later(sessions, Prompt(session_id, "go"))
    until(stage, lambda: may_end.waiting == 1)
    session, agent = cell_of(sessions, session_id), link(sessions, session_id, "agent")
    actor: Any = agent.actor
    session.suspend()

    may_end.let_go()
    until(stage, lambda: actor._packet is not None)
    agent.notify(Report())
    stage.settle()
    session.resume()

    until(stage, lambda: prompt.is_done)
    stage.settle()
    assert not agent_of(sessions, session_id).is_busy


class TestACrashOfTheSession:
    def test_in_the_middle_of_a_prompt_loses_nothing_and_says_nothing_twice(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def script(turn: Turn) -> str:
            turn.say("before", Role.THOUGHT)
            turn.say("half ")
            await held.passed()
            turn.say("whole")
            return "end_turn"

        agents.script = script
        session_id = with_agent(sessions)
        prompt = later(sessions, Prompt(session_id, "go"))
        until(stage, lambda: held.waiting == 1)
        before = cell_of(sessions, session_id)

        before.kill()
        held.let_go()

        until(stage, lambda: prompt.is_done)
        assert cell_of(sessions, session_id) is not before
        assert prompt.get().stop_reason == "end_turn"
        assert texts(sessions, session_id) == ["go", "before", "half whole"]
        until(stage, lambda: not agent_of(sessions, session_id).is_busy)
        assert len(agents.started) == 1
