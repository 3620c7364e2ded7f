"""What clients of a chaos run do, and what they write down of what they are told."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from callboard.actors import (
    AppendMessage,
    BeginSpawn,
    CallTool,
    CleanupInactive,
    CountSessions,
    CreateSession,
    DuplicateSession,
    FindSession,
    IdempotencyConflict,
    InjectCrash,
    InvalidField,
    ListSessions,
    PassivateSession,
    Presence,
    Prompt,
    ReviveSession,
    Role,
    Session,
    SessionAsleep,
    SessionCrashed,
    SessionError,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionRestarting,
    SessionSystem,
    TerminateSession,
    UpdateSession,
    VersionConflict,
)
from callboard.actors.testing import History
from callboard.supervision import (
    ActorDeadError,
    DeliveryError,
    FencedError,
    Request,
    Timeout,
)
from tests.cast import Boom, Fall, Linger, Promise, Say, SayLater
from tests.chaos.play import AGENT, FILES, FURNISHED, LINKED, LIT, PLAIN
from tests.chaos.worlds import World
from tests.laws import Ledger, services_of
from tests.storm_laws import Crashes, Told, Versions

R = TypeVar("R")

PATIENCE_S = 120.0
"""How long an ask may wait: longer than anything takes, so that running out of it is a failure."""

GRACE_S = 1.0
"""What a terminated session gets: short, so that some are ended by force."""

TRIES_MAX = 50
"""How often a client sends the same again before that is a failure."""

SESSIONS_MAX = 24
"""Sessions at once from which on clients end more of them than they create."""

MANAGER_FELL = (ActorDeadError, FencedError)
"""What an asker gets whose message the manager had in hand when it fell."""


class Hung(AssertionError):
    """An ask did not end."""


def meant(message: Request[Any]) -> Request[Any] | None:
    """Return what a message does to its session, in words that a history understands."""
    if isinstance(message, Say):  # one commit, that of the text
        return AppendMessage(message.session_id, Role.USER, message.text)
    return None if isinstance(message, (Linger, Promise)) else message


def has_steps(session: Session) -> bool:
    """Say whether a session is spawned step by step, of which each is a commit."""
    return session.kind != PLAIN


class Notes:
    """What all clients of a run know: what exists, and what they were promised."""

    def __init__(self, sessions: SessionSystem, world: World, seen: Counter[str]) -> None:
        self.sessions = sessions
        self.world = world
        self.seen = seen
        self.ledger = Ledger()
        self.versions = Versions()
        self.told = Told(sessions)
        self.history = History(sessions, means=meant, commits_alone=has_steps)
        self.crashes = Crashes(sessions.system.clock.now_s)
        self.lock = threading.Lock()
        """Held for notes that belong together, never while asking."""
        self.ids: dict[str, str] = {}
        """Ids of the sessions that clients talk to, each with its kind."""
        self.ended: dict[str, int | None] = {}
        """Session id -> how many messages its last snapshot had, if anybody was told."""
        self.texts: set[str] = set()
        """Texts that count in a session's own data when they are kept."""
        self.failed_keys: set[str] = set()
        """Keys of creates of which nothing has come."""
        self.asked = 0
        self.violations: list[str] = []
        self._numbers = Counter[str]()

    def text_of(self, name: str) -> str:
        """Return a text that nobody has used; a client's own go up."""
        with self.lock:
            self._numbers[name] += 1
            return f"{name} {self._numbers[name]}"

    def broken(self) -> list[str]:
        """Return what is wrong by what is written down here."""
        services = services_of(self.sessions)
        found = [
            *self.violations,
            *self.versions.broken(),
            *self.told.broken(),
            *self.ledger.broken(self.sessions),
            *self.crashes.broken(self.sessions),
        ]
        for row in services.table.rows():
            kept = row.latest()
            data: Any = kept.session.data
            counted = sum(each.content in self.texts for each in kept.log.last(kept.log.last_seq))
            said = 0 if data is None else data.said
            if counted != said:
                found.append(f"{row.id} has {counted} texts that count, and counted {said}")
        # A create that clients sent again and again makes one session.
        makers = Counter(row.latest().session.metadata.get("by") for row in services.table.rows())
        found += [
            f"{by} was created {times} times"
            for by, times in makers.items()
            if by is not None and times > 1
        ]
        found += [
            f"the key {each} is taken, though its create has failed"
            for each in sorted(self.failed_keys & set(services.book.creates._created))
        ]
        return found

    def forget(self) -> None:
        """All sessions have ended: nothing of them is needed any more."""
        self.ids.clear()
        self.ended.clear()
        self.texts.clear()
        self.failed_keys.clear()
        self.ledger = Ledger()
        self.history.forget()
        self.crashes.forget_all_but(())


