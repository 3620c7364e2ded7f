"""What is one request, once it is decoded, and one row of the table of routes?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from callboard.actors.daemon.errors import InternalError
from callboard.actors.daemon.replies import checked
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.daemon.wire import NoQuery
from callboard.actors.errors import InvalidField, SessionCrashed
from callboard.actors.link_messages import MARGIN_S
from callboard.actors.messages import SessionMessage
from callboard.actors.patience import lasts
from callboard.actors.sessions.naming import session_name
from callboard.actors.system import SessionSystem
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.requests import Request

R = TypeVar("R")
Q = TypeVar("Q")
B = TypeVar("B")

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Stay(Protocol):
    """How long one request may take. What it does is in the guard."""

    def last(self, seconds: float | None) -> None:
        """Let it last so many seconds from now on; None: as long as it likes.

        Raises:
            TooManyRequests: as many as may last do so already.
        """
        ...

    def at_end(self, act: Callable[[], object]) -> None:
        """Have something done when the request is over, however that comes."""
        ...


_OF_AN_ACTOR = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)
"""What a handler may end with; that a request is cancelled is none of it."""

REPLY_S = 5.0
"""How much longer than what it waits for a request that lasts may take, for its answer."""


class Text(msgspec.Struct, frozen=True):
    """An answer that is no JSON.

    Args:
        content: what is sent.
    """

    content: bytes


class Stream(msgspec.Struct, frozen=True):
    """An answer that goes on: server-sent events.

    Args:
        parts: what is sent, one after the other.
    """

    parts: AsyncIterator[bytes]


class LinesIn(msgspec.Struct, frozen=True):
    """A body of JSON Lines, which is read as it comes: as the `body` of a route.

    Args:
        parts: what is sent.
    """

    parts: AsyncIterator[bytes]


class Call(msgspec.Struct, Generic[Q, B], frozen=True, kw_only=True):
    """One request, decoded.

    Args:
        sessions: who answers.
        settings: the daemon's bounds.
        query: what stands after the question mark.
        body: what was sent.
        stay: lets it last longer than others.
        session_id: which session the path names, or "".
        client_id: which of its MCP clients, or "".
        numbers: renders the metrics; None: they are not kept.
    """

    sessions: SessionSystem
    settings: DaemonSettings
    query: Q
    body: B
    stay: Stay
    session_id: str = ""
    client_id: str = ""
    numbers: Callable[[], bytes] | None = None

    async def ask(self, message: Request[R]) -> R:
        """Send a message and await its answer.

        Args:
            message: to whom it is for. What may last longer than `ask_s` gets that long, up to
                `work_s`, and has a place among those that last.

        Raises:
            CallboardError: a declared answer, or none in time.
            SessionCrashed: the handler raised something else.
            WrongReply: the handler answered what it may not.
        """
        wait_s = self.settings.ask_s
        if lasts(type(message)):
            patience_s = min(self.sessions.patience_s(message), self.settings.work_s)
            if patience_s > wait_s:
                wait_s = patience_s
                self.stay.last(wait_s + REPLY_S)
        try:
            reply = await self.sessions.ask_async(message, timeout=wait_s)
        except CallboardError:
            raise
        # It is an actor's, `sys.exit()` in a handler included: it must not end the daemon, and its
        # text is for the log, not for the client.
        except _OF_AN_ACTOR as error:  # named edge: translated
            raise _crash_of(message, error) from error
        return checked(self.sessions, message, reply)

    def work_s(self, field: str, given_s: float | None, default_s: float) -> float:
        """Return how long a connection may work for this request.

        Args:
            field: its name.
            given_s: what the client says; None: nothing.
            default_s: what is meant then, or as much of it as the daemon allows.

        Raises:
            InvalidField: the answer would come after the asker has given up.
        """
        work_max_s = max(0.0, self.settings.work_s - MARGIN_S)
        if given_s is None:
            return min(default_s, work_max_s)
        if given_s > work_max_s:
            raise InvalidField(field, given_s, f"Give at most {work_max_s:g} seconds.")
        return given_s

    async def aside(self, read: Callable[[], R]) -> R:
        """Do a read that looks at many rows on another thread, so that the loop goes on."""
        return await asyncio.to_thread(read)


def _crash_of(message: Request[Any], error: BaseException) -> CallboardError:
    if isinstance(message, SessionMessage):
        address = session_name(message.session_id)
        # Word for word what a kill is answered with: HTTP tells the two not apart.
        return SessionCrashed(f"{address} ended while it handled the message", address=address)
    return InternalError(f"{type(message).__name__} ended in {type(error).__name__}")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a client can ask for.

    Args:
        method: the HTTP method.
        path: where; `{session_id}` and `{client_id}` stand for ids, percent-encoded.
        answer: what does it; its docstring describes it.
        reply: the type of the answer; of a stream: of each event's data.
        query: what may stand after the question mark.
        body: the type of the body; None: there is none.
        is_body_optional: whether it may be left out.
        status: the HTTP status of success.
        media_type: what the answer is.
        is_fault: whether it is there only where crashes may be injected.
    """

    method: Method
    path: str
    answer: Callable[[Call[Any, Any]], Awaitable[object]]
    reply: Any
    query: type[msgspec.Struct] = NoQuery
    body: type[msgspec.Struct] | None = None
    is_body_optional: bool = False
    status: int = 200
    media_type: str = "application/json"
    is_fault: bool = False

    @property
    def takes_lines(self) -> bool:
        """Whether its body is JSON Lines."""
        return self.body is LinesIn
