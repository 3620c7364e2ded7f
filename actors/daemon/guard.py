"""Who is let in, how much at once, and for how long? What stands before the application."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

from callboard.actors.daemon.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    RequestError,
    RequestTimeout,
    RequestTooSlow,
    TooManyRequests,
    Unauthorized,
    UnknownHost,
    UnknownOrigin,
    UnsupportedMediaType,
)
from callboard.actors.daemon.media import LINES
from callboard.actors.daemon.problems import MEDIA_TYPE, problem_of
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.errors import ShuttingDown
from callboard.supervision.model.errors import CallboardError

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

STAY = "callboard.stay"
"""Where a request finds in its scope how to last longer: a `calls.Stay`."""

_WITH_BODY = frozenset({"POST", "PATCH", "PUT"})
_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
_LINGER_S = 1.0
_LINGER_BODIES = 4
_PER_HEADER_BYTES = 4  # ": " and the line's end


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """What every request over a port must show. A Unix socket needs none of it.

    Args:
        token: what stands after `Bearer`.
        hosts: what `Host` may say, in lower case.
    """

    token: str
    hosts: frozenset[str]


class Guard:
    """Lets requests through to an application, or answers them itself. On the loop's thread.

    Args:
        app: who answers those that come through.
        settings: the bounds.
        door: what a request must show; None: nothing.
        lines_paths: where JSON Lines are sent, up to `import_bytes_max` of them.
    """

    def __init__(
        self,
        app: Application,
        *,
        settings: DaemonSettings,
        door: Door | None = None,
        lines_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._lines_paths = lines_paths
        self._door = door
        self.settings = settings
        self.in_flight = 0
        """Requests that are being answered, but for those that last."""
        self.lasting = 0
        """Requests that may take longer than others: they wait for a connection, or stream."""
        self.is_draining = False
        """Set when the daemon is being stopped: nothing new is let in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.settings)
        refusal = self._refusal(scope)
        if refusal is not None:
            await answer(refusal, exchange.send, retry_after_s=self.settings.retry_after_s)
            return
        # Routed as it was sent: a decoded slash or `count` would be taken for a part of the path.
        scope["path"] = scope["raw_path"].decode("ascii")
        self.in_flight += 1
        try:
            await self._within_its_time(exchange)
        finally:
            self.in_flight -= 1

    async def _within_its_time(self, exchange: _Exchange) -> None:
        limit = asyncio.timeout(self.settings.request_s)
        stay = _Stay(self, limit)
        exchange.scope[STAY] = stay
        try:
            async with limit:
                await self._app(exchange.scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not limit.expired():
                raise
            if not exchange.has_begun:
                kind = RequestTimeout if exchange.has_all else RequestTooSlow
                error = kind(f"not done within {stay.seconds:g} s")
                await answer(error, exchange.send, closes=True)
        finally:
            stay.over()

    def _refusal(self, scope: Scope) -> CallboardError | None:
        settings, headers = self.settings, scope["headers"]
        if size_of(scope) > settings.header_bytes_max:
            return HeadersTooLarge(settings.header_bytes_max)
        if self._door is not None:
            refusal = _stranger(self._door, headers)
            if refusal is not None:
                return refusal
        if self.is_draining:
            return ShuttingDown("the daemon is being stopped")
        if self.in_flight >= settings.in_flight_max:
            return TooManyRequests("requests in flight", settings.in_flight_max)
        if scope["method"] in _WITH_BODY:
            if scope["path"] in self._lines_paths:
                return _wrong_body(headers, settings.import_bytes_max, LINES)
            return _wrong_body(headers, settings.body_bytes_max, "application/json")
        return None


class _Stay:
    """How long one request may take: as long as all, until it says that it lasts.

    Args:
        guard: counts those that last.
        limit: the request's time.
    """

    def __init__(self, guard: Guard, limit: asyncio.Timeout) -> None:
        self._guard = guard
        self._limit = limit
        self._lasts = False
        self._at_end: list[Callable[[], object]] = []
        self.seconds = guard.settings.request_s

    def last(self, seconds: float | None) -> None:
        """Let it last so many seconds from now on; None: as long as it likes.

        Raises:
            TooManyRequests: as many as may last do so already.
        """
        guard = self._guard
        if not self._lasts:
            if guard.lasting >= guard.settings.lasting_max:
                raise TooManyRequests("requests that last", guard.settings.lasting_max)
            self._lasts = True
            guard.lasting += 1  # it holds no place of those that are soon answered
            guard.in_flight -= 1
        self.seconds = math.inf if seconds is None else seconds
        now_s = asyncio.get_running_loop().time()
        self._limit.reschedule(None if seconds is None else now_s + seconds)

    def at_end(self, act: Callable[[], object]) -> None:
        """Have something done when the request is over, however that comes."""
        self._at_end.append(act)

    def over(self) -> None:
        """Give its place back, and do what was to be done at the end."""
        if self._lasts:
            self._guard.lasting -= 1
            self._guard.in_flight += 1
        for act in self._at_end:
            act()


class _Exchange:
    """One request and its response, and how far each has come."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: DaemonSettings
    ) -> None:
        self.scope = scope
        self.has_all = scope["method"] not in _WITH_BODY
        self.has_begun = False
        self._receive = receive
        self._send = send
        self._bytes_max = settings.body_bytes_max * _LINGER_BODIES

    async def receive(self) -> Any:
        """Return the next part of the body.

        Raises:
            RequestError: the client has gone, or sends no HTTP any more; no failure of ours.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.has_all:
            raise RequestError("the body broke off")
        self.has_all = not message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        """Send a part of the response."""
        self.has_begun = True
        await self._send(message)
        if message["type"] == "http.response.start" and message["status"] == _TOO_LARGE:
            # A connection that is closed with something unread is reset, and the answer is lost.
            with suppress(TimeoutError, RequestError):
                async with asyncio.timeout(_LINGER_S):
                    await self._read_out()

    async def _read_out(self) -> None:
        size = 0
        while not self.has_all and size < self._bytes_max:
            message = await self.receive()
            size += len(message.get("body", b""))


def size_of(scope: Scope) -> int:
    """Return how many bytes target and headers have."""
    fields = sum(len(name) + len(value) + _PER_HEADER_BYTES for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + fields


def _stranger(door: Door, headers: Headers) -> CallboardError | None:
    """Say what is wrong with a request over a port: another program's, or a web page's."""
    # A page that a name server leads here (DNS rebinding) still names its own host.
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in door.hosts:
        return UnknownHost("this daemon is not the host that the request names")
    for name, value in headers:
        if name == b"origin":
            scheme, _, host = value.decode("latin-1").lower().partition("://")
            if scheme != "http" or host not in door.hosts:
                return UnknownOrigin("requests of this origin are not let in")
    given = [value for name, value in headers if name == b"authorization"]
    kind, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    # Compared in constant time: how long it takes must not tell how much was right.
    is_right = hmac.compare_digest(token.strip(), door.token.encode())
    if kind.lower() != b"bearer" or not is_right:
        return Unauthorized("the token is missing or wrong")
    return None


def _wrong_body(headers: Headers, bytes_max: int, wanted: str) -> CallboardError | None:
    for name, value in headers:
        if name == b"content-type":
            media_type = value.partition(b";")[0].strip().lower()
            if media_type != wanted.encode():
                return UnsupportedMediaType(f"the body is not declared as {wanted}")
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            return UnsupportedMediaType("the body is compressed")
        elif name == b"content-length" and value.isdigit() and int(value) > bytes_max:
            return BodyTooLarge(bytes_max)
    return None


async def answer(
    error: CallboardError, send: Send, *, retry_after_s: int = 1, closes: bool = False
) -> None:
    """Send the problem document of an error as the response."""
    problem = problem_of(error)
    body = msgspec.json.encode(problem)
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [
                (name.encode(), value.encode())
                for name, value in headers_of(
                    error, body, retry_after_s=retry_after_s, closes=closes
                ).items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def headers_of(
    error: CallboardError, body: bytes, *, retry_after_s: int = 1, closes: bool = False
) -> dict[str, str]:
    """Return the headers of a problem document."""
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body))}
    status = problem_of(error).status
    if error.is_retryable and status in _WAIT_FOR:
        headers["retry-after"] = str(retry_after_s)
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if closes or isinstance(error, (BodyTooLarge, HeadersTooLarge, ShuttingDown)):
        headers["connection"] = "close"  # what else the client sends is not read
    return headers


_WAIT_FOR = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
