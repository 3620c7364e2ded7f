"""The daemon as a process: started, measured, killed, started again, stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import psutil

from callboard.actors.proofs import OURS
from scripts.demonstration.door import Door, RefusedError
from scripts.demonstration.keeping import Keeper
from scripts.demonstration.plan import PARTITIONS
from scripts.demonstration.wire import NoAnswerError

START_S: Final = 30.0
"""Seconds until it must answer."""

STOP_S: Final = 40.0
"""Seconds until it must have ended: a little more than its own deadline."""

AWAKE_MAX: Final = 150
"""Sessions that may be awake: of more, those that were not used for longest are put to sleep."""

WORKER_IDLE_S: Final = 1.0
"""Seconds after which an idle worker goes: the demonstration waits for that, to count threads."""

POLL_S: Final = 0.02
"""How often something is looked at again."""

LINES_SHOWN_MAX: Final = 15
"""How many of its last lines are shown when something went wrong."""


RECOVERED: Final = re.compile(r"store\.recovered .*?sessions=(\d+) .*?seconds=([\d.e-]+)")
"""How the daemon says what it has found in its store, and how long that took."""


class DaemonError(Exception):
    """The daemon did not start, or did not end."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What a process holds.

    Args:
        threads: how many run.
        descriptors: how many are open.
        children: processes below it.
        memory_mb: its resident memory.
    """

    threads: int
    descriptors: int
    children: int
    memory_mb: float

    def leaked_since(self, before: Level) -> list[str]:
        """Return what there is more of than before, a sentence each. Memory is not judged."""
        kinds = ("threads", "descriptors", "children")
        return [
            f"the daemon had {getattr(before, kind)} {kind} before and has {getattr(self, kind)}"
            for kind in kinds
            if getattr(self, kind) > getattr(before, kind)
        ]


class Daemon:
    """A daemon of its own, on a Unix socket in a folder of its own. It runs already.

    Args:
        folder: for the socket and what it writes; private.
        keeper: where its sessions are kept.
    """

    def __init__(self, folder: Path, keeper: Keeper) -> None:
        self.socket = folder / "daemon.sock"
        self.keeper = keeper
        self._work = folder / "work"
        self._log = folder / "daemon.log"
        self.start()

    def start(self) -> None:
        """Start it, with what its store holds."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own program
                [
                    str(Path(sys.executable).with_name("callboard")),
                    *("serve", "--socket", str(self.socket), "--faults"),
                    *("--partitions", str(PARTITIONS)),
                    *("--workspace", str(self._work)),
                    *("--set", f"awake_max={AWAKE_MAX}"),
                    *("--set", f"worker_idle_s={WORKER_IDLE_S}"),
                ],
                env={**os.environ, **self.keeper.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def wait_ready(self, door: Door) -> None:
        """Wait until it answers.

        Raises:
            DaemonError: it ended, or does not answer.
        """
        until_s = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < until_s:
            if self._process.poll() is not None:
                msg = f"the daemon ended with {self._process.returncode}:\n{self.last_lines()}"
                raise DaemonError(msg)
            try:
                if self.socket.exists() and await door.is_healthy():
                    return
            except (NoAnswerError, RefusedError):
                pass
            await asyncio.sleep(POLL_S)
        msg = f"the daemon does not answer:\n{self.last_lines()}"
        raise DaemonError(msg)

    def level(self) -> Level:
        """Return what it holds just now."""
        process = psutil.Process(self._process.pid)
        with process.oneshot():
            return Level(
                threads=process.num_threads(),
                descriptors=process.num_fds(),
                children=len(process.children(recursive=True)),
                memory_mb=process.memory_info().rss / 2**20,
            )

    def workspaces(self) -> int:
        """Return how many sessions have a folder just now, or one that is being deleted."""
        held = sum(1 for each in self._work.glob("*/*") if each.parent.name != OURS)
        return held + sum(1 for _ in self._work.glob(f"{OURS}/gone/*"))

    def terminate(self) -> None:
        """Ask it to end, as a service manager does."""
        self._process.send_signal(signal.SIGTERM)

    async def wait_ended(self) -> int:
        """Return its exit code.

        Raises:
            DaemonError: it does not end.
        """
        try:
            return await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            msg = f"the daemon has not ended within {STOP_S:g} s:\n{self.last_lines()}"
            raise DaemonError(msg) from None

    def recovered(self) -> list[tuple[int, float]]:
        """Return how many sessions each of its lives has found, and in how many seconds."""
        said = self._log.read_text(encoding="utf-8", errors="replace")
        return [(int(sessions), float(took)) for sessions, took in RECOVERED.findall(said)]

    def kill(self) -> None:
        """End it at once, with SIGKILL, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def last_lines(self) -> str:
        """Return the end of what it wrote."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LINES_SHOWN_MAX:])
