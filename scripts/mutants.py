"""Do the tests notice when the library is broken? Each patch of tests/mutants breaks a copy of it.

A patch is a unified diff behind a header: a sentence that says what it breaks, and a line
`Tests: tests/...::...` for each test that is to notice. Its hunks are found by what they say, not
by the numbers of their lines, and each must be found exactly once: so a patch outlives what is
edited elsewhere, and never lands in another place than the one it was made for.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
PATCHES: Final = ROOT / "tests" / "mutants"
COPIES: Final = ROOT / "build" / "mutants"
FOLDERS: Final = ("actors", "supervision")
"""What a patch may change: the library, under the names of its folders."""

TEST_S: Final = 30
"""Seconds that one test may take: a mutant may hang where the library does not."""

MUTANT_S: Final = 120.0
"""Seconds that all tests of one mutant may take."""

LIBRARY_S: Final = 900.0
"""Seconds that all named tests may take upon the library as it is."""

_TESTS: Final = "Tests: "
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - |$)", re.MULTILINE)
_HUNG: Final = re.compile(r"^\++ Timeout \++$", re.MULTILINE)


class Hunk(NamedTuple):
    """A place that a patch changes.

    Args:
        path: the file, below the project.
        old: the lines that are there.
        new: the lines in their place.
    """

    path: str
    old: tuple[str, ...]
    new: tuple[str, ...]


class Mutant(NamedTuple):
    """One way to break the library.

    Args:
        name: the patch, without its suffix.
        breaks: what it breaks, in a sentence.
        tests: node ids of tests, at least one of which must fail.
        hunks: what it changes.
    """

    name: str
    breaks: str
    tests: tuple[str, ...]
    hunks: tuple[Hunk, ...]


class DoesNotApply(Exception):
    """A hunk does not fit the sources, or fits them in more places than one."""


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"
    """It does not apply, or its tests could not be run."""


class Outcome(NamedTuple):
    """What became of a mutant, and by what.

    Args:
        mutant: which.
        fate: what became of it.
        why: the test that noticed, or what was wrong.
        seconds: how long that took.
    """

    mutant: Mutant
    fate: Fate
    why: str
    seconds: float


def mutants() -> list[Mutant]:
    """Return all there are, by name."""
    return [parsed(path.stem, path.read_text("utf-8")) for path in sorted(PATCHES.glob("*.patch"))]


def parsed(name: str, text: str) -> Mutant:
    """Return what a patch says."""
    breaks: list[str] = []
    tests: list[str] = []
    hunks: list[Hunk] = []
    path = ""
    for line in text.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removeprefix("b/")
        elif line.startswith("@@ "):
            hunks.append(Hunk(path, (), ()))
        elif hunks and line[:1] in {" ", "-", "+"} and not line.startswith("--- "):
            said, hunk = line[1:], hunks[-1]
            old = hunk.old if line[0] == "+" else (*hunk.old, said)
            new = hunk.new if line[0] == "-" else (*hunk.new, said)
            hunks[-1] = Hunk(hunk.path, old, new)
        elif line.startswith(_TESTS):
            tests.append(line.removeprefix(_TESTS).strip())
        elif not path and line and not line.startswith("--- "):
            breaks.append(line)
    return Mutant(name, " ".join(breaks), tuple(tests), tuple(hunks))


@cache
def _lines_of(path: str) -> tuple[str, ...]:
    file = ROOT / path
    if path.split("/", maxsplit=1)[0] not in FOLDERS or not file.is_file():
        msg = f"{path} is no file of the library"
        raise DoesNotApply(msg)
    return tuple(file.read_text("utf-8").split("\n"))


def mutated(mutant: Mutant) -> dict[str, str]:
    """Return the files that a mutant changes, by their paths below the project.

    Raises:
        DoesNotApply: a hunk is not found, or not in one place alone.
    """
    files: dict[str, list[str]] = {}
    for hunk in mutant.hunks:
        lines = files.setdefault(hunk.path, list(_lines_of(hunk.path)))
        size = len(hunk.old)
        places = [
            at
            for at, line in enumerate(lines)
            if line == hunk.old[0] and tuple(lines[at : at + size]) == hunk.old
        ]
        if len(places) != 1:
            msg = f"{hunk.path}: what is to be changed is there {len(places)} times: {hunk.old}"
            raise DoesNotApply(msg)
        lines[places[0] : places[0] + size] = hunk.new
    return {path: "\n".join(lines) for path, lines in files.items()}


# -- running them ----------------------------------------------------------


def copied(mutant: Mutant) -> Path:
    """Make the copy of the library that a mutant is, and return where it is.

    Raises:
        DoesNotApply: see `mutated`.
    """
    changed = mutated(mutant)
    place = COPIES / mutant.name
    shutil.rmtree(place, ignore_errors=True)
    for folder in FOLDERS:
        # With what Python has compiled, which is valid for a copy of the same time.
        shutil.copytree(ROOT / folder, place / "callboard" / folder)
    for path, text in changed.items():
        file = place / "callboard" / path
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()
        file.write_text(text, "utf-8")
    return place


class Run(NamedTuple):
    """How a run of tests ended.

    Args:
        code: pytest's exit code; None: its time was over.
        said: what it printed.
    """

    code: int | None
    said: str


def ran(tests: Iterable[str], library: Path | None, within_s: float) -> Run:
    """Run tests, upon this copy of the library if there is one."""
    options = ("-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", f"--timeout={TEST_S}")
    stops = () if library is None else ("-x",)
    whichever = ("-m", "slow or not slow or hypothesis")  # with all examples, too
    command = (sys.executable, "-m", "pytest", *options, *stops, *whichever, *tests)
    # CI: hypothesis draws the same every time, and remembers no failure of a mutant's.
    env = {**os.environ, "CI": "1"}
    if library is not None:
        env["PYTHONPATH"] = str(library)
    with subprocess.Popen(  # noqa: S603 -- the command is our own
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that what a mutant leaves running ends with it
    ) as process:
        try:
            said, _ = process.communicate(timeout=within_s)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            said, code = "", None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Run(code, said)


def judged(run: Run) -> tuple[Fate, str]:
    """Say what the run of a mutant's tests means, and by what it was noticed."""
    failed = _FAILED.search(run.said)
    if run.code is None:
        return Fate.KILLED, f"its tests did not end in {MUTANT_S:g} s"
    if run.code == 0:
        return Fate.SURVIVED, ""
    if run.code == 1 and failed is not None:
        return Fate.KILLED, failed[1]
    if run.code == 1 and _HUNG.search(run.said):
        return Fate.KILLED, f"a test did not end in {TEST_S} s"
    if run.code < 0:
        return Fate.KILLED, f"the interpreter died of signal {-run.code}"
    return Fate.BROKEN, f"pytest ended with {run.code}: {run.said.strip()[-1_000:]}"


