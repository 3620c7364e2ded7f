"""The message API: frozen, typed by the reply, checked before it is sent."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, assert_type

import msgspec
import pytest

from callboard.actors import messages
from callboard.actors.checks import check, check_tenant
from callboard.actors.errors import (
    InvalidField,
    InvalidOrgId,
    InvalidUserId,
    MessageTooLarge,
    SessionError,
)
from callboard.actors.limits import SessionLimits
from callboard.actors.link_messages import AddMcpClient
from callboard.actors.messages import (
    AppendMessage,
    CleanupInactive,
    CountSessions,
    CreateSession,
    FindSession,
    GetMessages,
    GetSession,
    Health,
    InjectCrash,
    ListSessions,
    PassivateSession,
    RecordActivity,
    ReviveSession,
    SessionMessage,
    SessionPage,
    Shutdown,
    Subscribe,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions.data import Role, Session, SessionPatch
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.links import McpSpec, Transport
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.requests import Request

R = TypeVar("R")


class Point(msgspec.Struct, frozen=True):
    x: int


class Question(SessionMessage[str], frozen=True, kw_only=True):
    text: str
    points: tuple[Point, ...] = ()
    at: Point | None = None
    notes: Mapping[str, int] = {}
    call: Callable[[], int] | None = None


def ask(message: Request[R]) -> R:
    """Stand for every `ask`: what it returns is the message's own reply type."""
    raise AssertionError(message)


def types_of_the_replies() -> None:
    """Is never run: both type checkers read it."""
    assert_type(ask(Question("s", text="hello")), str)
    assert_type(ask(CreateSession()), Session)
    assert_type(ask(FindSession("s")), Session | None)
    assert_type(ask(AppendMessage("s", Role.USER, "x")), int)
    assert_type(ask(ListSessions()), SessionPage)
    assert_type(ask(CleanupInactive()), tuple[str, ...])


ALL: list[type[Request[Any]]] = [
    each
    for each in vars(messages).values()
    if inspect.isclass(each) and issubclass(each, Request) and each.__module__ == messages.__name__
]


@pytest.mark.parametrize("message_type", ALL, ids=lambda each: each.__name__)
def test_every_message_is_frozen(message_type: type[msgspec.Struct]) -> None:
    assert message_type.__struct_config__.frozen


@pytest.mark.parametrize("message_type", ALL, ids=lambda each: each.__name__)
def test_every_message_is_documented_field_by_field(message_type: type[msgspec.Struct]) -> None:
    text = inspect.getdoc(message_type) or ""

    assert all(f"{field}: " in text for field in message_type.__struct_fields__)


def test_the_session_id_is_the_first_field_and_positional() -> None:
    assert Question("s", text="hello").session_id == "s"
    for each in ALL:
        if "session_id" in each.__struct_fields__ and each is not CreateSession:
            assert each.__struct_fields__[0] == "session_id"


GOOD: list[msgspec.Struct] = [
    CreateSession(),
    CreateSession(user_id="../../etc", org_id=".", metadata={"a": [1]}, idempotency_key="k"),
    CreateSession(user_id="é" * 300, session_id="mine"),
    GetSession("s", 10),
    FindSession(agent_role="guide"),
    ListSessions(user_id="ada", limit=1_000, fields="id"),
    CountSessions(),
    AppendMessage("s", Role.USER, ""),
    AppendMessage("s", Role.TOOL, "💬", "key", {"deep": {"a": (1, None)}}),
    GetMessages("s", 5, 10),
    UpdateSession("s", patch=SessionPatch(metadata={}, system_prompt=None)),
    UpdateSession("s", fn=lambda _: SessionPatch(), expected_version=0),
    RecordActivity("s"),
    TerminateSession("s", "", 0),
    CleanupInactive(idle_longer_than_s=0, dry_run=True),
    ReviveSession("s", SessionPatch(variables={"a": "b"})),
    PassivateSession("s"),
    InjectCrash("s"),
    InjectCrash(part="front/manager"),
    Shutdown(),
    Health(),
    Question("s", text="hello", points=(Point(1),), at=Point(2), notes={"a": 1}, call=lambda: 1),
]


