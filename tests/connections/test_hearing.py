"""Whatever an agent says: what can be kept of it is, and what was cut is marked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors import AgentUpdate, Role, SessionLimits
from callboard.actors.connections import hearing
from callboard.actors.connections.hearing import CUT, CUTS_MAX, heard, is_id
from callboard.actors.sessions.frozen import FrozenDict, freeze

LIMITS = SessionLimits()


def as_untyped(value: Any) -> Any:
    """Return what a connector without a type checker may give."""
    return value


def data_of(data: Any, limits: SessionLimits = LIMITS) -> Mapping[str, Any]:
    return heard(AgentUpdate(role=Role.TOOL, text="x", data=data), limits).data


def nested(depth: int) -> dict[str, object]:
    data: dict[str, object] = {}
    for _ in range(depth):
        data = {"d": data}
    return data


class Broken(Mapping[str, object]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


class TestWhatFits:
    def test_is_left_as_it_is(self) -> None:
        data = {"output": "o" * 60_000, "list": [1, 2.5, None, True, {"é": "ü"}]}

        update = heard(AgentUpdate(role=Role.TOOL, text="x", data=data), LIMITS)

        assert (update.role, update.text) == (Role.TOOL, "x")
        assert update.data == freeze("data", data)
        assert isinstance(update.data, FrozenDict)

    def test_is_left_though_it_has_many_small_values(self) -> None:
        data = {"n": [1] * 32_000}

        assert CUT not in data_of(data)

    def test_is_a_role_as_text(self) -> None:
        update = heard(AgentUpdate(role=as_untyped("thought"), text="x"), LIMITS)

        assert update == AgentUpdate(role=Role.THOUGHT, text="x")

    def test_is_cheap_for_plain_text(self) -> None:
        update = AgentUpdate(text="word ")

        assert heard(update, LIMITS) is update


class TestWhatDoesNot:
    def test_is_cut_where_it_is_longest_and_the_rest_stays(self) -> None:
        data = data_of({"output": "o" * 70_000, "exit_code": 1, "command": "ls -l"})

        assert (data["exit_code"], data["command"]) == (1, "ls -l")
        assert data["output"] == "o" * len(data["output"])
        assert 16_000 <= len(data["output"]) < 65_536
        assert data[CUT] == ("data.output: 70000 characters",)

    def test_nested_too_deep_loses_what_is_below(self) -> None:
        data = data_of(nested(17))

        assert data["d"]["d"]["d"]
        (where,) = data[CUT]
        assert where.endswith(": nested too deep")

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (object(), "what JSON cannot say, object"),
            (math.nan, "what JSON cannot say, float"),
            (2**64, "what JSON cannot say, int"),
            (b"raw", "what JSON cannot say, bytes"),
            (Broken(), "what JSON cannot say, Broken"),
        ],
        ids=["object", "nan", "long", "bytes", "broken"],
    )
    def test_is_left_out_and_named(self, value: object, said: str) -> None:
        data = data_of({"o": value, "p": 1})

        assert data == {"o": None, "p": 1, CUT: (f"data.o: {said}",)}

    @pytest.mark.parametrize(
        "value",
        ["x", 5, object(), [1], Broken()],
        ids=["text", "number", "object", "list", "broken"],
    )
    def test_is_no_structure_at_all(self, value: Any) -> None:
        assert list(data_of(value)) == [CUT]

    def test_is_a_key_that_is_no_text(self) -> None:
        assert data_of({5: 1, "p": 1})["p"] == 1

    def test_is_a_role_that_there_is_not(self) -> None:
        update = heard(AgentUpdate(role=as_untyped("bogus"), text="x"), LIMITS)

        assert update == AgentUpdate(text="x", data={CUT: ("role: 'bogus'",)})

    def test_is_text_that_is_none(self) -> None:
        update = heard(AgentUpdate(text=as_untyped(None)), LIMITS)

        assert update.data == {CUT: ("text: what JSON cannot say, NoneType",)}

    def test_is_text_that_utf_8_cannot_carry(self) -> None:
        assert heard(AgentUpdate(text="a\ud800é"), LIMITS) == AgentUpdate(text="a?é")

    def test_is_more_text_than_is_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hearing, "UPDATE_CHARS_MAX", 10)

        update = heard(AgentUpdate(text="x" * 11), LIMITS)

        assert update == AgentUpdate(text="x" * 10, data={CUT: ("text: 11 characters",)})

    def test_is_no_update(self) -> None:
        update = heard("hello", LIMITS)

        assert update == AgentUpdate(data={CUT: ("update: what JSON cannot say, str",)})

    def test_is_named_for_the_first_few_places(self) -> None:
        data = data_of({f"k{number}": object() for number in range(100)})

        assert len(data[CUT]) == CUTS_MAX + 1
        assert data[CUT][-1] == "and more"

    def test_holds_itself_many_times_and_is_looked_at_to_an_end(self) -> None:
        knot: list[object] = []
        knot.extend([knot] * 10)

        assert CUT in data_of({"knot": knot})


JSON_OR_NOT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.builds(object)
    | st.text(alphabet="\x00é\ud800", min_size=50, max_size=300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


@given(JSON_OR_NOT, st.integers(1, 2_000), st.integers(1, 8))
def test_whatever_is_said_can_be_kept(data: Any, bytes_max: int, depth_max: int) -> None:
    limits = SessionLimits(metadata_bytes_max=bytes_max, metadata_depth_max=depth_max)

    kept = data_of(data, limits)

    assert freeze("data", kept, limits) == kept
    assert len(msgspec.json.encode(kept)) <= max(bytes_max, len("{}"))


@pytest.mark.parametrize(
    ("value", "is_one"),
    [("x", True), ("", False), (5, False), ("\ud800", False), ("x" * 257, False)],
)
def test_the_id_of_a_conversation_is_a_short_text(value: object, is_one: bool) -> None:  # noqa: FBT001 -- a table of cases
    assert is_id(value, LIMITS) is is_one
