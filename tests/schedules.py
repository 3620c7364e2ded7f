"""Where does a test run? On real threads, and in simulations, each under a seed of its own.

In the default suite that is one seed; the others are `slow`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

SEEDS = (0, 1, 2)
"""The schedules under which a test runs in simulation; CALLBOARD_SEED names another one."""

THREADS = "threads"


def first_of(all_of: Sequence[object], count: int) -> list[Any]:
    """Return parameters of which the default suite has the first, and `-m slow` the others."""
    return [
        pytest.param(each, marks=[pytest.mark.slow] if number >= count else [])
        for number, each in enumerate(all_of)
    ]


def simulated(seeds: Sequence[int] = SEEDS) -> list[Any]:
    """Return the simulations: `simulated-` and a seed."""
    asked_for = os.environ.get("CALLBOARD_SEED")
    chosen = seeds if asked_for is None else [int(asked_for)]
    return first_of([f"simulated-{seed}" for seed in chosen], 1)


def everywhere(seeds: Sequence[int] = SEEDS) -> list[Any]:
    """Return the real threads and the simulations."""
    return [pytest.param(THREADS), *simulated(seeds)]


def seed_of(where: str) -> int | None:
    """Return the seed of a simulation; None for real threads."""
    return None if where == THREADS else int(where.rpartition("-")[2])
