"""Sessions and messages in bytes: what is read is what was said, or it is refused with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors import AgentSpec, McpSpec, Message, Role, SecretRef, Session, SessionActor
from callboard.actors.sessions.coding import (
    SessionCoder,
    Unreadable,
    data_type_of,
    message,
    standing_of,
    standing_to_keep,
)
from callboard.actors.sessions.frozen import EMPTY, freeze
from callboard.actors.sessions.links import AgentInfo, ClientInfo, McpClientInfo
from callboard.actors.sessions.log import EMPTY_LOG
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Standing
from callboard.actors.storage.records import Head, MessageRecord, Stored
from callboard.supervision import InvalidSpec


class Place(msgspec.Struct, frozen=True):
    row: int
    tags: frozenset[str] = frozenset()


class Plan(msgspec.Struct, frozen=True, tag=True):
    places: tuple[Place, ...] = ()
    when: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    notes: Mapping[str, object] = EMPTY


class Dream(msgspec.Struct, frozen=True, tag=True):
    vivid: bool = True


class Weighed(msgspec.Struct, frozen=True, eq=False):
    by: float = 0.0
    note: Any = None


class Weigher(SessionActor[Weighed]):
    """Its data compares by identity."""


class Planner(SessionActor[Plan]):
    pass


class BoldPlanner(Planner):
    pass


class Either(SessionActor[Plan | Dream]):
    pass


CODER = SessionCoder({"planner": BoldPlanner, "either": Either, "session": SessionActor})

FULL = Session(
    id="ada",
    kind="planner",
    user_id="ada",
    org_id="acme",
    agent_role="guide",
    state=SessionState.ACTIVE,
    state_reason="why",
    state_since=1.5,
    created_at=1.25,
    last_active_at=2.5,
    workspace="/w/ada",
    system_prompt="Be brief \u00e9\U0001f600",
    variables=freeze("variables", {"name": "Ada", "n": 2**63}),
    message_count=7,
    last_seq=7,
    mcp_servers=(
        McpClientInfo(
            id="tools",
            spec=McpSpec(id="tools", command=("run",), env={"KEY": SecretRef("key"), "A": "b"}),
        ),
    ),
    agent=AgentInfo(
        spec=AgentSpec(command=("agent",)),
        capabilities=freeze("capabilities", {"load": [True, {"deep": 1}]}),
    ),
    client=ClientInfo(peer="10.0.0.1"),
    client_capabilities=freeze("client_capabilities", {}),
    metadata=freeze("metadata", {"a": [1, {"b": None}], "\u2028": 1.5}),
    data=Plan((Place(1, frozenset({"x"})),), notes=freeze("notes", {"k": [1]})),
    version=9,
)


def stored(session: Session, coder: SessionCoder = CODER) -> Stored:
    body = coder.body(session, None)
    assert body is not None
    return Stored(session.id, coder.head(session, 3), body)


class TestASession:
    def test_is_read_as_it_was_said(self) -> None:
        assert CODER.session(stored(FULL)) == FULL

    def test_of_defaults_is_read_as_it_was_said(self) -> None:
        plain = Session(id='with "quotes" \\ and \n')

        assert CODER.session(stored(plain)) == plain

    def test_that_was_read_can_be_changed_by_nobody(self) -> None:
        read: Any = CODER.session(stored(FULL))

        for mapping in (read.metadata, read.metadata["a"][1], read.agent.capabilities):
            with pytest.raises(TypeError, match="frozen snapshot"):
                mapping["new"] = 1

    def test_says_what_seldom_changes_only_when_it_has(self) -> None:
        hot = msgspec.structs.replace(
            FULL, version=10, last_seq=8, message_count=8, last_active_at=3.0
        )

        assert CODER.body(hot, FULL) is None
        for changes in ({"metadata": EMPTY}, {"data": None}, {"state_reason": "else"}):
            assert CODER.body(msgspec.structs.replace(FULL, **changes), FULL) is not None

    def test_says_nothing_of_its_incarnations(self) -> None:
        failed = msgspec.structs.replace(FULL, restarts=3, last_error="boom", failed_on="Say")

        assert CODER.body(failed, FULL) is None
        assert CODER.session(stored(failed)).restarts == 0

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "truncated"),
            (b'{"kind": 7}', "kind"),
            (b'{"kind": "planner", "data": {"type": "Plan", "places": 7}}', "places"),
            (b'{"kind": "unknown", "data": {}}', "unknown"),
            (b'{"kind": "session", "data": {}}', "session"),
        ],
    )
    def test_that_says_something_else_is_unreadable(self, body: bytes, why: str) -> None:
        with pytest.raises(Unreadable, match=why):
            CODER.session(Stored("ada", Head("active", 1, 1, 0, 0, 0.0), body))

    @pytest.mark.parametrize(
        ("data", "field", "wanted"),
        [
            (b'{"type": "Plan", "places": 7}', "data.places", "a list, not a whole number"),
            (b"7", "data", "an object, not a whole number"),
        ],
    )
    def test_whose_data_has_another_type_names_field_type_and_class(
        self, data: bytes, field: str, wanted: str
    ) -> None:
        body = b'{"kind": "planner", "data": %s}' % data

        with pytest.raises(Unreadable) as unreadable:
            CODER.session(Stored("ada", Head("active", 1, 1, 0, 0, 0.0), body))

        assert unreadable.value.field == field
        assert f"({field}: " in str(unreadable.value)
        assert wanted in str(unreadable.value)
        assert "tests.sessions.test_coding." in str(unreadable.value)
        assert "`--session MODULE:CLASS`" in str(unreadable.value.remedy)

    def test_in_a_state_that_there_is_not_is_unreadable(self) -> None:
        wrong = msgspec.structs.replace(stored(FULL), head=Head("dozing", 1, 1, 0, 0, 0.0))

        with pytest.raises(Unreadable, match="dozing"):
            CODER.session(wrong)


class TestData:
    def test_is_of_the_type_that_the_behaviour_declares(self) -> None:
        assert data_type_of(BoldPlanner) is Plan
        assert data_type_of(Either) == Plan | Dream
        assert data_type_of(SessionActor) is None

    @pytest.mark.parametrize("data", [Plan(), Dream(vivid=False)])
    def test_of_one_of_several_types_is_read_as_it_was(self, data: object) -> None:
        session = Session(id="a", kind="either", data=data)

        assert CODER.session(stored(session)) == session

    @pytest.mark.parametrize("kind", ["planner", "session"])
    def test_of_another_type_is_refused(self, kind: str) -> None:
        with pytest.raises(InvalidSpec, match=r"SessionActor\[Dream\]"):
            CODER.body(Session(id="a", kind=kind, data=Dream()), None)

    def test_that_json_cannot_say_is_refused(self) -> None:
        notes: Any = MappingProxyType({"what": 1 + 2j})

        with pytest.raises(InvalidSpec, match="data"):
            CODER.body(Session(id="a", kind="planner", data=Plan(notes=notes)), None)

    @pytest.mark.parametrize(
        "data",
        [
            Weighed(by=math.nan),
            Weighed(by=math.inf),
            Weighed(note=math.nan),
            Weighed(note=b"text"),
            Weighed(note=(1, (math.inf,))),
            Weighed(note=freeze("note", {"a": 1}) | {"b": b"x"}),
        ],
        ids=repr,
    )
    def test_that_would_not_come_back_is_refused(self, data: object) -> None:
        coder = SessionCoder({"weigher": Weigher})

        with pytest.raises(InvalidSpec, match="data"):
            coder.body(Session(id="a", kind="weigher", data=data), None)

    def test_that_compares_by_identity_comes_back(self) -> None:
        coder = SessionCoder({"weigher": Weigher})
        data = Weighed(1.5, note=(1, freeze("note", {"a": (None, "b")})))

        assert coder.body(Session(id="a", kind="weigher", data=data), None)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


class TestAMessage:
    @given(
        content=TEXT,
        metadata=st.dictionaries(TEXT, JSON),
        key=st.none() | TEXT.filter(bool),
        role=st.sampled_from(Role),
        at=st.floats(0, 1e12),
    )
    def test_is_read_as_it_was_said(
        self, content: str, metadata: dict[str, Any], key: str | None, role: Role, at: float
    ) -> None:
        said = Message(1, role, content, at, freeze("metadata", metadata), key)

        (record,) = CODER.messages(EMPTY_LOG.append(said), 0)

        assert message(record) == said

    def test_that_says_something_else_is_unreadable(self) -> None:
        with pytest.raises(Unreadable, match="message 7"):
            message(MessageRecord(7, None, b'{"role": "nobody", "content": "", "timestamp": 0}'))


class TestWhatIsKnownOfIncarnations:
    def kept(self, standing: Standing, *, seconds_later: float = 0.0) -> Standing:
        said = standing_to_keep(standing, wall_s=1_000.0, now_s=50.0)
        record = msgspec.structs.replace(stored(FULL), standing=said)
        return standing_of(record, wall_s=1_000.0 + seconds_later, now_s=7.0)

    def test_is_read_as_it_was_said(self) -> None:
        failed = Standing(3, Presence.RESTARTING, restarts=2, last_error="boom", failed_on="Say")

        assert self.kept(failed) == msgspec.structs.replace(failed, presence=Presence.ASLEEP)

    def test_says_since_when_it_is_quarantined(self) -> None:
        quarantined = Standing(3, Presence.QUARANTINED, since_s=40.0, restarts=4)

        # Ten seconds before it was written, and sixty before it is read.
        assert self.kept(quarantined, seconds_later=60.0) == msgspec.structs.replace(
            quarantined, since_s=7.0 - 70.0
        )

    def test_is_nothing_of_one_that_never_failed(self) -> None:
        assert standing_of(stored(FULL), wall_s=0.0, now_s=0.0) == Standing(3, Presence.ASLEEP)

    def test_that_says_nothing_is_unreadable(self) -> None:
        with pytest.raises(Unreadable):
            standing_of(msgspec.structs.replace(stored(FULL), standing=b"[]"), wall_s=0, now_s=0)
