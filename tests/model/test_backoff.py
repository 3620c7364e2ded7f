"""Backoff: how long each restart waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.errors import InvalidSpec


def test_each_restart_has_its_delay_and_the_last_one_repeats() -> None:
    backoff = Backoff(delays_s=(0.0, 0.1, 1.0))

    assert [backoff.delay_s(restarts) for restarts in range(5)] == [0.0, 0.1, 1.0, 1.0, 1.0]


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0, 1))
def test_jitter_stays_within_its_share(restarts: int, jitter: float, chance: float) -> None:
    plain = Backoff.exponential(jitter=0).delay_s(restarts)

    delay_s = Backoff.exponential(jitter=jitter).delay_s(restarts, chance=chance)

    assert plain * (1 - jitter) <= delay_s * (1 + 1e-9)
    assert delay_s <= plain * (1 + jitter) * (1 + 1e-9)


@given(st.floats(0.001, 10), st.floats(1.1, 10), st.floats(1, 1000))
def test_exponential_delays_grow_to_the_longest_and_no_further(
    first_s: float, factor: float, times: float
) -> None:
    longest_s = first_s * times

    delays_s = Backoff.exponential(first_s=first_s, factor=factor, longest_s=longest_s).delays_s

    assert delays_s[:2] == (0.0, first_s)
    assert delays_s == tuple(sorted(delays_s))
    assert max(delays_s) <= longest_s
    assert delays_s[-1] == pytest.approx(longest_s)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Backoff(delays_s=()), "delays_s"),
        (lambda: Backoff(delays_s=(-1.0,)), "delays_s"),
        (lambda: Backoff(delays_s=(math.inf,)), "delays_s"),
        (lambda: Backoff(delays_s=(math.nan,)), "delays_s"),
        (lambda: Backoff(delays_s=(1.0,), jitter=1.5), "jitter"),
        (lambda: Backoff(delays_s=(1.0,), reset_after_s=0), "reset_after_s"),
        (lambda: Backoff(delays_s=cast("Any", "ab")), "delays_s"),
        (lambda: Backoff(delays_s=cast("Any", [1.0])), "delays_s"),
        (lambda: Backoff(delays_s=cast("Any", 5)), "delays_s"),
        (lambda: Backoff(delays_s=cast("Any", ("1",))), "delays_s"),
        (lambda: Backoff(delays_s=(True,)), "delays_s"),
        (lambda: Backoff(delays_s=(1.0,), jitter=cast("Any", "1")), "jitter"),
        (lambda: Backoff(delays_s=(1.0,), jitter=True), "jitter"),
        (lambda: Backoff(delays_s=(1.0,), reset_after_s=cast("Any", None)), "reset_after_s"),
        (lambda: Backoff.exponential(first_s=cast("Any", "1")), "first_s"),
        (lambda: Backoff.exponential(factor=cast("Any", None)), "factor"),
        (lambda: Backoff.exponential(factor=1 + 1e-9), "factor"),
        (lambda: Backoff.exponential(longest_s=cast("Any", None)), "longest_s"),
        (lambda: Backoff.exponential(first_s=0), "first_s"),
        (lambda: Backoff.exponential(factor=1), "factor"),
        (lambda: Backoff.exponential(first_s=2, longest_s=1), "longest_s"),
    ],
)
def test_delays_that_cannot_be_are_refused(make: Callable[[], Backoff], field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        make()

    assert refused.value.field == field
