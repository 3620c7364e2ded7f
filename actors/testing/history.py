"""Were all clients told one story? What they ask is written down, and checked session by session.

A session promises to be one thing that everybody sees: its appends, updates, reads and its end
happen one after the other, each at a moment between its ask and its answer, and what was refused
has not happened. `History` records what clients were told, and finds where no such order exists.

It is for users, too: a store of the host's, and messages of one's own, decide whether that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from callboard.actors.errors import DuplicateSession, InvalidField, SessionNotFound, StoreError
from callboard.actors.messages import (
    CreateSession,
    GetMessages,
    GetSession,
    ListSessions,
    TerminateSession,
)
from callboard.actors.sessions.data import Session, SessionId
from callboard.actors.sessions.keys import Key, content_of, key_of
from callboard.actors.system import SessionSystem
from callboard.actors.testing.evidence import Contradicted, Evidence, Unclear
from callboard.actors.testing.operations import (
    NEVER,
    Clock,
    Operation,
    answered,
    describe,
    failed,
)
from callboard.actors.testing.walking import walk
from callboard.supervision import CallboardError, Request

R = TypeVar("R")

OPERATIONS_MAX: Final = 1_000_000
"""Operations that a history may have: about 1 kB each, with what they hold."""

AROUND: Final = 6
"""Operations that are told before the first and after the last of those that contradict."""

STORY_MAX: Final = 40
"""Operations that are told of one contradiction."""

LOOKS_MAX: Final = 5
"""How often `History.look` asks a store for a session that it refuses to read."""

READ_BY: Final = "the last look"
"""Who has asked what `History.look` asks."""


class HistoryFull(CallboardError):
    """A history has as many operations as it may: what comes more would not be checked."""

    code = "history_full"
    remedy = "Call `broken` and then `forget` from time to time."


class Finding(msgspec.Struct, frozen=True, eq=False):
    """What a check has found out of one session.

    Args:
        session_id: which.
        told: what is wrong, as a sentence; None: nothing is.
        unclear: why nothing can be said; None: it can.
        operations: those that contradict each other.
        story: what went on around them, a line for each operation.
    """

    session_id: str
    told: str | None = None
    unclear: str | None = None
    operations: tuple[Operation, ...] = ()
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = self.told or self.unclear or "right"
        return "\n  ".join((f"{self.session_id}: {said}", *self.story))


class History:
    """What the clients of a session system ask, and what they are told. Any thread.

        history = History(sessions)
        ada = history.ask(CreateSession(user_id="ada"), by="ada")
        history.ask(AppendMessage(ada.id, Role.USER, "hello"), by="ada")
        history.look()
        assert history.broken() == []

    Whatever changes a session must be asked through one history. Messages of your own may do
    anything to their session, unless `means` says what: from the first of them on less is
    certain, and less is found. An id may be used for one session: of one that was given again
    after an end nothing is said, and `findings` says so; `forget` begins anew.

    Args:
        sessions: it runs, in a simulation or on threads.
        means: which of callboard's own messages does to a session what one of yours does and has
            the same reply; None: yours changes nothing.
        commits_alone: whether sessions make commits that nobody asks for, and may end when one
            fails, as they do with a workspace, prompts, a cleaner or connections; or which of
            them do, by what a create was answered.
    """

    def __init__(
        self,
        sessions: SessionSystem,
        *,
        means: Callable[[Request[Any]], Request[Any] | None] = lambda message: message,
        commits_alone: bool | Callable[[Session], bool] = False,
    ) -> None:
        self._sessions = sessions
        self._means = means
        self._commits_alone = commits_alone
        self._clock = Clock()
        self._life = 0
        self._operations: dict[float, Operation] = {}
        self._unread: dict[SessionId, str] = {}
        """What the store has said at the last look of sessions that it cannot give back."""

    def __len__(self) -> int:
        return len(self._operations)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What was asked so far, in the order of the beginnings."""
        return tuple(self._operations.values())

    # -- recording ---------------------------------------------------------

    def ask(self, message: Request[R], *, by: str = "", timeout: float | None = None) -> R:
        """Ask as `SessionSystem.ask` does, and write it down.

        Args:
            message: what to ask.
            by: who asks, for the story.
            timeout: as in `SessionSystem.ask`.

        Raises:
            HistoryFull: there are `OPERATIONS_MAX` operations.
            BaseException: whatever `SessionSystem.ask` raises.
        """
        asked = self._begin(message, by)
        try:
            reply = self._sessions.ask(message, timeout=timeout)
        except BaseException as error:  # written down, and it goes on
            self._end(asked, failed, error)
            raise
        self._end(asked, answered, reply)
        return reply

    async def ask_async(
        self, message: Request[R], *, by: str = "", timeout: float | None = None
    ) -> R:
        """Ask as `SessionSystem.ask_async` does, and write it down; see `ask`."""
        asked = self._begin(message, by)
        try:
            reply = await self._sessions.ask_async(message, timeout=timeout)
        except BaseException as error:  # written down, and it goes on
            self._end(asked, failed, error)
            raise
        self._end(asked, answered, reply)
        return reply

    def tell(self, message: Request[Any], *, by: str = "") -> None:
        """Tell as `SessionSystem.tell` does: whether it is done nobody knows."""
        asked = self._begin(message, by)
        try:
            self._sessions.tell(message)
        except BaseException as error:  # written down, and it goes on
            self._end(asked, failed, error)
            raise

    def note(self, message: Request[R], reply: R, *, by: str = "") -> None:
        """Write down what somebody was told who has asked elsewhere: now, both began and over.

        Args:
            message: what was asked.
            reply: what was answered.
            by: who was.
        """
        self._end(self._begin(message, by), answered, reply)

    def go_on(self, sessions: SessionSystem) -> None:
        """Ask another system from now on, as clients do when a process has died.

        What was under way then has an outcome that nobody knows.

        Args:
            sessions: the next one, on the same store.
        """
        self._sessions = sessions
        self._life += 1

    def look(self) -> None:
        """Read every session that was asked for, its whole log too: what is there must fit.

        Call it before `broken`, when nothing is under way any more and no fault strikes. What a
        store has lost it cannot read: that is broken. A fault may strike at a read, too, so the
        store is asked up to `LOOKS_MAX` times.

        Raises:
            HistoryFull: there are `OPERATIONS_MAX` operations.
            CallboardError: the system does not answer.
        """
        for session_id in self._by_session()[0]:
            self._unread.pop(session_id, None)
            for _ in range(LOOKS_MAX):
                try:
                    self._read(session_id)
                except (SessionNotFound, InvalidField):  # it has ended, or has never been
                    self._unread.pop(session_id, None)
                except StoreError as error:
                    self._unread[session_id] = str(error)
                    continue
                else:
                    self._unread.pop(session_id, None)
                break

    def _read(self, session_id: SessionId) -> None:
        last_seq = self.ask(GetSession(session_id), by=READ_BY).last_seq
        after_seq = 0
        while after_seq < last_seq:
            page = self.ask(GetMessages(session_id, after_seq), by=READ_BY)
            after_seq += len(page.messages)
            if not page.messages:
                break

    def forget(self) -> None:
        """Begin anew: none of the sessions so far is asked for any more."""
        self._operations.clear()
        self._unread.clear()

    def _begin(self, message: Request[Any], by: str) -> Operation:
        if len(self._operations) >= OPERATIONS_MAX:
            msg = f"a history has {OPERATIONS_MAX} operations, as many as it may"
            raise HistoryFull(msg)
        asked = Operation(by=by, message=message, began=self._clock.tick(), life=self._life)
        self._operations[asked.began] = asked
        return asked

    def _end(
        self, asked: Operation, how: Callable[[Operation, Any, float], Operation], what: object
    ) -> None:
        if asked.began in self._operations:  # else it was forgotten meanwhile
            self._operations[asked.began] = how(asked, what, self._clock.tick())

    # -- checking ----------------------------------------------------------

    def broken(self) -> list[str]:
        """Return what is wrong: for each such session which operations contradict, and a story."""
        return [str(each) for each in self.findings() if each.told is not None]

    def findings(self) -> list[Finding]:
        """Return what can be said of each session, right ones too."""
        by_session, found = self._by_session()
        for session_id, operations in by_session.items():
            if _is_used_again(operations):
                found.append(Finding(session_id, unclear=_USED_AGAIN, operations=tuple(operations)))
                continue
            finding = check(session_id, operations, commits_alone=self._is_alone(operations))
            error = self._unread.get(session_id)
            if finding.told is None and error is not None:
                finding = _lost(session_id, operations, error)
            found.append(finding)
        return found

    def _is_alone(self, operations: Iterable[Operation]) -> bool:
        decide = self._commits_alone
        if isinstance(decide, bool):
            return decide or any(_has_links(each) for each in operations)
        return any(
            decide(each.reply)
            for each in operations
            if isinstance(each.message, CreateSession) and each.is_answered
        )

    def _by_session(self) -> tuple[dict[SessionId, list[Operation]], list[Finding]]:
        """Part the operations by session; say of which creates the same key made two."""
        recorded = [self._meant(each) for each in self.operations]
        operations = [each for each in recorded if each is not None]
        made, found = _made_by_key(operations)
        parted: dict[SessionId, list[Operation]] = {}
        for each in operations:
            for session_id, part in _parts(each, made):
                parted.setdefault(session_id, []).append(part)
        return parted, found

    def _meant(self, operation: Operation) -> Operation | None:
        message = self._means(operation.message)
        if message is operation.message:
            return operation
        return None if message is None else msgspec.structs.replace(operation, message=message)


