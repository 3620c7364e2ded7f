"""What can a person tell the daemon? The commands of `callboard`, over the programs' own door."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import CycloptsError, Parameter

from callboard.actors.allocator import keep_little
from callboard.actors.daemon.client import ProblemAnswered, path_of
from callboard.actors.daemon.config import NOTHING, LogLevel, as_given, read_config, replaced
from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.link_commands import WORK_S, agent, mcp
from callboard.actors.daemon.options import read_bounds
from callboard.actors.daemon.problems import exit_code_of, problem_of
from callboard.actors.daemon.program import (
    HERE,
    Where,
    app,
    given,
    json_object,
    print_answer,
    say,
)
from callboard.actors.daemon.showing import (
    as_json,
    error_lines,
    health_lines,
    list_lines,
    message_lines,
    problem_lines,
    session_lines,
)
from callboard.actors.daemon.store_commands import store as store_
from callboard.actors.daemon.stores import refuse_password
from callboard.actors.daemon.watch_commands import follow, metrics, watch
from callboard.actors.messages import Fault
from callboard.actors.sessions.data import Role
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.statuses import (
    EX_INTERRUPTED,
    EX_IOERR,
    EX_NOINPUT,
    EX_OK,
    EX_UNAVAILABLE,
    EX_USAGE,
    status_of,
)
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.observe.logs import EventLog, SafeFormatter
from callboard.supervision.observe.text import escaped
from callboard.supervision.observe.tree import TreeNode, draw

# -- the daemon ------------------------------------------------------------


@app.command
def serve(
    *,
    config: Path | None = None,
    socket: Path | None = None,
    port: int | None = None,
    host: str | None = None,
    token_file: Path | None = None,
    faults: Annotated[bool, Parameter(negative="")] = False,
    session: str | None = None,
    app_dir: Path | None = None,
    partitions: int | None = None,
    tenants: Annotated[bool, Parameter(negative="")] = False,
    unique_role: Annotated[bool, Parameter(negative="")] = False,
    workspace: Path | None = None,
    store: str | None = None,
    audit: Path | None = None,
    audit_required: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    log_level: LogLevel | None = None,
) -> int:
    """Run the daemon until SIGTERM or SIGINT; a second signal forces it.

    Whoever may connect may act for every user: one daemon is one trust domain.

    Parameters
    ----------
    config
        A TOML file that says what the options below say, by their names with _ for -, and
        bounds in a table [set]. What stands in the command comes before it.
    socket
        Listen on this Unix socket. The default is $CALLBOARD_SOCKET, else the user's own.
    port
        Listen on this port of the machine instead; 0 takes a free one. Wants a token.
    host
        Which loopback address the port is on. The default is 127.0.0.1.
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
    workspace
        Give every session a folder of its own below this one, removed when it ends.
    store
        Keep the sessions in this file, or in a database, postgresql://HOST/NAME: they are there
        again after a crash of the daemon or of the machine. The default is $CALLBOARD_STORE, else
        they live in memory, and end with the daemon.
    audit
        Append a record of what is done to sessions to this file, one JSON object a line.
    audit_required
        Refuse an operation that cannot be recorded. Needs --audit.
    set_
        A bound by its name, NAME=VALUE, of DaemonSettings, SessionLimits, Keeping or
        Settings: max_idle_s=600, passivate_after_s=60, awake_max=10000,
        memory_max_bytes=2000000000. May be given often.
    log_level
        What is logged to stderr. The default is info.
    """
    from callboard.actors.daemon.hosting import host_sessions  # noqa: PLC0415 -- 0.3 s of framework

    refuse_password(store)
    said: dict[str, object] = {
        "socket": _text(socket),
        "port": port,
        "host": host,
        "token_file": _text(token_file),
        "faults": faults or None,
        "session": session,
        "app_dir": _text(app_dir),
        "partitions": partitions,
        "tenants": tenants or None,
        "unique_role": unique_role or None,
        "workspace": _text(workspace),
        "store": store,
        "audit": _text(audit),
        "audit_required": audit_required or None,
        "log_level": log_level,
    }
    wanted = replaced(NOTHING if config is None else read_config(config), said)
    bounds = read_bounds([*as_given(wanted.set), *set_])
    log = _logs(wanted.log_level)
    keep_little()
    code = host_sessions(wanted, bounds, on_event=log)
    log.flush()
    return code


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


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
    say([msgspec.json.format(said, indent=2).decode()])
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
    activate: bool = True,
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
        An idempotency key: repeated with the same content nothing more is created, and the first
        answer is given again, also when that session has ended since.
    activate
        Have it spawned at once; else `begin`, or the first message to it, does.
    """
    body = {
        "user_id": user_id,
        "org_id": org_id,
        "agent_role": role,
        "kind": kind,
        "session_id": session_id,
        "metadata": None if metadata is None else json_object("metadata", metadata),
        "idempotency_key": key,
        "activate": activate,
    }
    with where.client() as client:
        answer = client.request("POST", "/v1/sessions", body=body, wait_s=WORK_S)
    return print_answer(answer, where, [escaped(answer["id"])])


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
    body = {"role": role.value, "content": given(text), "client_msg_id": key}
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "messages"), body=body)
    return print_answer(answer, where, [str(answer["seq"])])


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
    return print_answer(answer, where, session_lines(answer))


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
    return print_answer(answer, where, message_lines(answer["messages"]))


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
    return print_answer(answer, where, lines)


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
        answer = client.request("DELETE", path_of(session_id), query=query, wait_s=WORK_S)
    said = f"ended after {answer['message_count']} messages"
    return print_answer(answer, where, [f"{escaped(answer['id'])} {said}"])


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
    return print_answer(answer, where, [f"{escaped(answer['struck'])} was struck: {how.value}"])


