"""What the tests of a store that refuses have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callboard.actors import (
    AppendMessage,
    IncrementMessageCount,
    Presence,
    RecordActivity,
    Role,
    Session,
    SessionMessage,
    SessionPatch,
    SessionState,
    SessionSystem,
    StoreError,
    UpdateSession,
)
from callboard.actors.testing import FakeStore
from callboard.supervision import Future, handles
from tests.laws import broken_by_a_store, broken_laws
from tests.sessions.stage import PATIENT_S, Actor, Boom, Fall, Say, SayLater, Stage, later, presence

READ_ONLY = "the disk is read-only"


CHANGES: list[SessionMessage[Any]] = [
    AppendMessage("ada", Role.USER, "lost"),
    Say("ada", text="lost"),
    SayLater("ada", text="lost"),
    IncrementMessageCount("ada"),
    RecordActivity("ada"),
    UpdateSession("ada", patch=SessionPatch(metadata={"a": 1})),
]
"""What changes a session of this name."""


class Twice(SessionMessage[str], frozen=True, kw_only=True):
    """Commit, then commit once more; reply what became of the second."""


class Saving(Actor):
    """A behaviour that commits by itself."""

    @handles(Twice)
    def on_twice(self, message: Twice) -> str:
        del message
        self.append(Role.USER, "first")
        self.commit()
        self.append(Role.USER, "second")
        try:
            self.commit()
        except StoreError as error:
            seen = f"{len(self.messages(last=9))} of 2: {error.code}"
            self.append(Role.USER, "third")
            return seen
        return "2 of 2"


class LateStart(Actor):
    """A behaviour with a start of its own that commits."""

    def on_start(self) -> None:
        super().on_start()
        if self.incarnation > 1:
            self.append(Role.SYSTEM, "began anew")
            self.commit()


def behaviour(stage: Stage, kind: type[Actor]) -> type[Actor]:
    return type(kind.__name__, (kind,), {"play": stage.play})


def becomes(state: SessionState) -> Callable[[Session], bool]:
    """Return what finds the commits after which a session is in this state."""
    return lambda session: session.state is state


def has_folder(session: Session) -> bool:
    return session.workspace is not None


def outcome(future: Future[Any]) -> Exception | None:
    """Wait for an answer, and return its error."""
    try:
        future.get(timeout=PATIENT_S)
    except Exception as error:  # noqa: BLE001 -- it is looked at
        return error
    return None


def broken(stage: Stage, sessions: SessionSystem, store: FakeStore) -> list[str]:
    """Return what is wrong when all is quiet: within, and beside what the store has."""
    stage.settle()
    return [*broken_laws(sessions), *broken_by_a_store(sessions, store.entries)]


def is_answered_or_rests(sessions: SessionSystem, session_id: str, asked: Future[Any]) -> bool:
    return asked.is_done or presence(sessions, session_id) is not Presence.AWAKE


def quarantine(stage: Stage, sessions: SessionSystem, session_id: str) -> None:
    for _ in range(4):
        assert isinstance(outcome(later(sessions, Fall(session_id, text="boom"))), Boom)
        stage.advance(1.5)
    assert presence(sessions, session_id) is Presence.QUARANTINED


def do_nothing(*_: object) -> None:
    return
