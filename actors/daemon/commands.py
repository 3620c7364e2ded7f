"""What can a person tell the daemon? The commands of `callboard`, over the programs' own door."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, CycloptsError, Parameter

from callboard.actors.daemon.client import Client, ProblemAnswered, path_of
from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.options import load_behaviour, read_bounds
from callboard.actors.daemon.problems import exit_code_of, problem_of
from callboard.actors.daemon.showing import (
    Answer,
    as_json,
    error_lines,
    health_lines,
    list_lines,
    message_lines,
    problem_lines,
    session_lines,
)
from callboard.actors.daemon.where import listening, meant, token_file_of
from callboard.actors.errors import InvalidField
from callboard.actors.messages import Fault
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.sessions.data import Role
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.statuses import (
    EX_INTERRUPTED,
    EX_IOERR,
    EX_OK,
    EX_UNAVAILABLE,
    EX_USAGE,
    EXIT_CODES,
    status_of,
)
from callboard.actors.system import SessionSystem
from callboard.actors.systemd import SystemdWatchdog
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.observe.logs import EventLog, SafeFormatter
from callboard.supervision.observe.text import escaped
from callboard.supervision.observe.tree import TreeNode, draw

app = App(
    name="callboard",
    help="Supervised sessions in a daemon, and the commands to talk to it.",
    help_epilogue="Exit codes:\n\n"
    + "\n".join(f"- {code}: {meaning}" for code, meaning in EXIT_CODES.items()),
    version=lambda: version("callboard"),
    version_flags=["--version"],
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the daemon is, and how the answer is shown."""

    socket: Path | None = None
    """The daemon's Unix socket. The default is $CALLBOARD_SOCKET, else the user's own."""

    url: str | None = None
    """Where the daemon listens on a port, instead of a socket: http://127.0.0.1:PORT.
    The default is $CALLBOARD_URL."""

    token_file: Path | None = None
    """The file with the token that a port wants. The default is $CALLBOARD_TOKEN_FILE,
    else the user's own."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print the answer as one line of JSON."""

    def client(self) -> Client:
        """Return a connection to the daemon."""
        place = meant(self.socket, self.url)
        if isinstance(place, Path):
            return Client(place)
        return Client(url=place, token_file=token_file_of(self.token_file))


HERE = Where()


# -- the daemon ------------------------------------------------------------


