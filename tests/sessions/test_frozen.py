"""What a caller gives becomes a value that nobody can change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.errors import InvalidField, MessageTooLarge
from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.frozen import EMPTY, FrozenDict, freeze

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)
json_objects = st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=5)


@given(json_objects)
def test_freezing_keeps_what_json_says(given_: dict[str, object]) -> None:
    assert msgspec.json.encode(freeze("metadata", given_)) == msgspec.json.encode(given_)


@given(json_objects)
def test_freezing_twice_is_freezing_once(given_: dict[str, object]) -> None:
    once = freeze("metadata", given_)

    assert freeze("metadata", once) == once


def test_a_later_change_by_the_caller_reaches_no_snapshot() -> None:
    tags = ["a"]
    given_: dict[str, object] = {"tags": tags, "deep": {"more": {"x": 1}}}
    frozen = freeze("metadata", given_)

    tags.append("b")
    given_["new"] = 1

    assert frozen == {"tags": ("a",), "deep": {"more": {"x": 1}}}


CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda frozen: frozen.__setitem__("a", 2),
    "delete": lambda frozen: frozen.__delitem__("a"),
    "update": lambda frozen: frozen.update(a=2),
    "pop": lambda frozen: frozen.pop("a"),
    "popitem": lambda frozen: frozen.popitem(),
    "clear": lambda frozen: frozen.clear(),
    "setdefault": lambda frozen: frozen.setdefault("b", 2),
    "or": lambda frozen: frozen.__ior__({"b": 2}),
    "deep": lambda frozen: frozen["deep"].update(x=1),
    "append": lambda frozen: frozen["list"].append(1),
}


@pytest.mark.seed("3.29")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nobody_can_change_what_is_frozen(change: Callable[[Any], object]) -> None:
    frozen = freeze("metadata", {"a": 1, "deep": {}, "list": [1], "full": {"x": 1}})

    with pytest.raises((TypeError, AttributeError)):
        change(frozen)

    assert frozen == {"a": 1, "deep": {}, "list": (1,), "full": {"x": 1}}


REFUSED: dict[str, tuple[object, str]] = {
    "an object": ({"a": object()}, "metadata.a"),
    "a set": ({"a": {1}}, "metadata.a"),
    "bytes": ({"a": b"x"}, "metadata.a"),
    "not a number": ({"a": float("nan")}, "metadata.a"),
    "infinity": ({"a": [1.0, float("inf")]}, "metadata.a[1]"),
    "a huge number": ({"a": 2**64}, "metadata.a"),
    "a key that is no text": ({"a": {1: 2}}, "metadata.a"),
    "half a surrogate": ({"a": "\ud800"}, "metadata"),
    "no mapping": ([1], "metadata"),
}


@pytest.mark.parametrize(("value", "field"), REFUSED.values(), ids=REFUSED)
def test_what_json_cannot_say_is_refused_by_its_path(value: Any, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        freeze("metadata", value)

    assert refused.value.field == field


def test_what_holds_itself_is_too_deep() -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop

    with pytest.raises(InvalidField, match="Nest less deep"):
        freeze("metadata", loop)


def test_depth_is_bounded_exactly() -> None:
    limits = SessionLimits(metadata_depth_max=2)

    assert freeze("metadata", {"a": {"b": 1}}, limits) == {"a": {"b": 1}}
    with pytest.raises(InvalidField):
        freeze("metadata", {"a": {"b": {}}}, limits)


def test_size_is_bounded_exactly() -> None:
    limits = SessionLimits(metadata_bytes_max=10)

    assert freeze("metadata", {"a": "xy"}, limits)
    with pytest.raises(MessageTooLarge) as refused:
        freeze("metadata", {"a": "xyz"}, limits)
    assert (refused.value.value, refused.value.bytes_max) == (11, 10)


def test_what_is_empty_is_shared() -> None:
    assert freeze("metadata", {}) is EMPTY


def test_copies_of_what_cannot_change_are_itself() -> None:
    frozen = freeze("metadata", {"a": {"b": 1}})

    assert copy.copy(frozen) is frozen
    assert copy.deepcopy(frozen) is frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen  # noqa: S301 # our own bytes
    assert isinstance(frozen["a"], FrozenDict)
