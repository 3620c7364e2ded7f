"""How the parts of the session tree are called."""

from __future__ import annotations

from typing import Final

MANAGER: Final = "manager"
"""The manager's name."""

JANITOR: Final = "janitor"
"""The janitor's name."""

CLEARER: Final = "clearer"
"""The name of who deletes what was in workspaces that were removed, where there are any."""

FRONT: Final = "front"
"""The line's id in the tree of those whom everybody asks: the manager, the janitor, the clearer."""

HEART: Final = "heart"
"""The id in the tree of what tells a watchdog that the tree is healthy."""

STORAGE: Final = "storage"
"""The line's id in the tree of what a durable store needs."""

WRITER: Final = "writer"
"""The name of who writes to a durable store."""

READER: Final = "reader"
"""The name of who reads from a durable store."""

SERVICES: Final = "services"
"""The line's id in the tree of what serves all sessions."""

EVENTS: Final = "events"
"""The event hub's name. The writers of the sinks are called `audit`, `metrics` and `log`."""

PARTITIONS: Final = "sessions"
"""The line's id in the tree, and what its partitions' names begin with."""


def partition_name(number: int) -> str:
    """Return the name under which a partition is reached."""
    return f"{PARTITIONS}/{number}"


def session_name(session_id: str) -> str:
    """Return the name of a session's address."""
    return f"session/{session_id}"


CONNECTIONS: Final = "connections"
"""The id in the tree of the line of connections, and what its partitions' names begin with."""


def connections_partition_name(number: int) -> str:
    """Return the name under which a partition of the connections is reached."""
    return f"{CONNECTIONS}/{number}"


def links_name(session_id: str) -> str:
    """Return the name of the supervisor of a session's connections."""
    return f"links/{session_id}"


def link_name(session_id: str, key: str) -> str:
    """Return the name of one connection of a session."""
    return f"link/{key}/{session_id}"
