"""What cannot run sessions is refused when the system is made, and not by its first session."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypedDict

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    InvalidField,
    SessionActor,
    SessionMessage,
    SessionSystem,
)
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import (
    Down,
    Future,
    IdleTimeout,
    InvalidSpec,
    Later,
    Request,
    UnhandledMessage,
    handles,
)
from tests.sessions.stage import Stage


class Tally(msgspec.Struct, frozen=True):
    said: int = 0


class Open(msgspec.Struct):
    said: int = 0


class Say(SessionMessage[int], frozen=True):
    pass


class Loose(SessionMessage[int], frozen=False):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]  # the slip
    pass


class Numbers(SessionMessage[float | None], frozen=True):
    pass


class Texts(SessionMessage[Sequence[str]], frozen=True):
    pass


class Anything(SessionMessage[Any], frozen=True):
    pass


class Row(TypedDict):
    name: str


class Rows(SessionMessage[Row], frozen=True):
    pass


class Named(Protocol):
    name: str


class NameOf(SessionMessage[Named], frozen=True):
    pass


@dataclasses.dataclass(frozen=True)
class Tick:
    number: int


@dataclasses.dataclass
class Tock:
    number: int


def handler_of(message: type[Any], returns: Any = None) -> type[SessionActor[Any]]:
    """Return a behaviour with a handler of a message that says that it returns this."""

    def on_message(_self: object, _message: object) -> None:
        """Handle it."""

    on_message.__annotations__ = {} if returns is None else {"return": returns}
    return type("Guide", (SessionActor,), {"on_message": handles(message)(on_message)})


def keeper_of(kind: Any) -> type[SessionActor[Any]]:
    """Return a behaviour whose data has a field of this type."""
    data = msgspec.defstruct("Notes", [("first", int), ("what", kind)], frozen=True)

    class Keeper(SessionActor[data]):  # type: ignore[valid-type]  # made here
        pass

    return Keeper


def refusal_of(behaviour: type[SessionActor[Any]], **options: Any) -> InvalidSpec:
    """Return what a system with this behaviour is refused with, whichever of its kinds it is."""
    with pytest.raises(InvalidSpec) as refused:
        SessionSystem(behaviour, **options)
    with pytest.raises(InvalidSpec, match=refused.value.field):
        SessionSystem(kinds={"guide": behaviour}, **options)
    return refused.value


class TestAHandler:
    @pytest.mark.parametrize("kind", [str, int, object, dict, Path])
    def test_of_what_is_no_message_is_refused(self, kind: type[Any]) -> None:
        refused = refusal_of(handler_of(kind))

        assert (refused.field, refused.value) == ("handles", "Guide.on_message")
        assert refused.remedy.startswith(f"{kind.__name__} is no message: make one, class ")

    @pytest.mark.parametrize("kind", [Loose, Open, Tock])
    def test_of_a_message_that_can_be_changed_is_refused(self, kind: type[Any]) -> None:
        refused = refusal_of(handler_of(kind))

        assert (refused.field, refused.value) == ("handles", "Guide.on_message")
        assert (
            refused.remedy == f"{kind.__name__} could be changed on its way: make it frozen=True."
        )

    @pytest.mark.parametrize("kind", [Say, Tally, Tick, Down, IdleTimeout, AppendMessage])
    def test_of_what_is_frozen_is_taken(self, kind: type[Any]) -> None:
        SessionSystem(handler_of(kind))

    @pytest.mark.parametrize(
        ("message", "returns", "said"),
        [
            (Say, str, "Say declares int as its reply, and this returns str: mend one of the two."),
            (Say, type(None), "int as its reply, and this returns NoneType"),
            (Say, int | None, r"int as its reply, and this returns int \| None"),
            (Say, Literal["a"], "returns typing.Literal"),
            (Say, list[int], r"returns list\[int\]"),
            (Say, "str", "returns str"),
            (Numbers, str, r"float \| None as its reply, and this returns str"),
            (Texts, Tally, "returns Tally"),
            (Rows, str, "returns str"),
            (AppendMessage, str, "AppendMessage declares int"),
        ],
    )
    def test_that_returns_another_type_than_its_message_declares_is_refused(
        self, message: type[Any], returns: Any, said: str
    ) -> None:
        refused = refusal_of(handler_of(message, returns))

        assert (refused.field, refused.value) == ("handles", "Guide.on_message")
        with pytest.raises(InvalidSpec, match=said):
            raise refused

    @pytest.mark.parametrize(
        ("message", "returns"),
        [
            (Say, None),  # it does not say what
            (Say, int),
            (Say, bool),
            (Say, int | Later),
            (Say, Future[int]),
            (Say, Awaitable[int]),
            (Say, Any),
            (Say, int | Any),
            (Say, "Unknown"),
            (Numbers, int),
            (Numbers, type(None)),
            (Texts, tuple[str, ...]),
            (Anything, str),
            (NameOf, Tally),
            (Rows, dict[str, str]),
            (Tally, str),  # which declares no reply
        ],
    )
    def test_that_returns_what_may_be_its_reply_is_taken(
        self, message: type[Any], returns: Any
    ) -> None:
        SessionSystem(handler_of(message, returns))


class TestAnInit:
    def test_that_does_not_take_what_it_is_given_is_refused(self) -> None:
        class Guide(SessionActor[None]):
            def __init__(self) -> None:
                """Take nothing."""

        refused = refusal_of(Guide)

        assert refused.field == "__init__"
        assert "Guide(self) -> " in str(refused)
        assert "leave it out and begin in on_start" in refused.remedy

    def test_that_takes_it_is_taken(self) -> None:
        class Guide(SessionActor[None]):
            def __init__(self, *given: Any, colour: str = "red") -> None:
                super().__init__(*given)
                self.colour = colour

        SessionSystem(Guide)


class TestData:
    @pytest.mark.parametrize("kind", [dict, Open, Tock, str, Tally | Open, list[int]])
    def test_that_is_no_frozen_struct_is_refused(self, kind: Any) -> None:
        class Guide(SessionActor[kind]):
            pass

        refused = refusal_of(Guide)

        assert refused.field == "data"
        assert str(refused.value).startswith(f"{Guide.__qualname__}[")
        assert refused.remedy == "Use one msgspec.Struct with frozen=True."

    @pytest.mark.in_memory  # there it is taken
    @pytest.mark.parametrize("kind", [tzinfo, complex, type, tuple[Path, ...]])
    def test_that_no_store_can_give_back_is_refused_where_there_is_one(
        self, kind: Any, tmp_path: Path
    ) -> None:
        SessionSystem(keeper_of(kind))

        for store in (tmp_path / "sessions.db", StoreInMemory()):
            refused = refusal_of(keeper_of(kind), store=store)
            assert refused.field == "data.what"
            assert str(refused.value).split(" of ")[0] in {"tzinfo", "complex", "type", "Path"}
            assert str(refused.value).endswith("Keeper")
            assert refused.remedy.startswith("A store keeps JSON: use text, numbers")
        assert list(tmp_path.iterdir()) == []

    def test_of_types_that_cannot_be_told_apart_is_refused_where_there_is_a_store(self) -> None:
        class Other(msgspec.Struct, frozen=True):
            heard: int = 0

        class Guide(SessionActor[Tally | Other]):
            pass

        refused = refusal_of(Guide, store=StoreInMemory())

        assert refused.field == "data"
        assert "all Struct types must be tagged" in refused.remedy

    @pytest.mark.in_memory  # there it is taken
    def test_of_no_declared_type_is_refused_where_a_store_is_to_keep_it(self) -> None:
        class Guide(SessionActor):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]  # the slip
            def initial_data(self) -> Tally:
                return Tally()

        SessionSystem(Guide)
        refused = refusal_of(Guide, store=StoreInMemory())

        assert (refused.field, refused.value) == ("data", f"{Guide.__qualname__}.initial_data")
        assert "(SessionActor[Data])" in refused.remedy

    @pytest.mark.parametrize(
        "kind", [int, datetime, Mapping[str, object], tuple[Tally, ...], bytes | None, Any]
    )
    def test_that_comes_back_is_taken(self, kind: Any) -> None:
        SessionSystem(keeper_of(kind), store=StoreInMemory())

    def test_of_none_and_of_any_type_is_taken(self) -> None:
        class Bare(SessionActor[None]):
            def initial_data(self) -> None:
                return None

        class Free(SessionActor[Any]):
            pass

        for behaviour in (Bare, Free, SessionActor):
            SessionSystem(behaviour, store=StoreInMemory())


class Weigh(SessionMessage[None], frozen=True):
    by: float


class Weight(msgspec.Struct, frozen=True):
    by: float = 0.0
    more: tuple[Mapping[str, float], ...] = ()


class Scales(SessionActor[Weight]):
    @handles(Weigh)
    def on_weigh(self, message: Weigh) -> None:
        self.update(data=Weight(more=(MappingProxyType({"by": message.by}),)))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_no_store_can_keep_is_named_with_what_can(
    stage: Stage, number: float
) -> None:
    sessions = stage.open(session=Scales, store=StoreInMemory())
    ada = sessions.ask(CreateSession()).id

    with pytest.raises(InvalidSpec) as refused:
        sessions.ask(Weigh(ada, number))

    assert refused.value.field == "data.more[0].by"
    assert refused.value.value is number
    assert refused.value.remedy == "Give a finite number, or None: JSON has no other."


class Foreign(Request[int], frozen=True):
    """A message that is for nobody here."""


class TestWhatIsNoMessage:
    @pytest.mark.parametrize(
        ("given", "remedy"),
        [
            ("text", r"^str is no message: give one of callboard\.actors, as CreateSession\("),
            (None, "^NoneType is no message"),
            (Tick(1), r"^tests\.sessions\.test_behaviours\.Tick is no message"),
            (CreateSession, r"^Send an instance of it: CreateSession\(\.\.\.\)\.$"),
        ],
        ids=repr,
    )
    def test_is_refused_before_it_is_sent(
        self, opened: SessionSystem, given: Any, remedy: str
    ) -> None:
        before = opened.system.dead_letters.count

        for send in (opened.ask, opened.tell):
            with pytest.raises(InvalidField, match=r"^message=") as refused:
                send(given)
            assert refused.value.value is given
            with pytest.raises(AssertionError, match=remedy):
                raise AssertionError(refused.value.remedy)

        assert opened.system.dead_letters.count == before

    def test_of_the_sessions_says_what_is(self, opened: SessionSystem) -> None:
        with pytest.raises(UnhandledMessage, match="no handler for Foreign") as refused:
            opened.ask(Foreign())

        assert refused.value.remedy == "Make it a SessionMessage if it is for a session."