def tried(mutant: Mutant) -> Outcome:
    """Make a mutant and run its tests; what is killed leaves no copy."""
    began_s = time.monotonic()
    try:
        place = copied(mutant)
        fate, why = judged(ran(mutant.tests, place, MUTANT_S))
    except DoesNotApply as error:
        return Outcome(mutant, Fate.BROKEN, str(error), time.monotonic() - began_s)
    if fate is Fate.KILLED:
        shutil.rmtree(place, ignore_errors=True)
    return Outcome(mutant, fate, why, time.monotonic() - began_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants that are asked for; see `scripts/mutants --help`."""
    parser = argparse.ArgumentParser(prog="scripts/mutants")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    known = {mutant.name: mutant for mutant in mutants()}
    unknown = [name for name in options.only if name not in known]
    if unknown or options.jobs < 1:
        print(f"no mutant of the name {unknown[0]}" if unknown else "--jobs: 1 or more")
        return 1
    chosen = [known[name] for name in options.only] or list(known.values())
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name}: {mutant.breaks}")
        return 0
    return _run(chosen, options.jobs)


def _run(chosen: list[Mutant], jobs: int) -> int:
    began_s = time.monotonic()
    tests = list(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    library = ran(tests, None, LIBRARY_S)
    if library.code != 0:
        print(library.said)
        print("these tests do not pass upon the library as it is")
        return 1
    print(f"{len(tests)} tests pass upon the library as it is", flush=True)
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(tried, chosen):
            outcomes.append(outcome)
            name, why = outcome.mutant.name, outcome.why or outcome.mutant.breaks
            print(f"{outcome.fate:8} {name} ({outcome.seconds:.1f} s): {why}", flush=True)
    killed = sum(outcome.fate is Fate.KILLED for outcome in outcomes)
    took_s = time.monotonic() - began_s
    print(f"{len(outcomes)} made, {killed} killed, in {took_s:.0f} s")
    return 0 if killed == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
