"""Which message does each path stand for? One table: the door and its description follow it."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from callboard.actors.daemon.calls import Call, Route, Text
from callboard.actors.daemon.errors import MetricsAreOff
from callboard.actors.daemon.links import OF_LINKS
from callboard.actors.daemon.store_routes import STORE
from callboard.actors.daemon.streams import STREAMS
from callboard.actors.daemon.wire import (
    Active,
    Activity,
    Appended,
    Change,
    Cleanup,
    Count,
    Counted,
    Ended,
    Farewell,
    FaultOrder,
    Filter,
    FilterPage,
    Found,
    LogPart,
    NewMessage,
    NewPrompt,
    NewSession,
    NoQuery,
    Revival,
    Struck,
    SystemPrompt,
    Tail,
    Wanted,
)
from callboard.actors.errors import InvalidField
from callboard.actors.link_messages import ResumeSession
from callboard.actors.messages import (
    TERMINATE_GRACE_S,
    AppendMessage,
    BeginSpawn,
    CleanupInactive,
    CountSessions,
    CreateSession,
    FindSession,
    GetMessages,
    GetSession,
    GetSystemPrompt,
    Health,
    HealthReport,
    IncrementMessageCount,
    InjectCrash,
    ListSessions,
    MessagePage,
    PassivateSession,
    RecordActivity,
    ReviveSession,
    SessionPage,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.sessions.data import Session
from callboard.supervision.observe.tree import TreeNode

R = TypeVar("R")


async def create_session(call: Call[NoQuery, NewSession]) -> Session:
    """Create a session."""
    return await call.ask(CreateSession(**msgspec.structs.asdict(call.body)))


async def list_sessions(call: Call[FilterPage, None]) -> SessionPage:
    """List sessions in the order of their ids, a page at a time."""
    message = ListSessions(**msgspec.structs.asdict(call.query))
    page = await call.aside(lambda: call.sessions.ask(message))
    sessions = _fitting(page.sessions, call.settings.page_bytes_max)
    if len(sessions) == len(page.sessions):
        return page
    return msgspec.structs.replace(page, sessions=sessions, next_after_id=sessions[-1].id)


async def count_sessions(call: Call[Filter, None]) -> Count:
    """Count sessions."""
    message = CountSessions(**msgspec.structs.asdict(call.query))
    return Count(count=await call.aside(lambda: call.sessions.ask(message)))


async def find_session(call: Call[Wanted, None]) -> Found:
    """Find a session by its id or by the part it plays: the oldest that is not being ended."""
    message = FindSession(**msgspec.structs.asdict(call.query))
    return Found(session=await call.aside(lambda: call.sessions.ask(message)))


async def get_session(call: Call[Tail, None]) -> Session:
    """Read a session's snapshot, with the last messages of its log if they are asked for."""
    session = await call.ask(GetSession(call.session_id, messages=call.query.messages))
    if not session.messages:
        return session
    kept = _fitting(session.messages[::-1], call.settings.page_bytes_max)[::-1]
    return msgspec.structs.replace(session, messages=kept)


async def update_session(call: Call[NoQuery, Change]) -> Session:
    """Change a session in one step."""
    patch, version = call.body.patch.as_message(), call.body.expected_version
    return await call.ask(UpdateSession(call.session_id, patch=patch, expected_version=version))


async def terminate_session(call: Call[Farewell, None]) -> Session:
    """End a session and clean up after it; the answer is its last snapshot."""
    grace_s, grace_max_s = call.query.grace_s, call.settings.ask_s / 2
    if grace_s is None:
        grace_s = min(TERMINATE_GRACE_S, grace_max_s)
    elif grace_s > grace_max_s:  # the answer must come before the asker gives up
        raise InvalidField("grace_s", grace_s, f"Give at most {grace_max_s:g} seconds.")
    return await call.ask(TerminateSession(call.session_id, call.query.reason, grace_s))


async def append_message(call: Call[NoQuery, NewMessage]) -> Appended:
    """Append a message to a session's log."""
    body = call.body
    message = AppendMessage(
        call.session_id, body.role, body.content, body.client_msg_id, body.metadata
    )
    return Appended(seq=await call.ask(message))


