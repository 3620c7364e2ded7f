"""Small histories, right ones and wrong ones: clients that ask one session, which may cheat."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from callboard.actors import (
    AppendMessage,
    CreateSession,
    DuplicateSession,
    GetMessages,
    GetSession,
    IdempotencyConflict,
    MessagePage,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionError,
    SessionNotFound,
    SessionPatch,
    SessionTerminating,
    SpawnError,
    StoreError,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
    VersionConflict,
)
from callboard.actors.testing.evidence import changes_of, said_by
from callboard.actors.testing.operations import Clock, Operation, Outcome, answered, failed
from callboard.supervision import Request, Timeout
from tests.history import model
from tests.history.model import ABSENT, ACTIVE, CREATED, GONE, State, alone, snapshot

SESSION: Final = "s"
CREATE = CreateSession(session_id=SESSION, metadata={"n": 0}, idempotency_key="create")

PLANTS: Final = (
    "a message is lost",
    "a message is kept twice",
    "two messages are swapped",
    "a read is stale",
    "a page is stale",
    "a version is used again",
    "an update is lost",
    "a wrong version is taken",
    "an append is answered after the end",
    "a retry is kept again",
    "a retry is answered otherwise",
    "another content is taken under a key",
    "what was refused is kept",
    "an end is not one",
    "a create is answered in two ways",
    "the patch of a revive is lost",
)
"""How a session can cheat, once in its life."""


class Cheat:
    """A session that does one thing after the other, and cheats once.

    Args:
        chance: decides when it cheats.
        plant: how it does; None: not at all.
    """

    def __init__(self, chance: random.Random, plant: str | None) -> None:
        self.state = State()
        self.first: Session | None = None
        self.has_cheated = False
        self._chance = chance
        self._plant = plant
        self._before = self.state

    def cheats(self, plant: str) -> bool:
        """Say whether it does so now."""
        if plant != self._plant or self.has_cheated or self._chance.random() < 0.5:
            return False
        self.has_cheated = True
        return True

    def move(self) -> None:
        """Do something by itself, if there is something to do."""
        moves = list(alone(self.state))
        if moves:
            self.state = self._chance.choice(moves)
            if self.state.stage == ACTIVE and self.first is None:
                self.first = snapshot(self.state)

    def perform(self, operation: Operation) -> object:
        """Do what is asked, at this moment; return the reply, or what is raised."""
        state, asked = self.state, operation.message
        if isinstance(asked, CreateSession):
            if asked.idempotency_key != CREATE.idempotency_key:
                return DuplicateSession(SESSION)
            if self.cheats("a create is answered in two ways") and state.is_there:
                return snapshot(state)
            return self.first
        if isinstance(asked, TerminateSession):
            if self.cheats("an end is not one"):
                return state.past[-1] if state.past else None
            return state.past[-1]
        if self.cheats("an append is answered after the end"):
            self.has_cheated = state.stage == GONE and isinstance(asked, AppendMessage)
            if self.has_cheated:
                return len(state.log) + 1
        if not state.is_there:
            return SessionNotFound(SESSION)
        if isinstance(asked, (GetSession, GetMessages)):
            return self._read(asked)
        if isinstance(asked, ReviveSession):
            # What it has changed stays, if the start fails.
            return SpawnError("it fell") if self._chance.random() < 0.1 else snapshot(state)
        if state.stage != ACTIVE:
            return SessionTerminating(SESSION)
        self._before = state
        if isinstance(asked, AppendMessage):
            return self._append(operation, asked)
        if isinstance(asked, UpdateSession):
            return self._update(asked)
        if isinstance(asked, UpdateSystemPrompt):
            self._change({"system_prompt": asked.prompt})
            return asked.prompt
        self._change({})
        return 1.0

    def begin_revive(self, operation: Operation) -> SessionError | None:
        """Change what a revive changes before the start; return why it is refused, if it is."""
        choices = model.ask(self.state, operation)
        if not choices:
            return SessionTerminating(SESSION)
        is_sure = len(choices) == 1 and choices[0] is not self.state
        if not (is_sure and self.cheats("the patch of a revive is lost")):
            self.state = self._chance.choice(choices)
        return None

    def _read(self, asked: GetSession | GetMessages) -> object:
        state = self.state
        if isinstance(asked, GetSession):
            is_stale = self._before.is_there and self.cheats("a read is stale")
            return snapshot(self._before if is_stale else state)
        if self._before.is_there and self.cheats("a page is stale"):
            state = self._before
        log = tuple(model.message(state, seq) for seq in range(1, len(state.log) + 1))
        part = log[asked.after_seq : asked.after_seq + asked.limit]
        return MessagePage(messages=part, last_seq=len(log))

    def _append(self, operation: Operation, asked: AppendMessage) -> object:
        state, said = self.state, said_by(asked)
        known = state.find(asked.client_msg_id)
        if known is not None and not self.cheats("a retry is kept again"):
            if state.log[known - 1] != said:
                if self.cheats("another content is taken under a key"):
                    return known
                return IdempotencyConflict("client_msg_id", asked.client_msg_id or "")
            return known + 1 if self.cheats("a retry is answered otherwise") else known
        seq, log = len(state.log) + 1, (*state.log, said)
        if self.cheats("a message is lost"):
            return seq
        if self.cheats("a message is kept twice"):
            log = (*log, said)
        if len(log) > 1 and self.cheats("two messages are swapped"):
            log = (*log[:-2], log[-1], log[-2])
        self.state = state.at(ACTIVE, state.version + 1, log=log)
        if self.cheats("what was refused is kept"):
            return StoreError("it is not kept, it says")
        del operation
        return seq

    def _update(self, asked: UpdateSession) -> object:
        state, expected = self.state, asked.expected_version
        if expected not in {None, state.version} and not self.cheats("a wrong version is taken"):
            assert expected is not None
            return VersionConflict(SESSION, expected_version=expected, version=state.version)
        self._change(changes_of(asked) or {})
        made = snapshot(self.state)
        if self.cheats("an update is lost"):
            self.state = state
        return made

    def _change(self, changes: Any) -> None:
        after = model._changed(self.state, changes)
        assert after is not None
        if self.cheats("a version is used again"):
            after = after._replace(version=self.state.version)
        self.state = after


def any_message(chance: random.Random, version: int, *, may_end: bool) -> Request[Any]:
    """Return something that a client may ask."""
    number = chance.randrange(4)
    choices: list[Callable[[], Request[Any]]] = [
        lambda: AppendMessage(SESSION, Role.USER, f"text {number}"),
        lambda: AppendMessage(SESSION, Role.USER, f"text {number}"),
        lambda: AppendMessage(SESSION, Role.USER, f"text {number % 2}", f"key {number // 2}"),
        lambda: AppendMessage(SESSION, Role.USER, f"text {number % 2}", f"key {number // 2}"),
        lambda: UpdateSession(SESSION, patch=SessionPatch(metadata={"n": number})),
        lambda: UpdateSession(
            SESSION,
            patch=SessionPatch(metadata={"n": number}),
            expected_version=max(0, version - chance.randrange(2)),
        ),
        lambda: GetSession(SESSION),
        lambda: GetMessages(SESSION),
        lambda: GetMessages(SESSION, after_seq=number, limit=2),
        lambda: chance.choice([RecordActivity(SESSION), UpdateSystemPrompt(SESSION, f"{number}")]),
        lambda: chance.choice(
            [
                ReviveSession(SESSION),
                ReviveSession(SESSION, SessionPatch(metadata={"n": number})),
            ]
        ),
        lambda: chance.choice([CREATE, CreateSession(session_id=SESSION, idempotency_key="else")]),
    ]
    if may_end and chance.random() < 0.15:
        return TerminateSession(SESSION)
    return chance.choice(choices)()


class _Pending:
    """An operation that is under way."""

    def __init__(self, operation: Operation, *, is_doubtful: bool, has_asked: bool) -> None:
        self.operation = operation
        self.is_doubtful = is_doubtful
        self.has_asked = has_asked
        self.told: object = None
        self.is_done = False
        self.is_void = False
        """Whether it would make another session: it is left out."""


def history(
    seed: int,
    *,
    operations: int = 14,
    clients: int = 3,
    plant: str | None = None,
    usual: Callable[[random.Random], Request[Any]] | None = None,
) -> tuple[list[Operation], bool]:
    """Make a history; say whether somebody was cheated, which it may not show.

    Args:
        seed: decides all.
        operations: how many there are, one create and two reads at the end apart.
        clients: how many ask at once.
        plant: how one of them is cheated.
        usual: what they ask; None: whatever makes trouble.
    """
    chance = random.Random(seed)
    session, clock = Cheat(chance, plant), Clock()
    made: list[Operation] = []
    busy: dict[int, _Pending] = {}
    ghosts: list[_Pending] = []
    may_end, doubt = chance.random() < 0.6, chance.choice([0.0, 0.1, 0.3])
    if usual is not None:
        doubt = 0.02
    left = operations

    def begin(client: int, message: Request[Any]) -> None:
        operation = Operation(by=f"client-{client}", message=message, began=clock.tick())
        is_doubtful = chance.random() < doubt and not isinstance(message, CreateSession)
        is_asked_first = isinstance(message, (ReviveSession, TerminateSession))
        has_asked = message is not CREATE and not is_asked_first
        pending = _Pending(operation, is_doubtful=is_doubtful, has_asked=has_asked)
        if pending.is_doubtful:
            made.append(failed(operation, Timeout("no answer"), clock.tick()))
            ghosts.append(pending)
        else:
            busy[client] = pending

    def perform(pending: _Pending) -> None:
        message, state = pending.operation.message, session.state
        if not pending.has_asked:
            if not state.is_there and message is not CREATE:
                pending.told, pending.is_done = SessionNotFound(SESSION), True
                return
            if isinstance(message, ReviveSession):
                pending.told = session.begin_revive(pending.operation)
                pending.is_done, pending.has_asked = pending.told is not None, True
                return
            (session.state,) = model.ask(state, pending.operation) or (state,)
            pending.has_asked = True
            return
        if message is CREATE and session.first is None:
            return
        if isinstance(message, CreateSession) and message is not CREATE and not state.is_there:
            pending.is_void = state.stage == GONE
            return
        is_read = isinstance(message, (GetSession, GetMessages, CreateSession, TerminateSession))
        if state.stage == CREATED and not is_read:
            return
        is_early = isinstance(message, TerminateSession) and state.stage != GONE
        if is_early and session._plant != "an end is not one":
            return
        pending.told, pending.is_done = session.perform(pending.operation), True

    begin(0, CREATE)
    for _ in range(operations * 40):
        idle = [each for each in range(clients) if each not in busy]
        choice = chance.random()
        if choice < 0.35 and idle and left > 0:
            left -= 1
            client, version = chance.choice(idle), session.state.version
            if usual is None:
                begin(client, any_message(chance, version, may_end=may_end))
            else:
                begin(client, usual(chance))
        elif choice < 0.45:
            session.move()
        elif choice < 0.55 and ghosts:
            ghost = chance.choice(ghosts)
            perform(ghost)
            if ghost.is_done or chance.random() < 0.3:
                ghosts.remove(ghost)
        elif busy:
            client = chance.choice(list(busy))
            pending = busy[client]
            if pending.is_void:
                del busy[client]
            elif not pending.is_done:
                perform(pending)
            else:
                del busy[client]
                made.append(_ended(pending, clock.tick()))
        if not busy and not left:
            break
    while session.state.stage not in {ABSENT, ACTIVE, GONE}:
        session.move()
    # What is left nobody has heard of; another session it has not made.
    made += [
        each.operation
        for each in busy.values()
        if each.operation.message is CREATE or not isinstance(each.operation.message, CreateSession)
    ]
    for message in (GetSession(SESSION), GetMessages(SESSION)):
        asked = Operation(by="the last look", message=message, began=clock.tick())
        pending = _Pending(asked, is_doubtful=False, has_asked=True)
        pending.told = session.perform(asked)
        made.append(_ended(pending, clock.tick()))
    return made, session.has_cheated


def _ended(pending: _Pending, ended: int) -> Operation:
    told = pending.told
    if isinstance(told, BaseException):
        return failed(pending.operation, told, ended)
    return answered(pending.operation, told, ended)


# -- changed by hand -------------------------------------------------------


def mutated(seed: int, operations: list[Operation]) -> list[Operation]:
    """Return a history in which one thing was changed: it may be right all the same."""
    chance = random.Random(seed)
    changed = list(operations)
    place = chance.randrange(1, len(changed))
    operation = changed[place]
    choice = chance.randrange(7)
    if choice == 0:
        del changed[place]
    elif choice == 1:
        began = operation.began + chance.choice([-7, -3, 3, 7]) + 0.5
        changed[place] = msgspec.structs.replace(
            operation, began=min(began, operation.ended - 0.25)
        )
    elif choice == 2:
        ended = operation.ended + chance.choice([-7, -3, 3, 7]) + 0.5
        changed[place] = msgspec.structs.replace(
            operation, ended=max(ended, operation.began + 0.25)
        )
    elif choice == 3:
        changed[place] = msgspec.structs.replace(
            operation, reply=_otherwise(chance, operation.reply)
        )
    elif choice == 4 and operation.is_answered:
        changed[place] = failed(operation, StoreError("no"), operation.ended)
    elif choice == 5:
        others = [
            each
            for each in changed
            if type(each.message) is type(operation.message) and each.outcome is operation.outcome
        ]
        other = chance.choice(others)
        at = changed.index(other)
        changed[place] = msgspec.structs.replace(operation, reply=other.reply)
        changed[at] = msgspec.structs.replace(other, reply=operation.reply)
    elif operation.version is not None:
        version = operation.version + chance.choice([-1, 1])
        changed[place] = msgspec.structs.replace(operation, version=version)
    else:
        times = sorted([*(each.began for each in changed)])
        moved = chance.choice(times) + 0.1
        length = min(operation.ended - operation.began, 1e6)
        changed[place] = msgspec.structs.replace(
            operation,
            began=moved,
            ended=moved + length if operation.outcome is not Outcome.UNKNOWN else operation.ended,
        )
    return changed


def _otherwise(chance: random.Random, reply: object) -> object:
    step = chance.choice([-1, 1])
    if isinstance(reply, Session):
        field = chance.choice(["version", "last_seq", "metadata"])
        if field == "metadata":
            return msgspec.structs.replace(reply, metadata={"n": 9})
        if field == "last_seq":  # of a session with a log these are one
            seq = reply.last_seq + step
            return msgspec.structs.replace(reply, last_seq=seq, message_count=seq)
        return msgspec.structs.replace(reply, version=reply.version + step)
    if isinstance(reply, MessagePage):
        if reply.messages and step > 0:
            return msgspec.structs.replace(reply, messages=reply.messages[::-1])
        return msgspec.structs.replace(
            reply, messages=reply.messages[:-1], last_seq=max(0, reply.last_seq - 1)
        )
    return reply + step if isinstance(reply, int) else reply
