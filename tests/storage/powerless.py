"""Processes for which the modes of files hold, also where the tests are run by root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run_powerless(script: str, *words: str | Path) -> str:
    """Run a script of Python without the powers of root; return what it prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(
        [*_without_powers(), sys.executable, "-c", script, *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def _without_powers() -> list[str]:
    if os.geteuid() != 0:
        return []
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("as root this needs setpriv")
    return [program, "--bounding-set", "-all", "--inh-caps", "-all"]
