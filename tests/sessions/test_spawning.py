"""What a session needs is made before it works, and taken away whichever way it ends."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from callboard.actors import (
    AppendMessage,
    BeginSpawn,
    CleanupInactive,
    CreateSession,
    GetSystemPrompt,
    IncrementMessageCount,
    MaxSessionsReached,
    MessageTooLarge,
    PassivateSession,
    Presence,
    PromptError,
    RecordActivity,
    Role,
    SecretRef,
    Session,
    SessionError,
    SessionLimits,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionState,
    SessionSystem,
    SessionTerminating,
    SpawnError,
    TerminateSession,
    TransitionError,
    UpdateSession,
    UpdateSystemPrompt,
    WorkspaceError,
)
from callboard.actors.secrets import Vault
from callboard.actors.sessions.ending import UNDERTAKERS_AT_ONCE_MAX
from callboard.actors.sessions.failing import StartFailed
from callboard.actors.sessions.spawn import Planner, Step
from callboard.actors.sessions.spawned import StepDoneWithout
from callboard.actors.system import SweepFailed
from callboard.actors.testing import (
    FakeAudit,
    FakeCleaner,
    FakePrompts,
    FakeSecrets,
    FakeWorkspaces,
)
from callboard.supervision import EventLog, Future, InvalidSpec, Request
from callboard.supervision.testing import Simulation
from tests.laws import broken_laws
from tests.runtime.kit import Gate
from tests.sessions.stage import (
    PATIENT_S,
    Actor,
    Boom,
    Fall,
    Hold,
    Remember,
    Say,
    Stage,
    cell_of,
    later,
    part_of,
    presence,
    services_of,
    texts,
)


class Ports:
    """The fakes of one test, and the system that has them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.workspaces = FakeWorkspaces()
        self.prompts = FakePrompts()
        self.cleaner = FakeCleaner()
        self.audit = FakeAudit()
        self.events: list[object] = []

    def open(self, **options: Any) -> SessionSystem:
        ports = {
            "workspace": self.workspaces,
            "prompts": self.prompts,
            "cleaner": self.cleaner,
            "audit": self.audit,
        }
        return self.stage.open(**{**ports, "on_event": self.events.append, **options})

    def hasten(self, sessions: SessionSystem) -> None:
        """Give every step a tenth of a second: asks on threads take real time."""
        planners = services_of(sessions).planners
        planners[:] = [partial(_hastened, planner) for planner in planners]

    def told(self, session_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the details of a session's events of a kind."""
        self.stage.settle()
        return [
            dict(each.details)
            for each in self.audit.records
            if (each.session_id, each.event_type) == (session_id, kind)
        ]

    def steps(self, session_id: str) -> list[tuple[str, bool]]:
        """Return the steps of a session's cleanup, and whether they went well."""
        return [(each["name"], each["ok"]) for each in self.told(session_id, "cleanup_step")]

    def hold(self, fake: Any, method: str, sessions: SessionSystem) -> Gate:
        """Have a method of a fake wait at a gate from now on."""
        gate = Gate(sessions.system)

        def on_call(called: str, _: str) -> None:
            if called == method:
                gate.wait()

        fake.on_call = on_call
        return gate


def _hastened(planner: Planner, session: Session) -> tuple[Step, ...]:
    return tuple(replace(step, do_s=0.1, undo_s=0.1) for step in planner(session))


@pytest.fixture
def ports(stage: Stage) -> Iterator[Ports]:
    """Return the fakes; whatever a test did, no folder is left when its system has stopped."""
    ports = Ports(stage)
    yield ports
    for fake in (ports.workspaces, ports.cleaner):
        fake.on_call = None
        fake.failures.clear()
    stage.close()
    assert ports.workspaces.folders == {}
    assert not ports.workspaces.is_open


def begin_create(sessions: SessionSystem, session_id: str, **more: Any) -> Future[Session]:
    return later(sessions, CreateSession(session_id=session_id, **more))


def wait_for(future: Future[Any]) -> None:
    """Wait until an answer is there, whatever it is."""
    with suppress(SessionError):
        future.get(timeout=PATIENT_S)


def is_gone(sessions: SessionSystem, session_id: str) -> bool:
    return services_of(sessions).table.get(session_id) is None


class TestACreate:
    @pytest.mark.seed("2.7", "2.9", "2.17", "2.18")
    def test_is_answered_when_everything_is_there(self, ports: Ports) -> None:
        sessions = ports.open()

        ada = sessions.ask(CreateSession(user_id="ada", org_id="acme", variables={"a": 1}))

        assert ada.state is SessionState.ACTIVE
        assert ada.workspace == f"/fake/ada/{ada.id}"
        assert ada.system_prompt == "for ada of acme with {'a': 1}"
        assert sessions.get(ada.id) == ada
        assert broken_laws(sessions) == []

    def test_does_not_keep_the_manager_waiting(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        slow = begin_create(sessions, "slow")
        ports.stage.settle()

        assert sessions.get("slow").state is SessionState.SPAWNING
        with pytest.raises(SessionNotFound):
            sessions.ask(PassivateSession("nobody"))
        gate.open()
        ports.stage.settle()
        assert slow.get().state is SessionState.ACTIVE

    def test_what_is_sent_meanwhile_waits_for_it(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        _ = begin_create(sessions, "ada")
        ports.stage.settle()
        said = later(sessions, Say("ada", text="hello"))
        ports.stage.settle()

        assert not said.is_done
        gate.open()
        ports.stage.settle()
        assert said.get() == 1
        assert texts(sessions, "ada") == ["hello"]

    def test_a_retry_while_it_is_at_work_gets_its_reply(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        first = begin_create(sessions, "ada", idempotency_key="k")
        ports.stage.settle()
        again = begin_create(sessions, "ada", idempotency_key="k")
        ports.stage.settle()

        assert not again.is_done
        gate.open()
        ports.stage.settle()
        assert first.get() == again.get()
        assert first.get().state is SessionState.ACTIVE

    def test_is_answered_though_the_manager_dies_meanwhile(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        created = begin_create(sessions, "ada")
        ports.stage.settle()

        part_of(sessions, "front/manager").kill()
        ports.stage.settle()
        gate.open()
        ports.stage.settle()

        assert created.get().state is SessionState.ACTIVE
        assert broken_laws(sessions) == []

    def test_a_session_without_steps_is_active_at_once(self, stage: Stage) -> None:
        sessions = stage.open()

        ada = sessions.ask(CreateSession())

        assert (ada.state, ada.version) == (SessionState.ACTIVE, 1)


class TestAFolder:
    @pytest.mark.seed("2.5", "2.7", "2.8", "2.9")
    @pytest.mark.parametrize("user_id", ["ada", "../../etc", "/etc", "..", "x" * 300, "e\u0301"])
    def test_on_disk_lies_below_the_root_and_the_id_stays_as_it_was_given(
        self, stage: Stage, tmp_path: Path, user_id: str
    ) -> None:
        sessions = stage.open(workspace=tmp_path)

        made = sessions.ask(CreateSession(session_id="s", user_id=user_id))

        assert sessions.get("s").user_id == user_id
        assert made.workspace is not None
        folder = Path(made.workspace)
        assert folder.is_dir()
        assert folder.parent.parent == tmp_path.resolve()
        assert (folder.parent.name == user_id) == (user_id == "ada")
        sessions.ask(TerminateSession("s"))
        assert not folder.exists()

    def test_whose_root_is_of_no_use_is_said_at_once_and_nothing_is_waited_for(
        self, tmp_path: Path
    ) -> None:
        root = tmp_path / "file"
        root.touch()

        with Simulation() as simulation:
            sessions = SessionSystem(Actor, runtime=simulation.runtime, workspace=root)
            begun_s = simulation.now_s
            with pytest.raises(InvalidSpec, match="Give a folder that can be used"):
                sessions.start()

            assert simulation.now_s == begun_s


class TestAFailedStep:
    @pytest.mark.seed("2.7", "2.32")
    @pytest.mark.parametrize("error", [WorkspaceError("the disk is full")], ids=["its own refusal"])
    def test_is_the_creators_answer_and_leaves_nothing(
        self, ports: Ports, error: Exception
    ) -> None:
        sessions = ports.open(limits=SessionLimits(sessions_max=1))
        ports.workspaces.failures["make"] = error

        with pytest.raises(WorkspaceError, match="the disk is full"):
            sessions.ask(CreateSession(session_id="ada", idempotency_key="k"))

        assert is_gone(sessions, "ada")
        assert ports.steps("ada") == [("cleaner", True), ("workspace", True)]
        del ports.workspaces.failures["make"]
        assert sessions.ask(CreateSession(session_id="ada", idempotency_key="k")).workspace
        with pytest.raises(MaxSessionsReached):
            sessions.ask(CreateSession())
        assert broken_laws(sessions) == []

    def test_of_foreign_code_is_named(self, ports: Ports) -> None:
        sessions = ports.open()
        ports.workspaces.failures["make"] = OSError("no such device")

        with pytest.raises(SpawnError, match=r"step 'workspace' .* OSError: no such device"):
            sessions.ask(CreateSession(session_id="ada"))

    def test_is_told_to_the_hook_when_nobody_awaits_it(self, ports: Ports) -> None:
        sessions = ports.open()
        ports.workspaces.failures["make"] = OSError("no such device")

        sessions.tell(CreateSession(session_id="ada"))
        ports.stage.settle()

        (why,) = (each for each in ports.events if isinstance(each, StartFailed))
        assert (why.session_id, why.cause) == ("ada", "create")
        assert "OSError: no such device" in why.reason

    def test_the_last_one_undoes_those_before_it(self, ports: Ports) -> None:
        sessions = ports.open(strict_prompt=True)
        ports.prompts.failures["compose"] = KeyError("tone")

        with pytest.raises(PromptError, match="tone"):
            sessions.ask(CreateSession(session_id="ada"))

        assert ports.workspaces.calls[-2:] == [("make", "ada"), ("remove", "ada")]
        assert is_gone(sessions, "ada")

    def test_one_that_hangs_is_killed_when_its_time_is_over(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        ports.hasten(sessions)
        created = begin_create(sessions, "ada")
        ports.stage.advance(0.2)
        wait_for(created)

        with pytest.raises(SpawnError, match=r"step 'workspace' .* Timeout"):
            created.get()
        assert is_gone(sessions, "ada")
        gate.open()
        ports.stage.settle()
        assert ports.workspaces.folders == {}


class TestAPrompt:
    @pytest.mark.seed("2.18")
    def test_that_cannot_be_composed_is_the_default_one(self, ports: Ports) -> None:
        sessions = ports.open(default_prompt="Be kind.")
        ports.prompts.failures["compose"] = KeyError("tone")

        ada = sessions.ask(CreateSession(user_id="ada"))

        assert ada.system_prompt == "Be kind."
        assert ada.state is SessionState.ACTIVE
        (told,) = ports.told(ada.id, "error")
        assert told == {"name": "prompt", "error": "PromptError"}
        (why,) = (each for each in ports.events if isinstance(each, StepDoneWithout))
        assert (why.session_id, why.step) == (ada.id, "prompt")
        assert "tone" in why.error

    def test_is_told_by_a_line_that_is_named_like_the_others(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = EventLog()

        log(StepDoneWithout("ada", "prompt", "no tone"))
        log(SweepFailed("the disk is full"))

        assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
            ("WARNING", "session.did_without session_id=ada step=prompt error=no tone"),
            ("WARNING", "workspace.sweep_failed error=the disk is full"),
        ]

    def test_that_is_too_long_is_no_prompt(self, ports: Ports) -> None:
        limits = SessionLimits(system_prompt_bytes_max=5)
        sessions = ports.open(strict_prompt=True, limits=limits)

        with pytest.raises(PromptError, match="MessageTooLarge"):
            sessions.ask(CreateSession(user_id="ada"))

    @pytest.mark.seed("2.19")
    def test_is_read_and_replaced(self, ports: Ports) -> None:
        sessions = ports.open()
        ada = sessions.ask(CreateSession(user_id="ada"))

        assert sessions.ask(GetSystemPrompt(ada.id)) == ada.system_prompt
        assert sessions.ask(UpdateSystemPrompt(ada.id, "Be brief.")) == "Be brief."
        assert sessions.ask(GetSystemPrompt(ada.id)) == "Be brief."
        assert sessions.ask(UpdateSystemPrompt(ada.id, None)) is None
        with pytest.raises(MessageTooLarge):
            sessions.ask(UpdateSystemPrompt(ada.id, "x" * 300_000))
        with pytest.raises(SessionNotFound):
            sessions.ask(GetSystemPrompt("nobody"))


class TestASecret:
    def test_reaches_its_step_and_nothing_else(self, ports: Ports) -> None:
        sessions = ports.open(secrets=FakeSecrets({"KEY": "hush"}))
        seen: list[str] = []

        def login(session: Session, vault: Vault) -> None:
            del session
            seen.append(vault.resolve(SecretRef("KEY")))
            msg = "401 for hush"
            raise RuntimeError(msg)

        steps = (Step(name="login", do=login),)
        services_of(sessions).planners.append(lambda _: steps)
        created = begin_create(sessions, "ada", metadata={"key": "KEY"})
        ports.stage.settle()

        assert seen == ["hush"]
        with pytest.raises(SpawnError, match=r"401 for \[secret\]") as refused:
            created.get()
        assert refused.value.__cause__ is None
        assert "hush" not in repr((refused.value, refused.value.__context__, ports.events))

    def test_is_not_in_what_led_to_a_steps_own_refusal(self, ports: Ports) -> None:
        sessions = ports.open(secrets=FakeSecrets({"KEY": "hush"}))

        def login(session: Session, vault: Vault) -> None:
            del session
            key = vault.resolve(SecretRef("KEY"))
            msg = "the server refuses us"
            raise SpawnError(msg) from ConnectionError(key)

        services_of(sessions).planners.append(lambda _: (Step(name="login", do=login),))
        created = begin_create(sessions, "ada")
        ports.stage.settle()

        with pytest.raises(SpawnError, match="the server refuses us") as refused:
            created.get()
        assert "hush" not in "".join(traceback.format_exception(refused.value))


class TestTerminatingWhileItSpawns:
    @pytest.mark.seed("3.7")
    def test_cancels_it_and_discards_a_late_success(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        created = begin_create(sessions, "ada")
        ports.stage.settle()

        ended = later(sessions, TerminateSession("ada", "changed my mind"))
        ports.stage.settle()

        assert ended.get().state is SessionState.CLEANED
        assert ended.get().state_reason == "changed my mind"
        with pytest.raises(SpawnError, match="changed my mind"):
            created.get()
        assert ports.steps("ada") == [("cleaner", True), ("workspace", True)]
        assert is_gone(sessions, "ada")
        gate.open()
        ports.stage.settle()
        assert ports.workspaces.folders == {}
        assert broken_laws(sessions) == []

    def test_what_waits_for_it_is_refused(self, ports: Ports) -> None:
        sessions = ports.open()
        ports.hold(ports.workspaces, "make", sessions)
        _ = begin_create(sessions, "ada")
        ports.stage.settle()
        said = later(sessions, Say("ada", text="hello"))
        ports.stage.settle()

        _ = later(sessions, TerminateSession("ada"))

        with pytest.raises((SessionNotFound, SessionTerminating)):
            said.get()


class TestACrashWhileItSpawns:
    def test_undoes_it_and_the_creator_hears_why(self, ports: Ports) -> None:
        sessions = ports.open()
        ports.hold(ports.workspaces, "make", sessions)
        created = begin_create(sessions, "ada", idempotency_key="k")
        ports.stage.settle()

        ports.workspaces.on_call = None
        cell_of(sessions, "ada").kill()
        ports.stage.settle()

        with pytest.raises(SpawnError, match=r"crashed while it was spawned: killed"):
            created.get()
        assert is_gone(sessions, "ada")
        assert ("workspace", True) in ports.steps("ada")
        assert broken_laws(sessions) == []
        assert sessions.ask(CreateSession(session_id="ada", idempotency_key="k")).workspace

    def test_of_its_partition_lets_the_step_in_hand_end(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        created = begin_create(sessions, "ada")
        ports.stage.settle()

        for number in range(2):
            part_of(sessions, f"sessions/{number}").kill()
        ports.stage.settle()
        gate.open()
        ports.stage.settle()

        assert created.get().state is SessionState.ACTIVE
        assert sessions.ask(Say("ada", text="hello")) == 1
        ports.stage.settle()
        assert broken_laws(sessions) == []

    def test_when_its_next_incarnation_cannot_start_it_is_undone_all_the_same(
        self, ports: Ports
    ) -> None:
        sessions = ports.open()
        ports.hold(ports.workspaces, "make", sessions)
        created = begin_create(sessions, "ada")
        ports.stage.settle()
        ports.workspaces.on_call = None
        ports.stage.play.bad_starts["ada"] = 10

        cell_of(sessions, "ada").kill()
        ports.stage.advance(5.0)

        with pytest.raises(SpawnError, match="crashed while it was spawned: killed"):
            created.get()
        assert is_gone(sessions, "ada")
        assert broken_laws(sessions) == []


class TestEveryEnding:
    """The folder goes, and the cleaner is called first."""

    @pytest.fixture
    def sessions(self, ports: Ports) -> SessionSystem:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada", user_id="ada"))
        assert ports.workspaces.folders
        return sessions

    def is_clean(self, ports: Ports, sessions: SessionSystem) -> None:
        ports.stage.settle()
        assert is_gone(sessions, "ada")
        assert ports.steps("ada") == [("cleaner", True), ("workspace", True)]
        assert ports.workspaces.folders == {}
        assert [each.state for each in ports.cleaner.cleaned] == [SessionState.TERMINATING]
        assert broken_laws(sessions) == []

    @pytest.mark.seed("2.8", "2.23", "3.16", "3.17", "3.27")
    def test_when_it_is_terminated(self, ports: Ports, sessions: SessionSystem) -> None:
        last = sessions.ask(TerminateSession("ada", "done"))

        assert (last.state, last.state_reason) == (SessionState.CLEANED, "done")
        self.is_clean(ports, sessions)

    def test_when_it_is_idle(self, ports: Ports, sessions: SessionSystem) -> None:
        ports.stage.advance(100.0)

        assert sessions.ask(CleanupInactive(idle_longer_than_s=50.0)) == ("ada",)
        self.is_clean(ports, sessions)

    @pytest.mark.parametrize("how", ["terminated", "idle"])
    def test_when_it_sleeps(self, ports: Ports, sessions: SessionSystem, how: str) -> None:
        sessions.ask(PassivateSession("ada"))
        assert presence(sessions, "ada") is Presence.ASLEEP
        ports.stage.advance(100.0)

        if how == "idle":
            assert sessions.ask(CleanupInactive(idle_longer_than_s=50.0)) == ("ada",)
        else:
            assert sessions.ask(TerminateSession("ada")).state is SessionState.CLEANED
        self.is_clean(ports, sessions)

    def test_when_it_is_quarantined(self, ports: Ports, sessions: SessionSystem) -> None:
        for _ in range(4):
            asked = later(sessions, Fall("ada", text="boom"))
            ports.stage.advance(1.5)
            assert isinstance(asked.error, Boom)
        assert presence(sessions, "ada") is Presence.QUARANTINED
        assert ports.workspaces.folders

        sessions.ask(TerminateSession("ada"))

        self.is_clean(ports, sessions)

    def test_when_it_has_to_be_killed(self, ports: Ports, sessions: SessionSystem) -> None:
        held = later(sessions, Hold("ada", text="for ever"))
        ports.stage.settle()

        ended = later(sessions, TerminateSession("ada", grace_s=1.0))
        ports.stage.advance(1.1)

        assert ended.get().state is SessionState.CLEANED
        assert held.error is not None
        self.is_clean(ports, sessions)
        ports.stage.play.gate.open()

    @pytest.mark.parametrize(
        "message",
        [
            AppendMessage("ada", Role.USER, "late"),
            RecordActivity("ada"),
            IncrementMessageCount("ada"),
            UpdateSession("ada", patch=SessionPatch(metadata={"late": True})),
            Say("ada", text="late"),
        ],
        ids=lambda message: type(message).__name__,
    )
    def test_and_takes_nothing_more_while_it_is_cleaned_up(
        self, ports: Ports, sessions: SessionSystem, message: SessionMessage[Any]
    ) -> None:
        gate = ports.hold(ports.cleaner, "clean", sessions)
        ended = later(sessions, TerminateSession("ada"))
        ports.stage.settle()
        terminating = sessions.get("ada")

        asked = later(sessions, message)
        ports.stage.settle()

        assert isinstance(asked.error, SessionTerminating)
        assert sessions.get("ada") == terminating
        gate.open()
        ports.stage.settle()
        assert ended.get().metadata == {}
        self.is_clean(ports, sessions)

    def test_when_its_actor_is_killed_while_it_cleans_up(
        self, ports: Ports, sessions: SessionSystem
    ) -> None:
        ports.hold(ports.cleaner, "clean", sessions)
        ended = later(sessions, TerminateSession("ada"))
        ports.stage.settle()
        assert sessions.get("ada").state is SessionState.TERMINATING

        ports.cleaner.on_call = None
        cell_of(sessions, "ada").kill()
        ports.stage.settle()

        assert ended.get().state is SessionState.CLEANED
        self.is_clean(ports, sessions)

    def test_when_the_manager_is_killed_while_it_is_cleaned_up_without_an_actor(
        self, ports: Ports, sessions: SessionSystem
    ) -> None:
        sessions.ask(PassivateSession("ada"))
        gate = ports.hold(ports.cleaner, "clean", sessions)
        ended = later(sessions, TerminateSession("ada"))
        ports.stage.settle()
        said = later(sessions, AppendMessage("ada", Role.USER, "too late"))
        ports.stage.settle()
        assert isinstance(said.error, SessionTerminating)

        part_of(sessions, "front/manager").kill()
        ports.stage.settle()
        gate.open()
        ports.stage.settle()

        assert ended.get().state is SessionState.CLEANED
        self.is_clean(ports, sessions)

    @pytest.mark.seed("4.13")
    def test_when_the_system_is_stopped(self, ports: Ports, sessions: SessionSystem) -> None:
        sessions.ask(CreateSession(session_id="sleeper"))
        sessions.ask(PassivateSession("sleeper"))

        report = sessions.stop()

        assert report.is_clean
        assert ports.workspaces.folders == {}
        assert {each.id for each in ports.cleaner.cleaned} == {"ada", "sleeper"}
        assert not ports.workspaces.is_open


class TestVeryManyEndings:
    def test_of_sessions_that_sleep_are_done_a_bounded_number_at_a_time(self, ports: Ports) -> None:
        sessions = ports.open()
        names = [f"s{number}" for number in range(UNDERTAKERS_AT_ONCE_MAX + 6)]
        for name in names:
            sessions.ask(CreateSession(session_id=name))
            sessions.ask(PassivateSession(name))
        ports.stage.advance(100.0)
        begun: list[str] = []
        gate = Gate(sessions.system)

        def on_call(method: str, about: str) -> None:
            if method == "clean":
                begun.append(about)
                gate.wait()

        ports.cleaner.on_call = on_call
        _ = later(sessions, CleanupInactive(idle_longer_than_s=50.0))
        ports.stage.settle()
        begun_at_once = len(begun)
        part_of(sessions, "front/manager").kill()
        ports.stage.settle()
        begun_after_a_crash = len(begun)
        gate.open()
        ports.stage.settle()

        assert begun_at_once == begun_after_a_crash == UNDERTAKERS_AT_ONCE_MAX
        assert sorted(begun) == sorted(names)
        assert all(is_gone(sessions, name) for name in names)
        assert ports.workspaces.folders == {}
        assert broken_laws(sessions) == []

    def test_send_nobody_any_more_once_the_system_starts_nobody(
        self, ports: Ports, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada"))
        sessions.ask(PassivateSession("ada"))
        ports.stage.advance(100.0)
        manager = part_of(sessions, "front/manager")

        monkeypatch.setattr(sessions.system, "is_open", False)  # as from the begin of a stop on
        _ = later(sessions, CleanupInactive(idle_longer_than_s=50.0))
        ports.stage.settle()

        assert not manager.is_dead
        monkeypatch.undo()


class TestACleanupStep:
    def test_that_fails_is_told_and_the_rest_is_done(self, ports: Ports) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada"))
        ports.cleaner.failures["clean"] = OSError("gone already")

        sessions.ask(TerminateSession("ada"))

        assert ports.steps("ada") == [("cleaner", False), ("workspace", True)]
        assert is_gone(sessions, "ada")

    def test_that_hangs_has_its_time_and_no_more(self, ports: Ports) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada"))
        gate = ports.hold(ports.cleaner, "clean", sessions)

        ports.hasten(sessions)
        ended = later(sessions, TerminateSession("ada"))
        ports.stage.advance(0.2)
        wait_for(ended)

        assert ended.get().state is SessionState.CLEANED
        assert ports.steps("ada") == [("cleaner", False), ("workspace", True)]
        gate.open()

    def test_that_hangs_longer_than_the_grace_is_begun_anew_by_somebody_else(
        self, ports: Ports
    ) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada"))
        gate = ports.hold(ports.cleaner, "clean", sessions)

        ended = later(sessions, TerminateSession("ada", grace_s=1.0))
        ports.stage.settle()
        ports.hasten(sessions)
        ports.stage.advance(1.1)
        ports.stage.advance(0.2)
        wait_for(ended)
        ports.stage.settle()

        assert ended.get().state is SessionState.CLEANED
        assert ports.steps("ada") == [("cleaner", False), ("workspace", True)]
        assert broken_laws(sessions) == []
        gate.open()


class TestASessionThatWasOnlyCreated:
    @pytest.mark.seed("3.12")
    def test_is_spawned_when_it_is_told(self, ports: Ports) -> None:
        sessions = ports.open()
        made = sessions.ask(CreateSession(session_id="ada", activate=False))
        assert (made.state, made.workspace) == (SessionState.CREATED, None)

        begun = sessions.ask(BeginSpawn("ada"))

        assert begun.state is SessionState.ACTIVE
        assert begun.workspace

    @pytest.mark.parametrize("first", [BeginSpawn("ada"), RecordActivity("ada")], ids=str)
    def test_and_is_active_already_says_how_it_is(self, ports: Ports, first: Request[Any]) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada", activate=False))
        sessions.ask(first)

        begun = sessions.ask(BeginSpawn("ada"))

        assert begun == sessions.get("ada")
        assert begun.state is SessionState.ACTIVE
        assert ports.workspaces.calls.count(("make", "ada")) == 1

    def test_and_is_being_terminated_is_refused(self, ports: Ports) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada"))
        gate = ports.hold(ports.workspaces, "remove", sessions)
        ended = later(sessions, TerminateSession("ada"))
        ports.stage.settle()

        with pytest.raises(TransitionError):
            sessions.ask(BeginSpawn("ada"))

        gate.open()
        ports.stage.settle()
        assert ended.get().state is SessionState.CLEANED

    def test_is_spawned_by_its_first_message(self, ports: Ports) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada", activate=False))

        assert sessions.ask(Remember("ada")) == 1
        assert sessions.get("ada").workspace

    def test_told_twice_is_spawned_once(self, ports: Ports) -> None:
        sessions = ports.open()
        gate = ports.hold(ports.workspaces, "make", sessions)
        sessions.ask(CreateSession(session_id="ada", activate=False))
        asked = [later(sessions, BeginSpawn("ada")) for _ in range(2)]
        ports.stage.settle()
        gate.open()
        ports.stage.settle()

        assert [each.get().state for each in asked] == [SessionState.ACTIVE] * 2
        assert ports.workspaces.calls.count(("make", "ada")) == 1

    def test_goes_when_that_fails(self, ports: Ports) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada", activate=False))
        ports.workspaces.failures["make"] = WorkspaceError("the disk is full")

        with pytest.raises(WorkspaceError):
            sessions.ask(BeginSpawn("ada"))

        assert is_gone(sessions, "ada")

    @pytest.mark.seed("3.6")
    def test_may_be_terminated(self, ports: Ports) -> None:
        sessions = ports.open()
        sessions.ask(CreateSession(session_id="ada", activate=False))

        assert sessions.ask(TerminateSession("ada")).state is SessionState.CLEANED
        assert is_gone(sessions, "ada")


class TestAStepThatIsRedone:
    """What dies with the actor is made again by the next incarnation."""

    @pytest.fixture
    def made(self, ports: Ports) -> tuple[SessionSystem, list[str], dict[str, Any]]:
        sessions, done, trouble = ports.open(), list[str](), dict[str, Any]()

        async def connect(session: Session, _: Vault) -> None:
            done.append(session.id)
            if "error" in trouble:
                raise trouble["error"]

        steps = (Step(name="agent", do=connect, is_redone=True),)
        services_of(sessions).planners.append(lambda _: steps)
        sessions.ask(CreateSession(session_id="ada"))
        return sessions, done, trouble

    def test_after_a_crash(
        self, ports: Ports, made: tuple[SessionSystem, list[str], dict[str, Any]]
    ) -> None:
        sessions, done, _ = made
        sessions.ask(Say("ada", text="kept"))
        cell_of(sessions, "ada").kill()
        ports.stage.settle()

        assert done == ["ada", "ada"]
        assert ports.workspaces.calls.count(("make", "ada")) == 1
        assert sessions.get("ada").state is SessionState.ACTIVE
        assert texts(sessions, "ada") == ["kept"]

    def test_that_fails_then_costs_a_restart_and_nothing_that_is_kept(
        self, ports: Ports, made: tuple[SessionSystem, list[str], dict[str, Any]]
    ) -> None:
        sessions, _, trouble = made
        sessions.ask(Say("ada", text="kept"))
        trouble["error"] = ConnectionError("refused")
        cell_of(sessions, "ada").kill()
        ports.stage.advance(5.0)

        assert presence(sessions, "ada") is Presence.QUARANTINED
        assert texts(sessions, "ada") == ["kept"]
        assert ports.workspaces.folders
        assert broken_laws(sessions) == []


class TestStarting:
    def test_what_an_earlier_system_has_left_is_swept(self, ports: Ports) -> None:
        ports.workspaces.folders["lost"] = "/fake/lost"

        ports.open()

        assert ports.workspaces.folders == {}