_USED_AGAIN = (
    "its id was used again after an end: a history tells sessions apart by their ids, so nothing is"
    " said of these. Give each session another id, or call `forget` before the id is used again."
)


def _is_used_again(operations: Sequence[Operation]) -> bool:
    """Say whether the id of a session that was to end was given to another one."""
    first: Operation | None = None
    for each in operations:
        if not (isinstance(each.message, CreateSession) and each.is_answered):
            continue
        if first is None:
            first = each
        elif each.reply.created_at != first.reply.created_at or each.reply.id != first.reply.id:
            return any(
                isinstance(other.message, TerminateSession) and other.began < each.ended
                for other in operations
            )
    return False


def check(
    session_id: str, operations: Sequence[Operation], *, commits_alone: bool = False
) -> Finding:
    """Say whether the operations of one session can have been, one after the other.

    Args:
        session_id: what to call it.
        operations: all that concern it, in any order.
        commits_alone: whether it makes commits that nobody has asked for.
    """
    try:
        walk(Evidence(operations, commits_alone=commits_alone))
    except Unclear as unclear:
        return Finding(session_id, unclear=str(unclear))
    except Contradicted as found:
        if _may_be_two(operations):
            return Finding(session_id, unclear="its id may have been used twice")
        story = _story(operations, found.operations)
        return Finding(session_id, found.told, None, found.operations, story)
    return Finding(session_id)


