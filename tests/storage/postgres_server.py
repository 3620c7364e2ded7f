"""A PostgreSQL server of our own, in a folder of its own, for as long as somebody needs it.

    python -m tests.storage.postgres_server   # starts one, prints its DSN, stops it at end of input

PostgreSQL refuses to run as root: then it runs as another user. It listens on a Unix socket in
its folder alone, and lets everybody in who may enter there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HOW_TO_GET = "PostgreSQL is not installed here: on Debian or Ubuntu, apt-get install postgresql"
"""What to say where there is none."""

START_S = 30.0
"""How long a start may take, recovery included, in seconds."""

STOP_S = 10.0
"""How long a stop may take, in seconds."""

LOOK_EVERY_S = 0.02
"""How often to look whether a process has ended, in seconds."""

OTHER_USERS = ("postgres", "nobody")
"""Who runs the server where we are root; the first that exists."""


class Missing(RuntimeError):
    """PostgreSQL is not installed."""


def programs() -> Path:
    """Return the folder with PostgreSQL's programs, the newest there are.

    Raises:
        Missing: there are none.
    """
    # Debian has them where no PATH leads: `initdb` is not for every user.
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(debian, key=lambda each: int(each.parts[-3].partition(".")[0]), reverse=True)
    found = [*map(str, newest), shutil.which("initdb") or ""]
    for each in found:
        if each and Path(each).with_name("postgres").exists():
            return Path(each).resolve().parent
    raise Missing(HOW_TO_GET)


class Server:
    """One server. Nothing outside its folder, and no process but its own, is touched.

    Args:
        settings: of `postgresql.conf`.
    """

    def __init__(self, **settings: str) -> None:
        self._programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="callboard-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, _other_user())
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "30",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        encoding = ("--encoding=UTF8", "--no-locale")
        if self._run("initdb", "--no-sync", *encoding, "--username=callboard", "--auth=trust").wait(
            START_S
        ):
            raise self._failure("initdb")

    @property
    def dsn(self) -> str:
        """Where it is."""
        return f"host={self.folder} user=callboard dbname=postgres"

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; return when it lets clients in."""
        # Our child, so that it is gone when we have waited for it: an init that collects late
        # leaves a process behind that PostgreSQL takes for a server that runs.
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        process = self._process = self._run("postgres", *options)
        for _ in range(int(START_S / LOOK_EVERY_S)):
            if self._is_ready():
                return
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY_S)
                break
        self.kill()
        raise self._failure("postgres")

    def stop(self) -> None:
        """Stop it at once, as an operator does who does not wait for clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_S)
            self._process = None

    def kill(self) -> None:
        """End all its processes with kill -9."""
        if self._process is None:
            return
        first = psutil.Process(self._process.pid)
        alive = [first, *first.children(recursive=True)] if _is_alive(first) else []
        for each in alive:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
        self._process.wait(STOP_S)
        self._process = None
        for _ in range(int(STOP_S / LOOK_EVERY_S)):
            alive = [each for each in alive if _is_alive(each)]
            if not alive:
                return
            psutil.wait_procs(alive, LOOK_EVERY_S)

    def remove(self) -> None:
        """Stop it, and leave nothing behind."""
        self.kill()
        shutil.rmtree(self.folder)

    def _failure(self, program: str) -> RuntimeError:
        return RuntimeError(f"{program} failed:\n{self._log.read_text(errors='replace')}")

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="ascii").split()
        except OSError:
            return False
        # The file of one that was killed is still there when the next one starts.
        return lines[-1:] == ["ready"] and lines[0] == str(self._process and self._process.pid)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        user = _other_user() if os.geteuid() == 0 else None
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / program), "-D", str(self._data), *arguments],
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def running(**settings: str) -> Generator[Server]:
    """Have a server for the length of a `with` block.

    Raises:
        Missing: PostgreSQL is not installed.
    """
    server = Server(**settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _is_alive(process: psutil.Process) -> bool:
    """Say whether a process lives; one that nobody has collected yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _other_user() -> str:
    known = {each.pw_name for each in pwd.getpwall()}
    return next(each for each in OTHER_USERS if each in known)


if __name__ == "__main__":
    with running() as own:
        sys.stdout.write(f"{own.dsn}\n")
        sys.stdout.flush()
        sys.stdin.read()
