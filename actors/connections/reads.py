"""What does the table answer about a session's connections? No message, no lock."""

from __future__ import annotations

from typing import Final

from callboard.actors.errors import McpClientNotFound
from callboard.actors.link_messages import GetMcpClient, ListMcpClients
from callboard.actors.sessions.linking import mcp_client
from callboard.actors.sessions.links import McpClientInfo
from callboard.actors.sessions.table import Table

LINK_READS: Final = (GetMcpClient, ListMcpClients)
"""The messages that are answered here, on the caller's thread."""


def answer_about_links(
    table: Table, read: GetMcpClient | ListMcpClients
) -> McpClientInfo | tuple[McpClientInfo, ...]:
    """Answer a read.

    Raises:
        SessionNotFound: there is no such session.
        McpClientNotFound: it has no such client.
    """
    session = table.row(read.session_id).session()
    if isinstance(read, ListMcpClients):
        return session.mcp_servers
    found = mcp_client(session, read.client_id)
    if found is None:
        raise McpClientNotFound(read.client_id)
    return found
