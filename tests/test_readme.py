"""README.md and the pages show programs that run, print what is shown, and name true bounds."""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from callboard.actors import Keeping, SessionLimits, SessionSystem
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.sessions.budget import DELAYS, RESTARTS
from callboard.actors.statuses import EXIT_CODES, STATUSES
from callboard.supervision import (
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    PartitionSupervisor,
    Settings,
    Supervisor,
)
from tests.house import ROOT, sources, tree_of
from tests.pages import PAGES, Block, is_shown_as, part_of, shown

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
SETTINGS = ROOT / "docs" / "reference" / "settings.md"

PROGRAMS = shown("python")
OUTPUTS = [block for block in shown("text") if block.source]
UNITS = shown("ini")
EXAMPLE = "docs/examples/"
CRASH = re.compile(r"(child\.(crashed|given_up)|session\.quarantined) ")


class Printed(NamedTuple):
    """What a program printed."""

    out: str
    err: str


@cache
def run(example: Path) -> Printed:
    """Run a program; a warning of Python's is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert not done.returncode, f"{example.name} ended with {done.returncode}: {done.stderr}"
    return Printed(done.stdout, done.stderr)


class TestPages:
    @pytest.mark.parametrize("block", PROGRAMS, ids=map(str, PROGRAMS))
    def test_python_in_a_page_is_a_program_that_runs(self, block: Block) -> None:
        assert block.source.startswith(EXAMPLE), "write ```python docs/examples/FILE.py"

        assert block.text == part_of(block.source)

    @pytest.mark.parametrize("block", UNITS, ids=map(str, UNITS))
    def test_a_unit_in_a_page_is_the_file(self, block: Block) -> None:
        assert block.text == part_of(block.source)

    @pytest.mark.slow
    @pytest.mark.parametrize("block", OUTPUTS, ids=map(str, OUTPUTS))
    def test_what_a_program_prints_is_what_the_page_says(self, block: Block) -> None:
        assert block.source.startswith(EXAMPLE), "write ```text docs/examples/FILE.py"
        name, _, stream = block.source.partition(" ")

        printed = run(ROOT / name)

        assert stream in {"", "stderr"}
        assert is_shown_as(block.text, printed.err if stream else printed.out)

    @pytest.mark.slow
    @pytest.mark.parametrize("example", EXAMPLES, ids=[each.name for each in EXAMPLES])
    def test_every_example_runs_and_is_shown(self, example: Path) -> None:
        name = str(example.relative_to(ROOT))

        printed = run(example)

        assert printed.out
        # What crashes on purpose stands in the log, which nobody has configured; nothing else.
        assert [line for line in printed.err.splitlines() if not CRASH.match(line)] == []
        assert [block for block in PROGRAMS if block.source.partition("#")[0] == name]


class TestReadme:
    def test_it_begins_with_the_two_commands(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        commands = re.findall(r"^    (scripts/\w+)", text, re.MULTILINE)

        assert commands == ["scripts/demo", "scripts/test"]
        assert all((ROOT / command).exists() for command in commands)

    def test_the_scripts_that_pages_name_exist(self) -> None:
        named = {
            (page.name, name)
            for page in PAGES
            for name in re.findall(r"`(scripts/[\w.-]+)", page.read_text(encoding="utf-8"))
        }

        assert not [(page, name) for page, name in named if not (ROOT / name).exists()]


NAMED_FILE = re.compile(r"`((?:actors|supervision|runtime|model|tests|docs)/[\w./-]+\.py)`")
NAMED_METHOD = re.compile(r"`([A-Z]\w+)\.([a-z_]\w*)`")


def methods() -> set[tuple[str, str]]:
    """Return the class and the name of every method of the library, inherited ones too."""
    classes = {
        cls.name: cls
        for path in sources().values()
        for cls in ast.walk(tree_of(path))
        if isinstance(cls, ast.ClassDef)
    }
    return {(name, method) for name in classes for method in methods_of(name, classes)}


def methods_of(name: str, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Return the names of a class's methods, and of those it inherits from our own classes."""
    cls = classes.get(name)
    if cls is None:
        return set()
    own = {
        node.name for node in cls.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    bases = (base.value if isinstance(base, ast.Subscript) else base for base in cls.bases)
    names = [base.id for base in bases if isinstance(base, ast.Name) and base.id != name]
    return own.union(*(methods_of(each, classes) for each in names))


class TestExplanations:
    def test_the_files_that_pages_name_exist(self) -> None:
        named = {
            (page.name, name)
            for page in ROOT.glob("docs/**/*.md")
            for name in NAMED_FILE.findall(page.read_text(encoding="utf-8"))
        }

        assert named
        assert not [
            (page, name)
            for page, name in named
            if not (ROOT / name).exists() and not (ROOT / "supervision" / name).exists()
        ]

    def test_the_methods_that_explain_a_life_exist(self) -> None:
        page = ROOT / "docs" / "explanation" / "life-of-a-message-and-a-failure.md"
        named = set(NAMED_METHOD.findall(page.read_text(encoding="utf-8")))

        assert named
        assert named <= methods()


NUMBERS = {"none": None, "no limit": math.inf}
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<default>[^|]+) \| (?P<unit>[^|]*) \|")


