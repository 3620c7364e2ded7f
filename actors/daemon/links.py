"""Which paths stand for the messages about a session's connections? MCP clients, agent, client."""

from __future__ import annotations

from callboard.actors.daemon.calls import Call, Route
from callboard.actors.daemon.linkwire import (
    Cancellation,
    Cancelled,
    McpClients,
    NewAgent,
    NewMcpClient,
    NewTask,
    Patience,
    Removed,
    ToolCall,
    ToolResult,
    Tools,
)
from callboard.actors.daemon.wire import NoQuery
from callboard.actors.link_messages import (
    CALL_S,
    CANCEL_S,
    PROMPT_S,
    AddMcpClient,
    AttachAgent,
    CallTool,
    CancelPrompt,
    DetachAgent,
    DetachClient,
    GetMcpClient,
    ListMcpClients,
    ListTools,
    Prompt,
    PromptResult,
    RemoveMcpClient,
)
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.links import McpClientInfo


async def list_mcp_clients(call: Call[NoQuery, None]) -> McpClients:
    """Read what is known of a session's MCP clients."""
    return McpClients(clients=await call.ask(ListMcpClients(call.session_id)))


async def add_mcp_client(call: Call[NoQuery, NewMcpClient]) -> McpClientInfo:
    """Connect a session to an MCP server."""
    return await call.ask(AddMcpClient(call.session_id, call.body.spec))


async def get_mcp_client(call: Call[NoQuery, None]) -> McpClientInfo:
    """Read what is known of an MCP client."""
    return await call.ask(GetMcpClient(call.session_id, call.client_id))


async def remove_mcp_client(call: Call[NoQuery, None]) -> Removed:
    """Take an MCP client away."""
    await call.ask(RemoveMcpClient(call.session_id, call.client_id))
    return Removed(removed=call.client_id)


async def list_tools(call: Call[Patience, None]) -> Tools:
    """Ask an MCP server for its tools."""
    timeout_s = call.work_s("timeout_s", call.query.timeout_s, CALL_S)
    return Tools(tools=await call.ask(ListTools(call.session_id, call.client_id, timeout_s)))


async def call_tool(call: Call[NoQuery, ToolCall]) -> ToolResult:
    """Have an MCP server run a tool, and wait for its result."""
    body = call.body
    timeout_s = call.work_s("timeout_s", body.timeout_s, CALL_S)
    message = CallTool(call.session_id, call.client_id, body.name, body.arguments, timeout_s)
    return ToolResult(result=await call.ask(message))


async def attach_agent(call: Call[NoQuery, NewAgent]) -> Session:
    """Start an agent for a session; the answer comes when it is up."""
    body = call.body
    return await call.ask(AttachAgent(call.session_id, body.spec, body.agent_session_id))


async def detach_agent(call: Call[NoQuery, None]) -> Session:
    """End a session's agent, with what it works on."""
    return await call.ask(DetachAgent(call.session_id))


async def prompt_agent(call: Call[NoQuery, NewTask]) -> PromptResult:
    """Give a session's agent something to do, and wait until it has stopped."""
    body = call.body
    timeout_s = call.work_s("timeout_s", body.timeout_s, PROMPT_S)
    message = Prompt(call.session_id, body.content, body.blocks, timeout_s, body.client_msg_id)
    return await call.ask(message)


async def cancel_prompt(call: Call[NoQuery, Cancellation]) -> Cancelled:
    """Have a session's agent stop what it works on."""
    grace_s = call.work_s("grace_s", call.body.grace_s, CANCEL_S)
    return Cancelled(was_busy=await call.ask(CancelPrompt(call.session_id, grace_s)))


async def detach_client(call: Call[NoQuery, None]) -> Removed:
    """Let the client go that follows a session."""
    await call.ask(DetachClient(call.session_id))
    return Removed(removed="client")


_SESSION = "/v1/sessions/{session_id}"
_CLIENT = f"{_SESSION}/mcp/{{client_id}}"

OF_LINKS: tuple[Route, ...] = (
    Route(method="GET", path=f"{_SESSION}/mcp", answer=list_mcp_clients, reply=McpClients),
    Route(
        method="POST",
        path=f"{_SESSION}/mcp",
        answer=add_mcp_client,
        body=NewMcpClient,
        reply=McpClientInfo,
        status=201,
    ),
    Route(method="GET", path=_CLIENT, answer=get_mcp_client, reply=McpClientInfo),
    Route(method="DELETE", path=_CLIENT, answer=remove_mcp_client, reply=Removed),
    Route(method="GET", path=f"{_CLIENT}/tools", answer=list_tools, query=Patience, reply=Tools),
    Route(
        method="POST", path=f"{_CLIENT}/calls", answer=call_tool, body=ToolCall, reply=ToolResult
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/agent",
        answer=attach_agent,
        body=NewAgent,
        reply=Session,
        status=201,
    ),
    Route(method="DELETE", path=f"{_SESSION}/agent", answer=detach_agent, reply=Session),
    Route(
        method="POST",
        path=f"{_SESSION}/agent/prompts",
        answer=prompt_agent,
        body=NewTask,
        reply=PromptResult,
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/agent/cancel",
        answer=cancel_prompt,
        body=Cancellation,
        is_body_optional=True,
        reply=Cancelled,
    ),
    Route(method="DELETE", path=f"{_SESSION}/client", answer=detach_client, reply=Removed),
)
"""What a client can ask for about a session's connections."""
