"""What a store is given, in which order; and what is there whatever it refuses."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import pytest

from callboard.actors import (
    BeginSpawn,
    CleanupInactive,
    CreateSession,
    InjectCrash,
    PassivateSession,
    Presence,
    RecordActivity,
    ReviveSession,
    Session,
    SessionMessage,
    SessionPatch,
    SessionState,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.ending import END_AGAIN
from callboard.actors.testing import FakeStore, FakeWorkspaces
from callboard.supervision import InvalidSpec, Request
from tests.sessions.refusing.kit import broken, is_answered_or_rests, outcome
from tests.sessions.stage import (
    PATIENT_S,
    Say,
    SayLater,
    Stage,
    later,
    presence,
    services_of,
    texts,
    until,
)


def test_a_store_gets_every_commit_in_its_order(opened: SessionSystem, store: FakeStore) -> None:
    ada = opened.ask(CreateSession(user_id="ada")).id
    opened.ask(Say(ada, text="one"))
    opened.ask(Say(ada, text="two"))

    versions = [each.version.session for each in store.entries]

    assert [each.version for each in versions] == [1, 2, 3]
    assert versions[-1] is opened.get(ada)
    assert store.calls == [("commit", ada)] * 3
    opened.ask(TerminateSession(ada))
    assert store.entries[-1].version.session.state is SessionState.CLEANED


@pytest.mark.parametrize("wrong", ["", 7, object()])
def test_a_store_that_cannot_keep_anything_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidSpec, match="store"):
        SessionSystem(store=wrong)


def test_what_comes_and_goes_while_the_store_refuses_now_and_then(
    stage: Stage, store: FakeStore
) -> None:
    """Whatever is refused: everybody is answered, what was confirmed is there, rows can go."""
    sessions = stage.open(store=store, workspace=FakeWorkspaces())
    number = 0

    def now_and_then(_: Session) -> bool:
        nonlocal number
        number += 1
        return number % 3 == 0

    store.refuse(when=now_and_then)
    confirmed: dict[str, list[str]] = {}
    for each in range(12):
        created = later(sessions, CreateSession(session_id=f"s{each}"))
        if outcome(created) is None:
            confirmed[f"s{each}"] = []
    for each in range(40):
        for session_id, said in confirmed.items():
            if outcome(later(sessions, Say(session_id, text=str(each)))) is None:
                said.append(str(each))
    assert {each: texts(sessions, each) for each in confirmed} == confirmed
    store.accept()
    for session_id in confirmed:
        assert outcome(later(sessions, TerminateSession(session_id))) is None
    stage.advance(END_AGAIN.delays_s[-1])
    assert len(services_of(sessions).table) == 0
    assert broken(stage, sessions, store) == []


def test_an_entry_says_what_is_to_be_kept(opened: SessionSystem, store: FakeStore) -> None:
    ada = opened.ask(CreateSession()).id
    opened.ask(Say(ada, text="hello"))

    (last,) = store.entries[-1:]

    assert [each.content for each in last.version.log.last(1)] == ["hello"]


def any_message(dice: Random, session_id: str, text: str) -> Request[Any]:
    """Return one of all that can be asked about a session."""
    messages: list[Request[Any]] = [
        CreateSession(session_id=session_id, activate=dice.random() < 0.7),
        *[Say(session_id, text=text)] * 5,
        SayLater(session_id, text=text),
        BeginSpawn(session_id),
        PassivateSession(session_id),
        TerminateSession(session_id, grace_s=1.0),
        CleanupInactive(idle_longer_than_s=30.0),
        ReviveSession(session_id, SessionPatch(metadata={"text": text})),
        InjectCrash(session_id),
    ]
    return dice.choice(messages)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_refused_or_lost_what_was_confirmed_is_there_and_nothing_else(
    stage: Stage, store: FakeStore, seed: int
) -> None:
    """All that can be asked of sessions, in any order, and a store that often says no."""
    workspaces = FakeWorkspaces()
    sessions = stage.open(store=store, workspace=workspaces, faults=True)
    table, dice = services_of(sessions).table, Random(seed)
    store.refuse(when=lambda _: dice.random() < 0.2)
    store.lose(when=lambda _: dice.random() < 0.05)
    confirmed: dict[str, list[str]] = {}
    for number in range(200):
        session_id = f"s{dice.randrange(4)}"
        message = any_message(dice, session_id, str(number))
        if isinstance(message, SessionMessage) and session_id not in table:
            continue
        if isinstance(message, CreateSession):
            stage.play.bad_starts[session_id] = int(dice.random() < 0.2)
        asked = later(sessions, message)
        stage.advance(2.0)
        # On threads nobody sees when a coroutine goes on: it is looked at again.
        until(stage, partial(is_answered_or_rests, sessions, session_id, asked))
        if isinstance(message, Say) and asked.is_done and asked.error is None:
            confirmed.setdefault(session_id, []).append(message.text)
        confirmed = {each: said for each, said in confirmed.items() if each in table}
        for each, said in confirmed.items():
            assert texts(sessions, each) == said

    store.accept()
    stage.advance(PATIENT_S + END_AGAIN.delays_s[-1])
    for each in table.ids():
        if presence(sessions, each) is Presence.QUARANTINED:
            sessions.ask(ReviveSession(each, SessionPatch()))
        sessions.ask(RecordActivity(each))
    assert broken(stage, sessions, store) == []
    for each in table.ids():
        sessions.ask(TerminateSession(each))
    assert workspaces.folders == {}
    assert broken(stage, sessions, store) == []
