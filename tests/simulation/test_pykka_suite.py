"""pykka's own test suite passes on the simulated dispatcher, whatever the order."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.house import ROOT

SUITE = ROOT / "build" / f"pykka-{version('pykka')}"
PLUGIN = ROOT / "tests" / "simulation"


@pytest.mark.slow
@pytest.mark.skipif(not SUITE.exists(), reason="scripts/pykka-suite has not fetched it yet")
@pytest.mark.parametrize("seed", range(3))
def test_every_test_of_pykka_passes(seed: int) -> None:
    path = os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")])
    options = ["-q", "-c", "pyproject.toml", "-p", "pykka_simulated", "-p", "no:cacheprovider"]

    suite = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--timeout", "20", "tests"],
        cwd=SUITE,
        env={**os.environ, "PYTHONPATH": path, "CALLBOARD_SEED": str(seed)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert suite.returncode == 0, suite.stdout
    assert " passed" in suite.stdout
    assert "skipped" not in suite.stdout
