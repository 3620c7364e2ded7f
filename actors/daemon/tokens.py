"""What does a client on a port have to know? A random token, in a file that only its user reads."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from callboard.actors.daemon.errors import TokenMissing, TokenRefused
from callboard.actors.daemon.folders import FILE_MODE, private_folder

TOKEN_BYTES = 32
"""Random bytes in a token."""

_CHARS_MIN = 32
_FILE_BYTES_MAX = 4_096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def provide_token(path: Path) -> str:
    """Return the token of this file; make the file if there is none.

    Raises:
        FolderNotPrivate: others could replace it.
        TokenRefused: what lies there is not usable.
    """
    path = private_folder(path.parent) / path.name
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        # O_EXCL: neither a file nor a link that somebody put there is written to.
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:
        return read_token(path)
    except OSError as error:
        msg = f"{path} cannot be made: {error.strerror}"
        raise TokenRefused(msg) from error
    with os.fdopen(opened, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
    return token


def read_token(path: Path) -> str:
    """Return the token that a file holds.

    Raises:
        TokenMissing: it is not there.
        TokenRefused: it is not this user's alone, or holds no token.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        msg = f"there is no token file {path}"
        raise TokenMissing(msg) from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise TokenRefused(msg) from error
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            msg = f"{path} is no file of this user"
            raise TokenRefused(msg)
        if found.st_mode & _OTHERS:
            msg = f"others may read or write {path}"
            raise TokenRefused(msg)
        token = os.read(opened, _FILE_BYTES_MAX).decode("ascii", errors="replace").strip()
    finally:
        os.close(opened)
    if len(token) < _CHARS_MIN or not token.isascii() or not token.isprintable() or " " in token:
        msg = f"{path} holds no token"
        raise TokenRefused(msg)
    return token
