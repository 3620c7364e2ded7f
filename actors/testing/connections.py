"""Connections in memory, for your tests: an MCP server, an agent, a client, each with its faults.

They live on the system's own loop, on threads and in a simulation alike. What a
test calls (`die`, `let_go`, ...) may be called from any thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, TypeAlias

from callboard.actors.connections.ports import AgentEnd, AgentHello, AgentUpdate, ClientEvent
from callboard.actors.errors import McpToolError
from callboard.actors.sessions.data import Message, Role
from callboard.actors.sessions.frozen import EMPTY, FrozenDict
from callboard.actors.sessions.links import AgentSpec, McpSpec, McpTool

Tool: TypeAlias = Callable[[Mapping[str, object]], object]
"""What a tool does: its arguments to its result, or to an awaitable of it."""


class Faults:
    """What is to go wrong. Set from the test, at any time.

    Args:
        refused_opens: how many of the next openings fail.
        hangs_when_opened: openings never come to an end.
        hangs_when_closed: closing never comes to an end; only a kill ends it.
    """

    def __init__(
        self,
        *,
        refused_opens: int = 0,
        hangs_when_opened: bool = False,
        hangs_when_closed: bool = False,
    ) -> None:
        self.refused_opens = refused_opens
        self.hangs_when_opened = hangs_when_opened
        self.hangs_when_closed = hangs_when_closed
        self.abandoned_opens = 0
        """How many openings were cancelled before they had come to an end."""

    async def opening(self, what: str) -> None:
        """Be an opening, as far as its faults go.

        Raises:
            ConnectionRefusedError: this one is to fail.
        """
        if self.hangs_when_opened:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.abandoned_opens += 1
        if self.refused_opens > 0:
            self.refused_opens -= 1
            msg = f"{what} refuses"
            raise ConnectionRefusedError(msg)


class Barrier:
    """Where code on the loop waits until the test lets it go on. Once let go, it stays open."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self.is_open = False

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return len([each for _, each in self._waiting if not each.done()])

    def let_go(self) -> None:
        """Let all go on that wait, or come."""
        self.is_open = True
        for loop, waiting in self._waiting:
            loop.call_soon_threadsafe(_resolve, waiting)

    async def passed(self) -> None:
        """Wait here."""
        if self.is_open:
            return
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        self._waiting.append((loop, waiting))
        if not self.is_open:
            await waiting


