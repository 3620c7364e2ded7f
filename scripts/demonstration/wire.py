"""One HTTP connection over a Unix socket.

A general client (httpx) takes 1 ms of processor time for a request, three times
what the daemon needs to answer it: it would measure itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import h11

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REQUEST_S: Final = 40.0
"""Seconds for one request: more than the daemon itself allows."""

READ_BYTES: Final = 65_536
"""Bytes that are read at once."""


class NoAnswerError(Exception):
    """The connection broke, or no answer came in time: the outcome is unknown."""


class Answer:
    """What the daemon answered.

    Args:
        status: the HTTP status code.
        body: the body.
    """

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    @property
    def is_success(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004 -- HTTP's own bounds


class Wire:
    """One connection: a request at a time. Make it with `Wire.open`.

    Args:
        reader: what comes.
        writer: what goes.
    """

    __slots__ = ("_http", "_reader", "_writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, socket: Path) -> Wire:
        """Connect.

        Raises:
            NoAnswerError: nobody listens.
        """
        try:
            return cls(*await asyncio.open_unix_connection(socket))
        except OSError as error:
            raise NoAnswerError(str(error)) from error

    @property
    def is_usable(self) -> bool:
        """Whether it takes one more request."""
        return self._http.our_state is h11.IDLE and not self._reader.at_eof()

    async def request(self, method: str, target: str, body: bytes) -> Answer:
        """Send a request and return the answer.

        Raises:
            NoAnswerError: none came.
        """
        headers = [("Host", "localhost"), ("Content-Length", str(len(body)))]
        if body:
            headers.append(("Content-Type", "application/json"))
        http = self._http
        try:
            sent = http.send(h11.Request(method=method, target=target, headers=headers))
            sent = (sent or b"") + (http.send(h11.Data(body)) or b"" if body else b"")
            self._writer.write(sent + (http.send(h11.EndOfMessage()) or b""))
            async with asyncio.timeout(REQUEST_S):
                answer = await self._answer()
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            msg = f"{method} {target}: {error!r}"
            raise NoAnswerError(msg) from error
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
        return answer

    async def stream(self, target: str) -> AsyncIterator[bytes]:
        """Ask for what goes on, and yield its lines until it ends. Nothing else can be asked then.

        Raises:
            NoAnswerError: it was refused, or broke off.
        """
        request = h11.Request(method="GET", target=target, headers=[("Host", "localhost")])
        self._writer.write(self._http.send(request) or b"")
        self._http.send(h11.EndOfMessage())
        rest = b""
        while True:
            try:
                match self._http.next_event():
                    case h11.NEED_DATA:
                        self._http.receive_data(await self._reader.read(READ_BYTES))
                    case h11.Response(status_code=200):
                        pass
                    case h11.Data() as data:
                        *lines, rest = (rest + bytes(data.data)).split(b"\n")
                        for line in lines:
                            yield line
                    case h11.EndOfMessage():
                        return
                    case other:
                        msg = f"GET {target}: {other!r}"
                        raise NoAnswerError(msg)
            except (OSError, h11.ProtocolError) as error:
                msg = f"GET {target}: {error!r}"
                raise NoAnswerError(msg) from error

    async def _answer(self) -> Answer:
        status, parts = 0, list[bytes]()
        while True:
            match self._http.next_event():
                case h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(READ_BYTES))
                case h11.Response() as response:
                    status = response.status_code
                case h11.Data() as data:
                    parts.append(bytes(data.data))
                case h11.EndOfMessage():
                    return Answer(status, b"".join(parts))
                case h11.ConnectionClosed():
                    raise ConnectionResetError
                case _:
                    pass

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
