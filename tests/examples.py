"""How many examples Hypothesis makes: some in the default suite, all where they are asked for."""

from __future__ import annotations

import os

import hypothesis

ALL = 100
"""Of a test that does not say how many."""

SOME = 20
"""Of the same test in the default suite."""

MARK = "hypothesis"
"""What Hypothesis marks its tests with: `-m` with this word asks for all examples."""


def choose(asked_for: str) -> None:
    """Make as many as the `-m` of this run asks for; before any test is imported."""
    # How long an example may take is pytest-timeout's business: a busy machine is no failure.
    hypothesis.settings.register_profile(
        "callboard",
        max_examples=ALL if MARK in asked_for else SOME,
        deadline=None,
        print_blob=True,
        derandomize=bool(os.environ.get("CI")),
    )
    hypothesis.settings.load_profile("callboard")


def of(count: int) -> int:
    """Return how many of a test's own `count` are made now."""
    return max(1, count * hypothesis.settings().max_examples // ALL)
