"""Measures the lines in turns, each in a process of its own, and prints the table."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from scripts.benchmarks.lines import FLOORS, LINES, Figure, Line, Measurement
from scripts.benchmarks.measure import Figures, stay_on_one_core

_DEADLINE_S = 600
"""Seconds that one process may take."""

_CALL = "call_us"
"""What an empty Python call took in a process: how fast the machine was just then."""

_CALM = 1.3
"""How much slower than at its best the machine may be for a process to count."""

_TRIES = 2
"""Attempts at one measurement: a machine that was suspended meanwhile is no result."""


class Results:
    """Every sample of a run: (line, side) -> figure -> values; and what failed."""

    def __init__(self) -> None:
        self.samples: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(dict)
        self.failed: list[str] = []

    def add(self, line: str, side: str, figures: Figures) -> None:
        """Take one process's figures."""
        of_side = self.samples[line].setdefault(side, {})
        for key, value in figures.items():
            of_side.setdefault(key, []).append(value)

    def calls_us(self) -> list[float]:
        """Return what an empty call took, in every process."""
        return [
            value
            for sides in self.samples.values()
            for figures in sides.values()
            for value in figures.get(_CALL, [])
        ]

    def median(self, line: str, side: str, key: str) -> float | None:
        """Return the median of a figure, of the calm processes if there were any."""
        figures = self.samples.get(line, {}).get(side, {})
        values = figures.get(key, [])
        limit_us = min(self.calls_us(), default=0.0) * _CALM
        calm = [
            value
            for value, call_us in zip(values, figures.get(_CALL, []), strict=False)
            if call_us <= limit_us
        ]
        return statistics.median(calm or values) if values else None


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    options = _options()
    if options.list:
        for name, line in LINES.items():
            print(f"{name:10} {'; '.join(figure.says for figure in line.figures)}")
        return 0
    if options.one:
        return _measure_here(*options.one, is_quick=options.quick, is_pinned=options.pinned)
    names: list[str] = options.lines or list(LINES)
    results = Results()
    rounds = 1 if options.quick else options.rounds
    try:
        for number in range(rounds):
            _run_round(number, names, results, options)
    except KeyboardInterrupt:
        print("\ninterrupted: what there is so far", file=sys.stderr)
    print(_table(names, results, is_pinned=options.pinned))
    if options.json:
        _write(options.json, results)
    for failure in results.failed:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if results.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False, allow_abbrev=False)
    parser.add_argument("lines", nargs="*", metavar="LINE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pinned", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("LINE", "SIDE"))
    options = parser.parse_args()
    unknown = [name for name in options.lines if name not in LINES]
    if unknown:
        parser.error(f"no such line: {', '.join(unknown)}; there are {', '.join(LINES)}")
    if options.rounds < 1:
        parser.error("--rounds wants one or more")
    return options


# -- one measurement, in a process of its own ------------------------------


def _measurement(line: str, side: str) -> Measurement:
    if line == "floor":
        return FLOORS[side]
    found = LINES[line].ours if side == "ours" else LINES[line].pykka
    assert found is not None
    return found


def _measure_here(line: str, side: str, *, is_quick: bool, is_pinned: bool) -> int:
    if is_pinned:
        stay_on_one_core()
    before = FLOORS["call"](is_quick=is_quick)["us"]
    figures = _measurement(line, side)(is_quick=is_quick)
    after = FLOORS["call"](is_quick=is_quick)["us"]
    print(json.dumps(figures | {_CALL: (before + after) / 2}))
    return 0


def _measure(
    line: str, side: str, results: Results, *, is_quick: bool, is_pinned: bool, as_line: str = ""
) -> None:
    command = [sys.executable, "-m", "scripts.bench", "--one", line, side]
    command += ["--quick"] * is_quick + ["--pinned"] * is_pinned
    said = ""
    for _ in range(_TRIES):
        try:
            done = subprocess.run(  # noqa: S603 -- our own command
                command, capture_output=True, text=True, check=False, timeout=_DEADLINE_S
            )
        except subprocess.TimeoutExpired:
            said = f"nothing within {_DEADLINE_S} s"
            continue
        if done.returncode == 0:
            results.add(as_line or line, side, json.loads(done.stdout.splitlines()[-1]))
            return
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    results.failed.append(f"{line} on {side}: {said}")


def _run_round(
    number: int, names: list[str], results: Results, options: argparse.Namespace
) -> None:
    is_quick, is_pinned = options.quick, options.pinned
    for name in names:
        line = LINES[name]
        if line.is_long and number:
            continue
        pinned = is_pinned or line.is_pinned
        sides = ["ours"] if line.pykka is None else ["pykka", "ours"]
        if number % 2:
            sides.reverse()
        for side in sides:
            _tell(f"round {number + 1}: {name} ({side})")
            _measure(name, side, results, is_quick=is_quick, is_pinned=pinned)
        if line.switches:
            _measure(
                "floor", "round trip", results, is_quick=is_quick, is_pinned=pinned, as_line=name
            )
    _tell("")


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


# -- the table -------------------------------------------------------------

_HEADER = ("what", "pykka", "ours", "ratio", "raw *", "mark", "met")


def _table(names: list[str], results: Results, *, is_pinned: bool) -> str:
    rows: list[tuple[str, ...]] = [_HEADER]
    for name in names:
        line = LINES[name]
        rows += [_row(name, line, figure, results) for figure in line.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    printed = [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(
        [
            _machine(is_pinned=is_pinned),
            _calm(results.calls_us()),
            "",
            *printed,
            "",
            "* two threads, a queue there and a lock back: the switches alone, on this machine",
        ]
    )


def _calm(calls_us: list[float]) -> str:
    if not calls_us:
        return "nothing was measured"
    low = min(calls_us)
    busy = sum(call_us > low * _CALM for call_us in calls_us)
    said = f"medians; an empty Python call took {low:.3f} to {max(calls_us):.3f} us meanwhile"
    if busy:
        said += (
            f"; {busy} of {len(calls_us)} processes found the machine busy with something else"
            " and were left out where a line had a calm one"
        )
    return said


def _row(name: str, line: Line, figure: Figure, results: Results) -> tuple[str, ...]:
    mine = results.median(name, "ours", figure.key)
    theirs = results.median(name, "pykka", figure.key)
    raw = results.median(name, "round trip", "us") if line.switches else None
    is_met: bool | None = None
    if figure.mark is not None and mine is not None:
        is_met = figure.mark.is_met(mine, raw=raw, pykka=theirs)
    return (
        figure.says,
        _number(theirs, figure.unit),
        _number(mine, figure.unit),
        f"{theirs / mine:.3g} x" if theirs and mine else "-",
        _number(raw, "us") if figure.unit == "us" else "-",
        "-" if figure.mark is None else str(figure.mark),
        "-" if is_met is None else ("yes" if is_met else "NO"),
    )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    shown = f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"  # noqa: PLR2004 -- a look
    return f"{shown} {unit}".rstrip()


def _machine(*, is_pinned: bool) -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    cores = 0
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        models = [text.partition(":")[2].strip() for text in lines if text.startswith("model name")]
        cores = len(models)
        model = models[0] if models else model
    used = "pinned to one core" if is_pinned else f"{cores or '?'} cores"
    return (
        f"{model}, {used}; {platform.system()} {platform.release()};"
        f" {platform.python_implementation()} {platform.python_version()};"
        f" pykka {version('pykka')}, callboard {version('callboard')}"
    )


def _write(path: Path, results: Results) -> None:
    content = {
        "machine": _machine(is_pinned=False),
        "samples": results.samples,
        "failed": results.failed,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
