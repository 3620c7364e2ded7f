"""Whatever crashes beside a durable store loses nothing that was handed in."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Presence,
    ReviveSession,
    Role,
    SessionQuarantined,
    SessionSystem,
    StoreOutcomeUnknown,
)
from callboard.actors.sessions.store_reader import StoreReader
from callboard.actors.sessions.store_writer import OCCUPIED_CHECK_S
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import ExitReason, UnhandledMessage
from tests.cast import Boom, Fall, Say
from tests.sessions.durable.kit import SaveBehindTheGate, after, begin, store_of
from tests.sessions.stage import (
    PATIENT_S,
    Stage,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
    until,
)


class TestACrash:
    def test_loses_nothing_that_was_handed_in(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        said = later(sessions, Say(ada, text="handed in"))
        fell = later(sessions, Fall(ada, text="never"))
        stage.settle()

        assert said.get(timeout=PATIENT_S) == 1
        assert isinstance(fell.error, Boom)
        until(stage, lambda: presence(sessions, ada) is Presence.AWAKE)
        assert sessions.ask(Say(ada, text="next"), timeout=PATIENT_S) == 2
        assert texts(sessions, ada) == ["handed in", "next"]

    def test_of_the_writer_is_nobodys_business(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id

        part_of(sessions, "storage/writer").kill()
        assert sessions.ask(Say(ada, text="one"), timeout=PATIENT_S) == 1
        stage.settle()
        part_of(sessions, "storage/reader").kill()

        assert texts(sessions, ada) == ["one"]
        assert cell_of(sessions, ada).incarnation == 1

    def test_of_a_callback_hurts_neither_the_writer_nor_who_asks(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        writer = part_of(sessions, "storage/writer")

        def raises() -> None:
            raise Boom

        for text in "abcde":  # more often than a writer may crash
            later(sessions, Say(ada, text=text)).when_done(raises)
        stage.settle()

        assert texts(sessions, ada) == list("abcde")
        assert part_of(sessions, "storage/writer") is writer

    def test_of_the_writer_in_a_write_is_told_as_what_it_was(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        deaths, ends = [SystemExit()], list[ExitReason]()

        class Deadly(StoreInMemory):
            def write(self, writes: Any) -> Any:
                if deaths:
                    raise deaths.pop()
                return store.write(writes)

        storing: Any = services_of(sessions).storing
        storing.store = Deadly()
        part_of(sessions, "storage/writer").when_dead("test", ends.append)
        assert sessions.ask(Say(ada, text="one"), timeout=PATIENT_S) == 1

        until(stage, lambda: bool(ends))
        assert [str(each).partition(" at ")[0] for each in ends] == ["crashed: SystemExit"]
        assert texts(after(stage, store), ada) == ["one"]

    def test_of_the_writer_by_a_kill_in_a_write_has_it_written_by_the_next(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        gate, writing = stage.play.gate, list[int]()

        class Held(StoreInMemory):
            def write(self, writes: Any) -> Any:
                writing.append(len(writes))
                if len(writing) == 1:
                    gate.wait()  # which a kill ends
                return store.write(writes)

        storing: Any = services_of(sessions).storing
        storing.store = Held()
        said = later(sessions, Say(ada, text="one"))
        until(stage, lambda: bool(writing))

        part_of(sessions, "storage/writer").kill()

        def is_done() -> bool:
            stage.advance(OCCUPIED_CHECK_S)  # the next one looks whether the killed one is back
            return said.is_done

        until(stage, is_done)
        assert (said.get(), writing) == (1, [1, 1])
        stage.settle()
        successor = part_of(sessions, "storage/writer")
        assert (successor.incarnation, successor.is_alive()) == (2, True)
        assert texts(after(stage, store), ada) == ["one"]

    def test_of_the_whole_line_leaves_nobody_waiting_for_a_commit(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        saved = later(sessions, SaveBehindTheGate(ada))
        stage.settle()

        part_of(sessions, "storage").kill()
        stage.play.gate.open()
        stage.settle()  # the clock stands still: no time that a stop is given runs out

        assert isinstance(saved.error, StoreOutcomeUnknown)
        assert sessions.health().is_healthy
        assert sessions.ask(Say(ada, text="next"), timeout=PATIENT_S) == 2
        assert texts(after(stage, store_of(sessions)), ada) == ["behind the gate", "next"]

    def test_too_often_is_quarantine_in_the_next_system_as_well(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession(user_id="ada", agent_role="guide")).id
        for _ in range(4):
            with pytest.raises(Boom):
                sessions.ask(Fall(ada, text="boom"), timeout=PATIENT_S)
            stage.advance(1.0)
        until(stage, lambda: presence(sessions, ada) is Presence.QUARANTINED)
        before = sessions.get(ada)
        stage.settle()

        sessions = after(stage, store)

        assert sessions.get(ada) == before
        assert (before.restarts, before.failed_on) == (4, "Fall")
        with pytest.raises(SessionQuarantined):
            sessions.ask(Say(ada, text="no"))
        assert sessions.ask(ReviveSession(ada)).presence is Presence.AWAKE
        assert after(stage, store_of(sessions)).get(ada).presence is Presence.ASLEEP


def test_no_writer_begins_while_a_killed_one_is_at_the_disk(store: StoreInMemory) -> None:
    begun, back = threading.Event(), threading.Event()
    writing: list[list[str]] = []

    class Slow(StoreInMemory):
        def write(self, writes: Any) -> Any:
            writing.append([each.id for each in writes])
            if len(writing) == 1:
                begun.set()
                back.wait()
            return store.write(writes)

    with SessionSystem(store=store) as sessions:
        ada, bob = (sessions.ask(CreateSession()).id for _ in range(2))
        storing: Any = services_of(sessions).storing
        storing.store = Slow()
        first = later(sessions, AppendMessage(ada, Role.USER, "one"))
        begun.wait()

        part_of(sessions, "storage/writer").kill()
        second = later(sessions, AppendMessage(bob, Role.USER, "two"))
        for _ in range(2):  # the second comes behind what the next one tells itself at its start
            with pytest.raises(UnhandledMessage):
                storing._writer.ask("Have you looked?")

        assert writing == [[ada]]
        back.set()
        assert (first.get(), second.get(), writing) == (1, 1, [[ada], [bob]])


class TestAReader:
    @pytest.mark.parametrize("is_killed", [False, True], ids=["raises", "killed"])
    def test_that_ends_while_it_loads_a_log_leaves_no_session_behind(
        self,
        stage: Stage,
        store: StoreInMemory,
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_killed: bool,
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        sessions.ask(Say(ada, text="one"))
        fails = [True]
        load = StoreReader._log

        def fail_once(self: StoreReader, session_id: str, last_seq: int) -> Any:
            if fails and fails.pop():
                if is_killed:
                    self.actor_ref.kill()
                raise RuntimeError
            return load(self, session_id, last_seq)

        monkeypatch.setattr(StoreReader, "_log", fail_once)
        sessions = after(stage, store)
        first = later(sessions, Say(ada, text="two"))
        stage.settle()

        assert first.is_done or is_killed
        assert sessions.ask(Say(ada, text="three"), timeout=PATIENT_S) >= 2


def test_a_session_that_crashes_twice_before_its_start_is_heard_of_comes_back(stage: Stage) -> None:
    """It was said to be asleep, its messages went, and its restarts failed without them."""
    sessions = begin(stage, StoreInMemory())
    partitions = [part_of(sessions, f"sessions/{number}") for number in range(2)]
    manager = part_of(sessions, "front/manager")
    for each in partitions:
        each.suspend()
    created = later(sessions, CreateSession(session_id="ada"))
    stage.settle()
    manager.suspend()
    for each in partitions:
        each.resume()
    stage.settle()
    for text in ("one", "two"):
        sessions.ask(Say("ada", text=text))
        stage.settle()
        cell_of(sessions, "ada").kill()
        stage.settle()

    manager.resume()

    created.get()
    stage.advance(5.0)
    assert presence(sessions, "ada") is Presence.AWAKE
    assert texts(sessions, "ada") == ["one", "two"]


def test_a_session_that_crashes_while_the_manager_is_replaced_keeps_its_messages_here(
    stage: Stage,
) -> None:
    """Its partition restarts it, though the next manager sees nobody there: it cannot wait."""
    sessions = begin(stage, StoreInMemory())
    sessions.ask(CreateSession(session_id="ada"))
    sessions.ask(Say("ada", text="one"))
    partition = services_of(sessions).table.row("ada").partition
    part_of(sessions, f"sessions/{partition}").suspend()
    cell_of(sessions, "ada").kill()
    part_of(sessions, "front/manager").kill()
    stage.settle()

    assert services_of(sessions).table.row("ada").tip().log.is_here

    part_of(sessions, f"sessions/{partition}").resume()
    stage.advance(5.0)
    assert presence(sessions, "ada") is Presence.AWAKE
