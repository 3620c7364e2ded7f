"""One MCP client of a session: calls run beside each other, and fail at once when it is down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from callboard.actors.connections.actor import LinkActor, Numbered, Report, TimeIsUp, WorkDone
from callboard.actors.connections.owner import Work
from callboard.actors.connections.ports import McpConnection
from callboard.actors.connections.switchboard import Switchboard
from callboard.actors.errors import (
    McpCallLost,
    McpClientDown,
    McpConnectError,
    McpTimeout,
    McpToolError,
    TooManyCalls,
)
from callboard.actors.link_messages import CALLS_MAX, CONNECT_S
from callboard.actors.sessions.internal import RunTool
from callboard.actors.sessions.links import LinkState, McpClientInfo
from callboard.actors.sessions.table import Row
from callboard.supervision import LATER, Future, Later, handles
from callboard.supervision.runtime.timers import Timer

_CONNECTING = 0
"""The number of the opening, among what may take too long."""


class _Call:
    """One call under way."""

    __slots__ = ("message", "reply", "timer", "work")

    def __init__(self, message: RunTool, reply: Future[Any], timer: Timer, work: Work[Any]) -> None:
        self.message = message
        self.reply = reply
        self.timer = timer
        self.work = work

    def is_over(self) -> None:
        """Give back what it holds."""
        self.timer.cancel()
        self.work.cancel()


class McpActor(LinkActor[McpConnection, McpClientInfo]):
    """One MCP client."""

    link_type: ClassVar[type[Any]] = McpClientInfo
    _client_id = ""

    def __init__(self, switchboard: Switchboard, row: Row, key: str) -> None:
        super().__init__(switchboard, row, key)
        self._calls: dict[int, _Call] = {}
        self._numbers = Numbered()
        self._connecting: Timer | None = None

    def opens(self, link: McpClientInfo) -> Callable[[], Awaitable[McpConnection]]:
        """Return what connects to the server."""
        self._client_id = link.id
        connector = self.switchboard.connectors.for_mcp()
        spec, secrets = link.spec, self.secrets_for(link.spec)
        self._connecting = self.send_after(CONNECT_S, TimeIsUp(_CONNECTING))
        return lambda: connector.open(spec, secrets)

    def opened(self, connection: McpConnection) -> None:
        """Be of use."""
        del connection
        if self._connecting is not None:
            self._connecting.cancel()
        self.on_report(Report())

    @handles(Report)
    def on_report(self, message: Report) -> None:
        """Tell the session that this can be used, if it can."""
        del message
        if self._connection is not None:
            self.tell_up()

    def not_opened(self, detail: str) -> Exception:
        """Return what the session is told when the server could not be reached."""
        return McpConnectError(self._client_id, detail)

    def died(self, why: object) -> Exception:
        """Return what the session is told when the server has gone."""
        return McpClientDown(self._client_id, LinkState.DOWN, detail=self.said(why))

    # -- calls -------------------------------------------------------------

    @handles(RunTool)
    def on_run_tool(self, message: RunTool) -> Later:
        """Run a tool; others go on beside it."""
        if self._connection is None:
            raise McpClientDown(self._client_id, LinkState.DOWN)
        if len(self._calls) >= CALLS_MAX:
            raise TooManyCalls(self._client_id, CALLS_MAX)
        number, reply = self._numbers.next(), self.reply_later(outlives=True)
        timer = self.send_after(message.timeout_s, TimeIsUp(number))
        connection, name, arguments = self._connection, message.name, message.arguments
        work = self.run(
            number,
            connection.list_tools
            if name is None
            else lambda: connection.call_tool(name, arguments),
        )
        self._calls[number] = _Call(message, reply, timer, work)
        return LATER

    @handles(WorkDone)
    def on_work_done(self, message: WorkDone) -> None:
        """Answer a call."""
        call = self._calls.pop(message.number, None)
        if call is None:
            return
        call.timer.cancel()
        error = message.error
        if error is None:
            call.reply.offer(message.result)
            return
        detail = f"{type(error).__name__}: {self.said(error)}"
        failed = McpToolError(call.message.name or "list_tools", detail)
        call.reply.offer_exception(self.refusal(error) or failed)

    @handles(TimeIsUp)
    def on_time_is_up(self, message: TimeIsUp) -> None:
        """Give up what has taken too long: a call, or the opening."""
        if message.number == _CONNECTING:
            if self._connection is None:
                self.lose(McpTimeout(self._client_id, "connect", CONNECT_S))
            return
        call = self._calls.pop(message.number, None)
        if call is not None:
            call.is_over()
            what = call.message.name or "list_tools"
            timeout_s = call.message.timeout_s
            call.reply.offer_exception(McpTimeout(self._client_id, what, timeout_s))

    def fail_work(self, error: Exception) -> None:
        """Answer all calls: they may have had an effect."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.is_over()
            detail = error.detail if isinstance(error, McpClientDown) else str(error)
            lost = McpCallLost(self._client_id, LinkState.DOWN, detail=detail)
            call.reply.offer_exception(lost)
