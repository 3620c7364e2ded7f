"""What a session looks like from outside: a value, whole, and nobody's to change."""

from __future__ import annotations

import copy
from typing import Any, get_type_hints

import msgspec
import pytest

import callboard.actors
from callboard.actors import (
    AppendMessage,
    CreateSession,
    InvalidField,
    Message,
    RecordActivity,
    Role,
    Session,
    SessionId,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionState,
    SessionSystem,
    TerminateSession,
    UpdateSession,
)
from tests.sessions.stage import Say, Stage, Tally


class TestANewSession:
    @pytest.mark.seed("0.4", "1.3", "1.11", "4.5")
    def test_was_last_active_when_it_was_created_and_has_nothing_in_it(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        stage.advance(100.0)

        made = opened.ask(CreateSession())

        assert made.created_at == made.last_active_at == opened.system.clock.wall_s()
        assert (made.message_count, made.last_seq, opened.messages(made.id)) == (0, 0, ())
        assert (made.client_capabilities, made.mcp_servers) == (None, ())
        assert (dict(made.metadata), dict(made.variables)) == ({}, {})

    @pytest.mark.seed("1.2", "2.1", "2.2")
    def test_has_what_its_creator_gave(self, opened: SessionSystem) -> None:
        capabilities = {"fs": {"readTextFile": True}}

        made = opened.ask(
            CreateSession(
                user_id="ada",
                org_id="acme",
                agent_role="guide",
                variables={"name": "Ada"},
                metadata={"tags": ["a"]},
                client_capabilities=capabilities,
            )
        )

        assert (made.user_id, made.org_id, made.agent_role) == ("ada", "acme", "guide")
        assert made.client_capabilities == capabilities
        assert (made.variables, made.metadata) == ({"name": "Ada"}, {"tags": ("a",)})

    @pytest.mark.seed("0.14", "4.15")
    def test_needs_nothing_around_it_to_live_and_to_end(self, opened: SessionSystem) -> None:
        ada = opened.ask(CreateSession()).id

        opened.ask(AppendMessage(ada, Role.USER, "hello"))
        opened.ask(Say(ada, text="again"))

        session = opened.get(ada)
        assert (session.agent, session.client, session.mcp_servers) == (None, None, ())
        assert (session.state, session.data) == (SessionState.ACTIVE, Tally(said=1))
        assert opened.ask(TerminateSession(ada)).message_count == 2


class TestAMessage:
    @pytest.mark.seed("1.6", "1.7")
    @pytest.mark.parametrize("role", [Role.USER, Role.ASSISTANT, Role.SYSTEM])
    def test_has_role_content_and_time(
        self, stage: Stage, opened: SessionSystem, ada: str, role: Role
    ) -> None:
        stage.advance(7.0)

        opened.ask(AppendMessage(ada, role, "hello", metadata={"lang": "en"}))

        (message,) = opened.messages(ada)
        expected = Message(
            seq=1,
            role=role,
            content="hello",
            timestamp=opened.system.clock.wall_s(),
            metadata={"lang": "en"},
        )
        assert message == expected


class TestActivity:
    @pytest.mark.seed("0.9", "1.5", "3.14")
    def test_by_itself_is_the_time_of_now(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        stage.advance(30.0)

        active_at = opened.ask(RecordActivity(ada))

        assert active_at == opened.system.clock.wall_s()
        assert opened.get(ada).last_active_at == active_at
        assert opened.get(ada).created_at == active_at - 30.0

    @pytest.mark.seed("0.9")
    def test_of_an_unknown_session_is_an_error(self, opened: SessionSystem) -> None:
        with pytest.raises(SessionNotFound, match="nobody"):
            opened.ask(RecordActivity("nobody"))

    @pytest.mark.seed("1.4")
    def test_is_one_step_with_the_message_that_is_appended(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        before = opened.get(ada)
        stage.advance(30.0)

        opened.ask(AppendMessage(ada, Role.USER, "hello"))

        after = opened.get(ada)
        (message,) = opened.messages(ada)
        assert after.version == before.version + 1
        assert after.last_active_at == message.timestamp == before.last_active_at + 30.0

    @pytest.mark.seed("1.13")
    def test_is_one_step_with_an_update(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        before = opened.get(ada)
        stage.advance(30.0)

        after = opened.ask(UpdateSession(ada, fn=lambda _: SessionPatch(metadata={"a": 1})))

        assert after.version == before.version + 1
        assert after.last_active_at == before.last_active_at + 30.0


class TestASnapshot:
    @pytest.mark.seed("0.6", "1.8", "2.29", "3.29")
    def test_cannot_be_changed_and_what_it_was_made_of_is_no_part_of_it(
        self, opened: SessionSystem
    ) -> None:
        given: dict[str, Any] = {"tags": ["a"], "deep": {"er": [1]}}
        ada = opened.ask(CreateSession(metadata=given)).id
        snapshot = opened.get(ada)

        given["tags"].append("b")
        given["deep"]["er"].append(2)
        metadata: Any = snapshot.metadata
        for change in (
            lambda: setattr(snapshot, "state", SessionState.CLEANED),
            lambda: metadata.update(tags=()),
            lambda: metadata["deep"].__setitem__("er", ()),
        ):
            with pytest.raises((AttributeError, TypeError)):
                change()

        assert opened.get(ada).metadata == {"tags": ("a",), "deep": {"er": (1,)}}

    @pytest.mark.seed("0.6", "2.29")
    def test_stays_what_it_was_when_the_session_goes_on(
        self, opened: SessionSystem, ada: str
    ) -> None:
        before = opened.get(ada)

        opened.ask(AppendMessage(ada, Role.USER, "hello"))

        assert (before.message_count, opened.get(ada).message_count) == (0, 1)

    @pytest.mark.seed("0.8")
    @pytest.mark.parametrize(
        "copied",
        [copy.copy, copy.deepcopy, msgspec.structs.replace],
        ids=lambda each: each.__name__,
    )
    def test_can_be_copied(self, opened: SessionSystem, ada: str, copied: Any) -> None:
        snapshot = opened.get(ada)

        assert copied(snapshot) == snapshot
        assert msgspec.structs.replace(snapshot, agent_role="cook").agent_role == "cook"
        assert opened.get(ada).agent_role == "guide"

    @pytest.mark.seed("3.29")
    def test_holds_values_only(self, opened: SessionSystem, ada: str) -> None:
        opened.ask(Say(ada, text="hello"))
        snapshot = msgspec.structs.replace(opened.get(ada), data=None)

        assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Session) == snapshot


class TestTheId:
    @pytest.mark.seed("1.1")
    def test_has_one_type_wherever_a_session_is_named(self) -> None:
        doors = (callboard.actors.__dict__[name] for name in callboard.actors.__all__)
        named = {
            each.__name__: each.__annotations__["session_id"]
            for each in doors
            if isinstance(each, type)
            and each.__module__.endswith(".messages")
            and "session_id" in each.__annotations__
        }

        assert len(named) > 10
        assert {hint.removesuffix(" | None") for hint in named.values()} == {"SessionId"}
        assert get_type_hints(SessionMessage)["session_id"] == SessionId
        assert Session.__annotations__["id"] == "SessionId"

    @pytest.mark.seed("1.1")
    @pytest.mark.parametrize(
        "wrong", ["", "x" * 129, 7, b"ada"], ids=["empty", "long", "int", "bytes"]
    )
    def test_is_looked_at_when_it_is_given(self, opened: SessionSystem, wrong: Any) -> None:
        with pytest.raises(InvalidField, match="session_id"):
            opened.ask(CreateSession(session_id=wrong))