@pytest.mark.parametrize("message", GOOD, ids=lambda each: type(each).__name__)
def test_a_message_that_is_right_passes(message: msgspec.Struct) -> None:
    check(message)


def wrong(message_type: Callable[..., msgspec.Struct], *args: Any, **fields: Any) -> msgspec.Struct:
    """Make a message as a program without a type checker would."""
    return message_type(*args, **fields)


BAD: list[tuple[msgspec.Struct, type[SessionError], str]] = [
    (wrong(CreateSession, user_id=""), InvalidUserId, "user_id"),
    (wrong(CreateSession, user_id="a\0b"), InvalidUserId, "user_id"),
    (wrong(CreateSession, user_id="\ud800"), InvalidUserId, "user_id"),
    (wrong(CreateSession, user_id="x" * 513), InvalidUserId, "user_id"),
    (wrong(CreateSession, org_id=""), InvalidOrgId, "org_id"),
    (wrong(CreateSession, user_id=7), InvalidField, "user_id"),
    (wrong(CreateSession, session_id=""), InvalidField, "session_id"),
    (wrong(CreateSession, metadata=[1]), InvalidField, "metadata"),
    (wrong(CreateSession, metadata={"a": {1}}), InvalidField, "metadata.a"),
    (wrong(CreateSession, metadata={"a": "x" * 70_000}), MessageTooLarge, "metadata"),
    (wrong(CreateSession, activate="yes"), InvalidField, "activate"),
    (wrong(GetSession, None), InvalidField, "session_id"),
    (wrong(GetSession, "s", -1), InvalidField, "messages"),
    (wrong(GetSession, "s", True), InvalidField, "messages"),
    (wrong(ListSessions, state="nope"), InvalidField, "state"),
    (wrong(ListSessions, presence="gone"), InvalidField, "presence"),
    (wrong(ListSessions, limit=0), InvalidField, "limit"),
    (wrong(ListSessions, limit=1_001), InvalidField, "limit"),
    (wrong(ListSessions, fields="some"), InvalidField, "fields"),
    (wrong(ListSessions, idle_longer_than_s=-1.0), InvalidField, "idle_longer_than_s"),
    (wrong(CountSessions, idle_longer_than_s=float("nan")), InvalidField, "idle_longer_than_s"),
    (wrong(AppendMessage, "s", "boss", "x"), InvalidField, "role"),
    (wrong(AppendMessage, "s", Role.USER, b"x"), InvalidField, "content"),
    (wrong(AppendMessage, "s", Role.USER, "\udfff"), InvalidField, "content"),
    (wrong(AppendMessage, "s", Role.USER, "é" * 524_289), MessageTooLarge, "content"),
    (wrong(AppendMessage, "s", Role.USER, "x", ""), InvalidField, "client_msg_id"),
    (wrong(AppendMessage, "s", Role.USER, "x", "k" * 257), InvalidField, "client_msg_id"),
    (wrong(GetMessages, "s", -1), InvalidField, "after_seq"),
    (wrong(GetMessages, "s", 0, 10_001), InvalidField, "limit"),
    (wrong(UpdateSession, "s", patch={"metadata": {}}), InvalidField, "patch"),
    (wrong(UpdateSession, "s", patch=SessionPatch(metadata=3)), InvalidField, "patch.metadata"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    (
        UpdateSession("s", patch=SessionPatch(system_prompt="x" * 300_000)),
        MessageTooLarge,
        "system_prompt",
    ),
    (wrong(UpdateSession, "s", fn=3), InvalidField, "fn"),
    (wrong(UpdateSession, "s", expected_version=-1), InvalidField, "expected_version"),
    (wrong(RecordActivity, "s", ""), InvalidField, "kind"),
    (wrong(TerminateSession, "s", "x" * 1_025), InvalidField, "reason"),
    (wrong(TerminateSession, "s", "", float("inf")), InvalidField, "grace_s"),
    (wrong(InjectCrash, "s", None, "gently"), InvalidField, "how"),
    (wrong(Question, "s", text=3), InvalidField, "text"),
    (wrong(Question, "", text="x"), InvalidField, "session_id"),
    (wrong(Question, "s", text="x", points=(Point("y"),)), InvalidField, "points[0].x"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    (wrong(Question, "s", text="x", at={"x": 1}), InvalidField, "at"),
    (wrong(Question, "s", text="x", notes={"a": "b"}), InvalidField, "notes[...]"),
    (wrong(Question, "s", text="x", notes={1: 1}), InvalidField, "notes"),
    (wrong(Question, "s", text="x", call=1), InvalidField, "call"),
]


@pytest.mark.parametrize(
    ("message", "error", "field"),
    BAD,
    ids=[f"{type(message).__name__}-{field}-{n}" for n, (message, _, field) in enumerate(BAD)],
)
def test_a_message_that_is_wrong_is_refused_by_field(
    message: msgspec.Struct, error: type[SessionError], field: str
) -> None:
    with pytest.raises(error) as refused:
        check(message)

    assert type(refused.value) is error
    assert getattr(refused.value, "field", None) == field
    assert hasattr(refused.value, "value")
    assert refused.value.remedy.endswith(".")


def test_a_refusal_carries_the_wrong_value() -> None:
    with pytest.raises(InvalidField) as refused:
        check(wrong(Question, "s", text=3))

    assert refused.value.value == 3


@pytest.mark.parametrize(
    ("message", "field", "remedy"),
    [
        (wrong(Question, "s", text=3), "text", "Give text, not a whole number."),
        (
            wrong(AppendMessage, "s", "happy", "x"),
            "role",
            "Give one of user, assistant, system, tool, thought.",
        ),
        (wrong(CreateSession, metadata=5), "metadata", "Give an object, not a whole number."),
        (
            wrong(UpdateSession, "s", patch={}),
            "patch",
            "Give SessionPatch(...), not dict.",
        ),
        (
            wrong(AddMcpClient, "s", wrong(McpSpec, id="x", transport="tea")),
            "spec.transport",
            f"Give one of {', '.join(Transport)}.",
        ),
        (
            wrong(Subscribe, kinds=("tea",)),
            "kinds[0]",
            f"Give one of {', '.join(EventKind)}.",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_refusal_says_what_to_give_in_the_words_of_http(
    message: msgspec.Struct, field: str, remedy: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        check(message)

    assert (refused.value.field, refused.value.remedy) == (field, remedy)


def test_bounds_are_exact() -> None:
    limits = SessionLimits(content_bytes_max=4, page_messages_max=2)

    check(AppendMessage("s", Role.USER, "éé"), limits)
    check(GetMessages("s", limit=2), limits)
    with pytest.raises(MessageTooLarge):
        check(AppendMessage("s", Role.USER, "éé."), limits)


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(InvalidSpec) as refused:
        SessionLimits(content_bytes_max=0)

    assert refused.value.field == "content_bytes_max"


def test_a_users_message_with_types_of_its_function_passes() -> None:
    class Local(msgspec.Struct, frozen=True):
        x: int

    class Odd(SessionMessage[None], frozen=True):
        local: Local

    check(Odd("s", Local(1)))
    with pytest.raises(InvalidField):
        check(wrong(Odd, "", Local(1)))


@pytest.mark.parametrize(
    ("user_id", "org_id", "error"),
    [(None, "acme", InvalidUserId), ("ada", None, InvalidOrgId)],
)
def test_tenants_must_say_who_they_are(
    user_id: str | None, org_id: str | None, error: type[InvalidField]
) -> None:
    with pytest.raises(error):
        check_tenant(user_id, org_id)


def test_tenants_that_say_who_they_are_pass() -> None:
    check_tenant("ada", "acme")
