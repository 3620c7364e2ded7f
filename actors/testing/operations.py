"""What did a client ask, when, and what was it told? One operation of a history, as a value."""

from __future__ import annotations

import itertools
from enum import StrEnum
from typing import Any, Final

import msgspec

from callboard.actors.errors import (
    InvalidField,
    StoreError,
    VersionConflict,
)
from callboard.actors.messages import ReviveSession, TerminateSession
from callboard.actors.sessions.data import Session, SessionPatch
from callboard.supervision import CallboardError, Request

NEVER = float("inf")
"""When an operation ends of which nobody knows whether it has: it may take effect at any time."""


TOLD: Final = ("content", "client_msg_id", "patch", "expected_version", "idempotency_key")
"""Fields that tell operations from each other for people."""


class Outcome(StrEnum):
    """What is known of an operation once its client goes on."""

    ANSWERED = "answered"
    """It has happened: there is a reply."""
    REFUSED = "refused"
    """It has not happened, for certain (`CallboardError.is_outcome_known`)."""
    UNKNOWN = "unknown"
    """It has happened, or will, or never does."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One ask of one client.

    Args:
        by: the client.
        message: what was asked.
        began: its place in the order of all beginnings and ends.
        ended: the place of its end; `NEVER` when its outcome is unknown.
        outcome: what is known of it.
        reply: the answer.
        error: the type of what was raised in place of an answer.
        version: the version that a `VersionConflict` told.
        life: which process was asked; they count from 0.
    """

    by: str
    message: Request[Any]
    began: float
    ended: float = NEVER
    outcome: Outcome = Outcome.UNKNOWN
    reply: Any = None
    error: type[BaseException] | None = None
    version: int | None = None
    life: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether there is a reply."""
        return self.outcome is Outcome.ANSWERED

    @property
    def is_refused(self) -> bool:
        """Whether it is certain that nothing was done."""
        return self.outcome is Outcome.REFUSED

    @property
    def is_doubtful(self) -> bool:
        """Whether nobody knows if it has happened."""
        return self.outcome is Outcome.UNKNOWN

    def is_refused_as(self, kind: type[CallboardError]) -> bool:
        """Whether this is what it was refused with."""
        return self.error is not None and issubclass(self.error, kind)


class Clock:
    """Puts beginnings and ends of operations into one order. Any thread.

    Not the system's clock: what begins when something else is over must come after it, and no two
    moments are the same.
    """

    def __init__(self) -> None:
        self._ticks = itertools.count(1)

    def tick(self) -> int:
        """Return the next moment: one step of C, which no thread comes between."""
        return next(self._ticks)


def answered(asked: Operation, reply: object, ended: float) -> Operation:
    """Return the operation with its answer."""
    return msgspec.structs.replace(asked, outcome=Outcome.ANSWERED, reply=reply, ended=ended)


def failed(asked: Operation, error: BaseException, ended: float) -> Operation:
    """Return the operation with what was raised in place of an answer.

    An error says by itself whether the operation had no effect, with two exceptions: see
    `_may_have_begun`.
    """
    version = error.version if isinstance(error, VersionConflict) else None
    is_known = isinstance(error, CallboardError) and error.is_outcome_known
    if is_known and not _may_have_begun(asked.message, error):
        return msgspec.structs.replace(
            asked,
            outcome=Outcome.REFUSED,
            error=type(error),
            version=version,
            ended=ended,
            reply=None,
        )
    return msgspec.structs.replace(
        asked, outcome=Outcome.UNKNOWN, error=type(error), ended=NEVER, reply=None
    )


def _may_have_begun(message: Request[Any], error: BaseException) -> bool:
    """Say whether something may have been done, though what was asked for was refused.

    An end that the store refuses may have begun, and is then gone on with. A revive changes the
    session before it starts it: what it has changed stays when the start fails.
    """
    match message:
        case TerminateSession():
            return isinstance(error, StoreError)
        case ReviveSession():
            return not isinstance(error, InvalidField)
        case _:
            return False


def describe(operation: Operation) -> str:
    """Say in a few words who asked what, and what came of it.

    >>> from callboard.actors import GetSession, SessionNotFound
    >>> describe(failed(Operation(by="ada", message=GetSession("s"), began=1), ValueError(), 2))
    "ada's GetSession (unknown: ValueError)"
    """
    message = operation.message
    told = [(field, getattr(message, field, None)) for field in TOLD]
    said = [f"{field}={_given(value)}" for field, value in told if value is not None]
    whose = f"{operation.by}'s " if operation.by else ""
    return f"{whose}{type(message).__name__}{_of(said)} {_told(operation)}"


def _given(value: object) -> str:
    """Say what a field was given; of a patch only what it replaces."""
    if isinstance(value, SessionPatch):
        changes = [(field, getattr(value, field)) for field in value.__struct_fields__]
        return repr({field: each for field, each in changes if each is not msgspec.UNSET})
    return repr(value)


def _of(said: list[str]) -> str:
    return f"({', '.join(said)})" if said else ""


def _told(operation: Operation) -> str:
    if operation.is_answered:
        return f"-> {_shown(operation.reply)}"
    why = "" if operation.error is None else f": {operation.error.__name__}"
    at = "" if operation.version is None else f" at version {operation.version}"
    return f"({operation.outcome}{why}{at})"


def _shown(reply: object) -> str:
    if isinstance(reply, Session):
        return f"{reply.state} version {reply.version} with {reply.last_seq} messages"
    messages = getattr(reply, "messages", None)
    if messages is not None:
        said = ", ".join(repr(each.content) for each in messages[-3:])
        more = "..., " if len(messages) > 3 else ""  # noqa: PLR2004 -- the last of them will do
        return f"{getattr(reply, 'last_seq', len(messages))} messages: {more}{said}"
    return repr(reply)
