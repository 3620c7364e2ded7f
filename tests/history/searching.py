"""Is there any order at all? Wing and Gong's search with Lowe's memory: slow, sure, and the judge.

It knows nothing of versions and numbers: it tries what can come next, one after the other, and
remembers where it has been.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from callboard.actors import (
    CreateSession,
    DuplicateSession,
    IdempotencyConflict,
    ReviveSession,
    SessionNotFound,
    SessionTerminating,
    TerminateSession,
    VersionConflict,
)
from callboard.actors.testing.operations import NEVER, Operation, Outcome
from tests.history.model import State, alone, apply, ask

STEPS_MAX = 200_000
"""Steps after which it gives up."""

TELLING = (
    SessionNotFound,
    SessionTerminating,
    DuplicateSession,
    IdempotencyConflict,
    VersionConflict,
)
"""Refusals that say something of the session; of all others only that nothing was done."""


class Event(NamedTuple):
    """A moment of an operation.

    Args:
        operation: whose.
        is_asking: whether it only says what is wanted.
        is_sure: whether it has been.
        after: the place of an event that must have been before, or -1.
    """

    operation: Operation
    is_asking: bool
    is_sure: bool
    after: int = -1

    @property
    def ended(self) -> float:
        return self.operation.ended if self.is_sure else NEVER


def events_of(operations: Iterable[Operation]) -> list[Event]:
    """Return the moments of all operations."""
    events: list[Event] = []
    for each in sorted(operations, key=lambda each: each.began):
        if each.outcome is Outcome.REFUSED:
            if any(each.is_refused_as(kind) for kind in TELLING):
                events.append(Event(each, is_asking=False, is_sure=True))
        elif isinstance(each.message, (CreateSession, ReviveSession, TerminateSession)):
            events.append(Event(each, is_asking=True, is_sure=each.is_answered))
            if each.is_answered:
                events.append(Event(each, is_asking=False, is_sure=True, after=len(events) - 1))
        elif each.is_answered or hasattr(each.message, "role") or _changes(each):
            events.append(Event(each, is_asking=False, is_sure=each.is_answered))
    return events


def _changes(operation: Operation) -> bool:
    return not type(operation.message).__name__.startswith("Get")


def is_right(operations: Iterable[Operation], *, steps_max: int = STEPS_MAX) -> bool | None:
    """Say whether there is an order; None: it was not found within so many steps."""
    events = events_of(operations)
    sure = sum(1 << place for place, each in enumerate(events) if each.is_sure)
    seen: dict[tuple[int, str], None] = {}
    stack: list[tuple[int, State]] = [(0, State())]
    steps = 0
    while stack:
        done, state = stack.pop()
        if done & sure == sure:
            return True
        key = (done, repr(state))
        if key in seen:
            continue
        seen[key] = None
        steps += 1
        if steps > steps_max:
            return None
        stack += [(done, after) for after in alone(state)]
        left = [place for place in range(len(events)) if not done >> place & 1]
        until = min(events[place].ended for place in left)
        for place in left:
            event = events[place]
            if event.operation.began > until:
                break
            if event.after >= 0 and not done >> event.after & 1:
                continue
            if event.is_asking:
                afters = ask(state, event.operation)
            else:
                after = apply(state, event.operation)
                afters = () if after is None else (after,)
            stack += [(done | 1 << place, each) for each in afters]
    return False
