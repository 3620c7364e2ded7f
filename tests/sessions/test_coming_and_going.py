"""What is in memory of sessions that have come and gone: nothing, however many they were."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from collections import Counter
from collections.abc import Iterator

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Keeping,
    PassivateSession,
    Role,
    SessionPatch,
    SessionSystem,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.sessions.internal import ForgetSession
from tests.laws import services_of
from tests.sessions.stage import Boom, Fall, Say, SayLater, Stage, cell_of

SETTLING = 200
"""Sessions that come and go first: tables and caches get to their size."""

COUNTED = 500
"""Sessions after which there is to be no more than before them."""

KEYS_MAX = 100
"""Keys of creates that are kept: fewer than the first sessions have."""

SPARE = COUNTED // 4
"""Objects of one type that may have come by something else: timers that are over, and the like."""

SPARE_BLOCKS = 10 * COUNTED
"""The same of blocks of memory, where what else the process has done counts, too: one session that
stays takes some dozens."""


@pytest.fixture
def no_records() -> Iterator[None]:
    """Have no line logged: pytest keeps them all."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def live(stage: Stage, sessions: SessionSystem, name: str) -> None:
    """Have a session come, do and suffer what sessions do, and go."""
    create = CreateSession(user_id=name, metadata={"a": name}, idempotency_key=name)
    ada = sessions.ask(create).id
    for text in ("one", "two"):
        sessions.ask(AppendMessage(ada, Role.USER, f"{text} of {name}", client_msg_id=text))
    sessions.ask(SayLater(ada, text="later"))
    sessions.ask(UpdateSession(ada, patch=SessionPatch(metadata={"b": name})))
    with pytest.raises(Boom):
        sessions.ask(Fall(ada, text="lost"))
    stage.advance(1.0)
    sessions.ask(PassivateSession(ada))
    sessions.ask(Say(ada, text="it is awake again"))
    cell_of(sessions, ada).kill()
    stage.advance(1.0)
    sessions.ask(TerminateSession(ada))


def held(stage: Stage) -> tuple[Counter[str], int]:
    """Return what the collector knows of, by type, and how many blocks of memory are taken."""
    stage.advance(60.0)
    stage.play.starts.clear()
    stage.play.handled.clear()
    gc.collect()
    blocks = sys.getallocatedblocks()
    everything: list[object] = gc.get_objects()
    return Counter(f"{type(each).__module__}.{type(each).__name__}" for each in everything), blocks


@pytest.mark.in_memory  # the store of those tests keeps what has ended, in memory
@pytest.mark.usefixtures("no_records")
def test_sessions_that_have_gone_leave_nothing_behind() -> None:
    stage = Stage("threads")  # a simulation remembers its steps, and some tasks
    sessions = stage.open(keeping=Keeping(keys_max=KEYS_MAX, cleanup_interval_s=10.0))
    try:
        for number in range(SETTLING):
            live(stage, sessions, f"user {number:06}")
        before, blocks_before = held(stage)
        for number in range(COUNTED):
            live(stage, sessions, f"user {number:06} again")
        now, blocks = held(stage)
    finally:
        stage.close()

    assert {kind: times for kind, times in (now - before).items() if times > SPARE} == {}
    assert blocks - blocks_before < SPARE_BLOCKS


def test_a_word_of_a_session_that_nobody_heard_does_not_keep_it() -> None:
    stage = Stage("simulated-1")
    sessions = stage.open()
    try:
        ada = sessions.ask(CreateSession(session_id="ada")).id
        services = services_of(sessions)
        row = services.table.row(ada)
        address = weakref.ref(services.addresses.kept(row))
        partition = services.find_part("sessions/0")
        assert partition is not None
        partition.notify(ForgetSession(row))
        partition.kill()
        del row
        sessions.ask(TerminateSession(ada))
        stage.advance(60.0)
        gc.collect()

        assert address() is None
        told = [each.message for each in services.system.dead_letters.latest]
        assert told == ["ForgetSession of ada"]
    finally:
        stage.close()
