"""Who does not say how long to wait gets the answer, however long what he asks for may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from callboard.actors import (
    AgentSpec,
    AttachAgent,
    BeginSpawn,
    CallTool,
    CleanupInactive,
    Connectors,
    CreateSession,
    InvalidField,
    McpSpec,
    RecordActivity,
    Session,
    SessionNotFound,
    SessionState,
    SessionSystem,
    Shutdown,
    SpawnError,
    TerminateSession,
)
from callboard.actors.connections.switchboard import END_S
from callboard.actors.link_messages import CALL_S, CONNECT_S, LOAD_S, MARGIN_S
from callboard.actors.secrets import Vault
from callboard.actors.sessions.actor import START_S
from callboard.actors.sessions.errands import LEAVE_S
from callboard.actors.sessions.spawn import DO_S, UNDO_S, Step
from callboard.actors.testing import FakeCleaner, FakePrompts, FakeWorkspaces, MemoryAgents
from callboard.supervision import Request, Settings
from tests.sessions.stage import Actor, Hold, Stage, services_of

ASK_S = Settings().ask_timeout_s
FILES = McpSpec(id="files", command=("files",))


@pytest.fixture
def virtual() -> Iterator[Stage]:
    """Return a stage on which waiting takes no time."""
    stage = Stage("simulated-0")
    yield stage
    stage.close()


@pytest.fixture
def plain(stage: Stage) -> SessionSystem:
    return stage.open()


@pytest.fixture
def equipped(stage: Stage) -> SessionSystem:
    """Return a system whose sessions have a folder and a prompt, and the host's own cleanup."""
    return stage.open(
        workspace=FakeWorkspaces(),
        prompts=FakePrompts(),
        cleaner=FakeCleaner(),
        connectors=Connectors(agents={"acp": MemoryAgents()}),
    )


def taking(seconds: float, **more: Any) -> Step:
    """Return a step that takes so long."""

    async def do(session: Session, vault: Vault) -> None:
        del session, vault
        await asyncio.sleep(seconds)

    return Step(name="wait", do=do, **more)


class TestHowLong:
    @pytest.mark.parametrize(
        "message",
        [CreateSession(), RecordActivity("ada"), BeginSpawn("ada"), CleanupInactive(dry_run=True)],
        ids=lambda message: type(message).__name__,
    )
    def test_is_never_less_than_an_ask_waits(
        self, plain: SessionSystem, message: Request[Any]
    ) -> None:
        assert plain.patience_s(message) >= ASK_S

    def test_is_what_an_ask_waits_for_what_has_no_steps(self, plain: SessionSystem) -> None:
        assert plain.patience_s(CreateSession()) == ASK_S
        assert plain.patience_s(CreateSession(kind="session")) == ASK_S

    @pytest.mark.parametrize("message", [TerminateSession("ada"), Shutdown()])
    def test_outlasts_the_grace_of_an_end(
        self, plain: SessionSystem, message: TerminateSession | Shutdown
    ) -> None:
        assert message.grace_s == 5.0
        assert plain.patience_s(message) == 5.0 + MARGIN_S

    def test_outlasts_the_grace_of_a_cleanup(self, stage: Stage) -> None:
        sessions = stage.open(grace_s=7.0)

        assert sessions.patience_s(CleanupInactive()) == 7.0 + MARGIN_S

    def test_outlasts_every_step_of_a_spawn_and_their_undoing(
        self, equipped: SessionSystem
    ) -> None:
        spawned_s = START_S + 2 * DO_S + (LEAVE_S + 2 * UNDO_S)

        assert equipped.patience_s(CreateSession()) == spawned_s + MARGIN_S

    def test_outlasts_the_opening_of_what_a_session_is_created_with(
        self, equipped: SessionSystem
    ) -> None:
        create = CreateSession(agent=AgentSpec(command=("agent",)), mcp=(FILES,))
        opened_s = (CONNECT_S + LOAD_S + 1.0) + (CONNECT_S + 1.0)

        patience_s = equipped.patience_s(create)

        assert patience_s == pytest.approx(equipped.patience_s(CreateSession()) + opened_s + END_S)

    def test_outlasts_what_is_undone_when_the_grace_is_over(self, equipped: SessionSystem) -> None:
        ada = equipped.ask(CreateSession())

        patience_s = equipped.patience_s(TerminateSession(ada.id, grace_s=3.0))

        assert patience_s == 3.0 + (LEAVE_S + 2 * UNDO_S) + MARGIN_S

    def test_follows_a_behaviour_that_takes_its_time_to_start(self, stage: Stage) -> None:
        class Slow(Actor):
            start_s = 30.0

        sessions = stage.open(kinds={"slow": Slow})

        assert sessions.patience_s(CreateSession(kind="slow")) == 30.0 + MARGIN_S

    def test_of_a_connection_is_what_the_message_allows(self, plain: SessionSystem) -> None:
        attach = AttachAgent("ada", AgentSpec())

        assert plain.patience_s(CallTool("ada", "files", "echo")) == CALL_S + MARGIN_S
        assert plain.patience_s(attach) == CONNECT_S + LOAD_S + MARGIN_S

    def test_of_a_wrong_message_is_refused(self, plain: SessionSystem) -> None:
        wrong: Any = "long"

        with pytest.raises(InvalidField, match="grace_s"):
            plain.patience_s(TerminateSession("ada", grace_s=wrong))
        with pytest.raises(InvalidField, match="kind"):
            plain.ask(CreateSession(kind=[wrong]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class TestAnAskThatDoesNotSay:
    def test_hears_of_the_end_of_a_session_that_does_not_stop(self, virtual: Stage) -> None:
        sessions = virtual.open()
        ada = sessions.ask(CreateSession()).id
        sessions.tell(Hold(ada, text="for ever"))
        virtual.settle()

        last = sessions.ask(TerminateSession(ada))

        assert last.state is SessionState.CLEANED
        with pytest.raises(SessionNotFound):
            sessions.get(ada)

    def test_hears_who_is_busy_when_a_shutdowns_grace_is_over(self, virtual: Stage) -> None:
        sessions = virtual.open()
        ada = sessions.ask(CreateSession()).id
        sessions.tell(Hold(ada, text="for ever"))
        virtual.settle()

        assert sessions.ask(Shutdown()) == (ada,)

    def test_gets_the_session_whose_steps_each_keep_their_time(self, virtual: Stage) -> None:
        sessions = virtual.open()
        services_of(sessions).planners.append(lambda _: (taking(3.5), taking(3.5)))

        assert sessions.ask(CreateSession()).state is SessionState.ACTIVE

    def test_gets_the_cause_when_the_last_of_them_does_not(self, virtual: Stage) -> None:
        sessions = virtual.open()
        services_of(sessions).planners.append(lambda _: (taking(3.5), taking(DO_S + 1.0)))

        with pytest.raises(SpawnError, match="Timeout"):
            sessions.ask(CreateSession(session_id="ada"))

        assert services_of(sessions).table.get("ada") is None
