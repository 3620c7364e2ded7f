"""How does a connection behave that sends no proper HTTP, too much of it, or nothing at all?"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

import h11
import msgspec
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from callboard.actors.daemon.errors import HeadersTooLarge, RequestError, TooManyRequests
from callboard.actors.daemon.guard import headers_of
from callboard.actors.daemon.problems import problem_of
from callboard.actors.daemon.settings import DaemonSettings
from callboard.supervision.model.errors import CallboardError

LINGER_S = 1.0
"""How long a client that is sent away may take to read why."""

_TOO_LARGE = 431
_MAY_ANSWER = frozenset({h11.IDLE, h11.SEND_RESPONSE})


class _Connection(h11.Connection):
    """Remembers what HTTP status the last fault of the client deserves."""

    fault_status = 0

    def next_event(self) -> Any:
        try:
            return super().next_event()
        except h11.RemoteProtocolError as fault:
            self.fault_status = fault.error_status_hint
            raise


class DaemonProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with our bounds, and problem documents instead of plain text."""

    settings: ClassVar[DaemonSettings] = DaemonSettings()

    def __init__(self, config: Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        # Twice the bound: the guard refuses by its own count, with the request's own status.
        self.conn = _Connection(h11.SERVER, 2 * self.settings.header_bytes_max)
        self._is_refused = False
        self._patience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Take a connection if there is room; it must say something soon."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections_max:
            self._refuse(TooManyRequests("connections", self.settings.connections_max))
        else:
            self._look_at_the_clock()

    def data_received(self, data: bytes) -> None:
        """Take what came; a request that has begun must be complete up to its body soon."""
        if self._is_refused:
            return
        super().data_received(data)
        self._look_at_the_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_the_clock()
        self._hurry_no_more()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent, but not for ever: an abort frees its place."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.settings.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has taken what was sent."""
        self._hurry_no_more()
        super().resume_writing()

    def _hurry_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look_at_the_clock(self) -> None:
        # uvicorn's own annotation leaves out that there is none before the first request.
        if cast("RequestResponseCycle | None", self.cycle) and not self.cycle.response_complete:
            self._stop_the_clock()
        elif self._patience is None and not self._is_refused and not self.transport.is_closing():
            self._patience = self.loop.call_later(self.settings.header_s, self.transport.close)

    def _stop_the_clock(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no proper HTTP."""
        status = getattr(self.conn, "fault_status", 0)
        if status == _TOO_LARGE:
            self._refuse(HeadersTooLarge(self.settings.header_bytes_max))
        else:
            self._refuse(RequestError(msg))

    def _refuse(self, error: CallboardError) -> None:
        if cast("RequestResponseCycle | None", self.cycle) and not self.cycle.response_complete:
            # A request that broke off is answered here: its own answer has nowhere to go.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in _MAY_ANSWER:
            body = msgspec.json.encode(problem_of(error))
            headers = headers_of(error, body, closes=True)
            response = h11.Response(
                status_code=problem_of(error).status, headers=list(headers.items())
            )
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._is_refused = True
        self.connections.discard(self)
        self._stop_the_clock()
        # A socket that is closed with something unread is reset, and the answer is lost.
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def protocol_for(settings: DaemonSettings) -> type[DaemonProtocol]:
    """Return the protocol with these bounds; uvicorn makes one for each connection."""
    return type("BoundProtocol", (DaemonProtocol,), {"settings": settings})
