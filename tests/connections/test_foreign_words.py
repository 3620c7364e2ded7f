"""Whatever an agent says, its prompt comes to an end in time, and so does the next one."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AgentUpdate,
    AttachAgent,
    AttachClient,
    CleanupInactive,
    LinkState,
    Prompt,
    PromptTimeout,
    Role,
    SessionSystem,
    SpawnError,
)
from callboard.actors.connections.hearing import CUT
from callboard.actors.sessions.internal import AgentPacket, PromptDone, Said
from callboard.actors.sessions.prompting import WordsLost
from callboard.actors.testing import Barrier, MemoryAgents, MemoryClient, Turn, echo
from callboard.supervision import Future
from tests.connections.kit import (
    AGENT,
    agent_of,
    create,
    let_pass,
    open_with,
    with_agent,
)
from tests.sessions.stage import Stage, cell_of, later, texts, until


def as_untyped(value: Any) -> Any:
    """Return what a connector without a type checker may give."""
    return value


def nested(depth: int) -> dict[str, object]:
    data: dict[str, object] = {}
    for _ in range(depth):
        data = {"d": data}
    return data


foreign = pytest.mark.parametrize(
    "update",
    [
        AgentUpdate(role=Role.TOOL, text="x", data={"output": "o" * 70_000}),
        AgentUpdate(role=Role.TOOL, text="x", data=nested(17)),
        AgentUpdate(role=Role.TOOL, text="x", data={"o": object()}),
        AgentUpdate(role=Role.TOOL, text="x", data=as_untyped([1])),
        AgentUpdate(role=as_untyped("bogus"), text="x"),
        AgentUpdate(text=as_untyped(None)),
        "no update at all",
    ],
    ids=["large", "deep", "object", "list", "role", "none", "other"],
)


@foreign
def test_is_kept_with_a_mark_and_the_prompt_goes_on(
    agents: MemoryAgents, sessions: SessionSystem, update: Any
) -> None:
    async def script(turn: Turn) -> str:
        turn.say("before")
        turn._say(update)
        turn.say("behind")
        return "end_turn"

    agents.script = script
    session_id = with_agent(sessions)

    result = sessions.ask(Prompt(session_id, "go", timeout_s=1.0))

    assert (result.stop_reason, result.last_seq) == ("end_turn", 4)
    said = sessions.messages(session_id)
    assert [each.content for each in said if not each.metadata] == ["go", "before", "behind"]
    assert said[2].metadata[CUT]
    session, agent = sessions.get(session_id), agent_of(sessions, session_id)
    assert (session.restarts, agent.restarts, agent.is_busy) == (0, 0, False)
    agents.script = echo
    assert sessions.ask(Prompt(session_id, "again")).stop_reason == "end_turn"


@foreign
def test_is_shown_to_a_client_as_it_is_kept(
    stage: Stage, agents: MemoryAgents, sessions: SessionSystem, update: Any
) -> None:
    async def script(turn: Turn) -> str:
        turn._say(update)
        return "end_turn"

    agents.script = script
    session_id, client = with_agent(sessions), MemoryClient()
    sessions.ask(AttachClient(session_id, sink=client))
    stage.settle()  # until it is there, updates are missed

    sessions.ask(Prompt(session_id, "go"))

    until(stage, lambda: len(client.messages) == 2)
    assert [each.data for each in client.updates] == [client.messages[1].metadata]


def test_changed_by_the_agent_afterwards_stays_as_it_was_said(
    agents: MemoryAgents, sessions: SessionSystem
) -> None:
    async def script(turn: Turn) -> str:
        data: dict[str, object] = {"state": "said"}
        turn.say("x", data=data)
        data["state"] = "changed"
        return "end_turn"

    agents.script = script
    session_id = with_agent(sessions)

    sessions.ask(Prompt(session_id, "go"))

    assert sessions.messages(session_id)[1].metadata == {"state": "said"}


def test_that_the_session_refuses_is_left_out_and_told_and_does_not_come_again(
    stage: Stage, agents: MemoryAgents
) -> None:
    events: list[object] = []
    sessions = open_with(stage, None, agents, on_event=events.append)
    session_id = with_agent(sessions)
    key = f"agent-{agent_of(sessions, session_id).number}"
    asked: Future[Any] = Future(blocker=sessions.system.dispatcher)
    words = (Said(Role.TOOL, "bad", {"o": object()}), Said(Role.TOOL, "good"))

    cell_of(sessions, session_id).notify(AgentPacket(key, "n", words, PromptDone(asked, "end")))

    until(stage, lambda: asked.is_done)
    assert texts(sessions, session_id) == ["good"]
    assert asked.get().stop_reason == "end"
    (lost,) = [each for each in events if isinstance(each, WordsLost)]
    assert (lost.session_id, lost.error) == (session_id, "InvalidField")


def test_a_session_that_does_not_come_to_hear_it_does_not_keep_the_asker_waiting(
    stage: Stage, agents: MemoryAgents, sessions: SessionSystem
) -> None:
    may_end = Barrier()

    async def script(turn: Turn) -> str:
        await may_end.passed()
        turn.say("done")
        return "end_turn"

    agents.script = script
    session_id = with_agent(sessions)
    prompt = later(sessions, Prompt(session_id, "go", timeout_s=2.0))
    until(stage, lambda: may_end.waiting == 1)
    session = cell_of(sessions, session_id)
    session.suspend()
    may_end.let_go()
    stage.settle()

    let_pass(stage, 2.0)

    until(stage, lambda: prompt.is_done)
    assert isinstance(prompt.error, PromptTimeout)
    session.resume()
    until(stage, lambda: not agent_of(sessions, session_id).is_busy)
    assert texts(sessions, session_id) == ["go", "done"]
    assert len(agents.started) == 1


def test_the_session_is_idle_afterwards(
    stage: Stage, agents: MemoryAgents, sessions: SessionSystem
) -> None:
    async def script(turn: Turn) -> str:
        turn.say("x", data={"o": object()})
        return "end_turn"

    agents.script = script
    session_id = with_agent(sessions)
    sessions.ask(Prompt(session_id, "go"))
    stage.advance(50.0)

    assert sessions.ask(CleanupInactive(idle_longer_than_s=40.0)) == (session_id,)


def test_why_it_stopped_is_a_short_text_whatever_it_is(
    agents: MemoryAgents, sessions: SessionSystem
) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    async def script(_: Turn) -> str:
        return as_untyped(Mute())  # type: ignore[no-any-return]  # that is the point

    agents.script = script
    session_id = with_agent(sessions)

    assert sessions.ask(Prompt(session_id, "go")).stop_reason == "Mute"


def test_what_it_says_of_itself_is_kept_as_far_as_it_can_be(
    agents: MemoryAgents, sessions: SessionSystem
) -> None:
    real = agents.start

    async def start(*given: Any) -> Any:
        agent = await real(*given)
        agent.hello = as_untyped(type(agent.hello))(
            pid="one", capabilities={"o": object(), "p": 1}, can_load=1
        )
        return agent

    agents.start = as_untyped(start)  # type: ignore[method-assign]  # another agent
    session_id = with_agent(sessions)

    agent = agent_of(sessions, session_id)
    assert (agent.status, agent.pid, agent.can_load) == (LinkState.UP, None, True)
    assert agent.capabilities["p"] == 1
    assert agent.capabilities[CUT]


def test_a_conversation_without_a_name_does_not_begin(
    agents: MemoryAgents, sessions: SessionSystem
) -> None:
    real = agents.start

    async def nameless(_: object) -> None:
        return None

    async def start(*given: Any) -> Any:
        agent = await real(*given)
        agent.new_session = as_untyped(nameless)  # type: ignore[method-assign]  # another agent
        return agent

    agents.start = as_untyped(start)  # type: ignore[method-assign]  # another agent
    session_id = create(sessions)

    with pytest.raises(SpawnError, match="is none"):
        sessions.ask(AttachAgent(session_id, AGENT))
