"""The commands about a session's connections: its MCP clients, its agent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from cyclopts import App, Parameter

from callboard.actors.daemon.client import path_of
from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.program import HERE, Where, given, json_object, print_answer
from callboard.actors.daemon.showing import as_json, link_lines
from callboard.supervision.model.showing import shown
from callboard.supervision.observe.text import escaped

WORK_S = 700.0
"""How long a command waits for a connection, in seconds: longer than the daemon by itself does."""

_MARGIN_S = 30.0

Command = Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)]
Pairs = Annotated[tuple[str, ...], Parameter(negative="")]

mcp = App(name="mcp", help="Connect a session to MCP servers, and use their tools.")
agent = App(name="agent", help="Give a session an agent, and the agent something to do.")


def _wait_s(timeout_s: float | None) -> float:
    return WORK_S if timeout_s is None else max(WORK_S, timeout_s + _MARGIN_S)


def _settings(option: str, plain: Iterable[str], secret: Iterable[str]) -> dict[str, object]:
    """Return settings; those of `secret` name what the daemon looks up."""
    settings: dict[str, object] = {}
    for pairs, is_secret in ((plain, False), (secret, True)):
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not (name and equals):
                msg = f"--{'secret' if is_secret else option} {shown(pair)} is no pair"
                raise WrongUsage(msg, "Give NAME=VALUE.")
            settings[name] = {"name": value} if is_secret else value
    return settings


# -- MCP clients -----------------------------------------------------------


@mcp.command(name="add")
def add(
    session_id: str,
    client_id: str,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    env: Pairs = (),
    secret: Pairs = (),
    url: str | None = None,
    header: Pairs = (),
    where: Where = HERE,
) -> int:
    """Connect a session to an MCP server: one that is started, or one at a URL.

    Parameters
    ----------
    session_id
        Which session.
    client_id
        What the client is called in its session.
    command
        The program to start and its arguments, after --.
    env
        NAME=VALUE of the program's environment. May be given often.
    secret
        NAME=SECRET: the same (with --url: a header), looked up by the daemon in its own
        environment when the connection is opened.
    url
        Where the server is, instead of a program.
    header
        NAME=VALUE that is sent with every request to --url.
    """
    if (url is None) == (not command):
        msg = "a server is started or is there already"
        raise WrongUsage(msg, "Give either a program, after --, or --url.")
    spec: dict[str, object] = {"id": client_id}
    if url is None:
        spec |= {"command": command, "env": _settings("env", env, secret)}
    else:
        headers = _settings("header", header, secret)
        spec |= {"transport": "http", "url": url, "headers": headers}
    with where.client() as client:
        answer = client.request(
            "POST", path_of(session_id, "mcp"), body={"spec": spec}, wait_s=WORK_S
        )
    return print_answer(answer, where, link_lines({"mcp_servers": [answer]}))


@mcp.command(name="remove")
def remove(session_id: str, client_id: str, /, *, where: Where = HERE) -> int:
    """Take an MCP client away.

    Parameters
    ----------
    session_id
        Which session.
    client_id
        Which client.
    """
    with where.client() as client:
        answer = client.request("DELETE", path_of(session_id, "mcp", client_id))
    return print_answer(answer, where, [f"{escaped(answer['removed'])} is removed"])


@mcp.command(name="list")
def list_(session_id: str, /, *, where: Where = HERE) -> int:
    """Show how a session's MCP clients are.

    Parameters
    ----------
    session_id
        Which session.
    """
    with where.client() as client:
        answer = client.request("GET", path_of(session_id, "mcp"))
    return print_answer(answer, where, link_lines({"mcp_servers": answer["clients"]}))


@mcp.command(name="tools")
def tools(session_id: str, client_id: str, /, *, where: Where = HERE) -> int:
    """Show the tools of an MCP server.

    Parameters
    ----------
    session_id
        Which session.
    client_id
        Which client.
    """
    with where.client() as client:
        path = path_of(session_id, "mcp", client_id, "tools")
        answer = client.request("GET", path, wait_s=WORK_S)
    lines = [
        f"{escaped(each['name']):<20} {escaped(each['description'])}".rstrip()
        for each in answer["tools"]
    ]
    return print_answer(answer, where, lines)


@mcp.command(name="call")
def call(
    session_id: str,
    client_id: str,
    tool: str,
    /,
    *,
    using: str = "{}",
    timeout_s: float | None = None,
    where: Where = HERE,
) -> int:
    """Have an MCP server run a tool, and print its result as JSON.

    Parameters
    ----------
    session_id
        Which session.
    client_id
        Which client.
    tool
        Which tool.
    using
        What the tool is given, as a JSON object.
    timeout_s
        How long it may take. The default is 60.
    """
    body = {
        "name": tool,
        "arguments": json_object("using", using),
        "timeout_s": timeout_s,
    }
    with where.client() as client:
        path = path_of(session_id, "mcp", client_id, "calls")
        answer = client.request("POST", path, body=body, wait_s=_wait_s(timeout_s))
    return print_answer(answer, where, [as_json(answer["result"])])


# -- the agent -------------------------------------------------------------


@agent.command(name="attach")
def attach(
    session_id: str,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    kind: str = "acp",
    env: Pairs = (),
    secret: Pairs = (),
    cwd: str | None = None,
    conversation: str | None = None,
    where: Where = HERE,
) -> int:
    """Start an agent for a session.

    Parameters
    ----------
    session_id
        Which session.
    command
        The program to start and its arguments, after --.
    kind
        What it speaks.
    env
        NAME=VALUE of the program's environment. May be given often.
    secret
        NAME=SECRET: the same, looked up by the daemon in its own environment.
    cwd
        The folder it works in. The default is the session's workspace.
    conversation
        The agent's own id of a conversation that it is to load.
    """
    spec: dict[str, object] = {
        "kind": kind,
        "command": command,
        "env": _settings("env", env, secret),
        "cwd": cwd,
    }
    body = {"spec": spec, "agent_session_id": conversation}
    with where.client() as client:
        answer = client.request("POST", path_of(session_id, "agent"), body=body, wait_s=WORK_S)
    return print_answer(answer, where, link_lines({"agent": answer["agent"]}))


@agent.command(name="detach")
def detach(session_id: str, /, *, where: Where = HERE) -> int:
    """End a session's agent, with what it works on.

    Parameters
    ----------
    session_id
        Which session.
    """
    with where.client() as client:
        answer = client.request("DELETE", path_of(session_id, "agent"))
    return print_answer(answer, where, [f"{escaped(answer['id'])} has no agent"])


@agent.command(name="prompt")
def prompt(
    session_id: str,
    text: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    timeout_s: float | None = None,
    key: str | None = None,
    where: Where = HERE,
) -> int:
    """Give a session's agent something to do, and wait until it has stopped; `log` shows it.

    Parameters
    ----------
    session_id
        Which session.
    text
        What is said; - reads it from stdin.
    timeout_s
        How long the agent may take. The default is 600.
    key
        Your own key of the message that is appended.
    """
    body = {"content": given(text), "timeout_s": timeout_s, "client_msg_id": key}
    with where.client() as client:
        path = path_of(session_id, "agent", "prompts")
        answer = client.request("POST", path, body=body, wait_s=_wait_s(timeout_s))
    said = f"{escaped(answer['stop_reason'])} after message {answer['last_seq']}"
    return print_answer(answer, where, [said])


@agent.command(name="cancel")
def cancel(session_id: str, /, *, grace_s: float | None = None, where: Where = HERE) -> int:
    """Have a session's agent stop what it works on.

    Parameters
    ----------
    session_id
        Which session.
    grace_s
        How long it may take before it is killed. The default is 3.
    """
    with where.client() as client:
        path = path_of(session_id, "agent", "cancel")
        answer = client.request("POST", path, body={"grace_s": grace_s}, wait_s=_wait_s(grace_s))
    said = "was cancelled" if answer["was_busy"] else "had nothing to do"
    return print_answer(answer, where, [f"the agent {said}"])
