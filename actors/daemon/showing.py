"""How does a person see an answer? As lines of text in which nothing can steer the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from callboard.actors.daemon.problems import Problem
from callboard.actors.sessions.relief import MemoryPressure
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.observe.text import escaped

Answer: TypeAlias = Mapping[str, Any]

_SESSION_FIELDS = (
    "id",
    "kind",
    "user_id",
    "org_id",
    "agent_role",
    "state",
    "state_reason",
    "presence",
    "restarts",
    "last_error",
    "failed_on",
    "workspace",
    "message_count",
    "version",
    "system_prompt",
    "metadata",
    "variables",
    "data",
)
_TIMES = ("created_at", "last_active_at")


def as_json(answer: object) -> str:
    """Return an answer as one line of JSON in plain ASCII, safe for programs and terminals."""
    said = json.dumps(answer, ensure_ascii=True, separators=(",", ":"))
    return said.replace("\x7f", "\\u007f")  # the one control character that JSON leaves alone


def session_lines(session: Answer) -> Iterator[str]:
    """Yield a session as a person reads it: a line for each field that says something."""
    for name in _SESSION_FIELDS:
        value = session.get(name)
        if value not in (None, "", {}, 0) or name == "message_count":
            yield f"{name:<15} {_text(value)}"
    yield from link_lines(session)
    for name in _TIMES:
        yield f"{name:<15} {moment(session.get(name, 0.0))}"
    messages = session.get("messages") or ()
    if messages:
        yield ""
        yield from message_lines(messages)


def link_lines(session: Answer) -> Iterator[str]:
    """Yield how the connections of a session are, a line each."""
    for each in session.get("mcp_servers") or ():
        yield f"{'mcp':<15} {_link(each['id'], each)}"
    agent, client = session.get("agent"), session.get("client")
    if agent is not None:
        busy = ", works on a prompt" if agent["is_busy"] else ""
        yield f"{'agent':<15} {_link(agent['kind'], agent)}{busy}"
    if client is not None:
        yield f"{'client':<15} {_link(client['peer'] or client['kind'], client)}"


def _link(name: str, link: Answer) -> str:
    said = f"{escaped(name)} {link['status']}"
    if link.get("restarts"):
        said += f", {link['restarts']} restarts"
    return f"{said}: {escaped(link['error'])}" if link.get("error") else said


def event_line(event: Answer) -> str:
    """Return an event of a session as a person reads it."""
    details = " ".join(f"{name}={_text(value)}" for name, value in event["details"].items())
    return (
        f"{moment(event['at'])} {escaped(event['session_id'])} {event['kind']} {details}".rstrip()
    )


def message_lines(messages: Iterable[Answer]) -> Iterator[str]:
    """Yield messages, each with its number and who wrote it; further lines are indented."""
    for message in messages:
        head = f"{message['seq']:>5} {message['role']:<9} "
        content = escaped(message["content"], keeps_lines=True)
        yield head + content.replace("\n", "\n" + " " * len(head))


def list_lines(sessions: Iterable[Answer]) -> Iterator[str]:
    """Yield sessions as a table."""
    rows = [("ID", "STATE", "PRESENCE", "USER", "ROLE", "MESSAGES", "RESTARTS", "LAST ACTIVE")]
    rows += [
        (
            escaped(each["id"]),
            each["state"],
            each["presence"],
            escaped(each["user_id"] or "-"),
            escaped(each["agent_role"] or "-"),
            str(each["message_count"]),
            str(each["restarts"]),
            moment(each["last_active_at"]),
        )
        for each in sessions
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


_COUNTED = {
    "subscriptions": "subscriptions",
    "slow_subscriptions": "  closed, slow",
    "audit_lost": "audit lost",
    "folders_left": "folders left",
}


def health_lines(health: Answer) -> Iterator[str]:
    """Yield how the sessions are."""
    yield "healthy" if health["is_healthy"] else "NOT healthy"
    yield f"{'sessions':<15} {health['sessions']}"
    for presence, number in health["presences"].items():
        if number:
            yield f"{'  ' + presence:<15} {number}"
    yield f"{'oldest idle':<15} {health['oldest_idle_s']:.1f} s"
    if health["janitor_lag_s"]:
        yield f"{'janitor lag':<15} {health['janitor_lag_s']:.1f} s"
    for name, title in _COUNTED.items():
        if health[name]:
            yield f"{title:<15} {health[name]}"
    if health["memory_bytes"] is not None:
        yield f"{'memory':<15} {health['memory_bytes']:,} bytes"
    if health["memory_pressure"] != MemoryPressure.WITHIN:
        yield f"{'  pressure':<15} {escaped(health['memory_pressure'])}"
    store = health["store"]
    if store is not None:
        kept = f"{store['kept']} commits kept, {store['waiting']} wait, {store['refused']} refused"
        yield f"{'store':<15} {kept}"
        if store["error"] is not None:
            what = "is damaged" if store["is_taking"] else "refuses"
            yield f"{'  ' + what:<15} {escaped(store['error'])}"
            yield f"{'':<15} {escaped(store['remedy'])}"
    for session_id in health["hung"]:
        yield f"{'hangs':<15} {escaped(session_id)}"
    for path in health["failing"]:
        yield f"{'does not serve':<15} {escaped(path)}"


def problem_lines(problem: Problem) -> Iterator[str]:
    """Yield what went wrong, and what can be done about it."""
    yield f"callboard: {escaped(problem.detail)} [{problem.code}]"
    if problem.remedy and problem.remedy not in problem.detail:
        yield f"  {escaped(problem.remedy)}"
    if problem.is_retryable:
        yield "  The same command may succeed later."
    if not problem.is_outcome_known:
        yield "  Whether it had an effect is not known."


def error_lines(error: CallboardError) -> Iterator[str]:
    """Yield what kept a command from being carried out."""
    yield f"callboard: {escaped(str(error))} [{error.code}]"
    if error.remedy not in str(error):
        yield f"  {escaped(error.remedy)}"


def moment(at_s: float) -> str:
    """Return a moment, given in seconds since the epoch, as UTC for people."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _text(value: object) -> str:
    if isinstance(value, str):
        return escaped(value)
    return as_json(value) if type(value) in _STRUCTURES else str(value)


_STRUCTURES = frozenset({dict, list})
