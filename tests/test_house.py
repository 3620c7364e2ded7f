"""The house rules that can be checked."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.supervision.model.events import LOGGER
from tests.house import DOORS, FOLDERS, ROOT, TEST_KITS, setup_cfg, sources, tree_of

FROM_THE_SYSTEM = {
    "concurrent": "the system's dispatcher runs things",
    "multiprocessing": "a process stands behind a port",
    "queue": "a mailbox is the queue",
    "random": "self.system.random(stream)",
    "secrets": "self.system.ids",
    "threading": "an actor needs no lock; the dispatcher has the threads",
    "time": "self.system.clock",
    "uuid": "self.system.ids",
    "uuid6": "self.system.ids",
}
"""Law 9: a module that may be imported only in the runtime and the test kits -> what to use."""

EXCEPTIONS = {
    ("callboard.actors.daemon", "secrets"): "the key to a port must not be repeatable",
}
"""(package, module) -> why law 9 gives way there. The daemon is an edge: it is not simulated."""

NEVER = {
    "dill": "a stored object could run code",
    "marshal": "a stored object could run code",
    "pickle": "a stored object could run code",
    "shelve": "a stored object could run code",
}

BROAD = {"BaseException", "Exception"}

SILENCER = re.compile(r"(noqa(: [A-Z0-9, ]+)?|(type|pyright): ignore(\[[\w, -]*\])?)")
"""What tells a checker to be silent."""

LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if not path.name.startswith("_"))
COMMANDS = [path for path in SCRIPTS if path.is_file() and not path.suffix]


def is_within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imported_in(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the line of everything a file imports, at any depth."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno


def has_eager_text(call: ast.Call, method: str) -> bool:
    """Say whether the text of a log call is an f-string; `log` has a level before its text."""
    place = 1 if method == "log" else 0
    return any(isinstance(text, ast.JoinedStr) for text in call.args[place : place + 1])


def is_broad(caught: ast.expr | None) -> bool:
    """Say whether an `except` takes whatever comes."""
    if caught is None:
        return True
    each = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(one, ast.Name) and one.id in BROAD for one in each)


def reason_in(line: str) -> str:
    """Return what a comment says beside what it silences."""
    return SILENCER.sub("", line.partition("  # ")[2]).strip(" #-")


def constants_then_classes_then_functions(name: str) -> tuple[bool, bool, str]:
    """The order in which ruff sorts `__all__`."""
    return (not name.isupper(), name[0].islower(), name)


def all_of(name: str) -> list[str]:
    return list(importlib.import_module(name).__all__)


# For a class: so all that is asked of one module is asked in a row, and it is read once.
@pytest.mark.parametrize(("name", "path"), sources().items(), ids=list(sources()), scope="class")
class TestEveryModule:
    def test_it_takes_time_chance_and_threads_from_the_system(self, name: str, path: Path) -> None:
        if is_within(name, "callboard.supervision.runtime", *TEST_KITS):
            return

        slips = [
            f"{path.relative_to(ROOT)}:{line}: {module}: {FROM_THE_SYSTEM[module]}"
            for module, line in ((dotted.split(".")[0], line) for dotted, line in imported_in(path))
            if module in FROM_THE_SYSTEM
            and not any(is_within(name, p) and module == m for p, m in EXCEPTIONS)
        ]

        assert not slips

    def test_it_imports_nothing_that_turns_data_into_code(self, name: str, path: Path) -> None:
        slips = [(dotted, line) for dotted, line in imported_in(path) if dotted in NEVER]

        assert not slips, f"{name}: {NEVER}"

    def test_it_imports_by_full_names(self, name: str, path: Path) -> None:
        relative = [
            node.lineno
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ImportFrom) and node.level
        ]
        folders = [
            line
            for dotted, line in imported_in(path)
            if is_within(dotted, *(folder.name for folder in FOLDERS.values()))
        ]

        assert not relative + folders, f"write `from callboard...` in {name}"

    def test_its_log_lines_are_formatted_by_the_logger(self, name: str, path: Path) -> None:
        eager = [
            node.lineno
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOG_METHODS
            and "log" in ast.unparse(node.func.value).lower()
            and has_eager_text(node, node.func.attr)
        ]

        assert not eager, f"pass the values as arguments in {name}"

    def test_what_it_silences_or_catches_broadly_has_its_reason_on_the_line(
        self, name: str, path: Path
    ) -> None:
        lines = path.read_text("utf-8").splitlines()
        broad = {
            node.lineno
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ExceptHandler) and is_broad(node.type)
        }

        bare = [
            f"{path.relative_to(ROOT)}:{number}"
            for number, line in enumerate(lines, 1)
            if (number in broad or SILENCER.search(line.partition("  # ")[2]))
            and not reason_in(line)
        ]

        assert not bare, f"say why in {name}"

    def test_its_docstring_answers_one_question(self, name: str, path: Path) -> None:
        docstring = ast.get_docstring(tree_of(path))

        assert docstring, f"{name} says nothing about itself"


def test_the_logger_of_events_is_named_in_one_place() -> None:
    named = [name for name, path in sources().items() if f'"{LOGGER}"' in path.read_text("utf-8")]

    assert named == ["callboard.supervision.model.events"]


class TestPackages:
    @pytest.mark.parametrize("name", setup_cfg()["options"]["packages"].split())
    def test_inside_the_stack_an_init_file_holds_a_docstring_only(self, name: str) -> None:
        if name in (*DOORS, *TEST_KITS):
            return
        tree = tree_of(sources()[name])

        assert ast.get_docstring(tree)
        assert len(tree.body) == 1

    @pytest.mark.parametrize(
        "folder", FOLDERS.values(), ids=[each.name for each in FOLDERS.values()]
    )
    def test_importing_a_folder_by_its_own_name_is_refused(self, folder: Path) -> None:
        spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)

        with pytest.raises(ImportError, match=f"callboard.{folder.name}"):
            spec.loader.exec_module(module)


class TestPublicSurface:
    @pytest.mark.parametrize("door", DOORS)
    def test_a_door_lists_its_names_in_order(self, door: str) -> None:
        assert all_of(door) == sorted(set(all_of(door)), key=constants_then_classes_then_functions)

    @pytest.mark.parametrize("door", DOORS)
    def test_a_door_has_every_name_it_lists(self, door: str) -> None:
        module = importlib.import_module(door)

        assert not [name for name in all_of(door) if not hasattr(module, name)]

    @pytest.mark.parametrize("door", DOORS)
    def test_a_door_re_exports_on_purpose(self, door: str) -> None:
        aliases = [
            alias
            for node in tree_of(sources()[door]).body
            if isinstance(node, ast.ImportFrom) and node.module != "__future__"
            for alias in node.names
        ]

        assert not [alias.name for alias in aliases if not alias.asname], "write `import X as X`"
        assert {alias.asname for alias in aliases} == set(all_of(door))

    def test_a_new_or_lost_public_name_is_a_deliberate_change(self) -> None:
        frozen = (ROOT / "tests" / "public_surface.txt").read_text(encoding="utf-8").split()
        actual = [f"{door}.{name}" for door in sorted(DOORS) for name in all_of(door)]

        assert "\n".join(actual) == "\n".join(frozen), (
            "a promise to users changed; if on purpose, change tests/public_surface.txt with it"
        )


def of_the_project() -> list[Path]:
    """Return the Python files that git tracks; where it tracks none, all there are."""
    git = shutil.which("git")
    listed = ""
    if git is not None:
        command = [git, "ls-files", "-z", "*.py"]
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout
    return [ROOT / each for each in listed.split("\0") if each] or list(ROOT.rglob("*.py"))


class TestTypes:
    def test_both_checkers_see_every_python_file(self) -> None:
        tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
        library = {str(path) for path in sources().values()}
        ours = {
            str(path)
            for path in of_the_project()
            if not {"build", ".venv"} & set(path.relative_to(ROOT).parts)
        } - library

        # The two folders are seen under their import names; what is beside them, where it is.
        for seen in (tools["mypy"]["files"], tools["pyright"]["include"]):
            roots = [f"{ROOT / each}/" for each in seen]
            assert [each for each in seen if each.startswith("build/typing/callboard")]
            assert not [path for path in ours if not path.startswith(tuple(roots))]


class TestScripts:
    def test_the_page_for_contributors_names_each(self) -> None:
        text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
        named = re.findall(r"^\| `scripts/([\w-]+)` \|", text, re.MULTILINE)

        assert sorted(named) == [path.name for path in COMMANDS]

    @pytest.mark.parametrize("script", COMMANDS, ids=[path.name for path in COMMANDS])
    def test_it_is_a_program_of_the_shell_that_stops_at_the_first_error(self, script: Path) -> None:
        assert script.read_text(encoding="utf-8").startswith("#!/bin/sh -e\n")
        assert os.access(script, os.X_OK)

    @pytest.mark.parametrize("script", COMMANDS, ids=[path.name for path in COMMANDS])
    def test_it_explains_itself(self, script: Path, tmp_path: Path) -> None:
        said = subprocess.run(
            [script, "--help"], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

        assert f"usage: scripts/{script.name}" in said
