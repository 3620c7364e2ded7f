"""What is said of a schedule that failed: the law, the place, what is left of it, the story."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from callboard.supervision.testing.failure import Broken
from callboard.supervision.testing.schedule import Schedule
from callboard.supervision.testing.trace import Moment

SCHEDULES_FOLDER = Path(".callboard")
"""Where schedules that failed are written, in the current folder."""


class Run(NamedTuple):
    """One run that failed."""

    seed: int
    way: str
    """How it was explored."""
    schedule: Schedule | None
    """What was decided; None where it was not recorded."""
    broken: Broken
    at: Moment | None
    digest: str
    story: Sequence[str] = ()


def report(run: Run, shrunk: Run | None, runs: int, *, is_minimal: bool) -> str:
    """Return the text on a failure.

    Args:
        run: the run in which it was found.
        shrunk: the shortest run found that breaks the same.
        runs: how many were made to find that.
        is_minimal: whether nothing more could be taken out of that.
    """
    lines = [f"broken: {_line(run)}", f"found by seed {run.seed} ({run.way}), digest {run.digest}"]
    if shrunk is not None and shrunk.schedule is not None and run.schedule is not None:
        bound = "" if is_minimal else ", where a bound was met"
        before, after, tries = run.schedule, shrunk.schedule, _many(runs, "run")
        lines += [
            f"shrunk from {_size(before)} to {_size(after)} in {tries}{bound}: {shrunk.at}",
            f"  picks: {', '.join(after.picks) or 'none'}",
            f"  deviations: {', '.join(map(str, after.deviations)) or 'none'}",
        ]
    told = run if shrunk is None else shrunk
    if told.story:
        lines += ["story:", *(f"  {line}" for line in told.story)]
    return "\n".join(lines)


def _size(schedule: Schedule) -> str:
    picks, deviations = len(schedule.picks), len(schedule.deviations)
    return f"{_many(picks, 'pick')} and {_many(deviations, 'deviation')}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _line(run: Run) -> str:
    place = run.broken.in_body or run.broken.raised_at
    at = "" if run.at is None else f", {run.at}"
    where = "" if place is None else f", {place[0]}:{place[2]} in {place[1]}"
    return f"{run.broken.what}{at}{where}"


def write(schedule: Schedule, test: str, folder: Path = SCHEDULES_FOLDER) -> Path | None:
    """Write a schedule where a command can name it; None where nothing can be written.

    Args:
        schedule: what failed.
        test: the test's own name, with its parameters.
        folder: where; it is kept out of version control.
    """
    word = "".join(each if each.isalnum() or each == "_" else "-" for each in test).strip("-")
    path = folder / f"{word}-{schedule.seed}.json"
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        schedule.save(path)
    except OSError:
        return None
    return path
