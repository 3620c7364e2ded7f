"""Which states can a session be in, and which step leads from which to which?"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from callboard.actors.errors import TransitionError


class SessionState(StrEnum):
    """Where a session is in its life. Each state follows the one before it."""

    CREATED = "created"
    """Its place is reserved; nothing has been started."""
    SPAWNING = "spawning"
    """What it needs is being started."""
    ACTIVE = "active"
    """It works."""
    TERMINATING = "terminating"
    """It is being cleaned up, and takes nothing new."""
    CLEANED = "cleaned"
    """All is cleaned up; its row goes."""


class Transition(StrEnum):
    """What moves a session from one state to the next."""

    SPAWN = "spawn"
    ACTIVATE = "activate"
    RESPAWN = "respawn"
    TERMINATE = "terminate"
    CLEAN = "clean"


class SessionStatus(StrEnum):
    """The coarser view of the state, for people."""

    INITIALIZING = "initializing"
    ACTIVE = "active"
    TERMINATING = "terminating"
    GONE = "gone"


class Presence(StrEnum):
    """Whether a session's actor runs, beside the state of the session."""

    AWAKE = "awake"
    """Its actor runs, or is being started for the first time."""
    ASLEEP = "asleep"
    """It has no actor; the next message starts one."""
    RESTARTING = "restarting"
    """Its actor crashed; the next incarnation is on its way."""
    QUARANTINED = "quarantined"
    """It crashed too often: kept, but not run until it is revived."""


TRANSITIONS: Mapping[tuple[SessionState, Transition], SessionState] = MappingProxyType(
    {
        (SessionState.CREATED, Transition.SPAWN): SessionState.SPAWNING,
        (SessionState.CREATED, Transition.TERMINATE): SessionState.TERMINATING,
        (SessionState.SPAWNING, Transition.ACTIVATE): SessionState.ACTIVE,
        (SessionState.SPAWNING, Transition.TERMINATE): SessionState.TERMINATING,
        (SessionState.ACTIVE, Transition.RESPAWN): SessionState.SPAWNING,
        (SessionState.ACTIVE, Transition.TERMINATE): SessionState.TERMINATING,
        (SessionState.TERMINATING, Transition.TERMINATE): SessionState.TERMINATING,
        (SessionState.TERMINATING, Transition.CLEAN): SessionState.CLEANED,
    }
)
"""All steps there are. Terminating twice is one termination."""

_STATUS: Mapping[SessionState, SessionStatus] = MappingProxyType(
    {
        SessionState.CREATED: SessionStatus.INITIALIZING,
        SessionState.SPAWNING: SessionStatus.INITIALIZING,
        SessionState.ACTIVE: SessionStatus.ACTIVE,
        SessionState.TERMINATING: SessionStatus.TERMINATING,
        SessionState.CLEANED: SessionStatus.GONE,
    }
)


def next_state(state: SessionState, event: Transition) -> SessionState:
    """Say which state follows.

    >>> next_state(SessionState.CREATED, Transition.SPAWN)
    <SessionState.SPAWNING: 'spawning'>

    Raises:
        TransitionError: there is no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionError(state, event) from None


def status_of(state: SessionState) -> SessionStatus:
    """Return the coarser view of a state."""
    return _STATUS[state]


def takes_messages(state: SessionState) -> bool:
    """Say whether a session in this state may still change by what is sent to it."""
    return state is not SessionState.TERMINATING and state is not SessionState.CLEANED
