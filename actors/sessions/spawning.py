"""Which sessions are being spawned, who waits for that, and what went wrong first?

The system owns this. The session's actor enters a record when it begins and takes it
out when it is ACTIVE; the manager takes it out with the row. Two pairs of steps that
must keep their order:

    actor: (1) commit ACTIVE (2) take out (3) answer      manager: (1) get (2) add (3) get again
    actor: (1) note the errand (2) cancelled?             manager: (1) cancel (2) kill the errand
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from callboard.actors.errors import SpawnError
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.keys import FirstReply
from callboard.supervision import Future

Waiter: TypeAlias = "Future[Session] | FirstReply"
"""Somebody who is to be told that a session is ACTIVE."""


class Spawning:
    """One session that is being spawned.

    Args:
        session_id: which.
    """

    __slots__ = ("cancelled", "cause", "errand", "replies", "session_id")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.replies: list[Waiter] = []
        """Those who wait for it."""
        self.cause: Exception | None = None
        """What went wrong first."""
        self.cancelled: str | None = None
        """Why it is to be given up."""
        self.errand: Any = None
        """Who did the last step that was begun, if any was: alive, dead or just being killed."""

    def sent(self, errand: Any) -> None:
        """Note who does the step in hand. The actor alone."""
        self.errand = errand
        if self.cancelled is not None:
            errand.kill()

    def cancel(self, reason: str) -> None:
        """Have it given up: the step in hand is killed, a late success discarded. The manager."""
        said = f": {reason}" if reason else ""
        self.fail(SpawnError(f"session {self.session_id} was terminated while it spawned{said}"))
        self.cancelled = reason
        errand = self.errand
        if errand is not None:
            errand.kill()

    def fail(self, cause: Exception) -> None:
        """Note what went wrong; the first cause stays."""
        self.cause = self.cause or cause

    def answer(self, session: Session) -> None:
        """Tell everybody who waits that it is ACTIVE."""
        for reply in tuple(self.replies):
            reply.offer(session)

    def refuse(self) -> Exception:
        """Tell everybody who waits that it has failed; return why."""
        cause = self.cause or SpawnError(f"session {self.session_id} could not be spawned")
        for reply in tuple(self.replies):
            reply.offer_exception(cause)
        return cause


class Spawns:
    """All sessions that are being spawned. Any thread; each call is one step of a dict."""

    def __init__(self) -> None:
        self._spawning: dict[str, Spawning] = {}
        self.get = self._spawning.get
        """The record of a session's id, or None."""

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._spawning

    def __len__(self) -> int:
        return len(self._spawning)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._spawning))

    def enter(self, session_id: str) -> Spawning:
        """Return the record of a session; one that an earlier incarnation has begun goes on."""
        return self._spawning.setdefault(session_id, Spawning(session_id))

    def take_out(self, session_id: str) -> Spawning | None:
        """Forget a record and return it."""
        return self._spawning.pop(session_id, None)

    def join(self, session_id: str, replies: Sequence[Waiter]) -> bool:
        """Have them answered when a session is spawned; False if it is not being spawned."""
        spawning = self.get(session_id)
        if spawning is None:
            return False
        spawning.replies.extend(replies)
        return self.get(session_id) is spawning