@app.command
def begin(session_id: str, /, *, where: Where = HERE) -> int:
    """Go on with a session that was created with `activate` false.

    Parameters
    ----------
    session_id
        Which session.
    """
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "begin"), wait_s=WORK_S)
    return print_answer(answer, where, [f"{escaped(answer['id'])} is {answer['state']}"])


@app.command
def sleep(session_id: str, /, *, where: Where = HERE) -> int:
    """Put a session to sleep that has nothing to do; the next message wakes it.

    Parameters
    ----------
    session_id
        Which session.
    """
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "passivate"))
    return print_answer(answer, where, [f"{escaped(answer['id'])} is {answer['presence']}"])


@app.command
def resume(session_id: str, /, *, where: Where = HERE) -> int:
    """Wake a session that sleeps, its connections too.

    Parameters
    ----------
    session_id
        Which session.
    """
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "resume"), wait_s=WORK_S)
    return print_answer(answer, where, [f"{escaped(answer['id'])} is {answer['presence']}"])


@app.command
def find(role: str, /, *, user_id: str | None = None, where: Where = HERE) -> int:
    """Print the id of the oldest session that plays a part; the exit code is 66 if none does.

    Parameters
    ----------
    role
        The part.
    user_id
        Of which user. The default is anybody.
    """
    query = {"agent_role": role, "user_id": user_id}
    with where.client() as client:
        answer = client.request("GET", "/v1/find", query=query)
    found = answer["session"]
    print_answer(answer, where, [] if found is None else [escaped(found["id"])])
    return EX_NOINPUT if found is None else EX_OK


@app.command
def system_prompt(
    session_id: str,
    text: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    remove: Annotated[bool, Parameter(negative="")] = False,
    where: Where = HERE,
) -> int:
    """Print the prompt that a session works under; or replace it.

    Parameters
    ----------
    session_id
        Which session.
    text
        The new one; - reads it from stdin.
    remove
        Take the prompt away.
    """
    if remove and text is not None:
        msg = "a prompt cannot be given and taken away at once"
        raise WrongUsage(msg, "Give either a text or --remove.")
    path = path_of(session_id, "system-prompt")
    with where.client() as client:
        if text is None and not remove:
            answer = client.request("GET", path)
        else:
            body = {"prompt": None if text is None else given(text)}
            answer = client.request("PUT", path, body=body, keeps_none=True)
    prompt = answer["prompt"]
    lines = [] if prompt is None else [escaped(prompt, keeps_lines=True)]
    return print_answer(answer, where, lines)


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
    body = {"patch": None if patch is None else json_object("patch", patch)}
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "revive"), body=body, wait_s=WORK_S)
    return print_answer(answer, where, [f"{escaped(answer['id'])} is {answer['presence']}"])


# -- the whole -------------------------------------------------------------


@app.command
def tree(*, where: Where = HERE) -> int:
    """Show the living supervision tree: incarnations, restarts, mailbox sizes."""
    with where.client() as client:
        answer = client.request("GET", "/v1/tree")
    return print_answer(answer, where, [draw(msgspec.convert(answer, TreeNode))])


@app.command
def health(*, where: Where = HERE) -> int:
    """Say how the sessions are; the exit code is 69 when a part of the tree does not run."""
    with where.client() as client:
        answer = client.request("GET", "/v1/health")
    print_answer(answer, where, health_lines(answer))
    return EX_OK if answer["is_healthy"] else EX_UNAVAILABLE


for _more in (mcp, agent, store_, watch, follow, metrics):
    app.command(_more)


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
