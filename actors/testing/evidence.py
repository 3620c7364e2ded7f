"""What does a history say of one session? Each operation read as bounds on the session's life.

A session's life is a row of commits. Each commit made one state, and each state lasted until the
next. An operation that changed the session made a commit between its beginning and its end; one
that read it saw a state that there was at some moment between them. So each operation bounds when
a commit can have been: not before this (`Bound` of a beginning), not after that (of an end).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from callboard.actors.errors import (
    DuplicateSession,
    IdempotencyConflict,
    SessionNotFound,
    SessionTerminating,
    VersionConflict,
)
from callboard.actors.limits import SessionLimits
from callboard.actors.messages import (
    READS,
    AppendMessage,
    BeginSpawn,
    CreateSession,
    FindSession,
    GetMessages,
    MessagePage,
    PassivateSession,
    RecordActivity,
    ReviveSession,
    SessionMessage,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.sessions.data import Message, Session, SessionPatch
from callboard.actors.sessions.frozen import freeze
from callboard.actors.sessions.keys import content_of
from callboard.actors.sessions.log import KEYS_MAX
from callboard.actors.sessions.states import SessionState
from callboard.actors.testing.operations import NEVER, Operation

T = TypeVar("T")

_BOUNDLESS = SessionLimits(metadata_bytes_max=1 << 30, metadata_depth_max=64)
"""What was taken was within the system's bounds."""

Said: TypeAlias = tuple[str, str, "str | None", Mapping[str, Any]]
"""Role, content, key and metadata of a message."""

Fields: TypeAlias = tuple[Any, Any, Any, Any]
"""What a patch can replace, in the order of `PATCHED`."""

FIRST_ACTIVE = 1
"""The version with which a session begins to take messages: nobody's update makes it."""

PATCHED = ("metadata", "variables", "system_prompt", "client_capabilities")


class Stage(IntEnum):
    """How far a session has come in its life."""

    ABSENT = 0
    CREATED = 1
    ACTIVE = 2
    TERMINATING = 3
    CLEANED = 4
    GONE = 5


STAGES: Mapping[SessionState, Stage] = {
    SessionState.CREATED: Stage.CREATED,
    SessionState.SPAWNING: Stage.ACTIVE,
    SessionState.ACTIVE: Stage.ACTIVE,
    SessionState.TERMINATING: Stage.TERMINATING,
    SessionState.CLEANED: Stage.CLEANED,
}
"""The stage that a snapshot's state belongs to."""


class Contradicted(Exception):
    """Two operations tell what cannot both be.

    Args:
        told: how, as a sentence.
        operations: which; the first is the one that began later.
    """

    def __init__(self, told: str, *operations: Operation) -> None:
        super().__init__(told)
        self.told = told
        self.operations = operations


class Unclear(Exception):
    """Whether a history is right cannot be said; the text says why."""


class Bound(NamedTuple):
    """A moment, and the operation that sets it.

    Args:
        at: the moment.
        operation: whose beginning or end it is; None: nobody's.
        has_made: whether that made the commit, or saw a state.
    """

    at: float
    operation: Operation | None = None
    has_made: bool = False


FIRST = Bound(0.0)
"""Before everything."""


class Seen(NamedTuple):
    """What a snapshot says of its version.

    Args:
        seq: number of the last message.
        stage: how far the session has come.
        fields: what a patch can replace.
        rest: what else there is, which must be the same in every snapshot of the version.
        operation: who was told so.
    """

    seq: int
    stage: Stage
    fields: Fields
    rest: tuple[object, ...]
    operation: Operation


