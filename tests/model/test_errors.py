"""The roots of all errors, and what is a time to wait."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from callboard.supervision.model.errors import DeliveryError, InvalidSpec, is_seconds
from callboard.supervision.model.reasons import Crashed
from callboard.supervision.model.refusals import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    MaxChildrenReached,
    StartFailed,
)


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 1, 5.0, math.inf])
def test_a_number_from_zero_is_a_time_to_wait(value: object) -> None:
    assert is_seconds(value)


@pytest.mark.parametrize("value", [-1, -0.1, math.nan, True, False, None, "1", -math.inf])
def test_anything_else_is_none(value: object) -> None:
    assert not is_seconds(value)


def test_a_wrong_value_is_named_with_its_field_and_the_remedy() -> None:
    error = InvalidSpec("period_s", -1, "Give seconds above zero.")

    assert str(error) == "period_s=-1 is not valid. Give seconds above zero."
    assert (error.field, error.value, error.remedy) == (
        "period_s",
        -1,
        "Give seconds above zero.",
    )


def test_what_was_not_delivered_says_to_whom() -> None:
    error = DeliveryError("ada has ended", address="ada")

    assert (str(error), error.address) == ("ada has ended", "ada")
    assert (str(DeliveryError()), DeliveryError().address) == ("", "")


class TestARefusalOfASupervisor:
    @pytest.mark.parametrize(
        ("refuse", "said"),
        [
            (
                lambda: ChildNotFound("a"),
                "There is no child 'a'. See which_children for those it has.",
            ),
            (
                lambda: AlreadyPresent("a"),
                (
                    "There is a child 'a', and it is not running."
                    " Restart it with restart_child, or delete it first."
                ),
            ),
            (
                lambda: StartFailed("a", Crashed("Boom")),
                "Child 'a' did not start: crashed: Boom.",
            ),
            (
                lambda: MaxChildrenReached(3),
                "All 3 places are taken. Try again when a child has ended, or raise max_children.",
            ),
        ],
        ids=["not found", "present", "not started", "no place"],
    )
    def test_says_which_child_and_what_to_do(
        self, refuse: Callable[[], Exception], said: str
    ) -> None:
        assert str(refuse()) == said

    def test_gives_the_incarnation_that_runs(self) -> None:
        assert AlreadyStarted("a", "a#1").ref == "a#1"
