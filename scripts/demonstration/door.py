"""What does a client ask the daemon? Each kind of request as a method; a refusal as an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from scripts.demonstration.wire import Answer, Wire

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document, as far as a client needs it.

    Args:
        code: what is wrong, for programs.
        detail: what is wrong, for people.
        is_retryable: whether the same request may succeed later.
        is_outcome_known: whether it is certain that the request had no effect.
    """

    code: str
    detail: str = ""
    is_retryable: bool = False
    is_outcome_known: bool = True


class RefusedError(Exception):
    """The daemon answered with a problem.

    Args:
        problem: which.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session, as far as a client needs it.

    Args:
        id: its id.
        message_count: how many messages it holds.
        presence: awake, asleep, restarting or quarantined.
        restarts: how many of its incarnations the daemon saw crash.
        workspace: path of its folder.
    """

    id: str
    message_count: int
    presence: str
    restarts: int
    workspace: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a log.

    Args:
        seq: its number.
        role: who wrote it.
        content: what it says.
        client_msg_id: the sender's key.
    """

    seq: int
    role: str
    content: str
    client_msg_id: str | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One actor of the tree.

    Args:
        path: where it stands, from the root.
        kind: supervisor or worker.
        state: running, when all is well.
        incarnation: which of its lives this is.
        children: those that are shown.
    """

    path: str
    kind: str
    state: str
    incarnation: int
    children: tuple[Node, ...] = ()


class _Appended(msgspec.Struct, frozen=True):
    seq: int


class _Prompt(msgspec.Struct, frozen=True):
    prompt: str | None


class _Page(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    last_seq: int


class _Sessions(msgspec.Struct, frozen=True):
    sessions: tuple[Session, ...]
    next_after_id: str | None = None


class _Health(msgspec.Struct, frozen=True):
    is_healthy: bool


class _Ended(msgspec.Struct, frozen=True):
    ids: tuple[str, ...]


class Door:
    """A client's connections to one daemon.

        async with Door(socket) as door:
            ada = await door.create(key="ada", user_id="ada")

    Args:
        socket: path of the daemon's Unix socket.
        lost_key: a message's key: its append is lost on the way and acknowledged all
            the same, as by a daemon that forgets. For `--sabotage`.
    """

    def __init__(self, socket: Path, *, lost_key: str | None = None) -> None:
        self._socket = socket
        self._lost_key = lost_key
        self._idle: list[Wire] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for wire in self._idle:
            wire.close()
        self._idle.clear()

    async def create(self, *, key: str, user_id: str) -> Session:
        """Create a session; repeated with the same key it creates nothing more."""
        body = {"user_id": user_id, "org_id": "chatterbot", "idempotency_key": key}
        return await self._call("POST", "/v1/sessions", Session, body)

    async def append(self, session_id: str, *, role: str, content: str, key: str) -> int:
        """Append a message; return its number. Repeated with the same key it adds nothing."""
        path = f"/v1/sessions/{quote(session_id, safe='')}/messages"
        body = {"role": role, "content": content, "client_msg_id": key}
        return (await self._call("POST", path, _Appended, body)).seq

    async def touch(self, session_id: str) -> None:
        """Give a sign of life; it wakes a session that is asleep."""
        await self._call("POST", f"/v1/sessions/{quote(session_id, safe='')}/activity", object)

    async def set_prompt(self, session_id: str, prompt: str) -> None:
        """Give a session the prompt that it is to work under."""
        path = f"/v1/sessions/{quote(session_id, safe='')}/system-prompt"
        await self._call("PUT", path, _Prompt, {"prompt": prompt})

    async def prompt(self, session_id: str) -> str | None:
        """Return the prompt that a session works under."""
        path = f"/v1/sessions/{quote(session_id, safe='')}/system-prompt"
        return (await self._call("GET", path, _Prompt)).prompt

    async def revive(self, session_id: str) -> None:
        """Start a session again that is quarantined."""
        await self._call("POST", f"/v1/sessions/{quote(session_id, safe='')}/revive", object)

    async def messages(self, session_id: str) -> tuple[Message, ...]:
        """Return a session's whole log."""
        path = f"/v1/sessions/{quote(session_id, safe='')}/messages"
        found: list[Message] = []
        while True:
            query = urlencode({"after_seq": found[-1].seq if found else 0})
            page = await self._call("GET", f"{path}?{query}", _Page)
            found += page.messages
            if not page.messages or found[-1].seq >= page.last_seq:
                return tuple(found)

    async def sessions(self) -> tuple[Session, ...]:
        """Return all sessions."""
        found: list[Session] = []
        query: dict[str, object] = {"limit": 1000}
        while True:
            page = await self._call("GET", f"/v1/sessions?{urlencode(query)}", _Sessions)
            found += page.sessions
            if page.next_after_id is None:
                return tuple(found)
            query["after_id"] = page.next_after_id

    async def strike(
        self, *, how: str, session_id: str | None = None, part: str | None = None
    ) -> None:
        """Make a session or a part of the tree crash."""
        body = {"how": how, "session_id": session_id, "part": part}
        await self._call("POST", "/v1/faults", object, body)

    async def end_all(self) -> int:
        """End every session; return how many there were."""
        body = {"idle_longer_than_s": 0}
        return len((await self._call("POST", "/v1/cleanup", _Ended, body)).ids)

    async def tree(self) -> Node:
        """Return the living tree."""
        return await self._call("GET", "/v1/tree", Node)

    async def is_healthy(self) -> bool:
        """Say whether every part of the tree runs."""
        return (await self._call("GET", "/v1/health", _Health)).is_healthy

    async def _call(self, method: str, target: str, reply: type[T], body: object = None) -> T:
        answer = await self._send(
            method, target, b"" if body is None else msgspec.json.encode(body)
        )
        if answer.is_success:
            return msgspec.json.decode(answer.body, type=reply)
        try:
            problem = msgspec.json.decode(answer.body, type=Problem)
        except msgspec.DecodeError:
            # No problem document: that is a defect of the daemon, and nothing to repeat.
            problem = Problem(code=f"http_{answer.status}", detail=repr(answer.body[:200]))
        raise RefusedError(problem)

    async def _send(self, method: str, target: str, body: bytes) -> Answer:
        if self._lost_key is not None and target.endswith("/messages") and body:
            key = msgspec.json.decode(body, type=dict[str, str])["client_msg_id"]
            if key == self._lost_key:
                return Answer(201, msgspec.json.encode({"seq": int(key.rpartition(":")[2])}))
        wire = await self._wire()
        try:
            answer = await wire.request(method, target, body)
        except BaseException:
            wire.close()  # what it would read next might be the answer to this request
            raise
        if wire.is_usable:
            self._idle.append(wire)
        else:
            wire.close()
        return answer

    async def _wire(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable:
                return wire
            wire.close()
        return await Wire.open(self._socket)
