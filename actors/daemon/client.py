"""How does a program talk to the daemon? One request, one answer, over the door it listens on."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias
from urllib.parse import quote

import httpx
import msgspec

from callboard.actors.daemon.errors import BadAnswer, NoDaemon, WrongUsage
from callboard.actors.daemon.media import LINES
from callboard.actors.daemon.problems import MEDIA_TYPE, Problem
from callboard.actors.daemon.tokens import read_token
from callboard.actors.errors import InvalidField
from callboard.actors.storage.lines import problem_in
from callboard.supervision.model.showing import shown

Json: TypeAlias = Any

EVENT_STREAM = "text/event-stream"

EVENT_BYTES_MAX = 16_777_216
"""Bytes that one event of a stream may have."""

ANSWER_S = 60.0
"""How long a client waits for an answer; the daemon itself gives up earlier."""

CONNECT_S = 5.0
"""How long it waits for a connection."""

NO_ID_REMEDY = "Give the session's id; `callboard list` shows those there are."

_RESERVED = frozenset({"count", ".", ".."})
"""Ids that would mean something else if they stood in a path as they are."""


class Told(NamedTuple):
    """One event of a stream.

    Args:
        name: which kind.
        data: what it holds.
    """

    name: str
    data: Json


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
    if not all(parts):
        raise InvalidField("client_id", "", "Give the client's id; `callboard mcp list` shows it.")
    return "/".join(("/v1/sessions", *(_quoted(each) for each in (session_id, *parts))))


def _quoted(step: str) -> str:
    try:
        sent = quote(step, safe="")
    except UnicodeEncodeError:
        raise InvalidField("session_id", step, "Give text that UTF-8 can carry.") from None
    return "".join(f"%{byte:02X}" for byte in step.encode()) if step in _RESERVED else sent


def checked_url(url: str) -> str:
    """Return where a daemon listens.

    Raises:
        WrongUsage: this is not how it is written.
    """
    try:
        parsed = httpx.URL(url)
        # What no name server can be asked for is found out here, not where it is connected.
        is_right = parsed.scheme in {"http", "https"} and bool(parsed.host.encode("idna"))
    except (httpx.InvalidURL, UnicodeError):
        is_right = False
    if not is_right:
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
        keeps_none: bool = False,
        wait_s: float = ANSWER_S,
    ) -> Json:
        """Send a request; return the answer, decoded. What is None in query or body is left out.

        Args:
            method: of HTTP.
            path: where.
            query: what stands after the question mark.
            body: what is sent.
            keeps_none: whether None in the body means null.
            wait_s: how long to wait for the answer.

        Returns:
            What JSON says, or a text.

        Raises:
            ProblemAnswered: the daemon said no.
            NoDaemon: nobody answers there.
            BadAnswer: something else answers there.
            InvalidField: the text cannot be sent.
        """
        try:
            content = None
            if body is not None:
                sent = {k: v for k, v in body.items() if keeps_none or v is not None}
                content = msgspec.json.encode(sent)
            headers = {} if body is None else {"content-type": "application/json"}
            with self._answering():
                answer = self._http.request(
                    method,
                    path,
                    params=_params(query),
                    content=content,
                    headers=headers,
                    timeout=httpx.Timeout(wait_s, connect=CONNECT_S),
                )
        except UnicodeEncodeError as error:
            raise InvalidField("text", error.object, "Give text that UTF-8 can carry.") from None
        return self._decoded(answer)

    def stream(self, path: str, *, query: Mapping[str, object] | None = None) -> Iterator[Told]:
        """Yield what a stream tells, until it ends; without a bound in time.

        Raises:
            ProblemAnswered: the daemon said no, or its last event was a problem.
            NoDaemon: nobody answers there.
            BadAnswer: something else answers there, or the stream broke off.
        """
        # No bound on the silence: how often a stream says that it lives is the daemon's setting.
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        with (
            self._answering(),
            self._http.stream("GET", path, params=_params(query), timeout=timeout) as answer,
        ):
            if answer.headers.get("content-type", "").partition(";")[0] != EVENT_STREAM:
                answer.read()
                self._decoded(answer)
            for each in _events(answer.iter_bytes()):
                if each.name == "end":
                    return
                if each.name == "problem":
                    raise ProblemAnswered(msgspec.convert(each.data, Problem))
                yield each
        msg = f"{self._where} broke off"
        raise BadAnswer(msg)

    def download(self, path: str, *, query: Mapping[str, object] | None = None) -> Iterator[bytes]:
        """Yield the lines of an answer, as they come; without a bound in time.

        Raises:
            ProblemAnswered: the daemon said no, or its last line is that it cannot go on.
            NoDaemon: nobody answers there.
            BadAnswer: something else answers there, or the answer broke off.
        """
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        with (
            self._answering(),
            self._http.stream("GET", path, params=_params(query), timeout=timeout) as answer,
        ):
            if answer.headers.get("content-type", "").partition(";")[0] != LINES:
                answer.read()
                self._decoded(answer)
                return
            for line in _lines(answer.iter_bytes()):
                problem = problem_in(line)
                if problem is not None:
                    raise ProblemAnswered(msgspec.json.decode(problem, type=Problem))
                yield line

    def upload(self, path: str, parts: Iterable[bytes], *, wait_s: float) -> Json:
        """Send JSON Lines as they come; return the answer, decoded.

        Raises:
            ProblemAnswered: the daemon said no.
            NoDaemon: nobody answers there.
            BadAnswer: something else answers there.
        """
        timeout = httpx.Timeout(wait_s, connect=CONNECT_S)
        with self._answering():
            answer = self._http.post(
                path, content=parts, headers={"content-type": LINES}, timeout=timeout
            )
        return self._decoded(answer)

    @contextmanager
    def _answering(self) -> Generator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            msg = f"no daemon answers at {self._where}: {error}"
            raise NoDaemon(msg) from error
        except httpx.InvalidURL as error:
            msg = f"what is asked for is too long for a URL: {error}"
            raise WrongUsage(msg, "Give shorter ids and options.") from None
        except httpx.HTTPError as error:
            msg = f"{self._where} did not answer: {error!r}"
            raise BadAnswer(msg) from error

    def _decoded(self, answer: httpx.Response) -> Json:
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        try:
            if media_type == MEDIA_TYPE:
                raise ProblemAnswered(msgspec.json.decode(answer.content, type=Problem))
            if answer.is_success and media_type == "application/json":
                return msgspec.json.decode(answer.content)
            if answer.is_success and media_type == "text/plain":
                return answer.text
        except msgspec.DecodeError as error:
            msg = f"{self._where} answered no JSON"
            raise BadAnswer(msg) from error
        msg = f"{self._where} answered {answer.status_code} {media_type}"
        raise BadAnswer(msg)


def _params(query: Mapping[str, object] | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of an answer, each with its end."""
    rest: list[bytes] = []
    for part in parts:
        *whole, last = part.split(b"\n")
        for line in whole:
            yield b"".join((*rest, line, b"\n"))
            rest.clear()
        rest.append(last)
    if any(rest):
        yield b"".join(rest)


def _events(parts: Iterable[bytes]) -> Iterator[Told]:
    """Yield the events of a stream, split by hand: JSON may hold more that ends a line."""
    rest, name, data = b"", "", b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > EVENT_BYTES_MAX:
            msg = f"an event has more than {EVENT_BYTES_MAX} bytes"
            raise BadAnswer(msg)
        for line in lines:
            field, _, value = line.partition(b": ")
            if field == b"event":
                name = value.decode()
            elif field == b"data":
                data = value
            elif not line and name:
                yield Told(name, msgspec.json.decode(data))
                name, data = "", b""
