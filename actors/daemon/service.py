"""How does a daemon live? It opens door, sessions and server, and ends them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn

from callboard.actors.daemon.app import make_app
from callboard.actors.daemon.guard import Guard
from callboard.actors.daemon.protocol import protocol_for
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.messages import Shutdown
from callboard.actors.statuses import EX_OK, EX_SOFTWARE, EX_UNCLEAN
from callboard.actors.system import SessionSystem
from callboard.actors.systemd import notify_systemd
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.reasons import ExitReason
from callboard.supervision.model.reports import StopReport

if TYPE_CHECKING:
    from callboard.actors.daemon.doors import OpenDoor

logger = logging.getLogger("callboard.daemon")

EX_GAVE_UP = EX_SOFTWARE
"""The root of the tree gave up: sysexits' EX_SOFTWARE, for which a service manager restarts."""

_SIGNALED = 128
_LEAST_S = 0.5
_SERVER_STOP_S = 1
_BEYOND_THE_DEADLINE_S = 2.0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Daemon:
    """A SessionSystem with a door to it, for one life. Use `run` once.

    Args:
        sessions: not started yet.
        door: open; the daemon closes it.
        settings: the bounds.
        faults: whether crashes may be injected.
        numbers: renders the metrics; None: they are not kept.
        say: gets what people should know, a line at a time.
    """

    def __init__(
        self,
        sessions: SessionSystem,
        door: OpenDoor,
        *,
        settings: DaemonSettings,
        faults: bool = False,
        numbers: Callable[[], bytes] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._sessions = sessions
        self._door = door
        self._settings = settings
        self._say = say or _say
        self._app: Guard = make_app(
            sessions, settings=settings, door=door.door, faults=faults, numbers=numbers
        )
        self._server = _Server(
            uvicorn.Config(
                self._app,
                http=protocol_for(settings),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=settings.backlog,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=_SERVER_STOP_S,
            )
        )
        self._signal: asyncio.Future[int] | None = None

    async def run(self, *, takes_signals: bool = True) -> int:
        """Serve until a signal comes, or the tree ends by itself; return the exit code.

        Args:
            takes_signals: whether SIGTERM and SIGINT end it; only on the main thread.

        Raises:
            CallboardError: a part of the tree did not start.
        """
        loop = asyncio.get_running_loop()
        self._signal = loop.create_future()
        with self._door:
            await asyncio.to_thread(self._sessions.start)
            ended = asyncio.ensure_future(self._sessions.ended())
            serving = asyncio.ensure_future(self._server.serve(sockets=[self._door.listener]))
            if takes_signals:
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.add_signal_handler(number, self._signaled, number)
            try:
                self._say(f"READY {self._door.shown} pid {os.getpid()}")
                notify_systemd("READY=1")
                first: set[asyncio.Future[Any]] = {ended, serving, self._signal}
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
                notify_systemd("STOPPING=1")
                # Asked before the stop, which ends the tree as well.
                gave_up = ended.result() if ended.done() else None
                report = await self._stop(serving, has_ended=ended.done())
                return self._exit_code(gave_up, report, serving)
            finally:
                ended.cancel()
                if takes_signals:
                    for number in (signal.SIGTERM, signal.SIGINT):
                        loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Begin an orderly stop, as a signal does. On the loop's thread."""
        if self._signal is not None and not self._signal.done():
            self._signal.set_result(0)

    def _signaled(self, number: int) -> None:
        if self._signal is None or self._signal.done():
            self._force(number)
        self._signal.set_result(number)
        self._say(f"STOPPING on {signal.Signals(number).name}; once more forces it")

    def _force(self, number: int) -> NoReturn:
        self._leave("FORCED: ended without waiting for the sessions", _SIGNALED + number)

    def _leave(self, why: str, code: int) -> NoReturn:
        self._say(why)
        self._door.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    # -- stopping ----------------------------------------------------------

    async def _stop(self, serving: asyncio.Future[None], *, has_ended: bool) -> StopReport:
        """End the work in hand, then the tree, then the server; within one deadline.

        The server comes last, so that whoever still waits is answered: the
        tree's end answers every ask, and every new request is told to go.
        """
        loop, settings = asyncio.get_running_loop(), self._settings
        until_s = loop.time() + settings.stop_s
        self._app.is_draining = True
        if not has_ended:
            await self._drain(min(settings.drain_s, settings.stop_s / 3))
        left_s = max(_LEAST_S, until_s - loop.time() - _SERVER_STOP_S)
        try:
            async with asyncio.timeout(left_s + _BEYOND_THE_DEADLINE_S):
                report = await asyncio.to_thread(self._sessions.stop, left_s)
        except TimeoutError:  # its thread would keep the process: the deadline counts
            self._leave("STOPPED: not in time; the sessions' own stop did not return", EX_UNCLEAN)
        self._server.should_exit = True
        await asyncio.wait({serving}, timeout=_SERVER_STOP_S + _BEYOND_THE_DEADLINE_S)
        return report

    async def _drain(self, grace_s: float) -> None:
        try:
            message = Shutdown(grace_s)
            busy = await self._sessions.ask_async(message, timeout=grace_s + 1.0)
        except CallboardError as error:  # the manager is restarting, for one: stop all the same
            logger.warning("daemon.drain.failed: %s", error)
            return
        if busy:
            logger.warning("daemon.drain.incomplete: %d sessions are still busy", len(busy))

    def _exit_code(
        self,
        gave_up: ExitReason | None,
        report: StopReport,
        serving: asyncio.Future[None],
    ) -> int:
        if gave_up is not None:
            self._say(f"FAILED: the root of the tree gave up: {gave_up}")
            return EX_GAVE_UP
        error = serving.exception() if serving.done() and not serving.cancelled() else None
        if error is not None or self._signal is None or not self._signal.done():
            logger.error("daemon.serve.failed", exc_info=error)
            self._say("FAILED: the server ended by itself")
            return EX_GAVE_UP
        self._say(f"STOPPED: {report}")
        return EX_OK if report.is_clean else EX_UNCLEAN


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(daemon: Daemon) -> int:
    """Run a daemon on an event loop of its own, on the main thread; return the exit code."""
    return asyncio.run(daemon.run())
