"""Audit, metrics and log: complete while they keep up, counted when not, and at nobody's cost."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from callboard.actors import (
    METRICS,
    AppendMessage,
    AuditError,
    AuditEvent,
    AuditFile,
    AuditFileRefused,
    AuditLogger,
    BeginSpawn,
    CleanupInactive,
    CreateSession,
    EventKind,
    EventsLost,
    IncrementMessageCount,
    InvalidField,
    Keeping,
    MetricKind,
    MetricsExtraMissing,
    PassivateSession,
    Presence,
    PrometheusMetrics,
    Prompt,
    RecordActivity,
    ResumeSession,
    ReviveSession,
    Role,
    SessionActor,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionSystem,
    SessionTerminating,
    Shutdown,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.metrics import LABEL_VALUES_MAX
from callboard.actors.sessions.events import event_of
from callboard.actors.sessions.observing import DELAYS
from callboard.actors.testing import FakeAudit, FakeCleaner, FakeLog, FakeMetrics, FakeWorkspaces
from callboard.supervision import InvalidSpec, Timeout, handles
from tests.house import ROOT
from tests.runtime.kit import Gate
from tests.sessions.stage import (
    PATIENT_S,
    Boom,
    Fall,
    Say,
    SayLater,
    Stage,
    Which,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
)


class SinkIsDown(Exception):
    pass


def down(record: AuditEvent) -> None:
    raise SinkIsDown(record.event_type)


def held_at(stage: Stage) -> Callable[[AuditEvent], object]:
    """Return what has a sink wait at the stage's gate."""

    def wait(_: AuditEvent) -> None:
        stage.play.gate.wait()

    return wait


def outlet_of(sessions: SessionSystem) -> Any:
    return services_of(sessions).observing._audit


class TestTheAudit:
    @pytest.mark.seed("2.20", "2.21")
    def test_has_a_record_of_every_operation_and_no_content(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit)

        ada = opened.ask(CreateSession(user_id="ada", org_id="acme", metadata={"k": "hush"})).id
        opened.ask(Say(ada, text="hush"))
        opened.ask(UpdateSession(ada, patch=SessionPatch(system_prompt="hush")))
        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="hush"))
        assert opened.ask(Which(ada), timeout=PATIENT_S) == 2
        opened.ask(TerminateSession(ada, "done"))
        stage.settle()

        assert {*audit.types} >= {"created", "updated", "error", "restarted", "terminated"}
        assert [each.seq for each in audit.records] == list(range(1, len(audit.records) + 1))
        assert {(each.session_id, each.user_id, each.org_id) for each in audit.records} == {
            (ada, "ada", "acme")
        }
        assert "hush" not in repr(audit.records)

    @pytest.mark.seed("2.21")
    def test_has_a_record_of_each_step_of_a_cleanup(self, stage: Stage) -> None:
        audit, cleaner = FakeAudit(), FakeCleaner()
        cleaner.failures["clean"] = OSError("gone already")
        opened = stage.open(audit=audit, cleaner=cleaner, workspace=FakeWorkspaces())
        opened.ask(TerminateSession(opened.ask(CreateSession(user_id="ada")).id))
        stage.settle()

        steps = [each.details for each in audit.records if each.event_type == "cleanup_step"]
        assert [(each["name"], each["ok"]) for each in steps] == [
            ("cleaner", False),
            ("workspace", True),
        ]

    def test_is_complete_when_the_system_has_stopped(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit)
        for _ in range(20):
            opened.ask(CreateSession())

        opened.stop()

        assert audit.types.count("created") == 20

    def test_goes_on_with_the_record_that_its_writer_died_of_once_more(self, stage: Stage) -> None:
        deadly: list[object] = [None]

        def die(record: AuditEvent) -> None:
            if record.event_type == "created" and deadly:
                deadly.clear()
                raise SystemExit

        audit = FakeAudit(die)
        opened = stage.open(audit=audit)

        ada = opened.ask(CreateSession()).id
        stage.advance(1.0)

        assert audit.types == ["created", "state_changed"]
        assert opened.ask(Which(ada)) == 1

    def test_gives_a_record_up_that_kills_every_writer(self, stage: Stage) -> None:
        def die(record: AuditEvent) -> None:
            if record.event_type == "created":
                raise SystemExit

        audit = FakeAudit(die)
        opened = stage.open(audit=audit)

        ada = opened.ask(CreateSession()).id
        stage.advance(2.0)

        assert audit.types == ["events_lost", "state_changed"]
        assert opened.health().audit_lost == 1
        assert opened.ask(Which(ada)) == 1


