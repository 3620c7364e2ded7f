"""A prompt that is repeated with its key is done once."""

from __future__ import annotations

import pytest

from callboard.actors import (
    AgentDied,
    AppendMessage,
    DetachAgent,
    IdempotencyConflict,
    PassivateSession,
    Prompt,
    PromptRepeated,
    PromptTimeout,
    Role,
    SessionSystem,
)
from callboard.actors.link_messages import CANCEL_S, PROMPT_S
from callboard.actors.sessions import prompted
from callboard.actors.testing import Barrier, MemoryAgents, Turn
from tests.connections.kit import agent_of, create, let_pass, with_agent
from tests.sessions.stage import PATIENT_S, Stage, cell_of, later, texts, until


def keyed(
    session_id: str, content: str = "go", key: str = "k", timeout_s: float = PROMPT_S
) -> Prompt:
    return Prompt(session_id, content, client_msg_id=key, timeout_s=timeout_s)


class TestARepetition:
    def test_gets_the_reply_of_the_first(self, sessions: SessionSystem) -> None:
        session_id = with_agent(sessions)
        first = sessions.ask(keyed(session_id))
        sessions.ask(Prompt(session_id, "another"))

        assert sessions.ask(keyed(session_id)) == first
        assert texts(sessions, session_id) == ["go", "go ", "another", "another "]

    def test_waits_for_the_reply_of_the_first(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def script(_: Turn) -> str:
            await held.passed()
            return "end_turn"

        agents.script = script
        session_id = with_agent(sessions)
        answers = [later(sessions, keyed(session_id)) for _ in range(3)]
        until(stage, lambda: held.waiting == 1)
        assert not any(each.is_done for each in answers)

        held.let_go()

        until(stage, lambda: all(each.is_done for each in answers))
        assert {each.get().last_seq for each in answers} == {1}
        assert texts(sessions, session_id) == ["go"]

    def test_is_told_what_came_of_it_though_the_first_has_given_up(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        held = Barrier()

        async def script(_: Turn) -> str:
            await held.passed()
            return "end_turn"

        agents.script = script
        session_id = with_agent(sessions)
        first = later(sessions, keyed(session_id))
        until(stage, lambda: held.waiting == 1)
        first.give_up()
        again = later(sessions, keyed(session_id))
        stage.settle()
        assert not again.is_done

        held.let_go()

        until(stage, lambda: again.is_done)
        assert again.get().stop_reason == "end_turn"

    def test_of_one_that_failed_is_told_so(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        async def script(turn: Turn) -> str:
            await turn.cancelled()
            return "cancelled"

        agents.script = script
        session_id = with_agent(sessions)
        first = later(sessions, keyed(session_id, timeout_s=2.0))
        again = later(sessions, keyed(session_id, timeout_s=2.0))
        stage.settle()

        let_pass(stage, 2.0 + CANCEL_S)

        until(stage, lambda: first.is_done and again.is_done)
        until(stage, lambda: not agent_of(sessions, session_id).is_busy)
        assert isinstance(again.error, PromptTimeout)
        with pytest.raises(PromptTimeout):
            sessions.ask(keyed(session_id))

    def test_is_answered_when_the_agent_is_taken_away(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        async def script(_: Turn) -> str:
            await Barrier().passed()
            return "never"

        agents.script = script
        session_id = with_agent(sessions)
        answers = [later(sessions, keyed(session_id)) for _ in range(2)]
        stage.settle()

        sessions.ask(DetachAgent(session_id))

        until(stage, lambda: all(each.is_done for each in answers))
        assert {type(each.error) for each in answers} == {AgentDied}
        with pytest.raises(AgentDied):
            sessions.ask(keyed(session_id))


class TestIsRefused:
    def test_with_other_content(self, sessions: SessionSystem) -> None:
        session_id = with_agent(sessions)
        sessions.ask(keyed(session_id))

        with pytest.raises(IdempotencyConflict):
            sessions.ask(keyed(session_id, "come"))

        assert texts(sessions, session_id) == ["go", "go "]

    def test_with_the_place_in_the_log_when_the_reply_is_not_remembered(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id = with_agent(sessions)
        sessions.ask(keyed(session_id))
        before = cell_of(sessions, session_id)
        before.kill()
        until(stage, lambda: sessions.address(session_id).is_alive())

        with pytest.raises(PromptRepeated) as refused:
            sessions.ask(keyed(session_id), timeout=PATIENT_S)

        assert (refused.value.client_msg_id, refused.value.seq) == ("k", 1)
        assert "behind message 1" in refused.value.remedy
        assert texts(sessions, session_id) == ["go", "go "]

    def test_after_the_session_has_slept(self, sessions: SessionSystem) -> None:
        session_id = with_agent(sessions)
        sessions.ask(keyed(session_id))
        sessions.ask(DetachAgent(session_id))
        sessions.ask(PassivateSession(session_id))

        with pytest.raises(PromptRepeated):
            sessions.ask(keyed(session_id))

    def test_when_so_many_came_since(
        self, monkeypatch: pytest.MonkeyPatch, sessions: SessionSystem
    ) -> None:
        monkeypatch.setattr(prompted, "PROMPTS_MAX", 2)
        session_id = with_agent(sessions)
        for key in "abc":
            sessions.ask(keyed(session_id, key=key))

        assert sessions.ask(keyed(session_id, key="b")).last_seq == 4
        with pytest.raises(PromptRepeated):
            sessions.ask(keyed(session_id, key="a"))

    def test_when_the_key_is_that_of_a_message(self, sessions: SessionSystem) -> None:
        session_id = create(sessions)
        sessions.ask(AppendMessage(session_id, Role.USER, "go", client_msg_id="k"))

        with pytest.raises(PromptRepeated):
            sessions.ask(keyed(session_id))
