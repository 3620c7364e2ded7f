"""Where does the daemon listen? On a socket that it binds itself: Unix, or a loopback port."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from callboard.actors.daemon.errors import (
    DoorInUse,
    NotAPort,
    NotASocket,
    NotLoopback,
    PortRefused,
)
from callboard.actors.daemon.folders import private_folder
from callboard.actors.daemon.guard import Door
from callboard.actors.daemon.tokens import provide_token
from callboard.supervision.model.showing import shown

UNIX_PATH_BYTES_MAX = 107
"""How long a Unix socket's path may be (`sun_path` of Linux, less its end)."""

SOCKET_UMASK = 0o177
"""Leaves 0600 to the socket from its first moment; a later chmod would come too late."""

CONNECT_S = 1.0
"""How long a daemon that may live has to take a connection."""

PORT_MAX = 65_535


class OpenDoor:
    """A listening socket, and what was made for it. Close it when the daemon has ended.

    Args:
        listener: the socket, listening.
        shown: how people and clients name it.
        door: what requests must show; None on a Unix socket.
        path: the Unix socket's path.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        shown: str,
        door: Door | None = None,
        path: Path | None = None,
    ) -> None:
        self.listener = listener
        self.shown = shown
        self.door = door
        self._path = path
        self._inode = None if path is None else _inode_of(path)

    def close(self) -> None:
        """Close it, and take the Unix socket away if it is still ours. Idempotent."""
        self.listener.close()
        path, self._path = self._path, None
        if path is not None and _inode_of(path) == self._inode:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_unix(path: Path, *, backlog: int) -> OpenDoor:
    """Listen on a Unix socket, mode 0600, in a folder that nobody else may write to.

    A living daemon's socket is never taken; a dead one's is replaced.

    Args:
        path: where.
        backlog: connections that may wait to be accepted.

    Raises:
        FolderNotPrivate: others could replace the socket.
        DoorInUse: a daemon lives there.
        NotASocket: something else lies there, or the path is too long.
    """
    path = private_folder(path.parent) / path.name
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        msg = f"{path} is longer than {UNIX_PATH_BYTES_MAX} bytes"
        raise NotASocket(msg)
    # One daemon at a time looks and binds here: of two that start together, one finds the other.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _make_room(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind(listener, path)
            listener.listen(backlog)
        except OSError as error:
            listener.close()
            msg = f"{path} cannot be bound: {error.strerror}"
            raise NotASocket(msg) from error
        listener.setblocking(False)
        return OpenDoor(listener, shown=f"unix:{path}", path=path)
    finally:
        os.close(folder)


def _bind(listener: socket.socket, path: Path) -> None:
    before = os.umask(SOCKET_UMASK)
    try:
        listener.bind(os.fspath(path))
    finally:
        os.umask(before)


def _make_room(path: Path) -> None:
    """Take a dead daemon's socket away.

    Raises:
        DoorInUse: the daemon lives.
        NotASocket: it is something else.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        msg = f"{path} is no socket"
        raise NotASocket(msg)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(CONNECT_S)
        try:
            visitor.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except FileNotFoundError:
            return
        except OSError as error:  # its queue is full, for one: somebody lives there
            msg = f"a daemon seems to live at {path}: {error.strerror}"
            raise DoorInUse(msg) from error
    msg = f"a daemon lives at {path}"
    raise DoorInUse(msg)


def open_port(host: str, port: int, *, token_file: Path, backlog: int) -> OpenDoor:
    """Listen on a port of this machine alone.

    Args:
        host: a loopback address, or `localhost`.
        port: which; 0 takes a free one.
        token_file: where the token is; it is made if need be.
        backlog: connections that may wait to be accepted.

    Raises:
        NotLoopback: others could reach it.
        NotAPort: there is no such port.
        DoorInUse: somebody listens there.
        PortRefused: the system does not let us.
        FolderNotPrivate, TokenRefused: the token would not be safe.
    """
    address = loopback(host)
    if not 0 <= port <= PORT_MAX:
        raise NotAPort(port, port_max=PORT_MAX)
    token = provide_token(token_file)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004 -- IPv6
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            msg = f"somebody listens on {address} port {port}"
            raise DoorInUse(msg) from error
        msg = f"port {port} cannot be bound: {error.strerror}"
        raise PortRefused(msg) from error
    listener.setblocking(False)
    bound = listener.getsockname()[1]
    written = f"[{address}]" if family == socket.AF_INET6 else str(address)
    names = {"127.0.0.1", "[::1]", "localhost", written}
    door = Door(token=token, hosts=frozenset(f"{name}:{bound}" for name in names))
    return OpenDoor(listener, shown=f"http://{written}:{bound}", door=door)


def loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a host that is this machine.

    Raises:
        NotLoopback: it is another one's, or no address.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        msg = f"{shown(host)} is no loopback address"
        raise NotLoopback(msg) from None
    if not address.is_loopback or getattr(address, "scope_id", None) is not None:
        msg = f"{address} is no loopback address"
        raise NotLoopback(msg)
    return address


def _inode_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