class TestASinkThatIsTooSlowForTheStop:
    @pytest.mark.parametrize("sink", ["audit", "metrics", "log"])
    @pytest.mark.in_memory  # the line of the store is named, too
    def test_has_what_it_did_not_get_counted_and_told_once(self, stage: Stage, sink: str) -> None:
        heard: list[object] = []
        slow = {"audit": FakeAudit, "metrics": FakeMetrics, "log": FakeLog}[sink]()
        opened = stage.open(**{sink: slow}, on_event=heard.append)
        gate = stage.play.gate

        def wait(*_: object, **__: object) -> None:
            gate.wait()

        for method in ("log_session_event", "counter", "log"):
            if hasattr(slow, method):
                setattr(slow, method, wait)
        for _ in range(20):
            opened.ask(CreateSession())

        report = opened.stop(timeout_s=1.0)
        again = opened.stop(timeout_s=1.0)

        assert report.unstopped == again.unstopped == (f"root/services/{sink}",)
        if sink == "audit":
            assert opened.health().audit_lost == 40
        assert [each for each in heard if isinstance(each, EventsLost)] == [
            EventsLost(sink=sink, reason="40 waited when the system stopped")
        ]
        gate.open()

    def test_loses_also_what_its_hub_has_not_passed_on(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit)
        opened.ask(CreateSession())
        stage.settle()
        for delay_s in DELAYS.delays_s:  # the last one it does not come back from before the stop
            part_of(opened, "services/events").kill()
            stage.advance(0.0 if delay_s > 1.0 else delay_s)
        opened.ask(CreateSession())

        opened.stop()

        assert (len(audit.records), opened.health().audit_lost) == (2, 2)


