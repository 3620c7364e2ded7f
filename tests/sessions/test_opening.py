"""A start does not wait for ever for a store that hangs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import CreateSession, SessionSystem, StoreError, StoreLocked
from callboard.actors import opening as opening_module
from callboard.actors.storage.records import Stored
from callboard.actors.storage.sqlite import SqliteStore
from callboard.actors.system import NotStarted
from callboard.actors.testing.stores import StoreInMemory
from tests.sessions.stage import PATIENT_S

SHORT_S = 0.05


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Return what a disk hangs at; it is let go with the test."""
    gate = threading.Event()
    yield gate
    gate.set()


def the_thread() -> threading.Thread:
    (found,) = [each for each in threading.enumerate() if each.name.endswith("-opening")]
    return found


class TestAStart:
    def test_is_refused_when_the_sessions_cannot_be_read_in_time(
        self, gate: threading.Event
    ) -> None:
        class Hangs(StoreInMemory):
            def sessions(self) -> Iterator[Stored]:
                gate.wait(PATIENT_S)
                return super().sessions()

        store, before = Hangs(), gc.get_threshold()
        sessions = SessionSystem(store=store, store_start_s=SHORT_S)

        with pytest.raises(StoreError, match=r"Hangs .* has not answered within 0.05 s") as error:
            sessions.start()

        assert "disk" in error.value.remedy
        assert "store_start_s" in error.value.remedy
        assert not store.is_closed  # it hangs: nobody waits for that either
        assert gc.get_threshold() == before  # and the rest of the process does without it
        hanging = the_thread()
        gate.set()
        hanging.join(PATIENT_S)
        assert store.is_closed

    def test_is_refused_when_the_file_cannot_be_opened_in_time(
        self, gate: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tmp_path.chmod(0o700)

        def hangs(path: Path) -> SqliteStore:
            gate.wait(PATIENT_S)
            return SqliteStore(path)

        monkeypatch.setattr(opening_module, "SqliteStore", hangs)
        sessions = SessionSystem(store=tmp_path / "sessions.db", store_start_s=SHORT_S)

        with pytest.raises(StoreError, match=r"sessions.db has not answered within 0.05 s"):
            sessions.start()
        with pytest.raises(NotStarted):
            sessions.health()
        hanging = the_thread()
        gate.set()
        hanging.join(PATIENT_S)

        monkeypatch.undo()
        with sessions:  # what came back has let go of it
            assert sessions.ask(CreateSession()).last_seq == 0

    def test_of_a_store_that_refuses_may_be_repeated(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        path = tmp_path / "sessions.db"
        other, sessions = SqliteStore(path), SessionSystem(store=path)
        with pytest.raises(StoreLocked):
            sessions.start()

        other.close()

        with sessions:
            assert sessions.health().is_healthy

    def test_leaves_no_thread_behind(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        with SessionSystem(store=tmp_path / "sessions.db"):
            names = [each.name for each in threading.enumerate()]

            assert not [each for each in names if each.endswith("-opening")]

    def test_passes_on_what_a_store_raises(self) -> None:
        class Broken(StoreInMemory):
            def sessions(self) -> Any:
                raise StoreError("it is torn")

        with pytest.raises(StoreError, match="it is torn"):
            SessionSystem(store=Broken()).start()
