"""What is installed is what lies in the folders, and it touches nobody else's packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.building import build_wheel
from tests.house import FOLDERS, ROOT, setup_cfg, sources


def listed_packages() -> list[str]:
    return setup_cfg()["options"]["packages"].split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("packaging"))


WITHOUT_EXTRAS = """
import sys
from importlib.metadata import packages_distributions
installed = {name for name in packages_distributions() if name not in sys.argv[1:]}
sys.modules.update(dict.fromkeys(installed - {"callboard"}))  # to import one of them fails
from callboard.actors import CreateSession, SessionSystem
with SessionSystem() as sessions:
    print(sessions.ask(CreateSession(user_id="ada")).status)
"""


class TestTheCore:
    @pytest.mark.seed("3.32")
    def test_needs_what_is_installed_with_it_and_nothing_else(self) -> None:
        required = setup_cfg()["options"]["install_requires"].split()
        names = [re.split("[<>=]", each)[0] for each in required]

        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_EXTRAS, *names],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.stdout, done.stderr) == ("active\n", "")
        assert names == ["pykka", "uuid6", "msgspec"]


class TestSetupCfg:
    def test_it_lists_exactly_the_packages_that_have_a_folder(self) -> None:
        folders = {name for name, path in sources().items() if path.name == "__init__.py"}

        assert sorted(listed_packages()) == sorted(folders)

    def test_every_module_lies_in_a_listed_package(self) -> None:
        packages = set(listed_packages())
        outside = {
            name
            for name, path in sources().items()
            if path.name != "__init__.py" and name.rpartition(".")[0] not in packages
        }

        assert not outside, "a folder without an __init__.py is missing from the wheel"

    def test_it_maps_the_two_folders_to_their_import_names(self) -> None:
        lines = setup_cfg()["options"]["package_dir"].strip().splitlines()
        mapped = dict(line.replace(" ", "").split("=") for line in lines)

        assert mapped == {name: folder.name for name, folder in FOLDERS.items()}

    def test_both_packages_say_that_they_are_typed(self) -> None:
        assert all((folder / "py.typed").exists() for folder in FOLDERS.values())


@pytest.mark.slow
class TestWheel:
    def test_it_holds_callboard_and_nothing_else(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()
        tops = {name.split("/")[0] for name in names}

        assert {top for top in tops if not top.endswith(".dist-info")} == {"callboard"}
        assert "callboard/__init__.py" not in names, "callboard is a namespace"

    def test_it_holds_every_module(self, wheel: Path) -> None:
        names = set(zipfile.ZipFile(wheel).namelist())
        expected = {
            f"callboard/{path.relative_to(ROOT).as_posix()}" for path in sources().values()
        } | {f"callboard/{folder.name}/py.typed" for folder in FOLDERS.values()}

        assert expected <= names

    def test_it_lives_beside_packages_named_supervision_and_actors(
        self, wheel: Path, tmp_path: Path
    ) -> None:
        for name in ("supervision", "actors"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("theirs = True\n")
        unpack = zipfile.ZipFile(wheel).extractall  # for a pure wheel, that is to install it
        unpack(tmp_path)
        program = (
            "import actors, supervision, callboard.actors, callboard.supervision;"
            "print(actors.theirs, supervision.theirs);"
            "print(callboard.actors.__file__); print(callboard.supervision.__file__)"
        )

        said = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()

        assert said == [
            "True True",
            str(tmp_path / "callboard" / "actors" / "__init__.py"),
            str(tmp_path / "callboard" / "supervision" / "__init__.py"),
        ]
