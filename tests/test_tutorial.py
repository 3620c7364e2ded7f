"""The page that finds a race is followed to the letter, here and where users are: with the wheel.

A reader's project is made of the files that the page shows, in a folder of its own; the commands
of the page are run there in their order, and must print what the page says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.building import build_wheel
from tests.house import ROOT, setup_cfg
from tests.pages import blocks_of, is_shown_as

PAGE = ROOT / "docs" / "tutorial" / "2-find-a-race.md"
COMMAND = re.compile(r"^\$ (?P<line>.+)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)

TIMEOUT_S = 60
"""What one command of the page, or one call of pip, may take."""

LEAKING = """
from callboard.actors import CreateSession, SessionActor, SessionMessage, SessionSystem
from callboard.actors.testing import Callboard
from callboard.supervision import SupervisedActor, handles

class Helper(SupervisedActor):
    pass

class Begin(SessionMessage[None], frozen=True):
    pass

class Guide(SessionActor[None]):
    @handles(Begin)
    def on_begin(self, message: Begin) -> None:
        self.system.spawn(Helper)

def test_that_leaks(callboard: Callboard) -> None:
    sessions = callboard.start(Guide)
    sessions.ask(Begin(sessions.ask(CreateSession(session_id="ada")).id))
"""


class Project:
    """A user's project.

    Args:
        folder: where it lies.
        programs: where the `python` of its environment is.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._environment = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        }

    def run(self, command: str) -> str:
        """Run a command as one types it in the project's folder; return what it prints."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.stdout

    def follow(self, page: Path) -> list[str]:
        """Write the files that a page shows and run its commands, in order; return what differs."""
        different: list[str] = []
        for block in blocks_of(page):
            if block.language == "python" and block.name:
                (self.folder / block.name).write_text(block.text)
            if block.language == "console":
                for command in COMMAND.finditer(block.text):
                    printed = self.run(command["line"])
                    if not is_shown_as(command["printed"], printed):
                        different.append(f"$ {command['line']}\n{printed}")
        return different


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in the environment of these tests."""
    return Project(tmp_path, Path(sys.executable).parent)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `python` is of a new environment: the wheel, its extra `testing`, and pytest."""
    place = tmp_path_factory.mktemp("user")
    environment = place / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    options = setup_cfg()
    needed = options["options"]["install_requires"] + options["options.extras_require"]["testing"]
    fetched = _pip(python, "pytest", *needed.split())
    if fetched.returncode:
        last = (fetched.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        pytest.skip(f"no package registry gives what users install: {last}")
    wheel = build_wheel(place / "wheel")
    installed = _pip(python, "--no-index", f"{wheel}[testing]")
    assert not installed.returncode, installed.stderr
    return python.parent


def _pip(python: Path, *what: str) -> subprocess.CompletedProcess[str]:
    """Install with the pip of this environment: a new one would take as long as all the rest."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile"]
    return subprocess.run(
        [*command, *what], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.slow
class TestThePage:
    def test_is_true_when_it_is_followed(self, project: Project) -> None:
        assert project.follow(PAGE) == []


@pytest.mark.slow
@pytest.mark.timeout(4 * TIMEOUT_S)
class TestAUserWhoHasTheWheelAlone:
    @pytest.fixture
    def project(self, tmp_path: Path, programs: Path) -> Project:
        return Project(tmp_path, programs)

    def test_can_follow_the_page(self, project: Project) -> None:
        assert project.follow(PAGE) == []

    def test_is_told_which_test_leaks_actors(self, project: Project) -> None:
        (project.folder / "test_leaking.py").write_text(LEAKING)

        printed = project.run("python -m pytest -q --callboard-seed=7")

        assert "Helper, which session/ada had spawned" in printed
        assert "ERROR test_leaking.py::test_that_leaks" in printed

    def test_finds_the_options_in_the_help(self, project: Project) -> None:
        printed = project.run("python -m pytest --help")

        assert "--callboard-seed=SEED" in printed
        assert "--callboard-schedule=FILE" in printed
