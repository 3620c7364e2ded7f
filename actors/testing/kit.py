"""A simulation for the tests of sessions: it starts their system, and looks at what is left."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from callboard.actors.connections.ports import Connectors
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.states import Presence
from callboard.actors.system import SessionSystem
from callboard.actors.testing.connections import MemoryAgents, MemoryMcp
from callboard.actors.testing.fakes import FakeSecrets, FakeStore
from callboard.actors.testing.laws import broken_laws
from callboard.actors.testing.moments import Moments
from callboard.supervision import CallboardError, StopReport
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.testing.errors import LawBroken, SimulationError
from callboard.supervision.testing.simulate import Simulate
from callboard.supervision.testing.simulation import Simulation
from callboard.supervision.testing.story import STARTED, STARTS

AGENT_KIND = "memory"
"""What a spec calls the agents of a `Callboard`."""


_PARTITIONS = 2
"""Else it would depend on the processors, and a seed would mean another run elsewhere."""


class Unstopped(SimulationError, AssertionError):
    """At the end of a test something did not stop in order: a handler that hangs, a leak.

    Args:
        report: what was left.
    """

    code: ClassVar[str] = "unstopped"
    remedy: str = "Look at the handler it was in: it waits for what never comes, or has no end."

    def __init__(self, report: StopReport) -> None:
        super().__init__(f"{report}. {self.remedy}")
        self.report = report


class Callboard(Simulation):
    """A simulation for sessions. Time passes only when the test says so.

        with Callboard(seed=7) as callboard:
            sessions = callboard.start(Guide)
            ada = sessions.ask(CreateSession(user_id="ada"))

    Beside what a `Simulation` does (`spawn`, `run`, `advance`, `law`, ...) it starts
    session systems whose ports are fakes, crashes sessions, and stops everything at its
    end. After every step it sees to it that no law of sessions is broken, at the end also
    that all stopped in order and that no actors are left, unless the test has failed already.

    It is made as a `Simulation` is, with the same arguments.
    """

    def _set_up(self) -> None:
        self.store = FakeStore(self)
        """Where the sessions that `start` starts keep their commits; it may refuse some."""
        self.mcp = MemoryMcp()
        """Where they find MCP servers."""
        self.agents = MemoryAgents()
        """Where they find agents of the kind `"memory"`."""
        self.secrets = FakeSecrets({})
        """What the names in their specs stand for."""
        self._systems: list[SessionSystem] = []
        self._moments: list[Moments] = []
        self.law("the laws of sessions", self._look)

    def start(
        self, sessions: type[SessionActor[Any]] | SessionSystem = SessionActor, **options: Any
    ) -> SessionSystem:
        """Start a session system in this simulation; it is stopped when the test is over.

            sessions = callboard.start(Guide, max_idle_s=600.0)

        Args:
            sessions: the behaviour, or a system that was made with `runtime=callboard.runtime`,
                by a function of your own for instance.
            options: for `SessionSystem`, with a behaviour only. `store`, `connectors` and
                `secrets` are the fakes here unless given.

        Raises:
            InvalidSpec: options for a system that is made already, or one of another runtime.
        """
        if isinstance(sessions, SessionSystem):
            if options:
                remedy = "Give them to SessionSystem, or give `start` the behaviour."
                raise InvalidSpec("options", tuple(options), remedy)
        else:
            sessions = SessionSystem(sessions, **{**self._ports(), **options})
        self._moments.append(Moments(sessions))
        is_first = not self._systems  # of a later one the story tells what ran meanwhile
        if is_first:
            self.trace.note((STARTS, "the session system"))
        sessions.start()
        if is_first:
            self.trace.note((STARTED, "the session system"))
        if not self.hosts(sessions.system):
            sessions.stop()
            remedy = "Make it with SessionSystem(runtime=callboard.runtime)."
            raise InvalidSpec("runtime", sessions, remedy)
        self._systems.append(sessions)
        return sessions

    def _look(self) -> None:
        for each in self._moments:
            each.look()

    def _ports(self) -> dict[str, Any]:
        # Ids depend on the system's name: those of two systems here must differ, too.
        number = len(self._systems) + 1
        return {
            "name": "callboard" if number == 1 else f"callboard-{number}",
            "runtime": self.runtime,
            "partitions": _PARTITIONS,
            "store": self.store,
            "connectors": Connectors(mcp=self.mcp, agents={AGENT_KIND: self.agents}),
            "secrets": self.secrets,
        }

    def die(self) -> None:
        """Let the process die, as by kill -9, with all its systems: see `Simulation.die`.

        disk = MemoryDisk(callboard)
        sessions = callboard.start(store=disk.store())
        ...
        callboard.die()
        left = disk.power_cut(Random(7))                    # or disk.process_death()
        sessions = callboard.start(store=left.store())
        """
        for sessions in self._systems:
            sessions.system.on_event = None  # who is stopped at the interpreter's end is no news
        self._systems.clear()
        self._moments.clear()
        super().die()

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

        self.run(has_settled)
        return sessions.get(session_id)

    def check(self) -> None:
        """Hold the laws of sessions against what is there; nothing may be under way.

        That is so after `run()`, or `settle()` where no timer is pending but recurring ones.

        Raises:
            LawBroken: rows, addresses, incarnations and places do not tell the same story.
        """
        self._look()
        for sessions in self._systems:
            wrong = broken_laws(sessions)
            if wrong:
                msg = f"the laws of sessions: {'; '.join(wrong)}"
                raise LawBroken(msg, law="sessions")

    def close(self) -> None:
        """Stop all systems and end the simulation; idempotent.

        Raises:
            LawBroken: a law of sessions was broken at the end.
            Leaked: actors are left that nobody would have ended.
            Unstopped: a part of a system did not stop in order.
        """
        try:
            if not self.is_over:
                self._look_at_the_end()
        finally:
            with suppress(CallboardError):
                self._stop()
            super().close()

    def _look_at_the_end(self) -> None:
        self.end_faults()
        self.settle()
        if self.quiescent():
            self.check()
        self.refuse_orphans()
        for report in self._stop():
            if not report.is_clean:
                raise Unstopped(report)
        self.refuse_systems()

    def _stop(self) -> list[StopReport]:
        reports: list[StopReport] = []
        while self._systems:
            sessions = self._systems.pop()
            if self.is_over:
                # Whoever was under way is killed now: that is no news beside the failure.
                sessions.system.on_event = None
            reports.append(sessions.stop())
        return reports


simulate = Simulate(Callboard, "callboard")
"""Runs a test under many seeds; its body gets the simulation as `callboard`."""
