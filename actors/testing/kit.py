"""A stage for the tests of a session's behaviour: simulated, seeded, quick."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from callboard.actors.sessions.data import Session
from callboard.actors.sessions.states import Presence
from callboard.actors.system import SessionSystem
from callboard.supervision import StopReport
from callboard.supervision.runtime.ports import Runtime
from callboard.supervision.testing.simulation import Simulation


class Unstopped(AssertionError):
    """At the end of a test something did not stop in order: a handler that hangs, a leak."""


class Callboard:
    """Session systems in one simulation. Time passes only when the test says so.

        with Callboard() as callboard:
            sessions = callboard.start(SessionSystem(Guide, runtime=callboard.runtime))

    Args:
        seed: decides whose turn it is; the same seed gives the same run.
    """

    def __init__(self, seed: int = 0) -> None:
        self.simulation = Simulation(seed)
        """The world below, for clients that run beside each other, traces and the like."""
        self._systems: list[SessionSystem] = []

    def __repr__(self) -> str:
        return f"<Callboard {self.simulation!r}>"

    @property
    def runtime(self) -> Runtime:
        """For `SessionSystem(runtime=...)`."""
        return self.simulation.runtime

    def start(self, sessions: SessionSystem) -> SessionSystem:
        """Start a system; it is stopped when the test is over."""
        self._systems.append(sessions)
        return sessions.start()

    def advance(self, seconds: float) -> None:
        """Let time pass: timers go off, and whatever is ready runs."""
        self.simulation.advance(seconds)

    def crash(self, sessions: SessionSystem, session_id: str) -> Session:
        """Kill a session's actor as it stands, and wait until it is back; return its snapshot.

        Another crash of the same session within a minute is counted too: after more than three
        it is quarantined, which is then what the snapshot says.
        """
        cell, restarts = sessions.address(session_id).ref, sessions.get(session_id).restarts
        if cell is not None:
            cell.kill()

        def has_settled() -> bool:
            address = sessions.address(session_id)
            session = sessions.get(session_id)
            presence, is_told = session.presence, session.restarts > restarts or cell is None
            is_back = presence is Presence.AWAKE and address.ref not in {None, cell} and is_told
            return is_back or presence in {Presence.QUARANTINED, Presence.ASLEEP}

        self.simulation.run(has_settled)
        return sessions.get(session_id)

    def close(self) -> None:
        """Stop all systems and end the simulation.

        Raises:
            Unstopped: a part of a system did not stop in order.
        """
        reports: list[StopReport] = [each.stop() for each in reversed(self._systems)]
        self._systems.clear()
        self.simulation.close()
        for report in reports:
            if not report.is_clean:
                raise Unstopped(str(report))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Unstopped:
            if error is None:  # what the test says first counts
                raise
