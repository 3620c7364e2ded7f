"""What a behaviour keeps as its `data` cannot be changed from within."""

from __future__ import annotations

import dataclasses
import datetime as dt
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from callboard.actors import CreateSession, SessionActor, SessionMessage
from callboard.actors.sessions.data import checked_data
from callboard.actors.sessions.frozen import FrozenDict
from callboard.actors.sessions.unchanging import changeable
from callboard.supervision import InvalidSpec, handles
from tests.sessions.stage import Stage


class Held(msgspec.Struct, frozen=True):
    value: Any = None
    other: Any = None


class Open(msgspec.Struct):
    value: Any = None


@dataclasses.dataclass(frozen=True)
class Point:
    at: Any = None


@dataclasses.dataclass
class Loose:
    at: Any = None


UNCHANGING: list[object] = [
    None,
    1,
    "text",
    b"bytes",
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    (1, ("two", frozenset({3}))),
    FrozenDict(a=(1, 2)),
    MappingProxyType({"a": 1}),
    Held((1, Held("x"))),
    Point((1, 2)),
]
CHANGING: list[object] = [
    [],
    {},
    set[int](),
    bytearray(),
    (1, [2]),
    FrozenDict(a=[1]),
    MappingProxyType({"a": {"b": 1}}),
    Held([]),
    Open(),
    Loose(),
    Point([]),
]


@pytest.mark.parametrize("value", UNCHANGING, ids=lambda value: type(value).__name__)
def test_what_nobody_can_change_is_taken(value: object) -> None:
    assert changeable(Held(value)) is None


@pytest.mark.parametrize("value", CHANGING, ids=lambda value: type(value).__name__)
def test_what_somebody_can_change_is_refused_by_its_field(value: object) -> None:
    assert changeable(Held(1, value)) == "other"
    with pytest.raises(InvalidSpec, match=rf"data\.other='{type(value).__name__}' .* tuples"):
        checked_data(Held(1, value))


class Watched(FrozenDict):
    """Says how often it was looked at."""

    looks = 0

    def values(self) -> Any:
        Watched.looks += 1
        return super().values()


def test_what_was_there_before_is_not_looked_at_again() -> None:
    before = Held(Watched(a=1))
    assert changeable(before) is None

    assert changeable(msgspec.structs.replace(before, other=1), before) is None

    assert Watched.looks == 1


class Notes(msgspec.Struct, frozen=True):
    lines: list[str] = msgspec.field(default_factory=list[str])


class Note(SessionMessage[None], frozen=True):
    pass


class Notebook(SessionActor[Notes]):
    @handles(Note)
    def on_note(self, message: Note) -> None:
        del message
        self.update(data=Notes(["half"]))


def test_a_behaviour_whose_data_could_be_half_changed_crashes_and_keeps_nothing(
    stage: Stage,
) -> None:
    sessions = stage.open(session=Notebook)
    ada = sessions.ask(CreateSession()).id

    with pytest.raises(InvalidSpec, match=r"data\.lines"):
        sessions.ask(Note(ada))

    assert sessions.get(ada).data is None
