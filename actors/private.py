"""Can nobody else put something into this folder, or something else in its place?"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(Exception):
    """Others could do so, or it is no folder that can be used. The text says which and why."""


def private_folder(folder: Path) -> Path:
    """Make sure that a folder is there, and that nobody else can put anything into it.

    Returns:
        Its absolute path, without symbolic links.

    Raises:
        NotPrivate: it, or a folder above it, belongs to somebody else or may be
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
        raise NotPrivate(msg) from error
    if not stat.S_ISDIR(found.st_mode):
        msg = f"{folder} is no folder"
        raise NotPrivate(msg)
    if found.st_uid != os.geteuid():
        msg = f"{folder} belongs to somebody else"
        raise NotPrivate(msg)
    if found.st_mode & _OTHERS_WRITE:
        msg = f"others may write to {folder}"
        raise NotPrivate(msg)
    for above in folder.parents:
        _check_above(above)
    return folder


def _check_above(folder: Path) -> None:
    """Refuse a folder in which others could put another folder in the place of ours."""
    found = folder.stat()
    is_sticky = bool(found.st_mode & stat.S_ISVTX)
    if found.st_uid not in {0, os.geteuid()}:
        msg = f"{folder}, above, belongs to somebody else"
        raise NotPrivate(msg)
    if found.st_mode & _OTHERS_WRITE and not is_sticky:
        msg = f"others may write to {folder}, above"
        raise NotPrivate(msg)
