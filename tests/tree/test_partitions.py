"""A partition supervisor runs many places of one spec; a key says which one is meant."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision import (
    ActorRef,
    ChildSpec,
    InvalidSpec,
    PartitionSupervisor,
    StartFailed,
    WhichChildren,
    partition_of,
)
from tests.runtime.kit import Do
from tests.tree.kit import Member, Tree


def named_and_numbered(args: tuple[object, ...], number: int) -> tuple[object, ...]:
    return args[0], f"{args[1]}-{number}"


def numbered(args: tuple[object, ...], number: int) -> tuple[object, ...]:
    return args[0], f"{number}"


def grow(tree: Tree, partitions: int = 4, **options: Any) -> ActorRef[PartitionSupervisor]:
    spec = ChildSpec(id="place", start=Member, args=(tree, "place"), name="place")
    top = tree.system.spawn(PartitionSupervisor, spec, partitions=partitions, **options)
    return tree.plant(top)


def incarnation_at(tree: Tree, number: int) -> int:
    address = tree.system.lookup(f"place/{number}")
    assert address is not None
    incarnation: int = address.ask(Do(lambda actor: actor.incarnation))
    return incarnation


class TestPartitions:
    def test_are_numbered_from_zero_and_start_in_order(self, tree: Tree) -> None:
        grow(tree)

        assert list(tree.children()) == [0, 1, 2, 3]
        assert tree.diary == ["start place"] * 4

    def test_are_reached_under_the_name_and_their_number(self, tree: Tree) -> None:
        grow(tree)

        assert [incarnation_at(tree, number) for number in range(4)] == [1, 1, 1, 1]
        assert tree.system.lookup("place/4") is None

    def test_are_found_by_the_key_the_same_way_every_time(self, tree: Tree) -> None:
        grow(tree)

        numbers = [partition_of(f"user-{n}", 4) for n in range(100)]

        assert numbers == [partition_of(f"user-{n}", 4) for n in range(100)]
        assert set(numbers) == {0, 1, 2, 3}

    def test_return_under_their_number_after_a_crash_and_the_others_stay(self, tree: Tree) -> None:
        grow(tree)
        others = [tree.children()[number].ref for number in (0, 1, 3)]

        tree.children()[2].ref.kill()
        tree.world.settle()

        assert [incarnation_at(tree, number) for number in range(4)] == [1, 1, 2, 1]
        assert [tree.children()[number].ref for number in (0, 1, 3)] == others

    def test_have_their_arguments_adapted_to_their_number_in_restarts_too(self, tree: Tree) -> None:
        grow(tree, with_arguments=named_and_numbered)

        tree.children()[1].ref.kill()
        tree.world.settle()

        listed = reversed(tree.top.ask(WhichChildren()))
        names = [each.ref.ask(Do(lambda actor: actor.name)) for each in listed]
        assert names == ["place-0", "place-1", "place-2", "place-3"]

    def test_stop_in_reverse_order(self, tree: Tree) -> None:
        top = grow(tree, with_arguments=numbered)
        tree.forget_diary()

        top.stop()

        assert tree.diary == ["end 3", "end 2", "end 1", "end 0"]

    @pytest.mark.parametrize("partitions", [0, -1, 1.5, True, None], ids=str)
    def test_of_a_number_that_cannot_be_refuse_the_start(self, tree: Tree, partitions: Any) -> None:
        with pytest.raises(StartFailed) as failed:
            grow(tree, partitions)

        assert InvalidSpec.__name__ in str(failed.value.reason)
