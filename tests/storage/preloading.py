"""How a test has a process of its own run with other system calls: built with the machine's cc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
SLOW_FSYNC = HERE / "slow_fsync.c"
"""Every fsync and fdatasync takes 2 ms more."""

FSYNC_ORDER = HERE / "fsync_order.c"
"""Notes the order of writes, syncs and acknowledgements."""


def compiler() -> str | None:
    """Return the C compiler of this machine; None: it has none, or libraries are not preloaded."""
    if sys.platform != "linux":
        return None
    names = (os.environ.get("CC"), "cc", "gcc", "clang")
    return next((found for name in names if name and (found := shutil.which(name))), None)


WHY_NOT = "needs Linux and a C compiler: apt-get install gcc libc6-dev, or set CC"


def build(source: Path, folder: Path) -> Path:
    """Build a library to be preloaded.

    Raises:
        RuntimeError: there is no compiler, or it refuses; it says what to do.
    """
    command = compiler()
    if command is None:
        msg = f"{source.name} {WHY_NOT}"
        raise RuntimeError(msg)
    library = folder / source.with_suffix(".so").name
    arguments = [command, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{source.name} could not be built: {done.stderr.strip()}"
        raise RuntimeError(msg)
    return library


def preloaded(library: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which every process begins with this library."""
    environment = os.environ if environment is None else environment
    others = environment.get("LD_PRELOAD")
    return {**environment, "LD_PRELOAD": f"{library}:{others}" if others else str(library)}
