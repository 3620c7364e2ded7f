"""Is what a store keeps, or is to take in, a session within its bounds? As strict as a create."""

from __future__ import annotations

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
            standing_of(stored, wall_s=0.0, now_s=0.0)
        except Unreadable as error:
            raise _odd("standing", stored.standing, object, error) from None
        _check_head(stored)
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
