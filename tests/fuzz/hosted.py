"""A daemon that is sent everything, and must be as before after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from callboard.actors import CreateSession, SessionActor, SessionSystem, TerminateSession
from callboard.actors.connections.ports import Connectors
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.testing import MemoryAgents, MemoryMcp
from tests.daemon.daemons import READY_S, Running, running
from tests.laws import broken_laws, parts_of, services_of

KEPT = "ada"
"""The session that is always there."""

KEPT_OPEN = 2
"""Connections that clients of the test keep: the one that looks, the one that sends."""

OTHERS_OPEN = 8
"""What else the process may open meanwhile: a library's own file, a second loop. Far less than what
is sent, so that whatever is left of each request is more."""

WITHIN_S = 5.0
"""How long it may take until nothing is left of what was sent."""

BOUNDS = DaemonSettings(
    header_s=0.5, request_s=6.0, ask_s=5.0, send_s=2.0, beat_s=0.2, drain_s=0.5, stop_s=10.0
)


class Hosted:
    """A running daemon, and what is looked at to say that nothing was hurt."""

    def __init__(self, it: Running) -> None:
        self.it = it
        self.sessions: SessionSystem = it.daemon._sessions
        self.client = it.client()
        self.create()
        # What is made once, as the loop of the connections is, is there from now on.
        with self.client.stream("GET", f"/v1/sessions/{KEPT}/client") as followed:
            next(followed.iter_bytes())
        self.parts = self.the_parts()
        self.descriptors = descriptors()

    def create(self) -> None:
        if services_of(self.sessions).table.get(KEPT) is None:
            self.sessions.ask(CreateSession(session_id=KEPT))

    def the_parts(self) -> dict[str, Any]:
        """Return every part but sessions and their connections, by path."""
        return {
            path: ref
            for path, ref in parts_of(self.sessions).items()
            if path.count("/") < 2 and not path.startswith("connections/")
        }

    def is_as_before(self) -> None:
        """Say that all runs as at the beginning, and that nothing is left of what was sent."""
        sessions = self.sessions
        guard, server = self.it.daemon._app, self.it.daemon._server
        self.eventually(lambda: guard.in_flight == 0, "requests are in flight")
        self.eventually(lambda: guard.lasting == 0, "requests last")
        self.eventually(lambda: sessions.health().subscriptions == 0, "subscriptions are open")
        for row in services_of(sessions).table.rows():
            assert row.session().restarts == 0, row.session().last_error
            sessions.ask(TerminateSession(row.id, "", 0.0), timeout=READY_S)
        services = services_of(sessions)
        assert len(services.table) == 0
        assert [name for name in services.system.names if name.startswith("session/")] == []
        assert self.the_parts() == self.parts, "a part of the tree is another incarnation"
        assert sessions.health().is_healthy
        self.eventually(lambda: broken_laws(sessions) == [], "a law is broken")
        self.eventually(
            lambda: len(server.server_state.connections) <= KEPT_OPEN, "connections are open"
        )
        self.eventually(
            lambda: len(self.connected()) <= 2 * KEPT_OPEN, lambda: f"connected: {self.connected()}"
        )
        self.eventually(
            lambda: len(self.others()) <= OTHERS_OPEN, lambda: f"still open: {self.others()}"
        )
        self.create()
        assert self.client.get(f"/v1/sessions/{KEPT}").status_code == 200

    def connected(self) -> list[Any]:
        """Return both ends of every connection with the daemon: they are all in this process."""
        port = urlsplit(self.it.url).port
        return [
            each
            for each in psutil.Process().net_connections(kind="tcp")
            if each.raddr and port in (each.laddr.port, each.raddr.port)
        ]

    def others(self) -> dict[int, str]:
        """Return what has been opened since the beginning and is no connection with the daemon."""
        of_daemon = {each.fd for each in self.connected()}
        return {
            number: kind
            for number, kind in descriptors().items()
            if number not in of_daemon and self.descriptors.get(number) != kind
        }

    def eventually(self, is_so: Callable[[], bool], what: str | Callable[[], str]) -> None:
        """Wait for something that only the daemon's own threads bring about."""
        until_s = time.monotonic() + WITHIN_S
        while not is_so():
            assert time.monotonic() < until_s, what if isinstance(what, str) else what()
            self.client.get("/v1/health")  # a turn of the daemon's loop


def descriptors() -> dict[int, str]:
    """Return what this process has open, and what it is."""
    opened: dict[int, str] = {}
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that reads the folder, or one that was closed meanwhile
            opened[int(each.name)] = str(each.readlink())
    return opened


@contextmanager
def hosting(folder: Path, **options: Any) -> Generator[Hosted]:
    """Run a daemon with memory for connections."""
    folder.chmod(0o700)
    options = {"settings": BOUNDS, "session": SessionActor, "faults": False, **options}
    connectors = Connectors(mcp=MemoryMcp(), agents={"acp": MemoryAgents()})
    with running(folder, connectors=connectors, numbers=lambda: b"", **options) as it:
        hosted = Hosted(it)
        yield hosted
        hosted.client.close()
