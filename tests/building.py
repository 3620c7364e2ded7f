"""How is what users install made of this checkout?"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.house import ROOT

SHIPPED = ("actors", "supervision", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def build_wheel(place: Path) -> Path:
    """Return the wheel, built in `place` as users get it: from the sdist of a copy."""
    checkout = place / "checkout"
    for name in SHIPPED:
        original = ROOT / name
        if original.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(original, checkout / name, ignore=ignored)
        else:
            shutil.copy(original, checkout / name)
    sdist = _build("sdist", checkout, place / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "unpacked", filter="data")
    (unpacked,) = (place / "unpacked").iterdir()
    return _build("wheel", unpacked, place / "wheel")


def _build(kind: str, source: Path, target: Path) -> Path:
    """Call the build backend as pip does, without the network, and return what it made."""
    target.mkdir()
    call = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    subprocess.run([sys.executable, "-c", call], cwd=source, check=True, capture_output=True)
    (made,) = target.iterdir()
    return made
