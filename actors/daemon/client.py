"""How does a program talk to the daemon? One request, one answer, over the door it listens on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx
import msgspec

from callboard.actors.daemon.errors import BadAnswer, NoDaemon, WrongUsage
from callboard.actors.daemon.problems import MEDIA_TYPE, Problem
from callboard.actors.daemon.tokens import read_token
from callboard.actors.errors import InvalidField, shown

Json: TypeAlias = Any

ANSWER_S = 60.0
"""How long a client waits for an answer; the daemon itself gives up earlier."""

CONNECT_S = 5.0
"""How long it waits for a connection."""

NO_ID_REMEDY = "Give the session's id; `callboard list` shows those there are."

_RESERVED = frozenset({"count", ".", ".."})
"""Ids that would mean something else if they stood in a path as they are."""


class ProblemAnswered(Exception):
    """The daemon answered with a problem document.

    Args:
        problem: what it says.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def path_of(session_id: str, *parts: str) -> str:
    """Return the path of a session, or of something below it.

    Raises:
        InvalidField: no session can have this id.
    """
    if not session_id:  # the path would be another one: that of all sessions
        raise InvalidField("session_id", session_id, NO_ID_REMEDY)
    try:
        sent = quote(session_id, safe="")
    except UnicodeEncodeError:
        raise InvalidField("session_id", session_id, "Give text that UTF-8 can carry.") from None
    if session_id in _RESERVED:
        sent = "".join(f"%{byte:02X}" for byte in session_id.encode())
    return "/".join(("/v1/sessions", sent, *parts))


def checked_url(url: str) -> str:
    """Return where a daemon listens.

    Raises:
        WrongUsage: this is not how it is written.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        msg = f"--url {shown(url)} is not where a daemon can be"
        raise WrongUsage(msg, "Give http://127.0.0.1:PORT, as the daemon's READY line says it.")
    return url


class Client:
    """A connection to one daemon. Use it as a context manager; one thread.

    Args:
        socket: the daemon's Unix socket; or
        url: where it listens on a port,
        token_file: with the token in this file.

    Raises:
        WrongUsage: the url is none.
        TokenMissing, TokenRefused: the token cannot be read.
    """

    def __init__(
        self, socket: Path | None = None, *, url: str | None = None, token_file: Path | None = None
    ) -> None:
        headers: dict[str, str] = {}
        if url is None:
            self._where = f"unix:{socket}"
            transport = httpx.HTTPTransport(uds=str(socket))
        else:
            self._where = checked_url(url)
            transport = httpx.HTTPTransport()
            if token_file is not None:
                headers["authorization"] = f"Bearer {read_token(token_file)}"
        self._http = httpx.Client(
            base_url=url or "http://callboard",
            headers=headers,
            transport=transport,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,  # no proxy stands between us
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Json:
        """Send a request; return the answer, decoded. What is None in query or body is left out.

        Raises:
            ProblemAnswered: the daemon said no.
            NoDaemon: nobody answers there.
            BadAnswer: something else answers there.
            InvalidField: the text cannot be sent.
        """
        params = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in (query or {}).items()
            if value is not None
        }
        try:
            content = (
                None
                if body is None
                else msgspec.json.encode({k: v for k, v in body.items() if v is not None})
            )
            headers = {} if body is None else {"content-type": "application/json"}
            answer = self._http.request(
                method, path, params=params, content=content, headers=headers
            )
        except UnicodeEncodeError as error:
            raise InvalidField("text", error.object, "Give text that UTF-8 can carry.") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            msg = f"no daemon answers at {self._where}: {error}"
            raise NoDaemon(msg) from error
        except httpx.HTTPError as error:
            msg = f"{self._where} did not answer: {error!r}"
            raise BadAnswer(msg) from error
        return self._decoded(answer)

    def _decoded(self, answer: httpx.Response) -> Json:
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        try:
            if media_type == MEDIA_TYPE:
                raise ProblemAnswered(msgspec.json.decode(answer.content, type=Problem))
            if answer.is_success and media_type == "application/json":
                return msgspec.json.decode(answer.content)
        except msgspec.DecodeError as error:
            msg = f"{self._where} answered no JSON"
            raise BadAnswer(msg) from error
        msg = f"{self._where} answered {answer.status_code} {media_type}"
        raise BadAnswer(msg)
