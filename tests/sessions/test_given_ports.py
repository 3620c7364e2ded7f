"""What a host gives is used: its clock, its ids, a store, and what else stands behind a port."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

import pytest

from callboard.actors import (
    AddMcpClient,
    AgentSpec,
    AppendMessage,
    AttachAgent,
    AttachClient,
    Connectors,
    CountSessions,
    CreateSession,
    DuplicateSession,
    InvalidField,
    McpSpec,
    Role,
    SecretRef,
    SessionError,
    SessionPatch,
    SessionState,
    SessionSystem,
    SpawnError,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.testing import (
    FakeAudit,
    FakeCleaner,
    FakeLog,
    FakeMetrics,
    FakePrompts,
    FakeSecrets,
    FakeStore,
    FakeWorkspaces,
    MemoryAgents,
    MemoryClient,
    MemoryMcp,
)
from callboard.supervision import ActorSystem, InvalidSpec, SupervisedActor
from callboard.supervision.testing import Probe, Simulation
from tests.laws import broken_laws
from tests.sessions.stage import Say, Stage, part_of, services_of, texts

BEGAN_S = 1_000_000_000.0


class LookedAt:
    """A clock that goes on by a second whenever somebody looks what the wall clock says."""

    def __init__(self) -> None:
        self._looks = count()

    def now_s(self) -> float:
        return 5.0

    def wall_s(self) -> float:
        return BEGAN_S + next(self._looks)


class BegunEarlier:
    """A clock that began to count eleven days before the operating system's."""

    def now_s(self) -> float:
        return 1e6 + time.monotonic()

    def wall_s(self) -> float:
        return BEGAN_S


class Numbers:
    """Ids one would choose for a test. `then` is what comes after the first."""

    def __init__(self, *then: Any) -> None:
        self._then = iter(then)
        self._count = count(1)

    def new_id(self) -> str:
        made: Any = next(self._then, None)
        if isinstance(made, Exception):
            raise made
        return f"session-{next(self._count)}" if made is None else made


class TestTheClock:
    @pytest.mark.seed("1.3", "3.26")
    def test_is_the_one_that_was_given_and_a_create_looks_at_it_once(self) -> None:
        with SessionSystem(clock=LookedAt()) as sessions:
            made = sessions.ask(CreateSession(activate=False))

        assert made.created_at == made.last_active_at == made.state_since
        assert BEGAN_S <= made.created_at < BEGAN_S + 10

    @pytest.mark.seed("3.25", "3.26")
    def test_and_the_ids_may_be_given_together(self) -> None:
        with SessionSystem(clock=LookedAt(), ids=Numbers()) as sessions:
            first, second = (sessions.ask(CreateSession()) for _ in range(2))

        assert (first.id, second.id) == ("session-1", "session-2")
        assert BEGAN_S <= first.created_at < second.created_at < BEGAN_S + 20

    def test_is_what_timers_go_by(self) -> None:
        class Waiting(SupervisedActor):
            def on_start(self) -> None:
                self.send_after(0.001, "it is time")

            def on_receive(self, message: Any) -> None:
                probe.ref.tell(message)

        with ActorSystem(clock=BegunEarlier()) as system:
            probe = Probe(system)
            system.spawn(Waiting)

            assert probe.expect(str) == "it is time"

    def test_is_not_given_beside_a_runtime_that_has_its_own(self) -> None:
        with Simulation() as simulation, pytest.raises(InvalidSpec, match="clock or a runtime"):
            SessionSystem(clock=LookedAt(), runtime=simulation.runtime)

    @pytest.mark.parametrize("wrong", [3, LookedAt, Numbers()], ids=["number", "class", "ids"])
    def test_that_is_none_is_refused(self, wrong: Any) -> None:
        with pytest.raises(InvalidSpec, match=r"clock=.*now_s\(\) and wall_s\(\)"):
            SessionSystem(clock=wrong)
        with pytest.raises(InvalidSpec, match="clock"):
            ActorSystem(clock=wrong)


class TestTheIdGenerator:
    @pytest.mark.seed("3.25")
    def test_is_the_one_that_was_given(self, stage: Stage) -> None:
        sessions = stage.open(ids=Numbers())

        made = [sessions.ask(CreateSession()).id for _ in range(3)]

        assert made == ["session-1", "session-2", "session-3"]
        assert sessions.ask(CreateSession(session_id="mine")).id == "mine"

    @pytest.mark.parametrize(
        ("makes", "error"),
        [
            ("session-1", DuplicateSession),
            ("", InvalidField),
            ("x" * 129, InvalidField),
            (7, InvalidField),
            (OSError("no entropy"), SpawnError),
        ],
        ids=["taken", "empty", "long", "int", "raises"],
    )
    def test_that_fails_fails_its_create_and_nothing_else(
        self, stage: Stage, makes: Any, error: type[SessionError]
    ) -> None:
        sessions = stage.open(ids=Numbers(None, makes))
        first = sessions.ask(CreateSession()).id
        manager = part_of(sessions, "front/manager")

        with pytest.raises(error):
            sessions.ask(CreateSession())

        assert part_of(sessions, "front/manager") is manager
        assert sessions.ask(CreateSession()).id == "session-2"
        assert sessions.get(first).restarts == 0
        assert broken_laws(sessions) == []

    @pytest.mark.parametrize("wrong", [3, Numbers, LookedAt()], ids=["number", "class", "clock"])
    def test_that_is_none_is_refused(self, wrong: Any) -> None:
        with pytest.raises(InvalidSpec, match=r"ids=.*new_id\(\)"):
            SessionSystem(ids=wrong)


