"""The page that says where callboard stands to each clause of OTP's semantics, and what covers it.

Its source is `tests/otp/parity.toml`. What a clause names must exist: a recording for every
pattern, a test for every name, a reason wherever callboard does not do as OTP does.
"""

from __future__ import annotations

import ast
import enum
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "otp" / "parity.toml"
RECORDINGS = ROOT / "tests" / "otp" / "traces"
PAGE = ROOT / "docs" / "reference" / "otp-parity.md"

CLAUSES = 134
"""How many clauses there are, S1 to S134."""


class Verdict(enum.Enum):
    """Where callboard stands to a clause."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_APPLICABLE = "not applicable"


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One clause.

    Args:
        says: what OTP does, in short.
        verdict: whether callboard does likewise.
        why: what is different and why; given wherever anything is.
        traces: recordings that cover it, or patterns of several.
        tests: tests that cover it: files, classes or functions.
    """

    says: str
    verdict: Verdict
    why: str = ""
    traces: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


def clauses() -> dict[str, Clause]:
    """Return `S1` to `S134`, in order."""
    content = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    return msgspec.convert(content, dict[str, Clause])


def faults() -> list[str]:
    """Return what is wrong with the source, in words; nothing when all is well."""
    found: list[str] = []
    listed = clauses()
    if list(listed) != [f"S{number}" for number in range(1, CLAUSES + 1)]:
        found.append(f"the clauses are not S1 to S{CLAUSES}, each once and in order")
    for name, clause in listed.items():
        found += [f"{name}: {fault}" for fault in _faults_of(clause)]
    return found


def _faults_of(clause: Clause) -> list[str]:
    found = [f"no recording is called {each}" for each in clause.traces if not _recordings(each)]
    found += [f"there is no test {each}" for each in clause.tests if not _is_test(each)]
    if (clause.verdict is Verdict.SAME) == bool(clause.why):
        found.append("what differs has a reason, and what is the same has none")
    is_covered = bool(clause.traces or clause.tests)
    if is_covered == (clause.verdict is Verdict.NOT_APPLICABLE):
        found.append("what is applicable is covered, by a recording or a test, and nothing else")
    return found


def _recordings(pattern: str) -> list[Path]:
    return sorted(RECORDINGS.glob(f"{pattern}.json"))


def _is_test(name: str) -> bool:
    path, *names = name.split("::")
    return (ROOT / path).is_file() and (not names or tuple(names) in _tests_in(path))


@cache
def _tests_in(path: str) -> frozenset[tuple[str, ...]]:
    """Return the classes and functions of a test file, each as the names that lead to it."""
    found: set[tuple[str, ...]] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add((node.name,))
        if isinstance(node, ast.ClassDef):
            inner = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            found |= {(node.name, each.name) for each in inner}
    return frozenset(found)


# -- the page --------------------------------------------------------------


def page() -> str:
    """Return the page."""
    listed = clauses()
    counts = Counter(clause.verdict for clause in listed.values())
    rows = [_row(name, clause) for name, clause in listed.items()]
    return "\n".join(
        [
            "# OTP parity",
            "",
            "What OTP 25 and Elixir 1.14 do, clause by clause, where callboard stands to it, and",
            "what covers it: recordings of the real thing (`tests/otp/traces`, run by",
            "`scripts/traces`) and tests. The differences are explained in",
            "[Differences from OTP](../explanation/differences-from-otp.md).",
            "",
            "This page is written by `scripts/traces --parity` from `tests/otp/parity.toml`; a",
            "test fails when it is out of date, or names a test or a recording that is not there.",
            "",
            ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict) + ".",
            "",
            "| | OTP | here | covered by |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _row(name: str, clause: Clause) -> str:
    here = clause.verdict.value + (f": {clause.why}" if clause.why else "")
    covered = [_trace(each) for each in clause.traces] + [_test(each) for each in clause.tests]
    return f"| {name} | {_cell(clause.says)} | {_cell(here)} | {'<br>'.join(covered)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _trace(pattern: str) -> str:
    count = len(_recordings(pattern))
    return f"`{pattern}`" if count == 1 else f"`{pattern}` ({count} recordings)"


def _test(name: str) -> str:
    path, *names = name.split("::")
    return f"`{'::'.join([path.removeprefix('tests/').removesuffix('.py'), *names])}`"


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(page(), encoding="utf-8")
