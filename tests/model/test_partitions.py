"""Partitions: many places of one spec."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.partitions import partition_specs
from callboard.supervision.model.specs import ChildSpec, RestartType

SPEC = ChildSpec(id="cache", start=dict, args=("x",), restart=RestartType.TRANSIENT)


def test_places_are_numbered_from_zero_and_else_alike() -> None:
    specs = partition_specs(SPEC, 3)

    assert [each.id for each in specs] == [0, 1, 2]
    assert {(each.args, each.restart) for each in specs} == {(("x",), RestartType.TRANSIENT)}


def test_arguments_can_differ_by_partition() -> None:
    specs = partition_specs(SPEC, 2, lambda args, number: (*args, number))

    assert [each.args for each in specs] == [("x", 0), ("x", 1)]


def test_a_name_is_numbered_too() -> None:
    named = ChildSpec(id="cache", start=dict, name="cache")

    assert [each.name for each in partition_specs(named, 2)] == ["cache/0", "cache/1"]
    assert [each.name for each in partition_specs(SPEC, 2)] == [None, None]


def test_one_partition_is_enough() -> None:
    assert [each.id for each in partition_specs(SPEC, 1)] == [0]


@pytest.mark.parametrize("partitions", [0, -1, 1.5, True, "2"])
def test_a_number_of_partitions_that_cannot_be_is_refused(partitions: int) -> None:
    with pytest.raises(InvalidSpec) as refused:
        partition_specs(SPEC, partitions)

    assert (refused.value.field, refused.value.value) == ("partitions", partitions)
    assert refused.value.remedy == "Give a whole number, 1 or more."


def test_what_is_no_spec_is_refused() -> None:
    with pytest.raises(InvalidSpec) as refused:
        partition_specs(cast("Any", dict), 2)

    assert (refused.value.field, refused.value.value) == ("spec", dict)
    assert refused.value.remedy == "Give a ChildSpec, which each partition runs."


def test_what_cannot_adapt_arguments_is_refused() -> None:
    with pytest.raises(InvalidSpec) as refused:
        partition_specs(SPEC, 2, cast("Any", 5))

    assert (refused.value.field, refused.value.value) == ("with_arguments", 5)
    remedy = "Give a function of arguments and number that returns arguments, or None."
    assert refused.value.remedy == remedy


def test_arguments_that_are_no_tuple_are_refused_before_anything_starts() -> None:
    def listed(args: Any, number: int) -> Any:
        return [*args, number]

    with pytest.raises(InvalidSpec) as refused:
        partition_specs(SPEC, 2, listed)

    assert refused.value.field == "args"
