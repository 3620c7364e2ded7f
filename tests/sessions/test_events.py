"""What a commit tells, and what waits for whom: without an actor."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TypeAlias

import msgspec
import pytest

from callboard.actors import EventKind, Message, Role, Session, SessionState
from callboard.actors.sessions.backlog import Backlog
from callboard.actors.sessions.events import ACTIVITY_SAMPLE_S, SessionEvent, changes, event_of
from callboard.actors.sessions.frozen import FrozenDict
from callboard.actors.sessions.links import (
    AgentInfo,
    AgentSpec,
    ClientInfo,
    LinkState,
    McpClientInfo,
    McpSpec,
)
from callboard.actors.sessions.log import EMPTY_LOG

Told: TypeAlias = list[tuple[EventKind, dict[str, object]]]
ADA = Session(id="s", user_id="ada", org_id="acme", state=SessionState.ACTIVE)
KINDS = EventKind


def told(after: Session, before: Session = ADA) -> Told:
    log = EMPTY_LOG
    for seq in range(1, after.last_seq + 1):
        log = log.append(Message(seq, Role.USER, "a secret", 0.0))
    return [(each.kind, dict(each.details)) for each in changes(before, after, log, at=5.0)]


def changed(**fields: object) -> Session:
    return msgspec.structs.replace(ADA, **fields)


class TestACommit:
    def test_says_whose_it_is_and_when(self) -> None:
        (event,) = changes(ADA, changed(state=SessionState.TERMINATING), EMPTY_LOG, at=5.0)

        whose = (event.session_id, event.user_id, event.org_id, event.at, event.seq)
        assert whose == ("s", "ada", "acme", 5.0, 0)

    def test_tells_of_each_message_without_what_it_says(self) -> None:
        assert told(changed(last_seq=2)) == [
            (KINDS.MESSAGE, {"message_seq": 1, "role": "user"}),
            (KINDS.MESSAGE, {"message_seq": 2, "role": "user"}),
        ]

    def test_tells_of_a_step_to_another_state(self) -> None:
        after = changed(state=SessionState.TERMINATING, state_reason="idle")

        states = {"before": "active", "after": "terminating", "reason": "idle"}
        assert told(after) == [(KINDS.STATE_CHANGED, states)]

    def test_names_the_fields_that_were_replaced_and_not_their_values(self) -> None:
        after = changed(metadata=FrozenDict({"key": "secret"}), system_prompt="Sing.", version=3)

        fields = ("metadata", "system_prompt")
        assert told(after) == [(KINDS.UPDATED, {"fields": fields, "version": 3})]

    @pytest.mark.seed("3.35")
    def test_tells_which_connections_can_be_used_and_which_no_more(self) -> None:
        up, starting = LinkState.UP, LinkState.STARTING
        files = McpClientInfo(id="files", spec=McpSpec(id="files"), status=up, number=1)
        agent = AgentInfo(spec=AgentSpec(), status=starting, number=2)
        before = changed(mcp_servers=(files,), agent=agent, client=ClientInfo(number=3))
        after = msgspec.structs.replace(
            before,
            mcp_servers=(),
            agent=msgspec.structs.replace(agent, status=up),
            client=ClientInfo(number=4),
        )

        assert told(after, before) == [
            (KINDS.MCP_DOWN, {"id": "files"}),
            (KINDS.CLIENT_DETACHED, {}),
            (KINDS.AGENT_UP, {}),
            (KINDS.CLIENT_ATTACHED, {}),
        ]
        assert told(after, after) == []

    @pytest.mark.parametrize(
        ("last_active_at", "events"),
        [
            (ACTIVITY_SAMPLE_S - 0.1, 0),
            (ACTIVITY_SAMPLE_S, 1),
        ],
        ids=["in the same window", "in the next window"],
    )
    def test_tells_of_a_sign_of_life_once_in_a_window(
        self, last_active_at: float, events: int
    ) -> None:
        assert told(changed(last_active_at=last_active_at)) == [(KINDS.ACTIVITY, {})] * events


class TestAnEvent:
    def test_can_be_written_as_json_and_nobody_changes_its_details(self) -> None:
        event = event_of(ADA, KINDS.CLEANUP_STEP, 1.0, name="workspace", ok=True, seconds=0.5)

        assert msgspec.json.decode(msgspec.json.encode(event), type=SessionEvent) == event
        with pytest.raises(TypeError):
            event.details["name"] = "other"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]  # that is the test


class TestABacklog:
    def test_announces_itself_once_until_somebody_has_looked(self) -> None:
        calls: list[None] = []
        backlog: Backlog[str] = Backlog(10, lambda: calls.append(None), nullcontext())

        backlog.put("a")
        backlog.put("b")
        assert len(calls) == 1
        backlog.is_announced = False
        backlog.put("c")

        assert len(calls) == 2

    def test_keeps_its_head_until_that_is_done(self) -> None:
        backlog: Backlog[str] = Backlog(10, lambda: None, nullcontext())
        first, second = "first", "second"
        backlog.put(first)
        backlog.put(second)

        assert backlog.head() is first
        assert backlog.head() is first
        backlog.done(first)
        backlog.done(first)  # by an incarnation that was late

        assert backlog.head() is second

    def test_refuses_and_counts_what_finds_no_room(self) -> None:
        backlog: Backlog[str] = Backlog(1, lambda: None, nullcontext())

        assert [backlog.put(each) for each in "abc"] == [True, False, False]
        assert (backlog.lost, len(backlog), backlog.is_full) == (2, 1, True)
