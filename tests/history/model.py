"""What is one session, done one thing after the other? The specification that histories must meet.

`State` is all that clients can see of a session, `apply` what an operation does to it and whether
it may be told so, `alone` what it does by itself once somebody wants it: it is made, and ends, in
steps that others can see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from callboard.actors import (
    AppendMessage,
    CreateSession,
    DuplicateSession,
    GetMessages,
    IdempotencyConflict,
    Message,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionNotFound,
    SessionState,
    SessionTerminating,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
    VersionConflict,
)
from callboard.actors.testing.evidence import (
    PATCHED,
    Fields,
    Said,
    changes_of,
    first_fields,
    patched,
    said_by,
)
from callboard.actors.testing.operations import Operation

NAMES = (None, *SessionState, None)
"""What each stage is called: before and after the session there is none."""

ABSENT, CREATED, ACTIVE, TERMINATING, CLEANED, GONE = 0, 1, 3, 4, 5, 6


class State(NamedTuple):
    """A session, as far as clients can see it.

    Args:
        stage: how far it has come.
        version: its version.
        log: what was said.
        fields: what a patch can replace.
        wanted: the create that wants it.
        is_to_end: whether somebody wants it to end.
        past: what its versions were.
        told: what a create was answered: so is every other attempt at it.
    """

    stage: int = ABSENT
    version: int = 0
    log: tuple[Said, ...] = ()
    fields: Fields | None = None
    wanted: CreateSession | None = None
    is_to_end: bool = False
    past: tuple[Session, ...] = ()
    told: Session | None = None

    @property
    def is_there(self) -> bool:
        """Whether it can be read."""
        return CREATED <= self.stage <= CLEANED

    def at(self, stage: int, version: int, **changes: Any) -> State:
        """Return the state after a commit."""
        state = self._replace(stage=stage, version=version, **changes)
        return state._replace(past=(*state.past, snapshot(state)))

    def find(self, key: str | None) -> int | None:
        """Return the number of the message that was appended under a key."""
        if key is not None:
            for seq, said in enumerate(self.log, start=1):
                if said[2] == key:
                    return seq
        return None


def snapshot(state: State) -> Session:
    """Return what is read of a session."""
    name = NAMES[state.stage]
    assert name is not None
    assert state.fields is not None
    metadata, variables, system_prompt, capabilities = state.fields
    return Session(
        id="s",
        state=name,
        version=state.version,
        last_seq=len(state.log),
        message_count=len(state.log),
        metadata=metadata,
        variables=variables,
        system_prompt=system_prompt,
        client_capabilities=capabilities,
    )


def message(state: State, seq: int) -> Message:
    """Return a message of the log."""
    role, content, key, metadata = state.log[seq - 1]
    return Message(seq, Role(role), content, float(seq), metadata, key)


def alone(state: State) -> Iterator[State]:
    """Yield what the session can do by itself."""
    wanted = state.wanted
    if state.stage == ABSENT and wanted is not None:
        yield state.at(CREATED, 0, fields=first_fields(wanted))
    elif state.stage == CREATED:
        yield state.at(ACTIVE, 1)
    if state.is_to_end and state.stage in {CREATED, ACTIVE}:
        yield state.at(TERMINATING, state.version + 1)
        yield state.at(CLEANED, state.version + 1)
    elif state.stage == TERMINATING:
        yield state.at(CLEANED, state.version + 1)
    elif state.stage == CLEANED:
        yield state._replace(stage=GONE)


def ask(state: State, operation: Operation) -> tuple[State, ...]:
    """Return what the state can be after a create, an end or a revive was asked for.

    It is answered later, by what the session is then.

    Returns:
        More than one when either may be; none when there is nothing to end, or to revive.
    """
    asked = operation.message
    if isinstance(asked, CreateSession):
        return (state._replace(wanted=state.wanted or asked),)
    if isinstance(asked, ReviveSession):
        # With a durable store the end of a quarantine is a commit, though it replaces nothing.
        patch = asked.patch
        after = _changed(state, {} if patch is None else patched(patch))
        unchanged = (state,) if patch is None and state.is_there else ()
        return unchanged if after is None else (*unchanged, after)
    return () if state.stage == GONE else (state._replace(is_to_end=True),)


def apply(state: State, operation: Operation) -> State | None:
    """Return the state after an operation; None: here it cannot have been told what it was."""
    asked = operation.message
    if operation.is_refused_as(SessionNotFound):
        return None if state.is_there else state
    if operation.is_refused_as(SessionTerminating):
        return state if state.stage in {TERMINATING, CLEANED} else None
    if operation.is_refused_as(DuplicateSession):
        return state if state.is_there else None
    match asked:
        case CreateSession():
            if state.told is None and operation.reply in state.past:
                return state._replace(told=operation.reply)
            return state if state.told == operation.reply else None
        case TerminateSession():
            is_last = state.past[-1:] == (operation.reply,)
            return state if state.stage == GONE and is_last else None
        case AppendMessage():
            return _append(state, operation, asked)
        case UpdateSession():
            return _update(state, operation, asked)
        case RecordActivity():
            return _changed(state, {})
        case UpdateSystemPrompt():
            return _changed(state, {"system_prompt": asked.prompt})
        case GetMessages():
            return _read(state, operation, asked)
        case _:
            is_right = state.is_there and snapshot(state) == operation.reply
            return state if is_right else None


def _append(state: State, operation: Operation, asked: AppendMessage) -> State | None:
    if state.stage != ACTIVE:
        return None
    said, known = said_by(asked), state.find(asked.client_msg_id)
    if operation.is_refused_as(IdempotencyConflict):
        return state if known is not None and state.log[known - 1] != said else None
    if known is not None:
        is_right = state.log[known - 1] == said and operation.reply in {known, None}
        return state if is_right else None
    if operation.reply not in {len(state.log) + 1, None}:
        return None
    return state.at(ACTIVE, state.version + 1, log=(*state.log, said))


def _update(state: State, operation: Operation, asked: UpdateSession) -> State | None:
    if state.stage != ACTIVE:
        return None
    is_expected = asked.expected_version in {None, state.version}
    if operation.is_refused_as(VersionConflict):
        return state if operation.version == state.version and not is_expected else None
    if not is_expected:
        return None
    after = _changed(state, changes_of(asked) or {})
    if after is None or operation.is_doubtful or snapshot(after) == operation.reply:
        return after
    return None


def _changed(state: State, changes: Any) -> State | None:
    if state.stage != ACTIVE:
        return None
    assert state.fields is not None
    values = zip(PATCHED, state.fields, strict=True)
    fields: Any = tuple(changes.get(name, old) for name, old in values)
    return state.at(ACTIVE, state.version + 1, fields=fields)


def _read(state: State, operation: Operation, asked: GetMessages) -> State | None:
    if not state.is_there:
        return None
    end = asked.after_seq + asked.limit
    there = [message(state, seq + 1) for seq in range(asked.after_seq, min(end, len(state.log)))]
    page = operation.reply
    said = [(each.seq, each.role, each.content, each.client_msg_id) for each in page.messages]
    expected = [(each.seq, each.role, each.content, each.client_msg_id) for each in there]
    return state if page.last_seq == len(state.log) and said == expected else None
