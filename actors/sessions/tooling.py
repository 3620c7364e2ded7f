"""How does a session use MCP servers? It opens clients, and hands calls of tools on to them."""

from __future__ import annotations

from functools import partial

from callboard.actors.errors import (
    DuplicateMcpClient,
    McpCallLost,
    McpClientDown,
    McpClientNotFound,
    TooManyCalls,
)
from callboard.actors.link_messages import AddMcpClient, CallTool, ListTools, RemoveMcpClient
from callboard.actors.sessions.committing import D
from callboard.actors.sessions.internal import RunTool
from callboard.actors.sessions.linked import LinkedActor
from callboard.actors.sessions.linking import mcp_client, with_mcp
from callboard.actors.sessions.links import LinkState, McpClientInfo
from callboard.supervision import ActorKilled, DeliveryError, Later, MailboxFull, handles


class ToolingActor(LinkedActor[D]):
    """The part of a session's actor that has to do with its MCP clients."""

    @handles(AddMcpClient)
    def on_add_mcp_client(self, message: AddMcpClient) -> Later:
        """Have a client opened; reply when it is up."""
        draft, spec = self._working(), message.spec
        known = mcp_client(draft.session, spec.id)
        if known is not None and known.status is not LinkState.FAILED:
            raise DuplicateMcpClient(spec.id)
        self._services.connections.connectors.for_mcp()
        self._touch()
        number, wall_s = draft.next_version, self.system.clock.wall_s()
        self._note(with_mcp(draft.session, spec, number=number, wall_s=wall_s))
        return self._opening(draft.session.mcp_servers[-1])

    @handles(RemoveMcpClient)
    def on_remove_mcp_client(self, message: RemoveMcpClient) -> None:
        """Have a client closed."""
        self._take_away(self._mcp(message.client_id))

    def _mcp(self, client_id: str) -> McpClientInfo:
        found = mcp_client(self._working().session, client_id)
        if found is None:
            raise McpClientNotFound(client_id)
        return found

    @handles(CallTool)
    def on_call_tool(self, message: CallTool) -> Later:
        """Have a tool run; the connection replies."""
        work = RunTool(message.name, message.arguments, message.timeout_s)
        return self._use_mcp(message.client_id, work)

    @handles(ListTools)
    def on_list_tools(self, message: ListTools) -> Later:
        """Have a server asked for its tools; the connection replies."""
        return self._use_mcp(message.client_id, RunTool(None, {}, message.timeout_s))

    def _use_mcp(self, client_id: str, work: RunTool) -> Later:
        link = self._mcp(client_id)
        if link.status not in {LinkState.STARTING, LinkState.UP}:
            raise McpClientDown(client_id, link.status, detail=link.error or "")
        self._touch()
        return self._hand_on(link, work, work.timeout_s, partial(_mcp_error, client_id))


def _mcp_error(client_id: str, error: BaseException) -> BaseException:
    """Say in a caller's words what became of a call whose connection has not answered."""
    match error:
        case MailboxFull():
            return TooManyCalls(client_id, error.mailbox_max)
        case ActorKilled():
            return McpCallLost(client_id, LinkState.DOWN)
        case DeliveryError():
            return McpClientDown(client_id, LinkState.DOWN)
        case _:
            return error