@app.command
def serve(
    *,
    socket: Path | None = None,
    port: int | None = None,
    host: str = "127.0.0.1",
    token_file: Path | None = None,
    faults: Annotated[bool, Parameter(negative="")] = False,
    session: str | None = None,
    app_dir: Path | None = None,
    partitions: int | None = None,
    tenants: Annotated[bool, Parameter(negative="")] = False,
    unique_role: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> int:
    """Run the daemon until SIGTERM or SIGINT; a second signal forces it.

    Whoever may connect may act for every user: one daemon is one trust domain.

    Parameters
    ----------
    socket
        Listen on this Unix socket. The default is $CALLBOARD_SOCKET, else the user's own.
    port
        Listen on this port of the machine instead; 0 takes a free one. Wants a token.
    host
        Which loopback address the port is on.
    token_file
        Where the token of the port is; made if need be. The default is
        $CALLBOARD_TOKEN_FILE, else beside the default socket.
    faults
        Let clients make sessions and parts of the tree crash.
    session
        MODULE:CLASS of the sessions' behaviour, a SessionActor. The module is looked for in
        --app-dir first.
    app_dir
        The folder with the module of --session. The default is the current directory.
    partitions
        Over how many supervisors the sessions are spread. The default is 2 per processor.
    tenants
        Take only sessions that name a user and an organisation.
    unique_role
        Take a user's session only if none of the user's others plays its role.
    set_
        A bound by its name, NAME=VALUE, of DaemonSettings, SessionLimits, Keeping or
        Settings: max_idle_s=600, passivate_after_s=60, awake_max=10000. May be given often.
    log_level
        What is logged to stderr.
    """
    from callboard.actors.daemon.doors import open_port, open_unix  # noqa: PLC0415 -- as below
    from callboard.actors.daemon.service import Daemon, run  # noqa: PLC0415 -- 0.3 s of framework

    place = listening(socket, port)
    bounds = read_bounds(set_)
    settings = bounds.daemon
    log = _logs(log_level)
    sessions = SessionSystem(
        SessionActor if session is None else load_behaviour(session, app_dir or Path()),
        limits=bounds.limits,
        keeping=bounds.keeping,
        settings=bounds.runtime,
        partitions=partitions,
        tenants=tenants,
        unique_role=unique_role,
        faults=faults,
        watchdog=SystemdWatchdog.from_environment(),
        on_event=log,
    )
    if isinstance(place, Path):
        door = open_unix(place, backlog=settings.backlog)
    else:
        token = token_file_of(token_file)
        door = open_port(host, place, token_file=token, backlog=settings.backlog)
    with door:
        code = run(Daemon(sessions, door, settings=settings, faults=faults))
    log.flush()
    return code


def _logs(level: str) -> EventLog:
    """Log to stderr: the daemon is the host, so it decides about logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("callboard").setLevel(level.upper())
    return EventLog()


@app.command
def openapi(*, faults: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Print the OpenAPI description. Needs no daemon.

    Parameters
    ----------
    faults
        With what a daemon offers that was started with --faults.
    """
    from callboard.actors.daemon.description import describe  # noqa: PLC0415 -- seldom needed
    from callboard.actors.daemon.routes import routes  # noqa: PLC0415 -- as above

    said = msgspec.json.encode(describe(routes(faults=faults)))
    _print([msgspec.json.format(said, indent=2).decode()])
    return EX_OK


# -- sessions --------------------------------------------------------------


@app.command
def create(
    *,
    user_id: str | None = None,
    org_id: str | None = None,
    role: str | None = None,
    kind: str | None = None,
    session_id: Annotated[str | None, Parameter(name="--id")] = None,
    metadata: str | None = None,
    key: str | None = None,
    where: Where = HERE,
) -> int:
    """Create a session and print its id.

    Parameters
    ----------
    user_id
        Whose it is.
    org_id
        The user's organisation.
    role
        The part it plays.
    kind
        Which of the daemon's behaviours runs it.
    session_id
        An id of your choice. The default is a new UUIDv7.
    metadata
        Notes, as a JSON object.
    key
        An idempotency key: repeated with the same content nothing more is created.
    """
    body = {
        "user_id": user_id,
        "org_id": org_id,
        "agent_role": role,
        "kind": kind,
        "session_id": session_id,
        "metadata": None if metadata is None else _json_object("metadata", metadata),
        "idempotency_key": key,
    }
    with where.client() as client:
        answer = client.request("POST", "/v1/sessions", body=body)
    return _show(answer, where, [escaped(answer["id"])])


@app.command
def send(
    session_id: str,
    text: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    role: Role = Role.USER,
    key: str | None = None,
    where: Where = HERE,
) -> int:
    """Append a message to a session and print its number.

    Parameters
    ----------
    session_id
        Which session.
    text
        What it says; - reads it from stdin.
    role
        Who wrote it.
    key
        Your own key of this message: repeated it is appended once.
    """
    if text == "-":
        text = sys.stdin.read()
    body = {"role": role.value, "content": text, "client_msg_id": key}
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "messages"), body=body)
    return _show(answer, where, [str(answer["seq"])])


@app.command
def show(session_id: str, /, *, messages: int = 10, where: Where = HERE) -> int:
    """Show a session and the last of its messages.

    Parameters
    ----------
    session_id
        Which session.
    messages
        How many messages.
    """
    with where.client() as client:
        answer = client.request("GET", path_of(session_id), query={"messages": messages})
    return _show(answer, where, session_lines(answer))


@app.command
def log(session_id: str, /, *, after_seq: int = 0, limit: int = 1_000, where: Where = HERE) -> int:
    """Show a part of a session's messages, from the first on.

    Parameters
    ----------
    session_id
        Which session.
    after_seq
        What follows this number.
    limit
        How many at most.
    """
    with where.client() as client:
        query = {"after_seq": after_seq, "limit": limit}
        answer = client.request("GET", path_of(session_id, "messages"), query=query)
    return _show(answer, where, message_lines(answer["messages"]))


@app.command(name="list")
def list_(
    *,
    user_id: str | None = None,
    org_id: str | None = None,
    role: str | None = None,
    state: SessionState | None = None,
    presence: Presence | None = None,
    idle_longer_than_s: float | None = None,
    after_id: str | None = None,
    limit: int = 100,
    where: Where = HERE,
) -> int:
    """List sessions in the order of their ids.

    Parameters
    ----------
    user_id
        Whose.
    org_id
        Of which organisation.
    role
        Playing which part.
    state
        In which state.
    presence
        In which presence.
    idle_longer_than_s
        Not active for longer than this.
    after_id
        What follows this id.
    limit
        How many at most.
    """
    query = {
        "user_id": user_id,
        "org_id": org_id,
        "agent_role": role,
        "state": None if state is None else state.value,
        "presence": None if presence is None else presence.value,
        "idle_longer_than_s": idle_longer_than_s,
        "after_id": after_id,
        "limit": limit,
    }
    with where.client() as client:
        answer = client.request("GET", "/v1/sessions", query=query)
    lines = list(list_lines(answer["sessions"]))
    if answer["next_after_id"] is not None:
        lines.append(f"more: --after-id {escaped(answer['next_after_id'])}")
    return _show(answer, where, lines)