class Appended:
    """An append: all attempts with one key, which are one, or a single one without a key."""

    __slots__ = ("attempts", "began", "conflict", "ended", "key", "said", "seq")

    def __init__(self, said: Said, first: Operation) -> None:
        self.said = said
        self.key = said[2]
        self.attempts = [first]
        self.began = Bound(first.began, first, has_made=True)
        self.ended = Bound(NEVER)
        self.seq: int | None = None
        self.conflict = Bound(NEVER)
        """By when it was there, since the same key with other content was refused."""

    def add(self, operation: Operation) -> None:
        """Take one more attempt in."""
        self.attempts.append(operation)
        self.began = min(self.began, Bound(operation.began, operation, has_made=True), key=_at)

    def answer(self, operation: Operation) -> None:
        """Take in what an attempt was answered.

        Raises:
            Contradicted: another one was answered differently.
        """
        if self.seq is not None and self.seq != operation.reply:
            told = f"one append was answered {self.seq} and {operation.reply}"
            raise Contradicted(told, operation, _operation(self.ended))
        self.seq = operation.reply
        self.ended = min(self.ended, Bound(operation.ended, operation, has_made=True), key=_at)


class Update(NamedTuple):
    """A change of fields. One whose reply tells no version, or that is doubtful, floats.

    Args:
        operation: who asked for it.
        changes: what it replaces; None: nobody knows.
        expected: the only version upon which it is done; None: any.
        version_max: the last version that it can have made: its reply tells that one, or a later.
        is_certain: whether it was done if it was answered; else it may have changed nothing.
    """

    operation: Operation
    changes: Mapping[str, Any] | None
    expected: int | None = None
    version_max: float = NEVER
    is_certain: bool = True

    def upon(self, fields: Fields | None) -> Fields | None:
        """Return the fields afterwards; None: nobody knows them."""
        if self.changes is None or fields is None:
            return None
        if not self.changes:
            return fields
        changes = self.changes
        made = [changes.get(name, old) for name, old in zip(PATCHED, fields, strict=True)]
        return (made[0], made[1], made[2], made[3])


