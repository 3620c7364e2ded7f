"""What connections become: pure, as tables."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec
import pytest

from callboard.actors import (
    AgentInfo,
    AgentSpec,
    ClientInfo,
    LinkState,
    McpClientInfo,
    McpSpec,
    Presence,
    ReplayGap,
    SecretRef,
    Session,
    SessionState,
)
from callboard.actors.sessions import linking
from callboard.actors.sessions.links import secrets_of

FILES = McpClientInfo(id="files", status=LinkState.UP, spec=McpSpec(id="files"), number=1)
NOTES = McpClientInfo(id="notes", status=LinkState.DOWN, spec=McpSpec(id="notes"), number=2)
AGENT = AgentInfo(status=LinkState.UP, is_busy=True, pid=7, spec=AgentSpec(), number=3)
CLIENT = ClientInfo(acked_seq=4, number=5)
ALL = Session(
    id="s",
    state=SessionState.ACTIVE,
    mcp_servers=(FILES, NOTES),
    agent=AGENT,
    client=CLIENT,
)


def after(session: Session, changes: dict[str, object]) -> Session:
    return msgspec.structs.replace(session, **changes)


class TestWanted:
    @pytest.mark.parametrize(
        ("state", "presence", "are_wanted"),
        [
            (SessionState.SPAWNING, Presence.AWAKE, True),
            (SessionState.ACTIVE, Presence.AWAKE, True),
            (SessionState.ACTIVE, Presence.RESTARTING, True),
            (SessionState.ACTIVE, Presence.ASLEEP, False),
            (SessionState.ACTIVE, Presence.QUARANTINED, False),
            (SessionState.TERMINATING, Presence.AWAKE, False),
            (SessionState.CLEANED, Presence.AWAKE, False),
        ],
        ids=str,
    )
    def test_are_connections_of_a_session_that_goes_on(
        self, state: SessionState, presence: Presence, *, are_wanted: bool
    ) -> None:
        session = after(ALL, {"state": state})

        assert bool(linking.wanted(session, presence)) is are_wanted

    @pytest.mark.parametrize(
        ("state", "wanted"),
        [
            (LinkState.NONE, ("mcp-1", "agent-3")),
            (LinkState.STARTING, ("mcp-1", "agent-3")),
            (LinkState.UP, ("mcp-1", "agent-3", "client-5")),
            (LinkState.DOWN, ("mcp-1", "agent-3")),
            (LinkState.FAILED, ()),
        ],
        ids=str,
    )
    def test_depends_on_how_a_connection_is(
        self, state: LinkState, wanted: tuple[str, ...]
    ) -> None:
        links = [msgspec.structs.replace(each, status=state) for each in (FILES, AGENT, CLIENT)]
        session = after(ALL, {"mcp_servers": (links[0],), "agent": links[1], "client": links[2]})

        assert tuple(linking.wanted(session, Presence.AWAKE)) == wanted


class TestNews:
    def test_of_a_connection_that_is_no_more_changes_nothing(self) -> None:
        assert linking.went_up(ALL, "mcp-9", restarts=0, changes={}, wall_s=1.0) == {}
        assert linking.went_down(ALL, "agent-9", error="x", wall_s=1.0) == {}
        assert linking.failed(ALL, "client-9", wall_s=1.0) == {}

    def test_that_is_known_changes_nothing(self) -> None:
        assert linking.went_up(ALL, "mcp-1", restarts=0, changes={}, wall_s=1.0) == {}
        assert linking.went_down(ALL, "mcp-2", error="x", wall_s=1.0) == {}

    def test_of_one_that_is_up_again(self) -> None:
        changed = after(ALL, linking.went_up(ALL, "mcp-2", restarts=2, changes={}, wall_s=8.0))

        notes = changed.mcp_servers[1]
        assert (notes.status, notes.restarts, notes.since) == (LinkState.UP, 2, 8.0)
        assert changed.mcp_servers[0] is FILES

    def test_of_an_agent_that_died_leaves_it_idle_and_without_a_process(self) -> None:
        changed = after(ALL, linking.went_down(ALL, "agent-3", error="x", wall_s=8.0))

        assert changed.agent is not None
        assert (changed.agent.status, changed.agent.is_busy, changed.agent.pid) == (
            LinkState.DOWN,
            False,
            None,
        )

    def test_of_a_client_that_went_keeps_how_far_it_had_come(self) -> None:
        changes = linking.went_down(ALL, "client-5", error="x", acked_seq=9, wall_s=8.0)

        assert changes == {"client": ClientInfo(acked_seq=9, status=LinkState.DOWN, number=5)}
        gone = after(ALL, changes)
        assert linking.went_down(gone, "client-5", error="y", acked_seq=0, wall_s=9.0) == {}

    def test_sleep_and_waking_leave_a_failed_one_failed(self) -> None:
        failed = msgspec.structs.replace(NOTES, status=LinkState.FAILED)
        session = after(ALL, {"mcp_servers": (FILES, failed), "agent": None})

        asleep = after(session, linking.falling_asleep(session, wall_s=8.0))
        awake = after(asleep, linking.waking(asleep, wall_s=9.0))

        assert [each.status for each in asleep.mcp_servers] == [LinkState.NONE, LinkState.FAILED]
        assert [each.status for each in awake.mcp_servers] == [
            LinkState.STARTING,
            LinkState.FAILED,
        ]

    def test_one_that_is_taken_away_leaves_the_others(self) -> None:
        assert after(ALL, linking.without(ALL, "mcp-1")).mcp_servers == (NOTES,)
        assert after(ALL, linking.without(ALL, "agent-3")).agent is None


class TestReplaying:
    @pytest.mark.parametrize(
        ("after_seq", "oldest_seq", "last_seq", "is_possible"),
        [
            (0, 1, 0, True),
            (0, 1, 5, True),
            (5, 1, 5, True),
            (6, 1, 5, False),
            (2, 3, 5, True),
            (1, 3, 5, False),
        ],
    )
    def test_goes_on_only_where_the_log_does(
        self, after_seq: int, oldest_seq: int, last_seq: int, *, is_possible: bool
    ) -> None:
        with nullcontext() if is_possible else pytest.raises(ReplayGap):
            linking.check_replay(after_seq, oldest_seq=oldest_seq, last_seq=last_seq)


def test_the_secrets_of_a_spec_are_named_once() -> None:
    token, key = SecretRef("TOKEN"), SecretRef("KEY")
    spec = McpSpec(id="x", env={"A": token, "B": "plain"}, headers={"C": key, "D": token})

    assert secrets_of(spec) == (token, key)
    assert secrets_of(AgentSpec(env={"A": token})) == (token,)
