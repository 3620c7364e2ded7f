"""How long is fuzzed: a few examples, the same every time, or new ones for so many seconds.

`scripts/fuzz` asks for the long form by CALLBOARD_FUZZ=SECONDS, which is a test's own time, and
may name the first seed by CALLBOARD_SEED. What fails then is one seed of one test, and says so.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, Generic, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

from callboard.supervision.model.showing import shown
from tests.examples import of

T = TypeVar("T")

SECONDS = float(os.environ.get("CALLBOARD_FUZZ", "0"))
"""How long each test of the long form goes on; 0: the short form."""

ROUND = 200
"""Examples of the long form under one seed."""

examples_run: Counter[str] = Counter()
"""Test -> how many examples it has run."""


class Sent(Generic[T]):
    """A value whose words are short and never raise: Hypothesis writes it out when a test fails."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        value: Any = self.value
        fields = getattr(value, "__struct_fields__", None)
        if fields is None:
            return shown(value)
        said = ", ".join(f"{name}={shown(getattr(value, name))}" for name in fields)
        return f"{type(value).__name__}({said})"


def fuzz(test: Callable[[T], None], values: SearchStrategy[T], *, examples: int) -> None:
    """Run a test on many values.

    Args:
        test: gets one after the other.
        values: where they come from.
        examples: how many in the short form; the default suite makes some of them.
    """
    name = os.environ.get("PYTEST_CURRENT_TEST", "?").partition("/fuzz/")[2].rpartition(" (")[0]

    until_s = time.monotonic() + SECONDS if SECONDS else math.inf
    failures: list[BaseException] = []

    def counted(given: Sent[T]) -> None:
        if time.monotonic() > until_s and not failures:
            return  # the rest of the round; what has failed is shrunk however long it takes
        examples_run[name] += 1
        try:
            test(given.value)
        except BaseException as error:
            failures.append(error)
            raise

    sent = values.map(Sent)

    if not SECONDS:
        # Not the database of failures either: what runs must be the same on every machine.
        chosen = hypothesis.settings(max_examples=of(examples), derandomize=True, **_PLAIN)
        _run(chosen(given(sent)(counted)))
        return
    for seed in count(int(os.environ.get("CALLBOARD_SEED", "0"))):
        chosen = hypothesis.settings(max_examples=ROUND, **_PLAIN)
        try:
            _run(hypothesis.seed(seed)(chosen(given(sent)(counted))))
        except BaseException as error:
            error.add_note(f"scripts/fuzz --seed {seed} 'tests/fuzz/{name}'")
            raise
        if time.monotonic() > until_s:
            return


_PLAIN: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.generate, Phase.shrink),
}


def _run(test: Callable[[], None]) -> None:
    try:
        test()
    except Unsatisfiable:
        return  # there is no such value: no way to send this operation anything wrong
