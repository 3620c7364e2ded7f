"""What the sessions of a chaos run are: a behaviour that fails as told, and ports that do, too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from callboard.actors import (
    AgentSpec,
    AppendMessage,
    Connectors,
    McpSpec,
    Role,
    Session,
    SessionSystem,
)
from callboard.actors.secrets import Vault
from callboard.actors.sessions.spawn import Planner, Step
from callboard.actors.sessions.table import Row
from callboard.actors.testing import (
    FakeAudit,
    FakeCleaner,
    FakeMemory,
    FakeMetrics,
    FakePrompts,
    FakeWorkspaces,
    MemoryAgents,
    MemoryMcp,
)
from callboard.actors.testing.connections import Turn
from callboard.supervision import ActorRef, ExitReason, handles
from tests.cast import Actor, Boom, Play
from tests.laws import services_of
from tests.storm_laws import Crashes

PLAIN, FURNISHED, LIT, LINKED = "plain", "furnished", "lit", "linked"
SESSION_KINDS = (PLAIN, FURNISHED, LIT, LINKED)
"""Without steps; with workspace, prompt and cleaner; with a lamp that every
incarnation lights again; with an MCP client and an agent, by `McpSpec` and `AgentSpec`."""

PAUSE_S = 0.15
"""How long a handler blocks: longer than the first restarts of a session are delayed."""

FILES = McpSpec(id="files", command=("files",))
AGENT = AgentSpec(command=("agent",))


class Troupe(Play):
    """What the behaviours of a run share with it: no more than a long run can afford.

    Args:
        seen: counts what has happened.
        stall: blocks a handler for so many seconds.
    """

    pause_s = 0.002

    def __init__(self, seen: Counter[str], stall: Callable[[float], object]) -> None:
        super().__init__()
        self.seen = seen
        self._stall = stall
        self.crashes: Crashes | None = None
        self.bad_ends: Counter[str] = Counter()
        """Session id -> cleanups that are to raise."""
        self.violations: list[str] = []
        self._living: dict[str, ActorRef[Any]] = {}

    def enters(self, session_id: str, ref: ActorRef[Any]) -> None:
        """Hold against law 4 that an incarnation begins; fail the start if that is wanted."""
        earlier = self._living.get(session_id)
        if earlier is not None and not earlier.is_dead:
            self.violations.append(f"{ref} started while {earlier} lived")
        self._living[session_id] = ref
        if self.bad_starts[session_id]:
            self.bad_starts[session_id] -= 1
            self.seen["a start that failed"] += 1
            self.fails(session_id)
            raise Boom("stumbled")

    def started(self, session: Session) -> None:
        """Nothing fails here."""

    def heard(self, text: str) -> None:
        """Nothing is kept of it."""

    def pause(self) -> None:
        """Block for long enough that the next incarnation may begin meanwhile."""
        self._stall(PAUSE_S)

    def fails(self, session_id: str) -> None:
        """Count a crash of the session."""
        if self.crashes is not None:
            self.crashes.note(session_id)

    def ends(self, session_id: str) -> None:
        """Have a cleanup raise if that is wanted."""
        if self.bad_ends[session_id]:
            self.bad_ends[session_id] -= 1
            self.seen["a cleanup that raised"] += 1
            self.fails(session_id)
            raise Boom("fell in the cleanup")

    def forget(self) -> None:
        """All sessions have ended: nothing is wanted of them any more."""
        self._living.clear()
        self.bad_starts.clear()
        self.bad_ends.clear()


class Player(Actor):
    """The behaviour, with a cleanup of its own."""

    play: ClassVar[Any]  # a Troupe

    def terminate(self, reason: ExitReason) -> None:
        self.play.ends(self._row.id)
        super().terminate(reason)


class SlowPlayer(Player):
    """The same, that takes its time over an append: it may be struck in the middle of one."""

    @handles(AppendMessage)
    async def on_append_message(self, message: AppendMessage) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the runtime takes both
        await asyncio.sleep(self.play.pause_s)
        return super().on_append_message(message)


class Beats:
    """A watchdog that counts."""

    interval_s = 0.2

    def __init__(self) -> None:
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1


async def answer(turn: Turn) -> str:
    """Say what was said, with a pause; a script for agents."""
    await asyncio.sleep(0.002)
    turn.say(turn.content, Role.ASSISTANT)
    return "end_turn"


WEIGHT_BYTES = 1_000
"""What a session that is awake takes of the memory."""


class Ports:
    """Fakes of every port, each of whose calls may be struck."""

    def __init__(self) -> None:
        self.workspaces = FakeWorkspaces()
        self.prompts = FakePrompts()
        self.cleaner = FakeCleaner()
        self.mcp = MemoryMcp()
        self.agents = MemoryAgents(answer)
        self.watchdog = Beats()
        self.audit = FakeAudit()
        self.metrics = FakeMetrics()
        self.memory = FakeMemory()
        self.lamps: dict[str, None] = {}
        """Ids of the sessions whose lamp is lit."""
        self.on_call: Callable[[str, str], object] | None = None

    def options(self) -> dict[str, Any]:
        """Return them as arguments of a `SessionSystem`."""
        return {
            "workspace": self.workspaces,
            "prompts": self.prompts,
            "cleaner": self.cleaner,
            "strict_prompt": True,
            "connectors": Connectors(mcp=self.mcp, agents={"acp": self.agents}),
            "watchdog": self.watchdog,
            "audit": self.audit,
            "metrics": self.metrics,
            "memory": self.memory,
        }

    def be_struck_by(self, on_call: Callable[[str, str], object]) -> None:
        """Have every call of a port made by way of this: called with a method and an id."""
        self.on_call = on_call
        for fake in (self.workspaces, self.prompts, self.cleaner):
            fake.on_call = on_call

    def plan(self, sessions: SessionSystem) -> None:
        """Have each kind of session get, and weigh, what it does. Before the first session."""
        table = services_of(sessions).table
        self.memory.taken_bytes = lambda: table.awake_count * WEIGHT_BYTES
        planners = services_of(sessions).planners
        planners[:] = [*(_only(FURNISHED, each) for each in planners), _only(LIT, self._lamp)]

    def _lamp(self, session: Session) -> tuple[Step, ...]:
        del session
        return (Step(name="lamp", do=self._light, undo=self._put_out, is_redone=True),)

    async def _light(self, session: Session, vault: Vault) -> None:
        del vault
        await asyncio.sleep(0.001)
        if self.on_call is not None:
            self.on_call("light", session.id)
        self.lamps[session.id] = None

    async def _put_out(self, session: Session) -> None:
        if self.on_call is not None:
            self.on_call("put out", session.id)
        await asyncio.sleep(0.001)
        self.lamps.pop(session.id, None)

    def forget(self) -> None:
        """Forget the calls: a long run cannot afford to remember them all."""
        for fake in (self.workspaces, self.prompts, self.cleaner, self.memory):
            fake.calls.clear()
        self.cleaner.cleaned.clear()
        self.audit.records.clear()
        self.metrics.histograms.clear()
        self.mcp.opened[:] = [each for each in self.mcp.opened if each.is_open]
        self.agents.started[:] = [each for each in self.agents.started if each.is_open]
        self.agents.conversations.clear()

    def left_open(self) -> list[str]:
        """Return the connections that live."""
        opened = [*self.mcp.opened, *self.agents.started]
        return [type(each).__name__ for each in opened if each.is_open]


def _only(kind: str, planner: Planner) -> Planner:
    return lambda session: planner(session) if session.kind == kind else ()


def needs_folder(row: Row) -> bool:
    """Say whether a session is of the kind that has a workspace."""
    return row.latest().session.kind == FURNISHED


def needs_lamp(row: Row) -> bool:
    """Say whether a session is of the kind that has a lamp."""
    return row.latest().session.kind == LIT