class TestTheStore:
    @pytest.mark.seed("0.1", "3.24")
    def test_in_the_place_of_the_one_in_memory_gets_every_commit(self, stage: Stage) -> None:
        store = FakeStore()
        sessions = stage.open(store=store)

        ada = sessions.ask(CreateSession(user_id="ada")).id
        sessions.ask(AppendMessage(ada, Role.USER, "hello"))
        sessions.ask(UpdateSession(ada, patch=SessionPatch(metadata={"a": 1})))
        sessions.ask(Say(ada, text="again"))
        kept, said = sessions.get(ada), texts(sessions, ada)

        last = store.entries[-1].version
        assert last.session == kept
        assert [each.content for each in last.log.slice(after_seq=0, limit=10)] == said
        assert [each.version.session.version for each in store.entries] == [1, 2, 3, 4]


class Fakes:
    """All that stands around the sessions, none of it real."""

    def __init__(self) -> None:
        self.workspaces = FakeWorkspaces()
        self.prompts = FakePrompts()
        self.cleaner = FakeCleaner()
        self.secrets = FakeSecrets({"TOKEN": "hush"})
        self.mcp = MemoryMcp()
        self.agents = MemoryAgents()
        self.audit = FakeAudit()
        self.log = FakeLog()
        self.metrics = FakeMetrics()
        self.store = FakeStore()
        self.ports: dict[str, Any] = {
            "workspace": self.workspaces,
            "prompts": self.prompts,
            "cleaner": self.cleaner,
            "secrets": self.secrets,
            "connectors": Connectors(mcp=self.mcp, agents={"acp": self.agents}),
            "audit": self.audit,
            "log": self.log,
            "metrics": self.metrics,
            "store": self.store,
            "ids": Numbers(),
        }


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


class TestEveryPort:
    @pytest.mark.seed("3.2", "3.13", "3.27", "3.31", "3.33")
    def test_may_be_a_fake_and_the_manager_is_the_one_door(
        self, stage: Stage, fakes: Fakes
    ) -> None:
        sessions = stage.open(**fakes.ports)
        manager = sessions.manager

        made = manager.ask(CreateSession(user_id="ada", org_id="acme"))
        files = McpSpec(id="files", command=("files",), env={"TOKEN": SecretRef("TOKEN")})
        sessions.ask(AddMcpClient(made.id, files))
        assert sessions.ask(CountSessions()) == 1
        client = MemoryClient()
        sessions.ask(AttachAgent(made.id, AgentSpec(command=("agent",))))
        sessions.ask(AttachClient(made.id, sink=client))
        ended = manager.ask(TerminateSession(made.id, "done"))
        stage.settle()

        assert (made.id, made.workspace) == ("session-1", "/fake/ada/session-1")
        assert made.system_prompt == "for ada of acme with {}"
        assert fakes.secrets.calls == [("resolve", "TOKEN")]
        assert fakes.agents.started[0].spec.cwd == made.workspace
        assert [fakes.mcp.opened[0].is_closed, fakes.agents.started[0].is_closed] == [True, True]
        assert client.is_closed
        assert [each.id for each in fakes.cleaner.cleaned] == ["session-1"]
        assert fakes.workspaces.folders == {}
        assert ended.state is SessionState.CLEANED
        assert fakes.store.entries[-1].version.session.state is SessionState.CLEANED
        assert (fakes.audit.types[0], fakes.audit.types[-1]) == ("created", "terminated")
        assert fakes.metrics.counters["callboard_session_events_total", "terminated"] == 1
        assert len(fakes.log.lines) == len(fakes.audit.records)

    @pytest.mark.seed("3.27")
    def test_need_not_be_given(self, stage: Stage) -> None:
        sessions = stage.open()

        made = sessions.ask(CreateSession(user_id="ada"))
        ended = sessions.ask(TerminateSession(made.id))

        assert services_of(sessions).planners == []
        assert (made.workspace, made.system_prompt) == (None, None)
        assert ended.state is SessionState.CLEANED
