"""Backoff: how long each restart waits."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.supervision.model.backoff import DELAYS_MAX, Backoff
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


def test_the_usual_delays_are_as_documented() -> None:
    delays_s = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0)

    assert Backoff.exponential() == Backoff(delays_s=delays_s, jitter=0.1, reset_after_s=60.0)
    few = Backoff.exponential(first_s=1.0, longest_s=5.0, jitter=0.5, reset_after_s=0.5)
    assert few == Backoff(delays_s=(0.0, 1.0, 2.0, 4.0, 5.0), jitter=0.5, reset_after_s=0.5)
    assert few.delay_s(1) == 1.0


def test_there_are_no_more_delays_than_may_be() -> None:
    most = Backoff.exponential(first_s=1.0, factor=1.001, longest_s=1.001 ** (DELAYS_MAX - 0.5))

    assert len(most.delays_s) == DELAYS_MAX + 2  # none before the first, and the longest
    with pytest.raises(InvalidSpec, match="it would take 1001 delays"):
        Backoff.exponential(first_s=1.0, factor=1.001, longest_s=1.001 ** (DELAYS_MAX + 0.5))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (partial(Backoff, delays_s=()), "delays_s"),
        (partial(Backoff, delays_s=(-1.0,)), "delays_s"),
        (partial(Backoff, delays_s=(math.inf,)), "delays_s"),
        (partial(Backoff, delays_s=(math.nan,)), "delays_s"),
        (partial(Backoff, delays_s=(1.0,), jitter=1.5), "jitter"),
        (partial(Backoff, delays_s=(1.0,), reset_after_s=0), "reset_after_s"),
        (partial(Backoff, delays_s=cast("Any", "ab")), "delays_s"),
        (partial(Backoff, delays_s=cast("Any", [1.0])), "delays_s"),
        (partial(Backoff, delays_s=cast("Any", 5)), "delays_s"),
        (partial(Backoff, delays_s=cast("Any", ("1",))), "delays_s"),
        (partial(Backoff, delays_s=(True,)), "delays_s"),
        (partial(Backoff, delays_s=(1.0,), jitter=cast("Any", "1")), "jitter"),
        (partial(Backoff, delays_s=(1.0,), jitter=True), "jitter"),
        (partial(Backoff, delays_s=(1.0,), reset_after_s=cast("Any", None)), "reset_after_s"),
        (partial(Backoff.exponential, first_s=cast("Any", "1")), "first_s"),
        (partial(Backoff.exponential, factor=cast("Any", None)), "factor"),
        (partial(Backoff.exponential, factor=1 + 1e-9), "factor"),
        (partial(Backoff.exponential, longest_s=cast("Any", None)), "longest_s"),
        (partial(Backoff.exponential, first_s=0), "first_s"),
        (partial(Backoff.exponential, factor=1), "factor"),
        (partial(Backoff.exponential, first_s=2, longest_s=1), "longest_s"),
        (partial(Backoff.exponential, first_s=math.inf), "first_s"),
        (partial(Backoff.exponential, factor=math.inf), "factor"),
        (partial(Backoff.exponential, longest_s=math.inf), "longest_s"),
    ],
)
def test_delays_that_cannot_be_are_refused(make: partial[Backoff], field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        make()

    assert (refused.value.field, refused.value.value) == (field, make.keywords[field])
    assert re.fullmatch(r"Give .+\.", refused.value.remedy)
