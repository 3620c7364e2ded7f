"""What goes on in a session that no handler is at work on? It says so by holds.

A prompt, a tool call, a spawn, a cleanup: begun by one message, over with another.
An attached client, a living agent: they want the session's actor to be there. The
holds belong to the incarnation and die with it; the next one takes its own.
"""

from __future__ import annotations

from enum import StrEnum


class HoldKind(StrEnum):
    """What a hold keeps off."""

    WORK = "work"
    """Something is under way: the session neither sleeps nor expires, a shutdown waits for it."""
    ATTACHED = "attached"
    """Somebody is connected: the session does not sleep, but may be idle for too long."""


class Hold:
    """One thing that goes on, until it is released. The session's own thread alone.

    Args:
        holds: those of the incarnation; this one joins them.
        kind: what it keeps off.
    """

    __slots__ = ("_holds", "kind")

    def __init__(self, holds: dict[Hold, None], kind: HoldKind) -> None:
        self.kind = kind
        self._holds = holds
        holds[self] = None

    def release(self) -> None:
        """It is over. Idempotent; harmless after the incarnation's end."""
        self._holds.pop(self, None)