class TestASinkThatFails:
    def test_fails_no_operation_and_its_losses_are_told_once(self, stage: Stage) -> None:
        heard: list[object] = []
        audit = FakeAudit(down)
        opened = stage.open(audit=audit, on_event=heard.append)

        ada = opened.ask(CreateSession()).id
        opened.ask(TerminateSession(ada))
        stage.settle()
        assert opened.health().audit_lost == 5
        audit.before = None
        opened.ask(CreateSession())
        stage.settle()

        assert audit.types == ["events_lost", "created", "state_changed"]
        assert audit.records[0].details == {"lost": 5}
        assert [each for each in heard if isinstance(each, EventsLost)] == [
            EventsLost(sink="audit", reason="SinkIsDown")
        ]

    def test_that_is_slow_delays_no_operation_and_what_finds_no_room_is_counted(
        self, stage: Stage
    ) -> None:
        audit = FakeAudit(lambda _: stage.play.gate.wait())
        opened = stage.open(audit=audit)
        outlet_of(opened).backlog.items_max = 3

        opened.ask(CreateSession())
        stage.settle()  # the writer has the first record in hand
        for _ in range(3):
            opened.ask(CreateSession())
        stage.settle()

        assert opened.health().audit_lost == 8 - 3
        stage.play.gate.open()
        stage.settle()
        assert audit.types == ["created", "events_lost", "state_changed", "created"]
        assert audit.records[1].details == {"lost": 5}

    def test_is_a_line_of_the_default_log(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        opened = stage.open(audit=FakeAudit(down))

        opened.ask(CreateSession())
        stage.settle()

        (line,) = caplog.records
        assert (line.name, line.levelno) == ("callboard.events", logging.ERROR)
        assert line.getMessage() == "events.lost reason=SinkIsDown sink=audit"


class TestWhatMustBeAudited:
    def test_is_recorded_before_it_is_done(self, stage: Stage) -> None:
        seen: list[tuple[str, int]] = []
        audit = FakeAudit(lambda record: seen.append((record.event_type, len(opened._table()))))
        opened = _Counted(stage, audit=audit, audit_required=True)

        ada = opened.sessions.ask(CreateSession(user_id="ada")).id
        opened.sessions.ask(TerminateSession(ada, "done"))
        stage.settle()

        first = dict(reversed(seen))
        assert (first["CreateSession"], first["TerminateSession"]) == (0, 1)
        (record,) = (each for each in audit.records if each.event_type == "TerminateSession")
        assert (record.session_id, record.user_id) == (ada, "ada")
        assert record.details == {"reason": "done"}

    def test_is_refused_without_an_effect_when_the_sink_fails(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        audit.before = down

        for operation in (
            CreateSession(),
            BeginSpawn(ada),
            ResumeSession(ada),
            ReviveSession(ada),
            PassivateSession(ada),
            CleanupInactive(idle_longer_than_s=0),
            TerminateSession(ada),
            Shutdown(),
        ):
            with pytest.raises(AuditError, match=f"{type(operation).__name__}.*SinkIsDown"):
                opened.ask(operation, timeout=PATIENT_S)

        assert [each.id for each in (opened.get(ada),)] == [ada]
        assert opened.health().sessions == 1
        audit.before = None
        assert opened.ask(TerminateSession(ada)).id == ada

    def test_is_refused_when_the_sink_takes_too_long_and_nobody_else_waits(
        self, stage: Stage
    ) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        stage.settle()
        audit.before = stage.play.gate.wait

        asked = later(opened, TerminateSession(ada))
        stage.settle()
        assert opened.ask(RecordActivity(ada)) == opened.get(ada).last_active_at
        assert not asked.is_done
        stage.advance(2.1)

        assert isinstance(asked.error, AuditError)
        stage.play.gate.open()
        stage.settle()
        assert opened.get(ada).id == ada

    def test_that_is_refused_makes_health_say_so_until_one_is_done(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        opened.ask(CreateSession())
        assert opened.health().is_healthy

        audit.before = down
        with pytest.raises(AuditError):
            opened.ask(CreateSession())
        refusing = opened.health()
        audit.before = None
        opened.ask(CreateSession())

        assert (refusing.is_healthy, refusing.failing) == (False, ("audit sink",))
        assert opened.health().is_healthy

    def test_is_refused_when_too_many_records_wait(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        outlet_of(opened).backlog.items_max = 0

        with pytest.raises(AuditError, match="0 records wait"):
            opened.ask(CreateSession())

        assert opened.health().sessions == 0

    def test_is_not_done_for_who_has_given_up(self, stage: Stage) -> None:
        audit = FakeAudit(lambda _: stage.play.gate.wait())
        opened = stage.open(audit=audit, audit_required=True)

        with pytest.raises(Timeout):
            opened.ask(CreateSession(), timeout=0.5)
        stage.play.gate.open()
        stage.settle()

        assert opened.health().sessions == 0

    def test_is_done_by_the_next_manager_when_this_one_is_killed(self, stage: Stage) -> None:
        audit = FakeAudit(lambda _: stage.play.gate.wait())
        opened = stage.open(audit=audit, audit_required=True)
        asked = later(opened, CreateSession(session_id="ada"))
        stage.settle()

        part_of(opened, "front/manager").kill()
        stage.play.gate.open()
        stage.settle()

        assert asked.get().id == "ada"

    def test_says_what_is_wrong_as_before(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id

        with pytest.raises(SessionNotFound):
            opened.ask(TerminateSession("nobody"))
        with pytest.raises(SessionNotFound):
            opened.ask(AppendMessage("nobody", Role.USER, "hello"))
        with pytest.raises(InvalidField, match="content"):
            opened.ask(AppendMessage(ada, Role.USER, cast("Any", 5)))
        stage.settle()

        assert "AppendMessage" not in audit.types

    def test_is_the_end_of_who_was_quarantined_for_too_long(self, stage: Stage) -> None:
        audit = FakeAudit()
        keeping = Keeping(quarantine_keep_s=100.0, cleanup_interval_s=50.0)
        opened = stage.open(audit=audit, audit_required=True, keeping=keeping)
        ada = opened.ask(CreateSession()).id
        for _ in range(4):
            asked = later(opened, Fall(ada, text="boom"))
            stage.advance(1.5)
            assert isinstance(asked.error, Boom)
        assert presence(opened, ada) is Presence.QUARANTINED

        audit.before = down
        stage.advance(200.0)
        kept = opened.health().sessions
        audit.before = None
        stage.advance(60.0)

        assert (kept, opened.health().sessions) == (1, 0)
        assert audit.types.index("QuarantineSweep") < audit.types.index("terminated")


class TestWhatASessionIsSentAndMustBeAudited:
    def sent(self, ada: str) -> tuple[SessionMessage[Any], ...]:
        return (
            AppendMessage(ada, Role.USER, "hush"),
            UpdateSession(ada, patch=SessionPatch(system_prompt="hush")),
            UpdateSystemPrompt(ada, "hush"),
            IncrementMessageCount(ada),
            Say(ada, text="hush"),
            SayLater(ada, text="hush"),
            Prompt(ada, "hush"),
        )

    def test_is_recorded_before_it_is_done_without_what_is_in_it(self, stage: Stage) -> None:
        seen: dict[str, int] = {}
        audit = FakeAudit(lambda each: seen.setdefault(each.event_type, opened.get(ada).version))
        ada, opened = "ada", stage.open(audit=audit, audit_required=True)
        audit.before, before = None, audit.before
        opened.ask(CreateSession(session_id=ada, user_id="u", org_id="o"))
        stage.settle()
        audit.before = before

        for message in self.sent(ada):
            if isinstance(message, (Prompt, IncrementMessageCount)):
                continue  # it has no agent, and a log of its own
            version = opened.get(ada).version
            opened.ask(message)
            assert seen[type(message).__name__] == version
        stage.settle()

        (record,) = (each for each in audit.records if each.event_type == "Say")
        assert (record.session_id, record.user_id, record.org_id) == (ada, "u", "o")
        assert "hush" not in repr(audit.records)

    def test_is_refused_without_an_effect_when_the_sink_fails(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        stage.settle()
        before = opened.get(ada)
        audit.before = down

        for message in self.sent(ada):
            for ask in (opened.ask, opened.address(ada).ask):
                with pytest.raises(AuditError, match=f"{type(message).__name__}.*SinkIsDown"):
                    ask(message, timeout=PATIENT_S)

        assert opened.get(ada) == before
        assert opened.messages(ada) == ()
        assert not opened.health().is_healthy
        audit.before = None
        assert opened.ask(Say(ada, text="hello")) == 1
        assert opened.health().is_healthy

    def test_becomes_a_dead_letter_when_nobody_awaits_it(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        stage.settle()
        audit.before = down
        said = Say(ada, text="hello")

        opened.tell(said)
        stage.settle()

        assert [(each.message, each.why) for each in opened.system.dead_letters.latest] == [
            (said, "not audited")
        ]

    def test_wakes_nobody_when_it_is_refused(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        opened.ask(PassivateSession(ada))
        stage.settle()

        audit.before = down
        with pytest.raises(AuditError):
            opened.ask(Say(ada, text="hello"), timeout=PATIENT_S)
        refused = presence(opened, ada)
        audit.before = None
        opened.ask(Say(ada, text="hello"), timeout=PATIENT_S)

        assert (refused, presence(opened, ada)) == (Presence.ASLEEP, Presence.AWAKE)

    def test_is_handled_in_the_order_in_which_one_sends(self, stage: Stage) -> None:
        opened = stage.open(audit=FakeAudit(), audit_required=True)
        ada = opened.ask(CreateSession()).id

        for number in range(50):
            opened.tell(Say(ada, text=str(number)))
        opened.ask(Say(ada, text="last"), timeout=PATIENT_S)

        assert texts(opened, ada) == [*map(str, range(50)), "last"]

    def test_is_handled_in_the_context_of_who_sends(self, stage: Stage) -> None:
        opened = stage.open(session=WhoAsks, audit=FakeAudit(), audit_required=True)
        ada = opened.ask(CreateSession()).id

        ASKER.set("ada")

        assert opened.ask(Who(ada), timeout=PATIENT_S) == "ada"

    def test_is_handled_by_the_next_incarnation_when_this_one_is_killed_meanwhile(
        self, stage: Stage
    ) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        stage.settle()
        audit.before = held_at(stage)
        asked = later(opened, Which(ada))
        stage.settle()

        cell_of(opened, ada).kill()
        stage.play.gate.open()
        stage.advance(1.5)

        assert asked.get() == 2

    def test_is_not_done_for_who_has_given_up(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        stage.settle()
        audit.before = held_at(stage)

        with pytest.raises(Timeout):
            opened.ask(Say(ada, text="late"), timeout=0.5)
        stage.play.gate.open()
        stage.settle()

        assert texts(opened, ada) == []

    def test_is_no_sign_of_life(self, stage: Stage) -> None:
        audit = FakeAudit()
        opened = stage.open(audit=audit, audit_required=True)
        ada = opened.ask(CreateSession()).id
        stage.settle()
        audit.before = down

        assert opened.ask(RecordActivity(ada)) == opened.get(ada).last_active_at

    def test_is_told_that_the_session_is_being_terminated_as_before(self, stage: Stage) -> None:
        audit, cleaner = FakeAudit(), FakeCleaner()
        opened = stage.open(audit=audit, audit_required=True, cleaner=cleaner)
        ada = opened.ask(CreateSession()).id
        gate = Gate(opened.system)
        cleaner.on_call = lambda _method, _about: gate.wait()
        ended = later(opened, TerminateSession(ada))
        stage.settle()

        with pytest.raises(SessionTerminating):
            opened.ask(Say(ada, text="late"), timeout=PATIENT_S)

        gate.open()
        stage.settle()
        assert ended.get().id == ada
        assert "Say" not in audit.types

    def test_needs_a_sink(self) -> None:
        with pytest.raises(InvalidSpec, match="audit sink"):
            SessionSystem(audit_required=True)


ASKER: ContextVar[str] = ContextVar("asker", default="nobody")


class Who(SessionMessage[str], frozen=True, kw_only=True):
    pass


class WhoAsks(SessionActor[None]):
    @handles(Who)
    def on_who(self, message: Who) -> str:
        del message
        return ASKER.get()


class _Counted:
    """A system, and how many sessions it has while a sink looks."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.sessions = stage.open(**options)

    def _table(self) -> list[Any]:
        return services_of(self.sessions).table.rows()


RECORD = AuditEvent(event_type="created", at=1.0, session_id="s", details={"kind": "session"})

RECORDED = msgspec.json.encode(RECORD) + b"\n"


class _Room:
    """A disk with so much room in bytes."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._write = os.write

    def write(self, file: int, data: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(file, data[: self._room])
        self._room -= written
        return written


def _no_disk(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


class TestTheFile:
    def test_is_private_and_has_one_object_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        sink = AuditFile(path, is_durable=True)

        sink.log_session_event(RECORD)
        sink.log_session_event(RECORD)
        sink.close()

        lines = path.read_text().splitlines()
        assert [json.loads(each)["session_id"] for each in lines] == ["s", "s"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_is_made_anew_when_it_was_moved_away(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        sink = AuditFile(path)
        path.rename(tmp_path / "audit.jsonl.1")

        sink.log_session_event(RECORD)

        assert len(path.read_text().splitlines()) == 1

    @pytest.mark.parametrize("fits", [0, 1, 30, len(RECORDED) - 1])
    def test_has_every_record_that_it_took_on_a_line_of_its_own_after_one_it_did_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: int
    ) -> None:
        path = tmp_path / "audit.jsonl"
        sink = AuditFile(path)
        sink.log_session_event(RECORD)
        room = _Room(fits)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", room.write)
            for _ in range(3):
                with pytest.raises(OSError, match="No space left"):
                    sink.log_session_event(RECORD)
        sink.log_session_event(RECORD)
        sink.log_session_event(RECORD)
        sink.close()

        lines = path.read_bytes().splitlines()
        whole = [each for each in lines if each + b"\n" == RECORDED]
        assert len(whole) == 3 + (fits == len(RECORDED) - 1)
        assert all(RECORDED.startswith(each) for each in lines)

    @pytest.mark.parametrize("left", [b"{", RECORDED[:-1]])
    def test_that_a_killed_process_has_left_torn_goes_on_with_a_new_line(
        self, tmp_path: Path, left: bytes
    ) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_bytes(left)
        path.chmod(0o600)

        AuditFile(path).log_session_event(RECORD)

        assert path.read_bytes() == left + b"\n" + RECORDED

    def test_that_cannot_be_brought_to_the_disk_says_so_and_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "audit.jsonl"
        sink = AuditFile(path, is_durable=True)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _no_disk)
            with pytest.raises(OSError, match="Input/output error"):
                sink.log_session_event(RECORD)
        sink.log_session_event(RECORD)

        assert path.read_bytes() == 2 * RECORDED

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("readable", r"with mode 0600, or name a new one \(mode 0644\)"),
            ("link", "Name the file itself: links are not followed"),
            ("none/audit.jsonl", "Make its folder first"),
            ("readable/audit.jsonl", "Make its folder first"),
            ("", "it is a folder"),
            ("nul\0", "Name a file that can be opened"),
        ],
    )
    def test_that_cannot_be_used_is_refused_with_its_path_and_what_to_do(
        self, tmp_path: Path, name: str, remedy: str
    ) -> None:
        (tmp_path / "readable").touch()
        (tmp_path / "readable").chmod(0o644)
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        path = tmp_path / name

        with pytest.raises(InvalidSpec, match=remedy) as refused:
            AuditFile(path)

        assert isinstance(refused.value, AuditFileRefused)
        assert (refused.value.field, refused.value.value) == ("audit", str(path))

    def test_that_is_no_path_is_refused(self) -> None:
        wrong: Any = 5

        with pytest.raises(AuditFileRefused, match=r"audit=5 .* Give the path of a file"):
            AuditFile(wrong)


class TestTheLogger:
    def test_gets_one_line_for_each_record_with_nothing_that_steers_a_terminal(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)

        AuditLogger().log_session_event(
            AuditEvent(event_type="created", at=1.0, user_id="a\nb", details={"kind": "x"})
        )

        (line,) = caplog.records
        said = r'event_type=created at=1.0 user_id=a\nb details={"kind":"x"}'
        assert (line.name, line.getMessage()) == ("callboard.audit", said)


class TestMetrics:
    @pytest.mark.seed("3.38")
    def test_count_what_happens_and_measure_what_is(self, stage: Stage) -> None:
        metrics = FakeMetrics()
        opened = stage.open(metrics=metrics)
        ada = opened.ask(CreateSession()).id
        opened.ask(CreateSession())
        opened.ask(Say(ada, text="hello"))
        opened.ask(TerminateSession(ada))
        stage.advance(10.0)

        assert metrics.counters["callboard_session_events_total", "created"] == 2
        assert metrics.counters["callboard_messages_total", "user"] == 1
        assert len(metrics.histograms["callboard_session_lifetime_seconds",]) == 1
        assert metrics.gauges["callboard_sessions", "awake"] == 1

    def test_tell_only_so_many_steps_apart(self, stage: Stage) -> None:
        metrics = FakeMetrics()
        opened = stage.open(metrics=metrics)
        session = opened.ask(CreateSession())

        for number in range(LABEL_VALUES_MAX + 5):
            step: dict[str, object] = {"name": f"n{number}", "ok": True, "seconds": 1.0}
            services_of(opened).emit(event_of(session, EventKind.CLEANUP_STEP, 0.0, **step))
        stage.settle()

        steps = [key for key in metrics.histograms if key[0] == "callboard_cleanup_step_seconds"]
        assert len(steps) == LABEL_VALUES_MAX + 1
        assert len(metrics.histograms["callboard_cleanup_step_seconds", "other", "true"]) == 5

    def test_that_fail_stop_nothing(self, stage: Stage) -> None:
        class Broken(FakeMetrics):
            def counter(self, *_: object) -> None:
                raise SinkIsDown

            gauge = counter

        opened = stage.open(metrics=Broken())

        ada = opened.ask(CreateSession()).id
        stage.advance(30.0)

        assert opened.ask(Which(ada)) == 1
        assert opened.health().is_healthy

    def test_are_listed_in_the_reference(self) -> None:
        page = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")

        for each in METRICS:
            labels = ", ".join(f"`{label}`" for label in each.labels) or "-"
            assert f"| `{each.name}` | {each.kind.value} | {labels} |" in page


class TestPrometheus:
    def test_exposes_them(self, stage: Stage) -> None:
        registry = CollectorRegistry()
        opened = stage.open(metrics=PrometheusMetrics(registry))

        opened.ask(TerminateSession(opened.ask(CreateSession()).id))
        stage.advance(10.0)

        said = generate_latest(registry).decode()
        assert 'callboard_session_events_total{kind="created"} 1.0' in said
        assert "callboard_session_lifetime_seconds_count 1.0" in said
        assert 'callboard_sessions{presence="awake"} 0.0' in said

    def test_knows_every_name(self) -> None:
        sink = PrometheusMetrics(CollectorRegistry())
        give: dict[MetricKind, Callable[..., None]] = {
            MetricKind.COUNTER: sink.counter,
            MetricKind.GAUGE: sink.gauge,
            MetricKind.HISTOGRAM: sink.histogram,
        }

        for each in METRICS:
            give[each.kind](each.name, 1, dict.fromkeys(each.labels, "x"))

    def test_need_a_registry_each(self) -> None:
        registry = CollectorRegistry()
        PrometheusMetrics(registry)

        with pytest.raises(InvalidSpec, match=r"registry=.*a registry of its own"):
            PrometheusMetrics(registry)

    def test_leave_a_registry_as_it_was_that_has_one_of_the_names(self) -> None:
        registry = CollectorRegistry()
        Counter(METRICS[-1].name, "Somebody else's.", registry=registry)
        before = generate_latest(registry)

        with pytest.raises(InvalidSpec, match="registry"):
            PrometheusMetrics(registry)

        assert generate_latest(registry) == before

    def test_are_kept_in_a_registry_only(self) -> None:
        wrong: Any = 5

        with pytest.raises(InvalidSpec, match=r"registry=5 .*CollectorRegistry"):
            PrometheusMetrics(wrong)

    def test_says_which_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)

        with pytest.raises(MetricsExtraMissing) as caught:
            PrometheusMetrics()

        assert "callboard[metrics]" in caught.value.remedy


class TestTheInjectedLogger:
    @pytest.mark.seed("3.28")
    def test_gets_a_line_for_each_event_at_its_level(self, stage: Stage) -> None:
        log = FakeLog()
        opened = stage.open(log=log)
        ada = opened.ask(CreateSession(user_id="ada")).id
        opened.ask(Say(ada, text="hush"))
        with pytest.raises(Boom):
            opened.ask(Fall(ada, text="hush"))
        assert opened.ask(Which(ada), timeout=PATIENT_S) == 2
        opened.ask(TerminateSession(ada, "done"))
        stage.settle()

        levels = {text.split()[0]: level for level, text in log.lines}
        assert levels == {
            "session.created": logging.INFO,
            "session.state_changed": logging.INFO,
            "session.message": logging.DEBUG,
            "session.updated": logging.DEBUG,
            "session.error": logging.WARNING,
            "session.restarted": logging.WARNING,
            "session.terminated": logging.INFO,
        }
        assert all(f"session_id={ada}" in text for _, text in log.lines)
        assert "hush" not in repr(log.lines)

    @pytest.mark.seed("1.18")
    def test_gets_a_line_for_each_session_that_has_expired(self, stage: Stage) -> None:
        log = FakeLog()
        opened = stage.open(log=log, max_idle_s=100.0, cleanup_interval_s=60.0)
        made = [opened.ask(CreateSession(session_id=name)).id for name in ("ada", "bob")]
        stage.advance(200.0)

        expired = [line for line in log.lines if line[1].startswith("session.expired")]
        assert len(expired) == 2
        for name in made:
            (line,) = (text for _, text in expired if f"session_id={name}" in text)
            assert "idle_longer_than_s=100.0" in line

    @pytest.mark.seed("2.31", "3.28")
    def test_may_be_any_logger(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "host")
        with SessionSystem(log=logging.getLogger("host")) as sessions:
            sessions.ask(CreateSession(session_id="ada"))

        said = [each.getMessage() for each in caplog.records if each.name == "host"]
        assert [text.split()[0] for text in said] == ["session.created", "session.state_changed"]
