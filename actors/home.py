"""Where is a path that is given as text? `~` is the user's home, as a shell has it.

A shell that is not there (a configuration file, the environment, quotes, a program) leaves it as it
is, and a folder named `~` in the current one is never meant. `./~` is one.
"""

from __future__ import annotations

import os


def at_home(path: str | os.PathLike[str]) -> str:
    """Return a path with `~` or `~user` at its beginning as that user's home, or as it is."""
    return os.path.expanduser(os.fspath(path))  # noqa: PTH111 -- Path's raises for an unknown user
