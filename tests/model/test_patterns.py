"""Patterns: plain Python values with holes."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.supervision.model.patterns import ANY, fits, value_fits


class Room(msgspec.Struct, frozen=True):
    size: int
    topic: str


class Hall(Room, frozen=True):
    pass


@dataclass(frozen=True)
class Seat:
    row: int
    number: int


class TestAPattern:
    @pytest.mark.parametrize(
        ("pattern", "value"),
        [
            (ANY, None),
            (1, 1),
            ("a", "a"),
            (None, None),
            ((1, ANY), (1, 2)),
            ([ANY, [ANY, 3]], [1, [2, 3]]),
            ({"size": 3}, {"size": 3, "topic": "news"}),
            ({}, {"size": 3}),
            ({"room": {"size": ANY}}, {"room": {"size": 1}}),
            (Room(3, ANY), Room(3, "news")),
            (Seat(ANY, 4), Seat(1, 4)),
            (Room, Hall(1, "")),
            (int, 3),
            (lambda value: value > 3, 4),
            ((int, lambda text: text > "m"), (1, "news")),
        ],
    )
    def test_means(self, pattern: Any, value: Any) -> None:
        assert fits(pattern, value)

    @pytest.mark.parametrize(
        ("pattern", "value"),
        [
            (1, 1.0),
            (1, True),
            (1, "1"),
            ((1, ANY), (1, 2, 3)),
            ((1, ANY), [1, 2]),
            ((1,), 1),
            ({"size": 3}, {"topic": "news"}),
            ({"size": 3}, {"size": 3.0}),
            ({"size": 3}, "size"),
            (Room(3, ANY), Room(4, "news")),
            (Room(3, ANY), Hall(3, "news")),
            (Seat(ANY, 4), (1, 4)),
            (str, 3),
            (lambda value: value > 3, 3),
        ],
    )
    def test_does_not_mean(self, pattern: Any, value: Any) -> None:
        assert not fits(pattern, value)

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner)
            ),
        )
    )
    def test_without_holes_means_itself(self, value: Any) -> None:
        assert fits(value, value)
        assert fits(ANY, value)


def test_a_hole_is_shown_by_its_name() -> None:
    assert repr((ANY, 1)) == "(ANY, 1)"


def test_of_a_thing_its_value_is_looked_at() -> None:
    class Entry:
        value: Any = (1, "news")

    assert value_fits((ANY, "news"))(Entry())
    assert not value_fits((ANY, "weather"))(Entry())
