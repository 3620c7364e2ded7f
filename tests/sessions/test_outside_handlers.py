"""What changes a session belongs to a handler of it: elsewhere it is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from callboard.actors import CreateSession, Role, SessionActor, SessionMessage, SessionSystem
from callboard.supervision import ExitReason, InvalidSpec, handles
from tests.runtime.kit import Gate
from tests.sessions.stage import Stage, cell_of, texts, until


class Leave(SessionMessage[None], frozen=True, kw_only=True):
    """Return, and leave a task behind that goes on at the gate."""


class Help(SessionMessage[None], frozen=True, kw_only=True):
    """Have another thread append, and wait for it."""


class Read(SessionMessage[int], frozen=True):
    """Reply how many messages there are."""


def append(actor: SessionActor[Any]) -> None:
    actor.append(Role.USER, "left behind")


def update(actor: SessionActor[Any]) -> None:
    actor.update()


def commit(actor: SessionActor[Any]) -> None:
    actor.commit()


def end(actor: SessionActor[Any]) -> None:
    actor.end()


Change = Callable[[SessionActor[Any]], None]


class Host(SessionActor[None]):
    """Its behaviour; `then` is what it does behind its own back."""

    then: Change
    gate: Gate
    left: list[BaseException | None]
    actors: list[Host]

    def on_start(self) -> None:
        super().on_start()
        self.append(Role.SYSTEM, "started")
        self.commit()
        self.actors.append(self)

    def terminate(self, reason: ExitReason) -> None:
        del reason
        self.append(Role.SYSTEM, "ended")
        self.commit()

    @handles(Leave)
    async def on_leave(self, message: Leave) -> None:
        del message
        self.task = asyncio.create_task(self.go_on())

    async def go_on(self) -> None:
        await self.gate.passed()
        try:
            self.then(self)
        except InvalidSpec as error:
            self.left.append(error)
        else:
            self.left.append(None)

    @handles(Help)
    async def on_help(self, message: Help) -> None:
        del message
        await asyncio.to_thread(self.append, Role.USER, "helped")

    @handles(Read)
    def on_read(self, message: Read) -> int:
        del message
        return self.session.message_count


class Hosted:
    """A system with one session.

    Args:
        stage: where it runs.
        then: what its task does.
    """

    def __init__(self, stage: Stage, then: Change) -> None:
        self.left: list[BaseException | None] = []
        self.actors: list[Host] = []
        members = {"then": staticmethod(then), "left": self.left, "actors": self.actors}
        kind: Any = type("Host", (Host,), members)
        self.sessions: SessionSystem = stage.open(session=kind)
        self.gate = kind.gate = Gate(self.sessions.system)
        self.ada = self.sessions.ask(CreateSession()).id


@pytest.mark.parametrize("then", [append, update, commit, end])
class TestAChangeWhereNoHandlerIsAtWork:
    def test_by_a_task_that_was_left_behind_is_refused(self, stage: Stage, then: Change) -> None:
        hosted = Hosted(stage, then)
        hosted.sessions.ask(Leave(hosted.ada))
        stage.settle()

        hosted.gate.open()

        until(stage, lambda: bool(hosted.left))
        assert isinstance(hosted.left[0], InvalidSpec)
        assert "self.actor_ref.tell" in str(hosted.left[0])
        assert hosted.sessions.ask(Read(hosted.ada)) == 1
        assert texts(hosted.sessions, hosted.ada) == ["started"]

    def test_by_a_thread_of_the_hosts_is_refused(self, stage: Stage, then: Change) -> None:
        hosted = Hosted(stage, then)
        stage.settle()

        with pytest.raises(InvalidSpec, match="no handler of it is at work"):
            then(hosted.actors[0])

        assert hosted.sessions.ask(Read(hosted.ada)) == 1


class TestAChange:
    def test_by_a_thread_for_which_the_handler_waits_is_the_handlers(self) -> None:
        kind: Any = type("Host", (Host,), {"actors": []})
        with SessionSystem(session=kind) as sessions:
            ada = sessions.ask(CreateSession()).id

            sessions.ask(Help(ada))

            assert texts(sessions, ada) == ["started", "helped"]

    def test_at_the_end_of_a_life_is_kept(self, stage: Stage) -> None:
        hosted = Hosted(stage, append)

        cell_of(hosted.sessions, hosted.ada).stop()

        until(stage, lambda: texts(hosted.sessions, hosted.ada)[:2] == ["started", "ended"])
