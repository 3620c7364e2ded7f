"""Is what a store keeps, or is to take in, a session within its bounds? As strict as a create."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from callboard.actors.checks import check, check_own
from callboard.actors.errors import DuplicateSession, InvalidField, MessageTooLarge
from callboard.actors.limits import SessionLimits
from callboard.actors.messages import AppendMessage, CreateSession
from callboard.actors.sessions.coding import (
    Said,
    SessionCoder,
    Unreadable,
    message,
    standing_of,
)
from callboard.actors.sessions.data import Session, SessionPatch
from callboard.actors.sessions.states import SessionState
from callboard.actors.storage.kept import NO_INCARNATION
from callboard.actors.storage.records import MessageRecord, Stored
from callboard.actors.wording import invalid

COUNT_MAX: Final = 9_007_199_254_740_992
"""The largest number of a message, a version or an incarnation of a session that is taken in: there
must be room for those that follow."""


class Inspector:
    """What `checking` and `importing` are given as their `readable`. One thread.

    Args:
        coder: knows of which type the sessions' data is.
        limits: the bounds of what is said in them; None: it may be as large as it is.
        is_taken: says whether there is such a session already; None: that is not asked.
    """

    def __init__(
        self,
        coder: SessionCoder,
        limits: SessionLimits | None,
        is_taken: Callable[[str], bool] | None = None,
    ) -> None:
        self._coder = coder
        self._limits = limits
        self._is_taken = is_taken
        self.seen: dict[str, None] = {}
        """The ids of all sessions that were looked at."""

    def session(self, stored: Stored, /) -> None:
        """Look at a session.

        Raises:
            InvalidField: it is none, or out of bounds.
            DuplicateSession: there is one of this id already.
        """
        if stored.head.state not in _STATES:
            remedy = f"Give one of {', '.join(_STATES)}."
            raise InvalidField("state", stored.head.state, remedy)
        try:
            session = self._coder.session(stored)
        except Unreadable as error:
            raise _odd("body", stored.body, Session, error) from None
        kinds = self._coder.kinds
        if kinds is not None and session.kind not in kinds:
            raise InvalidField("body.kind", session.kind, f"Give one of {', '.join(kinds)}.")
        try:
            standing = standing_of(stored, wall_s=0.0, now_s=0.0)
        except Unreadable as error:
            raise _odd("standing", stored.standing, object, error) from None
        if standing.restarts < 0:
            raise InvalidField("standing.restarts", standing.restarts, "Give 0, or more.")
        _check_head(stored)
        _check_against_head(session)
        _check_times(session)
        _check_key(stored, session)
        create = CreateSession(
            session_id=session.id,
            user_id=session.user_id,
            org_id=session.org_id,
            agent_role=session.agent_role,
            variables=session.variables,
            metadata=session.metadata,
            client_capabilities=session.client_capabilities,
        )
        if self._limits is not None:
            with _in_bounds():
                check(create, self._limits)
                check_own(SessionPatch(system_prompt=session.system_prompt), self._limits)
        if self._is_taken is not None and self._is_taken(session.id):
            raise DuplicateSession(session.id)
        self.seen[session.id] = None

    def message(self, session_id: str, record: MessageRecord, /) -> None:
        """Look at a message.

        Raises:
            InvalidField: it is none, or out of bounds.
        """
        try:
            said = message(record)
        except Unreadable as error:
            raise _odd("body", record.body, Said, error) from None
        _check_time("body.timestamp", said.timestamp)
        append = AppendMessage(
            session_id, said.role, said.content, said.client_msg_id, said.metadata
        )
        if self._limits is not None:
            with _in_bounds():
                check(append, self._limits)


def _check_head(stored: Stored) -> None:
    head = stored.head
    for field in ("incarnation", "version", "last_seq", "message_count"):
        if getattr(head, field) > COUNT_MAX:
            raise InvalidField(field, getattr(head, field), f"Give at most {COUNT_MAX}.")
    if (stored.ended_at is not None) is not (head.state == SessionState.CLEANED):
        remedy = f"Give it if the session is {SessionState.CLEANED.value}, and only then."
        raise InvalidField("ended_at", stored.ended_at, remedy)
    if head.incarnation == NO_INCARNATION and head.state in _STARTED:
        remedy = f"Give 1 or more: no other session is {head.state}."
        raise InvalidField("incarnation", head.incarnation, remedy)


def _check_against_head(session: Session) -> None:
    """Refuse numbers that no life of a session leads to."""
    count, version = session.message_count, session.version
    if session.state is SessionState.CREATED and count:
        remedy = f"Give 0: nothing was said to a session that is {session.state.value}."
        raise InvalidField("message_count", count, remedy)
    if session.state is not SessionState.CREATED and not version:
        remedy = f"Give 1 or more: a session that is {session.state.value} has changed."
        raise InvalidField("version", version, remedy)
    # Messages that are kept elsewhere are counted one at a time, with a version for each; those of
    # the log may come several with one.
    most = session.last_seq + max(0, version - 1)
    if count > most:
        remedy = (
            f"Give at most {most}: {session.last_seq} messages are in the log, and version"
            f" {version} has room for {most - session.last_seq} that are counted only."
        )
        raise InvalidField("message_count", count, remedy)


def _check_times(session: Session) -> None:
    """Refuse times that are none.

    Which of two is the later one says nothing: a wall clock may have been put back between them.
    Nor do `ended_at` and `state_since` have to agree: one that was ended where it could not be read
    has the snapshot that it had before.
    """
    _check_time("body.created_at", session.created_at)
    _check_time("body.state_since", session.state_since)


def _check_time(field: str, seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InvalidField(field, seconds, "Give seconds since the epoch, in UTC.")


def _check_key(stored: Stored, session: Session) -> None:
    """Refuse the key of another's create: a create that is repeated is given this session."""
    created = stored.created
    if created is None:
        return
    for field, said, own, expected in (
        ("created.org_id", created.org_id, "org_id", session.org_id),
        ("created.user_id", created.user_id, "user_id", session.user_id),
        ("created.used_at", created.used_at, "created_at", session.created_at),
    ):
        if said != expected:
            remedy = f"Give what its body.{own} says: the key belongs to the create of the session."
            raise InvalidField(field, said, remedy)


@contextmanager
def _in_bounds() -> Generator[None]:
    """Say of what is too large which field it is: so it has a place in a line."""
    try:
        yield
    except MessageTooLarge as error:
        raise InvalidField(error.field, f"{error.value} bytes", error.remedy) from None


def _odd(whole: str, kept: Any, shape: type, error: Unreadable) -> InvalidField:
    """Return what cannot be read as an error that names the field in it, and what is there."""
    if error.field is not None:
        why = str(error)
        remedy = f"{why[:1].upper()}{why[1:]}. {error.remedy}"
        return InvalidField(f"{whole}.{error.field}", error.value, remedy)
    wrong = error.__cause__
    if isinstance(wrong, msgspec.ValidationError):
        odd = invalid(wrong, msgspec.json.decode(kept), shape, whole="")
        return InvalidField(f"{whole}.{odd.field}".rstrip("."), odd.value, odd.remedy)
    return InvalidField(whole, kept, f"Give it as an export writes it ({error}).")


_STATES: Final = tuple(state.value for state in SessionState)
_STARTED: Final = frozenset({SessionState.SPAWNING.value, SessionState.ACTIVE.value})
"""States into which an incarnation alone brings a session."""
