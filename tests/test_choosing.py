"""What the default suite has of what is slow in all: one schedule, and some of the examples."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

from tests.examples import ALL, SOME, of
from tests.schedules import everywhere, seed_of


def told(parameters: list[Any]) -> list[tuple[object, bool]]:
    """Return each parameter, and whether it is slow."""
    return [(each.values[0], bool(each.marks)) for each in parameters]


class TestWhereATestRuns:
    def test_is_on_threads_and_under_the_first_seed_unless_one_asks_for_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CALLBOARD_SEED", raising=False)

        assert told(everywhere((4, 5))) == [
            ("threads", False),
            ("simulated-4", False),
            ("simulated-5", True),
        ]

    def test_is_under_the_seed_that_one_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CALLBOARD_SEED", "17")

        assert told(everywhere()) == [("threads", False), ("simulated-17", False)]

    def test_is_read_from_its_name(self) -> None:
        assert [seed_of(each) for each in ("threads", "simulated-17")] == [None, 17]


class TestTheExamples:
    def test_are_some_by_default_and_all_with_their_mark(
        self, request: pytest.FixtureRequest
    ) -> None:
        is_asked_for = "hypothesis" in request.config.option.markexpr

        assert hypothesis.settings().max_examples == (ALL if is_asked_for else SOME)

    def test_of_a_test_that_says_how_many_are_as_many_times_fewer(self) -> None:
        with_its_own = 10 * hypothesis.settings().max_examples

        assert of(10 * ALL) == with_its_own
        assert of(1) == 1