class Evidence:
    """What a history says of one session.

    Args:
        operations: those that concern it.
        commits_alone: whether it makes commits that nobody has asked for.

    Raises:
        Contradicted: two operations cannot both be, whatever the order.
        Unclear: it is beyond what can be checked.
    """

    def __init__(self, operations: Iterable[Operation], *, commits_alone: bool = False) -> None:
        self.creates: list[Operation] = []
        self._failed_creates: list[Operation] = []
        self.appended: dict[int, Appended] = {}
        """By number, those that were answered."""
        self.doubtful: list[Appended] = []
        """Those of which nobody knows, in the order of their beginnings."""
        self.said: dict[int, tuple[Said, Operation]] = {}
        """By number, the messages that were read."""
        self.updates: dict[int, Update] = {}
        """By the version that they made."""
        self.floating: list[Update] = []
        self.seen: dict[int, Seen] = {}
        self.active_at: dict[int, Operation] = {}
        """The versions at which it took updates, as somebody was told who expected another one."""
        self.silent_from: Bound | None = FIRST if commits_alone else None
        """From when on there may be commits, and messages, that nobody knows of."""
        self.demands: list[tuple[str, Said, Operation]] = []
        """Keys that were refused with this content, so that another one must have been there."""
        # When a state can have been left, and entered: by version, by messages, by stage.
        self.left_version: dict[int, Bound] = {}
        self.entered_version: dict[int, Bound] = {}
        self.left_seq: dict[int, Bound] = {}
        self.entered_seq: dict[int, Bound] = {}
        self.left_stage: dict[Stage, Bound] = {}
        self.entered_stage: dict[Stage, Bound] = {}
        # One that is spawned step by step ends by itself when a step fails.
        self.ends_from = FIRST if commits_alone else Bound(NEVER)
        """When the session can have begun to end: somebody wants it to."""
        self.needed_stage = Stage.ABSENT
        self._keyed: dict[str, list[Appended]] = {}
        self._absent: list[Operation] = []
        self._ending: list[Operation] = []
        ordered = sorted(operations, key=_began)
        for each in ordered:
            self._take(each)
        self._settle_creates()
        self._settle_appends()
        self._settle_absences()
        self.needed_seq = max((*self.appended, *self.said, *self.entered_seq), default=0)
        self.needed_seq = max((self.needed_seq, *(each.seq for each in self.seen.values())))
        self.needed_version = max((*self.updates, *self.entered_version), default=0)
        self.anchors = sorted(self.seen)
        self.last_update = max(self.updates, default=0)

    # -- one operation -----------------------------------------------------

    def _take(self, operation: Operation) -> None:
        message = operation.message
        match message:
            case CreateSession():
                self._take_create(operation)
            case AppendMessage():
                self._take_append(operation, message)
            case UpdateSession():
                self._take_update(operation, message)
            case RecordActivity():
                self._take_floating(operation, {})
            case UpdateSystemPrompt():
                self._take_floating(operation, {"system_prompt": message.prompt})
            case TerminateSession():
                self._take_end(operation)
            case GetMessages():
                self._take_page(operation, message)
            case ReviveSession():
                self._take_revive(operation, message.patch)
            case BeginSpawn() | PassivateSession() | FindSession():
                pass
            case SessionMessage() if not isinstance(message, READS):
                self._take_opaque(operation)
            case _:
                pass
        if operation.is_refused and operation.is_refused_as(SessionNotFound):
            self._absent.append(operation)
        elif operation.is_refused and operation.is_refused_as(SessionTerminating):
            self._ending.append(operation)
        elif isinstance(operation.reply, Session) and not isinstance(message, CreateSession):
            self._take_snapshot(operation, operation.reply)

    def _take_create(self, operation: Operation) -> None:
        if operation.is_refused_as(DuplicateSession):
            self._within(Stage.CREATED, Stage.CLEANED, operation)
        elif operation.is_answered or operation.is_doubtful:
            self.creates.append(operation)
        else:
            self._failed_creates.append(operation)

    def _take_append(self, operation: Operation, message: AppendMessage) -> None:
        said = said_by(message)
        key = message.client_msg_id
        if operation.is_refused_as(IdempotencyConflict):
            assert key is not None, "only a key can be in conflict"
            self.demands.append((key, said, operation))
            self._within(Stage.ACTIVE, Stage.ACTIVE, operation)
            return
        if not (operation.is_answered or operation.is_doubtful):
            return
        appended = self._attempt(operation, said, key)
        if operation.is_answered:
            self._within(Stage.ACTIVE, Stage.ACTIVE, operation)
            appended.answer(operation)
            seq: int = operation.reply
            other = self.appended.setdefault(seq, appended)
            if other is not appended:
                told = f"two appends were answered {seq}"
                raise Contradicted(told, operation, _operation(other.ended))

    def _attempt(self, operation: Operation, said: Said, key: str | None) -> Appended:
        if key is None:
            appended = Appended(said, operation)
            if operation.is_doubtful:
                self.doubtful.append(appended)
            return appended
        same_key = self._keyed.setdefault(key, [])
        for each in same_key:
            if each.said == said:
                each.add(operation)
                return each
        appended = Appended(said, operation)
        same_key.append(appended)
        return appended

    def _take_update(self, operation: Operation, message: UpdateSession) -> None:
        expected = message.expected_version
        if operation.is_refused_as(VersionConflict):
            version = operation.version
            assert version is not None, "the error says which"
            if version == expected:
                told = f"an update of version {version} was refused since it is not {expected}"
                raise Contradicted(told, operation)
            self._saw_version(version, operation)
            self._within(Stage.ACTIVE, Stage.ACTIVE, operation)
            self.active_at[version] = operation
        elif operation.is_doubtful:
            self.floating.append(Update(operation, changes_of(message), expected))
        elif operation.is_answered:
            session: Session = operation.reply
            version = session.version
            if expected is not None and version != expected + 1:
                told = f"an update of version {expected} made version {version}"
                raise Contradicted(told, operation)
            if version <= FIRST_ACTIVE:
                told = f"an update made version {version}, with which a session begins"
                raise Contradicted(told, operation)
            other = self.updates.setdefault(
                version, Update(operation, changes_of(message), expected)
            )
            if other.operation is not operation:
                told = f"two updates made version {version}"
                raise Contradicted(told, operation, other.operation)

    def _take_floating(self, operation: Operation, changes: Mapping[str, Any]) -> None:
        if operation.is_answered or operation.is_doubtful:
            self.floating.append(Update(operation, changes))

    def _take_revive(self, operation: Operation, patch: SessionPatch | None) -> None:
        """Take in that a session was started, and changed before that by its patch.

        Without one it may be changed all the same, with nothing replaced: a durable store keeps
        that a quarantine is over, in a commit of the session. Whether it was in quarantine, and
        has such a store, nobody is told.
        """
        changes: Mapping[str, Any] = {} if patch is None else patched(patch)
        is_certain = patch is not None
        if operation.is_answered:
            version: int = operation.reply.version
            self.floating.append(Update(operation, changes, None, version, is_certain))
        elif operation.is_doubtful:
            self.floating.append(Update(operation, changes, is_certain=is_certain))

    def _take_end(self, operation: Operation) -> None:
        if operation.is_answered or operation.is_doubtful:
            began = Bound(operation.began, operation, has_made=True)
            self.ends_from = min(self.ends_from, began, key=_at)
        if operation.is_answered:
            last: Session = operation.reply
            if STAGES[last.state] is not Stage.CLEANED:
                told = f"an end was answered, of a session that is {last.state}"
                raise Contradicted(told, operation)
            # Whoever is told of the end has asked before the session was gone.
            self._left_stage(Stage.CLEANED, Bound(operation.began, operation))
            self._entered_stage(Stage.GONE, Bound(operation.ended, operation, has_made=True))

    def _take_opaque(self, operation: Operation) -> None:
        if operation.is_answered or operation.is_doubtful:
            began = Bound(operation.began, operation, has_made=True)
            self.silent_from = began if self.silent_from is None else self.silent_from

    def _take_snapshot(self, operation: Operation, session: Session) -> None:
        self._note(operation, session)
        self._saw_version(session.version, operation)

    def _note(self, operation: Operation, session: Session) -> None:
        seen = Seen(
            session.last_seq,
            STAGES[session.state],
            (
                session.metadata,
                session.variables,
                session.system_prompt,
                session.client_capabilities,
            ),
            (session.state, session.message_count, session.data, session.last_active_at),
            operation,
        )
        other = self.seen.setdefault(session.version, seen)
        if other[:4] != seen[:4]:
            told = f"there are two different versions {session.version}"
            raise Contradicted(told, operation, other.operation)
        first = session.last_seq - len(session.messages) + 1
        for seq, each in enumerate(session.messages, start=first):
            self._read(seq, each, operation)

    def _take_page(self, operation: Operation, message: GetMessages) -> None:
        if not operation.is_answered:
            return
        page: MessagePage = operation.reply
        expected = max(0, min(message.limit, page.last_seq - message.after_seq))
        if len(page.messages) != expected:
            told = f"of {page.last_seq} messages {len(page.messages)} were read, not {expected}"
            raise Contradicted(told, operation)
        for seq, each in enumerate(page.messages, start=message.after_seq + 1):
            self._read(seq, each, operation)
        _latest(self.left_seq, page.last_seq, Bound(operation.began, operation))
        _earliest(self.entered_seq, page.last_seq, Bound(operation.ended, operation))
        self._is_there()

    def _read(self, seq: int, message: Message, operation: Operation) -> None:
        if message.seq != seq:
            told = f"message {message.seq} was read in the place of {seq}"
            raise Contradicted(told, operation)
        said = (message.role, message.content, message.client_msg_id, message.metadata)
        other = self.said.setdefault(seq, (said, operation))
        if other[0] is not said and other[0] != said:
            told = f"message {seq} was read as {said[1]!r} and as {other[0][1]!r}"
            raise Contradicted(told, operation, other[1])

    # -- bounds ------------------------------------------------------------

    def _saw_version(self, version: int, operation: Operation) -> None:
        _latest(self.left_version, version, Bound(operation.began, operation))
        _earliest(self.entered_version, version, Bound(operation.ended, operation))
        self._is_there()

    def _within(self, first: Stage, last: Stage, operation: Operation) -> None:
        """Note that the session was in one of these stages while an operation was under way."""
        self._entered_stage(first, Bound(operation.ended, operation))
        self._left_stage(last, Bound(operation.began, operation))

    def _entered_stage(self, stage: Stage, bound: Bound) -> None:
        _earliest(self.entered_stage, stage, bound)
        self.needed_stage = max(self.needed_stage, stage)

    def _left_stage(self, stage: Stage, bound: Bound) -> None:
        _latest(self.left_stage, stage, bound)

    def _is_there(self) -> None:
        self.needed_stage = max(self.needed_stage, Stage.CREATED)

    # -- all of them -------------------------------------------------------

    def _settle_creates(self) -> None:
        """Find the create that made the session."""
        answered = [each for each in self.creates if each.is_answered]
        if not self.creates:
            raise Unclear("its create is not in the history")
        if answered:
            first = answered[0]
            for each in answered[1:]:
                if not _is_same(first, each):
                    if self.ends_from.at == NEVER:
                        told = "two creates made the same session"
                        raise Contradicted(told, each, first)
                    raise Unclear("its id was used again")
                # The next process tells what the session was when that began.
                if each.life == first.life and each.reply != first.reply:
                    told = "one create was answered in two ways"
                    raise Contradicted(told, each, first)
            # It is told as the session was then: the others get the same, however late.
            self._note(first, first.reply)
            for each in answered:
                ended = Bound(each.ended, each)
                _earliest(self.entered_version, first.reply.version, ended)
            self._is_there()
            for each in self._ending:
                self._within(Stage.TERMINATING, Stage.CLEANED, each)
            self.creates = [
                each for each in self.creates if each.is_answered or _is_same(each, first)
            ]
        made_by = min((each.ended for each in answered), default=NEVER)
        if not answered:
            # Then it may be taken back: who asked for it was not told that there is one.
            wanted = min((Bound(each.began, each) for each in self.creates), key=_at)
            self.ends_from = min(self.ends_from, wanted, key=_at)
        doubtful = [each for each in self.creates if each.is_doubtful]
        if any(each.began < made_by for each in (*self._failed_creates, *doubtful)):
            # Until it failed, or was taken back, there was a row, which others may have seen.
            self.entered_stage.pop(Stage.CREATED, None)
            self.entered_version.pop(0, None)
            self.left_version.pop(0, None)
            self.left_seq.pop(0, None)
            self.entered_seq.pop(0, None)

    def _settle_appends(self) -> None:
        """Part what was answered from what is doubtful, and see who was refused for whom."""
        if len(self._keyed) > KEYS_MAX:
            msg = f"a session remembers {KEYS_MAX} keys, and there are more"
            raise Unclear(msg)
        for same_key in self._keyed.values():
            answered = [each for each in same_key if each.seq is not None]
            if len(answered) > 1:
                told = "a key was used twice, with different content"
                raise Contradicted(told, *(_operation(each.ended) for each in answered[:2]))
            if not answered:
                self.doubtful += same_key
        for seq, appended in self.appended.items():
            read = self.said.get(seq)
            if read is not None and read[0] != appended.said:
                told = f"message {seq} was read as {read[0][1]!r}, not {appended.said[1]!r}"
                raise Contradicted(told, read[1], _operation(appended.ended))
        self.doubtful.sort(key=lambda each: each.began.at)
        unmet: list[tuple[str, Said, Operation]] = []
        for key, said, operation in self.demands:
            same_key = self._keyed.get(key, [])
            others = [each for each in same_key if each.said != said]
            bound = Bound(operation.ended, operation)
            for each in others:
                each.conflict = min(each.conflict, bound, key=_at)
            answered = [each for each in same_key if each.seq is not None]
            if answered and answered[0].said == said:
                told = f"{key!r} was refused as used with other content, and was not"
                raise Contradicted(told, operation, _operation(answered[0].ended))
            if not others:
                told = f"{key!r} was refused as used with other content, and nobody has used it"
                raise Contradicted(told, operation)
            if not answered:
                unmet.append((key, said, operation))
        self.demands = unmet

    def _settle_absences(self) -> None:
        """Read each "there is no such session": not yet, or no more?"""
        begun = min((each.began for each in self.creates), default=0.0)
        self.created_from = min(
            (Bound(each.began, each, has_made=True) for each in self.creates), key=_at
        )
        there = min((each.at for each in self._presences()), default=NEVER)
        for each in self._absent:
            if each.ended < self.ends_from.at or each.ended < begun:
                self._left_stage(Stage.ABSENT, Bound(each.began, each))
            elif each.began > there:
                self._entered_stage(Stage.GONE, Bound(each.ended, each))
            # Else it was asked while the session was made and ended: either may be meant.

    def _presences(self) -> Iterable[Bound]:
        yield from self.entered_version.values()
        yield from self.entered_seq.values()
        yield from self.entered_stage.values()
        yield from (each.ended for each in self.appended.values())