@app.command
def end(
    session_id: str, /, *, reason: str = "", grace_s: float | None = None, where: Where = HERE
) -> int:
    """End a session and clean up after it.

    Parameters
    ----------
    session_id
        Which session.
    reason
        Why, for people.
    grace_s
        How long the cleanup may take.
    """
    query = {"reason": reason or None, "grace_s": grace_s}
    with where.client() as client:
        answer = client.request("DELETE", path_of(session_id), query=query)
    said = f"ended after {answer['message_count']} messages"
    return _show(answer, where, [f"{escaped(answer['id'])} {said}"])


@app.command
def crash(
    session_id: str | None = None,
    /,
    *,
    part: str | None = None,
    how: Fault = Fault.EXCEPTION,
    where: Where = HERE,
) -> int:
    """Make a session, or a part of the tree, crash, to see that it heals. Needs serve --faults.

    Parameters
    ----------
    session_id
        Which session; or
    part
        which part of the tree, by its path below the root: front/manager, sessions/3.
    how
        In which way.
    """
    if (session_id is None) == (part is None):
        msg = "one crash has one target"
        raise WrongUsage(msg, "Give either a session's id or --part.")
    body = {"session_id": session_id, "part": part, "how": how.value}
    with where.client() as client:
        answer = client.request("POST", "/v1/faults", body=body)
    return _show(answer, where, [f"{escaped(answer['struck'])} was struck: {how.value}"])


@app.command
def revive(session_id: str, /, *, patch: str | None = None, where: Where = HERE) -> int:
    """Start a session that is quarantined or asleep, and say how it is then.

    A session whose actor crashes too often is quarantined: kept, but not run. `show` says
    what it crashed on; mend that, or replace with --patch what it stumbled over.

    Parameters
    ----------
    session_id
        Which session.
    patch
        What to replace before it starts, as a JSON object: metadata, variables,
        system_prompt, client_capabilities.
    """
    body = {"patch": None if patch is None else _json_object("patch", patch)}
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "revive"), body=body)
    return _show(answer, where, [f"{escaped(answer['id'])} is {answer['presence']}"])


# -- the whole -------------------------------------------------------------


@app.command
def tree(*, where: Where = HERE) -> int:
    """Show the living supervision tree: incarnations, restarts, mailbox sizes."""
    with where.client() as client:
        answer = client.request("GET", "/v1/tree")
    return _show(answer, where, [draw(msgspec.convert(answer, TreeNode))])


@app.command
def health(*, where: Where = HERE) -> int:
    """Say how the sessions are; the exit code is 69 when a part of the tree does not run."""
    with where.client() as client:
        answer = client.request("GET", "/v1/health")
    _show(answer, where, health_lines(answer))
    return EX_OK if answer["is_healthy"] else EX_UNAVAILABLE


# -- saying it -------------------------------------------------------------


def _show(answer: Answer, where: Where, lines: Iterable[str]) -> int:
    _print([as_json(answer)] if where.json else lines)
    return EX_OK


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _json_object(field: str, text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise InvalidField(field, text, "Give a JSON object.") from error


def run(arguments: Sequence[str]) -> int:
    """Carry out a command; return its exit code, and never show a traceback."""
    # A terminal that cannot show a character must not end the command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    wants_json = "--json" in arguments
    try:
        return _result(
            app(
                list(arguments),
                exit_on_error=False,
                print_error=True,
                result_action="return_value",
            )
        )
    except CycloptsError:
        return EX_USAGE
    except ProblemAnswered as answered:
        problem = answered.problem
        _complain([as_json(msgspec.to_builtins(problem))] if wants_json else problem_lines(problem))
        return exit_code_of(problem)
    except CallboardError as error:
        said = [as_json(msgspec.to_builtins(problem_of(error)))]
        _complain(said if wants_json else error_lines(error))
        return status_of(error).exit_code
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_IOERR
    except KeyboardInterrupt:
        return EX_INTERRUPTED


def _complain(lines: Iterable[str]) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _result(code: object) -> int:
    return code if isinstance(code, int) else EX_OK
