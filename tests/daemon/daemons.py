"""Daemons for tests: in this process on a thread of their own, or as a process of their own."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from callboard.actors import (
    AppendMessage,
    SessionActor,
    SessionLimits,
    SessionSystem,
)
from callboard.actors.daemon.doors import OpenDoor, open_port, open_unix
from callboard.actors.daemon.service import Daemon
from callboard.actors.daemon.settings import DaemonSettings
from callboard.supervision import Refusal, Settings, handles

READY_S = 20.0
"""How long a daemon may take to start on a busy machine."""


class OutOfTea(Refusal):
    """There is no tea; the user's own refusal."""

    code = "out_of_tea"
    remedy = "Take coffee."


class Moody(SessionActor[None]):
    """A session whose mood depends on what it is told."""

    hand_off = False

    gate = threading.Event()
    """Opened, a handler that waits goes on."""

    is_waiting = threading.Event()
    """Set when a handler waits."""

    @handles(AppendMessage)
    def on_append_message(self, message: AppendMessage) -> int:
        match message.content:
            case "crash":
                secret = "the password is swordfish"  # noqa: S105 -- it must not get out
                raise ValueError(secret)
            case "exit":
                sys.exit(3)
            case "tea":
                raise OutOfTea("no tea")
            case "none" | "words" | "yes":
                nonsense: Any = {"none": None, "words": "words", "yes": True}[message.content]
                return nonsense  # type: ignore[no-any-return]  # on purpose: a slip
            case "wait":
                Moody.is_waiting.set()
                Moody.gate.wait(READY_S)
            case _:
                pass
        return self.append(message.role, message.content, client_msg_id=message.client_msg_id).seq


class Running:
    """A daemon on a thread of this process."""

    def __init__(self, daemon: Daemon, door: OpenDoor, path: Path | None) -> None:
        self.daemon = daemon
        self.path = path
        self.url = "http://callboard" if path is not None else door.shown
        self.token = "" if door.door is None else door.door.token
        self.said: queue.Queue[str] = queue.Queue()
        self.code: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="daemon")
        daemon._say = self.said.put

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.said.get(timeout=READY_S).startswith("READY")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> int | None:
        loop = self._loop
        if loop is not None and self._thread.is_alive() and not loop.is_closed():
            loop.call_soon_threadsafe(self.daemon.stop)
        return self.wait()

    def wait(self) -> int | None:
        self._thread.join(READY_S)
        assert not self._thread.is_alive()
        return self.code

    def let_pass(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have it later by the daemon's own clock."""
        assert self._loop is not None
        monkeypatch.setattr(self._loop, "time", lambda: time.monotonic() + seconds)

    def client(self, **options: Any) -> httpx.Client:
        uds = None if self.path is None else str(self.path)
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(
            base_url=self.url,
            transport=httpx.HTTPTransport(uds=uds),
            headers={**headers, **options.pop("headers", {})},
            timeout=options.pop("timeout", READY_S),
            **options,
        )

    def _run(self) -> None:
        async def live() -> int:
            self._loop = asyncio.get_running_loop()
            return await self.daemon.run(takes_signals=False)

        self.code = asyncio.run(live())


@contextmanager
def running(
    folder: Path,
    *,
    port: int | None = None,
    settings: DaemonSettings | None = None,
    runtime: Settings | None = None,
    limits: SessionLimits | None = None,
    session: type[SessionActor[Any]] = Moody,
    faults: bool = True,
    numbers: Callable[[], bytes] | None = None,
    **options: Any,
) -> Generator[Running]:
    """A daemon in this process, stopped at the end; `options` are those of its SessionSystem."""
    bounds = settings or DaemonSettings(stop_s=10.0, drain_s=0.5)
    sessions = SessionSystem(
        session,
        partitions=2,
        faults=faults,
        settings=runtime,
        limits=limits or SessionLimits(),
        **options,
    )
    path = folder / "callboard.sock"
    if port is None:
        door = open_unix(path, backlog=bounds.backlog)
    else:
        door = open_port("127.0.0.1", port, token_file=folder / "token", backlog=bounds.backlog)
    daemon = Daemon(sessions, door, settings=bounds, faults=faults, numbers=numbers)
    with Running(daemon, door, path if port is None else None) as it:
        yield it


class Process:
    """A daemon as a process of its own, as a service manager starts it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        program: Sequence[str] = (sys.executable, "-m", "tests.daemon.callboard"),
        command: Sequence[str] = ("serve",),
        folder: Path = Path(__file__).parents[2],
        **environment: str,
    ) -> None:
        self.child = subprocess.Popen(
            [*program, *command, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> str:
        """Wait for the READY line and return where the daemon listens."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line.startswith("READY"), line + (self.child.stderr or sys.stdin).read()
        return line.split()[1]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; return exit code, stdout, stderr."""
        self.child.send_signal(number)
        return self.result()

    def result(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, stdout, stderr."""
        out, err = self.child.communicate(timeout=READY_S)
        return self.child.returncode, out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.communicate(timeout=READY_S)
        for stream in (self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()