def said_by(message: AppendMessage) -> Said:
    """Return what an append is to leave in the log."""
    metadata = freeze("metadata", message.metadata, _BOUNDLESS)
    return (message.role, message.content, message.client_msg_id, metadata)


def changes_of(message: UpdateSession) -> Mapping[str, Any] | None:
    """Return the fields that an update replaces; None: its function alone knows."""
    patch = message.patch
    if patch is None:
        return None
    return patched(patch)


def patched(patch: SessionPatch) -> Mapping[str, Any]:
    """Return the fields that a patch replaces."""
    changes: dict[str, Any] = {}
    for name in PATCHED:
        value: Any = getattr(patch, name)
        if value is not msgspec.UNSET:
            if name != "system_prompt" and value is not None:
                value = freeze(name, value, _BOUNDLESS)
            changes[name] = value
    return changes


def first_fields(message: CreateSession) -> Fields:
    """Return the fields of a session as it is created."""
    capabilities = message.client_capabilities
    return (
        freeze("metadata", message.metadata, _BOUNDLESS),
        freeze("variables", message.variables, _BOUNDLESS),
        None,
        None if capabilities is None else freeze("capabilities", capabilities, _BOUNDLESS),
    )


def _is_same(one: Operation, other: Operation) -> bool:
    """Say whether two creates are attempts at the same."""
    mine, yours = one.message, other.message
    assert isinstance(mine, CreateSession)
    assert isinstance(yours, CreateSession)
    if mine is yours:
        return True
    key = mine.idempotency_key
    return (
        key is not None and key == yours.idempotency_key and content_of(mine) == content_of(yours)
    )


def _at(bound: Bound) -> float:
    return bound.at


def _began(operation: Operation) -> float:
    return operation.began


def _operation(bound: Bound) -> Operation:
    assert bound.operation is not None, "it is somebody's"
    return bound.operation


def _earliest(bounds: dict[T, Bound], key: T, bound: Bound) -> None:
    known = bounds.get(key)
    if known is None or bound.at < known.at:
        bounds[key] = bound


def _latest(bounds: dict[T, Bound], key: T, bound: Bound) -> None:
    known = bounds.get(key)
    if known is None or bound.at > known.at:
        bounds[key] = bound
