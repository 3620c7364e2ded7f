"""A part of the tree that hangs is seen by whoever looks: no message is needed, and no watchdog."""

from __future__ import annotations

import threading
from typing import NamedTuple

import pytest

from callboard.actors import CreateSession, MemoryStore, SessionActor, SessionEntry, SessionSystem
from callboard.actors.sessions.naming import partition_name
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.testing import FakeAudit
from callboard.supervision.testing import ManualClock
from tests.runtime.kit import Gate
from tests.sessions.stage import PATIENT_S, Stage, services_of

AFTER_S = 5.0


class Held(NamedTuple):
    """Where the host's code hangs."""

    reached: Gate
    opened: Gate


class Holding:
    """A store and a generator of ids: both wait at a gate as soon as there is one."""

    def __init__(self) -> None:
        self.held: Held | None = None
        self._made = 0

    def new_id(self) -> str:
        self._wait()
        self._made += 1
        return f"id-{self._made}"

    def commit(self, entry: SessionEntry) -> CommitOutcome:
        self._wait()
        return MemoryStore().commit(entry)

    def _wait(self) -> None:
        if self.held is not None:
            self.held.reached.open()
            self.held.opened.wait()


@pytest.fixture
def host() -> Holding:
    return Holding()


def aim(host: Holding, sessions: SessionSystem) -> Held:
    """Have the host's code hang from now on."""
    held = host.held = Held(Gate(sessions.system), Gate(sessions.system))
    return held


def hang(host: Holding, sessions: SessionSystem) -> Gate:
    """Have a create hang in the host's code; return what lets it go on."""
    held = aim(host, sessions)
    sessions.tell(CreateSession())
    held.reached.wait()
    return held.opened


def let_pass(stage: Stage, sessions: SessionSystem, seconds: float) -> None:
    """Let time pass, though it never gets quiet: a worker is in the host's code."""
    clock = sessions.system.clock
    if isinstance(clock, ManualClock):
        clock.advance_to(clock.now_s() + seconds)
    else:
        stage.advance(seconds)


class TestAManagerThatHangs:
    @pytest.mark.parametrize("is_audited", [False, True], ids=["plain", "audited"])
    def test_is_named_as_long_as_it_does(
        self, stage: Stage, host: Holding, *, is_audited: bool
    ) -> None:
        audit = FakeAudit() if is_audited else None
        sessions = stage.open(
            ids=host, part_hung_after_s=AFTER_S, audit=audit, audit_required=is_audited
        )
        gate = hang(host, sessions)
        let_pass(stage, sessions, AFTER_S)
        assert sessions.health().is_healthy
        let_pass(stage, sessions, 1.0)

        report = sessions.health()

        assert (report.is_healthy, report.failing) == (False, ("manager",))
        gate.open()
        stage.settle()
        assert sessions.health().is_healthy

    def test_is_named_by_default_when_it_lets_an_ask_wait_in_vain(
        self, stage: Stage, host: Holding
    ) -> None:
        sessions = stage.open(ids=host)
        gate = hang(host, sessions)
        let_pass(stage, sessions, sessions.system.settings.ask_timeout_s + 1.0)

        assert sessions.health().failing == ("manager",)
        gate.open()


class TestAPartitionThatHangs:
    def test_is_named_too(self, host: Holding) -> None:
        # A plain session starts on the thread of whoever creates it, by way of its partition; in a
        # simulation the seed decides about that.
        stage = Stage("threads")
        sessions = stage.open(session=SessionActor, store=host, part_hung_after_s=AFTER_S)
        held = aim(host, sessions)
        client = threading.Thread(target=sessions.ask, args=[CreateSession(session_id="ada")])
        client.start()
        held.reached.wait()
        let_pass(stage, sessions, AFTER_S + 1.0)

        failing = sessions.health().failing

        held.opened.open()
        client.join(PATIENT_S)
        partition = partition_name(services_of(sessions).table.row("ada").partition)
        assert failing == (partition, "manager")
        assert sessions.health().is_healthy
        stage.close()
