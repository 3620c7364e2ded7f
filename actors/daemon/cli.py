"""The program `callboard`: does its work in `commands`, if what that needs is installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from callboard.actors.statuses import EX_CONFIG

EXTRA = ("cyclopts", "httpx", "litestar", "uvicorn")
"""What the extra `daemon` brings."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit code.

    Args:
        arguments: what stands after the program's name; None: the process's own.
    """
    try:
        commands = importlib.import_module("callboard.actors.daemon.commands")
        code = commands.run(sys.argv[1:] if arguments is None else list(arguments))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        sys.stderr.write(
            f"callboard: the package {missing} is missing; the daemon and its commands need it:\n"
            "  pip install 'callboard[daemon]'\n"
        )
        code = EX_CONFIG
    sys.exit(code)
