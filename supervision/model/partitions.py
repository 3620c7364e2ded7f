"""Many places of one child spec: the specs a partition supervisor runs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.specs import ChildSpec, check_type

WithArguments = Callable[[tuple[object, ...], int], tuple[object, ...]]
"""From the spec's arguments and a partition's number to that partition's arguments."""


def partition_specs(
    spec: ChildSpec, partitions: int, with_arguments: WithArguments | None = None
) -> tuple[ChildSpec, ...]:
    """Return one spec for each partition; its id is the partition's number, from 0.

    Args:
        spec: what each of them runs. A name gets the number behind it: `cache/0`.
        partitions: how many, 1 or more.
        with_arguments: adapts the arguments to the partition, in restarts too.

    Raises:
        InvalidSpec: no spec, a number of partitions that cannot be, arguments that are no tuple,
            or nothing that could adapt them.

    Source: Elixir PartitionSupervisor, `:partitions` and `:with_arguments`.
    """
    check_type("spec", spec, ChildSpec, "Give a ChildSpec, which each partition runs.")
    if with_arguments is not None and not callable(with_arguments):
        remedy = "Give a function of arguments and number that returns arguments, or None."
        raise InvalidSpec("with_arguments", with_arguments, remedy)
    if type(partitions) is not int or partitions < 1:
        raise InvalidSpec("partitions", partitions, "Give a whole number, 1 or more.")
    adapt = with_arguments or _unchanged
    return tuple(
        msgspec.structs.replace(
            spec,
            id=number,
            args=adapt(spec.args, number),
            name=None if spec.name is None else f"{spec.name}/{number}",
        )
        for number in range(partitions)
    )


def _unchanged(args: tuple[object, ...], _number: int) -> tuple[object, ...]:
    return args