async def get_messages(call: Call[LogPart, None]) -> MessagePage:
    """Read a part of a session's log. Go on after the last `seq` until it is `last_seq`."""
    query = call.query
    page = await call.ask(GetMessages(call.session_id, query.after_seq, query.limit))
    return msgspec.structs.replace(
        page, messages=_fitting(page.messages, call.settings.page_bytes_max)
    )


async def count_message(call: Call[NoQuery, None]) -> Counted:
    """Count a message that is kept elsewhere, for a session without a log."""
    return Counted(message_count=await call.ask(IncrementMessageCount(call.session_id)))


async def get_system_prompt(call: Call[NoQuery, None]) -> SystemPrompt:
    """Read the prompt that a session works under."""
    return SystemPrompt(prompt=await call.ask(GetSystemPrompt(call.session_id)))


async def update_system_prompt(call: Call[NoQuery, NewPrompt]) -> SystemPrompt:
    """Replace the prompt that a session works under."""
    message = UpdateSystemPrompt(call.session_id, prompt=call.body.prompt)
    return SystemPrompt(prompt=await call.ask(message))


async def record_activity(call: Call[NoQuery, Activity]) -> Active:
    """Give a sign of life."""
    return Active(last_active_at=await call.ask(RecordActivity(call.session_id, call.body.kind)))


async def passivate_session(call: Call[NoQuery, None]) -> Session:
    """Put an idle session to sleep; the next message wakes it."""
    return await call.ask(PassivateSession(call.session_id))


async def begin_spawn(call: Call[NoQuery, None]) -> Session:
    """Have a session spawned that was created with `activate` false."""
    return await call.ask(BeginSpawn(call.session_id))


async def resume_session(call: Call[NoQuery, None]) -> Session:
    """Have a session that sleeps come back, its connections too."""
    return await call.ask(ResumeSession(call.session_id))


async def revive_session(call: Call[NoQuery, Revival]) -> Session:
    """Start a session that is quarantined or asleep."""
    patch = call.body.patch
    return await call.ask(
        ReviveSession(call.session_id, None if patch is None else patch.as_message())
    )


async def cleanup_inactive(call: Call[NoQuery, Cleanup]) -> Ended:
    """End the sessions that have been idle for too long."""
    body = call.body
    message = CleanupInactive(idle_longer_than_s=body.idle_longer_than_s, dry_run=body.dry_run)
    return Ended(ids=await call.ask(message))


async def get_tree(call: Call[NoQuery, None]) -> TreeNode:
    """Show the living supervision tree: incarnations, restarts, mailbox sizes."""
    settings = call.settings
    return await call.aside(
        lambda: call.sessions.tree(
            nodes_max=settings.tree_nodes_max, children_max=settings.tree_children_max
        )
    )


async def get_health(call: Call[NoQuery, None]) -> HealthReport:
    """Say how the sessions are."""
    return await call.aside(lambda: call.sessions.ask(Health()))  # refused after the end


async def get_metrics(call: Call[NoQuery, None]) -> Text:
    """Return the numbers, as Prometheus reads them."""
    if call.numbers is None:
        msg = "this daemon keeps no metrics: prometheus-client is not installed there"
        raise MetricsAreOff(msg)
    return Text(await call.aside(call.numbers))


async def inject_fault(call: Call[NoQuery, FaultOrder]) -> Struck:
    """Make a session or a part of the tree crash, to see that it heals."""
    body = call.body
    if (body.session_id is None) == (body.part is None):
        raise InvalidField("part", body.part, "Give either session_id or part.")
    await call.ask(InjectCrash(session_id=body.session_id, part=body.part, how=body.how))
    return Struck(struck=body.session_id or body.part or "")


_SESSION = "/v1/sessions/{session_id}"

