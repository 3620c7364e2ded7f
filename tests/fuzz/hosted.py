"""A daemon that is sent everything, and must be as before after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        self.descriptors = psutil.Process().num_fds()

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
            lambda: psutil.Process().num_fds() <= self.descriptors + 2 * KEPT_OPEN,
            "descriptors are open",
        )
        self.create()
        assert self.client.get(f"/v1/sessions/{KEPT}").status_code == 200

    def eventually(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that only the daemon's own threads bring about."""
        until_s = time.monotonic() + WITHIN_S
        while not is_so():
            assert time.monotonic() < until_s, what
            self.client.get("/v1/health")  # a turn of the daemon's loop


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
