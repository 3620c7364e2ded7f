"""The program `callboard`, to be run with `python -m` from a test."""

from __future__ import annotations

from callboard.actors.daemon.cli import main

if __name__ == "__main__":
    main()