_OF_SESSIONS: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/sessions",
        answer=create_session,
        body=NewSession,
        is_body_optional=True,
        reply=Session,
        status=201,
    ),
    Route(
        method="GET",
        path="/v1/sessions",
        answer=list_sessions,
        query=FilterPage,
        reply=SessionPage,
    ),
    Route(
        method="GET", path="/v1/sessions/count", answer=count_sessions, query=Filter, reply=Count
    ),
    Route(method="GET", path="/v1/find", answer=find_session, query=Wanted, reply=Found),
    Route(method="GET", path=_SESSION, answer=get_session, query=Tail, reply=Session),
    Route(method="PATCH", path=_SESSION, answer=update_session, body=Change, reply=Session),
    Route(method="DELETE", path=_SESSION, answer=terminate_session, query=Farewell, reply=Session),
    Route(
        method="POST",
        path=f"{_SESSION}/messages",
        answer=append_message,
        body=NewMessage,
        reply=Appended,
        status=201,
    ),
    Route(
        method="GET",
        path=f"{_SESSION}/messages",
        answer=get_messages,
        query=LogPart,
        reply=MessagePage,
    ),
    Route(method="POST", path=f"{_SESSION}/count", answer=count_message, reply=Counted),
    Route(
        method="GET", path=f"{_SESSION}/system-prompt", answer=get_system_prompt, reply=SystemPrompt
    ),
    Route(
        method="PUT",
        path=f"{_SESSION}/system-prompt",
        answer=update_system_prompt,
        body=NewPrompt,
        reply=SystemPrompt,
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/activity",
        answer=record_activity,
        body=Activity,
        is_body_optional=True,
        reply=Active,
    ),
    Route(method="POST", path=f"{_SESSION}/begin", answer=begin_spawn, reply=Session),
    Route(method="POST", path=f"{_SESSION}/resume", answer=resume_session, reply=Session),
    Route(method="POST", path=f"{_SESSION}/passivate", answer=passivate_session, reply=Session),
    Route(
        method="POST",
        path=f"{_SESSION}/revive",
        answer=revive_session,
        body=Revival,
        is_body_optional=True,
        reply=Session,
    ),
)

_OF_THE_WHOLE: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/cleanup",
        answer=cleanup_inactive,
        body=Cleanup,
        is_body_optional=True,
        reply=Ended,
    ),
    Route(method="GET", path="/v1/tree", answer=get_tree, reply=TreeNode),
    Route(method="GET", path="/v1/health", answer=get_health, reply=HealthReport),
    Route(
        method="GET",
        path="/v1/metrics",
        answer=get_metrics,
        reply=str,
        media_type="text/plain; version=0.0.4",
    ),
    Route(
        method="POST",
        path="/v1/faults",
        answer=inject_fault,
        body=FaultOrder,
        reply=Struck,
        is_fault=True,
    ),
)

ROUTES: tuple[Route, ...] = (*_OF_SESSIONS, *OF_LINKS, *STREAMS, *STORE, *_OF_THE_WHOLE)
"""Everything a client can ask for; the description of it all is at `DESCRIPTION_PATH`."""

DESCRIPTION_PATH = "/v1/openapi.json"

FAULT_PATHS: frozenset[str] = frozenset(each.path for each in ROUTES if each.is_fault)
"""What is there only where crashes may be injected."""

_NAMELESS = re.compile(r"/v1/sessions/(?:(?P<session_id>/|$)|[^/]+/mcp/(?P<client_id>/|$))")


LINES_PATHS: frozenset[str] = frozenset(each.path for each in ROUTES if each.takes_lines)
"""What takes JSON Lines, more of them than a body has otherwise."""


def nameless(path: str) -> str | None:
    """Return which id of a path is empty, if one is. The path would stand for all there are."""
    found = _NAMELESS.match(path)
    return None if found is None else found.lastgroup


def routes(*, faults: bool) -> tuple[Route, ...]:
    """Return what a daemon offers.

    Args:
        faults: whether crashes may be injected.
    """
    return tuple(each for each in ROUTES if faults or not each.is_fault)


def _fitting(entries: tuple[R, ...], bytes_max: int) -> tuple[R, ...]:
    """Return the first entries that together are not too long as JSON; one at least."""
    size = 0
    for number, entry in enumerate(entries):
        size += len(msgspec.json.encode(entry)) + 1
        if size > bytes_max and number:
            return entries[:number]
    return entries
