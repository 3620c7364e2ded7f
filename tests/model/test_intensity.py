"""Restart windows: how many restarts are too many, and when one is forgotten."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.intensity import RestartWindow


def verdicts(intensity: int, period_s: float, *at_s: float) -> list[bool]:
    window = RestartWindow(intensity=intensity, period_s=period_s)
    exceeded: list[bool] = []
    for now_s in at_s:
        window, has_exceeded = window.record(now_s=now_s)
        exceeded.append(has_exceeded)
    return exceeded


@pytest.mark.parametrize(
    ("intensity", "at_s", "expected"),
    [
        pytest.param(0, [0.0], [True], id="intensity 0: the first is too many"),
        pytest.param(2, [0.0, 1.0], [False, False], id="exactly the intensity survives"),
        pytest.param(2, [0.0, 1.0, 2.0], [False, False, True], id="one more does not"),
        pytest.param(1, [0.0, 5.0], [False, True], id="exactly a period old still counts"),
        pytest.param(1, [0.0, 5.000001], [False, False], id="older is forgotten"),
        pytest.param(2, [0.0, 4.0, 6.0, 8.0], [False, False, False, True], id="the window slides"),
        pytest.param(3, [7.0] * 4, [False, False, False, True], id="all at one moment"),
    ],
)
def test_too_many_in_five_seconds(intensity: int, at_s: list[float], expected: list[bool]) -> None:
    assert verdicts(intensity, 5.0, *at_s) == expected


@given(
    st.integers(0, 5),
    st.integers(1, 20),
    st.lists(st.integers(0, 15), max_size=40),
)
def test_it_agrees_with_counting_all_there_ever_were(
    intensity: int, period_s: int, steps_s: list[int]
) -> None:
    window = RestartWindow(intensity=intensity, period_s=period_s)
    now_s, ever = 0, list[int]()
    for step_s in steps_s:
        now_s += step_s
        ever.append(now_s)
        window, has_exceeded = window.record(now_s=now_s)

        assert has_exceeded == (sum(now_s - each <= period_s for each in ever) > intensity)
        assert window.restarts == tuple(each for each in ever if now_s - each <= period_s)


def test_recording_leaves_the_window_it_was_asked_of_as_it_was() -> None:
    window = RestartWindow(intensity=1, period_s=5)

    window.record(now_s=1.0)

    assert window.restarts == ()


@pytest.mark.parametrize(
    ("intensity", "period_s", "field"),
    [(-1, 5, "intensity"), (1.5, 5, "intensity"), (True, 5, "intensity"), ("3", 5, "intensity")]
    + [(1, bad, "period_s") for bad in (0, -1, math.inf, math.nan, "5", True)],
)
def test_a_limit_that_cannot_be_is_refused(intensity: int, period_s: float, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        RestartWindow(intensity=intensity, period_s=period_s)

    given = {"intensity": intensity, "period_s": period_s}
    assert (refused.value.field, refused.value.value) == (field, given[field])
    assert re.fullmatch(r"Give .+\.", refused.value.remedy)
    assert refused.value.remedy in str(refused.value)


def test_a_window_at_a_later_time_has_lost_what_is_too_long_ago() -> None:
    window = RestartWindow(intensity=3, period_s=5.0, restarts=(0.0, 1.0, 4.0))

    assert window.at(5.0) == window
    assert window.at(6.5).restarts == (4.0,)
    assert window.at(100.0).restarts == ()
