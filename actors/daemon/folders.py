"""Where do socket and token lie, and can nobody else reach them?"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from callboard.actors.daemon.errors import FolderNotPrivate

FOLDER_MODE = 0o700
FILE_MODE = 0o600

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


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
        folder = folder.absolute()
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        folder = folder.resolve(strict=True)
        found = folder.stat()
    except OSError as error:
        msg = f"{folder} cannot be used: {error.strerror}"
        raise FolderNotPrivate(msg) from error
    if not stat.S_ISDIR(found.st_mode):
        msg = f"{folder} is no folder"
        raise FolderNotPrivate(msg)
    if found.st_uid != os.geteuid():
        msg = f"{folder} belongs to somebody else"
        raise FolderNotPrivate(msg)
    if found.st_mode & _OTHERS_WRITE:
        msg = f"others may write to {folder}"
        raise FolderNotPrivate(msg)
    for above in folder.parents:
        _check_above(above)
    return folder


def _check_above(folder: Path) -> None:
    """Refuse a folder in which others could put another folder in the place of ours."""
    found = folder.stat()
    is_sticky = bool(found.st_mode & stat.S_ISVTX)
    if found.st_uid not in {0, os.geteuid()}:
        msg = f"{folder}, above, belongs to somebody else"
        raise FolderNotPrivate(msg)
    if found.st_mode & _OTHERS_WRITE and not is_sticky:
        msg = f"others may write to {folder}, above"
        raise FolderNotPrivate(msg)
