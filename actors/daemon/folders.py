"""Where do socket and token lie, and can nobody else reach them?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from callboard.actors import private
from callboard.actors.daemon.errors import FolderNotPrivate

FILE_MODE = private.FILE_MODE


def default_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of this user's daemon: below `$XDG_RUNTIME_DIR`, else the state folder."""
    environ = os.environ if environ is None else environ
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "callboard"
    state = environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "callboard"


def default_socket() -> Path:
    """Return where the daemon's socket is unless somebody says otherwise."""
    return default_folder() / "callboard.sock"


def default_token_file() -> Path:
    """Return where the token of a daemon on a port is unless somebody says otherwise."""
    return default_folder() / "token"


def private_folder(folder: Path) -> Path:
    """Make sure that a folder is there, and that nobody else can put anything into it.

    Returns:
        Its absolute path, without symbolic links.

    Raises:
        FolderNotPrivate: it, or a folder above it, belongs to somebody else or may be
            written by others; or it cannot be made.
    """
    try:
        return private.private_folder(folder)
    except private.NotPrivate as error:
        raise FolderNotPrivate(str(error)) from error