def rows_of(heading: str) -> dict[str, object]:
    """Return name -> default of the table below a heading of the page of settings."""
    text = SETTINGS.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"{SETTINGS.name} has no heading {heading!r}"
    rows = [ROW.match(line) for line in rest.partition("\n## ")[0].splitlines()]
    return {row["name"]: value_of(row["default"].strip()) for row in rows if row}


def value_of(text: str) -> object:
    """Return what a default in a table means."""
    if text in NUMBERS:
        return NUMBERS[text]
    return ast.literal_eval(re.sub(r"(?<=\d),(?=\d{3})", "", text))


def defaults_of(callee: object) -> Mapping[str, object]:
    """Return the default of every parameter that has one."""
    assert callable(callee)
    parameters = inspect.signature(callee).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


@cache
def constants() -> dict[str, float]:
    """Return the numbers that modules of the library name, by their names below `callboard`."""
    found: dict[str, float] = {}
    for module, path in sources().items():
        for node in tree_of(path).body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            value = node.value
            if (
                isinstance(target, ast.Name)
                and isinstance(value, ast.Constant)
                and isinstance(value.value, (int, float))
            ):
                found[f"{module.removeprefix('callboard.')}.{target.id}"] = value.value
    return found


def is_public_bound(constant: str) -> bool:
    """Say whether a constant bounds something by its name, and is no module's own affair."""
    module, _, name = constant.rpartition(".")
    return name.endswith(("_MAX", "_S")) and not name.startswith("_") and "testing" not in module


def exit_rows() -> list[str]:
    """Return the rows that the table of exit codes must have."""
    errors: dict[int, list[str]] = {code: [] for code in EXIT_CODES}
    for error in sorted(STATUSES):
        errors[STATUSES[error].exit_code].append(f"`{error}`")
    return [
        f"| {code} | {meaning} | {', '.join(errors[code]) or '-'} |"
        for code, meaning in EXIT_CODES.items()
    ]


class TestExitCodes:
    def test_are_told_in_a_table_that_is_whole_and_true(self) -> None:
        page = (ROOT / "docs" / "how-to" / "run-the-daemon.md").read_text(encoding="utf-8")

        assert re.findall(r"^\| \d+ \|.*$", page, re.MULTILINE) == exit_rows()


class TestSettings:
    @pytest.mark.parametrize(
        ("heading", "struct"),
        [
            ("Settings", Settings()),
            ("Keeping", Keeping()),
            ("SessionLimits", SessionLimits()),
            ("DaemonSettings", DaemonSettings()),
        ],
        ids=["Settings", "Keeping", "SessionLimits", "DaemonSettings"],
    )
    def test_every_field_has_its_row(
        self, heading: str, struct: Settings | Keeping | SessionLimits | DaemonSettings
    ) -> None:
        expected = {field: getattr(struct, field) for field in struct.__struct_fields__}

        assert rows_of(heading) == expected

    @pytest.mark.parametrize(
        ("heading", "callee"),
        [
            ("SessionSystem", SessionSystem),
            ("Supervisor", Supervisor),
            ("DynamicSupervisor", DynamicSupervisor),
            ("PartitionSupervisor", PartitionSupervisor),
            ("Backoff", Backoff),
            ("ChildSpec", ChildSpec),
        ],
        ids=lambda each: each if isinstance(each, str) else "",
    )
    def test_arguments_that_are_bounds_have_their_true_defaults(
        self, heading: str, callee: object
    ) -> None:
        rows = rows_of(heading)
        defaults = defaults_of(callee)

        assert rows
        assert rows == {name: defaults[name] for name in rows}

    def test_every_public_constant_that_is_a_bound_has_its_row(self) -> None:
        bounds = {name: value for name, value in constants().items() if is_public_bound(name)}

        assert bounds.items() <= rows_of("Fixed bounds").items(), f"add it to {SETTINGS.name}"

    def test_every_row_of_a_fixed_bound_is_true(self) -> None:
        assert rows_of("Fixed bounds").items() <= constants().items()

    def test_the_budget_of_a_session_is_the_one_that_is_told(self) -> None:
        said = " ".join(SETTINGS.read_text(encoding="utf-8").split())
        *first, last = (f"{delay_s:g}" for delay_s in DELAYS.delays_s)

        assert f"{RESTARTS.intensity} times within {RESTARTS.period_s:g} seconds" in said
        assert f"after {', '.join(first)} and {last} second;" in said