class MemoryConnection:
    """What all connections in memory have in common.

    Args:
        faults: what goes wrong.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.is_closed = False
        """Whether it was closed in order."""
        self.is_killed = False
        """Whether it was killed before it was closed."""
        self._end: asyncio.Future[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._why: Any = None

    @property
    def is_open(self) -> bool:
        """Whether it lives."""
        return not (self.is_closed or self.is_killed or self._why is not None)

    def die(self, why: Any = "it was pulled out") -> None:
        """End as if the other side had gone."""
        if self._why is None:
            self._why = why
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(_resolve, self._end)

    async def ended(self) -> Any:
        """Return why it has died, when it has."""
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.create_future()
        if self._why is None:
            await self._end
        return self._why

    async def close(self) -> None:
        """End it in order."""
        if self.faults.hangs_when_closed:
            await asyncio.get_running_loop().create_future()
        self.is_closed = True

    def kill(self) -> None:
        """End it now."""
        if not self.is_closed:
            self.is_killed = True


class MemoryMcpConnection(MemoryConnection):
    """An open client of a server in memory.

    Args:
        server: whose client it is.
        spec: how it was opened.
        secrets: what it was given.
    """

    def __init__(self, server: MemoryMcp, spec: McpSpec, secrets: Mapping[str, str]) -> None:
        super().__init__(server.faults)
        self.spec = spec
        self.secrets = dict(secrets)
        self._tools = server.tools

    async def list_tools(self) -> tuple[McpTool, ...]:
        """Return the server's tools."""
        return tuple(McpTool(name=name) for name in self._tools)

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> object:
        """Run a tool.

        Raises:
            McpToolError: there is none of this name.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise McpToolError(name, "there is no such tool")
        result = tool(arguments)
        return await result if isawaitable(result) else result


class MemoryMcp:
    """An MCP connector whose servers are dictionaries of tools.

    Args:
        tools: by name; `echo` returns its arguments unless there is another of this name.
        faults: what goes wrong.
    """

    def __init__(
        self, tools: Mapping[str, Tool] | None = None, *, faults: Faults | None = None
    ) -> None:
        self.tools: dict[str, Tool] = {"echo": dict, **(tools or {})}
        self.faults = Faults() if faults is None else faults
        self.opened: list[MemoryMcpConnection] = []
        """All that were opened, in order."""

    async def open(self, spec: McpSpec, secrets: Mapping[str, str]) -> MemoryMcpConnection:
        """Open a client.

        Raises:
            ConnectionRefusedError: its faults say so.
        """
        await self.faults.opening(f"server {spec.id}")
        connection = MemoryMcpConnection(self, spec, secrets)
        self.opened.append(connection)
        return connection


class Turn:
    """One prompt, as the script of an agent in memory sees it.

    Args:
        content: what was said.
        say: call it with every part of the answer.
    """

    def __init__(self, content: str, say: Callable[[AgentUpdate], None]) -> None:
        self.content = content
        self._say = say
        self._cancelled = Barrier()

    def say(
        self, text: str, role: Role = Role.ASSISTANT, data: Mapping[str, object] = EMPTY
    ) -> None:
        """Say a part of the answer."""
        self._say(AgentUpdate(role=role, text=text, data=data))

    @property
    def is_cancelled(self) -> bool:
        """Whether the agent was told to stop."""
        return self._cancelled.is_open

    async def cancelled(self) -> None:
        """Wait until the agent is told to stop."""
        await self._cancelled.passed()

    def cancel(self) -> None:
        """Tell it to stop."""
        self._cancelled.let_go()


Script: TypeAlias = Callable[[Turn], Awaitable[str]]
"""What an agent does with a prompt; it returns why it stopped."""


async def echo(turn: Turn) -> str:
    """Say what was said, a word at a time; a script."""
    for word in turn.content.split():
        turn.say(f"{word} ")
    return "end_turn"


class MemoryAgent(MemoryConnection):
    """A running agent in memory.

    Args:
        agents: who started it.
        spec: how it was started.
        secrets: what it was given.
    """

    def __init__(self, agents: MemoryAgents, spec: AgentSpec, secrets: Mapping[str, str]) -> None:
        super().__init__(agents.faults)
        self.spec = spec
        self.secrets = dict(secrets)
        self.turn: Turn | None = None
        """The prompt it works on."""
        self._agents = agents
        self.hello = AgentHello(
            pid=1_000 + len(agents.started),
            capabilities=FrozenDict({"loadSession": agents.can_load}),
            can_load=agents.can_load,
        )

    def die(self, why: Any = None) -> None:
        """End as if its process had: with a return code and a last word."""
        super().die(AgentEnd(returncode=-9, stderr_tail="killed") if why is None else why)

    async def new_session(self, cwd: str | None) -> str:
        """Begin a conversation."""
        del cwd
        await self._agents.preparing.passed()
        name = f"conversation-{len(self._agents.conversations) + 1}"
        self._agents.conversations.append(name)
        return name

    async def load_session(self, agent_session_id: str, cwd: str | None) -> None:
        """Go on with a conversation.

        Raises:
            LookupError: there is none of this name.
        """
        del cwd
        await self._agents.preparing.passed()
        if agent_session_id not in self._agents.conversations:
            raise LookupError(agent_session_id)

    async def prompt(
        self,
        agent_session_id: str,
        content: str,
        blocks: tuple[Mapping[str, object], ...],
        on_update: Callable[[AgentUpdate], None],
    ) -> str:
        """Do what the script does."""
        del agent_session_id, blocks
        self.turn = Turn(content, on_update)
        return await self._agents.script(self.turn)

    async def cancel(self, agent_session_id: str) -> None:
        """Tell the script to stop, if it listens."""
        del agent_session_id
        if self.turn is not None:
            self.turn.cancel()


class MemoryAgents:
    """An agent connector whose agents are scripts.

    Args:
        script: what they do with a prompt.
        can_load: whether they can load a conversation again.
        faults: what goes wrong.
    """

    def __init__(
        self, script: Script = echo, *, can_load: bool = True, faults: Faults | None = None
    ) -> None:
        self.script = script
        self.can_load = can_load
        self.faults = Faults() if faults is None else faults
        self.preparing = Barrier()
        """Where conversations wait to be begun or loaded; open unless the test makes another."""
        self.preparing.let_go()
        self.started: list[MemoryAgent] = []
        """All that were started, in order."""
        self.conversations: list[str] = []
        """What they remember."""

    async def start(self, spec: AgentSpec, secrets: Mapping[str, str]) -> MemoryAgent:
        """Start an agent.

        Raises:
            ConnectionRefusedError: its faults say so.
        """
        await self.faults.opening("the agent")
        agent = MemoryAgent(self, spec, secrets)
        self.started.append(agent)
        return agent


class MemoryClient(MemoryConnection):
    """A client in memory: it keeps what it is sent.

    Args:
        faults: what goes wrong.
        held: where every send waits before it is taken; None: nowhere.
    """

    def __init__(self, *, faults: Faults | None = None, held: Barrier | None = None) -> None:
        super().__init__(Faults() if faults is None else faults)
        self.held = held
        self.events: list[ClientEvent] = []
        """All it was sent, in order."""

    @property
    def messages(self) -> list[Message]:
        """The messages of the log that it has."""
        return [each.message for each in self.events if each.message is not None]

    @property
    def updates(self) -> list[AgentUpdate]:
        """The updates of the agent that it has."""
        return [each.update for each in self.events if each.update is not None]

    async def send(self, events: tuple[ClientEvent, ...]) -> None:
        """Take these."""
        if self.held is not None:
            await self.held.passed()
        self.events += events


def _resolve(waiting: asyncio.Future[Any]) -> None:
    if not waiting.done():
        waiting.set_result(None)
