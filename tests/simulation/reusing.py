"""Clients who share two ids, and use them again and again: who is there, and who has said what?

Other worlds give every session an id of its own. Here it may have been another one's a moment
ago, so that whatever is still under way about that one meets the next. `reuse` plays one schedule,
and says what the clients were told that cannot be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PassivateSession,
    Presence,
    ResumeSession,
    ReviveSession,
    Role,
    Session,
    SessionActor,
    SessionError,
    SessionMessage,
    SessionNotFound,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.testing import Callboard
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import DeliveryError, Request, handles
from tests.laws import broken_laws

IDS = "xy"

CLIENTS = ("ada", "bob", "eve")

ACTS = 6
"""What each client does."""

CRASHES = 4
"""How often a session has crashed that is quarantined, if nobody else dies meanwhile."""


class Fail(SessionMessage[int], frozen=True):
    """Crash."""


class Leave(SessionMessage[int], frozen=True):
    """End the session, by itself."""


class Guest(SessionActor[None]):
    """A session that crashes and ends when it is told to."""

    starts_at_once = True

    @handles(Fail)
    def on_fail(self, message: Fail) -> int:
        raise ValueError(message)

    @handles(Leave)
    def on_leave(self, message: Leave) -> int:
        del message
        self.end("it leaves")
        return 1


class Told(NamedTuple):
    """A message, what became of it, and when, by the number of things that happened before."""

    asked: int
    message: Any
    answer: Any
    told: int


class Reusing:
    """One schedule.

    Args:
        callboard: where it is played.
        crashes_min: crashes that are counted at least of a session that is quarantined.
    """

    def __init__(self, callboard: Callboard, crashes_min: int) -> None:
        self._crashes_min = crashes_min
        self._callboard = callboard
        self._now = count()
        self.told: list[Told] = []
        options: dict[str, Any] = {}
        if callboard.happens("a durable store", 0.4):
            options["store"] = StoreInMemory(callboard)
        self.sessions: SessionSystem = callboard.start(Guest, **options)

    # -- played ------------------------------------------------------------

    def ask(self, message: Request[Any]) -> Any:
        """Ask, and write down what came of it."""
        asked, answer = next(self._now), None
        try:
            answer = self.sessions.ask(message)
        except (SessionError, DeliveryError, ValueError) as error:
            answer = error
        self.told.append(Told(asked, message, answer, next(self._now)))
        return answer

    def client(self, name: str) -> None:
        """Do this and that with one session or the other."""
        for number in range(ACTS):
            session_id = IDS[self._happens("the other", 0.3)]
            self.ask(self._chosen(name, number, session_id))
            if self._happens("a pause", 0.2):
                self._callboard.sleep(1.0)

    def _happens(self, what: str, probability: float) -> bool:
        return self._callboard.happens(what, probability)

    def _chosen(self, name: str, number: int, session_id: str) -> Request[Any]:
        happens = self._happens
        if happens("create", 0.35):
            if happens("a key", 0.4):  # one content for each key: it is repeated as it was
                return CreateSession(
                    session_id=session_id, user_id=name, idempotency_key=session_id
                )
            is_lazy = happens("created only", 0.2)
            user_id = f"{name} {number}"
            return CreateSession(session_id=session_id, user_id=user_id, activate=not is_lazy)
        if happens("end", 0.3):
            return TerminateSession(session_id, grace_s=0.0 if happens("now", 0.5) else 5.0)
        others: list[tuple[float, Callable[[str], Request[Any]]]] = [
            (0.4, Fail),
            (0.3, PassivateSession),
            (0.2, ReviveSession),
            (0.2, ResumeSession),
            (0.1, Leave),
        ]
        for probability, message in others:
            if happens(message.__name__, probability):
                return message(session_id)
        return AppendMessage(session_id, Role.USER, f"{name} {number}", f"{name} {number}")

    def play(self) -> None:
        """Have the clients do it, all at once, until nothing goes on any more."""
        for name in CLIENTS:
            self._callboard.spawn(name, partial(self.client, name))
        self._callboard.run()
        self._callboard.calm()
        self._callboard.advance(70.0)

    # -- looked at ---------------------------------------------------------

    def broken(self) -> list[str]:
        """Return what cannot be."""
        found = broken_laws(self.sessions)
        for session_id in IDS:
            found += self._of_the_last(session_id)
        creates = [each for each in self.told if isinstance(each.message, CreateSession)]
        for each in creates:
            found += self._of_a_key(each)
        return found

    def _of_the_last(self, session_id: str) -> list[str]:
        """Look at who is there: the one that must be, with what was said to it and no more."""
        creates = self._acknowledged(session_id)
        try:
            last = self.sessions.get(session_id)
        except SessionNotFound:
            return [
                f"{session_id} of {each.answer.user_id} was acknowledged, and is not there"
                for each in creates
                if not self._may_have_ended(session_id, after=each.asked)
            ]
        found: list[str] = []
        if last.presence is Presence.QUARANTINED and last.restarts < self._crashes_min:
            found.append(f"{session_id} is quarantined after {last.restarts} crashes")
        mine = [each for each in creates if each.answer.user_id == last.user_id]
        found += [
            f"{session_id} is {last.user_id}'s, and {each.answer.user_id}'s"
            for each in creates
            if each not in mine and not self._may_have_ended(session_id, after=each.asked)
        ]
        if not mine or last.presence is Presence.QUARANTINED:
            return found
        texts = {each.content for each in self.sessions.messages(session_id)}
        for said in self.told:
            message = said.message
            if not isinstance(message, AppendMessage) or message.session_id != session_id:
                continue
            is_kept = message.content in texts
            if said.asked > mine[0].told and isinstance(said.answer, int) and not is_kept:
                found.append(f"{session_id} has lost what {message.content} said")
            if is_kept and " " in mine[0].answer.user_id and said.told < mine[0].asked:
                found.append(f"{session_id} has what {message.content} said to the one before")
        answer = self.ask(AppendMessage(session_id, Role.USER, "at the end", "at the end"))
        if not isinstance(answer, int):
            found.append(f"{session_id} does not answer: {answer!r}")
        return found

    def _of_a_key(self, create: Told) -> list[str]:
        """Repeat a create that was told an error: it is done, or its id is somebody's."""
        session_id = create.message.session_id
        if create.message.idempotency_key is None or isinstance(create.answer, Session):
            return []
        answer = self.ask(create.message)
        if isinstance(answer, SessionNotFound):
            return [f"{session_id}: the key of {create.message.user_id} is stuck: {answer}"]
        return []

    def _acknowledged(self, session_id: str) -> list[Told]:
        """Return the creates that were answered; one that was repeated counts once, from its first.

        Repeated it gets the first reply, whatever has become of its session since.
        """
        found: dict[str, Told] = {}
        asked: dict[str, int] = {}
        for each in self.told:
            create = each.message
            if isinstance(create, CreateSession) and create.session_id == session_id:
                user_id = str(create.user_id)
                first = asked.setdefault(user_id, each.asked)
                if isinstance(each.answer, Session):
                    found.setdefault(user_id, each._replace(asked=first))
        return list(found.values())

    def _may_have_ended(self, session_id: str, *, after: int) -> bool:
        return any(
            isinstance(each.message, (TerminateSession, Leave))
            and each.message.session_id == session_id
            and each.told > after
            for each in self.told
        )


def reuse(callboard: Callboard, *, crashes_min: int = CRASHES) -> list[str]:
    """Play one schedule; return what cannot be."""
    reusing = Reusing(callboard, crashes_min)
    reusing.play()
    return reusing.broken()