def _lost(session_id: str, operations: Sequence[Operation], error: str) -> Finding:
    """Return the finding of a session that the store has lost, or a part of it."""
    looked = [each for each in operations if each.by == READ_BY][-1:]
    story = _story(operations, tuple(looked))
    return Finding(session_id, f"it cannot be read: {error}", None, tuple(looked), story)


def _may_be_two(operations: Iterable[Operation]) -> bool:
    """Say whether there may have been two sessions of one id, the second made when one had gone.

    That needs a creator who gave the id and was not told that there is a session: it may have
    come to be, and have been taken back or ended, before another create.
    """
    creates = [each for each in operations if isinstance(each.message, CreateSession)]
    tried = [each for each in creates if not each.is_refused_as(DuplicateSession)]
    return len(tried) > 1 and any(
        not each.is_answered and getattr(each.message, "session_id", None) is not None
        for each in tried
    )


def _story(operations: Iterable[Operation], named: tuple[Operation, ...]) -> tuple[str, ...]:
    """Tell what went on around some operations: when each began and ended, and what it was."""
    if not named:
        return ()
    ordered = sorted(operations, key=lambda each: each.began)
    places = [number for number, each in enumerate(ordered) if each in named] or [0]
    first, last = max(0, places[0] - AROUND), places[-1] + AROUND + 1
    shown = ordered[first:last]
    if len(shown) > STORY_MAX:
        near = [
            number
            for number in range(first, min(last, len(ordered)))
            if any(abs(number - place) <= AROUND for place in places)
        ]
        shown = [ordered[number] for number in near]
    return tuple(_line(each, is_named=each in named) for each in shown)


def _line(operation: Operation, *, is_named: bool) -> str:
    ended = "" if operation.ended == NEVER else f"{operation.ended:.0f}"
    mark = ">" if is_named else " "
    return f"{mark} {operation.began:>5.0f} - {ended:<5} {describe(operation)}"


def _made_by_key(
    operations: Iterable[Operation],
) -> tuple[dict[Key, tuple[bytes, SessionId]], list[Finding]]:
    """Return which session each idempotency key has made, of creates that were answered."""
    made: dict[Key, tuple[bytes, SessionId, Operation]] = {}
    found: list[Finding] = []
    for each in operations:
        message = each.message
        if not isinstance(message, CreateSession) or not each.is_answered:
            continue
        key, content = key_of(message), content_of(message)
        if key is None:
            continue
        _, session_id, first = made.setdefault(key, (content, each.reply.id, each))
        if (content, each.reply.id) != made[key][:2]:
            told = f"the key {message.idempotency_key!r} has made {each.reply.id}, and {session_id}"
            found.append(
                Finding(session_id, told, None, (each, first), _story((each, first), (each, first)))
            )
    return {key: (content, each) for key, (content, each, _) in made.items()}, found


def _parts(
    operation: Operation, made: dict[Key, tuple[bytes, SessionId]]
) -> Iterable[tuple[SessionId, Operation]]:
    """Yield which sessions an operation says something of, and what."""
    message, reply = operation.message, operation.reply
    if isinstance(message, CreateSession):
        session_id = reply.id if operation.is_answered else message.session_id
        key = key_of(message)
        if session_id is None and key is not None:
            content, session_id = made.get(key, (b"", None))
            if session_id is not None and content != content_of(message):
                return
        if session_id is not None:
            yield session_id, operation
    elif isinstance(message, ListSessions):
        for each in () if reply is None else reply.sessions:
            yield each.id, msgspec.structs.replace(operation, reply=each)
    elif isinstance(reply, Session):
        yield reply.id, operation
    else:
        session_id = getattr(message, "session_id", None)
        if session_id is not None:
            yield session_id, operation


def _has_links(operation: Operation) -> bool:
    return isinstance(operation.reply, Session) and operation.reply.has_links
