"""The command line of the traces."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from scripts.tracing import parity
from scripts.tracing.comparing import Level
from scripts.tracing.parity import RECORDINGS
from scripts.tracing.running import Outcome, outcome_of
from scripts.tracing.scenario import Unreadable, files_in, read
from scripts.tracing.worlds import SimulatedWorld

DIFFERS = 1
NOT_ALL_RUN = 2


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/traces", add_help=False, allow_abbrev=False)
    parser.add_argument("folder", nargs="?", metavar="DIR")
    parser.add_argument("--from", dest="base", default=".", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", action="append", choices=[each.value for each in Level])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--parity", action="store_true")
    given = parser.parse_args(arguments)
    if given.parity:
        return _write_parity()
    folder = RECORDINGS if given.folder is None else Path(given.base) / given.folder
    files = files_in(folder)
    if given.list:
        print("\n".join(path.stem for path in files))
        return 0 if files else NOT_ALL_RUN
    levels = tuple(Level) if given.level is None else tuple(Level(each) for each in given.level)
    outcomes = [_outcome_of(path, seed=given.seed, levels=levels) for path in files]
    print(_as_json(outcomes) if given.json else _as_text(outcomes, folder))
    if not outcomes or any(each.skipped for each in outcomes):
        return NOT_ALL_RUN
    return 0 if all(each.agrees for each in outcomes) else DIFFERS


def _write_parity() -> int:
    parity.write()
    found = parity.faults()
    print("\n".join(found or [f"wrote {parity.PAGE.relative_to(parity.ROOT)}"]))
    return DIFFERS if found else 0


def _outcome_of(path: Path, *, seed: int, levels: tuple[Level, ...]) -> Outcome:
    try:
        scenario = read(path)
    except Unreadable as error:
        return Outcome(name=path.stem, skipped=str(error))
    return outcome_of(scenario, new_world=partial(SimulatedWorld, seed), levels=levels)


def _counts(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    return {
        level.value: {
            "agree": sum(each.agrees_on(level) for each in outcomes),
            "of": sum(level in each.levels for each in outcomes),
        }
        for level in Level
        if any(level in each.levels for each in outcomes)
    }


# -- what is printed -------------------------------------------------------


def _as_text(outcomes: list[Outcome], folder: Path) -> str:
    if not outcomes:
        return f"there is no scenario file in {folder}"
    lines: list[str] = []
    for each in outcomes:
        if each.skipped is not None:
            lines.append(f"{each.name}: SKIPPED, {each.skipped}")
        elif each.broke is not None:
            lines += [f"{each.name}: BROKE", each.broke]
        elif each.differences:
            lines += [f"{each.name}: DIFFERS", *(str(found) for found in each.differences), ""]
    for each in outcomes:
        lines += [f"{each.name}: {note}" for note in each.notes]
    for level, count in _counts(outcomes).items():
        lines.append(f"{level:<8} {count['agree']:>5} of {count['of']} agree")
    agree = sum(each.agrees for each in outcomes)
    skipped = sum(each.skipped is not None for each in outcomes)
    differ = len(outcomes) - agree - skipped
    lines.append(f"{len(outcomes)} scenarios: {agree} agree, {differ} differ, {skipped} skipped")
    return "\n".join(lines)


def _as_json(outcomes: list[Outcome]) -> str:
    said: dict[str, Any] = {
        "scenarios": len(outcomes),
        "agree": sum(each.agrees for each in outcomes),
        "levels": _counts(outcomes),
        "differ": [_disagreement(each) for each in outcomes if _differs(each)],
        "notes": {each.name: each.notes for each in outcomes if each.notes},
        "skipped": {each.name: each.skipped for each in outcomes if each.skipped is not None},
    }
    return json.dumps(said, indent=2)


def _differs(outcome: Outcome) -> bool:
    return outcome.skipped is None and not outcome.agrees


def _disagreement(outcome: Outcome) -> dict[str, Any]:
    return {
        "scenario": outcome.name,
        "broke": outcome.broke,
        "differences": [
            {
                "level": each.level.value,
                "where": each.where,
                "expected": each.expected,
                "observed": each.observed,
            }
            for each in outcome.differences
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
