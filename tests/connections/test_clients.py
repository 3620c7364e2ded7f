"""Who follows a session: the log from where he stopped, then what comes, once and in order."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    AttachClient,
    ClientEvent,
    DetachClient,
    InvalidField,
    LinkState,
    Prompt,
    ReplayGap,
    Role,
    SessionSystem,
)
from callboard.actors.connections import client as client_module
from callboard.actors.connections.actor import Report
from callboard.actors.connections.ports import SEND_S
from callboard.actors.link_messages import CLOSE_S
from callboard.actors.testing import Barrier, Faults, MemoryAgents, MemoryClient, Turn
from callboard.supervision import ChildCrashed, ChildFailedToStop
from tests.connections.kit import create, let_pass, link, links_left, open_with, with_agent
from tests.sessions.stage import Stage, cell_of, later, until


def say(sessions: SessionSystem, session_id: str, *texts: str) -> None:
    for text in texts:
        sessions.ask(AppendMessage(session_id, Role.USER, text))


def has(client: MemoryClient, *texts: str) -> Any:
    return lambda: [each.content for each in client.messages] == list(texts)


class Deserter(MemoryClient):
    """A client that may leave without a word."""

    has_left = False

    async def send(self, events: tuple[ClientEvent, ...]) -> None:
        if self.has_left:
            raise BrokenPipeError
        await super().send(events)


class TestAttaching:
    def test_replays_the_log_and_then_sends_what_comes(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id, client = create(sessions), MemoryClient()
        say(sessions, session_id, "one", "two")

        info = sessions.ask(AttachClient(session_id, sink=client, peer="ada's phone"))
        say(sessions, session_id, "three")

        until(stage, has(client, "one", "two", "three"))
        assert [each.seq for each in client.messages] == [1, 2, 3]
        assert (info.status, info.peer, info.acked_seq) == (LinkState.UP, "ada's phone", 0)
        assert sessions.get(session_id).client == info

    def test_goes_on_behind_the_message_that_the_client_has(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id, client = create(sessions), MemoryClient()
        say(sessions, session_id, "one", "two", "three")

        sessions.ask(AttachClient(session_id, sink=client, after_seq=2))

        until(stage, has(client, "three"))

    def test_of_a_long_log_sends_it_in_parts(self, stage: Stage, sessions: SessionSystem) -> None:
        session_id, client = create(sessions), MemoryClient()
        texts = [str(number) for number in range(250)]
        say(sessions, session_id, *texts)

        sessions.ask(AttachClient(session_id, sink=client))

        until(stage, has(client, *texts))

    def test_behind_a_message_that_the_log_never_had_is_refused(
        self, sessions: SessionSystem
    ) -> None:
        session_id, client = create(sessions), MemoryClient()
        say(sessions, session_id, "one")

        with pytest.raises(ReplayGap) as refused:
            sessions.ask(AttachClient(session_id, sink=client, after_seq=5))

        assert (refused.value.oldest_seq, refused.value.last_seq) == (1, 1)
        assert sessions.get(session_id).client is None

    def test_needs_a_sink(self, sessions: SessionSystem) -> None:
        with pytest.raises(InvalidField, match="ClientSink"):
            sessions.ask(AttachClient(create(sessions), sink=print))

    def test_takes_over_from_a_client_that_was_there(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id, old, new = create(sessions), MemoryClient(), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=old))
        say(sessions, session_id, "one")
        until(stage, has(old, "one"))

        sessions.ask(AttachClient(session_id, sink=new, after_seq=1))
        say(sessions, session_id, "two")

        until(stage, has(new, "two"))
        until(stage, lambda: old.is_closed)
        assert has(old, "one")()
        client = sessions.get(session_id).client
        assert client is not None
        assert client.status is LinkState.UP


class TestSending:
    def test_waits_for_a_slow_client_and_holds_up_nobody(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        held = Barrier()
        session_id, client = create(sessions), MemoryClient(held=held)
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()  # until it is there, updates are missed
        texts = [str(number) for number in range(30)]

        say(sessions, session_id, *texts)
        assert client.events == []
        held.let_go()

        until(stage, has(client, *texts))

    def test_takes_a_client_for_gone_that_takes_nothing(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id, client = create(sessions), MemoryClient(held=Barrier())
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()  # until it is there, updates are missed
        say(sessions, session_id, "one")
        stage.settle()

        let_pass(stage, SEND_S)

        until(stage, lambda: not client.is_open)
        until(stage, lambda: not links_left(sessions))
        info = sessions.get(session_id).client
        assert info is not None
        assert (info.status, info.acked_seq) == (LinkState.DOWN, 0)

    @pytest.mark.seed("3.1")
    def test_shows_the_parts_of_an_agents_message_before_the_whole(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        goes_on = [Barrier(), Barrier()]

        async def slow(turn: Turn) -> str:
            for word, barrier in zip(("a ", "b "), goes_on, strict=True):
                turn.say(word)
                await barrier.passed()
            return "end_turn"

        agents.script = slow
        session_id, client = with_agent(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()  # until it is there, updates are missed
        prompting = later(sessions, Prompt(session_id, "a b"))

        for number, barrier in enumerate(goes_on, 1):
            until(stage, lambda: len(client.updates) == number)  # noqa: B023 -- called at once
            barrier.let_go()

        until(stage, has(client, "a b", "a b "))
        kinds = ["part" if each.message is None else "whole" for each in client.events]
        assert kinds == ["whole", "part", "part", "whole"]
        assert [each.text for each in client.updates] == ["a ", "b "]
        assert prompting.get().stop_reason == "end_turn"

    def test_shows_no_part_behind_the_whole(self, stage: Stage, sessions: SessionSystem) -> None:
        session_id, client = with_agent(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()
        follower = link(sessions, session_id, "client")
        follower.suspend()
        sessions.ask(Prompt(session_id, "a b"))
        stage.settle()

        follower.resume()  # it looks into the log, which has both by now

        until(stage, has(client, "a b", "a b "))
        stage.settle()
        assert client.updates == []

    def test_shows_no_part_twice_though_the_agent_tells_it_twice(
        self, stage: Stage, agents: MemoryAgents, sessions: SessionSystem
    ) -> None:
        may_speak = Barrier()

        async def slow(turn: Turn) -> str:
            await may_speak.passed()
            turn.say("once")
            return "end_turn"

        agents.script = slow
        session_id, client = with_agent(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()  # until it is there, updates are missed
        prompting = later(sessions, Prompt(session_id, "go"))
        until(stage, has(client, "go"))
        session = cell_of(sessions, session_id)
        session.suspend()

        may_speak.let_go()
        stage.settle()
        link(sessions, session_id, "agent").notify(Report())
        stage.settle()
        session.resume()

        until(stage, lambda: prompting.is_done)
        until(stage, has(client, "go", "once"))
        assert [each.text for each in client.updates] == ["once"]

    def test_of_updates_has_a_bound_and_messages_are_never_missed(
        self,
        monkeypatch: pytest.MonkeyPatch,
        stage: Stage,
        agents: MemoryAgents,
        sessions: SessionSystem,
    ) -> None:
        monkeypatch.setattr(client_module, "EVENTS_MAX", 5)

        async def talkative(turn: Turn) -> str:
            for _ in range(50):
                turn.say("x")
            return "end_turn"

        agents.script = talkative
        held = Barrier()
        session_id, client = with_agent(sessions), MemoryClient(held=held)
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()  # until it is there, updates are missed

        sessions.ask(Prompt(session_id, "go"))
        held.let_go()

        until(stage, has(client, "go", "x" * 50))
        assert len(client.updates) <= 10


class TestAClientThatGoes:
    @pytest.mark.seed("3.37")
    def test_is_down_and_forgotten_until_it_attaches_again(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id, client = create(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        say(sessions, session_id, "one")
        until(stage, has(client, "one"))

        client.die("connection reset")

        until(stage, lambda: not links_left(sessions))
        info = sessions.get(session_id).client
        assert info is not None
        assert (info.status, info.acked_seq) == (LinkState.DOWN, 1)
        say(sessions, session_id, "two")
        again = MemoryClient()
        sessions.ask(AttachClient(session_id, sink=again, after_seq=info.acked_seq))
        until(stage, has(again, "two"))

    @pytest.mark.parametrize("how", ["it says so", "it takes nothing any more", "its close hangs"])
    def test_is_an_ordinary_end_of_which_nobody_is_warned(self, stage: Stage, how: str) -> None:
        events: list[object] = []
        sessions = open_with(stage, None, None, on_event=events.append)
        session_id, client = create(sessions), Deserter()
        client.faults.hangs_when_closed = how == "its close hangs"
        sessions.ask(AttachClient(session_id, sink=client))
        say(sessions, session_id, "one")
        until(stage, has(client, "one"))

        if how == "it takes nothing any more":
            client.has_left = True
            say(sessions, session_id, "two")
        else:
            client.die("its request is over")
        stage.settle()
        let_pass(stage, CLOSE_S + 1.0)

        until(stage, lambda: not links_left(sessions))
        failures = [each for each in events if isinstance(each, (ChildCrashed, ChildFailedToStop))]
        assert failures == []
        info = sessions.get(session_id).client
        assert info is not None
        assert (info.status, info.acked_seq) == (LinkState.DOWN, 1)

    def test_by_a_kill_of_its_actor_is_down(self, stage: Stage, sessions: SessionSystem) -> None:
        session_id, client = create(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()

        link(sessions, session_id, "client").kill()

        until(stage, lambda: not client.is_open and not links_left(sessions))
        info = sessions.get(session_id).client
        assert info is not None
        assert info.status is LinkState.DOWN

    def test_by_its_own_wish_is_closed(self, stage: Stage, sessions: SessionSystem) -> None:
        session_id, client = create(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))

        sessions.ask(DetachClient(session_id))
        sessions.ask(DetachClient(session_id))

        assert sessions.get(session_id).client is None
        until(stage, lambda: client.is_closed and not links_left(sessions))

    def test_and_does_not_let_itself_be_closed_is_killed(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        session_id = create(sessions)
        client = MemoryClient(faults=Faults(hangs_when_closed=True))
        sessions.ask(AttachClient(session_id, sink=client))
        stage.settle()

        sessions.ask(DetachClient(session_id))
        stage.settle()
        let_pass(stage, 6.0)

        until(stage, lambda: client.is_killed and not links_left(sessions))


class TestACrashOfTheSession:
    def test_is_not_seen_by_the_client(self, stage: Stage, sessions: SessionSystem) -> None:
        session_id, client = create(sessions), MemoryClient()
        sessions.ask(AttachClient(session_id, sink=client))
        say(sessions, session_id, "one")

        cell_of(sessions, session_id).kill()
        told = later(sessions, AppendMessage(session_id, Role.USER, "two"))

        until(stage, lambda: told.is_done)
        until(stage, has(client, "one", "two"))
        assert client.is_open
