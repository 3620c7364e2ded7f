"""How does a request become a message, and an answer a response? The ASGI application."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream as Streamed

from callboard.actors.daemon.calls import Call, LinesIn, Route, Stay, Stream, Text
from callboard.actors.daemon.decoding import decode_body, decode_query
from callboard.actors.daemon.description import describe
from callboard.actors.daemon.errors import (
    BodyTooLarge,
    FaultsAreOff,
    InternalError,
    MethodNotAllowed,
    NoSuchPath,
    RequestError,
)
from callboard.actors.daemon.guard import (
    STAY,
    Application,
    Door,
    Guard,
    Receive,
    Scope,
    Send,
    answer,
    headers_of,
)
from callboard.actors.daemon.problems import MEDIA_TYPE, problem_of
from callboard.actors.daemon.routes import (
    DESCRIPTION_PATH,
    FAULT_PATHS,
    LINES_PATHS,
    nameless,
    routes,
)
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.errors import InvalidField
from callboard.actors.system import SessionSystem
from callboard.supervision.model.errors import CallboardError

logger = logging.getLogger("callboard.daemon")

JSON = "application/json"
NOT_KEPT = {"cache-control": "no-store"}

_encode = msgspec.json.Encoder().encode


def make_app(
    sessions: SessionSystem,
    *,
    settings: DaemonSettings,
    door: Door | None = None,
    faults: bool = False,
    numbers: Callable[[], bytes] | None = None,
) -> Guard:
    """Return the daemon's ASGI application.

    Args:
        sessions: who answers; the application neither starts nor stops it.
        settings: the bounds.
        door: who may come in; None: whoever can connect.
        faults: whether crashes may be injected.
        numbers: renders the metrics; None: they are not kept.
    """
    table = routes(faults=faults)
    description = _encode(describe(table, settings=settings))

    async def serve_description() -> Response[bytes]:
        return Response(description, media_type=JSON)

    app = Litestar(
        [
            *(_handler(route, sessions, settings, numbers) for route in table),
            HTTPRouteHandler(
                DESCRIPTION_PATH, http_method="GET", name="description", media_type=JSON
            )(serve_description),
        ],
        exception_handlers={Exception: on_error},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=settings.body_bytes_max,
        pdb_on_exception=False,
        debug=False,
    )
    return Guard(_named(app), settings=settings, door=door, lines_paths=LINES_PATHS)


def _named(app: Application) -> Application:
    """Refuse paths with an empty step, which the framework would take for other paths."""

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        field = nameless(scope["path"])
        if field is not None:
            await answer(InvalidField(field, "", _NO_ID_REMEDIES[field]), send)
            return
        if "//" in scope["path"]:
            await answer(NoSuchPath("there is nothing at a path with an empty step"), send)
            return
        await app(scope, receive, send)

    return route


_NO_ID_REMEDIES = {
    "session_id": (
        "Give the session's id; GET /v1/sessions, without a slash behind it, lists them."
    ),
    "client_id": "Give the client's id; GET .../mcp, without a slash behind it, lists them.",
}


def _handler(
    route: Route,
    sessions: SessionSystem,
    settings: DaemonSettings,
    numbers: Callable[[], bytes] | None,
) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
        # The path is routed as it was sent, so an id may hold any character, a slash included.
        ids = {name: _decoded_id(name, sent) for name, sent in request.path_params.items()}
        call: Call[Any, Any] = Call(
            sessions=sessions,
            settings=settings,
            stay=cast("dict[str, Stay]", request.scope)[STAY],
            query=decode_query(request.scope["query_string"], route.query),
            body=await _body_of(request, route),
            numbers=numbers,
            **ids,
        )
        match await route.answer(call):
            case Stream(parts):
                return Streamed(parts, headers=NOT_KEPT)
            case Text(content):
                return Response(content)
            case said:
                return Response(_encode(said), status_code=route.status)

    bytes_max = settings.import_bytes_max if route.takes_lines else settings.body_bytes_max
    path = re.sub(r"{(\w+)}", r"{\1:str}", route.path)
    made = HTTPRouteHandler(
        path,
        http_method=route.method,
        status_code=route.status,
        name=f"{route.method} {path}",
        media_type=route.media_type,
        request_max_body_size=bytes_max,
    )
    return made(handle)


async def _body_of(request: Request[Any, Any, Any], route: Route) -> Any:
    if route.body is None:
        return None
    if route.takes_lines:
        return LinesIn(request.stream())
    return decode_body(await request.body(), route.body, is_optional=route.is_body_optional)


def _decoded_id(name: str, sent: str) -> str:
    try:
        return unquote(sent, errors="strict")
    except UnicodeDecodeError:
        raise InvalidField(name, sent, "Give UTF-8, percent-encoded.") from None


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer with a problem document, whatever went wrong."""
    return response_to(_translated(request, error))


def response_to(error: CallboardError) -> Response[bytes]:
    """Return the problem document of an error as a response."""
    problem = problem_of(error)
    body = _encode(problem)
    return Response(
        body,
        media_type=MEDIA_TYPE,
        status_code=problem.status,
        headers=headers_of(error, body),
    )


def _translated(request: Request[Any, Any, Any], error: Exception) -> CallboardError:
    """Return the foreign errors of the framework as ours; what is not expected is a defect."""
    match error:
        case CallboardError():
            return error
        case RequestEntityTooLarge():
            return BodyTooLarge(request.route_handler.resolve_request_max_body_size() or 0)
        # Not `request.url`, which raises where `Host` is nonsense.
        case NotFoundException() if request.scope["path"] in FAULT_PATHS:
            return FaultsAreOff("this daemon lets nobody make anything crash")
        case NotFoundException():
            return NoSuchPath("there is nothing at this path")
        case MethodNotAllowedException():
            return MethodNotAllowed(f"{request.method} is not for this path")
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return RequestError(error.detail)
        case _:
            path = request.scope["path"]
            logger.error("request.failed: %s %s", request.method, path, exc_info=error)
            return InternalError("the daemon could not answer")
