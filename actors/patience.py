"""How long does an asker wait who does not say? As long as what he asks for may take, and a bit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from callboard.actors.checks import check
from callboard.actors.link_messages import MARGIN_S, ConnectionMessage, ResumeSession
from callboard.actors.messages import (
    BeginSpawn,
    CleanupInactive,
    CreateSession,
    ReviveSession,
    Shutdown,
    TerminateSession,
)
from callboard.actors.sessions.actor import START_S
from callboard.actors.sessions.data import DEFAULT_KIND, Session
from callboard.actors.sessions.errands import LEAVE_S
from callboard.actors.sessions.linking import linked
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawn import Step, to_do, to_undo
from callboard.actors.sessions.states import SessionState
from callboard.supervision import Request

_OF_ONE: Final = (BeginSpawn, ReviveSession, ResumeSession)

_LASTING: Final = (
    ConnectionMessage,
    CreateSession,
    *_OF_ONE,
    TerminateSession,
    CleanupInactive,
    Shutdown,
)

_KINDS_MAX: Final = 1_024
"""Types of messages of which it is remembered: every ask looks, and to look costs 0.5 us."""


@lru_cache(maxsize=_KINDS_MAX)
def lasts(kind: type[Any]) -> bool:
    """Say whether the answer to messages of a type may take longer than an ask waits by default."""
    return issubclass(kind, _LASTING)


def patience_s(services: Services, message: Request[Any]) -> float:
    """Return how long to wait for the answer to a message, in seconds. Any thread.

    At least the system's `ask_timeout_s`; longer for what `lasts`: the bounds of all
    that is done before the answer, one after the other, and `MARGIN_S`.

    Args:
        services: what the system lends.
        message: what is asked; it is checked if its fields are looked at.

    Raises:
        SessionError: a field is wrong.
    """
    if isinstance(message, ConnectionMessage):
        said_s: float = message.patience_s
        return said_s
    work_s = 0.0
    if isinstance(message, CreateSession):
        work_s = _creating_s(services, message)
    elif isinstance(message, _OF_ONE):
        check(message, services.limits)
        row = services.table.get(message.session_id)
        work_s = 0.0 if row is None else _starting_s(services, row.latest().session)
    elif isinstance(message, TerminateSession):
        check(message, services.limits)
        row = services.table.get(message.session_id)
        steps = () if row is None else services.plan(row.latest().session)
        work_s = message.grace_s + _undoing_s(steps)
    elif isinstance(message, CleanupInactive):
        work_s = services.keeping.grace_s + _undoing_s(services.plan(Session(id="")))
    elif isinstance(message, Shutdown):
        check(message, services.limits)
        work_s = message.grace_s
    least_s = services.system.settings.ask_timeout_s
    return max(least_s, work_s + MARGIN_S) if work_s else least_s


def _creating_s(services: Services, message: CreateSession) -> float:
    has_links = not (message.agent is None and message.mcp is None and message.client is None)
    if not (has_links or services.planners or message.kind is not None):
        return _starting_s(services, _PLAIN)
    check(message, services.limits)
    session = Session(
        id="" if message.session_id is None else message.session_id,
        kind=DEFAULT_KIND if message.kind is None else message.kind,
        user_id=message.user_id,
        org_id=message.org_id,
    )
    if has_links:
        session = linked(
            session,
            mcp=message.mcp or (),
            agent=message.agent,
            has_client=message.client is not None,
            wall_s=0.0,
        )
    return _starting_s(services, session)


_PLAIN: Final = Session(id="")


def _starting_s(services: Services, session: Session) -> float:
    """Return how long a start takes at most, its failure included; 0: no longer than others."""
    behaviour = services.kinds.get(session.kind)
    start_s = None if behaviour is None else behaviour.start_s
    start_s = START_S if start_s is None else start_s
    steps = services.plan(session)
    doing = to_do(steps, again=session.state is SessionState.ACTIVE)
    if not doing:
        return start_s if start_s > START_S else 0.0
    # Who waits hears of a failure when what was done is undone.
    return start_s + sum(step.do_s for step in doing) + _undoing_s(steps)


def _undoing_s(steps: tuple[Step, ...]) -> float:
    undoing = to_undo(steps)
    return LEAVE_S + sum(step.undo_s for step in undoing) if undoing else 0.0
