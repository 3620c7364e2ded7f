"""Which daemon is meant? What stands in the command comes before what the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.folders import default_socket, default_token_file
from callboard.actors.home import at_home

SOCKET_VARIABLE = "CALLBOARD_SOCKET"
URL_VARIABLE = "CALLBOARD_URL"
TOKEN_FILE_VARIABLE = "CALLBOARD_TOKEN_FILE"  # noqa: S105 -- a variable's name


def meant(
    socket: Path | None, url: str | None, environ: Mapping[str, str] | None = None
) -> Path | str:
    """Return the socket or the url of the daemon that a command talks to.

    Args:
        socket: what the command says; or
        url: what the command says.
        environ: asked when the command says neither; None: the process's own.

    Raises:
        WrongUsage: two places are named, and nothing says which of them is meant.
    """
    socket = _placed(socket)
    names = "--socket and --url"
    if socket is None and url is None:
        environ = os.environ if environ is None else environ
        socket, url = _path(environ, SOCKET_VARIABLE), environ.get(URL_VARIABLE) or None
        names = f"{SOCKET_VARIABLE} and {URL_VARIABLE} in the environment"
    if socket is not None and url is not None:
        msg = f"{names} name two places"
        raise WrongUsage(msg, "Give one of them, --socket or --url.")
    return url or socket or default_socket()


def listening(
    socket: Path | None, port: int | None, environ: Mapping[str, str] | None = None
) -> Path | int:
    """Return the socket or the port that a daemon is to listen on.

    Args:
        socket: what the command says; or
        port: what the command says.
        environ: asked when the command says neither; None: the process's own.

    Raises:
        WrongUsage: the command says both.
    """
    if port is None:
        environ = os.environ if environ is None else environ
        return _placed(socket) or _path(environ, SOCKET_VARIABLE) or default_socket()
    if socket is not None:
        msg = "--socket and --port name two doors"
        raise WrongUsage(msg, "Give one of them; a daemon has one door.")
    return port


def token_file_of(given: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the file of a port's token: given, or the environment's, or the user's own."""
    environ = os.environ if environ is None else environ
    return _placed(given) or _path(environ, TOKEN_FILE_VARIABLE) or default_token_file()


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    return _placed(Path(value)) if value else None


def _placed(given: Path | None) -> Path | None:
    return None if given is None else Path(at_home(given))
