"""Which schedule has whoever runs the tests asked for?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.testing.schedule import Schedule

SEED_VARIABLE = "CALLBOARD_SEED"
"""The environment variable that narrows a test to one seed."""

SCHEDULE_VARIABLE = "CALLBOARD_SCHEDULE"
"""The environment variable that narrows a test to the schedule in a file; it counts before a
seed."""


class Asked(NamedTuple):
    """One schedule."""

    seed: int
    schedule: Schedule | None = None
    """None: what the seed makes of it."""
    path: Path | None = None
    """Where the schedule lies."""

    def command(self, test: str) -> str:
        """Return the command that runs this schedule of a test alone."""
        seed = f"{SEED_VARIABLE}={self.seed}"
        narrowed = seed if self.path is None else f"{SCHEDULE_VARIABLE}={self.path}"
        return f"{narrowed} python -m pytest '{test}'"


def asked_for() -> Asked | None:
    """Return the one schedule that the environment asks for; None: whatever a test wants.

    Raises:
        InvalidSpec: there is no such seed or schedule.
    """
    file = os.environ.get(SCHEDULE_VARIABLE)
    if file is not None:
        schedule = _load(file)
        return Asked(schedule.seed, schedule, Path(file))
    seed = os.environ.get(SEED_VARIABLE)
    if seed is None:
        return None
    try:
        return Asked(int(seed))
    except ValueError:
        raise InvalidSpec(SEED_VARIABLE, seed, "Give a whole number.") from None


def _load(file: str) -> Schedule:
    try:
        return Schedule.load(Path(file))
    except OSError:
        remedy = "Give the file that a failure names, as seen from the current folder."
    except msgspec.DecodeError:
        remedy = "Give a file that Schedule.save, or a failure of @simulate, has written."
    raise InvalidSpec(SCHEDULE_VARIABLE, file, remedy)
