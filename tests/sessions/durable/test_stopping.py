"""A stop keeps what was handed in, and waits for no store that hangs."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem, StoreOutcomeUnknown
from callboard.actors.testing.stores import StoreInMemory
from tests.cast import Hold
from tests.sessions.durable.kit import begin
from tests.sessions.stage import PATIENT_S, Stage, later


def test_a_stop_keeps_what_was_handed_in(stage: Stage, store: StoreInMemory) -> None:
    sessions = begin(stage, store)
    ada = sessions.ask(CreateSession()).id
    held = later(sessions, Hold(ada, text="never"))
    said = [later(sessions, AppendMessage(ada, Role.USER, "waits")) for _ in range(3)]
    del held

    sessions.stop()

    assert store.is_closed
    assert all(each.error is not None for each in said)
    assert store.logs[ada] == {}


def test_a_stop_does_not_wait_for_a_store_that_hangs() -> None:
    gate, entered = threading.Event(), threading.Event()

    class Hanging(StoreInMemory):
        def write(self, writes: Any) -> Any:
            entered.set()
            assert gate.wait(PATIENT_S)
            return super().write(writes)

        def close(self) -> None:
            assert gate.wait(PATIENT_S), "it is closed behind what hangs"
            super().close()

    store = Hanging()
    sessions = SessionSystem(store=store)
    sessions.start()
    gate.set()
    ada = sessions.ask(CreateSession()).id
    gate.clear()
    entered.clear()
    said = later(sessions, AppendMessage(ada, Role.USER, "perhaps"))
    assert entered.wait(PATIENT_S)

    report = sessions.stop(timeout_s=1.0)

    assert report.abandoned
    assert type(said.error) is StoreOutcomeUnknown
    assert not store.is_closed
    gate.set()
    writer = next(each for each in threading.enumerate() if each.name in report.abandoned)
    writer.join(PATIENT_S)
    assert store.is_closed
    assert len(store.logs[ada]) == 1


def test_a_stop_does_not_wait_for_a_close_that_hangs() -> None:
    gate = threading.Event()

    class Hanging(StoreInMemory):
        closed = 0

        def close(self) -> None:
            assert gate.wait(PATIENT_S)
            self.closed += 1
            super().close()

    store = Hanging()
    sessions = SessionSystem(store=store, name="under-test")
    sessions.start()

    report = sessions.stop(timeout_s=0.05)

    assert report.abandoned == ("under-test-closing",)
    assert not store.is_closed
    assert sessions.stop().left == ()  # again: nobody else is sent to it
    gate.set()
    (closer,) = [each for each in threading.enumerate() if each.name == "under-test-closing"]
    closer.join(PATIENT_S)
    assert store.closed == 1


def test_a_store_that_cannot_be_closed_is_told_to_who_stops(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StoreInMemory()
    sessions = begin(stage, store)

    def fail() -> None:
        raise OSError("it does not close")

    monkeypatch.setattr(store, "close", fail)

    with pytest.raises(OSError, match="it does not close"):
        sessions.stop()


def test_a_store_is_closed_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    store = StoreInMemory()
    sessions = SessionSystem(store=store).start()

    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(sessions.system.dispatcher, "aside", refuse)

    assert sessions.stop().is_clean
    assert store.is_closed
