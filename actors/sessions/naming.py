"""How the parts of the session tree are called."""

from __future__ import annotations

from typing import Final

MANAGER: Final = "manager"
"""The manager's name."""

JANITOR: Final = "janitor"
"""The janitor's name."""

PARTITIONS: Final = "sessions"
"""The line's id in the tree, and what its partitions' names begin with."""


def partition_name(number: int) -> str:
    """Return the name under which a partition is reached."""
    return f"{PARTITIONS}/{number}"


def session_name(session_id: str) -> str:
    """Return the name of a session's address."""
    return f"session/{session_id}"
