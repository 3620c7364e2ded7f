"""Is a session at something? Then it is not put to sleep, and not ended for being idle.

Asked by the manager and the janitor from their own threads, so an answer may be old when
it is acted upon: the session looks once more before it ends or sleeps.
"""

from __future__ import annotations

from typing import Any

from callboard.actors.sessions.address import address_of, is_waited_for
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.holds import HoldKind
from callboard.actors.sessions.linking import keeps_awake
from callboard.actors.sessions.table import Row


def has_work(row: Row) -> bool:
    """Say whether something is left to do: a message waits, a change is not kept, work is held."""
    if is_waited_for(row):
        return True
    draft = row.holder
    if isinstance(draft, Draft) and (draft.uncommitted > 0 or draft.holds_back(HoldKind.WORK)):
        return True
    # Of a prompt the snapshot says it: it goes on over the end of the incarnation that began it.
    agent = row.latest().session.agent
    return agent is not None and agent.is_busy


def is_busy(row: Row) -> bool:
    """Say whether a session has work, or a handler of it is at work."""
    if has_work(row):
        return True
    address = address_of(row)
    cell: Any = None if address is None else address.ref
    return cell is not None and (cell.is_at_work or cell.operation is not None)


def may_sleep(row: Row) -> bool:
    """Say whether nobody would miss the actor: no work is left, and nobody is attached."""
    draft = row.holder
    is_attached = isinstance(draft, Draft) and draft.holds_back(HoldKind.ATTACHED)
    is_attached = is_attached or keeps_awake(row.latest().session)
    return not is_attached and not has_work(row)