class Client:
    """One client, with chances of its own.

    Args:
        name: begins its texts.
        notes: what all clients share.
        chance: decides what it does.
    """

    def __init__(self, name: str, notes: Notes, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self._notes = notes
        self._sessions = notes.sessions
        self._seen = notes.seen

    def ask(self, message: Request[R]) -> R:
        """Ask, and wait for longer than anything takes.

        Raises:
            Hung: no answer came.
        """
        self._notes.asked += 1
        try:
            return self._notes.history.ask(message, by=self.name, timeout=PATIENCE_S)
        except Timeout as error:
            msg = f"{message!r} had no answer after {PATIENCE_S} s"
            raise Hung(msg) from error

    def work(
        self, steps: int, is_over: Callable[[], bool] = lambda: True, *, most: float = math.inf
    ) -> None:
        """Do as many things as that, and then until it is over, but no more than `most`."""
        step = 0
        while step < steps or not is_over():
            step += 1
            self._notes.world.sleep(self.chance.random() * 0.02)
            if step <= most:
                self._do_something()

    def _do_something(self) -> None:
        ids = list(self._notes.ids)
        choice = self.chance.random()
        if choice < 0.12 or not ids:
            if len(ids) < SESSIONS_MAX:
                self.create()
            else:
                self.end(self.chance.choice(ids))
            return
        session_id = self.chance.choice(ids)
        if choice < 0.17:
            if len(ids) > 4:
                self.end(session_id)
        elif choice < 0.21:
            self.settled(PassivateSession(session_id))
        elif choice < 0.25:
            self.settled(ReviveSession(session_id))
        elif choice < 0.35:
            self.update(session_id)
        elif choice < 0.55:
            self.append(session_id)
        elif choice < 0.60:
            self.settled(Promise(session_id))
        elif choice < 0.66:
            self.use_links(session_id)
        elif choice < 0.74:
            self.read()
        else:
            self.say(self.chance.choice([Say, Say, SayLater]), session_id)

    # -- sessions come and go ----------------------------------------------

    def create(self, kind: str | None = None, *, has_key: bool | None = None) -> str | None:
        """Create a session; again with the same key when the manager fell meanwhile."""
        chance = self.chance
        if kind is None:
            kind = chance.choice([PLAIN, PLAIN, PLAIN, FURNISHED, FURNISHED, LIT, LINKED])
        by = self._notes.text_of(f"create-{self.name}")
        if has_key is None:
            has_key = chance.random() < 0.7
        message = CreateSession(
            user_id=self.name,
            org_id="acme",
            agent_role=f"role-{chance.randrange(5)}",
            kind=kind,
            metadata={"by": by},
            mcp=(FILES,) if kind == LINKED else None,
            agent=AGENT if kind == LINKED else None,
            activate=chance.random() < 0.9,
            idempotency_key=by if has_key else None,
        )
        made = self._created(message, by)
        if made is None:
            return None
        with self._notes.lock:
            self._notes.ids[made.id] = kind
        if has_key and chance.random() < 0.2:
            self._created_again(message, made)
        if not message.activate:
            self.settled(BeginSpawn(made.id))
        return made.id

    def _created(self, message: CreateSession, by: str) -> Session | None:
        for _ in range(TRIES_MAX):
            try:
                return self.ask(message)
            except MANAGER_FELL:
                if message.idempotency_key is None:
                    return None  # whether there is one nobody knows
                self._seen["a create that was repeated"] += 1
            except SessionNotFound:  # created for the killed manager's asker, and ended since
                return None
            except (InvalidField, DuplicateSession, IdempotencyConflict):
                raise
            except SessionError:  # a step of the spawn was struck, and said so in words of its own
                self._seen["a create that failed"] += 1
                self._notes.failed_keys.add(by)
                return None
        raise Hung(by)

    def _created_again(self, message: CreateSession, first: Session) -> None:
        """Send a create again that was answered: it gets the first reply again."""
        for _ in range(TRIES_MAX):
            try:
                again = self.ask(message)
            except MANAGER_FELL:
                continue
            except SessionNotFound:
                # Its first answer was given for an asker before this one, to whom it was lost.
                return
            if again.id != first.id:
                self._notes.violations.append(
                    f"{message.idempotency_key} made {first.id} and {again.id}"
                )
            self._seen["a create that was answered again"] += 1
            return

    def end(self, session_id: str, *, insists: bool = True) -> None:
        """Terminate a session; what was confirmed before is in its last snapshot.

        Args:
            session_id: which.
            insists: whether it is asked again when the manager fell meanwhile; otherwise whether
                the session has ended nobody knows.
        """
        notes = self._notes
        with notes.lock:
            if notes.ids.pop(session_id, None) is None:
                return
            promised = notes.ledger.acknowledged.get(session_id, [])
            expected = max((seq for seq, _ in promised), default=0)
        last = self.terminated(session_id, tries=TRIES_MAX if insists else 1)
        if last is not None and last.last_seq < expected:
            notes.violations.append(f"{session_id} ended without its last messages")
        with notes.lock:
            notes.ended[session_id] = None if last is None else last.last_seq
            notes.ledger.forget(session_id)
            if insists:
                notes.crashes.forgive(session_id)
        self._seen["a session that was terminated"] += 1

    def terminated(self, session_id: str, *, tries: int = TRIES_MAX) -> Session | None:
        """Terminate; return the last snapshot, None when it was gone already, or nobody knows."""
        for _ in range(tries):
            try:
                return self.ask(TerminateSession(session_id, grace_s=GRACE_S))
            except MANAGER_FELL:
                continue
            except SessionNotFound:  # the manager fell after it had removed the row
                return None
        if tries < TRIES_MAX:
            return None
        raise Hung(session_id)

    # -- talk --------------------------------------------------------------

    def say(self, kind: type[Say], session_id: str) -> BaseException | None:
        """Send a text; write down what became of it; return what the answer was, if an error."""
        notes = self._notes
        text = notes.text_of(self.name)
        with notes.lock:
            notes.texts.add(text)
            notes.ledger.doubt(session_id, text)
        try:
            seq = self.ask(kind(session_id, text=text))
        except (Boom, SystemExit) as error:
            self._seen[f"the handler's own {type(error).__name__}"] += 1
            notes.ledger.deny(text)
            return error
        except (SessionQuarantined, SessionError) as error:
            self._seen[type(error).__name__] += 1
            if not isinstance(error, SessionNotFound):
                notes.ledger.deny(text)
            return error
        except (SessionCrashed, ActorDeadError) as error:
            self._seen[type(error).__name__] += 1
            return error
        self._keep(session_id, seq, text)
        return None

    def _keep(self, session_id: str, seq: int, text: str) -> None:
        notes = self._notes
        with notes.lock:
            if session_id not in notes.ended:
                notes.ledger.keep(session_id, seq, text)
                return
            # It was answered, and ended before its client came to hear it.
            last_seq = notes.ended[session_id]
        if last_seq is not None and seq > last_seq:
            notes.violations.append(f"{session_id} ended without {text!r}")

    def append(self, session_id: str) -> None:
        """Append under a key, again and again until it is known to be kept, or cannot be."""
        text = self._notes.text_of(self.name)
        with self._notes.lock:
            self._notes.ledger.doubt(session_id, text)
        message = AppendMessage(session_id, Role.USER, text, client_msg_id=text)
        for number in range(TRIES_MAX):
            try:
                seq = self.ask(message)
            except SessionCrashed:
                continue
            except (ActorDeadError, SessionError, SessionQuarantined):
                return
            if number:
                self._seen["an append that was repeated"] += 1
            self._keep(session_id, seq, text)
            if self.chance.random() < 0.1:
                self._appended_again(message, seq)
            return

    def _appended_again(self, message: AppendMessage, seq: int) -> None:
        try:
            again = self.ask(message)
        except (SessionError, DeliveryError):
            return
        if again != seq:
            said = f"{message.client_msg_id} was appended as {seq} and again as {again}"
            self._notes.violations.append(said)

    def update(self, session_id: str) -> None:
        """Change a session, if it is at the version at which it was seen."""
        chance = self.chance
        try:
            before = self._sessions.get(session_id)
            patch = SessionPatch(metadata={**before.metadata, "note": chance.randrange(1_000)})
            expected = before.version if chance.random() < 0.5 else None
            after = self.ask(UpdateSession(session_id, patch=patch, expected_version=expected))
            now = self._sessions.get(session_id)
        except VersionConflict:
            self._seen["an update that came too late"] += 1
            return
        except (SessionError, ActorDeadError, SessionCrashed, SessionQuarantined):
            return
        if after.version <= before.version or now.version < after.version:
            said = f"{session_id} went from {before.version} to {after.version}, now {now.version}"
            self._notes.violations.append(said)

    def use_links(self, session_id: str) -> None:
        """Call a tool or prompt an agent, where there is one."""
        if self._notes.ids.get(session_id) != LINKED:
            return
        if self.chance.random() < 0.5:
            self.settled(CallTool(session_id, FILES.id, "echo", {"a": 1}))
            return
        text = self._notes.text_of(self.name)
        with self._notes.lock:
            self._notes.ledger.doubt(session_id, text)
        try:
            done = self.ask(Prompt(session_id, text, timeout_s=30.0))
        except (SessionError, ActorDeadError, SessionCrashed, SessionQuarantined):
            return
        if done.stop_reason == "end_turn":
            self._seen["a prompt that was answered"] += 1

    def settled(self, message: Request[Any]) -> bool:
        """Send what may be refused, and is repeated by nobody; say whether it was answered."""
        try:
            self.ask(message)
        except SessionCrashed:
            self._seen["SessionCrashed"] += 1
            return False
        except (SessionError, ActorDeadError, FencedError, SessionQuarantined):
            return False
        except (SessionAsleep, SessionRestarting):
            if isinstance(message, InjectCrash):  # there is nobody to crash just now
                return False
            raise  # an ask that ran out of time
        return True

    # -- reads -------------------------------------------------------------

    def read(self) -> None:
        """Read lists, counts and snapshots as they come, in the middle of it all."""
        ids: list[str] = []
        after_id: str | None = None
        while True:
            page = self.ask(ListSessions(after_id=after_id, limit=7))
            ids += [each.id for each in page.sessions]
            after_id = page.next_after_id
            if after_id is None:
                break
        if ids != sorted(set(ids)):
            self._notes.violations.append(f"a list is not in order: {ids}")
        role = f"role-{self.chance.randrange(5)}"
        found = self.ask(FindSession(agent_role=role))
        if found is not None and found.agent_role != role:
            self._notes.violations.append(f"{found.id} was found as {role}: {found.agent_role}")
        self.ask(CountSessions(presence=Presence.AWAKE))
        try:
            self.ask(CleanupInactive(dry_run=True))
        except MANAGER_FELL:
            return

    # -- what strikes use --------------------------------------------------

    def fall(self, session_id: str, kind: type[Say] = Fall) -> BaseException | None:
        """Have a handler raise."""
        return self.say(kind, session_id)

    def linger(self, session_id: str) -> None:
        """Have a session be at work for a while."""
        self.settled(Linger(session_id))
