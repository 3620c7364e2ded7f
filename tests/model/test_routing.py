"""Routing: which partition has a key."""

from __future__ import annotations

import enum
import re
import subprocess
import sys
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.routing import partition_of


class Tenant(msgspec.Struct, frozen=True):
    org: str
    shard: int


class Colour(enum.Enum):
    RED = "red"


KEYS = st.one_of(
    st.integers(), st.text(), st.binary(), st.none(), st.tuples(st.text(), st.integers())
)


@pytest.mark.parametrize(
    ("key", "expected"), [(0, 0), (7, 3), (-7, 3), (-1, 1), (4, 0), (2**80, 0)]
)
def test_a_whole_number_routes_by_its_remainder_without_its_sign(key: int, expected: int) -> None:
    assert partition_of(key, 4) == expected


@given(KEYS, st.integers(1, 64))
def test_every_key_has_one_of_the_partitions(key: object, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)


@pytest.mark.parametrize(
    "key",
    [UUID(int=5), Tenant("acme", 3), Colour.RED, frozenset({"b", "a"}), 1.5, True, "\udc80"],
    ids=["UUID", "struct", "enum", "frozenset", "float", "bool", "surrogate"],
)
def test_values_with_contents_are_keys_too(key: object) -> None:
    assert 0 <= partition_of(key, 8) < 8


def test_texts_spread_over_all_partitions() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[partition_of(f"session-{number}", 8)] += 1

    assert min(counts) > 700


def test_whole_numbers_within_a_key_tell_it_apart() -> None:
    assert {partition_of((2**70 + number,), 8) for number in range(100)} == set(range(8))


def test_a_key_keeps_its_partition_in_every_version() -> None:
    keys = ["ada", b"x", ("ada", 7), None, 1.5]

    assert [partition_of(key, 1000) for key in keys] == [152, 385, 692, 21, 468]


def test_a_key_keeps_its_partition_in_another_process() -> None:
    program = (
        "from callboard.supervision.model.routing import partition_of;"
        "print([partition_of(k, 1000) for k in ('ada', b'x', ('a', 1), frozenset('abc'))])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(runs) == 1


@pytest.mark.parametrize("partitions", [0, -2, 2.5, True])
def test_a_number_of_partitions_that_cannot_be_is_refused(partitions: int) -> None:
    with pytest.raises(InvalidSpec) as refused:
        partition_of("key", partitions)

    assert (refused.value.field, refused.value.value) == ("partitions", partitions)
    assert re.fullmatch(r"Give .+\.", refused.value.remedy)


def test_a_key_without_contents_is_refused() -> None:
    key = object()

    with pytest.raises(InvalidSpec) as refused:
        partition_of(key, 4)

    assert (refused.value.field, refused.value.value) == ("key", key)
    assert re.fullmatch(r"Route .+\.", refused.value.remedy)
